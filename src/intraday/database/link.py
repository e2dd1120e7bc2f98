"""How a connection to the database is made, the same for all three drivers: time zone, time limits, keepalives, a name.

Source: PostgreSQL documentation, "Client Connection Defaults" and "Parameter Key Words" of libpq.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import psycopg
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from intraday.database import timescale

if TYPE_CHECKING:
    from adbc_driver_manager import dbapi as adbc_manager

Connection = psycopg.Connection[Any]
_Piece = TypeVar("_Piece")
# A machine that vanished is noticed within a minute by both ends: ours stops waiting, the server's lets go of its locks.
_CLIENT_KEEPALIVES = {
    "keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000",
}  # fmt: skip
_SERVER_KEEPALIVES = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}


@dataclass(frozen=True, slots=True)
class Link:
    """``application``: our name in pg_stat_activity. ``statement_timeout_s`` 0: none. ``durable``: commits wait for the disk."""

    dsn: str = field(repr=False)
    application: str = "intraday"
    statement_timeout_s: float = 0.0
    connect_timeout_s: float = 10.0
    durable: bool = True

    def limited(self, statement_timeout_s: float) -> Link:
        """The same with another time limit."""
        return replace(self, statement_timeout_s=statement_timeout_s)

    def settings(self) -> Mapping[str, str]:
        """What every session is told. Half a statement's time may go into waiting for locks: an error then tells which it was."""
        limit_ms = int(self.statement_timeout_s * 1000)
        return {
            "timezone": "UTC",
            "statement_timeout": str(limit_ms),
            "lock_timeout": str(limit_ms // 2),
            "idle_in_transaction_session_timeout": str(limit_ms * 2),
            "idle_session_timeout": "0",  # a server's own would take the lock of a live run away
            "synchronous_commit": "on" if self.durable else "off",
            **_SERVER_KEEPALIVES,
            **timescale.SESSION,
        }

    def conninfo(self) -> str:
        """For libpq; what the DSN says itself comes first, but for what every session must be told."""
        theirs: dict[str, str | int] = {key: value for key, value in conninfo_to_dict(self.dsn).items() if value is not None}
        wait = max(2, int(self.connect_timeout_s))
        ours: dict[str, str | int] = {"application_name": self.application, "connect_timeout": wait, **_CLIENT_KEEPALIVES}
        told = " ".join(f"-c {key}={_escaped(value)}" for key, value in self.settings().items())
        options = f"{theirs.pop('options', '')} {told}".strip()
        return make_conninfo("", **{**ours, **theirs, "options": options, "client_encoding": "UTF8"})

    def connect(self) -> Connection:
        """A psycopg connection, in autocommit mode."""
        return psycopg.connect(self.conninfo(), autocommit=True)


@contextmanager
def unlimited(connection: Connection) -> Iterator[None]:
    """No time limit of the session holds inside: work on all rows takes as long as it takes. Outside of transactions."""
    told = "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)"
    limits = connection.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')").fetchone()
    assert limits is not None
    connection.execute(told, ("0", "0"))
    try:
        yield
    finally:
        if not connection.closed and not connection.broken:
            connection.execute(told, limits)


def _escaped(value: str) -> str:
    """As the server wants a value within ``options``, where a space ends it."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def keep_alive(connection: _Socket) -> None:
    """What libpq does for its own: a line that is dead for a minute is closed. Nothing on a Unix socket."""
    if connection.family == getattr(socket, "AF_UNIX", None):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):  # not every system has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Socket(Protocol):
    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...


class Reader:
    """An ADBC connection."""

    def __init__(self, link: Link) -> None:
        from adbc_driver_postgresql import dbapi as adbc  # it brings pandas: only who reads bars waits for it

        self._connection: adbc_manager.Connection = adbc.connect(link.conninfo())

    def fetch(self, query: str) -> pa.Table:
        """All rows, in a transaction of its own."""
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            table = cursor.fetch_arrow_table()
        self._connection.rollback()
        return table

    def each(self, query: str, convert: Callable[[pa.Table], _Piece]) -> list[_Piece]:
        """What ``convert`` makes of every batch of rows, in a transaction of its own; the next batch is on its way meanwhile."""
        pieces: list[_Piece] = []
        with self._connection.cursor() as cursor, ThreadPoolExecutor(1, "read") as ahead:
            cursor.execute(query)
            with cursor.fetch_record_batch() as batches:
                coming = ahead.submit(next, batches, None)
                while (batch := coming.result()) is not None:
                    coming = ahead.submit(next, batches, None)
                    pieces.append(convert(pa.Table.from_batches([batch])))
        self._connection.rollback()
        return pieces

    def close(self) -> None:
        """End it; a dead one too."""
        from adbc_driver_manager.dbapi import Error

        with suppress(Error):
            self._connection.close()
