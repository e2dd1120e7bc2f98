"""What tests of TimescaleDB share: rows by SQL, and every chunk compressed at once."""

from __future__ import annotations

from intraday.database import timescale
from intraday.database.pool import Database


def rows(database: Database, query: str, *values: object) -> list[tuple[object, ...]]:
    """The answer to one query."""
    with database.autocommit() as connection:
        return connection.execute(query, values).fetchall()


def has_timescale(database: Database) -> bool:
    """Whether the database has the extension."""
    with database.autocommit() as connection:
        return timescale.installed(connection)


def compress_all(database: Database) -> int:
    """Compress every chunk, the youngest too, where there are chunks; returns how many there were to compress."""
    if not has_timescale(database):
        return 0
    return len(rows(database, "SELECT compress_chunk(chunk) FROM chunks_to_compress('infinity')"))
