"""A declared session counts when its candles are all there, not when somebody has one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from intraday.app import System, open_system
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.broker import Fetched
from intraday.domain.clock import SystemClock
from intraday.domain.session import Session
from intraday.jobs.historical import fill_synthetic
from intraday.jobs.whole_sessions import lacking
from job_cases import SESSIONS, quiet, settings_on

pytestmark = pytest.mark.integration
STORED = 4  # sessions up to the declaration; one more is tested


@pytest.fixture
def system(dsn: str, tmp_path: Path) -> Iterator[System]:
    """A small market with four sessions before the declaration and one after it."""
    settings = settings_on(dsn, tmp_path / "var")
    with open_system(settings, SystemClock()) as found:
        s = settings.trading.synthetic
        market = SyntheticMarket(SyntheticSpec(instruments=s.instruments, seed=s.seed, edge=s.edge), days(found))
        fill_synthetic(found, market, range(STORED + 1), quiet)
        yield found


def days(system: System) -> list[Session]:
    return list(SESSIONS.between(system.settings.trading.synthetic.start_day, SESSIONS.last)[: STORED + 1])


def lack(system: System) -> str:
    """What the session after the declaration lacks."""
    *_, last, tested = days(system)
    return lacking(system, last.day, [tested]).get(tested.day, "")


def drop(system: System, start_ns: int, end_ns: int, but: int = -1) -> None:
    """Candles of these minutes go, of all instruments ``but`` one."""
    with system.database.transaction() as connection:
        connection.execute(
            """DELETE FROM ohlcv_1min WHERE ts >= to_timestamp(%s) AND ts < to_timestamp(%s) AND instrument_id <> %s""",
            (start_ns / 1e9, end_ns / 1e9, but),
        )


def answered(system: System, number: int, until_ns: int, *, complete: bool = True, empty_ns: int | None = None) -> None:
    """The broker's answer, without candles."""
    fetched = Fetched(number, days(system)[-1].day, until_ns, 0, complete, empty_ns)
    system.stores.fetches.save(number, empty(BAR), [fetched], [], system.clock.now_ns())


def test_one_instrument_is_not_a_session(system: System) -> None:
    tested, ids = days(system)[-1], sorted(system.membership().ids)
    assert lack(system) == ""
    drop(system, tested.open_ns, tested.close_ns, but=ids[0])
    keys = sorted(i.key for i in system.stores.instruments.all() if i.id != ids[0])
    assert lack(system) == f"1 of 5 instruments are whole, not {', '.join(keys)}"
    for number in ids[1:]:
        answered(system, number, tested.close_ns - MINUTE_NS)
    assert lack(system).startswith("1 of 5"), "asked in the course of the session"
    for number in ids[1:]:
        answered(system, number, tested.close_ns, complete=False, empty_ns=1)
    assert lack(system).startswith("1 of 5"), "it came back empty, which may be for once"
    for number in ids[1:]:
        answered(system, number, tested.close_ns)
    assert lack(system) == ""
    drop(system, tested.open_ns, tested.close_ns)
    assert lack(system) == "no candles"


@pytest.mark.parametrize(
    ("start", "end", "whole"),
    [
        (60, 120, False),  # a hole of an hour
        (60, 80, True),
        (-16, 0, False),  # a recorder that died before the end
        (-30, -5, True),
    ],
)
def test_a_recorder_that_died_leaves_no_whole_session(system: System, start: int, end: int, whole: bool) -> None:
    tested = days(system)[-1]
    edges = [(tested.close_ns if at <= 0 else tested.open_ns) + at * MINUTE_NS for at in (start, end)]
    drop(system, *edges)
    assert (lack(system) == "") == whole
    if not whole:
        assert lack(system).startswith("0 of 5 instruments are whole")
