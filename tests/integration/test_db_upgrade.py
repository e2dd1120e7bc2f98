"""``intraday db upgrade``: an old cluster becomes a new one, and no kill on the way leaves less than one of them whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
import typer
from typer.testing import CliRunner

from database_cases import on_database, remove_server
from embedded_cases import copy_of, execute, kill_all, killed_at, postmaster, python, query
from intraday.cli import upgrade as command
from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.digests import digests
from intraday.database.embedded import EmbeddedServer
from intraday.database.embedded_host import Account, installed_bindirs, major_of, wheel_bindir
from intraday.database.pool import Database
from intraday.database.upgrade import upgrade
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, empty
from intraday.domain.errors import StorageError, StorageFull, VerifyError
from intraday.domain.ports import Source
from job_cases import fill, quiet

pytestmark = pytest.mark.integration
PLACES = int(os.environ.get("INTRADAY_TORTURE_PLACES", "2"))
BARS = 3000
NOW = major_of(wheel_bindir(), Account())

KILLED_AT = killed_at(
    "upgrade(Path(sys.argv[2]), lambda what, done, total: None, old_bindir=Path(sys.argv[3]))", "embedded", "upgrade"
)


@pytest.fixture(scope="module")
def old_bindir() -> Path:
    """The newest older PostgreSQL on this machine; the wheel itself brings one."""
    older = [folder for major in range(NOW - 1, 14, -1) for folder in installed_bindirs(major)]
    if not older:
        pytest.skip(f"no PostgreSQL older than {NOW} on this machine")
    return older[0]


@pytest.fixture(scope="module")
def template(old_bindir: Path) -> Iterator[Path]:
    """A database of ours in an old cluster, stopped: bars, a role with a password, another database."""
    folder = Path(tempfile.mkdtemp(prefix="intraday-test-"))
    folder.chmod(0o755)
    fill_old(folder, old_bindir)
    yield folder
    remove_server(folder)


def fill_old(folder: Path, bindir: Path) -> None:
    bars = empty(BAR, BARS)
    bars["ts_ns"] = GRID_ORIGIN_NS + 7305 * DAY_NS + MINUTE_NS * np.arange(BARS)
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = np.random.default_rng(1).uniform(100, 200, BARS)
    with EmbeddedServer(folder, bindir=bindir) as server:
        schema.init(server.dsn)
        with Database(server.dsn) as database:
            BarRepository(database).write([7], bars, Source.IMPORT, 5)
        execute(server.dsn, "CREATE ROLE friend LOGIN PASSWORD 'secret''s' IN ROLE pg_read_all_data")
        execute(server.dsn, "ALTER ROLE friend SET statement_timeout = '5s'")
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute('CREATE DATABASE "other\'s"')
        other = on_database(server.dsn, "other's")
        execute(other, "CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO n DEFAULT VALUES")
        execute(other, "CREATE SCHEMA s; CREATE VIEW s.v AS SELECT 1 AS x; COMMENT ON VIEW s.v IS 'kept'")


def contents(server: EmbeddedServer) -> dict[str, tuple[int, str]]:
    with Database(server.dsn) as database:
        return {name: (found.rows, found.content) for name, found in digests(database).items()}


@pytest.fixture(scope="module")
def expected(template: Path, old_bindir: Path) -> dict[str, tuple[int, str]]:
    """What is in it."""
    with EmbeddedServer(template, bindir=old_bindir) as server:
        return contents(server)


def test_an_old_cluster_says_what_to_do_and_is_upgraded(
    folder: Path, template: Path, old_bindir: Path, expected: dict[str, tuple[int, str]]
) -> None:
    data_dir = copy_of(template, folder / "a folder")
    old = major_of(old_bindir, Account())
    with pytest.raises(StorageError, match=rf"made by PostgreSQL {old}, .* are {NOW}: run `intraday db upgrade`"):
        EmbeddedServer(data_dir).start()
    done = upgrade(data_dir, quiet)
    assert (done.found, done.now, done.databases) == (old, NOW, 3)
    assert done.rows > BARS
    assert done.kept == data_dir / "pg" / f"data.{old}"
    with EmbeddedServer(data_dir) as server:
        assert str(query(server.dsn, "SHOW server_version")).startswith(f"{NOW}.")
        assert query(server.dsn, "SHOW default_transaction_read_only") == "off"
        assert contents(server) == expected
        assert len(set(schema.current(server.dsn))) == 1
        friend = server.dsn.replace("//intraday:", "//friend:").replace(server.dsn.split(":")[2].split("@")[0], "secret's")
        assert query(friend, "SHOW statement_timeout") == "5s"
        assert query(friend, "SELECT count(*) FROM ohlcv_1min") == BARS
        other = on_database(server.dsn, "other's")
        assert query(other, "INSERT INTO n DEFAULT VALUES RETURNING id") == 2
        assert query(other, "SELECT obj_description('s.v'::regclass)") == "kept"
    assert {path.name for path in (data_dir / "pg").iterdir()} == {
        "data", f"data.{old}", "run", "server.log", "password", "start.lock", "users.lock"
    }  # fmt: skip
    again = upgrade(data_dir, quiet)
    assert (again.found, again.now, again.rows, again.kept) == (NOW, NOW, 0, done.kept)
    shutil.rmtree(data_dir / "pg" / "data")  # the old one is as good as before
    done.kept.rename(data_dir / "pg" / "data")
    with EmbeddedServer(data_dir, bindir=old_bindir) as server:
        assert contents(server) == expected


def test_the_oldest_supported_version(folder: Path) -> None:
    """Debian's or somebody else's, with other build options than the wheel's."""
    found = installed_bindirs(15)
    if not found:
        pytest.skip("no PostgreSQL 15 on this machine")
    fill_old(folder, found[0])
    with EmbeddedServer(folder, bindir=found[0]) as server:
        before = contents(server)
    assert upgrade(folder, quiet).found == 15
    with EmbeddedServer(folder) as server:
        assert contents(server) == before


@pytest.mark.timeout(3600)
def test_killed_while_upgrading(folder: Path, template: Path, old_bindir: Path, expected: dict[str, tuple[int, str]]) -> None:
    """Killed between any two lines, its servers left running: the old or the new one is whole, and a second run ends the work."""
    said, trouble = python(KILLED_AT, "0", copy_of(template, folder / "whole"), old_bindir).communicate(timeout=120)
    assert said.strip().isdigit(), trouble
    lines = int(said)
    # Half of them in the last lines, where the folders are swapped.
    places = [*np.linspace(1, lines, PLACES // 2 + 2)[1:-1], *np.linspace(lines - 25, lines, PLACES // 2 + 2)[1:-1]]
    for place in sorted({int(n) for n in places}):
        data_dir = copy_of(template, folder / str(place))
        assert python(KILLED_AT, str(place), data_dir, old_bindir).wait(120) in {-signal.SIGKILL, 0}
        for bindir in (old_bindir, wheel_bindir()):
            try:
                with EmbeddedServer(data_dir, bindir=bindir) as server:
                    assert contents(server) == expected, place
                break
            except StorageError as error:
                assert "binaries in" in str(error), place
        else:
            pytest.fail(f"neither the old nor the new cluster starts after a kill at {place}")
        upgrade(data_dir, quiet, old_bindir=old_bindir)
        with EmbeddedServer(data_dir) as server:
            assert contents(server) == expected, place
            kill_all(server.data)
        assert not list((data_dir / "pg").glob("data.upgrade*")), place
        remove_server(data_dir)


def test_a_start_ends_a_swap_that_was_killed(folder: Path, template: Path) -> None:
    """The moments between the renames."""
    with EmbeddedServer(folder / "new") as server:
        execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
    for n, both in enumerate((True, False)):
        data_dir = copy_of(template, folder / str(n))
        pg = data_dir / "pg"
        shutil.copy2(folder / "new" / "pg" / "password", pg / "password")
        old = (pg / "data" / "PG_VERSION").read_text().strip()
        copy_of(folder / "new", folder / f"copy{n}").joinpath("pg", "data").rename(pg / "data.next")
        if not both:
            (pg / "data").rename(pg / f"data.{old}")
        with EmbeddedServer(data_dir) as server:
            assert query(server.dsn, "SELECT x FROM t") == 7
        assert (pg / f"data.{old}" / "PG_VERSION").read_text().strip() == old
        assert not (pg / "data.next").exists()


def test_a_copy_that_differs_is_not_taken(folder: Path, template: Path, old_bindir: Path) -> None:
    """A materialised view is computed again when it is restored; this one says which server did it."""
    data_dir = copy_of(template, folder / "home")
    with EmbeddedServer(data_dir, bindir=old_bindir) as server:
        execute(server.dsn, "CREATE MATERIALIZED VIEW which AS SELECT version()")
    with pytest.raises(VerifyError, match=r"the copy of public.which differs from the table, nothing was changed"):
        upgrade(data_dir, quiet)
    with EmbeddedServer(data_dir, bindir=old_bindir) as server:
        assert query(server.dsn, "SELECT count(*) FROM ohlcv_1min") == BARS
        execute(server.dsn, "CREATE TABLE writable AS SELECT 1")
    assert not list((data_dir / "pg").glob("data.*"))


def test_it_refuses_what_could_not_end_well(folder: Path, template: Path, old_bindir: Path) -> None:
    with pytest.raises(StorageError, match="found none: there is nothing to upgrade"):
        upgrade(folder / "nowhere", quiet)
    assert not (folder / "nowhere").exists()
    data_dir = copy_of(template, folder / "home")
    with pytest.raises(StorageError, match=rf"was made by PostgreSQL {NOW - 2}, the programs in .* are {NOW}"):
        upgrade(data_dir, quiet, old_bindir=wheel_bindir())
    with pytest.raises(StorageError, match="can't run postgres"):
        upgrade(data_dir, quiet, old_bindir=folder)
    with EmbeddedServer(data_dir, bindir=old_bindir), pytest.raises(StorageError, match="other programs use the database"):
        upgrade(data_dir, quiet)
    version = data_dir / "pg" / "data" / "PG_VERSION"
    kept = data_dir / "pg" / f"data.{version.read_text().strip()}"
    kept.mkdir()
    with pytest.raises(StorageError, match="is in the way, from an earlier upgrade"):
        upgrade(data_dir, quiet)
    kept.rmdir()
    for said, words in (("14", "expected 15 or newer"), ("99", "update intraday"), ("", "nothing to upgrade")):
        version.write_text(said)
        with pytest.raises(StorageError, match=words):
            upgrade(data_dir, quiet)
    missing = [major for major in range(15, NOW) if not installed_bindirs(major)]
    for major in missing:
        version.write_text(f"{major}\n")
        with pytest.raises(StorageError, match=rf"apt-get install postgresql-{major}, .*--old-bindir"):
            upgrade(data_dir, quiet)


def test_an_extension_that_the_new_server_lacks(folder: Path) -> None:
    for bindir in (folder for major in range(15, NOW) for folder in installed_bindirs(major)):
        with EmbeddedServer(folder, bindir=bindir) as server:
            offered = "SELECT min(name) FROM pg_available_extensions WHERE name IN ('pg_trgm', 'hstore', 'citext', 'btree_gin')"
            name = query(server.dsn, offered)
            if name is not None:
                execute(server.dsn, f"CREATE EXTENSION {name}")
                break
        remove_server(folder)
        folder.mkdir(mode=0o755)
    else:
        pytest.skip("no older PostgreSQL with extensions on this machine")
    with pytest.raises(StorageError, match=rf"the database 'intraday' uses {name}, .*intraday db move"):
        upgrade(folder, quiet)
    with EmbeddedServer(folder, bindir=bindir) as server:
        assert query(server.dsn) == 1


def test_no_room_for_a_second_copy(small_disk: Path, template: Path, old_bindir: Path) -> None:
    copy_of(template, small_disk)
    filler = fill(small_disk, 60 * 2**20)
    with pytest.raises(StorageFull, match=r"no room for a second copy .* MiB free, about \d+ MiB needed"):
        upgrade(small_disk, quiet)
    filler.unlink()
    with EmbeddedServer(small_disk, bindir=old_bindir) as server:
        assert query(server.dsn, "SELECT count(*) FROM ohlcv_1min") == BARS


def test_the_command(folder: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = typer.Typer()
    command.register(root)
    root.callback()(lambda: None)
    runner = CliRunner()
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(copy_of(template, folder / "var")))
    done = runner.invoke(root, ["upgrade", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] > BARS
    again = runner.invoke(root, ["upgrade"])
    assert f"PostgreSQL {NOW}: nothing to upgrade; " in again.stdout
    assert "may be removed" in again.stdout
    assert postmaster(folder / "var" / "pg" / "data") is None
    monkeypatch.setenv("INTRADAY__DATABASE__DSN", "postgresql://me:hunter2@127.0.0.1:1/x")
    refused = runner.invoke(root, ["upgrade"])
    assert refused.exit_code == 2
    assert "a server that is not ours" in refused.output
    assert "hunter2" not in refused.output
