"""Retention and the server's own job beside writers: whoever is under way finishes first, and nobody waits for anybody for long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from chunk_cases import has_timescale, rows
from database_cases import Backend
from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.errors import Contended, mapped
from intraday.database.kept import check_kept
from intraday.database.maintenance import Policy, maintain
from intraday.database.pool import Connection, Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, Bars, empty
from intraday.domain.errors import StorageError
from intraday.domain.ports import Source

pytestmark = pytest.mark.integration
FIRST = datetime(2000, 1, 3, 3, 45, tzinfo=UTC)  # GRID_ORIGIN_NS
JOB = "CALL run_maintenance(0, '{\"compress_after_days\": 1}')"
CHUNKS = "SELECT count(*) FROM chunks_to_compress(now()) WHERE series = 'ohlcv_1min'"


def minutes(day: int = 0) -> Bars:
    bars = empty(BAR, 10)
    bars["ts_ns"] = GRID_ORIGIN_NS + day * DAY_NS + MINUTE_NS * np.arange(10)
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = 100.0
    return bars


@pytest.fixture
def hyper(database: Database) -> Database:
    if not has_timescale(database):
        pytest.skip("plain PostgreSQL has no jobs and no compression")
    return database


def test_a_writer_under_way_finishes_before_retention(database: Database) -> None:
    store, started, go_on = BarRepository(database), Event(), Event()

    def also(_: Connection) -> None:
        started.set()
        assert go_on.wait(60)

    def drop() -> None:
        with mapped(), database.autocommit() as connection:
            connection.execute("SELECT drop_before('bars', %s)", (FIRST + timedelta(days=30),))

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(store.write, [1], minutes(), Source.IMPORT, 1, also)
        try:
            assert started.wait(60)
            dropping = pool.submit(drop)
            waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
            while not dropping.done() and rows(database, waits) == [(0,)]:
                pass
            assert not dropping.done()
            with database.transaction() as connection:  # another writer does not queue behind it
                connection.execute("SET LOCAL lock_timeout = 1000")
                check_kept(connection, "bars", GRID_ORIGIN_NS)
        finally:
            go_on.set()
        assert writing.result().inserted == 10
        with pytest.raises(Contended, match="refresh them first"):
            dropping.result()
    RollupRepository(database).refresh()
    drop()
    assert rows(database, "SELECT (SELECT count(*) FROM ohlcv_1min), (SELECT sum(n_minutes) FROM ohlcv_60min)") == [(0, 10)]
    with pytest.raises(StorageError, match="retention dropped what is older"):
        store.write([1], minutes(), Source.IMPORT, 1)


def test_retention_of_one_series_waits_for_no_writer_of_another(database: Database) -> None:
    with database.transaction() as connection:
        check_kept(connection, "features", 0)
        with database.autocommit() as other:
            other.execute("SET statement_timeout = 10000")
            other.execute("SELECT drop_before('bars', %s)", (FIRST,))


def test_the_servers_job_leaves_a_chunk_that_is_written_to_the_next_time(hyper: Database) -> None:
    store = BarRepository(hyper)
    store.write([1], minutes(), Source.IMPORT, 1)
    store.write([1], minutes(20), Source.IMPORT, 1)
    RollupRepository(hyper).refresh()
    ((chunk,),) = rows(hyper, "SELECT chunk::text FROM chunks_to_compress(now()) WHERE series = 'ohlcv_1min' LIMIT 1")
    with hyper.transaction() as writer:
        writer.execute(f"LOCK TABLE {chunk} IN ROW EXCLUSIVE MODE")  # as an insert does
        with hyper.autocommit() as connection:
            connection.execute("SET statement_timeout = 20000")
            connection.execute(JOB)
        assert rows(hyper, CHUNKS) == [(1,)]
    with hyper.autocommit() as connection:
        connection.execute(JOB)
    assert rows(hyper, CHUNKS) == [(0,)]


def test_the_servers_job_finds_its_schema(empty_dsn: str, backend: Backend) -> None:
    """The scheduler looks in public, whatever the programs' search_path."""
    if backend.kind == "postgresql":
        pytest.skip("plain PostgreSQL has no jobs")
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ours")
        connection.execute("CREATE EXTENSION timescaledb SCHEMA public")
    mine = make_conninfo(empty_dsn, options="-csearch_path=ours,public")
    schema.init(mine)
    with Database(mine) as database:
        maintain(database, Policy({}, 7), GRID_ORIGIN_NS)
        BarRepository(database).write([1], minutes(), Source.IMPORT, 1)
        with psycopg.connect(empty_dsn, autocommit=True) as connection:
            job = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'run_maintenance'"
            connection.execute("CALL run_job((%s))", connection.execute(job).fetchone())
            assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
        assert rows(database, CHUNKS) == [(0,)]
        assert rows(database, "SELECT sum(n_minutes) FROM ohlcv_60min") == [(10,)]


def test_who_may_not_refresh_keeps_no_lock(hyper: Database) -> None:
    with hyper.autocommit() as connection:
        connection.execute("GRANT EXECUTE ON PROCEDURE refresh_noted TO intraday_writer")
        connection.execute("SET ROLE intraday_writer")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="expected a member of the timeframes' owner"):
            connection.execute("CALL refresh_noted()")
        connection.execute("RESET ROLE")
        held = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").fetchone()
    assert held == (0,)
