"""Everything from one database to another and back: plain PostgreSQL to whatever server the test runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from database_cases import Backend
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.digests import DATA_TABLES, digests
from intraday.database.embedded import EmbeddedServer
from intraday.database.moving import Moved, Mover
from intraday.database.moving_tables import OTHERS, PARTS, SERIES, STAYING, tables
from intraday.database.pool import Database
from intraday.database.rollups import TIMEFRAMES
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, StorageError
from intraday.jobs.move import move as run_move
from intraday.jobs.verify import run_verify
from job_cases import quiet, settings_on

pytestmark = pytest.mark.integration


@pytest.fixture
def plain(embedded: EmbeddedServer) -> Iterator[str]:
    """A migrated, empty database of our own server, whatever the backend."""
    server = Backend("postgresql", embedded.dsn)
    found = server.create()
    yield found
    server.drop(found)
    server.close()


def contents(database: Database) -> dict[str, tuple[int, str]]:
    return {name: (d.rows, d.content) for name, d in digests(database, (*DATA_TABLES, *TIMEFRAMES)).items()}


def move(source: Database, target: Database) -> Moved:
    return Mover(source, target, quiet).run()


def test_a_lived_database_goes_and_comes_back(lived_dsn: str, plain: str, backend: Backend) -> None:
    """To plain PostgreSQL and from there to a third database: what the first had, row by row, timeframes and views included."""
    third = backend.create()
    with Database(lived_dsn) as first, Database(plain) as second, Database(third) as last:
        there = move(first, second)
        assert contents(second) == contents(first)
        assert (there.resumed, there.again, there.timeframe_differences) == (0, 0, 0)
        move(second, last)
        assert contents(last) == contents(first)
        with first.autocommit() as a, last.autocommit() as b:
            named = f'SELECT * FROM "features_{a.execute("SELECT id FROM feature_sets").fetchone()[0]}" ORDER BY 1, 2, 3 LIMIT 5'
            assert repr(a.execute(named).fetchall()) == repr(b.execute(named).fetchall())  # NaN is NaN
            events = "SELECT count(*), max(id) FROM events"
            assert a.execute(events).fetchone() == b.execute(events).fetchone()
            b.execute("INSERT INTO events (at, kind, detail) VALUES (now(), 'test', '{}')")  # numbers go on after the moved ones
            assert b.execute("SELECT to_regclass(%s)", (PARTS,)).fetchone() == (None,)
    backend.drop(third)


def test_the_moved_system_verifies(lived: Settings, jobs_dir: Path, plain: str) -> None:
    with Database(lived.database.dsn_text or "") as first, Database(plain) as second:
        move(first, second)
    moved = settings_on(plain, jobs_dir)
    found = run_verify(moved, None, None, SystemClock(), quiet)
    assert all(check.passed for check in found.checks), found.differences[:5]


def test_every_table_is_taken_along(database: Database) -> None:
    series, others = tables(database)
    assert [table.name for table in series] == list(SERIES)
    names = [table.name for table in others]
    with database.autocommit() as connection:
        rows = connection.execute(
            """SELECT relname FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"""
        ).fetchall()
    assert {row[0] for row in rows} - set(TIMEFRAMES) == {*names, *SERIES, *STAYING}
    assert sorted(names) == sorted(OTHERS)
    for table in others:
        assert all(names.index(other) < names.index(table.name) for other in table.refers_to if other != table.name)


def test_a_move_goes_on_where_it_stopped(lived_dsn: str, plain: str) -> None:
    """Stopped after every part in turn; each goes on after the last one."""

    class Stopped(Exception):
        pass

    seen: list[int] = []

    def until(limit: int) -> None:
        with Database(lived_dsn) as first, Database(plain) as second:

            def progress(what: str, done: int, total: int) -> None:
                if what == "copy":
                    seen.append(total)
                    if done == limit < total:
                        raise Stopped

            Mover(first, second, progress).run()

    for limit in range(1, 4):
        with pytest.raises(Stopped):
            until(limit)
    with Database(lived_dsn) as first, Database(plain) as second:
        assert Mover(first, second, quiet).run().resumed == 3
        assert contents(second) == contents(first)


def test_what_changes_meanwhile_is_copied_again(lived_dsn: str, plain: str) -> None:
    """A vector, a version and a model's verdict change, and a signal goes, after they were copied."""
    with Database(lived_dsn) as first, Database(plain) as second:
        changed = []

        def progress(what: str, done: int, total: int) -> None:
            if what == "copy" and done == total and not changed:
                with first.transaction() as connection:
                    changed.append(
                        connection.execute(
                            "UPDATE features SET vector = vector || '\\x00' WHERE ts = (SELECT max(ts) FROM features)"
                        ).rowcount
                    )
                    changed.append(connection.execute("UPDATE models SET verdict = 'not enough data'").rowcount)
                    changed.append(connection.execute("DELETE FROM signals WHERE ts = (SELECT max(ts) FROM signals)").rowcount)

        moved = Mover(first, second, progress).run()
        assert min(changed) > 0
        assert moved.again == 2
        assert contents(second) == contents(first)


def test_timeframes_outlive_the_minutes_they_were_made_of(lived_dsn: str, plain: str, backend: Backend) -> None:
    """Retention dropped the minutes: the timeframes can't be made again, so they travel."""
    third = backend.create()
    with Database(lived_dsn) as first, Database(plain) as second, Database(third) as last:
        with first.transaction() as connection:
            connection.execute(
                "INSERT INTO kept_from VALUES ('bars', (SELECT max(date_bin('7 days', ts, '1970-01-01 00:00+00')) FROM ohlcv_1min))"
            )
            gone = connection.execute("DELETE FROM ohlcv_1min WHERE ts < (SELECT ts FROM kept_from)").rowcount
        assert gone > 1000
        before = contents(first)
        move(first, second)
        move(second, last)
        assert contents(last) == contents(second) == before
    backend.drop(third)


def test_a_target_with_data_is_refused(lived_dsn: str, dsn: str, plain: str) -> None:
    with Database(lived_dsn) as first, Database(plain) as second:
        with second.transaction() as connection:
            connection.execute(
                "INSERT INTO instruments (exchange, symbol, kind, tick_size, lot_size) VALUES ('NSE', 'X', 'equity', 5, 1)"
            )
        with pytest.raises(ConfigError, match="expected an empty database to move to, found rows in instruments"):
            move(first, second)
        with pytest.raises(ConfigError, match="names the database that is to be moved"):
            move(first, first)
        with second.transaction() as connection:
            connection.execute("DELETE FROM instruments")
            connection.execute(f"CREATE TABLE {PARTS} (source text NOT NULL, part text PRIMARY KEY)")
            connection.execute(f"INSERT INTO {PARTS} VALUES ('1/2', '')")
        with pytest.raises(ConfigError, match="unfinished move of another database"):
            move(first, second)


def test_a_writer_that_goes_on_is_named(lived_dsn: str, plain: str) -> None:
    """The last comparison needs a source that holds still."""
    with Database(lived_dsn) as first, Database(plain) as second, psycopg.connect(lived_dsn) as writer:
        writer.execute("INSERT INTO events (at, kind, detail) VALUES (now(), 'test', '{}')")
        with pytest.raises(StorageError, match="still writes to the source and did not stop within 1 s"):
            Mover(first, second, quiet, lock_wait_s=1).run()
        writer.rollback()
        move(first, second)
        assert contents(second) == contents(first)


def test_a_half_moved_database_is_no_database(lived: Settings, lived_dsn: str, plain: str, jobs_dir: Path) -> None:
    """Nothing works on it until the move is finished: what was written there would be lost with the rest of the move."""

    def stop(what: str, done: int, total: int) -> None:
        if what == "verify":
            raise KeyboardInterrupt

    with Database(lived_dsn) as first, Database(plain) as second:
        with pytest.raises(KeyboardInterrupt):
            Mover(first, second, stop).run()
        with pytest.raises(StorageError, match="a move into this database is not finished"):
            run_verify(settings_on(plain, jobs_dir), None, None, SystemClock(), quiet)
    assert run_move(lived, plain, SystemClock(), quiet).resumed > 0
    assert run_verify(settings_on(plain, jobs_dir), None, None, SystemClock(), quiet).checks


def test_no_live_run_goes_on_beside_a_move(lived: Settings, lived_dsn: str, plain: str) -> None:
    with Database(lived_dsn) as first, first.exclusive("live"), pytest.raises(ConfigError, match="another `intraday live`"):
        run_move(lived, plain, SystemClock(), quiet)


def test_a_strangers_database_is_left_alone(lived: Settings, empty_dsn: str) -> None:
    with Database(empty_dsn) as second:
        with second.autocommit() as connection:
            connection.execute("CREATE TABLE customers (id integer)")
        with pytest.raises(ConfigError, match="found customers, which is not ours"):
            run_move(lived, empty_dsn, SystemClock(), quiet)
        with second.autocommit() as connection:
            assert connection.execute("SELECT to_regclass('instruments')").fetchone() == (None,)


def test_the_users_own_tables_stay_where_they_are(lived_dsn: str, plain: str) -> None:
    with Database(lived_dsn) as first, Database(plain) as second:
        with first.autocommit() as connection:
            connection.execute("CREATE TABLE notes_of_mine (id integer)")
        move(first, second)
        assert contents(second) == contents(first)


def test_other_tables_are_refused(lived_dsn: str, plain: str) -> None:
    schema.init(plain)
    with Database(lived_dsn) as first, Database(plain) as second:
        with second.transaction() as connection:
            connection.execute("ALTER TABLE alerts ADD COLUMN more text")
        with pytest.raises(StorageError, match="different tables"):
            move(first, second)
