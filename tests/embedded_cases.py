"""Users of the embedded server in processes of their own, and ways to kill it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg

# Says the DSN, waits for a line, leaves properly.
USER = """
import sys
from pathlib import Path
from intraday.database.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.readline()
print(server.stop(), flush=True)
"""

# The same as somebody who is not root: what root may import is imported before.
UNPRIVILEGED = """
import os, sys, encodings.idna
from pathlib import Path
from intraday.database.embedded import EmbeddedServer
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.environ["HOME"] = "/"
""" + "".join(USER.splitlines(keepends=True)[4:])


def killed_at(work: str, *modules: str) -> str:
    """A program that does ``work`` and is killed before the line of these modules that comes in place ``sys.argv[1]``.

    With place 0 it goes to its end, and says how many lines there were.
    """
    return f"""
import os, signal, sys
from pathlib import Path
from intraday.database.embedded import EmbeddedServer
from intraday.database.upgrade import upgrade
at, lines = int(sys.argv[1]), 0
def line(frame, event, arg):
    global lines
    if event == "line":
        lines += 1
        if lines == at:
            os.kill(os.getpid(), signal.SIGKILL)
    return line
def call(frame, event, arg):
    return line if Path(frame.f_code.co_filename).name.startswith({modules}) else None
sys.settrace(call)
{work}
sys.settrace(None)
print(lines)
"""


# A start, and with a third argument a stop.
KILLED_AT = killed_at("server = EmbeddedServer(Path(sys.argv[2])); server.start(); sys.argv[3:] and server.stop()", "embedded")


def python(code: str, *args: str | Path) -> subprocess.Popen[str]:
    """A Python of the same kind that runs ``code``."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *[str(a) for a in args]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def user_of(data_dir: Path, code: str = USER) -> tuple[subprocess.Popen[str], str]:
    """A user and the DSN it was given."""
    process = python(code, data_dir)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> str:
    """Let it leave; what ``stop`` returned."""
    out, _ = process.communicate("\n", timeout=60)
    return out.strip()


def postmaster(data: Path) -> int | None:
    """The live server's process id."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n")[0])
        return pid if str(data) in psutil.Process(pid).cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def kill_postmaster(data: Path) -> None:
    """Only the server's first process: its children live on for as long as they do not notice."""
    pid = postmaster(data)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def kill_all(data: Path) -> None:
    """The server and all its children, as a power cut does."""
    pid = postmaster(data)
    assert pid is not None
    server = psutil.Process(pid)
    server.suspend()  # so that it starts no new child meanwhile
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)


def query(dsn: str, text: str = "SELECT 1") -> object:
    """One value."""
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        row = connection.execute(text).fetchone()
    assert row is not None
    return row[0]


def execute(dsn: str, text: str) -> None:
    """One statement, committed."""
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        connection.execute(text)


def copy_of(made: Path, folder: Path) -> Path:
    """A copy of a data folder of ours, owners and all."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", made / "pg", folder / "pg"], check=True)
    return folder
