"""Jobs on a trained database: what a day that fails leaves behind, and JSON from every command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from typer import Typer
from typer.testing import CliRunner

from intraday.app import System, build_day_runner, load_model, open_system
from intraday.cli.root import root as command_line
from intraday.config.settings import Settings
from intraday.core.synthetic_ticks import CLEAN
from intraday.domain.clock import SystemClock
from intraday.domain.events import Alert, Event, Signal, Timer
from intraday.domain.ports import Source
from intraday.jobs.historical import train
from intraday.jobs.live import run_live
from intraday.jobs.outcome import recorded_run
from intraday.jobs.replay import run_replay
from intraday.jobs.verify import run_verify
from intraday.live.journal import JournalReader
from intraday.live.recorded import frames
from intraday.live.sources import RecordedSource
from job_cases import bar_files, config_file, market_of, quiet, settings_on, tick_file

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Kept:
    """Alerts in a list."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def offer(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def offer_signals(self, signals: list[Signal]) -> None: ...

    async def run(self) -> None: ...

    def close(self) -> None: ...


class Breaking:
    """A feed that breaks after so many minutes."""

    def __init__(self, feed: RecordedSource, minutes: int, error: BaseException) -> None:
        self._feed, self._minutes, self._error = feed, minutes, error

    async def events(self) -> AsyncIterator[Event]:
        async for event in self._feed.events():
            yield event
            self._minutes -= isinstance(event, Timer)
            if self._minutes == 0:
                raise self._error


def run_broken(system: System, minutes: int, error: BaseException) -> None:
    """The market's next session through the live path, until the feed breaks."""
    market = market_of(system.settings)
    session = market.sessions[-1]
    instruments = system.stores.instruments.upsert(market.instruments)
    feed = RecordedSource(session, frames(market.ticks(len(market.sessions) - 1, CLEAN)), 1_500_000_000, 10**11, system.clock)
    runner = build_day_runner(system, load_model(system), instruments, Source.TICK, "broken-run")
    asyncio.run(runner.run(session, Breaking(feed, minutes, error), Kept()))


def count(dsn: str, what: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
        assert row is not None
        return int(row[0])


def test_a_day_that_fails_keeps_its_journal_and_whole_minutes(trained: Settings, trained_dsn: str, jobs_dir: Path) -> None:
    before = count(trained_dsn, "bar_versions WHERE source = 'import'")
    with open_system(trained, SystemClock()) as system, pytest.raises((RuntimeError, ExceptionGroup)) as caught:
        run_broken(system, 60, RuntimeError("the feed broke"))
    assert "the feed broke" in repr(caught.value)
    (folder,) = (jobs_dir / "journal").glob("tick/*/broken-run")
    journal = JournalReader(folder)
    told = list(journal.events())
    assert not journal.complete
    assert sum(isinstance(event, Timer) for event in told) == 60
    assert count(trained_dsn, "run_days") == 0, "a broken day is no day to verify"
    assert count(trained_dsn, "bar_versions WHERE source = 'import'") == before
    minutes = count(trained_dsn, "bar_versions WHERE source = 'tick'")
    assert minutes <= 60 * trained.trading.synthetic.instruments
    # Nothing of the broken run is in the way of the next one.
    run_live(trained, SystemClock(), quiet)
    assert count(trained_dsn, "run_days") == 1
    assert all(c.passed for c in run_verify(trained, None, None, SystemClock(), quiet).checks)


@pytest.mark.parametrize(("error", "status"), [(ValueError("x"), "failed"), (KeyboardInterrupt(), "interrupted")])
def test_a_run_is_recorded_as_it_ended(settings: Settings, dsn: str, error: BaseException, status: str) -> None:
    with open_system(settings, SystemClock()) as system:
        with pytest.raises(type(error)), recorded_run(system, "import"):
            raise error
        with recorded_run(system, "import") as run:
            run.summary["rows"] = np.int64(3)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT command, status, finished_at IS NULL, summary FROM runs ORDER BY started_at").fetchall()
    assert rows[0] == ("import", status, False, {"error": type(error).__name__})
    assert rows[1][:3] == ("import", "ok", False)


def test_a_second_day_does_not_forget_the_first(trained: Settings, trained_dsn: str, tmp_path: Path) -> None:
    """Replays of two days, one after the other, in two runs: both stay, and both verify."""
    market = market_of(trained)
    days = [market.sessions[i].day for i in (7, 8)]
    for i, day in zip((7, 8), days, strict=True):
        run_replay(trained, [tick_file(tmp_path / f"{day}.parquet", market, i)], None, None, SystemClock(), quiet)
    checks = run_verify(trained, None, Source.REPLAY, SystemClock(), quiet).checks
    assert {check.day for check in checks} == set(days)
    assert all(check.passed for check in checks)


def names_of(app: Typer) -> set[str]:
    """Every command of the command line, groups spelled out."""
    found = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found |= {f"{group.name} {name}" for name in names_of(group.typer_instance)}
    return found


def test_json_of_every_command_parses(trained_dsn: str, jobs_dir: Path, config: Path, tmp_path: Path) -> None:
    """On standard output there is one JSON document and nothing else, whatever is said on standard error."""
    settings = settings_on(trained_dsn, jobs_dir)
    market = market_of(settings)
    bars, ticks = bar_files(tmp_path / "bars", market, 1), tick_file(tmp_path / "ticks.parquet", market, 8)
    wanted: list[tuple[str, list[str], type, str]] = [
        ("config show", [], dict, "trading"),
        ("config validate", [], dict, "valid"),
        ("db init", [], dict, "revision"),
        ("db migrate", [], dict, "revision"),
        ("db status", [], dict, "revision"),
        ("doctor", [], dict, "checks"),
        ("import", [str(bars)], list, "stored"),
        ("historical", [], dict, "summary"),
        ("live", [], dict, "summary"),
        ("run", [], dict, "summary"),
        ("replay", ["--ticks", str(ticks)], dict, "summary"),
        ("signals", [], list, "action"),
        ("report", [], dict, "figures"),
        ("backtest", [], dict, "summary"),
        ("verify", [], dict, "checks"),
        ("models list", [], dict, "models"),
        ("db history", [], list, "id"),
        ("db query", ["SELECT * FROM latest_bars"], dict, "rows"),
        ("db maintain", [], dict, "done"),
        ("db check", [], dict, "findings"),
    ]
    env = {"INTRADAY__DATABASE__DSN": trained_dsn}
    for name, more, kind, key in wanted:
        result = CliRunner().invoke(command_line, [*name.split(), *more, "--json", "--config", str(config)], env=env)
        assert result.exit_code == 0, (name, result.output)
        found: Any = json.loads(result.stdout)
        assert isinstance(found, kind), name
        assert key in (found[0] if kind is list else found), (name, list(found))
    log = [line for line in (jobs_dir / "logs" / "intraday.log").read_text().splitlines() if "run ended" in line]
    assert any(" model_id=" in line and " run=historical-" in line for line in log), log
    # The demo makes its own database: below. What needs a broker has one in test_over_the_wire.py, test_auth_cli.py and so on.
    elsewhere = {name for name in names_of(command_line) if name.split()[0] in ("auth", "instruments", "universe", "sim")}
    elsewhere |= {f"adjust {name}" for name in ("add", "import", "remove", "detect", "list")} | {
        "audit",
        "controls",
    }  # of their own
    elsewhere |= {"limits import", "limits list", "features list", "features show", "charges"}
    elsewhere |= {"retrain", "models show", "models compare", "models promote", "models rollback"}  # test_registry_jobs.py
    elsewhere |= {"demo", "backfill", "gaps", "backup", "restore", "db move", "db upgrade", "db shell"}
    assert {name for name, *_ in wanted} | elsewhere == names_of(command_line)


def test_the_demo_from_nothing_and_again(folder: Path) -> None:
    """On our own server; the second run ends the same, on the database that the first one left."""
    path = config_file(settings_on(None, folder / "var"), folder / "config.yaml")
    found = []
    for _ in range(2):
        result = CliRunner().invoke(command_line, ["demo", "--json", "--config", str(path)])
        assert result.exit_code == 0, result.output
        found.append(json.loads(result.stdout))
        summary = found[-1]["summary"]
        assert (summary["differences_as_known"], summary["unexplained"]) == (0, 0)
        assert sum(summary["signals"].values()) > 100
        assert Path(found[-1]["page"]).stat().st_size > 10_000
    assert {k: v for k, v in found[0]["summary"].items() if k != "run_id"} == {
        k: v for k, v in found[1]["summary"].items() if k != "run_id"
    }
    assert not list(folder.rglob("postmaster.pid"))


def test_training_leaves_out_days_whose_vectors_retention_dropped(trained: Settings) -> None:
    """They can't be stored again; all the other days are learned from as before."""
    with open_system(trained, SystemClock()) as system:
        with system.database.transaction() as connection:
            (first,) = connection.execute("SELECT min(ts) FROM features").fetchone() or (None,)
            limit = connection.execute(
                "SELECT date_bin('7 days', %s + interval '7 days', '1970-01-01 00:00+00')", (first,)
            ).fetchone()
            assert limit is not None and first is not None
            connection.execute("INSERT INTO kept_from VALUES ('features', %s)", limit)
            connection.execute("DELETE FROM features WHERE ts < %s", limit)
        result = train(system, quiet)
        with system.database.autocommit() as connection:
            assert connection.execute("SELECT min(ts) >= %s FROM features", limit).fetchone() == (True,)
        assert 0 < result.n_sessions < len(system.stores.bars.coverage())
