"""The exchange over stored candles and recorded ticks: what it serves is what is stored."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from intraday.app import open_system
from intraday.config.settings import Settings
from intraday.core.synthetic_ticks import CLEAN
from intraday.domain.clock import SystemClock
from intraday.domain.errors import NotEnoughData
from intraday.domain.pace import LoopClock, paced
from intraday.domain.session import SessionTable, midnight_ns
from intraday.jobs.historical import fill_synthetic
from intraday.jobs.sim import SimOptions, planned
from intraday.sim.exchange import Exchange
from intraday.sim.server import SimServer
from job_cases import market_of, quiet, tick_file

pytestmark = pytest.mark.integration
SESSIONS = SessionTable.load()


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """Five sessions of candles in the database."""
    with open_system(settings, SystemClock()) as system:
        fill_synthetic(system, market_of(settings), range(5), quiet)
    return settings


def history(settings: Settings, options: SimOptions, first: date, last: date) -> tuple[date, dict[str, list[list[Any]]]]:
    """The exchange's day, and the minutes it serves by symbol, as it is after its day's close."""

    async def ask(rest_url: str, symbols: dict[str, int], token: str) -> dict[str, list[list[Any]]]:
        header = {"Authorization": f"token simkey:{token}"}
        async with httpx.AsyncClient(base_url=rest_url, trust_env=False, timeout=60, headers=header) as http:
            out = {}
            for symbol, number in symbols.items():
                answer = await http.get(
                    f"/instruments/historical/{number}/minute", params={"from": f"{first} 09:15:00", "to": f"{last} 15:30:00"}
                )
                assert answer.status_code == 200, answer.text
                out[symbol] = answer.json()["data"]["candles"]
                await asyncio.sleep(0)
            return out

    with planned(settings, options, SystemClock()) as plan:

        async def main() -> dict[str, list[list[Any]]]:
            clock = LoopClock(asyncio.get_running_loop(), midnight_ns(plan.day) + 16 * 3600 * 10**9)
            exchange = Exchange.open(plan.tape, clock)
            exchange.limits = type(exchange.limits)(clock, {"quote": 1000, "historical": 1000, "other": 1000})
            async with SimServer(exchange) as server:
                symbols = {row.symbol: row.token for row in plan.tape.instruments if row.exchange == "NSE"}
                return await ask(server.rest_url, symbols, exchange.accounts.grant().access_token)

        with asyncio.Runner(loop_factory=paced(1.0)) as runner:
            return plan.day, runner.run(main())


def test_history_is_exactly_what_is_stored(filled: Settings) -> None:
    market = market_of(filled)
    days = [s.day for s in market.sessions[:5]]
    day, served = history(filled, SimOptions(source="database", port=0), days[0], days[-1])
    assert day == days[-1]
    assert set(served) == {i.symbol for i in market.instruments}
    bars = np.concatenate([market.bars(i) for i in range(5)])
    for k, instrument in enumerate(market.instruments):
        mine = bars[bars["inst"] == k]
        expected = [
            [*(round(float(b[name]), 2) for name in ("open", "high", "low", "close")), int(np.nan_to_num(b["volume"]))]
            for b in mine
        ]
        assert [row[1:] for row in served[instrument.symbol]] == expected
        assert len(expected) > 300


def test_a_recorded_day_is_replayed_and_the_others_come_from_candles(filled: Settings, tmp_path: Path) -> None:
    market = market_of(filled)
    recording = tick_file(tmp_path / "ticks.parquet", market, 2, CLEAN)
    broker = filled.broker.model_copy(update={"recorded": recording})
    settings = filled.model_copy(update={"broker": broker})
    days = [s.day for s in market.sessions[1:3]]
    day, served = history(settings, SimOptions(source="database", port=0, day=days[-1], instruments=2), *days)
    assert day == days[-1]
    assert len(served) == 2
    symbol = market.instruments[0].symbol
    bars = np.concatenate([market.bars(i) for i in (1, 2)])
    mine = bars[bars["inst"] == 0]
    expected = [[round(float(b[name]), 2) for name in ("open", "high", "low", "close")] for b in mine]
    assert [row[1:5] for row in served[symbol]] == expected  # clean ticks fold to the same candles


def test_a_future_that_nothing_is_stored_of_is_listed_without_trades(filled: Settings) -> None:
    with planned(filled, SimOptions(source="database", port=0), SystemClock()) as plan:
        stocks = [row for row in plan.tape.instruments if row.exchange == "NSE"]
        (future,) = [row for row in plan.tape.instruments if row.exchange == "NFO"]
        assert (future.name, future.is_future) == ("NIFTY", True)
        assert (len(plan.tape.trades(future.token, plan.day)), plan.tape.previous_close(future.token, plan.day)) == (0, 0)
        assert all(len(plan.tape.trades(row.token, plan.day)) > 0 for row in stocks)


def test_without_candles_there_is_nothing_to_play(settings: Settings) -> None:
    with (
        pytest.raises(NotEnoughData, match="no candles are stored"),
        planned(settings, SimOptions(source="database"), SystemClock()),
    ):
        pass
