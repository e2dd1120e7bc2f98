"""Connections: how many, with which limits, replaced when they die; and what one program holds alone."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.embedded import EmbeddedServer
from intraday.database.errors import Contended
from intraday.database.link import keep_alive
from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, Bars, empty
from intraday.domain.errors import ConfigError, StorageError, StorageUnavailable
from intraday.domain.events import SaveBars
from intraday.domain.ports import Source

pytestmark = pytest.mark.integration
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS
TOLD = (
    "timezone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit",
    "application_name",
)  # fmt: skip


def bars_of(n: int, inst: int = 1) -> Bars:
    bars = empty(BAR, n * inst)
    bars["ts_ns"] = DAY + MINUTE_NS * np.repeat(np.arange(n), inst)
    bars["inst"] = np.tile(np.arange(inst), n)
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = np.random.default_rng(1).uniform(100, 200, n * inst)
    return bars


def sessions(dsn: str, application: str) -> list[int]:
    """Process ids of the server's sessions of that name in this database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s ORDER BY backend_start"
        )
        return [row[0] for row in connection.execute(query, (application,)).fetchall()]


def end(dsn: str, *pids: int) -> None:
    """End sessions, as an administrator or a broken line would, and wait until they are gone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for pid in pids:
            assert connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)


@pytest.fixture
def named(dsn: str) -> Iterator[Database]:
    with Database(dsn, statement_timeout_s=7, live_timeout_s=3, application="intraday test") as database:
        yield database


def test_every_kind_of_connection_is_told_the_same(named: Database) -> None:
    query = "SELECT " + ", ".join(f"current_setting('{name}') AS {name}" for name in TOLD)
    with named.autocommit() as connection:
        by_psycopg = connection.execute(query).fetchone()
    assert by_psycopg == ("UTC", "7s", "3500ms", "14s", "on", "intraday test")
    (row,) = named.arrow(query).to_pylist()
    assert tuple(row.values()) == by_psycopg


def test_a_database_with_another_isolation_level_changes_nothing(named: Database) -> None:
    """Under repeatable read a writer would not see the rows of the one it waited for, and be refused."""
    with named.autocommit() as connection:
        connection.execute(f"ALTER DATABASE \"{connection.info.dbname}\" SET default_transaction_isolation = 'repeatable read'")
    named.close()
    query = "SELECT current_setting('transaction_isolation') AS level"
    with named.autocommit() as connection:
        assert connection.execute(query).fetchone() == ("read committed",)
    assert named.arrow(query).to_pylist() == [{"level": "read committed"}]


@pytest.mark.asyncio
async def test_a_live_minute_has_a_limit_of_its_own(dsn: str) -> None:
    with Database(dsn, live_timeout_s=0.4, application="intraday test") as database, psycopg.connect(dsn) as other:
        async with LiveWriter(database, [1], Source.TICK, "abc", "r1") as writer:
            assert len(sessions(dsn, "intraday test")) == 2  # its own, and the one that checked the server
            other.execute("LOCK TABLE ohlcv_1min")
            with pytest.raises(StorageError, match="another session held for too long.*database.live_timeout_s"):
                await writer.write([SaveBars(bars_of(1), DAY)])
            other.rollback()
            await writer.write([SaveBars(bars_of(1), DAY)])


@pytest.mark.asyncio
async def test_a_live_minute_outlasts_who_keeps_a_lock_for_a_while(dsn: str) -> None:
    """It gives up waiting, and tries again; what the other does in the end is its own affair."""
    with Database(dsn, live_timeout_s=1.0, application="intraday test") as database, psycopg.connect(dsn) as other:
        async with LiveWriter(database, [1], Source.TICK, "abc", "r1") as writer, asyncio.TaskGroup() as tasks:
            other.execute("LOCK TABLE ohlcv_1min")
            written = tasks.create_task(writer.write([SaveBars(bars_of(1), DAY)]))
            await asyncio.to_thread(second_attempt, dsn)
            other.rollback()
        assert written.done()
        assert BarRepository(database).read([1], 0, 2**62).shape == (1,)


def second_attempt(dsn: str) -> None:
    """Wait until a second session of the writer waits for a lock."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'intraday test' AND wait_event_type = 'Lock'"
    seen: set[int] = set()
    with psycopg.connect(dsn, autocommit=True) as connection:
        while len(seen) < 2:
            seen |= {row[0] for row in connection.execute(waiting).fetchall()}


class Hasty(asyncio.SelectorEventLoop):
    """An event loop whose clock runs a thousand times as fast, as at a simulated exchange."""

    def time(self) -> float:
        return super().time() * 1000


def test_a_live_minute_has_real_seconds(dsn: str) -> None:
    """Twenty seconds of the loop go by in twenty milliseconds; the writer's limits are not counted in those."""

    async def work(database: Database) -> None:
        async with LiveWriter(database, [1], Source.TICK, "abc", "r1") as writer:
            await writer.write([SaveBars(bars_of(1), DAY)])
            with psycopg.connect(dsn) as other:
                other.execute("LOCK TABLE ohlcv_1min")
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(writer.write([SaveBars(bars_of(2), DAY)]))
                    await asyncio.to_thread(other.execute, "SELECT pg_sleep(0.3)")
                    other.rollback()

    with Database(dsn, live_timeout_s=10) as database:
        with asyncio.Runner(loop_factory=Hasty) as runner:
            runner.run(work(database))
        assert BarRepository(database).read([1], 0, 2**62).shape == (2,)


def test_a_dead_line_is_noticed_by_the_kernel() -> None:
    with socket.socket() as line, socket.socket(socket.AF_UNIX) as local:
        keep_alive(line)
        keep_alive(local)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert local.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_what_the_dsn_says_itself_comes_first(dsn: str) -> None:
    both = make_conninfo(dsn, application_name="mine", options="-c search_path=public -c statement_timeout=1")
    with Database(both, statement_timeout_s=5) as database, database.autocommit() as connection:
        query = "SELECT current_setting('application_name'), current_setting('search_path'), current_setting('statement_timeout')"
        assert connection.execute(query).fetchone() == ("mine", "public", "5s")  # the time limit is the settings'


def test_a_read_that_takes_too_long_is_stopped(dsn: str) -> None:
    with Database(dsn, statement_timeout_s=0.2) as database:
        with pytest.raises(StorageError, match="longer than database.statement_timeout_s"):
            database.arrow("SELECT pg_sleep(60)::text")
        assert database.arrow("SELECT 1 AS x").to_pylist() == [{"x": 1}]


def test_waiting_for_a_lock_has_an_end(dsn: str) -> None:
    with Database(dsn, statement_timeout_s=0.6) as database, psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE runs")
        with pytest.raises(StorageError, match="another session held for too long"), database.transaction() as connection:
            connection.execute("UPDATE runs SET status = 'ok'")


def test_an_idle_transaction_has_an_end(dsn: str) -> None:
    with Database(dsn, statement_timeout_s=0.1) as database:
        with pytest.raises(StorageError, match="did nothing for twice"), database.transaction() as connection:
            connection.execute("SELECT 1")
            (pid,) = [connection.info.backend_pid]
            with psycopg.connect(dsn, autocommit=True) as other:  # wait for its end without a sleep
                while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
                    pass
            connection.execute("SELECT 1")
        with database.transaction() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_connections_are_bounded_and_waiters_told(dsn: str) -> None:
    with Database(dsn, connections=3, wait_s=0.05, application="bounded") as database, ExitStack() as held:
        for _ in range(2):
            held.enter_context(database.autocommit())
        with pytest.raises(StorageUnavailable, match="all 3 of this program are in use"), database.transaction():
            pass
        assert database.arrow("SELECT 1 AS x").num_rows == 1  # one place is a reader's
        assert len(sessions(dsn, "bounded")) == 3


def test_many_threads_write_through_few_connections(dsn: str) -> None:
    """Bulk writers that read while they write: none waits for ever, no more than two transactions are open, nothing is lost."""
    inside, most, lock = [0], [0], threading.Lock()
    failed: list[BaseException] = []

    with Database(dsn, connections=3) as database:
        store = BarRepository(database)
        store.write([99], bars_of(3), Source.IMPORT, 5)

        def counted(connection: Connection) -> None:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            connection.execute("SELECT pg_sleep(0.01)")
            with lock:
                inside[0] -= 1

        def work(k: int) -> None:
            try:
                for version in range(3):
                    bars = bars_of(30)
                    bars["close"] += version
                    store.write([k], bars, Source.IMPORT, 10 + version, also=counted)
            except BaseException as error:  # noqa: BLE001  told below
                failed.append(error)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert most[0] == 2
        with database.autocommit() as connection:
            assert connection.execute("SELECT count(*) FROM bar_versions WHERE instrument_id < 99").fetchone() == (8 * 90,)


@pytest.mark.parametrize(("bars", "derived"), [(True, False), (True, True), (False, False), (False, True)])
def test_what_waits_for_the_disk(dsn: str, bars: bool, derived: bool) -> None:
    with Database(dsn, commit_bars=bars, commit_derived=derived) as database:
        for durable, wanted in ((True, bars), (False, derived)):
            with database.transaction(durable=durable) as connection:
                assert connection.execute("SHOW synchronous_commit").fetchone() == ("on" if wanted else "off",)
        with database.autocommit() as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on" if bars else "off",)


def test_connections_that_died_are_replaced(dsn: str) -> None:
    with Database(dsn, application="mortal") as database:
        with database.autocommit(), database.autocommit():
            pass
        database.arrow("SELECT 1 AS x")
        before = sessions(dsn, "mortal")
        assert len(before) == 3
        end(dsn, *before)
        assert database.arrow("SELECT 1 AS x").num_rows == 1
        with database.transaction() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not set(before) & set(sessions(dsn, "mortal"))


def test_a_deadlock_is_done_again(dsn: str) -> None:
    """Two transactions that each want what the other has: the server undoes one, and it comes through the second time."""
    both = threading.Barrier(2, timeout=30)
    tries: list[str] = []
    with Database(dsn) as database:
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, command, config, started_at) VALUES ('a', 'x', '{}', now()), ('b', 'x', '{}', now())"
            )

        def crossing(first: str, second: str) -> None:
            def work(connection: Connection) -> None:
                tries.append(first)
                connection.execute("UPDATE runs SET command = command || %s WHERE id = %s", (first, first))
                if len(tries) <= 2:
                    both.wait()
                connection.execute("UPDATE runs SET command = command || %s WHERE id = %s", (first, second))

            database.run(work)

        threads = [threading.Thread(target=crossing, args=pair) for pair in (("a", "b"), ("b", "a"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(tries) == 3
        with database.autocommit() as connection:
            found = {row[0] for row in connection.execute("SELECT command FROM runs").fetchall()}
        assert found in ({"xab"}, {"xba"})  # each whole, one after the other, on both rows


def test_a_transaction_that_always_meets_another_ends(database: Database) -> None:
    tries: list[int] = []

    def work(connection: Connection) -> None:
        tries.append(1)
        connection.execute("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$")

    with pytest.raises(Contended, match="40001"):
        database.run(work)
    assert len(tries) == 3


def test_a_connection_in_the_wrong_hands_is_known(folder: Path) -> None:
    """A password in a DSN reaches no error, whichever driver fails."""
    server = EmbeddedServer(folder)
    schema.init(server.start())
    server.stop()
    secret = server.dsn.split(":")[2].split("@")[0]
    with Database(server.dsn) as database:
        for broken in (lambda: database.arrow("SELECT 1"), lambda: BarRepository(database).coverage()):
            with pytest.raises(StorageUnavailable) as caught:
                broken()
            assert secret not in str(caught.value)
            assert secret not in repr(database)


# ------------------------------------------------------------------------------------------------------ one run a database


def test_only_one_run_at_a_time(dsn: str) -> None:
    with Database(dsn) as first, Database(dsn) as second:
        with first.exclusive("live"):
            with (
                pytest.raises(ConfigError, match="another `intraday live` writes to this database since .* IST"),
                second.exclusive("live"),
            ):
                pass
            with second.exclusive("replay"):
                pass
        with second.exclusive("live"):
            pass


@pytest.mark.asyncio
async def test_a_run_whose_lock_was_lost_is_refused_once_another_began(dsn: str) -> None:
    with Database(dsn, application="first") as first, Database(dsn) as second:
        with first.exclusive("live"):
            async with LiveWriter(first, [7], Source.TICK, "abc", "r1") as writer:
                await writer.write([SaveBars(bars_of(1), DAY)])
                lock, *_ = sessions(dsn, "first")
                end(dsn, lock)
                await writer.write([SaveBars(bars_of(2), DAY)])  # nobody else is there: it goes on
                with second.exclusive("live"):
                    with pytest.raises(StorageError, match="another one took over"):
                        await writer.write([SaveBars(bars_of(3), DAY)])
                    with pytest.raises(StorageError, match="another one took over"):
                        BarRepository(first).write([7], bars_of(4), Source.TICK, DAY)
                    async with LiveWriter(second, [7], Source.TICK, "abc", "r2") as other:
                        await other.write([SaveBars(bars_of(3), DAY)])
                with pytest.raises(StorageError, match="another one took over"):  # and for good
                    await writer.write([SaveBars(bars_of(3), DAY)])
        assert BarRepository(second).read([7], 0, 2**62).shape == (3,)


def test_nobody_takes_over_in_the_middle_of_a_write(dsn: str) -> None:
    began = threading.Event()

    def take_over() -> None:
        with Database(dsn, application="second") as second, second.exclusive("live"):
            began.set()

    with Database(dsn, application="first") as first, first.exclusive("live"):
        (lock,) = sessions(dsn, "first")
        thread = threading.Thread(target=take_over)
        with first.transaction() as connection:
            end(dsn, lock)
            thread.start()
            waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'second' AND wait_event_type = 'Lock'"
            with psycopg.connect(dsn, autocommit=True) as other:
                while other.execute(waiting).fetchone() is None:
                    assert not began.is_set(), "another run began in the middle of a transaction"
            connection.execute("INSERT INTO events (at, kind, detail) VALUES (now(), 'test', '{}')")
        thread.join(30)
        assert began.is_set()
        with pytest.raises(StorageError, match="another one took over"), first.transaction():
            pass
