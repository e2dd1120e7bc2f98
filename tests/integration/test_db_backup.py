"""The restore drill, and backups and restores that are disturbed: the whole or nothing, and nobody's rows but the backup's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import backup_cases
from backup_cases import PLAIN, archive_file
from database_cases import Backend
from intraday.config.settings import Settings
from intraday.database import schema
from intraday.database.check import Checker
from intraday.database.check_block import Scope
from intraday.database.digests import DATA_TABLES
from intraday.database.dump_archive import DUMP, Folder, TableSum, opened, written
from intraday.database.dump_load import load
from intraday.database.dump_target import check_target, clear
from intraday.database.dump_tools import installed
from intraday.database.dumping import frozen, table_sums, tables_of
from intraday.database.maintenance import Policy, maintain
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import Bars
from intraday.domain.clock import SystemClock
from intraday.domain.errors import InputError, StorageError, StorageFull
from intraday.domain.ports import Source
from intraday.domain.session import midnight_ns
from intraday.jobs.backup import run_backup, run_check, run_restore
from intraday.jobs.historical import run_historical
from intraday.jobs.verify import run_verify
from job_cases import SESSIONS, fill, market_of, quiet, settings_on

pytestmark = pytest.mark.integration
CLOCK = SystemClock()


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def is_empty(dsn: str) -> bool:
    with Database(dsn) as database, database.autocommit() as connection:
        return tables_of(connection) == []


def contents(dsn: str) -> dict[str, TableSum]:
    """Sums of what tells nothing of single runs. (``digests`` can't read compressed chunks: they have no ``xmin``.)"""
    with Database(dsn) as database, database.autocommit() as connection, connection.transaction():
        return table_sums(connection, [f"public.{name}" for name in sorted(DATA_TABLES)], quiet, "")


def children(name: str) -> list[psutil.Process]:
    """This process's children of that name that are alive."""
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE and p.name() == name]


@pytest.fixture
def small(dsn: str) -> str:
    """A database with a few rows, and three MB of noise so that a dump takes more than one breath."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO instruments (exchange, symbol, kind, tick_size, lot_size) VALUES ('NSE', 'X', 'equity', 5, 1)"
        )
        connection.execute(
            """INSERT INTO events (at, kind, detail)
               SELECT now(), 'noise', to_jsonb(string_agg(md5(random()::text), ''))
               FROM generate_series(1, 1500) i, generate_series(1, 100) j GROUP BY i"""
        )
    return dsn


@pytest.mark.slow
def test_the_restore_drill(lived: Settings, lived_dsn: str, empty_dsn: str, tmp_path: Path) -> None:
    """A system that lived a day, its old chunks compressed, restored elsewhere: the same rows, its own files, and it goes on."""
    with Database(lived_dsn) as database:
        maintain(database, Policy({}, compress_after_days=1), CLOCK.now_ns())
    before = contents(lived_dsn)
    done = run_backup(lived, tmp_path, None, CLOCK, quiet)
    assert (done.models, done.journals - done.unnamed, done.missing, done.removed) == (1, 1, (), [])
    assert run_check(done.file, quiet).rows == done.rows > 30_000
    there = settings_on(empty_dsn, tmp_path / "elsewhere")
    restored = run_restore(there, done.file, None, CLOCK, quiet)
    assert (restored.rows, restored.models, restored.journals) == (done.rows, 1, done.journals)
    assert restored.revision == restored.backup_revision == schema.current(lived_dsn)[1]
    assert rows(empty_dsn, "SELECT kind FROM events ORDER BY id DESC LIMIT 1") == [("restore",)]
    assert rows(lived_dsn, "SELECT kind FROM events ORDER BY id DESC LIMIT 1") == [("backup",)]

    same_but_for_paths(before, contents(empty_dsn))
    for query in ("SELECT path FROM models", "SELECT journal FROM run_days"):
        ((old,),), ((new,),) = rows(lived_dsn, query), rows(empty_dsn, query)
        assert str(new).startswith(str(tmp_path / "elsewhere"))
        names = [{p.name: p.read_bytes() for p in Path(str(folder)).iterdir()} for folder in (old, new)]
        assert names[0] == names[1] != {}
    assert findings(empty_dsn) == findings(lived_dsn) <= {"checksums"}, "page checksums are the server's"
    proof = run_verify(there, None, None, CLOCK, quiet)
    assert all(check.passed for check in proof.checks)
    assert proof == run_verify(lived, None, None, CLOCK, quiet)
    ((last,),) = rows(empty_dsn, "SELECT trained_to FROM models")
    assert isinstance(last, date)
    was = contents(empty_dsn)
    run_historical(there, CLOCK, quiet, last=last)
    assert contents(empty_dsn) == was, "a second historical run changes nothing"
    with opened(done.file) as one, opened(run_backup(there, tmp_path, None, CLOCK, quiet).file) as two:
        grown = {"public.runs", "public.events", "public.models", "public.run_days", "public.trials"}
        assert {k for k, v in one.manifest.tables.items() if two.manifest.tables.get(k) != v} == grown
        assert one.manifest.tables.keys() == two.manifest.tables.keys() > {"public.ohlcv_1min", "public.ohlcv_60min"}

    for dsn in (lived_dsn, empty_dsn):
        go_on(dsn, market_of(lived).bars(3))
    same_but_for_paths(contents(lived_dsn), contents(empty_dsn))
    assert contents(empty_dsn)["public.ohlcv_15min"] != before["public.ohlcv_15min"]


def same_but_for_paths(one: dict[str, TableSum], other: dict[str, TableSum]) -> None:
    """A restored system's models are elsewhere."""
    assert [name for name, found in one.items() if other[name] != found] == ["public.models"]


def findings(dsn: str) -> set[str]:
    """Rules of `intraday db check` that are broken."""
    with Database(dsn) as database:
        scope = Scope(midnight_ns(SESSIONS.first), midnight_ns(SESSIONS.last))
        checker = Checker(database, SESSIONS, lambda instrument_id, day: False)
        return {found.rule.name for found in checker.run(scope, quiet) if found.n}


def go_on(dsn: str, bars: Bars) -> None:
    """Better bars of an old day arrive, and the timeframes follow."""
    bars["close"] = bars["high"]
    with Database(dsn) as database:
        stores = Stores(database)
        done = stores.bars.write([i.id for i in stores.instruments.all()], bars, Source.BROKER, 1_800_000_000_000_000_000)
        assert done.inserted == bars.shape[0]
        stores.rollups.refresh()


def test_no_secret_is_in_the_file(small: str, tmp_path: Path) -> None:
    """Not even packed; nor on the command line of pg_dump."""
    password = str(conninfo_to_dict(small).get("password") or "no-password-at-all")
    seen: list[str] = []

    def look(what: str, done: int, total: int) -> None:
        seen.extend(" ".join(process.cmdline()) for process in children("pg_dump"))

    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, look).file
    assert any("--snapshot=" in line for line in seen)
    assert not any(password in line for line in seen)
    with zipfile.ZipFile(file) as archive:
        assert not any(password.encode() in archive.read(name) for name in archive.namelist())


def test_a_backup_while_others_write_is_of_one_moment(small: str, backend: Backend, empty_dsn: str, tmp_path: Path) -> None:
    """Two tables are always written together; the writer writes between every two steps of the backup."""
    written_pairs = 0

    def write(what: str, done: int, total: int) -> None:
        nonlocal written_pairs
        written_pairs += 1
        with psycopg.connect(small) as connection:
            connection.execute("INSERT INTO events (at, kind, detail) VALUES (now(), 'pair', '{}')")
            connection.execute(
                "INSERT INTO runs (id, command, config, started_at) VALUES (%s, 'pair', '{}', now())", (str(written_pairs),)
            )
            connection.execute("UPDATE instruments SET lot_size = lot_size + 1")

    write("before", 0, 0)
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, write).file
    assert written_pairs > 30
    run_restore(settings_on(empty_dsn, tmp_path / "new"), file, None, CLOCK, quiet)
    pairs = (
        "SELECT (SELECT count(*) FROM events WHERE kind = 'pair'), (SELECT count(*) FROM runs), (SELECT lot_size FROM instruments)"
    )
    assert rows(empty_dsn, pairs) == [(1, 1, 2)]
    assert rows(small, pairs) == [(written_pairs, written_pairs, written_pairs + 1)]


def test_the_newest_tools_serve_an_older_server(small: str, empty_dsn: str, tmp_path: Path) -> None:
    """pg_restore 17 and newer set what PostgreSQL 15 and 16 do not know."""
    tools = max(installed(), key=lambda found: found.major)
    with Database(small) as database, frozen(database) as moment, written(tmp_path / "b.backup") as archive:
        archive.add(DUMP, moment.dump(tools, quiet), packed=True)
        archive.finish(replace(PLAIN, timescaledb=moment.facts().timescaledb, tables=moment.sums(quiet)))
    with Database(empty_dsn) as database, opened(tmp_path / "b.backup") as backup:
        load(database, backup, tools, {}, quiet)
    assert contents(empty_dsn) == contents(small)


# ------------------------------------------------------------------------------------------------------------- disturbed


def child(*args: object) -> int:
    """Run a backup or a restore in another process; its return code."""
    path = os.pathsep.join(p for p in sys.path if p)
    command = [sys.executable, backup_cases.__file__, *map(str, args)]
    return subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": path}, capture_output=True).returncode


def test_a_killed_pg_dump_leaves_no_file(small: str, tmp_path: Path) -> None:
    def kill(what: str, done: int, total: int) -> None:
        for process in children("pg_dump"):
            process.kill()

    with pytest.raises(StorageError, match="no backup: pg_dump was killed by signal 9"):
        run_backup(settings_on(small, tmp_path / "var"), tmp_path / "b", None, CLOCK, kill)
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.slow
def test_a_killed_backup_leaves_nothing_that_looks_like_one(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    assert child("backup", small, tmp_path / "var", folder, "dump, MiB") == -signal.SIGKILL
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    done = run_backup(settings_on(small, tmp_path / "var"), folder, 1, CLOCK, quiet)
    assert list(folder.iterdir()) == [done.file]
    run_check(done.file, quiet)


@pytest.mark.slow
def test_a_killed_restore_leaves_an_empty_database(small: str, empty_dsn: str, tmp_path: Path) -> None:
    """Killed at the last moment: every row is there, and not committed."""
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file
    assert child("restore", empty_dsn, tmp_path / "new", file, "compare") == -signal.SIGKILL
    wait_for_others(empty_dsn)
    assert is_empty(empty_dsn)
    run_restore(settings_on(empty_dsn, tmp_path / "new"), file, None, CLOCK, quiet)
    assert contents(empty_dsn) == contents(small)


def wait_for_others(dsn: str) -> None:
    """The server notices a dead client when it next speaks to it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(100):
            n = connection.execute(
                """SELECT count(*), pg_sleep(0.05) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'intraday restore'"""
            ).fetchone()
            if n is not None and n[0] == 0:
                return
    raise AssertionError("the killed restore's sessions are still there")


def test_a_killed_pg_restore_leaves_an_empty_database(small: str, empty_dsn: str, tmp_path: Path) -> None:
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file

    def kill(what: str, done: int, total: int) -> None:
        for process in children("pg_restore"):
            process.kill()

    with pytest.raises(StorageError, match="pg_restore"):
        run_restore(settings_on(empty_dsn, tmp_path / "new"), file, None, CLOCK, kill)
    assert is_empty(empty_dsn)


def forged(file: Path, tmp_path: Path, change: Callable[[dict[str, TableSum]], None]) -> Path:
    """The same dump under another manifest, well signed."""
    path = tmp_path / "forged.backup"
    with opened(file) as archive, written(path) as other:
        tables = dict(archive.manifest.tables)
        change(tables)
        other.add(DUMP, archive.stream(DUMP), packed=True)
        other.add("models/m/model.txt", [b"tree"])
        there = (*archive.manifest.folders, Folder("model", "/old/m", "models/m"))
        other.finish(replace(archive.manifest, tables=tables, folders=there))
    return path


def one_row_more(tables: dict[str, TableSum]) -> None:
    tables["public.events"] = replace(tables["public.events"], rows=tables["public.events"].rows + 1)


def other_values(tables: dict[str, TableSum]) -> None:
    tables["public.events"] = replace(tables["public.events"], content="7")


def no_such_table(tables: dict[str, TableSum]) -> None:
    tables["public.nothing"] = TableSum(0, "0")


@pytest.mark.parametrize("change", [one_row_more, other_values, no_such_table])
def test_rows_that_differ_are_not_kept(
    small: str, empty_dsn: str, tmp_path: Path, change: Callable[[dict[str, TableSum]], None]
) -> None:
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file
    with pytest.raises(StorageError, match=r"nothing was kept: public\.(events|nothing): expected "):
        run_restore(settings_on(empty_dsn, tmp_path / "new"), forged(file, tmp_path, change), None, CLOCK, quiet)
    assert is_empty(empty_dsn)
    assert not list((tmp_path / "new").rglob("*.txt"))


# --------------------------------------------------------------------------------------------------------------- refused


def test_a_damaged_file_is_refused_before_anything_is_touched(small: str, tmp_path: Path) -> None:
    """There is no server at that address: nobody was asked."""
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    nowhere = settings_on("postgresql://me@127.0.0.1:1/x", tmp_path / "new")
    for call in (lambda: run_check(file, quiet), lambda: run_restore(nowhere, file, None, CLOCK, quiet)):
        with pytest.raises(InputError, match="it was altered or damaged"):
            call()
    assert not (tmp_path / "new").exists()


def test_a_database_with_rows_is_refused(small: str, tmp_path: Path) -> None:
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file
    before = contents(small)
    with pytest.raises(
        StorageError, match=r"expected an empty database to restore into, found rows in public\.\w+ and 1 more tables"
    ):
        run_restore(settings_on(small, tmp_path / "new"), file, None, CLOCK, quiet)
    assert contents(small) == before


def test_a_schema_without_rows_gives_way_where_it_can(small: str, backend: Backend, tmp_path: Path) -> None:
    with psycopg.connect(small) as connection:  # Optuna's own tables go along, in the place of the empty schema
        connection.execute("CREATE TABLE optuna.studies AS SELECT 'mine' AS name")
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file
    target = backend.create()
    try:
        if backend.kind == "postgresql":
            run_restore(settings_on(target, tmp_path / "new"), file, None, CLOCK, quiet)
            assert contents(target) == contents(small)
            assert rows(target, "SELECT name FROM optuna.studies") == [("mine",)]
        else:
            with pytest.raises(StorageError, match="expected a database without a schema"):
                run_restore(settings_on(target, tmp_path / "new"), file, None, CLOCK, quiet)
    finally:
        backend.drop(target)


STRANGE = {
    "TABLE public.shop_orders": "CREATE TABLE shop_orders (id int)",
    "FUNCTION public.price(integer)": "CREATE FUNCTION price(int) RETURNS int LANGUAGE sql AS 'SELECT 42'",
    "SEQUENCE public.invoice_no": "CREATE SEQUENCE invoice_no",
    "TYPE public.colour": "CREATE TYPE colour AS ENUM ('red')",
    "VIEW elsewhere.report": "CREATE SCHEMA elsewhere; CREATE VIEW elsewhere.report AS SELECT 1 AS a",
}


@pytest.mark.parametrize("migrated", [False, True])
def test_what_others_made_is_refused_and_stays(small: str, backend: Backend, tmp_path: Path, migrated: bool) -> None:
    """Whatever it is, beside our schema or alone."""
    with Database(small) as database, frozen(database) as moment:
        manifest = replace(PLAIN, timescaledb=moment.facts().timescaledb)
    target = backend.create(migrated=migrated)
    try:
        for what, statement in STRANGE.items():
            with psycopg.connect(target) as connection, Database(target) as database:
                connection.execute(statement)
                connection.commit()
                with pytest.raises(StorageError, match=rf"found {re.escape(what)} that intraday did not make; nothing was touched"):
                    check_target(database, manifest)
                with pytest.raises(StorageError, match="that intraday did not make"):
                    clear(connection)
                connection.rollback()
                connection.execute(f"DROP {what}")
        with psycopg.connect(target) as connection:
            connection.execute("CREATE TABLE alembic (a int); CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
            connection.execute("DELETE FROM alembic_version")
            connection.execute("INSERT INTO alembic_version VALUES ('ab12cd34')")
        with Database(target) as database, pytest.raises(StorageError, match="schema has revision ab12cd34"):
            check_target(database, manifest)
    finally:
        backend.drop(target)


def test_another_kind_of_server_is_refused(database: Database, empty_dsn: str) -> None:
    with frozen(database) as moment:
        facts = moment.facts()
    manifest = replace(PLAIN, timescaledb=facts.timescaledb)
    with Database(empty_dsn) as target:
        check_target(target, manifest)
        other = replace(manifest, timescaledb="2.28.3" if facts.timescaledb is None else None)
        with pytest.raises(StorageError, match=r"the backup is of .*, the target is a .*: .*`intraday db move`"):
            check_target(target, other)
        if facts.timescaledb is not None:
            with pytest.raises(StorageError, match=r"the backup is of TimescaleDB 2\.0\.0, the target has 2\..*same version"):
                check_target(target, replace(manifest, timescaledb="2.0.0"))
        with pytest.raises(StorageError, match="has 1000000 tables and indexes, .* set max_locks_per_transaction = "):
            check_target(target, replace(manifest, relations=1_000_000))
    assert is_empty(empty_dsn)


def test_a_newer_schema_is_refused_and_an_older_one_migrated(small: str, empty_dsn: str, tmp_path: Path) -> None:
    newer = tmp_path / "newer.backup"
    archive_file(newer, revision="9999")
    with pytest.raises(StorageError, match="schema has revision 9999, this program knows up to"):
        run_restore(settings_on(empty_dsn, tmp_path / "new"), newer, None, CLOCK, quiet)
    assert is_empty(empty_dsn)
    schema.migrate(small, "0002", lose_data=True)
    file = run_backup(settings_on(small, tmp_path / "var"), tmp_path, None, CLOCK, quiet).file
    done = run_restore(settings_on(empty_dsn, tmp_path / "new"), file, None, CLOCK, quiet)
    assert (done.backup_revision, done.revision) == ("0002", schema.current(empty_dsn)[1])
    assert rows(empty_dsn, "SELECT symbol FROM instruments") == [("X",)]


def test_the_journal_of_a_day_under_way_is_not_lost(small: str, empty_dsn: str, tmp_path: Path) -> None:
    """Its row in run_days is written when the day ends."""
    settings, there = settings_on(small, tmp_path / "var"), settings_on(empty_dsn, tmp_path / "new")
    journal = Path("journal/tick/2026-01-05/run/00000.seg")
    (settings.system.data_dir / journal).parent.mkdir(parents=True)
    (settings.system.data_dir / journal).write_bytes(b"so far")
    done = run_backup(settings, tmp_path / "b", None, CLOCK, quiet)
    assert (done.journals, done.unnamed) == (1, 1)
    assert run_check(done.file, quiet).journals == 1
    assert run_restore(there, done.file, None, CLOCK, quiet).journals == 1
    assert (there.system.data_dir / journal).read_bytes() == b"so far"


class Stopped(SystemClock):
    """Always the same second."""

    def now_ns(self) -> int:
        return 1_767_600_000_000_000_000


def test_a_backup_never_takes_the_place_of_another(small: str, tmp_path: Path) -> None:
    settings, folder = settings_on(small, tmp_path / "var"), tmp_path / "b"
    first, second, third = (run_backup(settings, folder, keep, Stopped(), quiet) for keep in (None, None, 2))
    assert len({first.file, second.file, third.file}) == 3
    assert len(third.removed) == 1
    assert set(folder.iterdir()) == {first.file, second.file, third.file} - {*third.removed}
    for file in folder.iterdir():
        run_check(file, quiet)
    assert rows(small, "SELECT detail->>'file' FROM events WHERE kind = 'backup' ORDER BY id DESC LIMIT 1") == [(third.file.name,)]


def test_a_database_that_is_not_ours_is_not_backed_up(empty_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing to back up: expected a database made by intraday"):
        run_backup(settings_on(empty_dsn, tmp_path / "var"), tmp_path / "b", None, CLOCK, quiet)
    assert list((tmp_path / "b").iterdir()) == []


def test_a_full_disk_leaves_no_backup(small: str, small_disk: Path, tmp_path: Path) -> None:
    settings = settings_on(small, tmp_path / "var")
    filler = fill(small_disk, 1 << 20)
    with pytest.raises(StorageFull, match="no room left on the disk of"):
        run_backup(settings, small_disk / "b", None, CLOCK, quiet)
    assert list((small_disk / "b").iterdir()) == []
    filler.unlink()
    run_check(run_backup(settings, small_disk / "b", None, CLOCK, quiet).file, quiet)
