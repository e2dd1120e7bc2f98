"""A backup into an empty database. Everything happens in one transaction, the comparison with the manifest included.

``pg_restore`` writes the dump as SQL and this module runs it: so that the one setting an older server does not know can be left
out, that the checksums are compared before the commit, and that a kill at any moment leaves an empty database.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from intraday.database import roles, timescale
from intraday.database.dump_archive import DUMP, Archive, Manifest
from intraday.database.dump_target import clear
from intraday.database.dump_tools import Tools, connection_of, reason
from intraday.database.dumping import patient, table_sums, tables_of
from intraday.database.pool import Connection, Database
from intraday.domain.errors import StorageError
from intraday.domain.ports import Progress

_BATCH = 1 << 20
_PSQL_ONLY = (b"\\restrict ", b"\\unrestrict ")
_COPY, _COPY_ENDS, _DATA_ENDS = b"COPY ", b" FROM stdin;\n", b"\\.\n"
_SETTING_OF_17 = b"SET transaction_timeout = 0;\n"


@contextmanager
def alone(database: Database) -> Iterator[None]:
    """No other restore into this database while the block runs. Raises StorageError in the second one."""
    with patient(database, "intraday restore") as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(hashtext('intraday restore'), 0)").fetchone()
        if row != (True,):
            raise StorageError("another `intraday restore` fills this database: wait for it to end")
        yield


def load(database: Database, archive: Archive, tools: Tools, paths: Mapping[str, str], progress: Progress) -> None:
    """Restore the dump, compare every table with the manifest, and give the rows the new ``paths`` of their folders.

    All of it or nothing: raises StorageError when anything differs or fails, InputError when the dump is damaged.
    """
    manifest = archive.manifest
    hyper = manifest.timescaledb is not None
    with patient(database, "intraday restore") as connection:
        if hyper and not timescale.installed(connection):
            connection.execute(f"CREATE EXTENSION timescaledb VERSION '{manifest.timescaledb}'")
    with patient(database, "intraday restore") as connection, connection.transaction():
        if hyper:
            connection.execute("SELECT timescaledb_pre_restore()")
        else:
            clear(connection)
        with _script(archive, tools, progress) as lines:
            _run(connection, lines)
        connection.execute("RESET search_path")
        if hyper:
            connection.execute("SELECT timescaledb_post_restore()")
        roles.grant(connection)  # the dump's own rights name roles that may not be on this server
        _compare(connection, manifest, progress)
        _rewrite(connection, paths)


def analyze(database: Database) -> None:
    """Give the planner its statistics: they are not in a dump."""
    with patient(database, "intraday restore") as connection:
        connection.execute("ANALYZE")


@contextmanager
def _script(archive: Archive, tools: Tools, progress: Progress) -> Iterator[Iterator[bytes]]:
    """The dump as SQL, line by line. Raises when the block ends, unless the dump was whole and ``pg_restore`` happy with it."""
    command: list[str | Path] = [tools.bindir / "pg_restore", "--file=-", "--no-owner", "--no-privileges", "--no-tablespaces"]
    _, env = connection_of("", os.environ)
    with tempfile.TemporaryFile() as said, ThreadPoolExecutor(1) as feeder:
        with subprocess.Popen(  # nosec B603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=env, start_new_session=True, bufsize=_BATCH
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            fed = feeder.submit(_feed, child.stdin, archive, progress)
            try:
                yield iter(child.stdout)
                fed.result()
            except BaseException:
                child.kill()
                raise
        if child.returncode != 0:
            said.seek(0)
            raise StorageError(f"nothing was restored: {reason('pg_restore', child.returncode, said.read())}")


def _feed(pipe: IO[bytes], archive: Archive, progress: Progress) -> None:
    """Give the dump to ``pg_restore``. It is read to its end even if nobody listens: only then is its checksum compared."""
    total = archive.manifest.members[DUMP].bytes >> 20
    done = 0
    listening = True
    for chunk in archive.stream(DUMP):
        progress("restore", done >> 20, total)
        if listening:
            try:
                pipe.write(chunk)
            except BrokenPipeError:
                listening = False
        done += len(chunk)
    with suppress(BrokenPipeError):
        pipe.close()
    progress("restore", total, total)


def _run(connection: Connection, lines: Iterator[bytes]) -> None:
    """Run pg_restore's SQL: statements together up to the next table's rows, rows by COPY. Both in batches of about a MiB."""
    statements: list[bytes] = []
    for line in lines:
        if line.startswith(_COPY) and line.endswith(_COPY_ENDS):
            _execute(connection, statements)
            with connection.cursor().copy(line) as copy:
                for batch in _rows(lines):
                    copy.write(batch)
        elif not line.startswith(_PSQL_ONLY) and line != _SETTING_OF_17:
            statements.append(line)
    _execute(connection, statements)


def _execute(connection: Connection, statements: list[bytes]) -> None:
    if statements:
        connection.execute(b"".join(statements))
        statements.clear()


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The rows of one COPY, in batches. Raises StorageError when the script ends within them."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if line == _DATA_ENDS:
            yield b"".join(batch)
            return
        batch.append(line)
        size += len(line)
        if size > _BATCH:
            yield b"".join(batch)
            batch, size = [], 0
    raise StorageError("nothing was restored: pg_restore stopped in the middle of a table")


def _compare(connection: Connection, manifest: Manifest, progress: Progress) -> None:
    found = table_sums(connection, tables_of(connection), progress, "compare")
    wrong = sorted(name for name in {*found, *manifest.tables} if found.get(name) != manifest.tables.get(name))
    if wrong:
        want, have = manifest.tables.get(wrong[0]), found.get(wrong[0])
        raise StorageError(
            f"the restored rows are not those of the backup, so nothing was kept: {wrong[0]}: expected {want}, found {have}"
            + (f"; {len(wrong) - 1} more tables differ" if len(wrong) > 1 else "")
        )


def _rewrite(connection: Connection, paths: Mapping[str, str]) -> None:
    """Rows name their folders where they are now. One statement: no path is rewritten twice."""
    for table, column in (("models", "path"), ("run_days", "journal")):
        connection.execute(
            f"""UPDATE public.{table} SET {column} = new FROM unnest(%s::text[], %s::text[]) AS moved (old, new)
                WHERE {column} = old AND old <> new""",  # nosec B608: our own names
            (list(paths), list(paths.values())),
        )
