"""One PostgreSQL cluster of ours: made, configured, started, stopped. When, and for whom, is the caller's matter, who holds the
lock of its folder (embedded_home.py) all the while.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import psycopg

from intraday.database import embedded_notes as notes
from intraday.database.embedded_home import socket_folder, sync_folder, write_whole
from intraday.database.embedded_host import Account, major_of
from intraday.database.errors import ROOM_MIN, mapped
from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable

USER = "intraday"
_PAUSE_S = 0.1
_LOG_MAX = 10_000_000
_INCLUDE = "include 'intraday.conf'"
_SETTINGS = """\
listen_addresses = ''
port = 5432
unix_socket_permissions = 0777
max_connections = 60
max_locks_per_transaction = 256
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
max_wal_size = 1GB
min_wal_size = 128MB
checkpoint_timeout = 15min
wal_level = minimal
max_wal_senders = 0
wal_compression = pglz
max_parallel_workers_per_gather = 0
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
password_encryption = scram-sha-256
"""


class Cluster:
    """The cluster ``<base>/<name>``, its log ``<base>/server.log`` and its socket, run by ``bindir`` as ``account``.

    ``run`` is the socket's folder where it is not the usual one. ``settings`` are added to ours.
    """

    def __init__(
        self,
        base: Path,
        bindir: Path,
        account: Account,
        password: str,
        *,
        name: str = "data",
        run: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        timeout_s: float = 300.0,
    ) -> None:
        self.data = base / name
        self._base = base
        self._bindir = bindir
        self._account = account
        self._password = password
        self._run = run
        self._settings = settings
        self._timeout_s = timeout_s
        self._log = base / "server.log"
        self._words = ""

    def dsn(self, database: str = USER) -> str:
        """How to connect, once ``start`` has been called. Holds the password: never print it."""
        host = quote(str(self._run), safe="")
        return f"postgresql://{USER}:{self._password}@/{quote(database, safe='')}?host={host}&port=5432"

    def make(self) -> None:
        """Make the cluster unless it exists: initdb into a draft that is renamed when complete, so that a kill leaves nothing
        that looks like a cluster. Drafts have names of their own: the initdb of a killed program may still be at work.
        """
        for old in self._base.glob(f"{self.data.name}.new*"):
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink()
        if (self.data / "PG_VERSION").exists():
            return
        draft = Path(tempfile.mkdtemp(prefix=f"{self.data.name}.new-", dir=self._base))
        pwfile = Path(f"{draft}-pw")
        self._account.own(draft)
        write_whole(pwfile, self._password, self._account)
        locale = "C.UTF-8" if os.uname().sysname == "Linux" else "C"
        auth = ("-U", USER, "-A", "scram-sha-256", f"--pwfile={pwfile}")
        done = self._call("initdb", "-D", draft, *auth, "-E", "UTF8", f"--locale={locale}")
        pwfile.unlink()
        if done.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            self._raise(f"initdb failed in {draft}", done.stdout + done.stderr)
        draft.rename(self.data)
        sync_folder(self._base)

    def check(self) -> None:
        """Raise StorageError unless these binaries and this account can run the cluster; close it to others if it is open."""
        made, have = int((self.data / "PG_VERSION").read_text("utf-8")), major_of(self._bindir, self._account)
        if made != have:
            raise StorageError(
                f"the database in {self.data} was made by PostgreSQL {made}, the binaries in {self._bindir} are {have}: "
                + ("run `intraday db upgrade`" if made < have else "update intraday, or set database.dsn to a server of yours")
            )
        found = self.data.stat()
        owner = os.geteuid() if self._account.uid is None else self._account.uid
        if found.st_uid != owner:
            raise StorageError(
                f"{self.data} belongs to {_name(found.st_uid)}, the database server runs as {_name(owner)}: "
                f"run `chown -R {_name(owner)} {self.data}`"
            )
        if stat.S_IMODE(found.st_mode) & ~0o750:  # PostgreSQL refuses a folder that others can enter
            self.data.chmod(0o700)

    def start(self) -> None:
        """Start the server unless it answers, and wait until it does; after a crash that includes recovery.

        Raises StorageFull without room, StorageUnavailable when it does not start or answer within the timeout, StorageError
        when it refuses our password.
        """
        if self._run is None:
            self._run = socket_folder(self._base, self._account)
        if self._answers():
            return
        self._configure(self._run)
        self._roll_log()
        for _ in range(max(1, int(self._timeout_s / _PAUSE_S))):
            if not notes.alive(self.data):
                self._launch(self._run)
            elif not (self._run / notes.SOCKET).exists():  # somebody emptied the temporary folder: nobody can find the server
                self.stop()
            if self._answers():
                return
            time.sleep(_PAUSE_S)
        raise StorageUnavailable(
            f"PostgreSQL in {self.data} accepted no connection within {self._timeout_s:.0f} s ({self._words}); "
            f"its log is {self._log}"
        )

    def stop(self) -> bool:
        """Stop the server; True when none runs afterwards. A server that takes longer goes on stopping by itself."""
        if notes.alive(self.data):
            self._call("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", "60", "stop")
        return not notes.alive(self.data)

    def create_database(self) -> None:
        """Create our database unless it exists."""
        with mapped(), psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (USER,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {USER}")

    def _call(self, program: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return self._account.run([self._bindir / program, *args])

    def _answers(self) -> bool:
        """True when the server accepts our connection now."""
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=5, autocommit=True).close()
        except psycopg.OperationalError as error:
            self._words = str(error).strip().splitlines()[-1] if str(error).strip() else "no answer"
            if "password authentication failed" in str(error):
                raise StorageError(f"the server in {self.data} refuses the password in {self._base / 'password'}") from None
            return False
        return True

    def _launch(self, run: Path) -> None:
        """One attempt. Children of a killed server that hold its shared memory are asked to end; anything else is final."""
        notes.clear(self.data, run)
        begin = self._log.stat().st_size
        done = self._call("pg_ctl", "-D", self.data, "-l", self._log, "-w", "-t", str(int(self._timeout_s)), "start")
        if done.returncode == 0 or notes.alive(self.data):
            return
        text = self._log.read_bytes()[begin:].decode("utf-8", "replace")
        if "still in use" not in text:
            self._raise(f"PostgreSQL did not start; its log is {self._log}", text or done.stdout + done.stderr)
        notes.end_orphans(self.data)

    def _configure(self, run: Path) -> None:
        """Our settings, at every start."""
        more = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        write_whole(self.data / "intraday.conf", f"{_SETTINGS}{more}unix_socket_directories = '{run}'\n", self._account)
        main = self.data / "postgresql.conf"
        text = main.read_text("utf-8")
        if _INCLUDE not in text.splitlines():
            write_whole(main, f"{text}\n{_INCLUDE}\n", self._account)

    def _roll_log(self) -> None:
        """Begin a new log when it is long, and keep the last one."""
        if self._log.exists() and self._log.stat().st_size > _LOG_MAX:
            self._log.rename(self._log.with_name(f"{self._log.name}.1"))
        self._log.touch()
        self._account.own(self._log)

    def _raise(self, what: str, log: str) -> None:
        """Turn the server's own words into one of our errors. Without room it may not have been able to say anything."""
        tail = " / ".join(line.strip() for line in log.strip().splitlines()[-3:])
        left = shutil.disk_usage(self._base).free
        if "No space left on device" in log or left < ROOM_MIN:
            raise StorageFull(f"{what}: no room left on its disk ({left // 2**20} MiB): free some and start again; it said: {tail}")
        raise StorageUnavailable(f"{what}: {tail}")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
