"""The road of a new user, from the command line, with the bundled exchange in Kite's place; and a day on which the link fails."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from auth_cases import get
from intraday.app_broker import Endpoint
from intraday.auth.key import new_key
from intraday.cli.root import root as command_line
from intraday.config.settings import RateLimits, Settings
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import MINUTE_NS, BarFlag
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.jobs.exchange import open_exchange
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from intraday.jobs.verify import run_verify
from intraday.sim.accounts import API_KEY as SIM_KEY
from intraday.sim.accounts import API_SECRET as SIM_SECRET
from job_cases import config_file, quiet

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def simulated(settings: Settings, **changed: object) -> Settings:
    """``settings`` with the bundled exchange as broker."""
    simulator = settings.broker.simulator.model_copy(update=changed)
    return settings.model_copy(update={"broker": settings.broker.model_copy(update={"feed": "simulator", "simulator": simulator})})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Shell:
    """A person at the command line; the exchange stands at the addresses that are Kite's otherwise."""

    def __init__(self, settings: Settings, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        rest = f"http://127.0.0.1:{port}"
        self.rest = rest
        self.environ = {
            "INTRADAY_CONFIG": str(config_file(settings, folder / "config.yaml")),
            "INTRADAY__DATABASE__DSN": str(settings.database.dsn_text),
            "INTRADAY__BROKER__FEED": "kite",
            "INTRADAY__BROKER__KITE__REST_URL": rest,
            "INTRADAY__BROKER__KITE__LOGIN_URL": f"{rest}/connect/login",
            "INTRADAY__BROKER__KITE__WS_URL": f"ws://127.0.0.1:{port}",
            "INTRADAY__BROKER__KITE__CLOCK": "simulator",
            "INTRADAY__BROKER__API_KEY": SIM_KEY,
            "INTRADAY__BROKER__API_SECRET": SIM_SECRET,
            "INTRADAY_TOKEN_KEY": new_key().reveal(),
        }

    def run(self, words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(command_line, words.split(), input=stdin, env=self.environ)

    def json(self, words: str) -> Any:
        result = self.run(f"{words} --json")
        assert result.exit_code == 0, (words, result.output)
        return json.loads(result.stdout)

    def log_in(self) -> None:
        answer = get(f"{self.rest}/connect/login?v=3&api_key={SIM_KEY}&auto=1")
        token = parse_qs(urlsplit(answer.headers["location"]).query)["request_token"][0]
        result = self.run("auth login --no-browser", token + "\n")
        assert result.exit_code == 0, result.output


@contextmanager
def exchange(settings: Settings, port: int, start: str, speed: float) -> Iterator[Endpoint]:
    with open_exchange(simulated(settings, port=port, start=start), RateLimits(), SystemClock(), speed) as endpoint:
        yield endpoint


def test_from_nothing_to_live_signals(settings: Settings, tmp_path: Path) -> None:
    shell = Shell(settings, tmp_path, free_port())
    with exchange(settings, shell.port, "08:30", 1.0):
        refused = shell.run("historical")
        assert (refused.exit_code, "intraday auth login" in refused.stderr) == (8, True), refused.output
        shell.log_in()
        synced = shell.json("instruments sync")
        assert shell.json("instruments sync")["changes"] == [] != synced
        listed = shell.json("instruments list")
        planned = shell.json("backfill --dry-run")
        assert planned["requests"] > 0
        fetched = shell.json("backfill")
        assert fetched["requests"] == planned["requests"]
        assert fetched["candles"] > 5 * 9 * 200
        trained = shell.json("historical")["summary"]
        assert trained["sessions"] >= 10
        again = shell.json("historical")["summary"]
        assert (again["backfill_new"], again["model_id"]) == (0, trained["model_id"])
        universe = shell.json("universe show")
        assert len(listed) >= trained["instruments"] == len(universe["members"])
        shell.json("instruments changes")
        shell.json("gaps")
    with exchange(settings, shell.port, "15:24", 20.0):
        shell.log_in()
        lived = shell.json("live")["summary"]
    assert lived["candles"] >= 4 * lived["instruments"]
    assert sum(lived["signals"].values()) > 0
    assert lived["connections"][0]["malformed"] == 0
    assert shell.run("verify").exit_code == 0


def test_two_brokers_never_share_a_database(settings: Settings, tmp_path: Path) -> None:
    run_historical(simulated(settings), SystemClock(), quiet)
    shell = Shell(settings, tmp_path, free_port())
    with exchange(settings, shell.port, "10:00", 1.0):
        shell.log_in()
        result = shell.run("historical")
    assert result.exit_code == ConfigError.exit_code
    assert "holds the candles of the bundled exchange" in result.stderr


def test_a_lost_link_is_mended_and_told_apart(settings: Settings, tmp_path: Path) -> None:
    """The link drops at 15:20:10 and comes back after 15:21:40: three minutes are fetched and stored as late."""
    scenario = tmp_path / "scenario.txt"
    scenario.write_text("at 15:20:10 refuse upgrade 429 for 90 s\nat 15:20:10 drop link\n")
    chosen = simulated(settings, start="15:15", speed=20.0, scenario=scenario)
    lines: list[str] = []
    result = run_live(chosen, SystemClock(), quiet, write=lines.append)
    day = date.fromisoformat(result.summary["days"][0])
    session = SessionTable.load().get(day)
    with Database(str(settings.database.dsn_text)) as database:
        stores = Stores(database)
        ids = [i.id for i in stores.instruments.all()]
        bars = stores.bars.read(ids, session.open_ns, session.close_ns, Source.TICK)
    late = (bars["flags"] & BarFlag.LATE) != 0
    minute = (bars["ts_ns"] - session.open_ns) // MINUTE_NS
    assert set(minute[late].tolist()) >= {*range(360), 365, 366}  # before the start, and the loss
    assert set(minute[~late].tolist()) >= {*range(361, 365), *range(368, 375)}
    assert len(np.unique(bars[["ts_ns", "inst"]])) == len(bars)
    checks = run_verify(chosen, day, None, SystemClock(), quiet).checks
    assert [c.name for c in checks if not c.passed] == []
    after = simulated(settings, day=SessionTable.load().next(day).day, start="10:00")
    run_historical(after, SystemClock(), quiet)  # the broker's own candles of that day
    with Database(str(settings.database.dsn_text)) as database:
        stores = Stores(database)
        best = stores.bars.read(ids, session.open_ns, session.close_ns, Source.BROKER)
    theirs = {(r["ts_ns"], r["inst"]): tuple(r)[3:8] for r in best}
    mine = {(r["ts_ns"], r["inst"]): tuple(r)[3:8] for r in bars[late]}
    assert len(best) > 0
    assert {k: v for k, v in mine.items() if theirs.get(k) not in (None, v) and not np.isnan(v[4])} == {}
    checks = run_verify(chosen, day, None, SystemClock(), quiet).checks
    assert [c.name for c in checks if not c.passed] == []


def test_the_closing_auction_is_no_outage(settings: Settings) -> None:
    """2026-08-03: INFY and RELIANCE trade to 15:15, then the auction; NIFTY 50 stands still. No alarm, and no candle from it."""
    market = settings.trading.synthetic.model_copy(update={"start_day": date(2026, 7, 20)})
    chosen = simulated(settings, start="15:12", speed=30.0).model_copy(
        update={
            "trading": settings.trading.model_copy(update={"synthetic": market, "universe": ("INFY", "RELIANCE", "NIFTY 50")}),
            "alerts": settings.alerts.model_copy(update={"console": True}),
        }
    )
    lines: list[str] = []
    result = run_live(chosen, SystemClock(), quiet, write=lines.append)
    assert result.summary["days"] == ["2026-08-03"]
    started, *later = [line for line in lines if "feed" in line]
    assert "started at" in started
    assert [line for line in later if "feed lost" in line] == []
    session = SessionTable.load().get(date(2026, 8, 3))
    with Database(str(settings.database.dsn_text)) as database:
        stores = Stores(database)
        stocks = [i for i in stores.instruments.all() if i.symbol in ("INFY", "RELIANCE")]
        bars = stores.bars.read([i.id for i in stocks], session.open_ns, session.close_ns, Source.TICK)
    minutes = sorted({int(m) for m in (bars["ts_ns"] - session.open_ns) // MINUTE_NS})
    assert minutes[-1] == 359  # 15:14


def test_a_second_start_within_a_session_keeps_what_the_first_one_stored(settings: Settings) -> None:
    """The first run lives through 15:20 to the close, the second from 15:25 on: what was said before 15:25 is still there."""
    run_live(simulated(settings, start="15:20", speed=30.0), SystemClock(), quiet)

    def stored() -> tuple[list[Any], list[Any]]:
        with Database(str(settings.database.dsn_text)) as database, database.autocommit() as connection:
            signals = connection.execute("SELECT ts, instrument_id, action, confidence FROM signals ORDER BY 1, 2").fetchall()
            bars = connection.execute(
                "SELECT ts, instrument_id, close FROM bar_versions WHERE source = 'tick' ORDER BY 1, 2, version"
            ).fetchall()
        return signals, bars

    signals, bars = stored()
    result = run_live(simulated(settings, start="15:25", speed=30.0), SystemClock(), quiet)
    again = stored()
    day = date.fromisoformat(result.summary["days"][0])
    start = datetime(day.year, day.month, day.day, 15, 25, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert len(signals) > 0
    assert [row for row in signals if row[0] < start] == [row for row in again[0] if row[0] < start]
    assert {row[:2] for row in bars} == {row[:2] for row in again[1]}
    checks = run_verify(settings, day, None, SystemClock(), quiet).checks
    assert [c.name for c in checks if not c.passed] == []
