"""Folders that go when their process does: removed when the block ends, and after a kill -9 by the next one that needs one.

Who lives is known from ``flock`` on the folder itself, which the kernel drops whatever ends a process; process numbers come again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intraday.domain.errors import StorageError

PREFIX = "intraday-scratch-"  # nobody else's folders begin like this, and only such are removed


@contextmanager
def scratch(parent: Path | None) -> Iterator[Path]:
    """A new empty folder below ``parent`` (None: the system's for temporary files); those that dead processes left are removed.

    Raises StorageError where it cannot be made.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        folder, handle = _made(parent)
    except OSError as error:
        raise StorageError(f"{parent}: expected a folder to work in while training, found {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(parent: Path) -> None:
    """Remove the folders of ``scratch`` below ``parent`` whose process is dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # of a living process or another user, or gone meanwhile
            handle = locked(folder)
            try:
                shutil.rmtree(folder)
            finally:
                os.close(handle)


def locked(folder: Path, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> int:
    """A descriptor of a folder that holds its lock. BlockingIOError where another holds it, with ``LOCK_NB``."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, how)
    except OSError:
        os.close(handle)
        raise
    return handle


def _made(parent: Path) -> tuple[Path, int]:
    """A folder and a descriptor that holds its lock; between the two another process may sweep it away, then it is made again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(BlockingIOError, FileNotFoundError):
            handle = locked(folder)
            if folder.exists():  # nobody but its holder removes it from here on
                return folder, handle
            os.close(handle)
