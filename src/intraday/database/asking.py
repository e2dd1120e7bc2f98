"""People's own SQL: read-only, with no more rights than a reader, row by row, times in IST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from intraday.database.pool import Connection, Database
from intraday.domain.errors import InputError

TIME_ZONE = "Asia/Kolkata"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a query; ``more``: there were more than the limit."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool


def ask(database: Database, query: str, limit: int) -> Answer:
    """The first ``limit`` rows of one statement. Nothing can be changed: the transaction is read-only.

    Raises InputError for what the server does not understand or may not do, StorageError.
    """
    with database.transaction() as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(f"SET LOCAL TIME ZONE '{TIME_ZONE}'")
        made = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() == (True,)
        _give_up_rights(connection)
        rows: list[tuple[Any, ...]] = []
        try:
            with connection.cursor() as cursor:
                for row in cursor.stream(query.encode()):  # row by row: a query for everything takes no memory
                    if len(rows) == limit:
                        return Answer(_names(cursor), rows, more=True)
                    rows.append(row)
                if not rows:  # a stream without rows does not tell its columns
                    cursor.execute(query.encode())
                return Answer(_names(cursor), rows, more=False)
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.errors.ReadOnlySqlTransaction) as error:
            said = str(error).strip()
            if "didn't produce a result" in said:
                said = "expected a statement that gives rows"
            if isinstance(error, psycopg.errors.UndefinedTable) and not made:
                said = "there are no tables yet: run `intraday db init`"
            raise InputError(f"the database refused the query: {said}") from None


def _give_up_rights(connection: Connection) -> None:
    """A superuser, as on our own server, could read files and start programs from a statement that only reads."""
    row = connection.execute(
        "SELECT rolsuper AND to_regrole('intraday_reader') IS NOT NULL FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row == (True,):
        connection.execute("SET LOCAL ROLE intraday_reader")


def _names(cursor: psycopg.Cursor[Any]) -> tuple[str, ...]:
    return tuple(column.name for column in cursor.description or ())
