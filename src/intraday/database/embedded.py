"""A PostgreSQL of our own: made, started, shared, recovered and stopped by the program. Binaries only come from the pip wheel.

Who uses the server is known from ``flock``: every user holds a shared lock on ``users.lock``, which the kernel drops even after
``kill -9``; the last one to leave gets it exclusively and stops the server. Starting and stopping are serialised by ``start.lock``.
Readiness is a successful connection, never a PID: ``postmaster.pid`` survives crashes and its number may belong to anybody.
Measured figures and the traps of the alternatives: docs/adr/0010-embedded-postgresql.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType

from intraday.database.embedded_cluster import Cluster
from intraday.database.embedded_home import Home
from intraday.database.embedded_host import choose_account, reachable_bindir, wheel_bindir


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
        self._home = Home(data_dir)
        self._bindir = bindir
        self._timeout_s = start_timeout_s
        self._settings = settings
        self._hold: int | None = None
        self._cluster: Cluster | None = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def dsn(self) -> str:
        """How to connect; empty before ``start``. Holds the password: never print it."""
        return "" if self._cluster is None else self._cluster.dsn()

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self._home.data

    def free_bytes(self) -> int:
        """Room left on the cluster's disk."""
        return shutil.disk_usage(self.data).free

    def start(self) -> str:
        """Make the cluster if there is none, start the server if it is not running, and return the DSN.

        Raises StorageFull without room, StorageUnavailable when the server does not accept connections within the timeout,
        StorageError when the cluster was made by another PostgreSQL, its password is lost, or its place can't be used.
        """
        assert self._hold is None, "started twice"
        self._home.make()
        with self._home.starting(self._timeout_s):
            self._cluster = self._start()
            self._hold = self._home.hold()
        return self.dsn

    def stop(self) -> bool:
        """Leave the server; True when this was its last user and it was stopped. A second call does nothing."""
        if self._hold is None or self._cluster is None:
            return False
        with self._home.starting(self._timeout_s):
            os.close(self._hold)
            self._hold = None
            return self._home.deserted() and self._cluster.stop()

    def _start(self) -> Cluster:
        """The body of ``start``, under its lock."""
        account = choose_account(self._home.path)
        base = self._home.place(account)
        bindir = reachable_bindir(self._bindir or wheel_bindir(), account)
        self._home.finish_swap()
        cluster = Cluster(base, bindir, account, self._home.password(), settings=self._settings, timeout_s=self._timeout_s)
        cluster.make()
        cluster.check()
        cluster.start()
        cluster.create_database()
        return cluster
