"""Made-up bars around sessions that nobody's last month has, so that a fault of those days alone is seen all the same.

Audited bars rarely hold a halt, a Muhurat evening or two short sessions of a Saturday; the closing auction gives stocks sessions of
two lengths; and some sets have no index. A function is called on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from intraday.core.audit.functions import whole_panel
from intraday.core.audit.result import Finding, Law
from intraday.core.candles import HistoricalAggregator
from intraday.core.function_features import FunctionCalculator, FunctionSet
from intraday.core.panel import Lists, panel_of
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import MINUTE_NS, Bars, Mask, Panel
from intraday.domain.session import Session, SessionTable

UNUSUAL = (
    (date(2021, 2, 24), "the halt"),
    (date(2021, 11, 4), "a Muhurat evening"),
    (date(2024, 3, 2), "a Saturday of two short sessions"),
    (date(2026, 8, 4), "the closing auction"),
)
"""Days and what they are; before the last one's the closing auction did not exist."""
STOCKS = 4  # and an index: the last
AUCTION = 0  # row of a stock that takes part in it
LEAVES = 1  # row of one that leaves the universe on the day
FEWEST = 2  # sessions before the day
REGULAR = 375  # minutes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Decision bars of some sessions around ``day``; the index is in the last column."""

    day: date
    what: str
    panel: Panel


def stretches(sessions: SessionTable, timeframe: int, window: int) -> Iterator[Stretch]:
    """Each unusual day with enough sessions before it for a window of so many slots, and the session after it."""
    for day, what in UNUSUAL:
        near = sessions.between(day.replace(year=day.year - 1), day.replace(month=day.month + 1))
        at = next(k for k, session in enumerate(near) if session.day == day)
        before = FEWEST + -(-window * timeframe // REGULAR)
        yield Stretch(day, what, _panel(near[max(0, at - before) : at + 2], near[at], sessions, timeframe))


def _panel(days: list[Session], day: Session, sessions: SessionTable, timeframe: int) -> Panel:
    market = SyntheticMarket(SyntheticSpec(instruments=STOCKS + 1, seed=1), days)
    bars = np.concatenate([_traded(market.bars(k), session, sessions) for k, session in enumerate(days)])
    everyone = tuple((row, 0, day.number if row == LEAVES else days[-1].number) for row in range(STOCKS + 1))
    lists = Lists(auction=((AUCTION, 0, days[-1].number),), member=everyone)
    candles = HistoricalAggregator(STOCKS + 1).aggregate(bars, timeframe)
    return panel_of(candles, STOCKS + 1, timeframe, sessions, lists)


def _traded(bars: Bars, session: Session, sessions: SessionTable) -> Bars:
    """Without what the stock of the closing auction would have traded after its own end."""
    end_ns = sessions.get(session.day, auction=True).close_ns
    keep: Mask = (bars["inst"] != AUCTION) | (bars["ts_ns"] + MINUTE_NS <= end_ns)
    return bars[keep]


def unusual_law(functions: FunctionSet, timeframe: int) -> Iterator[Finding]:
    """Every function on the trailing window and on all bars at once, around each of the days: looking ahead fails.

    A window that is too short for a day twice as long as others does not: history and live have the same value, and no later bar.
    """
    for stretch in stretches(functions.sessions, timeframe, functions.window):
        panel = stretch.panel
        trailing = FunctionCalculator(functions, timeframe, panel.n_instruments, STOCKS).batch(panel)
        for found in whole_panel(functions, panel, trailing, STOCKS, Law.UNUSUAL, short=False):
            yield _told(found, stretch)


def _told(found: Finding, stretch: Stretch) -> Finding:
    """No instrument of the user's has these bars: the difference is told by the day, and by whose bars they are."""
    if found.first is None:
        return found
    whose = "the index" if found.first.inst == STOCKS else f"stock {found.first.inst + 1}"
    detail = f"made-up bars around {stretch.what} of {stretch.day}, {whose}: {found.detail}"
    return replace(found, first=replace(found.first, inst=-1), detail=detail)
