"""The whole of the program in the first days of the closing auction: backfill, features, labels, live, verify and check.

A closing-auction stock, another one, a future and the index, on the bundled exchange. INTRADAY_SPECIAL_DAYS=1 follows two hours
instead of the last minutes.
"""

from __future__ import annotations

import os
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from intraday.app import open_system
from intraday.config.settings import Settings
from intraday.database.pool import Database
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.clock import SystemClock
from intraday.domain.ports import Source
from intraday.jobs.check import Request, run_check
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from intraday.jobs.verify import run_verify
from job_cases import quiet

pytestmark = [pytest.mark.integration, pytest.mark.slow]

IST = timezone(timedelta(hours=5, minutes=30))
FIRST, DAY = date(2026, 8, 3), date(2026, 8, 5)  # the first auction; the third is lived
STOCK, OTHER, FUTURE, INDEX = "INFY", "SYN006", "INFY26AUGFUT", "NIFTY 50"
FEATURES = ("sigma", "ret_1", "rsi_14", "vwap_dist", "session_pos")  # two of them know how long the instrument trades
WHOLE = bool(os.environ.get("INTRADAY_SPECIAL_DAYS"))
START = "13:30" if WHOLE else "15:26"


def around(settings: Settings, **simulator: object) -> Settings:
    """The bundled exchange on DAY, with history since July."""
    made = settings.broker.simulator.model_copy(update={"day": DAY, "speed": 60.0, **simulator})
    market = settings.trading.synthetic.model_copy(update={"start_day": date(2026, 7, 17), "instruments": 8})
    universe = (STOCK, OTHER, f"NFO:{FUTURE}", INDEX)
    return settings.model_copy(
        update={
            "broker": settings.broker.model_copy(update={"feed": "simulator", "simulator": made}),
            "trading": settings.trading.model_copy(update={"synthetic": market, "universe": universe}),
            "model": settings.model.model_copy(update={"features": FEATURES}),
        }
    )


def asked(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with Database(str(settings.database.dsn_text)) as database, database.autocommit() as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def local(at: datetime) -> time:
    return at.astimezone(IST).time()


def test_nothing_of_a_closing_auction_stock_reaches_past_a_quarter_past_three(settings: Settings) -> None:
    chosen = around(settings, start=START)
    run_live(chosen, SystemClock(), quiet)
    bars = asked(
        chosen,
        "SELECT (ts AT TIME ZONE 'Asia/Kolkata')::date AS day, symbol, count(*), max(ts) FROM ohlcv_1min JOIN instruments i"
        " ON i.id = instrument_id GROUP BY 1, 2",
    )
    minutes = {(day, symbol): (n, local(last)) for day, symbol, n, last in bars}
    for (day, symbol), (n, last) in minutes.items():
        expected = {STOCK: (360, time(15, 14)), FUTURE: (385, time(15, 39))}.get(symbol, (375, time(15, 29)))
        n_most, last_most = expected if day >= FIRST else (375, time(15, 29))
        assert (n <= n_most, last <= last_most) == (True, True), (day, symbol, n, last)
    lived = {symbol: minutes[DAY, symbol] for symbol in (STOCK, OTHER, FUTURE, INDEX)}
    assert (lived[STOCK][1], lived[FUTURE][1]) == (time(15, 14), time(15, 39)), lived

    labels = asked(chosen, "SELECT ts, t1, symbol FROM labels JOIN instruments i ON i.id = instrument_id")
    ends = {(ts.astimezone(IST).date(), symbol): local(t1) for ts, t1, symbol in sorted(labels)}
    assert max(local(t1) for ts, t1, symbol in labels if symbol == STOCK and ts.astimezone(IST).date() >= FIRST) <= time(15, 0)
    assert max(local(t1) for ts, t1, symbol in labels if ts.astimezone(IST).date() < FIRST) == time(15, 15)
    assert (FIRST, STOCK) in ends and max(local(t1) for _, t1, _ in labels) <= time(15, 15)

    signals = asked(
        chosen,
        "SELECT ts, to_timestamp(valid_until_ns / 1e9), action, symbol FROM signals JOIN instruments i ON i.id = instrument_id",
    )
    stock = [(local(ts), local(until)) for ts, until, _, symbol in signals if symbol == STOCK]
    assert all(ts < time(15, 15) and until <= time(15, 15) for ts, until in stock)
    assert not WHOLE or len(stock) > 15
    assert {symbol for ts, _, _, symbol in signals if local(ts) >= time(15, 30)} == {FUTURE}

    checks = run_verify(chosen, DAY, None, SystemClock(), quiet).checks
    assert len(checks) > 3 and [c.name for c in checks if not c.passed] == []
    assert [f.rule.name for f in run_check(chosen, Request(), SystemClock(), quiet).wrong] == []
    run_historical(around(settings, day=date(2026, 8, 6)), SystemClock(), quiet)  # the exchange's own candles of the day
    verified = run_verify(chosen, DAY, None, SystemClock(), quiet)
    assert [c.name for c in verified.checks if not c.passed] == []
    import_before_the_list(chosen)
    assert run_verify(chosen, DAY, None, SystemClock(), quiet) == verified


def import_before_the_list(settings: Settings) -> None:
    """Minutes of the closing auction as a file has them, stored when nobody had said who takes part in it."""
    with open_system(settings, SystemClock()) as system:
        (stock,) = (i for i in system.universe() if i.symbol == STOCK)
        late = empty(BAR, 15)
        late["ts_ns"] = system.sessions.get(DAY, auction=True).close_ns + np.arange(15) * MINUTE_NS
        for name in ("open", "high", "low", "close", "volume"):
            late[name] = 100.0
        system.stores.bars.write([stock.id], late, Source.IMPORT, system.clock.now_ns())
