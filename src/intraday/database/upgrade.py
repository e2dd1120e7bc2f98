"""Our own server's cluster, taken to this program's major version of PostgreSQL.

The old cluster is started with its own binaries where nobody else finds it, a new one beside it; everything is dumped from one
into the other, compared, and only then do two renames swap the folders (``Home.finish_swap``). Until then the old cluster is the
database and is only read; afterwards it stays as ``data.<major>`` until somebody removes it. A kill at any moment leaves one of
them whole: before the first rename a second run starts over, after it any start does what is left.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from intraday.database.embedded_cluster import Cluster
from intraday.database.embedded_home import NEXT, Home, sync_folder
from intraday.database.embedded_host import Account, choose_account, installed_bindirs, major_of, reachable_bindir, wheel_bindir
from intraday.database.errors import ROOM_MIN, mapped
from intraday.database.pool import SERVER_MIN
from intraday.database.upgrade_copy import copy_all
from intraday.domain.errors import StorageError, StorageFull
from intraday.domain.ports import Progress

_DRAFT = "data.upgrade"
_WAL = 2**30  # max_wal_size of our settings
_LOCKS = {"max_locks_per_transaction": "1024"}  # pg_dump locks every partition at once


@dataclass(frozen=True, slots=True)
class Upgraded:
    """PostgreSQL ``found`` became ``now`` (the same: there was nothing to do). ``kept``: the old cluster, to be removed by hand."""

    found: int
    now: int
    databases: int
    tables: int
    rows: int
    kept: Path | None


def upgrade(
    data_dir: Path, progress: Progress, *, old_bindir: Path | None = None, bindir: Path | None = None, timeout_s: float = 300.0
) -> Upgraded:
    """Upgrade the cluster under ``<data_dir>/pg`` to the PostgreSQL in ``bindir`` (the wheel's); ``old_bindir`` has its old one.

    Raises StorageError when there is none, when it is in use, or needs what the new one does not have; StorageFull without room
    for a second copy; VerifyError when the copy differs. The old cluster is the database then, as before.
    """
    home = Home(data_dir)
    if not home.path.exists():
        raise StorageError(f"expected a database of ours in {home.path}, found none: there is nothing to upgrade")
    with home.starting(timeout_s):
        account = choose_account(home.path)
        base = home.place(account)
        new_bindir = reachable_bindir(bindir or wheel_bindir(), account)
        home.finish_swap()
        found, now = _made_by(home.data), major_of(new_bindir, account)
        kept = base / f"data.{found}"
        if found == now:
            return Upgraded(found, now, 0, 0, 0, next(iter(sorted(base.glob("data.[0-9]*"))), None))
        _check(home, found, now, kept)
        old_bindir = reachable_bindir(_bindir_of(found, old_bindir), account)
        done = _replace(home, account, old_bindir, new_bindir, progress, timeout_s)
        return Upgraded(found, now, *done, kept)


def _made_by(data: Path) -> int:
    try:
        return int((data / "PG_VERSION").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        raise StorageError(f"expected a database of ours in {data}, found none: there is nothing to upgrade") from None


def _check(home: Home, found: int, now: int, kept: Path) -> None:
    """Refuse what could only fail later."""
    if found > now:
        raise StorageError(f"{home.data} was made by PostgreSQL {found}, this program brings {now}: update intraday")
    if found < SERVER_MIN:
        raise StorageError(f"{home.data} was made by PostgreSQL {found}, expected {SERVER_MIN} or newer")
    if not home.deserted():
        raise StorageError(f"other programs use the database in {home.path}: end them and try again")
    if kept.exists():
        raise StorageError(f"{kept} is in the way, from an earlier upgrade: move it away or remove it")


def _bindir_of(major: int, given: Path | None) -> Path:
    """The programs of PostgreSQL ``major``: those given, or the first on this machine."""
    if given is not None:
        have = major_of(given, Account())
        if have != major:
            raise StorageError(f"the database was made by PostgreSQL {major}, the programs in {given} are {have}")
        return given
    found = installed_bindirs(major)
    if not found:
        raise StorageError(
            f"the database was made by PostgreSQL {major}, and its programs are needed once more: install them "
            f"(Debian: apt-get install postgresql-{major}, macOS: brew install postgresql@{major}), "
            "or name their folder with --old-bindir"
        )
    return found[0]


def _replace(
    home: Home, account: Account, old_bindir: Path, new_bindir: Path, progress: Progress, timeout_s: float
) -> tuple[int, int, int]:
    """Copy, compare, swap; (databases, tables, rows)."""
    draft = home.base / _DRAFT
    with _private(account) as old_run, _private(account) as new_run:
        read_only = {**_LOCKS, "default_transaction_read_only": "on"}
        password = home.password()
        old = Cluster(home.base, old_bindir, account, password, run=old_run, settings=read_only, timeout_s=timeout_s)
        new = Cluster(
            home.base, new_bindir, account, password, name=_DRAFT, run=new_run, settings=_LOCKS, timeout_s=timeout_s
        )  # fmt: skip
        new.stop()  # of an upgrade that was killed
        if draft.exists():
            shutil.rmtree(draft)
        try:
            old.check()
            old.start()
            with mapped():
                _check_room(home.base, old)
            new.make()
            new.start()
            with mapped():
                done = copy_all(old, new, old_bindir, new_bindir, progress)
        except BaseException:
            new.stop()
            old.stop()
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if not (new.stop() and old.stop()):
            raise StorageError(f"the servers of the upgrade in {home.base} do not stop: end them and run it again")
    draft.rename(home.base / NEXT)
    sync_folder(home.base)
    home.finish_swap()
    return done


@contextmanager
def _private(account: Account) -> Iterator[Path]:
    """A socket's folder that no DSN names, so that nobody writes to a cluster under way."""
    folder = Path(tempfile.mkdtemp(prefix="intraday-upgrade-", dir="/tmp"))  # nosec B108 - a short path for a socket
    account.own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_room(base: Path, old: Cluster) -> None:
    """Raise StorageFull unless a second copy of everything fits beside the first."""
    with closing(psycopg.connect(old.dsn("postgres"))) as connection:
        row = connection.execute("SELECT sum(pg_database_size(oid)) FROM pg_database").fetchone()
    size = int(row[0]) if row else 0
    need = size + min(size, _WAL) + ROOM_MIN
    left = shutil.disk_usage(base).free
    if left < need:
        raise StorageFull(
            f"no room for a second copy of the database on the disk of {base}: {left // 2**20} MiB free, "
            f"about {need // 2**20} MiB needed; free some and run it again"
        )
