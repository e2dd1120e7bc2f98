"""Connections to the database: checked once, reused, their errors ours.

Writes go through psycopg, bulk reads through ADBC to Arrow (1.4 M rows/s against 0.5-0.8 M: docs/adr/0012-database-drivers.md).
Safe to use from several threads; not across a fork.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa

from intraday.database import timescale
from intraday.database.embedded import EmbeddedServer
from intraday.database.errors import Room, check_room, mapped
from intraday.domain.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from adbc_driver_manager import dbapi as adbc_manager

Connection = psycopg.Connection[Any]
SERVER_MIN = 15
_IDLE_MAX = 4


class Database:
    """A database by DSN. ``room`` tells the bytes left on its disk, where that can be known (our own server)."""

    def __init__(
        self, dsn: str, *, statement_timeout_s: float = 0.0, connect_timeout_s: float = 10.0, room: Room | None = None
    ) -> None:
        self.dsn = dsn
        self.room = room
        self._statement_timeout_ms = int(statement_timeout_s * 1000)
        self._connect_timeout_s = max(2, int(connect_timeout_s))
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._readers: list[adbc_manager.Connection] = []
        self._checked = False
        self.partitions: set[tuple[str, str]] = set()  # (table, month) known to exist

    def __repr__(self) -> str:
        return "Database(<dsn hidden>)"

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def transaction(self, need: int = 0) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises. ``need`` is about how many bytes it writes.

        Raises StorageUnavailable, StorageFull or StorageError for anything the driver raises.
        """
        check_room(self.room, need)
        with mapped(self.room):
            connection = self._take()
            try:
                with connection.transaction():
                    yield connection
            except BaseException:
                # An interrupted COPY or a lost link leaves a connection nobody should meet again.
                connection.close()
                raise
            self._give(connection)

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection outside any transaction, for DDL and single reads."""
        with mapped(self.room):
            connection = self._take()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._give(connection)

    def arrow(self, query: str) -> pa.Table:
        """All rows of ``query`` as an Arrow table, in a transaction of its own. Callers quote: ADBC binds no arrays."""
        with mapped(self.room):
            reader = self._take_reader()
            try:
                with reader.cursor() as cursor:
                    cursor.execute(query)
                    table = cursor.fetch_arrow_table()
                reader.rollback()
            except BaseException:
                _close(reader)
                raise
            with self._lock:
                self._readers.append(reader)
            return table

    @contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """Only one program at a time does ``what`` on this database while the block runs. ConfigError in the second one."""
        with mapped(self.room):
            connection = self._connect()
        try:
            with mapped(self.room):
                taken = connection.execute("SELECT pg_try_advisory_lock(hashtext('exclusive'), hashtext(%s))", (what,)).fetchone()
                if taken is None or not taken[0]:
                    raise ConfigError(_busy(connection, what))
            yield
        finally:
            connection.close()

    def close(self) -> None:
        """Close idle connections; the object may be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
            readers, self._readers = self._readers, []
        for connection in idle:
            connection.close()
        for reader in readers:
            _close(reader)

    def _take(self) -> Connection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed and _alive(connection):
                    return connection
        return self._connect()

    def _give(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_MAX and not connection.closed:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> Connection:
        connection = psycopg.connect(self.dsn, connect_timeout=self._connect_timeout_s, autocommit=True, client_encoding="UTF8")
        try:
            connection.execute("SET TIME ZONE 'UTC'")
            connection.execute(f"SET statement_timeout = {self._statement_timeout_ms}")
            if not self._checked:
                check_server(connection)
                self._checked = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_reader(self) -> adbc_manager.Connection:
        with self._lock:
            if self._readers:
                return self._readers.pop()
        if not self._checked:  # the checks are made on the writing side
            self._give(self._connect())
        from adbc_driver_postgresql import dbapi as adbc  # it brings pandas: only who reads bars waits for it

        reader: adbc_manager.Connection = adbc.connect(self.dsn)
        return reader


def _close(reader: adbc_manager.Connection) -> None:
    from adbc_driver_manager.dbapi import Error

    with suppress(Error):
        reader.close()


def _busy(connection: Connection, what: str) -> str:
    row = connection.execute(
        """SELECT to_char(min(a.backend_start) AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI')
           FROM pg_locks l JOIN pg_stat_activity a USING (pid)
           WHERE l.locktype = 'advisory' AND l.granted AND l.classid = (hashtext('exclusive')::bigint & 4294967295)::oid
             AND l.objid = (hashtext(%s)::bigint & 4294967295)::oid""",
        (what,),
    ).fetchone()
    since = f" since {row[0]} IST" if row and row[0] else ""
    return f"another `intraday {what}` writes to this database{since}: stop it first, or set system.data_dir to another folder"


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
    connect_timeout_s: float = 10.0,
    start_timeout_s: float = 300.0,
) -> Iterator[Database]:
    """The configured database: the server at ``dsn``, or without one our own under ``<data_dir>/pg`` while the block runs."""
    if dsn:
        with Database(dsn, statement_timeout_s=statement_timeout_s, connect_timeout_s=connect_timeout_s) as database:
            yield database
        return
    with EmbeddedServer(data_dir, start_timeout_s=start_timeout_s) as server:
        with Database(
            server.dsn, statement_timeout_s=statement_timeout_s, connect_timeout_s=connect_timeout_s, room=server.free_bytes
        ) as database:
            yield database
