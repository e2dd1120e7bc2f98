"""The three roles: a writer runs the program, a reader reads everything and writes nothing, an owner migrates; and without them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from database_cases import Backend
from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.pool import Database
from intraday.database.revisions import Chain
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import BAR, GRID_ORIGIN_NS, MINUTE_NS, empty
from intraday.domain.clock import SystemClock
from intraday.domain.errors import StorageError
from intraday.domain.ports import Source
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from job_cases import quiet, settings_on

pytestmark = pytest.mark.integration
HEAD = Chain().head
Login = Callable[[str, str], str]


@pytest.fixture
def login(dsn: str) -> Iterator[Login]:
    """A login role of its own, member of a group role, on a database: its DSN."""
    made: list[str] = []

    def make(on: str, clause: str) -> str:
        name, password = f"test_{secrets.token_hex(4)}", secrets.token_hex(8)
        with psycopg.connect(on, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {clause}")
        made.append(name)
        return re.sub(r"//[^@]*@", f"//{name}:{password}@", on)

    yield make
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in made:
            connection.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE IF EXISTS {name}")


def refused(dsn: str, statement: str) -> bool:
    try:
        with psycopg.connect(dsn) as connection:
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_a_writer_runs_the_program(dsn: str, backend: Backend, login: Login, tmp_path: Path) -> None:
    """HISTORICAL_MODE and a live session; what only the owner may do is left to the owner."""
    writer = login(dsn, "IN ROLE intraday_writer")
    settings = settings_on(writer, tmp_path / "var")
    run_historical(settings, SystemClock(), quiet)
    run_live(settings, SystemClock(), quiet)
    with Database(dsn) as owner:
        rollups = RollupRepository(owner)
        assert (rollups.pending() > 0) == (backend.kind != "postgresql"), "a continuous aggregate is its owner's"
        rollups.refresh()
        with owner.autocommit() as connection:
            minutes = connection.execute("SELECT count(*) FROM ohlcv_1min").fetchone()
            assert minutes == connection.execute("SELECT sum(n_minutes) FROM ohlcv_60min").fetchone()
            assert minutes and minutes[0] > 0
            assert connection.execute("SELECT count(*) > 0 FROM signals").fetchone() == (True,)
    for statement in (
        "CREATE TABLE mine (a integer)",
        "DROP TABLE events",
        "ALTER TABLE events ADD a integer",
        "UPDATE alembic_version SET version_num = '0001'",
        "TRUNCATE events",
        "DELETE FROM events",
        "UPDATE events SET kind = 'x'",
        "UPDATE promotions SET reason = 'x'",
        "DELETE FROM promotions",
        "DELETE FROM trials",
        "DELETE FROM comparisons",
        "INSERT INTO kept_from VALUES ('bars', now())",
        "UPDATE kept_from SET ts = now()",
        "DELETE FROM kept_from",
    ):
        assert refused(writer, statement), statement
    assert not refused(writer, "CREATE TABLE optuna.studies (a integer)")


def test_a_late_bar_of_a_writer_waits_for_the_owner(dsn: str, backend: Backend, login: Login) -> None:
    bars = empty(BAR, 3)
    bars["ts_ns"] = GRID_ORIGIN_NS + MINUTE_NS * np.arange(3)
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = 100.0
    with Database(login(dsn, "IN ROLE intraday_writer")) as database:
        BarRepository(database).write([1], bars, Source.IMPORT, 5)
        done = RollupRepository(database).refresh()
        assert (done, RollupRepository(database).pending()) == ((1, 0) if backend.kind == "postgresql" else (0, 1))
    with Database(dsn) as database:
        RollupRepository(database).refresh()
        with database.autocommit() as connection:
            assert connection.execute("SELECT n_minutes FROM ohlcv_60min").fetchall() == [(3,)]


def test_a_reader_reads_everything_and_writes_nothing(lived_dsn: str, login: Login) -> None:
    reader = login(lived_dsn, "IN ROLE intraday_reader")
    with psycopg.connect(reader) as connection:
        names = connection.execute(
            """SELECT c.relname, c.relkind::text FROM pg_class c
               WHERE relnamespace = 'public'::regnamespace AND NOT relispartition AND relkind IN ('r', 'p', 'v')
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"""
        ).fetchall()
        assert any(name.startswith("features_") and name != "features" for name, _ in names)
        for name, _ in names:
            connection.execute(f'SELECT * FROM "{name}" LIMIT 1')
    with Database(reader) as database:  # the checks on connecting, and bulk reads
        assert database.arrow("SELECT * FROM ohlcv_1min").num_rows > 0
    for name, kind in names:
        if kind != "v":
            assert refused(reader, f'DELETE FROM "{name}"'), name
    for call in ("ensure_partitions('ohlcv_1min', now(), now())", "create_feature_view('x')", "grant_roles()"):
        assert refused(reader, f"SELECT {call}"), call
    assert refused(reader, "INSERT INTO events (at, kind, detail) VALUES (now(), 'x', '{}')")
    assert refused(reader, "CREATE TABLE mine (a integer)")


def test_upkeep_is_the_owners(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            """SELECT proname, has_function_privilege('intraday_reader', oid, 'EXECUTE'),
                 has_function_privilege('intraday_writer', oid, 'EXECUTE')
               FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname IN
                 ('drop_before', 'drop_old', 'refresh_noted', 'run_maintenance', 'refresh_rollups', 'make_rollups')"""
        ).fetchall()
    assert len(found) == 4
    assert {name for name, reader, _ in found if reader} == set()
    assert {name for name, _, writer in found if writer} <= {"refresh_rollups", "make_rollups"}


def test_what_others_keep_in_the_schema_stays_theirs(dsn: str, login: Login) -> None:
    other, reader, owner = login(dsn, ""), login(dsn, "IN ROLE intraday_reader"), login(dsn, "IN ROLE intraday_owner")
    with psycopg.connect(dsn) as connection:
        connection.execute(f"GRANT CREATE ON SCHEMA public TO {other.split('//')[1].split(':')[0]}")
    with psycopg.connect(other) as connection:
        connection.execute("CREATE TABLE passwords (secret text)")
        connection.execute("CREATE TYPE mood AS ENUM ('ok')")
        connection.execute("CREATE FUNCTION other_f() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    assert schema.migrate(owner, "0006") == "0006", "their tables are not locked either"
    assert schema.migrate(owner) == HEAD
    with psycopg.connect(other) as connection:
        connection.execute("CREATE FUNCTION drop_before(integer) RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    assert schema.grant_roles(dsn) is None
    with psycopg.connect(other) as connection:
        connection.execute("ALTER TABLE passwords ADD x mood")
        connection.execute("CREATE OR REPLACE FUNCTION drop_before(integer) RETURNS integer LANGUAGE sql AS 'SELECT 2'")
    assert refused(reader, "SELECT * FROM passwords")
    assert not refused(reader, "SELECT other_f()")


def test_a_schema_of_the_users_own_name(empty_dsn: str, login: Login, backend: Backend) -> None:
    """``"$user"`` is another schema once we are intraday_owner: the tables stay in the one we came to."""
    mine = login(empty_dsn, "IN ROLE intraday_owner")
    name = mine.split("//")[1].split(":")[0]
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        if backend.kind != "postgresql":
            connection.execute("CREATE EXTENSION timescaledb")
        connection.execute(f"CREATE SCHEMA AUTHORIZATION {name}")
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    assert schema.migrate(mine, "0004") == "0004"
    assert schema.migrate(mine) == HEAD
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        found = "SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class WHERE relname IN ('alembic_version', 'run_locks')"
        assert connection.execute(found).fetchall() == [(name,)]
        connection.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
        connection.execute(f"DROP OWNED BY {name}")


def test_tables_in_another_schema_than_the_first_are_refused(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA mine")
    with pytest.raises(StorageError, match="expected the tables in schema mine, .* found them in public"):
        schema.migrate(make_conninfo(dsn, options="-csearch_path=mine,public"))


def test_an_owner_migrates(dsn: str, login: Login) -> None:
    owner = login(dsn, "IN ROLE intraday_owner")
    assert schema.migrate(owner, "0002") == "0002"
    assert schema.migrate(owner) == HEAD
    with psycopg.connect(dsn) as connection:
        strangers = connection.execute(
            """SELECT relname, relowner::regrole::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace
                 AND relowner <> 'intraday_owner'::regrole
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"""
        ).fetchall()
    assert strangers == []


def test_a_writer_does_not_migrate_and_is_told_what_to_do(dsn: str, login: Login) -> None:
    writer = login(dsn, "IN ROLE intraday_writer")
    assert schema.init(writer) == HEAD, "nothing to do is no trouble"
    assert schema.grant_roles(writer) is None
    schema.migrate(dsn, "0005")
    with pytest.raises(StorageError, match=r"this role may not change it .*intraday_owner"):
        schema.init(writer)
    assert schema.current(dsn)[0] == "0005"


def test_what_comes_later_has_the_same_rights(dsn: str, login: Login) -> None:
    """A month that needs partitions, and a set of features, both from a writer; a reader sees them."""
    writer, reader = login(dsn, "IN ROLE intraday_writer"), login(dsn, "IN ROLE intraday_reader")
    with psycopg.connect(writer) as connection:
        month = datetime(2031, 5, 1, tzinfo=UTC)
        connection.execute("SELECT ensure_partitions('features', %s, %s)", (month, month))
        connection.execute("INSERT INTO feature_sets VALUES ('later', 5, '{a}', '{}')")
        connection.execute("SELECT create_feature_view('later')")
        connection.execute("INSERT INTO features VALUES (1, '2031-05-03', 'tick', 'later', '\\x0000803f')")
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT instrument_id, a FROM features_later").fetchall() == [(1, 1.0)]


def test_a_plain_owner_of_a_database_keeps_the_tables(empty_dsn: str, dsn: str, login: Login, backend: Backend) -> None:
    """The roles exist and get their rights; who may not be intraday_owner stays the owner, and is told."""
    if backend.kind != "postgresql":
        with psycopg.connect(empty_dsn, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
    plain = login(dsn, "IN ROLE pg_read_all_settings")
    name = plain.split("//")[1].split(":")[0]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {empty_dsn.split('/')[3].split('?')[0]} OWNER TO {name}")
    mine = re.sub(r"//[^@]*@", re.search(r"//[^@]*@", plain)[0], empty_dsn)  # type: ignore[index]
    assert schema.init(mine) == HEAD
    missing = schema.grant_roles(mine)
    assert missing is not None
    assert "the tables stay with their owner" in missing
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        assert connection.execute("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'events'").fetchone() == (name,)
        assert connection.execute("SELECT has_table_privilege('intraday_reader', 'events', 'SELECT')").fetchone() == (True,)
        connection.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
        connection.execute(f"DROP OWNED BY {name}")


def test_databases_of_one_server_make_the_roles_at_once(backend: Backend) -> None:
    made = [backend.create() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(schema.grant_roles, made)) == [None] * 3
    for dsn in made:
        backend.drop(dsn)
