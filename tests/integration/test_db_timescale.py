"""Servers that would lie are refused; TimescaleDB's compression changes no answer, and neither do anybody's session settings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chunk_cases import compress_all, has_timescale, rows
from contract_cases import contents
from contract_scenario import Scenario
from intraday.database import schema, timescale
from intraday.database.embedded import EmbeddedServer
from intraday.database.pool import Database
from intraday.domain.errors import StorageError
from other_servers import QUICK, installations

pytestmark = pytest.mark.integration
SETTING = """CREATE FUNCTION shadow.current_setting(text) RETURNS text LANGUAGE sql AS
  $$ SELECT CASE WHEN $1 = '{0}' THEN '{1}' ELSE pg_catalog.current_setting($1) END $$"""
WRITING = ("write", "clear", "refresh", "store", "save_gaps")  # calls after which something may be uncompressed
EXTENSION = "CREATE TABLE shadow.pg_extension AS SELECT extname, '{0}'::text AS extversion FROM pg_catalog.pg_extension"


@pytest.fixture
def session(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of our own, in which the schema ``shadow`` is looked in before the server's catalogue."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shadow")
        connection.execute("SET search_path = shadow, pg_catalog, public")
        yield connection


@pytest.fixture
def hyper(database: Database) -> Database:
    if not has_timescale(database):
        pytest.skip("plain PostgreSQL")
    return database


# -------------------------------------------------------------------------------------------------------------- refusals


def test_an_honest_server_is_accepted_whatever_its_time_zone(session: psycopg.Connection[Any]) -> None:
    session.execute("SET TIME ZONE 'Asia/Kolkata'")
    timescale.check(session)
    assert session.execute("SHOW TimeZone").fetchone() == ("UTC",)


@pytest.mark.parametrize(
    ("shadow", "said"),
    [
        ("CREATE FUNCTION shadow.pg_backend_pid() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "pooler.*database.dsn"),
        (SETTING.format("TimeZone", "Asia/Kolkata"), "pooler.*found Asia/Kolkata"),
        ("CREATE FUNCTION shadow.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'", "standby.*the primary"),
        (SETTING.format("standard_conforming_strings", "off"), "standard_conforming_strings .*found off and on: ALTER DATABASE"),
        (SETTING.format("integer_datetimes", "off"), "integer_datetimes to be on, found on and off"),
    ],
)
def test_a_server_that_would_lie_is_refused(session: psycopg.Connection[Any], shadow: str, said: str) -> None:
    session.execute(shadow)
    with pytest.raises(StorageError, match=said):
        timescale.check(session)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("2.27.2", "expected TimescaleDB 2.28 or newer, found 2.27.2: update the server's package"),
        ("2.9.1", "expected TimescaleDB 2.28 or newer, found 2.9.1"),
        ("2.999.0-dev", "found 2.999.0-dev in this database .*ALTER EXTENSION timescaledb UPDATE"),
    ],
)
def test_another_extension_than_the_servers_is_refused(session: psycopg.Connection[Any], found: str, said: str) -> None:
    if not timescale.installed(session):
        pytest.skip("plain PostgreSQL")
    session.execute(EXTENSION.format(found))
    with pytest.raises(StorageError, match=said):
        timescale.check(session)


def test_an_extension_that_is_switched_off_is_refused(hyper: Database) -> None:
    name = rows(hyper, "SELECT current_database()")[0][0]
    with hyper.autocommit() as connection:
        connection.execute(f"ALTER DATABASE {name} SET timescaledb.disable_load = on")
    with Database(hyper.dsn) as other, pytest.raises(StorageError, match=r"timescaledb.disable_load off"), other.autocommit():
        pass


def test_a_role_that_may_not_read_settings_is_told_the_truth(session: psycopg.Connection[Any]) -> None:
    session.execute("SET search_path = public")
    expected = timescale.preloaded(session)
    assert expected == timescale.installed(session)
    role = f"nobody_{secrets.token_hex(6)}"
    session.execute(f"CREATE ROLE {role}")
    try:
        session.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SHOW shared_preload_libraries")
        assert timescale.preloaded(session) == expected
    finally:
        session.execute("RESET ROLE")
        session.execute(f"DROP ROLE {role}")


@pytest.mark.slow
def test_the_licence_and_the_preload_of_a_real_server(folder: Path) -> None:
    """Made with the apache licence, then started without the library: rows of compressed chunks would vanish."""
    found = [i for i in installations() if i.has_timescale]
    if not found:
        pytest.skip("no PostgreSQL of this machine has TimescaleDB")
    preload = {"shared_preload_libraries": "'timescaledb'", "timescaledb.telemetry_level": "off"}
    apache = {**QUICK, **preload, "timescaledb.license": "apache"}
    with EmbeddedServer(folder, bindir=found[-1].bindir, settings=apache) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        with pytest.raises(StorageError, match="licence 'apache'.*timescaledb.license = 'timescale'"):
            schema.init(server.dsn)
    with EmbeddedServer(folder, bindir=found[-1].bindir, settings=QUICK) as server:
        with pytest.raises(StorageError, match="expected 'timescaledb' in shared_preload_libraries"):
            schema.init(server.dsn)


REAL_TIME = "ALTER MATERIALIZED VIEW ohlcv_15min SET (timescaledb.materialized_only = false)"
OTHER = """
DROP MATERIALIZED VIEW ohlcv_60min CASCADE;
CREATE MATERIALIZED VIEW ohlcv_60min WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT instrument_id, time_bucket({0}) AS ts, max(high) AS high FROM ohlcv_1min GROUP BY 1, 2 WITH NO DATA"""


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        (REAL_TIME, "expected ohlcv_15min .*materialized_only false.*SET \\(timescaledb.materialized_only = true\\)"),
        (OTHER.format("'60 minutes', ts"), "expected ohlcv_60min .*origin None"),
        (OTHER.format("'60 minutes', ts, origin => '2000-01-03 03:30+00'::timestamptz"), "ohlcv_60min .*origin 2000-01-03 03:30"),
        (OTHER.format("'30 minutes', ts, origin => '2000-01-03 03:45+00'::timestamptz"), "ohlcv_60min .*width 00:30:00"),
    ],
)
def test_an_altered_aggregate_is_refused(hyper: Database, altered: str, said: str) -> None:
    with hyper.autocommit() as connection:
        for statement in altered.split(";"):
            connection.execute(statement)
    with Database(hyper.dsn) as other, pytest.raises(StorageError, match=said), other.autocommit():
        pass


def test_an_aggregate_that_was_mended_is_accepted(hyper: Database) -> None:
    with hyper.autocommit() as connection:
        connection.execute(REAL_TIME)
        connection.execute(REAL_TIME.replace("false", "true"))
        timescale.check(connection)


# ---------------------------------------------------------------------------------------------------- what must not matter


def story(dsn: str, folder: Path, after: Callable[[Database], object] | None = None) -> tuple[list[str], list[str]]:
    """(every answer of the contract's story, every row at its end); ``after`` is called after each write."""
    with Database(dsn) as database:
        scenario = Scenario(database, folder)
        if after is not None:
            note = scenario.stores.note

            def noted(name: str, result: Any) -> None:
                note(name, result)
                if name.endswith(WRITING):
                    after(database)

            scenario.stores.note = noted  # type: ignore[method-assign]
        asyncio.run(scenario.tell())
        return scenario.stores.lines, contents(database)


@pytest.mark.slow
def test_everything_works_on_compressed_chunks(hyper: Database, tmp_path: Path, backend: Any) -> None:
    """Every call of every method finds all that was written before it compressed: nothing differs."""
    plain = backend.create()
    compressed = [0]

    def compress(database: Database) -> None:
        compressed[0] += compress_all(database)

    try:
        expected = story(plain, tmp_path)
        answers, rows_left = story(hyper.dsn, tmp_path, compress)
    finally:
        backend.drop(plain)
    assert compressed[0] > 40
    assert answers == expected[0]
    assert rows_left == expected[1]


@pytest.mark.slow
def test_session_settings_of_others_change_no_answer(database: Database, tmp_path: Path, backend: Any) -> None:
    plain = backend.create()
    name = rows(database, "SELECT current_database()")[0][0]
    settings = {
        "timezone": "'Asia/Kolkata'", "datestyle": "'German'", "intervalstyle": "'sql_standard'", "bytea_output": "'escape'",
        "extra_float_digits": "-3", "client_encoding": "'LATIN1'",
    }  # fmt: skip
    with database.autocommit() as connection:
        for setting, value in settings.items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = {value}")
    try:
        assert story(database.dsn, tmp_path)[0] == story(plain, tmp_path)[0]
    finally:
        backend.drop(plain)


@pytest.mark.slow
def test_a_correction_of_more_than_a_hundred_thousand_compressed_rows(database: Database) -> None:
    """TimescaleDB's limit a transaction, which our sessions lift; a plain server ignores the setting."""
    fill = """INSERT INTO labels SELECT 1 + n % 20, '2025-01-02 00:00+00'::timestamptz + n / 20 * interval '1 minute', now(), now(),
                0, 0, 0, 0, 0, 'x' FROM generate_series(0, 119999) n"""
    with database.autocommit() as connection:
        connection.execute("INSERT INTO label_sets VALUES ('x', '{}')")
        connection.execute("SELECT ensure_partitions('labels', '2025-01-02', '2025-01-10')")
        connection.execute(fill)
        compress_all(database)
        if timescale.installed(connection):
            with psycopg.connect(database.dsn) as other, pytest.raises(psycopg.Error, match="decompression limit"):
                other.execute("UPDATE labels SET label = 1")
        assert connection.execute("UPDATE labels SET label = 1").rowcount == 120_000
