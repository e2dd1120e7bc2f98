"""What differs between plain PostgreSQL and TimescaleDB: only how a time series is cut up."""

from __future__ import annotations

import threading

import pytest

from intraday.database import schema, timescale
from intraday.database.embedded import EmbeddedServer
from intraday.database.pool import Database, check_server
from intraday.domain.errors import StorageError

pytestmark = pytest.mark.integration
SERIES = ["bar_superseded", "features", "labels", "ohlcv_1min", "signals"]


def test_time_series_are_partitions_or_hypertables(database: Database) -> None:
    with database.autocommit() as connection:
        parted = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        if timescale.installed(connection):
            hyper = connection.execute(
                "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'public' ORDER BY 1"
            ).fetchall()
            assert ([row[0] for row in hyper], parted) == (SERIES, [])
        else:
            assert [row[0] for row in parted] == SERIES


def test_the_columns_are_the_same_on_both(database: Database) -> None:
    with database.autocommit() as connection:
        rows = connection.execute(
            """SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns
               WHERE table_name = ANY (%s) GROUP BY 1 ORDER BY 1""",
            (SERIES,),
        ).fetchall()
    assert dict(rows)["features"] == "instrument_id ts source feature_set_id vector"
    assert dict(rows)["ohlcv_1min"] == "instrument_id ts open high low close volume n_ticks version known_at source flags"


def test_starters_at_once_take_turns(empty_dsn: str) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            schema.init(empty_dsn)
        except BaseException as error:  # noqa: BLE001  shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found, head = schema.current(empty_dsn)
    assert found == head


def test_every_connection_is_in_utc(database: Database) -> None:
    with database.autocommit() as connection:
        connection.execute("SELECT set_config('timezone', 'UTC', false)")
        name = connection.execute("SELECT current_database()").fetchone()
        assert name is not None
        connection.execute(f"ALTER DATABASE {name[0]} SET timezone = 'Asia/Kolkata'")
    with Database(database.dsn) as other, other.autocommit() as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_a_server_without_preload_is_refused(embedded: EmbeddedServer) -> None:
    """A catalogue that names the extension on a server that does not load it: rows would vanish without an error."""
    with Database(embedded.dsn) as database, database.autocommit() as connection:
        assert not timescale.preloaded(connection)
        check_server(connection)
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL allow_system_table_mods = on")
            connection.execute("UPDATE pg_extension SET extname = 'timescaledb' WHERE extname = 'plpgsql'")
            with pytest.raises(StorageError, match="expected 'timescaledb' in shared_preload_libraries"):
                check_server(connection)


def test_another_encoding_is_refused(embedded: EmbeddedServer) -> None:
    with Database(embedded.dsn) as database, database.autocommit() as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with (
        Database(embedded.dsn.replace("/intraday?", "/latin?")) as database,
        pytest.raises(StorageError, match="expected a database with encoding UTF8, found LATIN1"),
    ):
        database.autocommit().__enter__()
