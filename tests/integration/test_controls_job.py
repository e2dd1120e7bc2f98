"""``intraday controls`` on stored bars: nothing is found where nothing is, the tables are kept, and the run is recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from intraday.cli.root import root as command_line
from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.domain.errors import InputError, NotEnoughData
from intraday.jobs.controls import FILE, ControlsRequest, Counts, controls_section, run_controls
from job_cases import config_file, quiet, settings_on

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


@pytest.mark.slow
def test_the_command_without_a_database(tmp_path: Path) -> None:
    path = config_file(settings_on(None, tmp_path / "var"), tmp_path / "config.yaml")
    result = CliRunner().invoke(command_line, ["controls", "--simulated", "--json", "--config", str(path)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["passed"] and found["tables"]["nulls"][0]["n"] == 4 and found["tables"]["power"][0]["found"] == 1
    section = controls_section(tmp_path / "var" / "reports" / FILE)
    assert section is not None and section.power is not None and section.power.markets.tolist() == [[1]]
