"""The contract suite: every public method of every store gives the same answers, and leaves the same rows, on every server.

Nothing is left out but columns that the clock fills. Where there is only one server it is compared with itself, the rows
of every write in another order.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contract_cases import contents, public_methods
from contract_scenario import Scenario
from database_cases import Backend
from intraday.database.embedded import EmbeddedServer
from intraday.database.pool import Database
from intraday.database.stores import Stores
from other_servers import another_plain

pytestmark = pytest.mark.integration


def transcript(dsn: str, folder: Path, *, shuffled: bool = False) -> tuple[list[str], set[str]]:
    """(every answer and then every row, methods called)."""
    with Database(dsn) as database:
        scenario = Scenario(database, folder, shuffled=shuffled)
        asyncio.run(scenario.tell())
        return [*scenario.stores.lines, *contents(database)], scenario.stores.called


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="module")
def plain(embedded: EmbeddedServer, files: Path) -> list[str]:
    """The embedded server's transcript."""
    server = Backend("postgresql", embedded.dsn)
    dsn = server.create()
    lines, _ = transcript(dsn, files)
    server.drop(dsn)
    server.close()
    return lines


def assert_same(found: list[str], expected: list[str]) -> None:
    """Say the first difference, in its place."""
    for k, (a, b) in enumerate(zip(found, expected, strict=False)):
        assert a == b, f"line {k}, after {expected[max(0, k - 3) : k]}"
    assert len(found) == len(expected)


def test_every_server_gives_the_same_answers(backend: Backend, dsn: str, plain: list[str], files: Path) -> None:
    lines, called = transcript(dsn, files, shuffled=backend.kind == "postgresql")
    with Database(dsn) as database:
        assert public_methods(Stores(database)) - called == set(), "the scenario has to call these"
    assert_same(lines, plain)


def test_another_postgresql_gives_the_same_answers(embedded: EmbeddedServer, plain: list[str], files: Path) -> None:
    other = another_plain(int((embedded.data / "PG_VERSION").read_text()))
    if other is None:
        pytest.skip("no PostgreSQL on this machine but our own")
    with other.dsn as server_dsn:
        server = Backend(other.kind, server_dsn, other.where)
        dsn = server.create()
        lines, _ = transcript(dsn, files)
        server.drop(dsn)
        server.close()
    assert_same(lines, plain)
