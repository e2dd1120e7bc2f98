"""`intraday db status` and `intraday db maintain`: what they say, to people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from chunk_cases import compress_all, has_timescale, rows
from intraday.app import open_system
from intraday.cli import db_status, maintain
from intraday.config.settings import Settings
from intraday.database.bars import BarRepository
from intraday.database.pool import Database
from intraday.database.status import Feature, ServerStatus, server_status
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, empty
from intraday.domain.clock import SystemClock
from intraday.domain.errors import StorageError
from intraday.domain.ports import Source
from intraday.jobs.maintain import keep_house, run_maintain
from job_cases import config_file, quiet, settings_on

pytestmark = pytest.mark.integration
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS


def feature(status: ServerStatus, name: str) -> Feature:
    (found,) = [f for f in status.features if f.name == name]
    return found


def one_bar(database: Database, day: int = 0) -> None:
    bars = empty(BAR, 1)
    bars["ts_ns"] = DAY + day * DAY_NS + MINUTE_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = 10.0
    with database.autocommit() as connection:
        connection.execute(
            "INSERT INTO instruments (id, exchange, symbol, kind, tick_size, lot_size) VALUES (1, 'NSE', 'A', 'equity', 5, 1) "
            "ON CONFLICT DO NOTHING"
        )
    BarRepository(database).write([1], bars, Source.IMPORT, 5)


def test_the_features_of_a_fresh_database(database: Database) -> None:
    status = server_status(database)
    hyper = has_timescale(database)
    on = {f.name: f.on for f in status.features}
    assert (status.timescaledb is not None) == hyper
    assert status.size > 1_000_000
    assert 0 < status.connections < status.connections_max
    assert (on["hypertables"], on["continuous aggregates"], on["compression"]) == (hyper, hyper, False)
    assert (on["retention"], on["background job"]) == (False, False)
    assert all(f.detail for f in status.features if not f.on), "why not"
    assert "by month instead" in feature(status, "hypertables").detail or hyper


def test_timeframes_that_are_behind_say_by_what(database: Database) -> None:
    assert feature(server_status(database), "continuous aggregates").detail.endswith("up to date")
    one_bar(database)
    said = feature(server_status(database), "continuous aggregates").detail
    assert said.endswith("behind by 1 changes from 2020-01-03 to 2020-01-03")


def test_retention_says_from_when(database: Database) -> None:
    rows(database, "SELECT drop_before('labels', '2025-01-05 12:00+00')")
    assert feature(server_status(database), "retention") == Feature("retention", True, "labels kept from 2025-01-02 on")


def test_compression_says_how_much(database: Database) -> None:
    if not has_timescale(database):
        assert "no TimescaleDB" in feature(server_status(database), "compression").detail
        return
    one_bar(database)
    assert compress_all(database) == 1
    one_bar(database, day=70)
    said = feature(server_status(database), "compression")
    assert said.on
    assert said.detail.startswith("1 of 2 chunks, 1 rows, 0.0 MiB in 0.0 MiB, ")


def test_a_database_without_schema_is_told_of_all_the_same(empty_dsn: str) -> None:
    with Database(empty_dsn) as database:
        assert [f.name for f in server_status(database).features] == ["roles", "data checksums", "synchronous_commit", "TLS"]


# ------------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def group() -> typer.Typer:
    made = typer.Typer()
    db_status.register(made)
    maintain.register(made)
    return made


@pytest.fixture
def kept(dsn: str, tmp_path: Path) -> Settings:
    """A month of bars is kept."""
    settings = settings_on(dsn, tmp_path / "var")
    retention = settings.database.retention.model_copy(update={"bars_days": 35})
    return settings.model_copy(update={"database": settings.database.model_copy(update={"retention": retention})})


def call(group: typer.Typer, settings: Settings, tmp_path: Path, *words: str) -> str:
    config = config_file(settings, tmp_path / "config.yaml")
    secret = {"INTRADAY__DATABASE__DSN": settings.database.dsn_text}
    done = CliRunner().invoke(group, [*words, "--config", str(config)], env=secret, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_status_for_people_and_as_json(group: typer.Typer, kept: Settings, tmp_path: Path) -> None:
    said = call(group, kept, tmp_path, "status")
    assert "PostgreSQL" in said
    assert "  background job" in said
    found = json.loads(call(group, kept, tmp_path, "status", "--json"))
    assert found["current"] is True
    assert {"name", "on", "detail"} == set(found["features"][0])
    assert "password" not in said + json.dumps(found)


def test_maintain_drops_says_and_writes_down(group: typer.Typer, kept: Settings, dsn: str, tmp_path: Path) -> None:
    with Database(dsn) as database:
        one_bar(database)
        one_bar(database, 100)  # days are counted from the newest row
        planned = json.loads(call(group, kept, tmp_path, "maintain", "--dry-run", "--json"))
        assert planned["dry_run"]
        assert rows(database, "SELECT count(*) FROM events WHERE kind = 'maintain'") == [(0,)]
        assert rows(database, "SELECT count(*) FROM ohlcv_1min") == [(2,)]
        assert "retention: bars from" in call(group, kept, tmp_path, "maintain")
        assert rows(database, "SELECT count(*) FROM ohlcv_1min") == [(1,)]
        assert rows(database, "SELECT count(*) FROM ohlcv_60min") == [(2,)]
        audit: Any = rows(database, "SELECT detail FROM events WHERE kind = 'maintain'")
        assert {"retention", "timeframes"} <= {kind for kind, _ in audit[0][0]["done"]}
        assert "retention" not in call(group, kept, tmp_path, "maintain", "--dry-run")


def test_a_job_whose_maintenance_fails_is_done_all_the_same(kept: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with open_system(kept, SystemClock()) as system:
        with system.database.autocommit() as connection:
            connection.execute("ALTER FUNCTION drop_before RENAME TO gone")
        keep_house(system)
        assert "maintenance failed: the database refused: function drop_before" in caplog.text
        with system.database.autocommit() as connection:
            connection.execute("ALTER FUNCTION gone RENAME TO drop_before")
        keep_house(system)
        assert rows(system.database, "SELECT count(*) FROM events WHERE kind = 'maintain'") == [(1,)]


def test_a_schema_that_is_not_ours_is_not_maintained(empty_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="found no schema: run `intraday db migrate`"):
        run_maintain(settings_on(empty_dsn, tmp_path), SystemClock(), quiet)
