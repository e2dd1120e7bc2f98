"""The supervisor in awkward places: odd paths, full and read-only disks, wrong permissions, other accounts, an emptied /tmp."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from database_cases import remove_server
from embedded_cases import UNPRIVILEGED, copy_of, execute, kill_all, kill_postmaster, leave, postmaster, query, user_of
from intraday.database.embedded import EmbeddedServer
from intraday.domain.errors import StorageError, StorageFull
from job_cases import fill

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server under another account")


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A cluster that was made and stopped; tests get copies, which take a tenth of the time."""
    folder = Path(tempfile.mkdtemp(prefix="intraday-test-"))
    folder.chmod(0o755)
    with EmbeddedServer(folder):
        pass
    yield folder
    remove_server(folder)


def test_odd_paths(folder: Path, template: Path) -> None:
    for name in ("with a space", " around ", "शेयर-भाव-ä", "o'clock, it is", "per%20cent #hash; &and", "-D"):
        home = copy_of(template, folder / name)
        with EmbeddedServer(home) as server:
            execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
            kill_postmaster(server.data)
        with EmbeddedServer(home) as server:
            assert query(server.dsn, "SELECT x FROM t") == 7
        assert postmaster(server.data) is None
        if not (run := home / "pg" / "run").is_symlink():
            continue
        shutil.rmtree(run.resolve())


def test_a_cluster_is_made_in_an_odd_place(folder: Path) -> None:
    with EmbeddedServer(folder / "o'clock, शेयर") as server:
        assert query(server.dsn) == 1
    shutil.rmtree((folder / "o'clock, शेयर" / "pg" / "run").resolve())


@pytest.mark.parametrize("name", ['a "quote"', "back\\slash", "$HOME", "`tick`", "two\nlines"])
def test_a_path_that_a_shell_would_read_otherwise_is_refused(folder: Path, name: str) -> None:
    """PostgreSQL's pg_ctl hands its paths to a shell."""
    with pytest.raises(StorageError, match="PostgreSQL's programs can't use the path"):
        EmbeddedServer(folder / name).start()
    assert not list(folder.iterdir())


def test_a_path_too_long_for_postgresql_is_refused(folder: Path) -> None:
    deep = folder.joinpath(*["x" * 200] * 5)
    with pytest.raises(StorageError, match=r"too long for PostgreSQL: expected at most \d+ bytes, found \d+"):
        EmbeddedServer(deep).start()
    short = folder.joinpath(*["x" * 200] * 4)
    with EmbeddedServer(short) as server:
        assert query(server.dsn) == 1


def test_a_moved_folder(folder: Path, template: Path) -> None:
    """From a short path to one too long for a socket, and back."""
    short, long = copy_of(template, folder / "short"), folder / ("d" * 100)
    with EmbeddedServer(short) as server:
        execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
    for old, new in ((short, long), (long, short), (short, long)):
        old.rename(new)
        with EmbeddedServer(new) as server:
            assert query(server.dsn, "SELECT x FROM t") == 7
        if new is long:  # as after a reboot: the link leads nowhere, and its path becomes short again
            shutil.rmtree((long / "pg" / "run").resolve())


def test_a_socket_removed_under_a_live_server(folder: Path, template: Path) -> None:
    """A cleaner of temporary folders: the server runs, nobody finds it. The next start makes it reachable, at the same DSN."""
    deep = copy_of(template, folder / ("d" * 100))
    process, dsn = user_of(deep)
    execute(dsn, "CREATE TABLE t AS SELECT 7 AS x")
    run = (deep / "pg" / "run").resolve()
    shutil.rmtree(run)
    with EmbeddedServer(deep) as server:
        assert server.dsn == dsn
        assert query(dsn, "SELECT x FROM t") == 7
        assert leave(process) == "False"
    shutil.rmtree(run)


@needs_root
def test_a_temporary_folder_that_became_somebody_elses_is_not_used(folder: Path, template: Path) -> None:
    """After a reboot anybody may make the folder that our link names, with a server in it that asks for our password."""
    deep = copy_of(template, folder / ("d" * 100))
    with EmbeddedServer(deep):
        first = (deep / "pg" / "run").resolve()
    shutil.rmtree(first)
    first.mkdir()
    os.chown(first, 1234, 1234)
    with EmbeddedServer(deep) as server:
        assert query(server.dsn) == 1
        second = (deep / "pg" / "run").resolve()
    assert second != first
    assert first.stat().st_uid == 1234
    shutil.rmtree(first)
    shutil.rmtree(second)


def test_torn_settings_are_written_again(folder: Path, template: Path) -> None:
    data = copy_of(template, folder) / "pg" / "data"
    (data / "intraday.conf").write_text("listen_addre")
    main = data / "postgresql.conf"
    main.write_text(main.read_text().replace("include 'intraday.conf'", ""))
    with EmbeddedServer(folder) as server:
        assert query(server.dsn, "SHOW listen_addresses") == ""


def test_a_data_folder_open_to_others_is_closed_again(folder: Path, template: Path) -> None:
    server = EmbeddedServer(copy_of(template, folder))
    server.data.chmod(0o777)
    with EmbeddedServer(folder) as server:
        assert query(server.dsn) == 1
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


@needs_root
def test_a_data_folder_of_somebody_else_is_refused(folder: Path, template: Path) -> None:
    """As after `cp -r` or tar by root. Root runs the server as the folder's owner, or as nobody."""
    server = EmbeddedServer(copy_of(template, folder))
    subprocess.run(["chown", "-R", "0:0", server.data], check=True)
    with pytest.raises(StorageError, match=r"belongs to root, .* runs as nobody: run `chown -R nobody "):
        EmbeddedServer(folder).start()


@needs_root
def test_a_read_only_disk_says_so(small_disk: Path, template: Path) -> None:
    with EmbeddedServer(copy_of(template, small_disk)) as server:
        execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageError, match="can't use .*: Read-only file system"):
        EmbeddedServer(small_disk).start()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    with EmbeddedServer(small_disk) as server:
        assert query(server.dsn, "SELECT x FROM t") == 7


@needs_root
def test_an_ordinary_user(folder: Path) -> None:
    """Not root: the server runs as the user itself. Root comes later and shares it."""
    os.chown(folder, 65534, 65534)
    process, dsn = user_of(folder, UNPRIVILEGED)
    assert query(dsn) == 1
    with EmbeddedServer(folder) as server:
        assert server.dsn == dsn
        assert leave(process) == "False"
        execute(dsn, "CREATE TABLE t AS SELECT 7 AS x")
        kill_all(server.data)
    process, dsn = user_of(folder, UNPRIVILEGED)
    assert query(dsn, "SELECT x FROM t") == 7
    process.kill()
    process.wait()
    process, dsn = user_of(folder, UNPRIVILEGED)
    assert leave(process) == "True"


@needs_root
def test_an_ordinary_user_may_not_write_here(folder: Path) -> None:
    process, said = user_of(folder, UNPRIVILEGED)  # the folder is root's
    _, trouble = process.communicate(timeout=30)
    assert said == ""
    assert "StorageError: can't use" in trouble
    assert "Permission denied" in trouble


def test_a_full_disk_at_any_time_loses_nothing(small_disk: Path) -> None:
    """Full before the first start, full while running, full in recovery; each time room is made and everything is there."""
    for left in (0, 5, 20):  # before and in initdb
        filler = fill(small_disk, left * 2**20)
        with pytest.raises(StorageFull, match="no room left"):
            EmbeddedServer(small_disk).start()
        filler.unlink()
    for left in (36, 42, 48, 54):  # in initdb, in the first start, when the database is made, or enough
        filler = fill(small_disk, left * 2**20)
        with suppress(StorageFull), EmbeddedServer(small_disk):
            pass
        filler.unlink()
    server = EmbeddedServer(small_disk)
    execute(server.start(), "CREATE TABLE t AS SELECT g AS x FROM generate_series(1, 1000) g")
    filler = fill(small_disk, 2**20)
    kept = 1000
    for _ in range(100):  # every acknowledged row counts
        try:
            execute(server.dsn, f"INSERT INTO t SELECT generate_series({kept + 1}, {kept + 10000})")
        except Exception as error:  # noqa: BLE001 - whatever the full disk makes of it
            assert "space" in str(error) or "connection" in str(error) or "closed" in str(error), error
            break
        kept += 10000
    else:
        pytest.fail("the disk was not full")
    server.stop()
    filler.rename(small_disk / "first")
    more = fill(small_disk, 0)
    with pytest.raises(StorageFull, match="no room left"):
        EmbeddedServer(small_disk).start()
    more.unlink()
    (small_disk / "first").unlink()
    with EmbeddedServer(small_disk) as server:
        assert query(server.dsn, "SELECT count(*) || ' ' || max(x) FROM t") == f"{kept} {kept}"


def test_the_log_is_kept_once_when_it_grew(folder: Path, template: Path) -> None:
    log = copy_of(template, folder) / "pg" / "server.log"
    owner = log.stat().st_uid
    with log.open("ab") as f:
        f.write(b"LOG: words\n" * 1_000_000)
    with EmbeddedServer(folder) as server:
        assert query(server.dsn) == 1
        assert log.stat().st_size < 10_000
        assert log.stat().st_uid == owner
    assert log.with_suffix(".log.1").stat().st_size > 10_000_000
    os.remove(log)
    with EmbeddedServer(folder):
        assert log.exists()
