"""The supervisor after kills: of the server, of its users, of those who start it; and the notes that the dead leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest

from database_cases import remove_server
from embedded_cases import KILLED_AT, USER, copy_of, execute, kill_all, kill_postmaster, leave, postmaster, python, query, user_of
from intraday.database.embedded import EmbeddedServer
from intraday.domain.errors import StorageUnavailable

pytestmark = pytest.mark.integration
# How many places of a start are killed; `make torture-db` kills in all of them.
PLACES = int(os.environ.get("INTRADAY_TORTURE_PLACES", "3"))


@contextmanager
def sleeper(like: Path) -> Iterator[int]:
    """An innocent live process of the server's account."""
    owner = like.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    process = subprocess.Popen(["sleep", "600"], **account)
    try:
        yield process.pid
        assert process.poll() is None, "an innocent process was ended"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A cluster that was made and stopped; tests get copies, which take a tenth of the time."""
    folder = Path(tempfile.mkdtemp(prefix="intraday-test-"))
    folder.chmod(0o755)
    with EmbeddedServer(folder):
        pass
    yield folder
    remove_server(folder)


@pytest.fixture
def home(folder: Path, template: Path) -> Path:
    """A copy of it."""
    return copy_of(template, folder / "home")


def crash(folder: Path, kill: Callable[[Path], None] = kill_all) -> EmbeddedServer:
    """A server with one acknowledged row, killed; nobody holds it."""
    server = EmbeddedServer(folder)
    execute(server.start(), "CREATE TABLE t AS SELECT 7 AS x")
    kill(server.data)
    assert server.stop() is True
    return server


def goes_on(folder: Path) -> None:
    """The next start is clean, and what was acknowledged is there."""
    with EmbeddedServer(folder) as server:
        assert query(server.dsn, "SELECT x FROM t") == 7
    assert postmaster(server.data) is None


@pytest.mark.parametrize("kill", [kill_postmaster, kill_all])
def test_a_killed_server(home: Path, kill: Callable[[Path], None]) -> None:
    crash(home, kill)
    goes_on(home)


def test_server_and_user_killed_at_once(home: Path) -> None:
    process, dsn = user_of(home)
    execute(dsn, "CREATE TABLE t AS SELECT 7 AS x")
    process.kill()
    kill_all(home / "pg" / "data")
    process.wait()
    goes_on(home)


def ended(pid: int) -> bool:
    """Within ten seconds. Nobody may be there to take note of a child whose parent is gone: it stays in the list, dead."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        _, alive = psutil.wait_procs([process], timeout=10)
        return not alive or process.status() == psutil.STATUS_ZOMBIE
    return True


def test_a_busy_child_of_a_killed_server_is_ended(home: Path) -> None:
    """A backend that computes does not notice that its server is gone, and holds the shared memory for as long as it likes."""
    server = EmbeddedServer(home, start_timeout_s=20.0)
    execute(server.start(), "CREATE TABLE t AS SELECT 7 AS x")
    with psycopg.connect(server.dsn, autocommit=True) as busy:
        pid = busy.info.backend_pid

        def compute() -> None:
            with pytest.raises(psycopg.OperationalError):
                busy.execute("DO $$ DECLARE i bigint := 0; BEGIN LOOP i := i + 1; END LOOP; END $$")

        thread = threading.Thread(target=compute)
        thread.start()
        while query(server.dsn, f"SELECT state FROM pg_stat_activity WHERE pid = {pid}") != "active":
            pass
        kill_postmaster(server.data)
        server.stop()
        goes_on(home)
        thread.join(10)
        assert ended(pid)


def stale(text: str) -> Callable[[Path, int], None]:
    def write(note: Path, pid: int) -> None:
        lines = note.read_text().split("\n")
        note.write_text(text if "PID" not in text else "\n".join([text.replace("PID", str(pid)), *lines[1:]]))

    return write


@pytest.mark.parametrize("name", ["data/postmaster.pid", "run/.s.PGSQL.5432.lock"])
def test_stale_notes_do_not_stop_us(home: Path, name: str) -> None:
    """PostgreSQL itself refuses to start while a note's number belongs to any live process of its account."""
    server = crash(home)
    for text in ("PID", "nonsense\n", "", "PID0000000000", "-PID"):
        with sleeper(server.data) as pid:
            stale(text)(home / "pg" / name, pid)
            with EmbeddedServer(home):
                assert query(server.dsn, "SELECT x FROM t") == 7
                kill_all(server.data)
    goes_on(home)


def test_a_stale_note_with_the_number_of_another_clusters_server(folder: Path, template: Path) -> None:
    crash(copy_of(template, folder / "one"))
    with EmbeddedServer(copy_of(template, folder / "two")) as other:
        pid = postmaster(other.data)
        assert pid is not None
        for name in ("data/postmaster.pid", "run/.s.PGSQL.5432.lock"):
            stale("PID")(folder / "one" / "pg" / name, pid)
        goes_on(folder / "one")
        assert query(other.dsn) == 1
        assert postmaster(other.data) == pid


def test_a_copy_of_a_running_cluster_is_another_cluster(folder: Path, template: Path) -> None:
    with EmbeddedServer(copy_of(template, folder / "one")) as one:
        execute(one.dsn, "CREATE TABLE t AS SELECT 7 AS x; CHECKPOINT")
        copy_of(folder / "one", folder / "two")
        pid = postmaster(one.data)
        goes_on(folder / "two")
        assert postmaster(one.data) == pid
        assert query(one.dsn) == 1


def places_of(folder: Path, code_args: tuple[str, ...] = ()) -> list[int]:
    """Where to kill: ``PLACES`` lines spread over one undisturbed start."""
    said, trouble = python(KILLED_AT, "0", folder, *code_args).communicate(timeout=60)
    assert said.strip().isdigit(), trouble
    return sorted({int(n) for n in np.linspace(1, int(said), PLACES + 2)[1:-1]})


@pytest.mark.timeout(3600)
def test_killed_while_making_and_starting(folder: Path) -> None:
    """Killed between any two lines of the first start, its children left to themselves: the next start is clean."""
    for place in places_of(folder / "whole"):
        home = folder / str(place)
        assert python(KILLED_AT, str(place), home).wait(60) in {-signal.SIGKILL, 0}
        with EmbeddedServer(home) as server:
            assert query(server.dsn) == 1, place
        assert postmaster(server.data) is None
        with EmbeddedServer(home):  # an orphan of the killed one may have ended after the last start
            pass
        assert {path.name for path in (home / "pg").iterdir()} == {
            "data", "run", "server.log", "password", "start.lock", "users.lock"
        }, place  # fmt: skip
        shutil.rmtree(home)
    with EmbeddedServer(folder / "whole"):
        pass


@pytest.mark.timeout(3600)
def test_killed_while_starting_or_stopping_what_is_there(home: Path) -> None:
    server = crash(home)
    for place in places_of(home, ("stop",)):
        assert python(KILLED_AT, str(place), home, "stop").wait(60) in {-signal.SIGKILL, 0}
        goes_on(home)
        if place % 2:
            with EmbeddedServer(home):
                kill_all(server.data)


def test_many_start_while_some_are_killed(folder: Path) -> None:
    """Six at once on an empty folder, every third killed at some time: the others share one server, the last one stops it."""
    many = [python(USER, folder) for _ in range(6)]
    for i, process in enumerate(many):
        if i % 3 == 2:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
            process.kill()
    left = [process for i, process in enumerate(many) if i % 3 != 2]
    for process in left:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql://")
    assert [leave(process) for process in left] == ["False"] * 3 + ["True"]
    assert postmaster(folder / "pg" / "data") is None
    for process in many:
        process.wait()


def test_a_starter_that_hangs_is_named(home: Path) -> None:
    """Stopped by Ctrl-Z in the middle of its start: the others do not wait for ever."""
    code = KILLED_AT.replace("SIGKILL", "SIGSTOP")
    place = places_of(home)[1]
    hung = python(code, str(place), home)
    assert psutil.Process(hung.pid).is_running()
    os.waitid(os.P_PID, hung.pid, os.WSTOPPED | os.WNOWAIT)
    with pytest.raises(StorageUnavailable, match="another program has been starting or stopping"):
        EmbeddedServer(home, start_timeout_s=1.0).start()
    hung.send_signal(signal.SIGCONT)
    assert hung.wait(60) == 0
    with EmbeddedServer(home) as server:
        assert query(server.dsn) == 1


def test_two_users_survive_the_server(home: Path) -> None:
    """Killed under two users: whoever notices first starts it again, the other goes on with the same DSN."""
    process, dsn = user_of(home)
    with EmbeddedServer(home) as server:
        execute(server.dsn, "CREATE TABLE t AS SELECT 7 AS x")
        kill_all(server.data)
        assert server.stop() is False
        assert server.start() == dsn
        assert query(dsn, "SELECT x FROM t") == 7
        assert leave(process) == "False"
    assert postmaster(server.data) is None
