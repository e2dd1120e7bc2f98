"""A database that goes away, and a disk that is full: a clear error, nothing half-written, and it goes on afterwards."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest

from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.digests import digest, digests
from intraday.database.embedded import EmbeddedServer
from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Database, open_database
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, Bars, empty
from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable
from intraday.domain.events import SaveBars
from intraday.domain.ports import Source
from job_cases import fill

pytestmark = pytest.mark.integration
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS


def bars_of(n: int) -> Bars:
    bars = empty(BAR, n)
    bars["ts_ns"] = DAY + MINUTE_NS * np.arange(n)
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = np.random.default_rng(1).uniform(100, 200, n)
    return bars


def kill(server: EmbeddedServer) -> None:
    os.kill(int((server.data / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)


@contextmanager
def killed_when_busy(server: EmbeddedServer) -> Iterator[None]:
    """Kill the server as soon as a COPY of somebody else is running; give up when the block ends."""
    over = threading.Event()
    killed = threading.Event()

    def work() -> None:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            busy = "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 1000"
            while not over.is_set():
                if connection.execute(busy).fetchone() is not None:
                    kill(server)
                    killed.set()
                    return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    assert killed.is_set(), "the write was over before anybody saw it"


def test_a_server_killed_in_the_middle_of_a_write(folder: Path) -> None:
    server = EmbeddedServer(folder)
    schema.init(server.start())
    with Database(server.dsn, room=server.free_bytes) as database:
        store = BarRepository(database)
        store.write([7], bars_of(100), Source.IMPORT, 5)
        before = {name: found.content for name, found in digests(database).items()}
        many = bars_of(400_000)
        with killed_when_busy(server), pytest.raises(StorageUnavailable, match="no connection to the database") as caught:
            store.write([8], many, Source.IMPORT, 5)
        assert server.dsn.split(":")[2].split("@")[0] not in str(caught.value)
        with pytest.raises(StorageUnavailable):
            store.read([7], 0, 2**62)
        server.stop()
        server.start()
        # The same objects go on: dead connections are noticed and replaced.
        assert {name: found.content for name, found in digests(database).items()} == before
        assert store.write([8], bars_of(1000), Source.IMPORT, 5).inserted == 1000
        assert store.read([8], 0, 2**62).shape == (1000,)
    server.stop()


@pytest.mark.asyncio
async def test_the_live_writer_goes_on_after_the_server_came_back(folder: Path) -> None:
    server = EmbeddedServer(folder)
    schema.init(server.start())
    with Database(server.dsn, room=server.free_bytes) as database:
        async with LiveWriter(database, [7], Source.TICK, "abc", "r1") as writer:
            await writer.write([SaveBars(bars_of(1), DAY)])
            kill(server)
            n = 1
            with pytest.raises(StorageUnavailable):
                for n in range(2, 500):  # a backend may serve a little longer than its postmaster lives
                    await writer.write([SaveBars(bars_of(n), DAY)])
            server.stop()
            server.start()
            await writer.write([SaveBars(bars_of(n), DAY)])
        assert BarRepository(database).read([7], 0, 2**62).shape == (n,)
    server.stop()


def test_a_wrong_dsn_tells_no_secret() -> None:
    for dsn in (
        "postgresql://me:topsecret@127.0.0.1:1/none",
        "postgresql://me:topsecret@/none?host=/nowhere",
        "host=127.0.0.1 port=1 password=topsecret",
        "postgresql://me:topsecret@127.0.0.1:port/none",
    ):
        with pytest.raises(StorageError) as caught:
            BarRepository(Database(dsn)).coverage()
        assert "topsecret" not in str(caught.value)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://bob:hun%zzter2@127.0.0.1:1/x",
        "postgresql://bob:hun/ter2@127.0.0.1:1/x",
        "postgresql://bob:hun@ter2@127.0.0.1:1/x",
        "postgresql://bob:hun@ter2/y@127.0.0.1:1/x",
        "host=127.0.0.1 port=1 user=bob password = 'hun ter2",
        "host=127.0.0.1 password=hun ter2 port=1",
        "host=127.0.0.1 password=hun ter2=1 port=1",
    ],
)
def test_a_password_that_is_not_encoded_is_in_no_message(dsn: str) -> None:
    for connect in (lambda: Database(dsn).autocommit().__enter__(), lambda: schema.init(dsn), lambda: schema.migrate(dsn)):
        with pytest.raises(StorageError) as caught:
            connect()
        assert "hun" not in str(caught.value)
        assert "ter2" not in str(caught.value)
        assert caught.value.__suppress_context__
    with pytest.raises(StorageError, match="percent-encoded"), Database(dsn).autocommit():
        pass
    with pytest.raises(StorageError, match="percent-encoded"), open_database(dsn, Path()):
        pass


def test_an_error_of_the_callers_own_is_not_the_databases(database: Database) -> None:
    for own in (FileNotFoundError("mine"), TimeoutError("mine"), ConnectionError("mine")):
        with pytest.raises(type(own), match="mine"), database.transaction():
            raise own


def test_refused_statements_are_ours(database: Database) -> None:
    with pytest.raises(StorageError, match="SQLSTATE 42P01"), database.autocommit() as connection:
        connection.execute("SELECT * FROM nowhere")
    with pytest.raises(StorageError, match="nowhere"):
        database.arrow("SELECT * FROM nowhere")
    with database.autocommit() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_that_takes_too_long_is_stopped(dsn: str) -> None:
    with Database(dsn, statement_timeout_s=0.2) as database:
        with pytest.raises(StorageError, match="database.statement_timeout_s"), database.autocommit() as connection:
            connection.execute("SELECT pg_sleep(60)")


def test_a_full_disk_is_seen_before_the_server_meets_it(small_disk: Path) -> None:
    with EmbeddedServer(small_disk) as server:
        schema.init(server.dsn)
        with Database(server.dsn, room=server.free_bytes) as database:
            store = BarRepository(database)
            store.write([7], bars_of(100), Source.IMPORT, 5)
            before = digests(database)
            with pytest.raises(StorageFull, match="no room left on the database's disk"):
                store.write([8], bars_of(1_000_000), Source.IMPORT, 5)
            filler = fill(small_disk, 2**20)
            with pytest.raises(StorageFull, match="MiB free"):
                store.write([8], bars_of(1), Source.IMPORT, 5)
            assert digests(database) == before  # reading goes on
            filler.unlink()
            assert store.write([8], bars_of(100), Source.IMPORT, 5).inserted == 100


def test_a_disk_that_fills_up_under_the_server(small_disk: Path) -> None:
    """Without a warning beforehand, as on a server that is not ours: whatever the server does, no row of the write remains."""
    server = EmbeddedServer(small_disk)
    schema.init(server.start())
    with Database(server.dsn) as database:
        store = BarRepository(database)
        store.write([7], bars_of(100), Source.IMPORT, 5)
        before = digest(database, "ohlcv_1min").content
        filler = fill(small_disk, 40 * 2**20)
        with pytest.raises((StorageFull, StorageUnavailable)) as caught:
            store.write([8], bars_of(1_000_000), Source.IMPORT, 5)
        assert "space" in str(caught.value) or "room" in str(caught.value) or "connection" in str(caught.value)
        filler.unlink()
        server.stop()
        server.start()
        assert digest(database, "ohlcv_1min").content == before
        assert store.write([8], bars_of(100), Source.IMPORT, 5).inserted == 100
    server.stop()


def test_no_room_to_start_says_so(small_disk: Path) -> None:
    filler = fill(small_disk, 2**20)
    with pytest.raises(StorageFull, match="no room left"):
        EmbeddedServer(small_disk).start()
    filler.unlink()
    with EmbeddedServer(small_disk) as server:
        assert server.free_bytes() > 2**20
