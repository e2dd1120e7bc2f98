"""Databases for tests: copies of a migrated template on some server, and servers of our own that leave nothing behind."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from intraday.database import schema, timescale
from intraday.database.pool import Database


def on_database(dsn: str, name: str) -> str:
    """The DSN with another database's name."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


class Backend:
    """A server with a migrated template database; every test gets a copy.

    ``kind`` is ``postgresql``, or begins with ``timescaledb``. ``title`` says to people what it is, and ``where`` it is from.
    """

    def __init__(self, kind: str, dsn: str, where: str = "embedded") -> None:
        self.kind = kind
        self._dsn = dsn
        self._template = f"template_{secrets.token_hex(4)}"
        self._admin(f"CREATE DATABASE {self._template}")
        schema.init(on_database(dsn, self._template))
        with psycopg.connect(on_database(dsn, self._template)) as connection:
            version, extension = connection.info.parameter_status("server_version"), timescale.version(connection)
            # Copying files ends with a checkpoint: a quarter of the time where nothing is synced, several times it elsewhere.
            unsynced = connection.execute("SELECT current_setting('fsync') = 'off'").fetchone() == (True,)
            self._strategy = "FILE_COPY" if unsynced else "WAL_LOG"
        assert (extension is None) == (kind == "postgresql"), f"the server {where} is no {kind}: its TimescaleDB is {extension}"
        self.title = f"{f'TimescaleDB {extension} on ' if extension else ''}PostgreSQL {str(version).split()[0]}, {where}"
        self._release(self._template)

    def create(self, *, migrated: bool = True) -> str:
        """A new database's DSN."""
        name = f"test_{secrets.token_hex(6)}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {self._template if migrated else 'template0'} STRATEGY {self._strategy}")
        return on_database(self._dsn, name)

    def copy(self, dsn: str) -> str:
        """A copy of a database that nobody is connected to any more; its DSN.

        As files on every server: a page copied through the log keeps what a sequence had in reserve without the log knowing, and
        when the server is killed the copy's sequences go back (PostgreSQL 15 to 18, found by this suite).
        """
        name = f"test_{secrets.token_hex(6)}"
        self._release(urlsplit(dsn).path[1:])
        self._admin(f"CREATE DATABASE {name} TEMPLATE {urlsplit(dsn).path[1:]} STRATEGY FILE_COPY")
        self._admin(f"ALTER DATABASE {urlsplit(dsn).path[1:]} ALLOW_CONNECTIONS true")
        return on_database(self._dsn, name)

    def drop(self, dsn: str) -> None:
        """Drop it, whoever is connected."""
        self._admin(f"DROP DATABASE IF EXISTS {urlsplit(dsn).path[1:]} WITH (FORCE)")

    def close(self) -> None:
        """Remove the template."""
        self._admin(f"DROP DATABASE {self._template} WITH (FORCE)")

    def _release(self, name: str) -> None:
        """Nobody may be connected to a template while it is copied, TimescaleDB's background workers included."""
        self._admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self._admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def _admin(self, statement: str) -> None:
        with psycopg.connect(on_database(self._dsn, "postgres"), autocommit=True) as connection:
            connection.execute(statement)


def make_known(database: Database, ids: Iterable[int] = (), runs: Iterable[str] = (), sets: Iterable[str] = ()) -> None:
    """Rows that others refer to: instruments by number, runs by name, feature and label sets by name."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO instruments SELECT i, 'NSE', 'S' || i, 'equity', 5, 1 FROM unnest(%s::integer[]) AS i", (list(ids),)
        )
        connection.execute(
            "INSERT INTO runs (id, command, config, started_at) SELECT r, 'live', '{}', now() FROM unnest(%s::text[]) AS r",
            (list(runs),),
        )
        connection.execute("INSERT INTO feature_sets SELECT s, 5, '{x}', '{}' FROM unnest(%s::text[]) AS s", (list(sets),))
        connection.execute("INSERT INTO label_sets SELECT s, '{}' FROM unnest(%s::text[]) AS s", (list(sets),))


def remove_server(folder: Path) -> None:
    """Stop whatever server still runs under ``folder``, and remove it."""
    for note in folder.rglob("postmaster.pid"):
        with suppress(OSError, ValueError, psutil.Error):
            server = psutil.Process(int(note.read_text().split("\n")[0]))
            if str(note.parent) in server.cmdline():
                server.kill()
                server.wait(10)
    shutil.rmtree(folder, ignore_errors=True)
