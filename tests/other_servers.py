"""PostgreSQL servers other than our own: those with TimescaleDB for the second pass of the integration tests, and plain ones.

``INTRADAY_TEST_TIMESCALE_DSN`` names servers that preload TimescaleDB: superusers' DSNs separated by blanks, a pass each. Where it
is not set, a PostgreSQL installation that has the extension gets a cluster of its own for the test session.
``INTRADAY_TEST_TIMESCALE=off`` says no to both, ``only`` leaves our own server out. docs/adr/0017-second-pass.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from intraday.database.embedded import EmbeddedServer

DSNS = "INTRADAY_TEST_TIMESCALE_DSN"
SWITCH = "INTRADAY_TEST_TIMESCALE"
MAJOR_MIN = 15
QUICK = {"fsync": "off"}  # nobody needs a test's cluster after a crash of the machine
_TIMESCALE = {"shared_preload_libraries": "'timescaledb'", "timescaledb.telemetry_level": "off"}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that tests may use. ``kind`` begins with ``timescaledb`` or is ``postgresql``; ``where`` it is from, for people."""

    kind: str
    where: str
    dsn: AbstractContextManager[str]  # the server runs while the block does


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL's programs on this machine, and where its extensions are."""

    bindir: Path
    major: int
    sharedir: Path
    pkglibdir: Path

    @property
    def has_timescale(self) -> bool:
        """Whether the extension's control file and its library are there."""
        libraries = [self.pkglibdir / f"timescaledb.{end}" for end in ("so", "dylib")]
        return (self.sharedir / "extension" / "timescaledb.control").is_file() and any(p.is_file() for p in libraries)


def second_pass(environment: Mapping[str, str]) -> list[Server]:
    """The servers with TimescaleDB: the named ones, else one of this machine, else none."""
    if _is_off(environment):
        return []
    named = environment.get(DSNS, "").split()
    if named:
        kinds = ["timescaledb", *(f"timescaledb{k}" for k in range(2, len(named) + 1))]
        return [Server(kind, f"named by {DSNS}", nullcontext(dsn)) for kind, dsn in zip(kinds, named, strict=True)]
    with_it = [i for i in installations() if i.has_timescale]
    if not with_it:
        return []
    newest = max(with_it, key=lambda i: i.major)
    return [Server("timescaledb", "found on this machine", _cluster(newest.bindir, QUICK | _TIMESCALE))]


def first_pass(environment: Mapping[str, str]) -> bool:
    """Whether our own server is wanted."""
    return environment.get(SWITCH, "").lower() != "only"


def another_plain(major: int) -> Server | None:
    """A plain PostgreSQL of this machine that is not ``major``."""
    others = [i for i in installations() if i.major != major]
    return Server("postgresql", "found on this machine", _cluster(others[0].bindir, QUICK)) if others else None


def no_second_pass(environment: Mapping[str, str]) -> str:
    """Why there is none, for people."""
    if _is_off(environment):
        return f"{SWITCH} is {environment[SWITCH]}"
    return f"no PostgreSQL of this machine has it, and {DSNS} is not set"


def _is_off(environment: Mapping[str, str]) -> bool:
    return environment.get(SWITCH, "").lower() in {"off", "no", "0"}


def installations() -> list[Installation]:
    """Every PostgreSQL 15 or newer of this machine: the one on PATH, the distribution's, pgdg's, Homebrew's; the oldest first."""
    pg_config = shutil.which("pg_config")
    folders = [Path(_asked(Path(pg_config), "--bindir"))] if pg_config else []
    folders += [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    folders += [bindir for brew in ("/opt/homebrew", "/usr/local") for bindir in Path(brew).glob("opt/postgresql@*/bin")]
    usable = {folder.resolve() for folder in folders if all((folder / name).is_file() for name in ("initdb", "postgres"))}
    known = [i for i in map(_installation, sorted(usable)) if i is not None and i.major >= MAJOR_MIN]
    return sorted(known, key=lambda i: i.major)


def _installation(bindir: Path) -> Installation | None:
    version = re.search(r"\) (\d+)", _asked(bindir / "postgres", "--version"))
    if version is None:
        return None
    major = int(version[1])
    if (bindir / "pg_config").is_file():
        sharedir, pkglibdir = (Path(_asked(bindir / "pg_config", name)) for name in ("--sharedir", "--pkglibdir"))
    else:  # the server packages of Debian and pgdg may come without it
        debian = Path(f"/usr/share/postgresql/{major}")
        sharedir, pkglibdir = debian if debian.is_dir() else bindir.parent / "share", bindir.parent / "lib"
    return Installation(bindir, major, sharedir, pkglibdir)


def _asked(program: Path, option: str) -> str:
    """What a program says about itself; nothing when it can't be run."""
    try:
        return subprocess.run([program, option], check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@contextmanager
def _cluster(bindir: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """A cluster of our own; nothing of it stays. In a folder its account can enter, which pytest's own are not for root."""
    with tempfile.TemporaryDirectory(prefix="intraday-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServer(Path(folder), bindir=bindir, settings=settings) as server:
            yield server.dsn
