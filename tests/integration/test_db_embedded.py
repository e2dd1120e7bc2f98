"""The supervisor against real servers: sharing, crashes, stale notes, awkward places."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from intraday.database import embedded_host
from intraday.database.embedded import EmbeddedServer
from intraday.database.pool import open_database
from intraday.domain.errors import StorageError, StorageUnavailable

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server under another account")

# A user of the server in a process of its own: says the DSN, waits for a line, leaves properly.
USER = """
import sys
from pathlib import Path
from intraday.database.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.readline()
print(server.stop(), flush=True)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder the server's account can reach, so that nothing is placed elsewhere; killed servers do not outlive the test."""
    folder = Path(tempfile.mkdtemp(prefix="intraday-test-"))
    folder.chmod(0o755)
    yield folder
    pid = postmaster(folder / "pg" / "data")
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


def postmaster(data: Path) -> int | None:
    """The live server's process id."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n")[0])
        return pid if str(data) in psutil.Process(pid).cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def user_of(data_dir: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate("\n", timeout=60)
    return out.strip()


def query(dsn: str, text: str = "SELECT 1") -> object:
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        row = connection.execute(text).fetchone()
    assert row is not None
    return row[0]


def execute(dsn: str, text: str) -> None:
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        connection.execute(text)


def test_it_is_made_started_stopped_and_started_again(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as server:
        assert query(server.dsn, "SHOW server_encoding") == "UTF8"
        assert query(server.dsn, "SHOW timezone") == "UTC"
        assert query(server.dsn, "SHOW listen_addresses") == ""
        execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
        dsn = server.dsn
    assert postmaster(server.data) is None
    with pytest.raises(psycopg.OperationalError):
        query(dsn)
    with EmbeddedServer(data_dir) as server:
        assert server.dsn == dsn
        assert query(dsn, "SELECT x FROM t") == 7
        assert server.free_bytes() > 0


def test_the_password_is_ours_alone_and_needed(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as server:
        path = data_dir / "pg" / "password"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        password = path.read_text()
        assert len(password) == 32
        assert password in server.dsn
        with pytest.raises(psycopg.OperationalError):
            query(server.dsn.replace(password, "guess"))
        with pytest.raises(psycopg.OperationalError):
            query(server.dsn.replace(f":{password}", ""))


def test_the_last_of_several_users_stops_it(data_dir: Path) -> None:
    first, dsn = user_of(data_dir)
    second, same = user_of(data_dir)
    here = EmbeddedServer(data_dir)
    assert here.start() == dsn == same
    pid = postmaster(here.data)
    assert leave(first) == "False"
    assert here.stop() is False
    assert here.stop() is False  # leaving twice is leaving once
    assert query(dsn) == 1
    assert postmaster(here.data) == pid
    assert leave(second) == "True"
    assert postmaster(here.data) is None


def test_users_that_start_at_once_share_one_server(data_dir: Path) -> None:
    code = USER.replace("print(server.start(), flush=True)\n", "server.start()\nprint(flush=True)\n")
    many = [
        subprocess.Popen([sys.executable, "-c", code, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        for _ in range(4)
    ]  # fmt: skip
    for process in many:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
    assert [leave(process) for process in many] == ["False", "False", "False", "True"]


def test_a_killed_user_is_no_user(data_dir: Path) -> None:
    process, dsn = user_of(data_dir)
    process.kill()
    process.wait()
    assert query(dsn) == 1  # nobody was left to stop it
    server = EmbeddedServer(data_dir)
    pid = postmaster(server.data)
    server.start()
    assert postmaster(server.data) == pid
    assert server.stop() is True
    assert postmaster(server.data) is None


def test_a_killed_server_recovers_what_was_committed(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    dsn = server.start()
    execute(dsn, "CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 100000)")
    pid = postmaster(server.data)
    assert pid is not None
    connection = psycopg.connect(dsn)  # its backend lives on for a moment and holds the shared memory
    connection.execute("INSERT INTO t VALUES (0)")
    os.kill(pid, signal.SIGKILL)
    server.stop()
    server.start()
    connection.close()
    assert postmaster(server.data) not in {None, pid}
    assert query(dsn, "SELECT count(*) FROM t") == 100_000
    assert server.stop() is True


def test_a_stale_note_with_somebody_elses_process_does_not_stop_us(data_dir: Path) -> None:
    """PostgreSQL itself refuses: the number in the note is alive and of its account. Ours is an innocent sleeper."""
    with EmbeddedServer(data_dir) as server:
        note = server.data / "postmaster.pid"
        text = note.read_text()
        owner = note.stat()
    sleeper = (
        subprocess.Popen(["sleep", "600"], user=owner.st_uid, group=owner.st_gid)
        if os.geteuid() == 0
        else subprocess.Popen(["sleep", "600"])
    )
    try:
        lines = text.split("\n")
        note.write_text("\n".join([str(sleeper.pid), *lines[1:]]))
        os.chown(note, owner.st_uid, owner.st_gid)
        with EmbeddedServer(data_dir) as server:
            assert query(server.dsn) == 1
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_torn_note_does_not_stop_us(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as server:
        note = server.data / "postmaster.pid"
    note.write_text("")
    with EmbeddedServer(data_dir) as server:
        assert query(server.dsn) == 1


def test_a_killed_initdb_leaves_no_half_cluster(data_dir: Path) -> None:
    draft = data_dir / "pg" / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with EmbeddedServer(data_dir) as server:
        assert query(server.dsn) == 1
    assert not draft.exists()


def test_a_long_path_gets_a_short_socket(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with EmbeddedServer(deep) as server:
        assert query(server.dsn) == 1
        link = deep / "pg" / "run"
        first = link.resolve()
    shutil.rmtree(first)  # the machine emptied its temporary folder
    with EmbeddedServer(deep) as server:
        assert query(server.dsn) == 1
        shutil.rmtree(link.resolve(), ignore_errors=True)


def test_a_lost_password_says_what_to_do(data_dir: Path) -> None:
    with EmbeddedServer(data_dir):
        pass
    (data_dir / "pg" / "password").unlink()
    with pytest.raises(StorageError, match="found no file: restore it, or move"):
        EmbeddedServer(data_dir).start()
    (data_dir / "pg" / "password").write_text("wrong")
    server = EmbeddedServer(data_dir)
    with pytest.raises(StorageError, match="refuses the password") as caught:
        server.start()
    assert "wrong" not in str(caught.value)


def test_another_versions_cluster_is_refused(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as server:
        pass
    (server.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(StorageError, match=r"made by PostgreSQL 14, the binaries in .* are 18"):
        EmbeddedServer(data_dir).start()


def test_a_server_that_can_not_start_shows_its_own_words(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as server:
        pass
    with (server.data / "postgresql.conf").open("a") as f:
        f.write("\nshared_buffers = 'nonsense'\n")
    with pytest.raises(StorageUnavailable, match="nonsense|shared_buffers|configuration file"):
        EmbeddedServer(data_dir).start()


def test_a_folder_that_is_a_file_is_refused(data_dir: Path) -> None:
    (data_dir / "pg").write_text("not a folder")
    with pytest.raises(StorageError, match="can't use"):
        EmbeddedServer(data_dir).start()


def test_debian_binaries_do_as_well(data_dir: Path) -> None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no PostgreSQL of the distribution on this machine")
    with EmbeddedServer(data_dir, bindir=found[-1].parent) as server:
        assert str(query(server.dsn, "SHOW server_version")).startswith(found[-1].parts[-3])


@needs_root
def test_root_runs_it_as_nobody_and_where_nobody_can_reach(tmp_path: Path) -> None:
    """pytest's own folders are closed to others, like /root: the cluster goes to the temporary folder, with a note."""
    home = tmp_path / "closed"
    home.mkdir(mode=0o700)
    with EmbeddedServer(home) as server:
        base = Path((home / "pg" / "moved-to").read_text().strip())
        assert server.data == base / "data"
        pid = postmaster(server.data)
        assert pid is not None
        assert psutil.Process(pid).username() == "nobody"
        execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
    with EmbeddedServer(home) as server:
        assert query(server.dsn, "SELECT x FROM t") == 7
    shutil.rmtree(base)
    with pytest.raises(StorageError, match="found no such folder"):
        EmbeddedServer(home).start()


@needs_root
def test_binaries_that_nobody_can_reach_are_copied(data_dir: Path, tmp_path: Path) -> None:
    """A virtual environment under /root: the wheel's folders are closed to the server's account."""
    wheel = embedded_host.wheel_bindir().parent.parent
    closed = tmp_path / "site"
    closed.mkdir(mode=0o700)
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, closed / folder.name, symlinks=True)
    bindir = closed / wheel.name / embedded_host.wheel_bindir().parent.name / "bin"
    before = set(Path(tempfile.gettempdir()).glob("intraday-postgres-*"))
    with EmbeddedServer(data_dir, bindir=bindir) as server:
        assert query(server.dsn) == 1
    made = set(Path(tempfile.gettempdir()).glob("intraday-postgres-*")) - before
    assert len(made) == 1
    with EmbeddedServer(data_dir, bindir=bindir) as server:  # the copy is used again
        assert query(server.dsn) == 1
    for folder in made:
        shutil.rmtree(folder)


def test_open_database_runs_our_server_only_while_needed(data_dir: Path) -> None:
    with open_database(None, data_dir) as database:
        with database.autocommit() as connection:
            assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        assert database.room is not None
        assert "://" not in repr(database)
        with open_database(database.dsn, data_dir / "unused") as other, other.autocommit() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert postmaster(data_dir / "pg" / "data") is None
    assert not (data_dir / "unused").exists()
