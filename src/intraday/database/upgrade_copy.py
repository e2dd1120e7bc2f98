"""Every database and role of one server of ours into another, dumped, restored and compared.

Dumped with the old server's own programs, restored with the new one's: a minor release may keep things in its catalogue that only
its own pg_dump knows to leave out (PostgreSQL 15.20 notes ``pg_attver`` with every column, and 18.4's pg_dump hands that on to a
server that refuses it).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from intraday.database.digests import digest
from intraday.database.dump_tools import connection_of, reason
from intraday.database.embedded_cluster import USER, Cluster
from intraday.database.pool import Connection, Database
from intraday.domain.errors import StorageError, VerifyError
from intraday.domain.ports import Progress

_CHUNK = 2**20
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY 1"""
# What a dump could forget without any row being missed.
_OBJECTS = """
    WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
    SELECT concat('relation ', relkind, ' ', oid::regclass) FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
    UNION ALL SELECT concat('function ', oid::regprocedure) FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
    UNION ALL SELECT concat('trigger ', tgname, ' of ', tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat('constraint ', conname, ' of ', conrelid::regclass) FROM pg_constraint
    WHERE contype <> 'n' AND conrelid <> 0 AND connamespace IN (SELECT oid FROM ours)
    UNION ALL SELECT concat('sequence ', format('%I.%I', schemaname, sequencename), ' at ', last_value) FROM pg_sequences
    UNION ALL SELECT concat('role ', rolname) FROM pg_roles WHERE rolname !~ '^pg_'
    UNION ALL SELECT concat('setting ', unnest(setconfig), ' of ', setrole::regrole) FROM pg_db_role_setting
    ORDER BY 1"""


def copy_all(old: Cluster, new: Cluster, dumps: Path, restores: Path, progress: Progress) -> tuple[int, int, int]:
    """Everything of the running server ``old`` into ``new``, with the programs in these folders; (databases, tables, rows).

    Raises StorageError, and VerifyError when the copy differs.
    """
    with closing(psycopg.connect(old.dsn("postgres"), autocommit=True)) as connection:
        names = [str(row[0]) for row in connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")]
    _check_extensions(old, new, names)
    _copy_roles(old, new, dumps)
    for name in names:
        _copy(old, new, name, (dumps / "pg_dump", restores / "pg_restore"), progress)
    tables = rows = 0
    for name in names:
        with Database(old.dsn(name)) as before, Database(new.dsn(name)) as after:
            counts = _compare(before, after, progress)
            with after.autocommit() as connection:
                connection.execute("ANALYZE")
        tables, rows = tables + len(counts), rows + sum(counts)
    return len(names), tables, rows


def _check_extensions(old: Cluster, new: Cluster, names: Sequence[str]) -> None:
    """Refuse what the new server could not hold. TimescaleDB has its own way to another version."""
    with closing(psycopg.connect(new.dsn("postgres"))) as connection:
        known = {str(row[0]) for row in connection.execute("SELECT name FROM pg_available_extensions")} - {"timescaledb"}
    for name in names:
        with closing(psycopg.connect(old.dsn(name))) as connection:
            missing = {str(row[0]) for row in connection.execute("SELECT extname FROM pg_extension")} - known
        if missing:
            raise StorageError(
                f"the database {name!r} uses {', '.join(sorted(missing))}, which our new PostgreSQL can't take over: "
                "`intraday db move --to DSN` takes everything to a server that has it"
            )


def _copy_roles(old: Cluster, new: Cluster, dumps: Path) -> None:
    """Roles, their passwords and memberships: a dump of a database does not have them."""
    target, env = connection_of(old.dsn("postgres"), os.environ)
    done = subprocess.run(
        [dumps / "pg_dumpall", "--roles-only", f"--dbname={target}"], check=False, capture_output=True, env=env
    )  # fmt: skip  # nosec B603
    if done.returncode != 0:
        raise StorageError(f"can't read the roles: {reason('pg_dumpall', done.returncode, done.stderr)}")
    ours = f"CREATE ROLE {USER};"  # initdb made it
    lines = [
        line for line in done.stdout.decode("utf-8").splitlines() if line and not line.startswith(("--", "\\")) and line != ours
    ]
    with closing(psycopg.connect(new.dsn("postgres"), autocommit=True)) as connection:
        connection.execute("\n".join(lines).encode())


def _copy(old: Cluster, new: Cluster, name: str, programs: tuple[Path, Path], progress: Progress) -> None:
    """One database, from pg_dump straight into pg_restore."""
    source, source_env = connection_of(old.dsn(name), os.environ)
    create = [] if name == "postgres" else ["--create"]
    target, target_env = connection_of(new.dsn("postgres"), os.environ)
    with tempfile.TemporaryFile() as dump_says, tempfile.TemporaryFile() as restore_says:
        dump = subprocess.Popen(
            [programs[0], "--format=custom", "--compress=0", f"--dbname={source}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=dump_says, env=source_env,
        )  # fmt: skip  # nosec B603
        restore = subprocess.Popen(
            [programs[1], "--exit-on-error", *create, f"--dbname={target}"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=restore_says, env=target_env,
        )  # fmt: skip  # nosec B603
        try:
            _pump(dump, restore, name, progress)
        finally:
            for process in (dump, restore):
                process.kill()  # nothing, where it has ended
                process.wait()
        if dump.returncode or restore.returncode:
            # Where the reader stopped we had to end the dump; where the dump broke off the reader only knows that it ended early.
            first = dump.returncode not in {0, -signal.SIGKILL}
            program, process, said = ("pg_dump", dump, dump_says) if first else ("pg_restore", restore, restore_says)
            said.seek(0)
            raise StorageError(f"can't copy the database {name!r}: {reason(program, process.returncode, said.read())}")


def _pump(dump: subprocess.Popen[bytes], restore: subprocess.Popen[bytes], name: str, progress: Progress) -> None:
    """Hand the dump on and wait for both; a reader or writer that ended early is seen by its exit code."""
    assert dump.stdout is not None and restore.stdin is not None
    done = 0
    try:
        with dump.stdout, restore.stdin:
            while chunk := dump.stdout.read(_CHUNK):
                restore.stdin.write(chunk)
                done += len(chunk)
                progress(f"copying {name} (MiB)", done // 2**20, 0)
    except BrokenPipeError:
        restore.wait()
        return
    dump.wait()
    restore.wait()


def _compare(before: Database, after: Database, progress: Progress) -> list[int]:
    """Rows by table. Raises VerifyError unless both have the same objects and the same rows in every table."""
    with before.autocommit() as one, after.autocommit() as two:
        objects, others = _names(one, _OBJECTS), _names(two, _OBJECTS)
        if objects != others:
            different = sorted(set(objects) ^ set(others))
            raise VerifyError(f"the copy differs from the database, nothing was changed: {'; '.join(different[:5])}")
        tables = _names(one, _TABLES)
    counts = []
    for n, table in enumerate(tables):
        progress("comparing tables", n, len(tables))
        first, second = digest(before, table), digest(after, table)
        if (first.rows, first.content) != (second.rows, second.content):
            raise VerifyError(
                f"the copy of {table} differs from the table, nothing was changed: expected {first.rows} rows with checksum "
                f"{first.content}, found {second.rows} with {second.content}"
            )
        counts.append(first.rows)
    progress("comparing tables", len(tables), len(tables))
    return counts


def _names(connection: Connection, query: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(query)]
