"""``intraday controls`` on stored bars: nothing is found where nothing is, the tables are kept, and the run is recorded."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from intraday.backtest.control_tables import document
from intraday.backtest.controls import Control, NullResult, PlantedResult
from intraday.cli.controls import show
from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.domain.errors import InputError, NotEnoughData
from intraday.jobs.controls import FILE, ControlsOutcome, ControlsRequest, Counts, controls_section, run_controls
from job_cases import quiet, settings_on

ONE_EACH = ControlsRequest(markets=Counts(simulated=0, real=1, planted=0), instruments=3)

pytestmark = pytest.mark.integration


def test_nothing_is_found_in_stored_bars_that_were_taken_apart(trained: Settings, trained_dsn: str) -> None:
    found = run_controls(trained, ONE_EACH, SystemClock(), quiet)
    assert [row["control"] for row in found.tables["nulls"]] == [
        "real bars with flipped signs", "outcomes of other sessions", "outcomes of other rows", "features of other sessions",
    ]  # fmt: skip
    assert found.passed and not found.skipped and found.bars.startswith("10 sessions of 3 instruments")
    again = run_controls(trained, ONE_EACH, SystemClock(), quiet)
    assert again.tables == found.tables  # the same coins
    other = run_controls(trained, replace(ONE_EACH, seed=1), SystemClock(), quiet)
    assert other.tables["p_values"] != found.tables["p_values"]
    section = controls_section(other.file)
    assert section is not None and [len(null.p_values) for null in section.nulls] == [1, 1, 1, 1] and section.power is None
    with psycopg.connect(trained_dsn) as connection:
        rows = connection.execute("SELECT status, summary->>'passed' FROM runs WHERE command = 'controls'").fetchall()
    assert rows == [("ok", "true")] * 3


def test_too_few_sessions_are_skipped_with_the_reason(trained: Settings) -> None:
    found = run_controls(trained, replace(ONE_EACH, sessions=4), SystemClock(), quiet)
    assert len(found.skipped) == 4 and not found.tables["nulls"]
    assert all("walk-forward needs at least" in reason for reason in found.skipped.values())


def test_without_bars_it_says_so(settings: Settings) -> None:
    with pytest.raises(NotEnoughData, match="no stored bars of 0 instruments"):
        run_controls(settings, ONE_EACH, SystemClock(), quiet)


def test_a_section_of_something_else_is_refused(tmp_path: Path) -> None:
    assert controls_section(tmp_path / FILE) is None
    (tmp_path / FILE).write_text('{"nulls": [{"control": "x"}]}')
    with pytest.raises(InputError, match="expected the tables of `intraday controls`"):
        controls_section(tmp_path / FILE)


def test_made_up_markets_need_no_database(tmp_path: Path) -> None:
    settings = settings_on("postgresql://nowhere.invalid/none", tmp_path / "var")
    request = ControlsRequest(simulated=True, markets=Counts(simulated=1, real=1, planted=0))
    found = run_controls(settings, request, SystemClock(), quiet)
    assert found.passed and found.bars == "none" and [row["n"] for row in found.tables["nulls"]] == [1]
    assert found.file == tmp_path / "var" / "reports" / FILE and "seed 0" in json.loads(found.file.read_text())["note"]


def test_the_table_says_what_failed() -> None:
    null = NullResult(Control.FLIPPED, 0, 0.001, "edge", 9.0, 100, 60, 9_000)
    planted = PlantedResult(3, 70, 0, False, 0.3, "no tradable edge", 20, 0.01, 0.1, 1.0, 500, 24.9, 9_000)
    tables = document([null, null], [planted])
    out = Console(width=140, record=True, file=io.StringIO())
    show(out, ControlsOutcome(False, 0, "none", {"outcomes of other rows": "too few"}, tables, Path("controls.json")))
    lines = [line for line in out.export_text().splitlines() if line.strip()]
    assert any("real bars with flipped signs" in line and "2 of 2" in line and "FAILED" in line for line in lines), lines
    assert any("3 times the cost, 70 sessions" in line and "0 of 1" in line and "FAILED" in line for line in lines), lines
    assert "not checked: outcomes of other rows: too few" in lines
