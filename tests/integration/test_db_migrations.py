"""Every migration up and down, from an empty and from a filled database, on both servers; and what comes between."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from intraday.database import schema
from intraday.database.pool import Database
from intraday.database.revisions import Chain, script
from intraday.database.rollups import RollupRepository
from intraday.domain.errors import StorageError, StorageUnavailable
from schema_cases import TIMEFRAMES, catalogue, content, make_filled

pytestmark = pytest.mark.integration
REVISIONS = [revision.id for revision in Chain().revisions]


def refresh(dsn: str) -> None:
    with Database(dsn) as database:
        RollupRepository(database).refresh()


def test_down_and_up_again_from_an_empty_database(empty_dsn: str) -> None:
    """A revision that was reached from above is the one that was reached from below."""
    seen = {}
    for revision in REVISIONS:
        assert schema.migrate(empty_dsn, revision) == revision
        seen[revision] = catalogue(empty_dsn, whole=False)
    for revision in reversed(REVISIONS[:-1]):
        assert schema.migrate(empty_dsn, revision) == revision
        assert catalogue(empty_dsn, whole=False) ^ seen[revision] == set(), f"after the way down to {revision}"
    assert schema.migrate(empty_dsn, "base") == "base"
    assert {row[1] for row in catalogue(empty_dsn, whole=False) if row[0] in {"relation", "function"}} == {"alembic_version"}
    assert schema.migrate(empty_dsn) == REVISIONS[-1]
    assert catalogue(empty_dsn, whole=False) == seen[REVISIONS[-1]]


@pytest.mark.parametrize("start", ["0001", "0002"])
def test_a_filled_database_keeps_every_row(empty_dsn: str, start: str) -> None:
    """Up step by step and down again: rows and checksums of what is kept are equal, and so are the timeframes once refreshed."""
    make_filled(empty_dsn, start)
    before = content(empty_dsn)
    assert all(rows > 0 for name, (rows, _) in before.items() if name not in {"signal_outcomes"}), before
    for revision in REVISIONS[REVISIONS.index(start) + 1 :]:
        schema.migrate(empty_dsn, revision)
        now = content(empty_dsn, TIMEFRAMES)
        assert {name: now[name] for name in before if name not in TIMEFRAMES} == {
            name: value for name, value in before.items() if name not in TIMEFRAMES
        }, f"at revision {revision}"
    refresh(empty_dsn)
    assert {name: content(empty_dsn)[name] for name in before} == before
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute('SELECT count(*), min(rsi), max("odd ""name") FROM features_f5').fetchone() == (450, 1.0, -2.0)
    for revision in reversed(REVISIONS[REVISIONS.index(start) : -1]):
        schema.migrate(empty_dsn, revision)
    assert content(empty_dsn) == before


def test_the_way_down_makes_up_what_the_timeframes_lack(empty_dsn: str) -> None:
    make_filled(empty_dsn, "0002")
    before = content(empty_dsn)
    schema.migrate(empty_dsn)
    schema.migrate(empty_dsn, "0002")  # without a refresh between
    assert content(empty_dsn) == before
    schema.migrate(empty_dsn)
    gone = "ts BETWEEN '2024-01-30 04:00+00' AND '2024-01-30 06:00+00'"
    run(empty_dsn, f"DELETE FROM ohlcv_1min WHERE {gone}; SELECT note_rollups('{{7,41,300}}', '2024-01-30', '2024-01-31')")
    schema.migrate(empty_dsn, "0002")
    with psycopg.connect(empty_dsn) as connection:
        minutes = connection.execute("SELECT count(*) FROM ohlcv_1min").fetchone()
        for name in TIMEFRAMES:
            assert connection.execute(f"SELECT sum(n_minutes) FROM {name}").fetchone() == minutes, name


def test_the_way_down_refuses_to_lose_rows(empty_dsn: str) -> None:
    make_filled(empty_dsn, "0002")
    before = content(empty_dsn)
    with pytest.raises(StorageError, match=r"way down from revision 0002 loses the rows of instrument_listings, .*broker_origin"):
        schema.migrate(empty_dsn, "0001")
    assert (content(empty_dsn), schema.current(empty_dsn)[0]) == (before, "0002")
    assert schema.migrate(empty_dsn, "0001", lose_data=True) == "0001"
    assert content(empty_dsn)["ohlcv_1min"] == before["ohlcv_1min"]
    with pytest.raises(StorageError, match="loses the rows of ohlcv_1min, bar_superseded"):
        schema.migrate(empty_dsn, "base")
    assert schema.migrate(empty_dsn, "base", lose_data=True) == "base"
    assert content(empty_dsn) == {}
    assert schema.migrate(empty_dsn) == REVISIONS[-1]


def test_a_script_makes_the_same_schema(empty_dsn: str, dsn: str) -> None:
    """``--sql`` from nothing, and from a revision in between."""
    hyper = bool(psycopg.connect(dsn).execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone())
    run(empty_dsn, script(timescaledb=hyper))
    wanted = catalogue(dsn)
    assert catalogue(empty_dsn) ^ wanted == set()
    assert schema.current(empty_dsn)[0] == REVISIONS[-1]
    run(empty_dsn, script("0002", REVISIONS[-1], timescaledb=hyper))
    assert schema.current(empty_dsn)[0] == "0002"
    run(empty_dsn, script(start="0002", timescaledb=hyper))
    assert catalogue(empty_dsn) ^ wanted == set()
    with pytest.raises(psycopg.errors.RaiseException, match=f"expected schema revision 0002, found {REVISIONS[-1]}"):
        run(empty_dsn, script(start="0002", timescaledb=hyper))
    assert catalogue(empty_dsn) ^ wanted == set()


def run(dsn: str, text: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(text.encode())


def test_unknown_revisions_and_plans(dsn: str) -> None:
    with pytest.raises(StorageError, match="expected one of the revisions base, 0001, .* or head, found '12'"):
        schema.migrate(dsn, "12")
    assert schema.plan(dsn) == []
    down = schema.plan(dsn, "0001")
    assert [step.id for step in down] == REVISIONS[:0:-1]
    assert all(step.applied and step.made and step.title for step in down)
    assert schema.history(dsn)[0].applied


def test_processes_at_once_take_turns(empty_dsn: str) -> None:
    code = "import os; from intraday.database.schema import init; print(init(os.environ['AT']))"
    children = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "AT": empty_dsn}, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [child.communicate(timeout=120)[0].strip() for child in children] == [REVISIONS[-1]] * 3


def test_who_is_in_the_way_is_named(dsn: str) -> None:
    before = catalogue(dsn)
    with psycopg.connect(dsn, application_name="intraday live") as other:
        other.execute("SELECT * FROM runs")
        with pytest.raises(
            StorageUnavailable, match=r"all tables for a moment, and intraday live \(server process \d+\) did not let go"
        ):
            schema.migrate(dsn, "0002", patience=2)
    assert (catalogue(dsn), schema.current(dsn)[0]) == (before, REVISIONS[-1])


def test_a_running_writer_and_a_migration_never_deadlock(dsn: str) -> None:
    """Writers that go through the tables in opposite orders; migrations get in between; every acknowledged row is there."""
    over, stored, errors = threading.Event(), [0, 0], []

    def write(which: int, tables: list[str]) -> None:
        try:
            with psycopg.connect(dsn) as connection:
                while not over.is_set():
                    for table in tables:
                        connection.execute(INSERTS[table])
                    connection.commit()
                    stored[which] += 1
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(k, sorted(INSERTS, reverse=bool(k)))) for k in range(2)]
    for thread in threads:
        thread.start()
    try:
        for revision in ("0001", "head", "0002", "head"):
            schema.migrate(dsn, revision)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert min(stored) > 0
    with psycopg.connect(dsn) as connection:
        for table in INSERTS:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (sum(stored),), table


INSERTS = {
    "events": "INSERT INTO events (at, kind, detail) VALUES (now(), 'x', '{}')",
    "quarantine": "INSERT INTO quarantine VALUES (gen_random_uuid()::text::bytea, 's', 'o', now(), 'r', '{}')",
    "runs": "INSERT INTO runs (id, command, config, started_at) VALUES (gen_random_uuid()::text, 'c', '{}', now())",
}


def test_a_migration_that_fails_leaves_the_revision_that_was_there(empty_dsn: str) -> None:
    schema.migrate(empty_dsn, "0003")
    run(empty_dsn, "CREATE VIEW data_quality AS SELECT 'a view of the user' AS what")
    before = catalogue(empty_dsn)
    with pytest.raises(StorageError, match='"data_quality" already exists'):
        schema.migrate(empty_dsn)
    assert (catalogue(empty_dsn), schema.current(empty_dsn)[0]) == (before, "0003")
    run(empty_dsn, "DROP VIEW data_quality")
    assert schema.migrate(empty_dsn) == REVISIONS[-1]


def test_a_migration_that_is_killed_leaves_the_revision_that_was_there(empty_dsn: str) -> None:
    schema.migrate(empty_dsn, "0003")
    before = catalogue(empty_dsn)
    with slow_view(empty_dsn), ThreadPoolExecutor(1) as pool:
        migration = pool.submit(schema.migrate, empty_dsn)
        with psycopg.connect(empty_dsn, autocommit=True) as connection:
            wait_until(lambda: connection.execute(STOP).rowcount > 0)
        with pytest.raises(StorageUnavailable, match="no connection to the database"):
            migration.result(60)
    assert (catalogue(empty_dsn), schema.current(empty_dsn)[0]) == (before, "0003")
    assert schema.migrate(empty_dsn) == REVISIONS[-1]


STOP = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event = 'PgSleep' AND application_name = 'intraday db migrate'"""


@contextmanager
def slow_view(dsn: str) -> Iterator[None]:
    """The server dozes over the making of a view, in the middle of 0004."""
    run(
        dsn,
        """CREATE SCHEMA doze;
           CREATE FUNCTION doze.off() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END';
           CREATE EVENT TRIGGER doze ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION doze.off()""",
    )
    try:
        yield
    finally:
        run(dsn, "DROP EVENT TRIGGER doze; DROP SCHEMA doze CASCADE")


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if reached():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it never happened")
