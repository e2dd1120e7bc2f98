"""What TimescaleDB is to us: how it is detected, which of its servers would lie to us, what sessions tell it.

Used when connecting, by the migration helper and by maintenance. Nothing else knows the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg

from intraday.domain.errors import StorageError

_NAME = "timescaledb"
MIN = (2, 28)  # refresh_continuous_aggregate has options since then; also the last line for PostgreSQL 15, our oldest
# What a session is told so that nobody's ALTER DATABASE or ALTER ROLE decides what we read: psycopg parses dates as ISO, floats
# come as text to the last bit; a writer sees the rows of the one it waited for. And a correction of an old day may touch more
# compressed rows than the default limit of 100 000 (a plain server ignores that name).
SESSION: Mapping[str, str] = {
    "datestyle": "ISO",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "default_transaction_isolation": "read committed",
    "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
}

_SERVER = """
SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('TimeZone'), current_setting('standard_conforming_strings'),
       current_setting('integer_datetimes'), e.extversion,
       CASE WHEN e.extname IS NOT NULL THEN (SELECT a.default_version FROM pg_available_extensions a WHERE a.name = e.extname) END,
       current_setting('timescaledb.license', true)
FROM (SELECT) AS one LEFT JOIN pg_extension e ON e.extname = 'timescaledb'"""
_PRELOADED = """
SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') THEN current_setting('shared_preload_libraries') END,
       current_setting('timescaledb.disable_load', true)"""
_ALTERED = """
SELECT c.user_view_name, c.materialized_only, b.bucket_width, b.bucket_origin
FROM _timescaledb_catalog.continuous_agg c
     LEFT JOIN _timescaledb_catalog.continuous_aggs_bucket_function b USING (mat_hypertable_id)
     JOIN (VALUES ('ohlcv_5min', interval '5 minutes'), ('ohlcv_15min', '15 minutes'), ('ohlcv_60min', '60 minutes'))
       AS ours (name, width) ON ours.name = c.user_view_name
WHERE c.user_view_schema = current_schema
  AND (c.materialized_only AND b.bucket_width::interval = ours.width AND b.bucket_offset IS NULL AND b.bucket_timezone IS NULL
       AND b.bucket_origin::timestamptz = '2000-01-03 03:45+00') IS NOT TRUE
ORDER BY 1 LIMIT 1"""


class _Server(NamedTuple):
    backend_pid: int
    standby: bool
    time_zone: str
    conforming: str
    integer_datetimes: str
    extension: str | None  # its version in this database
    library: str | None  # the version that the server's packages would install
    licence: str | None


def version(connection: psycopg.Connection[Any]) -> str | None:
    """The extension's version in this database, None where it does not exist."""
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = %s", (_NAME,)).fetchone()
    return None if row is None else str(row[0])


def installed(connection: psycopg.Connection[Any]) -> bool:
    """True when the extension exists in this database."""
    return version(connection) is not None


def preloaded(connection: psycopg.Connection[Any]) -> bool:
    """True when the server preloads the library and lets it work.

    A role that may not read shared_preload_libraries is told by a setting that only the preloaded library makes known.
    """
    row = connection.execute(_PRELOADED).fetchone()
    assert row is not None
    libraries, disabled = row
    if disabled == "on":
        return False
    if libraries is None:
        return disabled is not None
    return _NAME in (name.strip().strip('"') for name in libraries.split(","))


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise StorageError for a server whose answers would be wrong, saying what to do. The connection is in autocommit mode.

    Leaves the session in UTC: what one statement sets must be there in the next.
    """
    try:
        connection.execute("SET TIME ZONE 'UTC'")
        row = connection.execute(_SERVER).fetchone()
    except psycopg.errors.UndefinedFile:
        raise _stale("another one", "its library is gone") from None
    assert row is not None
    server = _Server(*row)
    _check_session(connection, server)
    if server.extension is not None:
        _check_extension(connection, server.extension, server)
        _check_aggregates(connection)


def check_preload(connection: psycopg.Connection[Any]) -> None:
    """``check``."""
    check(connection)


def _check_session(connection: psycopg.Connection[Any], server: _Server) -> None:
    if server.backend_pid != connection.info.backend_pid or server.time_zone != "UTC":
        raise StorageError(
            "a connection pooler such as PgBouncer stands before the database: expected a session of our own "
            f"(time zone UTC, found {server.time_zone}), since settings and locks belong to it and would get lost; "
            "name the server itself in database.dsn"
        )
    if server.standby:
        raise StorageError("expected a server that can be written, found a standby in recovery: name the primary in database.dsn")
    if (server.conforming, server.integer_datetimes) != ("on", "on"):
        raise StorageError(
            "expected standard_conforming_strings and integer_datetimes to be on, found "
            f"{server.conforming} and {server.integer_datetimes}: ALTER DATABASE ... SET standard_conforming_strings = on"
        )


def _check_extension(connection: psycopg.Connection[Any], extension: str, server: _Server) -> None:
    if not preloaded(connection):
        raise StorageError(
            "this database uses TimescaleDB but its server does not preload it: expected 'timescaledb' in shared_preload_libraries "
            "of postgresql.conf and timescaledb.disable_load off; change that and restart the server"
        )
    if server.licence != "timescale":
        raise StorageError(
            f"expected TimescaleDB with its community features, found the licence {server.licence!r}, under which compression and "
            "continuous aggregates fail: set timescaledb.license = 'timescale' in postgresql.conf and restart the server"
        )
    if tuple(int(part) for part in extension.split("-")[0].split(".")[:2]) < MIN:
        raise StorageError(
            f"expected TimescaleDB {MIN[0]}.{MIN[1]} or newer, found {extension}: update the server's package, then run "
            "ALTER EXTENSION timescaledb UPDATE as the first statement of a new session (psql -X)"
        )
    if extension != server.library:
        raise _stale(extension, f"the server has {server.library}")


def _stale(found: str, why: str) -> StorageError:
    return StorageError(
        f"expected the TimescaleDB that the server's package installs, found {found} in this database ({why}): run "
        "ALTER EXTENSION timescaledb UPDATE as the first statement of a new session (psql -X)"
    )


def _check_aggregates(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(_ALTERED).fetchone()
    if row is None:
        return
    name, materialized_only, width, origin = row
    raise StorageError(
        f"expected {name} as our schema makes it (its own width, from 2000-01-03 03:45+00, materialized_only), found width "
        f"{width}, origin {origin}, materialized_only {str(materialized_only).lower()}: somebody altered it; "
        f"ALTER MATERIALIZED VIEW {name} SET (timescaledb.materialized_only = true) mends the last, a restored backup the others"
    )
