"""`intraday backfill` and `intraday gaps` with the bundled exchange as broker, through the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from intraday.broker.backfill import BackfillReport
from intraday.cli.backfill import _duration, _show_fetch, _show_gaps, _show_plan
from intraday.cli.root import root
from intraday.config.settings import Settings
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.errors import BrokerUnavailable, IntradayError
from intraday.domain.instruments import Instrument
from intraday.domain.ports import WriteReport
from intraday.jobs.backfill import IST, Fetch, GapRow, Plan
from job_cases import config_file

pytestmark = pytest.mark.integration
Run = Callable[..., Result]


@pytest.fixture
def run(dsn: str, settings: Settings, tmp_path: Path) -> Run:
    """The command line on an empty database; ``scenario``: what goes wrong at the exchange."""

    def command(*words: str, scenario: str = "") -> Result:
        broker, trading = settings.broker, settings.trading
        simulator = broker.simulator.model_copy(update={"speed": 30.0})
        if scenario:
            (tmp_path / "scenario.txt").write_text(scenario)
            simulator = simulator.model_copy(update={"scenario": tmp_path / "scenario.txt"})
        changed = settings.model_copy(
            update={
                "broker": broker.model_copy(update={"feed": "simulator", "simulator": simulator}),
                "trading": trading.model_copy(update={"universe": ("INFY", "NIFTY 50")}),
            }
        )
        path = config_file(changed, tmp_path / "config.yaml")
        return CliRunner().invoke(root, [*words, "--config", str(path)], env={"INTRADAY__DATABASE__DSN": dsn, "COLUMNS": "160"})

    return command


def found(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


@pytest.mark.slow
def test_from_nothing_to_every_candle_and_no_further(run: Run) -> None:
    assert "intraday instruments list" in refused(run("backfill", "--symbols", "INFY", "--dry-run"), 2)
    done = found(run("backfill", "--days", "12", "--json"))
    assert (done["requests"], done["failed"], done["instruments"], done["error"]) == (2, 0, 2, None)
    assert done["written"]["inserted"] == done["candles"] > 2000
    assert done["last"] == "2025-01-15"

    plan = found(run("backfill", "--dry-run", "--json", "--days", "12"))
    assert (plan["requests"], plan["seconds"], plan["unlisted"]) == (0, 0.0, [])
    forced = found(run("backfill", "--dry-run", "--json", "--again", "--days", "12", "--symbols", "NSE:INFY"))
    assert (forced["requests"], forced["seconds"], forced["minutes"]) == (1, pytest.approx(1 / 3), 8 * 375)
    result = run("backfill", "--days", "12")
    assert (result.exit_code, result.stdout) == (0, "nothing is missing: 2 instruments, 2025-01-03 to 2025-01-15\n")

    gaps = found(run("gaps", "--json"))
    assert sum(gap["minutes"] for gap in gaps) + done["candles"] == 2 * 8 * 375
    assert {gap["key"] for gap in gaps} <= {"NSE:INFY", "NSE:NIFTY 50"}
    assert found(run("gaps", "--symbol", "infy", "--from", "2025-01-03", "--to", "2025-01-14", "--json")) == [
        gap for gap in gaps if gap["key"] == "NSE:INFY"
    ]
    assert found(run("gaps", "--from", "2025-02-03", "--json")) == []


@pytest.mark.slow
def test_days_that_retention_dropped_are_not_asked_for(run: Run, database: Database) -> None:
    with database.autocommit() as connection:
        connection.execute("INSERT INTO kept_from VALUES ('bars', '2025-01-09 00:00+00')")
    done = found(run("backfill", "--days", "12", "--json"))
    assert (done["first"], done["failed"], done["error"]) == ("2025-01-09", 0, None)
    assert 2 * 3 * 375 < done["candles"] <= 2 * 4 * 375


@pytest.mark.slow
def test_a_broker_that_needs_the_user_is_exit_code_8_with_the_report_shown(run: Run) -> None:
    result = run("backfill", "--days", "5", "--json", scenario="from start entitlement off\n")
    assert "market data" in refused(result, 8)
    done = json.loads(result.stdout)
    assert done["requests"] == 0
    assert done["error"]


@pytest.mark.slow
def test_requests_without_an_answer_are_exit_code_7(run: Run) -> None:
    result = run("backfill", "--days", "5", scenario="from start 502 on historical\n")
    assert "not answered" in refused(result, 7)
    assert "0 candles from 0 of 2 requests" in result.stdout
    gaps = found(run("gaps", "--json"))
    assert {gap["reason"] for gap in gaps} == {"no answer from the broker"}


def test_a_plan_needs_the_brokers_list_and_a_range_that_has_begun(run: Run, database: Database) -> None:
    InstrumentRepository(database).upsert([Instrument("NSE", "OLD")])
    assert "intraday instruments sync" in refused(run("backfill", "--symbols", "OLD", "--dry-run"), 3)
    assert "2025-02-01 to 2025-01-15" in refused(run("backfill", "--from", "2025-02-01", "--symbols", "OLD", "--dry-run"), 2)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("backfill", "--from", "2025-01-01", "--days", "3"), "--from and --days"),
        (("backfill", "--from", "yesterday"), "--from: found 'yesterday'"),
        (("backfill", "--to", "2025-13-01"), "--to: found '2025-13-01'"),
        (("gaps", "--to", "x"), "--to: found 'x'"),
        (("gaps", "--symbol", "NOBODY"), "NSE:NOBODY is not a stored instrument"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, words: tuple[str, ...], text: str) -> None:
    assert text in refused(run(*words), 2)


# ------------------------------------------------------------------------------------------------------- what people see
def shown(show: Callable[[Console], None]) -> str:
    out = Console(file=io.StringIO(), width=160)
    show(out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def fetch(error: IntradayError | None = None, **changes: Any) -> Fetch:
    values = {
        "planned": 9, "requests": 7, "failed": 1, "bars": 1234, "written": WriteReport(1200, 30, 4), "rejected": 2, "gaps": 3,
        "gap_minutes": 400, "cap_days": 60, "seconds": 3.21, "waited_s": 9.0, "failures": {"NSE:B": "no such token", "NSE:A": "no"},
    }  # fmt: skip
    report = BackfillReport(**(values | changes), error=error)  # type: ignore[arg-type]
    return Fetch("Kite", date(2025, 1, 1), date(2025, 1, 31), 4, ("NSE:GONE",), report)


def test_a_report_says_what_was_had_and_what_not() -> None:
    text = shown(lambda out: _show_fetch(out, fetch(BrokerUnavailable("down"), cap_days=30, flagged={"corporate_action": 2})))
    assert text.splitlines() == [
        "1,234 candles from 7 of 9 requests to Kite in 3.2 s: 1,200 new, 30 there before, 4 revised, 2 rejected",
        "400 minutes could not be had, in 3 gaps: `intraday gaps` lists them",
        "some days look like ex-dates: `intraday adjust detect` lists them",
        "one request may span 30 days now",
        "not in the broker's list, so not asked for: NSE:GONE",
        "NSE:A: no",
        "NSE:B: no such token",
    ]


def test_a_plan_says_how_long_it_takes() -> None:
    plan = Plan(
        "Kite", date(2025, 1, 1), date(2025, 12, 31), 200, 1200, 49_800, 18_675_000, 400.0, tuple(f"S{i}" for i in range(9))
    )
    assert shown(lambda out: _show_plan(out, plan)).splitlines() == [
        "200 instruments, 2025-01-01 to 2025-12-31: 1,200 requests to Kite for 49,800 sessions, 18,675,000 minutes; "
        "7 min at the limit",
        "not in the broker's list, so not asked for: S0, S1, S2, S3, S4, S5, S6, S7 …",
    ]
    assert [_duration(s) for s in (119.94, 121, 7199, 7200)] == ["119.9 s", "2 min", "120 min", "2.0 h"]


def test_a_long_list_of_gaps_is_cut_for_people() -> None:
    row = GapRow("NSE:A", datetime(2025, 1, 1, 9, 15, tzinfo=IST), datetime(2025, 1, 1, 9, 20, tzinfo=IST), 5, "no candle")
    text = shown(lambda out: _show_gaps(out, [row] * 51))
    assert text.count("NSE:A") == 50
    assert "255 minutes in 51 gaps; 1 more: name a --symbol or days, or use --json" in text
    assert shown(lambda out: _show_gaps(out, [])) == "no gaps are known\n"
