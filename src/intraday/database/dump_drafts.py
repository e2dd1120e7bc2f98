"""How the file of a backup comes to be: as a draft that somebody holds, then under a name nobody had."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from intraday.domain.errors import StorageError, StorageFull

SUFFIX = ".backup"
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def drafted(path: Path) -> tuple[Path, IO[bytes]]:
    """(name, file) of a draft for ``path``, locked; one that ``remove_drafts`` took away before it was locked is made again."""
    while True:
        handle, name = tempfile.mkstemp(f"{SUFFIX}.part", f"{path.stem}.", path.parent)
        file = open(handle, "r+b")  # noqa: SIM115  closed by the caller
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return Path(name), file
        file.close()


def published(draft: Path, path: Path, link: Callable[[Path, Path], None] = os.link) -> Path:
    """Give a draft its name, with a counter where it is taken: nothing is ever overwritten. Returns the name.

    Where the file system has no links the name is taken with an empty file first.
    """
    for n in itertools.count(1):
        name = path if n == 1 else path.with_name(f"{path.stem}-{n}{path.suffix}")
        try:
            link(draft, name)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                name.touch(0o600, exist_ok=False)
            except FileExistsError:
                continue
            draft.replace(name)
            return name
        draft.unlink()
        return name
    raise AssertionError("count() ended")


def remove_drafts(folder: Path) -> None:
    """Remove what killed backups left: drafts that nobody writes any more."""
    for draft in folder.glob(f"intraday-*{SUFFIX}.part"):
        with suppress(OSError), draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()


def of_disk(error: OSError, folder: Path) -> StorageError:
    """Our error for a disk that is full or can't be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"no room left on the disk of {folder}; nothing half-written remains, free some and run again")
    return StorageError(f"can't use {error.filename or folder}: {error.strerror}")


def sync(folder: Path) -> None:
    """Put a folder's names on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
