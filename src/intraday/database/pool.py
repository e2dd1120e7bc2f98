"""Connections to the database: checked once, reused, bounded in number, their errors ours.

Writes go through psycopg, bulk reads through ADBC to Arrow (1.4 M rows/s against 0.5-0.8 M: docs/adr/0012-database-drivers.md).
Safe to use from several threads; not across a fork.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar, cast

import psycopg
import pyarrow as pa

from intraday.database import timescale
from intraday.database.embedded import EmbeddedServer
from intraday.database.errors import TRIES, Contended, Room, check_dsn, check_room, mapped
from intraday.database.exclusive import Fence, check, hold
from intraday.database.link import Connection, Link, Reader
from intraday.database.places import Kind, Places
from intraday.domain.errors import StorageError, StorageUnavailable

__all__ = ["Connection", "Database", "check_server", "open_database"]

SERVER_MIN = 15
_Answer = TypeVar("_Answer")


class Database:
    """A database by DSN. ``room`` tells the bytes left on its disk, where that can be known (our own server).

    ``connections``: most of them at a time, writers' and readers' together; who waits longer than ``wait_s`` for one gets an error.
    A live run has two of its own beside them, for its lock and its writer. ``statement_timeout_s`` 0: none; ``live_timeout_s``:
    the live writer's. ``commit_bars``, ``commit_derived``: whether a commit waits for the disk, see ``transaction``.
    ``application``: what the server's list of sessions calls us.
    """

    def __init__(
        self,
        dsn: str,
        *,
        statement_timeout_s: float = 0.0,
        live_timeout_s: float = 10.0,
        connect_timeout_s: float = 10.0,
        connections: int = 8,
        wait_s: float = 60.0,
        commit_bars: bool = True,
        commit_derived: bool = False,
        application: str = "intraday",
        room: Room | None = None,
    ) -> None:
        self.dsn = dsn
        self.room = room
        self._link = Link(dsn, application, statement_timeout_s, connect_timeout_s, commit_bars)
        self.live_link = self._link.limited(live_timeout_s)
        self._commit = {True: commit_bars, False: commit_derived}
        self._places = Places(connections, wait_s)
        self._lock = threading.Lock()
        self._fences: tuple[Fence, ...] = ()
        self._checked = False
        self.partitions: set[tuple[str, str]] = set()  # (table, month) known to exist

    def __repr__(self) -> str:
        return "Database(<dsn hidden>)"

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def fences(self) -> tuple[Fence, ...]:
        """What this program holds exclusively. Every transaction that writes looks first whether that is still so."""
        return self._fences

    @contextmanager
    def transaction(self, need: int = 0, durable: bool = True) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises. ``need`` is about how many bytes it writes.

        ``durable`` False: what it stores can be made again (features, labels), so the commit need not wait for the disk; whether it
        does, either way, the settings say. A crash loses such a commit at worst, never half of one.

        Raises StorageUnavailable, StorageFull or StorageError for anything the driver raises, and StorageError when another program
        has taken over what this one held exclusively.
        """
        check_room(self.room, need)
        with self._writer() as connection, connection.transaction():
            if self._commit[durable] != self._link.durable:
                connection.execute(f"SET LOCAL synchronous_commit = {'on' if self._commit[durable] else 'off'}")
            check(connection, self._fences)
            yield connection

    def run(self, work: Callable[[Connection], _Answer], need: int = 0, durable: bool = True) -> _Answer:
        """``work`` in a ``transaction``; all of it again, at most twice, where another transaction got in its way."""
        for _ in range(TRIES - 1):
            try:
                with self.transaction(need, durable) as connection:
                    return work(connection)
            except Contended:
                continue
        with self.transaction(need, durable) as connection:
            return work(connection)

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection outside any transaction, for DDL and single reads."""
        with self._writer() as connection:
            yield connection

    def arrow(self, query: str) -> pa.Table:
        """All rows of ``query`` as an Arrow table, in a transaction of its own. Callers quote: ADBC binds no arrays."""
        return self._reading(lambda reader: reader.fetch(query))

    def each(self, query: str, convert: Callable[[pa.Table], _Answer]) -> list[_Answer]:
        """The same batch by batch: what ``convert`` makes of each, while the next one is fetched. A batch is about 16 MiB."""
        return self._reading(lambda reader: reader.each(query, convert))

    def _reading(self, use: Callable[[Reader], _Answer]) -> _Answer:
        """As ``run``: once more where another transaction got in its way, such as retention dropping what is read."""
        for _ in range(TRIES - 1):
            with suppress(Contended):
                return self._read_once(use)
        return self._read_once(use)

    def _read_once(self, use: Callable[[Reader], _Answer]) -> _Answer:
        if not self._checked:  # the checks are made on the writing side
            with self.autocommit():
                pass
        reader = cast("Reader | None", self._places.take(Kind.READER))
        try:
            if reader is not None:
                try:
                    with mapped(self.room):
                        return use(reader)
                except StorageUnavailable:  # the server was restarted since: the others are dead too
                    for dead in (reader, *self._places.drain(Kind.READER)):
                        dead.close()
                    reader = None
            with mapped(self.room):
                reader = Reader(self._link)
                return use(reader)
        except BaseException:
            if reader is not None:
                reader.close()
            reader = None
            raise
        finally:
            self._places.give(Kind.READER, reader)

    @contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """Only one program at a time does ``what`` on this database while the block runs. ConfigError in the second one.

        Where the connection that holds it dies, a second one may begin; then every write of the first is refused.
        """
        with mapped(self.room):
            connection = self._connect()
        try:
            with mapped(self.room):
                fence = hold(connection, what)
            with self._lock:
                self._fences += (fence,)
            try:
                yield
            finally:
                with self._lock:
                    self._fences = tuple(other for other in self._fences if other is not fence)
        finally:
            connection.close()

    def close(self) -> None:
        """Close idle connections; the object may be used again."""
        for connection in self._places.drain():
            connection.close()

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        with mapped(self.room):
            kept = cast("Connection | None", self._places.take(Kind.WRITER))
            connection: Connection | None = None
            try:
                connection = kept if kept is not None and _alive(kept) else self._connect()
                yield connection
            except BaseException:
                # An interrupted COPY or a lost link leaves a connection nobody should meet again.
                if connection is not None:
                    connection.close()
                raise
            finally:
                self._places.give(Kind.WRITER, None if connection is None or connection.closed else connection)

    def _connect(self) -> Connection:
        if not self._checked:
            check_dsn(self.dsn)
        connection = self._link.connect()
        try:
            if not self._checked:
                check_server(connection)
                self._checked = True
        except BaseException:
            connection.close()
            raise
        return connection


def check_server(connection: Connection) -> None:
    """Raise StorageError unless the server is new enough, speaks UTF-8, and would not lie about TimescaleDB's rows."""
    version = connection.info.server_version // 10_000
    if version < SERVER_MIN:
        raise StorageError(
            f"expected PostgreSQL {SERVER_MIN} or newer, found {version}: upgrade the server, "
            "or leave database.dsn empty to use ours"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StorageError(
            f"expected a database with encoding UTF8, found {encoding}: create it with ENCODING 'UTF8' TEMPLATE template0"
        )
    timescale.check_preload(connection)


def _alive(connection: Connection) -> bool:
    """A cheap round trip: an idle link that died (server restarted) must not fail the next write."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        connection.close()
        return False
    return True


@contextmanager
def open_database(
    dsn: str | None,
    data_dir: Path,
    *,
    statement_timeout_s: float = 0.0,
    live_timeout_s: float = 10.0,
    connect_timeout_s: float = 10.0,
    start_timeout_s: float = 300.0,
    connections: int = 8,
    commit_bars: bool = True,
    commit_derived: bool = False,
    application: str = "intraday",
) -> Iterator[Database]:
    """The configured database: the server at ``dsn``, or without one our own under ``<data_dir>/pg`` while the block runs."""

    def opened(where: str, room: Room | None = None) -> Database:
        return Database(
            where, statement_timeout_s=statement_timeout_s, live_timeout_s=live_timeout_s, connect_timeout_s=connect_timeout_s,
            connections=connections, commit_bars=commit_bars, commit_derived=commit_derived, application=application, room=room,
        )  # fmt: skip

    if dsn:
        check_dsn(dsn)  # before anybody else takes it apart
        with opened(dsn) as database:
            yield database
        return
    with EmbeddedServer(data_dir, start_timeout_s=start_timeout_s) as server, opened(server.dsn, server.free_bytes) as database:
        yield database
