"""What a dead PostgreSQL leaves behind, told from what a live one says: process ids in files, and children without a parent.

A number in a file proves nothing: after a crash or a reboot it may belong to anybody, while PostgreSQL refuses to start as long
as any process of its account has it, a zombie nobody waits for included.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from intraday.domain.errors import StorageUnavailable

SOCKET = ".s.PGSQL.5432"


def alive(data: Path) -> bool:
    """Whether ``postmaster.pid`` names a live server of this very cluster.

    Raises StorageUnavailable when this machine does not let us tell.
    """
    try:
        process = psutil.Process(_number(data / "postmaster.pid"))
        return process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except (FileNotFoundError, ValueError, OverflowError, psutil.NoSuchProcess):
        return False
    except psutil.AccessDenied as error:
        raise StorageUnavailable(f"can't tell whether process {error.pid} is the PostgreSQL of {data}") from None


def clear(data: Path, run: Path) -> None:
    """Remove the notes of a dead server of ``data`` that would keep PostgreSQL from starting. The caller knows that it is dead.

    A note with the number of no process stays: PostgreSQL itself knows what to do with it, and it also names the shared memory
    by which the server sees children that are still alive.
    """
    for note in (data / "postmaster.pid", run / f"{SOCKET}.lock"):
        try:
            dead = not psutil.pid_exists(_number(note))
        except FileNotFoundError:
            continue
        except (ValueError, OverflowError):
            dead = False
        if not dead:
            note.unlink(missing_ok=True)


def end_orphans(data: Path) -> None:
    """Ask the children of a killed server to end: one that computes does not notice by itself, and holds the shared memory.

    They roll back what they were doing, which nobody was told is done.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name() != "postgres" or process.cwd() != str(data) or str(data) in process.cmdline():
                continue
            parent = process.parent()
            if parent is None or str(data) not in parent.cmdline():
                process.terminate()


def _number(note: Path) -> int:
    """The process id in the first line. Raises FileNotFoundError, or ValueError when there is none."""
    number = int(note.read_bytes().split(b"\n")[0])
    if number <= 0:
        raise ValueError(number)
    return number
