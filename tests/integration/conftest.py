"""PostgreSQL for integration tests: a fresh, migrated database for each test, on our own server and on TimescaleDB.

Every test that uses ``dsn`` runs once on the embedded server and once on each server that ``other_servers.second_pass`` finds.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
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
from other_servers import QUICK, second_pass

_OTHERS = {server.kind: server for server in second_pass(os.environ)}


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
        with EmbeddedServer(Path(folder), settings=QUICK) as server:
            yield server


@pytest.fixture(scope="session", params=["postgresql", *_OTHERS])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The server a test runs on."""
    with ExitStack() as stack:
        if request.param in _OTHERS:
            other = _OTHERS[request.param]
            server = Backend(other.kind, stack.enter_context(other.dsn), other.where)
        else:
            server = Backend("postgresql", request.getfixturevalue("embedded").dsn)
        stack.callback(server.close)
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Write on the test's report which server it ran on: the closing summary reads it."""
    yield
    backend = getattr(item, "funcargs", {}).get("backend")
    if backend is not None:
        item.user_properties.append(("server", backend.title))


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
