"""``intraday db check`` from the command line: exit codes, the document, what it refuses, files beside the database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from check_cases import HALT, PLAIN, World, at, plant
from intraday.cli.root import root as command_line
from intraday.config.settings import Settings
from intraday.database.pool import Database
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError
from intraday.domain.ports import ModelRecord
from intraday.jobs.check import Request, run_check
from job_cases import config_file, quiet, settings_on

pytestmark = pytest.mark.integration
_BAD = (
    "UPDATE ohlcv_1min SET high = 'NaN' WHERE instrument_id = (SELECT id FROM instruments WHERE symbol = 'AAA') "
    f"AND ts = {at(HALT, 50)}"
)


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    """With the files it names."""
    made = World(database)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.txt").write_text("tree")
    (tmp_path / "journal").mkdir()
    manifest = json.dumps({"sha256": {"model.txt": hashlib.sha256(b"tree").hexdigest()}})
    made.stores.models.save(ModelRecord("mod", "set", "lab", str(tmp_path / "model"), "edge", HALT, PLAIN, manifest))
    made.stores.runs.save_day(replace(made.stores.runs.days()[0], journal=str(tmp_path / "journal")))
    return made


@pytest.fixture
def settings(world: World, tmp_path: Path) -> Settings:
    return settings_on(world.database.dsn, tmp_path / "var")


def left(settings: Settings, **asked: Any) -> dict[str, int]:
    result = run_check(settings, Request(**asked), SystemClock(), quiet)
    found = result.findings if result.left is None else result.left
    return {f.rule.name: f.n for f in found if f.n and f.rule.name != "checksums"}


def test_the_command_says_what_is_wrong_mends_it_and_is_content(
    world: World, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file(settings, tmp_path / "config.yaml"))
    monkeypatch.setenv("INTRADAY__DATABASE__DSN", world.database.dsn)

    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(command_line, ["db", "check", "--config", config, *args])
        return result.exit_code, result.stdout

    assert run()[0] == 0
    plant(world.database, _BAD)
    code, text = run()
    assert code == 1
    assert "1 bad_price: prices that are missing" in text
    assert "NSE:AAA 2021-02-24 10:05" in text
    assert "run `intraday db check --repair`" in text
    code, text = run("--repair", "--json")
    document = json.loads(text)
    rules = {f["rule"]: (f["found"], f["left"]) for f in document["findings"]}
    assert (code, document["passed"], document["repaired"], rules["bad_price"]) == (0, True, True, (1, 0))
    assert run("--from", "2021-03-02", "--to", "2021-03-01")[0] == 2
    assert run("--symbols", "NSE:ZZZ")[0] == 2


def test_the_scope_narrows_days_and_symbols(world: World, settings: Settings) -> None:
    plant(world.database, _BAD)
    assert left(settings, symbols=("BBB", "NSE:NIFTY")) == {}
    assert left(settings, first=date(2021, 2, 25)) == {}
    assert left(settings, last=date(2021, 2, 23)) == {}
    assert left(settings, first=HALT, last=HALT, symbols=("AAA",)) == {"bad_price": 1}


def test_nobody_writes_live_while_it_mends(world: World, settings: Settings) -> None:
    with world.database.exclusive("live"), pytest.raises(ConfigError, match="another `intraday live`"):
        left(settings, repair=True)
    assert left(settings) == {}


def test_lost_and_altered_files_are_warnings(world: World, settings: Settings, tmp_path: Path) -> None:
    assert left(settings) == {}
    (tmp_path / "model" / "model.txt").write_text("shrub")
    (tmp_path / "journal").rmdir()
    result = run_check(settings, Request(), SystemClock(), quiet)
    told = {f.rule.name: f.examples for f in result.findings if f.n and f.rule.name != "checksums"}
    assert set(told) == {"model_files", "journal"}
    assert "is not what its sha256 says" in told["model_files"][0]
    assert result.wrong == []
