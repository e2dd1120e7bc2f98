"""PostgreSQL for integration tests: a fresh, migrated database for each test, on our own server and on TimescaleDB.

Every test that uses ``dsn`` runs once on the embedded server and once on each server that ``other_servers.second_pass`` finds.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from functools import cache, cached_property
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
from other_servers import DSNS, QUICK, first_pass, no_second_pass, second_pass

_OTHERS = {server.kind: server for server in second_pass(os.environ)}
_KINDS = [*(["postgresql"] if first_pass(os.environ) else []), *_OTHERS]
if not _KINDS:
    raise pytest.UsageError(f"no server to test on: {no_second_pass(os.environ)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A TimescaleDB that was only found on this machine takes the tests of the database; one that was asked for takes all.

    Whole jobs are three quarters of the second pass: `make test-timescale` runs them there too.
    """
    if os.environ.get(DSNS) or not first_pass(os.environ):
        return
    here = Path(__file__).parent
    left = [
        item
        for item in items
        if item.path.parent == here
        and not item.path.name.startswith(("test_db_", "test_contract"))
        and getattr(item, "callspec", None) is not None
        and item.callspec.params.get("server") in _OTHERS  # type: ignore[attr-defined]
    ]
    config.hook.pytest_deselected(items=left)
    gone = set(left)
    items[:] = [item for item in items if item not in gone]


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


class _Server:
    """A server, with what is made on it once, when a test first wants it."""

    def __init__(self, backend: Backend, jobs_dir: Path) -> None:
        self.backend = backend
        self.jobs_dir = jobs_dir  # the runs' models and journals bear their names, so that tests do not meet

    @cached_property
    def trained(self) -> str:
        """A database after HISTORICAL_MODE."""
        found = self.backend.create()
        run_historical(settings_on(found, self.jobs_dir), SystemClock(), quiet)
        return found

    @cached_property
    def lived(self) -> tuple[str, Mapping[str, Any]]:
        """The same with the next session in it, through the live path; and what that run said."""
        found = self.backend.copy(self.trained)
        return found, run_live(settings_on(found, self.jobs_dir), SystemClock(), quiet).summary

    def close(self) -> None:
        """Remove all of it."""
        made = vars(self)
        for dsn in (made.get("trained"), made.get("lived", (None,))[0]):
            if dsn is not None:
                self.backend.drop(dsn)
        self.backend.close()


@pytest.fixture(scope="session")
def servers(embedded: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], _Server]]:
    """Servers by kind. Once wanted, one stays for the whole session, whatever the order of the tests."""
    with ExitStack() as stack:

        @cache
        def server(kind: str) -> _Server:
            other = _OTHERS.get(kind)
            backend = Backend(kind, stack.enter_context(other.dsn), other.where) if other else Backend(kind, embedded.dsn)
            found = _Server(backend, tmp_path_factory.mktemp(kind) / "var")
            stack.callback(found.close)
            return found

        yield server


@pytest.fixture(scope="module", params=_KINDS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], _Server]) -> _Server:
    """The server a test runs on, with what is made once."""
    return servers(request.param)


@pytest.fixture(scope="module")
def backend(server: _Server) -> Backend:
    """The server a test runs on."""
    return server.backend


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Write on the test's report which server it ran on: the closing summary reads it."""
    yield
    server = getattr(item, "funcargs", {}).get("server")
    if isinstance(server, _Server):
        item.user_properties.append(("server", server.backend.title))


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


@pytest.fixture
def jobs_dir(server: _Server) -> Path:
    """Models and journals of the jobs' runs."""
    return server.jobs_dir


@pytest.fixture
def lived_once(server: _Server) -> tuple[str, Mapping[str, Any]]:
    """The database with a live session in it that others are copied from, and what that run said."""
    return server.lived


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    """On an empty database."""
    return settings_on(dsn, tmp_path / "var")


@pytest.fixture
def trained_dsn(server: _Server) -> Iterator[str]:
    """A copy of the trained database."""
    found = server.backend.copy(server.trained)
    yield found
    server.backend.drop(found)


@pytest.fixture
def trained(trained_dsn: str, jobs_dir: Path) -> Settings:
    """The settings after HISTORICAL_MODE on an empty database, which the synthetic feed fills."""
    return settings_on(trained_dsn, jobs_dir)


@pytest.fixture
def lived_dsn(server: _Server) -> Iterator[str]:
    """A copy of the database with a live session in it."""
    found = server.backend.copy(server.lived[0])
    yield found
    server.backend.drop(found)


@pytest.fixture
def lived(lived_dsn: str, jobs_dir: Path) -> Settings:
    """Its settings."""
    return settings_on(lived_dsn, jobs_dir)


@pytest.fixture
def config(lived: Settings, tmp_path: Path) -> Path:
    """The same settings as a file, for the command line."""
    return config_file(lived, tmp_path / "config.yaml")
