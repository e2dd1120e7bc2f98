"""One open signal per instrument, by hand: decided at 09:20, entered at 09:21, over by 09:50 at the latest."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from intraday.core.labels import LabelSpec
from intraday.core.open_signals import OpenSignals
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty
from intraday.domain.session import SessionTable

SESSION = SessionTable.load().get(date(2026, 1, 6))
SPEC = LabelSpec(horizon_min=30)
DECIDED = SESSION.open_ns + 5 * MINUTE_NS


def minutes(rows: dict[int, tuple[float, float, float, float]], first: int = 5, last: int = 60, price: float = 100.0) -> Bars:
    """Minutes ``first .. last`` at one price, but for ``rows``."""
    bars = empty(BAR, last - first)
    bars["ts_ns"] = SESSION.open_ns + np.arange(first, last) * MINUTE_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = price
    for row, prices in rows.items():
        for name, value in zip(("open", "high", "low", "close"), prices, strict=True):
            bars[name][row - first] = value
    return bars


def add(opened: OpenSignals, side: int, target: float, stop: float, closed_ns: int) -> None:
    opened.add(np.array([0]), np.array([side], np.int8), np.array([target]), np.array([stop]), closed_ns, SESSION)


def free_from(
    bars: Bars, side: int = 1, limits: tuple[float, float] | None = None, levels: tuple[float, float] = (101.0, 99.0)
) -> int:
    """The minute of the session at which the instrument is free again, the minutes told one by one."""
    both = None if limits is None else (np.array([limits[0]]), np.array([limits[1]]))
    opened = OpenSignals(SESSION, SPEC, np.array([0.05]), both)
    add(opened, side, *levels, DECIDED)
    for k in range(6, SESSION.minutes + 1):
        until = SESSION.open_ns + k * MINUTE_NS
        opened.follow(bars[bars["ts_ns"] == until - MINUTE_NS], until)
        if opened.since(np.array([0]))[0] == 0:
            return k
        assert opened.since(np.array([0]))[0] == DECIDED
    return -1


@pytest.mark.parametrize("side", [1, -1])
def test_target_and_stop_free_it_a_minute_later(side: int) -> None:
    levels = (100.0 + side, 100.0 - side)
    for touched in levels:
        bars = minutes({20: (100.0, max(100.0, touched), min(100.0, touched), 100.0)})
        assert free_from(bars, side, levels=levels) == 21


def test_time_frees_it_at_the_vertical_barrier() -> None:
    assert free_from(minutes({})) == 35
    assert free_from(minutes({}), levels=(np.nan, np.nan)) == 35
    wild = minutes({20: (100.0, 150.0, 50.0, 100.0)})
    assert free_from(wild, levels=(np.nan, np.nan)) == 35  # labels without barriers end with the horizon alone


def test_a_signal_nobody_could_enter_frees_it() -> None:
    gone = minutes({6: (101.5, 102.0, 101.0, 101.5)})
    assert free_from(gone) == 7  # the move was over at the entry's open
    assert free_from(minutes({}, first=30)) == 12  # no bar by 09:26, the last entry
    assert free_from(minutes({}, first=11)) == 35  # 09:26 itself is an entry


def test_an_end_hidden_by_a_hole_counts_as_the_vertical_barrier() -> None:
    bars = minutes({})
    hole = bars[(bars["ts_ns"] < SESSION.open_ns + 10 * MINUTE_NS) | (bars["ts_ns"] >= SESSION.open_ns + 17 * MINUTE_NS)]
    assert free_from(hole) == 35
    hole["high"] = 150.0
    hole["high"][:5] = 100.0  # a target that was reached behind the hole may have been reached in it
    assert free_from(hole) == 35


def test_a_position_locked_at_a_limit_stays_open() -> None:
    locked = {k: (95.0, 95.0, 95.0, 95.0) for k in range(20, 50)}
    assert free_from(minutes(locked), limits=(95.0, 110.0)) == 51  # out at the first open inside the limits
    assert free_from(minutes(locked, last=50), limits=(95.0, 110.0)) == 360  # or marked when every trade must be over
    assert free_from(minutes(locked)) == 21  # limits nobody knew


def test_one_at_a_time_and_the_next_one_starts_afresh() -> None:
    opened = OpenSignals(SESSION, SPEC, np.full(2, 0.05))
    add(opened, 1, 101.0, 99.0, DECIDED)
    with pytest.raises(AssertionError, match="have an open signal"):
        add(opened, -1, 99.0, 101.0, DECIDED)
    opened.follow(minutes({7: (100.0, 101.0, 100.0, 100.0)}, last=10), SESSION.open_ns + 10 * MINUTE_NS)
    assert opened.since(np.arange(2)).tolist() == [0, 0]
    add(opened, -1, 99.0, 101.0, DECIDED + 5 * MINUTE_NS)  # yesterday's minutes say nothing of it
    opened.follow(minutes({}, first=10, last=20), SESSION.open_ns + 20 * MINUTE_NS)
    assert opened.since(np.arange(2)).tolist() == [DECIDED + 5 * MINUTE_NS, 0]
