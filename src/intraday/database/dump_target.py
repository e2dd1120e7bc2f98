"""May a backup go into that database, and how an empty schema gives way: nothing but our own is ever dropped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from intraday.database import timescale
from intraday.database.dump_archive import Manifest
from intraday.database.dumping import tables_of
from intraday.database.errors import check_room
from intraday.database.pool import Connection, Database
from intraday.database.revisions import Chain
from intraday.domain.errors import StorageError

_MOVE = "a backup goes back to the kind of server it came from; `intraday db move` takes the rows from one kind to the other"
_SQL = Path(__file__).parent / "migrations" / "sql"
_MADE = re.compile(r"(?:\bCREATE (?:OR REPLACE )?(?:TABLE|VIEW|FUNCTION|PROCEDURE|TYPE)|\bRENAME TO) (\w+)")
_VERSIONS = "SELECT version FROM pg_available_extension_versions WHERE name = 'timescaledb'"
_LOCKS = """
    SELECT current_setting('max_locks_per_transaction')::bigint,
           current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint"""
_OBJECTS = """
    SELECT upper(i.type), i.identity, CASE WHEN n.nspname = 'public' THEN coalesce(c.relname, p.proname, t.typname) END
    FROM pg_depend d JOIN pg_namespace n ON d.refclassid = 'pg_namespace'::regclass AND n.oid = d.refobjid
    CROSS JOIN pg_identify_object(d.classid, d.objid, 0) i
    LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
    WHERE n.nspname !~ '^(pg_|information_schema$|_?timescaledb_)'
      AND d.classid NOT IN ('pg_extension'::regclass, 'pg_default_acl'::regclass) AND c.relispartition IS NOT TRUE
      AND NOT EXISTS (SELECT 1 FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid
                      AND (o.deptype = 'e' OR c.relkind = 'S' AND o.deptype IN ('a', 'i')))
    ORDER BY 1, 2"""


def check_target(database: Database, manifest: Manifest) -> None:
    """Raise StorageError, StorageFull unless it may go there: an empty database of its kind, with room, and of a known schema."""
    Chain().known(manifest.revision)
    check_room(database.room, manifest.database_bytes)
    with database.autocommit() as connection:
        _check_kind(connection, manifest)
        _check_empty(connection)
        if manifest.timescaledb is not None and tables_of(connection):
            raise StorageError(
                "expected a database without a schema, found one that was initialised already: DROP and CREATE it again "
                "(hypertables can't be put where others were)"
            )
        _check_locks(connection, manifest)


def _check_kind(connection: Connection, manifest: Manifest) -> None:
    here, wanted = timescale.version(connection), manifest.timescaledb
    if wanted is None:
        if here is not None or timescale.preloaded(connection):
            raise StorageError(f"the backup is of a plain PostgreSQL, the target is a TimescaleDB server: {_MOVE}")
        return
    if not timescale.preloaded(connection):
        raise StorageError(f"the backup is of TimescaleDB {wanted}, the target is a plain PostgreSQL: {_MOVE}")
    offered = {row[0] for row in connection.execute(_VERSIONS).fetchall()}
    if wanted not in offered or here not in (None, wanted):
        raise StorageError(
            f"the backup is of TimescaleDB {wanted}, the target has {here or ', '.join(sorted(offered)) or 'none'}: expected the "
            f"same version. Install {wanted} there, restore, then ALTER EXTENSION timescaledb UPDATE"
        )


def _check_locks(connection: Connection, manifest: Manifest) -> None:
    """One transaction locks every table and index it makes."""
    row = connection.execute(_LOCKS).fetchone()
    assert row is not None
    if manifest.relations > row[0] * row[1]:
        raise StorageError(
            f"the backup has {manifest.relations} tables and indexes, the target can lock {row[0] * row[1]} at once: "
            f"set max_locks_per_transaction = {2 * manifest.relations // row[1] + 1} in its postgresql.conf and restart it"
        )


def _check_empty(connection: Connection) -> None:
    """Raise StorageError unless there is nothing, or only our schema without rows."""
    others = [found for found in _objects(connection) if not found.ours]
    if others:
        raise StorageError(_not_empty(f"{others[0].kind} {others[0].name}", len(others), "things", " that intraday did not make"))
    tables = [name for name in tables_of(connection) if name != "public.alembic_version"]
    filled = [name for name in tables if connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]  # nosec B608
    if filled:
        raise StorageError(_not_empty(f"rows in {filled[0]}", len(filled), "tables"))


def _not_empty(first: str, n: int, of_what: str, which: str = "") -> str:
    more = f" and {n - 1} more {of_what}" if n > 1 else ""
    return (
        f"expected an empty database to restore into, found {first}{more}{which}; nothing was touched. Make another "
        "one (CREATE DATABASE ...) and name it with --to, or with our own server set system.data_dir to a new folder"
    )


@dataclass(frozen=True, slots=True)
class _Object:
    """Something a schema holds. ``kind`` and ``name`` as DROP wants them; ``ours``: a migration of this program makes it."""

    kind: str
    name: str
    ours: bool


def _objects(connection: Connection) -> list[_Object]:
    """What is in the schemas, by name. Partitions and columns' sequences count with their tables, members with their extension."""
    made: set[str] = set()
    if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() != (None,):
        rows = connection.execute("SELECT version_num FROM public.alembic_version").fetchall()
        Chain().known(rows[0][0] if rows else None)  # another program's Alembic is none of ours
        made = {"alembic_version", *_MADE.findall("".join(path.read_text() for path in sorted(_SQL.glob("*.sql"))))}
    return [_Object(kind, name, bare in made) for kind, name, bare in connection.execute(_OBJECTS).fetchall()]


def clear(connection: Connection) -> None:
    """Drop our schema if it is there and has no rows. Raises StorageError, with nothing dropped, if there is anything else."""
    _check_empty(connection)
    for found in _objects(connection):
        connection.execute(f"DROP {found.kind} IF EXISTS {found.name} CASCADE")  # quoted by the server
    connection.execute("DROP SCHEMA IF EXISTS optuna")  # empty, as was just seen
