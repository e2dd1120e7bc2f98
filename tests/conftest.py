"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from other_servers import no_second_pass
from turns import ALONE, turn

# A time limit for each example says how busy the machine is, not whether the law holds; pytest's own limit stays.
settings.register_profile("intraday", deadline=None)
settings.load_profile("intraday")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real market data beside the project (INTRADAY_SHARED names another); skips where there is none."""
    folder = Path(os.environ.get("INTRADAY_SHARED") or ROOT.parent / "shared").resolve()
    if not (folder / "data" / "README.md").is_file():
        pytest.skip(
            f"no real market data beside the project: {folder.name}/data/README.md not found (INTRADAY_SHARED names the folder)"
        )
    return folder


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Between several processes (pytest-xdist) tests take turns; waiting is no part of a test's time limit."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with turn(alone=item.path.name in ALONE):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say plainly which servers the database tests ran on; the reports tell, also those of other processes (pytest-xdist)."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, ()) if report.when == "call"]
    ran = Counter(value for report in reports for name, value in report.user_properties if name == "server")
    for title, n in ran.items():
        terminalreporter.write_line(f"database: {n} tests on {title}")
    if ran and not any("TimescaleDB" in title for title in ran):
        terminalreporter.write_line(f"database: no second pass on TimescaleDB: {no_second_pass(os.environ)}")
