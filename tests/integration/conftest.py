"""PostgreSQL for integration tests: a fresh, migrated database for each test, on our own server and on TimescaleDB if one is named.

``INTRADAY_TEST_TIMESCALE_DSN`` names a superuser's DSN on a server that preloads TimescaleDB; every test
using ``dsn`` then runs twice.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from intraday.database import schema
from intraday.database.embedded import EmbeddedServer
from intraday.database.pool import Database

TIMESCALE = "INTRADAY_TEST_TIMESCALE_DSN"
_RAN = pytest.StashKey[list[str]]()


def on_database(dsn: str, name: str) -> str:
    """The DSN with another database's name."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


class Backend:
    """A server with a migrated template database; every test gets a copy."""

    def __init__(self, kind: str, dsn: str) -> None:
        self.kind = kind
        self._dsn = dsn
        self._template = f"template_{secrets.token_hex(4)}"
        self._admin(f"CREATE DATABASE {self._template}")
        schema.init(on_database(dsn, self._template))
        self._release(self._template)

    def create(self, *, migrated: bool = True) -> str:
        """A new database's DSN."""
        name = f"test_{secrets.token_hex(6)}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {self._template if migrated else 'template0'}")
        return on_database(self._dsn, name)

    def copy(self, dsn: str) -> str:
        """A copy of a database that nobody is connected to any more; its DSN."""
        name = f"test_{secrets.token_hex(6)}"
        self._release(urlsplit(dsn).path[1:])
        self._admin(f"CREATE DATABASE {name} TEMPLATE {urlsplit(dsn).path[1:]}")
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


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedServer]:
    """Our own server, for the whole test session; in a folder its account can enter, which pytest's own are not for root."""
    with tempfile.TemporaryDirectory(prefix="intraday-test-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServer(Path(folder)) as server:
            yield server


@pytest.fixture(scope="session", params=["postgresql", "timescaledb"] if os.environ.get(TIMESCALE) else ["postgresql"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The server a test runs on."""
    dsn = os.environ[TIMESCALE] if request.param == "timescaledb" else request.getfixturevalue("embedded").dsn
    server = Backend(request.param, dsn)
    request.config.stash.setdefault(_RAN, []).append(request.param)
    yield server
    server.close()


@pytest.fixture
def dsn(backend: Backend) -> Iterator[str]:
    """A fresh, migrated database."""
    found = backend.create()
    yield found
    backend.drop(found)


@pytest.fixture
def empty_dsn(backend: Backend) -> Iterator[str]:
    """A fresh database without any schema."""
    found = backend.create(migrated=False)
    yield found
    backend.drop(found)


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """The database object on ``dsn``."""
    with Database(dsn) as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say plainly what the databases were."""
    ran = config.stash.get(_RAN, [])
    first = "ran" if "postgresql" in ran else "was not needed"
    second = (
        "ran too" if "timescaledb" in ran else "did not run" + ("" if os.environ.get(TIMESCALE) else f": {TIMESCALE} is not set")
    )
    terminalreporter.write_line(f"databases: embedded PostgreSQL {first}; the second pass on TimescaleDB {second}")
