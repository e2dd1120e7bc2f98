"""The folder of our own server, ``<data_dir>/pg``: its locks, its password, and where its cluster and its socket are.

Files are made under another name and renamed, so that a kill leaves all of one or none of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intraday.database.embedded_host import Account, refuge_for
from intraday.database.embedded_notes import SOCKET
from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable

NEXT = "data.next"  # a complete, verified successor of ``data``: see ``finish_swap``
_PATH_MAX = 960  # PostgreSQL keeps paths in 1024 bytes, those of files in the cluster included
_SOCKET_PATH_MAX = 100  # sun_path has 108 bytes on Linux and 104 on macOS, the terminating zero included
_SHELL = frozenset('"$`\\\n')  # pg_ctl hands its paths to a shell between double quotes
_LISTED = frozenset("',")  # a socket's folder is a member of a list in postgresql.conf and in a DSN
_PAUSE_S = 0.05


class Home:
    """One ``pg`` folder. ``base``, known after ``place``, holds the cluster: the folder itself, or a refuge."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir.resolve() / "pg"  # one spelling: it is looked for in command lines
        self.base = self.path

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self.base / "data"

    def make(self) -> None:
        """Make the folder. Raises StorageError where PostgreSQL could not use it."""
        with usable(self.path):
            _check_path(self.path / "data")
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def starting(self, timeout_s: float) -> Iterator[None]:
        """Only one program at a time makes, starts or stops the server. What the file system refuses comes out as ours."""
        with usable(self.path):
            handle = _flock_within(self.path / "start.lock", timeout_s)
            try:
                yield
            finally:
                os.close(handle)

    def hold(self) -> int:
        """A user's shared hold, a descriptor; the kernel drops it with the process, even after ``kill -9``."""
        return _flock(self.path / "users.lock", fcntl.LOCK_SH)

    def deserted(self) -> bool:
        """True when nobody holds the server."""
        try:
            os.close(_flock(self.path / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def place(self, account: Account) -> Path:
        """Where the cluster lives: here, or the refuge named by ``moved-to`` when the account can't reach this folder."""
        note = self.path / "moved-to"
        if note.exists():
            self.base = Path(note.read_text("utf-8").strip())
            if not self.base.is_absolute() or not self.base.is_dir():
                raise StorageError(
                    f"{note} says the database is in {self.base}, found no such folder: "
                    f"restore it, or remove {self.path} to begin anew"
                )
            return self.base
        refuge = refuge_for(self.path, account)
        if refuge is not None:
            self.base = Path(tempfile.mkdtemp(prefix="intraday-pg-", dir=refuge))
            self.base.chmod(0o755)
            write_whole(note, f"{self.base}\n")
        return self.base

    def password(self) -> str:
        """The superuser's password, random, in a file only we can read."""
        path = self.path / "password"
        if not path.exists():
            if (self.data / "PG_VERSION").exists():
                raise StorageError(
                    f"expected the database's password in {path}, found no file: restore it, or move {self.data} away to begin anew"
                )
            write_whole(path, secrets.token_urlsafe(24))
        return path.read_text("utf-8").strip()

    def finish_swap(self) -> None:
        """Put the successor that an upgrade left in its place; the old cluster stays beside it as ``data.<major version>``.

        The successor's name appears by one rename, when it is complete and verified: from then on it is the database, and
        whoever starts next does what is left of the swap.
        """
        successor = self.base / NEXT
        if not successor.exists():
            return
        if self.data.exists():
            self.data.rename(self.base / f"data.{(self.data / 'PG_VERSION').read_text('utf-8').strip()}")
        successor.rename(self.data)
        sync_folder(self.base)


def socket_folder(base: Path, account: Account) -> Path:
    """The socket's folder: ``run`` beside the data where the path is short and plain, otherwise a temporary one it links to."""
    run = base / "run"
    if len(os.fsencode(run / SOCKET)) <= _SOCKET_PATH_MAX and not _LISTED & set(str(run)):
        if run.is_symlink():  # the folder was moved here from a longer path
            run.unlink()
        run.mkdir(exist_ok=True)
    else:
        run = _temporary(run, account)
    run.chmod(0o755)
    account.own(run)
    return run


def _temporary(link: Path, account: Account) -> Path:
    """The temporary folder behind ``link``, made again where the machine has emptied it: the same name, so that DSNs stay."""
    if link.is_symlink():
        folder = Path(os.readlink(link))
        folder.mkdir(mode=0o755, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid in {os.geteuid(), account.uid}:
            return folder
        link.unlink()  # anybody may have made it, with a server in it that asks for our password
    elif link.exists():  # the folder was moved here from a shorter path
        shutil.rmtree(link)
    folder = Path(tempfile.mkdtemp(prefix="intraday-run-", dir="/tmp"))  # nosec B108 - a short path for a socket
    link.symlink_to(folder)
    return folder


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Raise StorageFull or StorageError for what the file system refuses inside."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(f"no room left on the disk of {folder}: free some and start again") from None
        raise StorageError(f"can't use {error.filename or folder} for the database: {error.strerror}") from None


def write_whole(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file that only its owner reads, all of it or none."""
    draft = path.with_name(f"{path.name}.draft")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    if account is not None:
        account.own(draft)
    draft.rename(path)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_path(data: Path) -> None:
    """Refuse what PostgreSQL's own programs can't handle, before they make something of it."""
    length = len(os.fsencode(data))
    if length > _PATH_MAX:
        raise StorageError(
            f"the path of the database is too long for PostgreSQL: expected at most {_PATH_MAX} bytes, found {length}: "
            "set system.data_dir to a shorter one"
        )
    if _SHELL & set(str(data)):
        raise StorageError(
            f"PostgreSQL's programs can't use the path {str(data)!r}: expected none of \" $ ` \\ and no line break in it, "
            "set system.data_dir to another one"
        )


def _flock(path: Path, how: int) -> int:
    """An open, locked descriptor; closing it (or dying) lets go. Raises BlockingIOError with LOCK_NB."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, how)
    except OSError:
        os.close(handle)
        raise
    return handle


def _flock_within(path: Path, timeout_s: float) -> int:
    """The same, waiting for it; a program that hangs (Ctrl-Z) with the lock must not hang all others."""
    for _ in range(max(1, int(timeout_s / _PAUSE_S))):
        try:
            return _flock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
    raise StorageUnavailable(
        f"another program has been starting or stopping the database in {path.parent} for {timeout_s:.0f} s: "
        f"end it (`fuser {path}` names it) and try again"
    )
