"""A PostgreSQL of our own: made, started, shared, recovered and stopped by the program. Binaries only come from the pip wheel.

Who uses the server is known from ``flock``: every user holds a shared lock on ``users.lock``, which the kernel drops even after
``kill -9``; the last one to leave gets it exclusively and stops the server. Starting and stopping are serialised by ``start.lock``.
Readiness is a successful connection, never a PID: ``postmaster.pid`` survives crashes and its number may belong to anybody.
Measured figures and the traps of the alternatives: docs/adr/0010-embedded-postgresql.md.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from urllib.parse import quote

import psutil
import psycopg

from intraday.database.embedded_host import Account, choose_account, reachable_bindir, refuge_for, wheel_bindir
from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable

_USER = "intraday"
_SOCKET_PATH_MAX = 100  # sun_path has 108 bytes on Linux and 104 on macOS, the terminating zero included
_PAUSE_S = 0.1
_SETTINGS = """\
listen_addresses = ''
port = 5432
unix_socket_permissions = 0777
max_connections = 60
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


class EmbeddedServer:
    """One user's hold on the server under ``<data_dir>/pg``. ``start`` and ``stop`` may be called by any number of processes.

    ``bindir`` may name any PostgreSQL 15 or newer; by default it is the wheel's. ``start_timeout_s`` bounds crash recovery.
    ``settings`` are added to ours when the server starts, each value spelled as postgresql.conf wants it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        bindir: Path | None = None,
        start_timeout_s: float = 300.0,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._home = data_dir.resolve() / "pg"  # one spelling: it is looked for in command lines
        self._bindir = bindir
        self._timeout_s = start_timeout_s
        self._settings = settings
        self._hold: int | None = None
        self._dsn = ""
        self._base = self._home
        self._account = Account()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def dsn(self) -> str:
        """How to connect; empty before ``start``. Holds the password: never print it."""
        return self._dsn

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self._base / "data"

    def free_bytes(self) -> int:
        """Room left on the cluster's disk."""
        return shutil.disk_usage(self.data).free

    def start(self) -> str:
        """Make the cluster if there is none, start the server if it is not running, and return the DSN.

        Raises StorageFull without room, StorageUnavailable when the server does not accept connections within the timeout,
        StorageError when the cluster was made by another PostgreSQL or its password is lost.
        """
        assert self._hold is None, "started twice"
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with _locked(self._home / "start.lock"):
                self._start()
                self._hold = _flock(self._home / "users.lock", fcntl.LOCK_SH)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise StorageFull(f"no room left on the disk of {self._home}") from None
            raise StorageError(f"can't use {error.filename or self._home} for the database: {error.strerror}") from None
        return self._dsn

    def stop(self) -> bool:
        """Leave the server; True when this was its last user and it was stopped. A second call does nothing."""
        if self._hold is None:
            return False
        with _locked(self._home / "start.lock"):
            os.close(self._hold)
            self._hold = None
            try:
                os.close(_flock(self._home / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError:
                return False
            self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", "60", "stop")
            return True

    def _start(self) -> None:
        """The body of ``start``, under its lock."""
        self._account = choose_account(self._home)
        self._base = self._place(self._account)
        self._bindir = reachable_bindir(self._bindir or wheel_bindir(), self._account)
        password = self._password()
        if not (self.data / "PG_VERSION").exists():
            self._initdb(password)
        self._check_version()
        run = self._run_folder()
        self._dsn = f"postgresql://{_USER}:{password}@/{_USER}?host={quote(str(run), safe='')}&port=5432"
        if not self._answers():
            self._launch(run)
        self._create_database()

    def _run(self, program: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        assert self._bindir is not None
        return self._account.run([self._bindir / program, *args])

    def _place(self, account: Account) -> Path:
        """Where the cluster lives: home, or the refuge named by ``home/moved-to`` when the account can't reach home."""
        note = self._home / "moved-to"
        if note.exists():
            base = Path(note.read_text("utf-8").strip())
            if not base.is_dir():
                raise StorageError(
                    f"{note} says the database is in {base}, found no such folder: restore it, or remove {self._home} to begin anew"
                )
            return base
        refuge = refuge_for(self._home, account)
        if refuge is None:
            return self._home
        base = Path(tempfile.mkdtemp(prefix="intraday-pg-", dir=refuge))
        base.chmod(0o755)
        note.write_text(f"{base}\n", "utf-8")
        return base

    def _password(self) -> str:
        """The superuser's password, random, in a file only we can read."""
        path = self._home / "password"
        if not path.exists():
            if (self.data / "PG_VERSION").exists():
                raise StorageError(
                    f"expected the database's password in {path}, found no file: restore it, or move {self.data} away to begin anew"
                )
            draft = path.with_suffix(".new")
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
                f.write(secrets.token_urlsafe(24))
            draft.rename(path)
        return path.read_text("utf-8").strip()

    def _initdb(self, password: str) -> None:
        """initdb into a draft that is renamed when complete, so a killed initdb leaves nothing that looks like a cluster."""
        draft, pwfile = self._base / "data.new", self._base / "pwfile"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._account.own(draft)
        with open(os.open(pwfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(password)
        self._account.own(pwfile)
        locale = "C.UTF-8" if os.uname().sysname == "Linux" else "C"
        try:
            auth = ("-U", _USER, "-A", "scram-sha-256", f"--pwfile={pwfile}")
            done = self._run("initdb", "-D", draft, *auth, "-E", "UTF8", f"--locale={locale}")
        finally:
            pwfile.unlink()
        if done.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            _raise_start(f"initdb failed in {draft}", done.stdout + done.stderr)
        draft.rename(self.data)

    def _check_version(self) -> None:
        made = (self.data / "PG_VERSION").read_text("utf-8").strip()
        done = self._run("postgres", "--version")  # postgres (PostgreSQL) 18.4, and a packager's words
        numbers = [word for word in done.stdout.split() if word[0].isdigit()]
        have = numbers[0].split(".")[0] if numbers else f"not usable ({done.stderr.strip()})"
        if have != made:
            raise StorageError(
                f"the database in {self.data} was made by PostgreSQL {made}, the binaries in {self._bindir} are {have}: "
                "install the old ones, or dump with them and restore"
            )

    def _run_folder(self) -> Path:
        """The socket's folder: beside the data if the path is short enough for a socket, otherwise a temporary one."""
        run = self._base / "run"
        if len(str(run / ".s.PGSQL.5432")) <= _SOCKET_PATH_MAX:
            run.mkdir(exist_ok=True)
        elif not run.is_symlink() or not run.exists():  # the machine may have emptied its temporary folder
            run.unlink(missing_ok=True)
            run.symlink_to(tempfile.mkdtemp(prefix="intraday-run-", dir="/tmp"))  # nosec B108: mkdtemp, so nobody else made it
        run = run.resolve()
        run.chmod(0o755)
        self._account.own(run)
        return run

    def _answers(self) -> bool:
        """True when the server accepts our connection now."""
        try:
            psycopg.connect(self._admin_dsn(), connect_timeout=5, autocommit=True).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StorageError(f"the server in {self.data} refuses the password in {self._home / 'password'}") from None
            return False
        return True

    def _admin_dsn(self) -> str:
        return self._dsn.replace(f"@/{_USER}?", "@/postgres?")

    def _launch(self, run: Path) -> None:
        """Start the postmaster and wait until it answers; after a crash that includes recovery."""
        self._configure(run)
        log = self._base / "server.log"
        if log.exists() and log.stat().st_size > 10_000_000:
            log.unlink()
        log.touch()
        self._account.own(log)
        begin = log.stat().st_size
        for _ in range(max(1, int(self._timeout_s))):
            if not self._postmaster_alive():
                done = self._run("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", str(int(self._timeout_s)), "start")
                text = log.read_bytes()[begin:].decode("utf-8", "replace")
                # Children of a killed postmaster may hold its shared memory for a moment; anything else is final.
                if done.returncode != 0 and "still in use" not in text and not self._postmaster_alive():
                    _raise_start(f"PostgreSQL did not start; its log is {log}", text or done.stdout + done.stderr)
            if self._wait_answer(1.0):
                return
        raise StorageUnavailable(
            f"PostgreSQL in {self.data} accepted no connection within {self._timeout_s:.0f} s; its log is {log}"
        )

    def _wait_answer(self, seconds: float) -> bool:
        for _ in range(max(1, round(seconds / _PAUSE_S))):
            if self._answers():
                return True
            time.sleep(_PAUSE_S)
        return False

    def _configure(self, run: Path) -> None:
        ours = self.data / "intraday.conf"
        more = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        ours.write_text(f"{_SETTINGS}{more}unix_socket_directories = '{run}'\n", "utf-8")
        self._account.own(ours)
        main = self.data / "postgresql.conf"
        if "include 'intraday.conf'" not in main.read_text("utf-8"):
            with main.open("a", encoding="utf-8") as f:
                f.write("\ninclude 'intraday.conf'\n")

    def _postmaster_alive(self) -> bool:
        """Whether ``postmaster.pid`` names a live server of this very cluster; a note left by a crash is removed.

        PostgreSQL itself refuses to start while the number belongs to any live process of its account, related or not.
        """
        path = self.data / "postmaster.pid"
        try:
            lines = path.read_text("utf-8").split("\n")
            process = psutil.Process(int(lines[0]))
            if process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline():
                return True
        except FileNotFoundError:
            return False
        except (ValueError, psutil.NoSuchProcess):
            pass
        except psutil.AccessDenied as error:
            raise StorageUnavailable(f"can't tell whether process {error.pid} is the PostgreSQL of {self.data}") from None
        path.unlink(missing_ok=True)
        return False

    def _create_database(self) -> None:
        with psycopg.connect(self._admin_dsn(), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_USER,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_USER}")


def _flock(path: Path, how: int) -> int:
    """An open, locked descriptor; closing it (or dying) lets go. Raises BlockingIOError with LOCK_NB."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, how)
    except OSError:
        os.close(handle)
        raise
    return handle


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = _flock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def _raise_start(what: str, log: str) -> None:
    """Turn the server's own words into one of our errors."""
    tail = " / ".join(line.strip() for line in log.strip().splitlines()[-3:])
    if "No space left on device" in log:
        raise StorageFull(f"{what}: no room left on its disk; free some and start again")
    raise StorageUnavailable(f"{what}: {tail}")
