"""What TimescaleDB is to us: one detection, used when connecting and by the migration helper. Nothing else knows the difference."""

from __future__ import annotations

from typing import Any

import psycopg

from intraday.domain.errors import StorageError

_NAME = "timescaledb"


def version(connection: psycopg.Connection[Any]) -> str | None:
    """The extension's version in this database, None where it does not exist."""
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = %s", (_NAME,)).fetchone()
    return None if row is None else str(row[0])


def installed(connection: psycopg.Connection[Any]) -> bool:
    """True when the extension exists in this database."""
    return version(connection) is not None


def preloaded(connection: psycopg.Connection[Any]) -> bool:
    """True when the server preloads the library. The connection is in autocommit mode.

    Raises StorageError when our role may not read that setting: guessing is what makes compressed rows vanish.
    """
    try:
        row = connection.execute("SELECT current_setting('shared_preload_libraries')").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        raise StorageError(
            "can't tell whether the server preloads TimescaleDB: expected the right to read shared_preload_libraries, "
            "so run as superuser: GRANT pg_read_all_settings TO this role"
        ) from None
    return row is not None and _NAME in (name.strip().strip('"') for name in row[0].split(","))


def check_preload(connection: psycopg.Connection[Any]) -> None:
    """Refuse a database that has the extension on a server that did not preload it.

    Without it compressed chunks return no rows and inserts go where nobody finds them, both without an error (DATABASE.md).
    """
    if installed(connection) and not preloaded(connection):
        raise StorageError(
            "this database uses TimescaleDB but its server does not preload it: expected 'timescaledb' in shared_preload_libraries "
            "of postgresql.conf; add it and restart the server"
        )
