"""The database as it was at one moment, and its dump: the first half of a backup.

One transaction holds the moment (its snapshot is exported) while ``pg_dump`` and the sums of all tables are made from it: a live
run goes on writing meanwhile, and neither sees it. The transaction also holds the weakest lock on every table from the beginning,
so that no migration alters one between dump and sum.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from intraday.database import timescale
from intraday.database.dump_archive import Folder, TableSum
from intraday.database.dump_tools import Tools, connection_of, reason
from intraday.database.errors import mapped
from intraday.database.pool import Connection, Database
from intraday.domain.errors import StorageError
from intraday.domain.ports import Progress

_LOCK_TRIES = 20
_LOCK_WAIT_MS = 500  # below PostgreSQL's deadlock_timeout: in a deadlock with a migration it is the backup that gives way
_DUMP_WAIT_MS = 30_000
_CHUNK = 1 << 20
_COMPRESSION = 1  # 6, the default, takes four times as long for an eighth less: docs/backup.md

# Partitions and chunks are read through their tables.
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname), c.relkind::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^(pg_|information_schema$|_?timescaledb_)' AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1"""
_LOCKABLE = ("r", "p")
_TEXT_OF_VALUES = """
    SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO'; SET LOCAL intervalstyle = 'postgres';
    SET LOCAL bytea_output = 'hex'"""
_AGGREGATES = "SELECT format('%I.%I', view_schema, view_name) FROM timescaledb_information.continuous_aggregates ORDER BY 1"
_FOLDERS = """
    SELECT 'model', path, 'models/' || id FROM models
    UNION ALL
    SELECT 'journal', journal, concat_ws('/', 'journal', source, day, run_id) FROM run_days
    ORDER BY 3"""
# 16384: what PostgreSQL has by itself is below.
_FACTS = """
    SELECT current_setting('server_version'), (SELECT string_agg(version_num, ' ' ORDER BY version_num) FROM alembic_version),
           (SELECT system_identifier FROM pg_control_system()) || '/' || current_database(),
           pg_database_size(current_database()), (SELECT count(*) FROM pg_class WHERE oid >= 16384)"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a database: server and extension version, schema revision, which one of which cluster it is, what it needs elsewhere."""

    server: str
    revision: str
    origin: str
    bytes: int
    relations: int
    timescaledb: str | None


class Frozen:
    """The database at one moment."""

    def __init__(self, database: Database, connection: Connection, snapshot: str) -> None:
        self._db = database
        self._connection = connection
        self._snapshot = snapshot

    def facts(self) -> Facts:
        """What the manifest says of it."""
        row = self._connection.execute(_FACTS).fetchone()
        assert row is not None
        return Facts(str(row[0]).split()[0], row[1], row[2], row[3], row[4], timescale.version(self._connection))

    def folders(self) -> list[Folder]:
        """The folders that rows name: model artifacts, and the journals of the days that were run."""
        return [Folder(*row) for row in self._connection.execute(_FOLDERS).fetchall()]

    def sums(self, progress: Progress) -> dict[str, TableSum]:
        """Rows and checksum of every table."""
        return table_sums(self._connection, tables_of(self._connection), progress, "checksums")

    def take_turn(self) -> None:
        """Wait until no other backup of this database gets its name or removes older ones; ours do so while the moment is held."""
        self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('intraday backup'), 0)")

    def dump(self, tools: Tools, progress: Progress) -> Iterator[bytes]:
        """``pg_dump``'s custom format. Raises StorageError when it fails; what was yielded is no dump then."""
        where, env = connection_of(self._db.dsn, os.environ)
        command: list[str | Path] = [
            tools.bindir / "pg_dump", "--format=custom", f"--compress={_COMPRESSION}", f"--snapshot={self._snapshot}",
            f"--lock-wait-timeout={_DUMP_WAIT_MS}", "--no-password", "--encoding=UTF8", f"--dbname={where}",
        ]  # fmt: skip
        with tempfile.TemporaryFile() as said:
            with subprocess.Popen(  # nosec B603
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=env, start_new_session=True
            ) as child:
                assert child.stdout is not None
                try:
                    done = 0
                    while chunk := child.stdout.read(_CHUNK):
                        done += len(chunk)
                        progress("dump, MiB", done >> 20, 0)
                        yield chunk
                except BaseException:
                    child.kill()
                    raise
            if child.returncode != 0:
                said.seek(0)
                raise StorageError(f"no backup: {reason('pg_dump', child.returncode, said.read())}")


@contextmanager
def patient(database: Database, name: str) -> Iterator[Connection]:
    """A connection of its own without a statement timeout, called ``name`` in the server's list of sessions."""
    with mapped(database.room), Database(database.dsn) as other, other.autocommit() as connection:
        connection.execute("SELECT set_config('application_name', %s, false)", (name,))
        yield connection


@contextmanager
def frozen(database: Database) -> Iterator[Frozen]:
    """Hold the moment while the block runs. Raises StorageError where there is no schema, or somebody keeps changing it."""
    with patient(database, "intraday backup") as connection:
        if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
            raise StorageError("nothing to back up: expected a database made by intraday, found no schema (intraday db init)")
        connection.execute("SET idle_in_transaction_session_timeout = 0")  # it waits for pg_dump
        snapshot = _begin(connection)
        try:
            yield Frozen(database, connection, snapshot)
        finally:
            connection.rollback()


def _begin(connection: Connection) -> str:
    """Begin the transaction and export its snapshot. Locks first: what was not there yet must not go before it is looked at."""
    for _ in range(_LOCK_TRIES):
        tables = ", ".join(row[0] for row in connection.execute(_TABLES).fetchall() if row[1] in _LOCKABLE)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            connection.execute(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}")
            connection.execute(f"LOCK TABLE {tables} IN ACCESS SHARE MODE")
            connection.execute("SET LOCAL lock_timeout = 0")
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            return str(row[0])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
            connection.rollback()
    raise StorageError(f"another program has been changing the schema for {_LOCK_TRIES * _LOCK_WAIT_MS // 1000} s: try again later")


def tables_of(connection: Connection) -> list[str]:
    """Every table with rows of its own, qualified and quoted, by name: one entry for a partitioned table or a hypertable."""
    names = [str(row[0]) for row in connection.execute(_TABLES).fetchall()]
    if timescale.installed(connection):
        names += [str(row[0]) for row in connection.execute(_AGGREGATES).fetchall()]
    return names


def table_sums(connection: Connection, tables: Sequence[str], told: Progress, what: str) -> dict[str, TableSum]:
    """Rows and checksum of each, on a connection inside a transaction.

    The same rows give the same sums on every server: whatever shapes the text of a value is set here.
    """
    connection.execute(_TEXT_OF_VALUES)
    found: dict[str, TableSum] = {}
    for i, table in enumerate(tables):
        told(what, i, len(tables))
        row = connection.execute(
            f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {table} t"  # nosec B608: quoted by the server
        ).fetchone()
        assert row is not None
        found[table] = TableSum(int(row[0]), str(row[1]))
    told(what, len(tables), len(tables))
    return found
