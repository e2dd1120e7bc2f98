"""PostgreSQL's own dump programs: which are on this machine, which fit a server, how to start them without a secret showing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from intraday.database.embedded_host import wheel_bindir
from intraday.domain.errors import StorageError

# Real binaries before whatever PATH has: Debian's /usr/bin/pg_dump is a script that chooses a version by its own rules.
_PLACES = (
    "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"
)  # fmt: skip
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class Tools:
    """``pg_dump`` and ``pg_restore`` of one PostgreSQL."""

    bindir: Path
    version: str

    @property
    def major(self) -> int:
        """15 of 15.18."""
        return int(self.version.split(".")[0])


def choose(server: int, found: Iterable[Tools], *, written_by: int = 0) -> Tools:
    """The tools nearest to a server of major ``server``: no older than it, nor than those that wrote the file (``written_by``).

    A dump can't be made by an older program than the server's, nor read by an older one than wrote it. Raises StorageError.
    """
    least = max(server, written_by)
    known = list(found)
    fitting = [tools for tools in known if tools.major >= least]
    if not fitting:
        have = ", ".join(sorted({tools.version for tools in known})) or "none"
        raise StorageError(
            f"expected pg_dump and pg_restore of PostgreSQL {least} or newer on this machine, found {have}: "
            f"install the client programs of PostgreSQL {least} (Debian: postgresql-client-{least})"
        )
    return min(fitting, key=lambda tools: tools.major)


def installed() -> Iterator[Tools]:
    """Every pair of tools on this machine: the wheel's, the usual places of packages, PATH."""
    for bindir in _bindirs():
        done = None
        if all(os.access(bindir / name, os.X_OK) for name in ("pg_dump", "pg_restore")):
            with suppress(OSError):
                done = subprocess.run([bindir / "pg_dump", "--version"], check=False, capture_output=True, text=True)  # nosec B603
        version = re.search(r"\d+(\.\d+)?", done.stdout) if done is not None and done.returncode == 0 else None
        if version:
            yield Tools(bindir, version[0])


def _bindirs() -> Iterator[Path]:
    with suppress(StorageError):
        yield wheel_bindir()
    for pattern in _PLACES:
        yield from sorted(Path("/").glob(pattern[1:]))
    yield from (Path(name) for name in os.get_exec_path() if name)


def connection_of(dsn: str, environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """(connection string for a command line, environment of the child): the password is in the latter only.

    Variables of libpq stay: they belong to the DSN (a password file, certificates). Ours go: the child has no use for them.
    """
    parts = conninfo_to_dict(dsn)
    password = parts.get("password")
    shown = {key: value for key, value in parts.items() if key not in _SECRETS}
    env = {key: value for key, value in environ.items() if not key.startswith("INTRADAY")} | {"LC_ALL": "C", "LANGUAGE": "C"}
    if password:
        env["PGPASSWORD"] = str(password)
    return make_conninfo("", **shown), env


def reason(program: str, code: int, said: bytes) -> str:
    """What a tool said of its failure, in one line; nothing that could hold a DSN."""
    lines = said.decode("utf-8", "replace").splitlines()
    told = [line for line in lines if ("error:" in line or "FATAL" in line) and "://" not in line and "password=" not in line]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"{program} {how}" + (f": {told[0].strip()}" if told else "")
