"""PostgreSQL for integration tests: a fresh, migrated database for each test, on our own server and on TimescaleDB if one is named.

``INTRADAY_TEST_TIMESCALE_DSN`` names a superuser's DSN on a server that preloads TimescaleDB; every test
using ``dsn`` then runs twice.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from database_cases import Backend, remove_server
from intraday.config.settings import Settings
from intraday.database.embedded import EmbeddedServer
from intraday.database.pool import Database
from intraday.domain.clock import SystemClock
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from job_cases import config_file, quiet, settings_on

TIMESCALE = "INTRADAY_TEST_TIMESCALE_DSN"
_RAN = pytest.StashKey[list[str]]()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder our own server's account can enter, which pytest's own are not for root: nothing is placed elsewhere."""
    made = Path(tempfile.mkdtemp(prefix="intraday-test-"))
    made.chmod(0o755)
    yield made
    remove_server(made)


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 240 MB."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=240m,mode=755", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode != 0:
        pytest.skip(f"may not mount a small file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


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


@pytest.fixture(scope="session")
def jobs_dir(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Path:
    """Models and journals of the jobs' runs: their names are the runs', so that tests do not meet."""
    return tmp_path_factory.mktemp(backend.kind) / "var"


@pytest.fixture(scope="session")
def trained_once(backend: Backend, jobs_dir: Path) -> Iterator[str]:
    """A database after HISTORICAL_MODE; tests get copies."""
    found = backend.create()
    run_historical(settings_on(found, jobs_dir), SystemClock(), quiet)
    yield found
    backend.drop(found)


@pytest.fixture(scope="session")
def lived_once(backend: Backend, trained_once: str, jobs_dir: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The same with the next session in it, through the live path; and what that run said."""
    found = backend.copy(trained_once)
    yield found, run_live(settings_on(found, jobs_dir), SystemClock(), quiet).summary
    backend.drop(found)


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    """On an empty database."""
    return settings_on(dsn, tmp_path / "var")


@pytest.fixture
def trained_dsn(backend: Backend, trained_once: str) -> Iterator[str]:
    """A copy of the trained database."""
    found = backend.copy(trained_once)
    yield found
    backend.drop(found)


@pytest.fixture
def trained(trained_dsn: str, jobs_dir: Path) -> Settings:
    """The settings after HISTORICAL_MODE on an empty database, which the synthetic feed fills."""
    return settings_on(trained_dsn, jobs_dir)


@pytest.fixture
def lived_dsn(backend: Backend, lived_once: tuple[str, Mapping[str, Any]]) -> Iterator[str]:
    """A copy of the database with a live session in it."""
    found = backend.copy(lived_once[0])
    yield found
    backend.drop(found)


@pytest.fixture
def lived(lived_dsn: str, jobs_dir: Path) -> Settings:
    """Its settings."""
    return settings_on(lived_dsn, jobs_dir)


@pytest.fixture
def config(lived: Settings, tmp_path: Path) -> Path:
    """The same settings as a file, for the command line."""
    return config_file(lived, tmp_path / "config.yaml")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say plainly what the databases were."""
    ran = config.stash.get(_RAN, [])
    first = "ran" if "postgresql" in ran else "was not needed"
    second = (
        "ran too" if "timescaledb" in ran else "did not run" + ("" if os.environ.get(TIMESCALE) else f": {TIMESCALE} is not set")
    )
    terminalreporter.write_line(f"databases: embedded PostgreSQL {first}; the second pass on TimescaleDB {second}")
