"""The database as it was at one moment, for a check that may take minutes: two read-only connections on one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

import pyarrow as pa

from intraday.database import timescale
from intraday.database.copying import text_literal
from intraday.database.errors import mapped
from intraday.database.pool import Connection, Database

if TYPE_CHECKING:
    from adbc_driver_manager import dbapi as adbc_manager


class Snapshot:
    """Reads. Small answers as rows, large ones as Arrow; both see the same."""

    def __init__(self, connection: Connection, reader: adbc_manager.Connection) -> None:
        self._connection = connection
        self._reader = reader
        self.hyper = timescale.installed(connection)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        return self._connection.execute(query, values or None).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        """The first column of the only row."""
        return self.rows(query, *values)[0][0]

    def arrow(self, query: str) -> pa.Table:
        """All rows of a large answer; callers quote."""
        with self._reader.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()


@contextmanager
def snapshot(database: Database) -> Iterator[Snapshot]:
    """Open one. Nothing is locked; the server keeps old rows as long as it is open. No statement is too slow for it.

    Raises StorageError and its kind for anything the drivers raise in the block.
    """
    from adbc_driver_postgresql import dbapi as adbc

    with mapped(database.room), database.autocommit() as connection:
        with connection.transaction(), closing(adbc.connect(database.dsn)) as reader:
            _begin(connection)
            name = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert name is not None
            with reader.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute(f"SET TRANSACTION SNAPSHOT {text_literal(name[0])}")
                cursor.execute("SET LOCAL statement_timeout = 0")
            yield Snapshot(connection, reader)
            reader.rollback()


def _begin(connection: Connection) -> None:
    statements: tuple[LiteralString, ...] = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL statement_timeout = 0",
    )
    for statement in statements:
        connection.execute(statement)
