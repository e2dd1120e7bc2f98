"""A session that goes on after a restart: which signals of the run before are still open."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from intraday.core.candles import closes
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import Day
from intraday.domain.arrays import I8, MINUTE_NS, Bars, Mask
from intraday.domain.events import Signal
from intraday.domain.session import Session, with_auction
from intraday.signal.one_open import SIDES

Given = tuple[tuple[int, int], ...]  # (dense row, when it was decided, ns UTC)


def still_open(
    opened: OpenSignals, signals: Sequence[Signal], minutes: Bars, session: Session, day: Day, timeframe: int, until_ns: int
) -> Given:
    """Of the day's stored ``signals`` those that are open at ``until_ns``, by the stored ``minutes`` BAR[n] up to there.

    ``opened``: of the session, with nothing in it yet. A minute that was missed leaves an end unknown, so the signal is open.
    """
    said = sorted((s for s in signals if SIDES[s.action] and s.bar_ns < until_ns), key=lambda s: s.bar_ns)
    told_ns = session.open_ns
    for bar_ns, group in groupby(said, key=lambda s: s.bar_ns):
        closed_ns, of_bar = bar_ns + timeframe * MINUTE_NS, list(group)
        opened.follow(_between(minutes, told_ns, closed_ns), closed_ns)
        told_ns = max(told_ns, closed_ns)
        _add(opened, of_bar, closed_ns, session, day)
    opened.follow(_between(minutes, told_ns, until_ns), until_ns)
    since = opened.since(np.arange(len(day.minutes)))
    return tuple((row, int(since[row])) for row in np.flatnonzero(since).tolist())


def carry_over(opened: OpenSignals, given: Given, session: Session, day: Day) -> None:
    """Put them into the new run's."""
    inst, closed_ns = np.array([row for row, _ in given], np.int64), np.array([ns for _, ns in given], np.int64)
    early, first = _early(session, day, inst)
    for hours, rows in ((early, first), (session, ~first)):
        if rows.any():
            opened.carry(inst[rows], closed_ns[rows], hours)


def _add(opened: OpenSignals, signals: Sequence[Signal], closed_ns: int, session: Session, day: Day) -> None:
    inst = np.array([s.inst for s in signals], np.int64)
    early, first = _early(session, day, inst)
    free = opened.since(inst) == 0
    side = np.array([SIDES[s.action] for s in signals], np.int8)
    target, stop = np.array([s.target for s in signals]), np.array([s.stop for s in signals])
    for hours, mine in ((early, first & free), (session, ~first & free)):
        if mine.any():
            opened.add(inst[mine], side[mine], target[mine], stop[mine], min(closed_ns, hours.close_ns), hours)


def _early(session: Session, day: Day, inst: I8) -> tuple[Session, Mask]:
    """The hours of closing-auction stocks, and which of ``inst`` keep them."""
    early = with_auction(session)
    return early, (closes(day)[inst] == early.close_ns) & early.auction


def _between(minutes: Bars, start_ns: int, end_ns: int) -> Bars:
    rows: Bars = minutes[(minutes["ts_ns"] >= start_ns) & (minutes["ts_ns"] < end_ns)]
    return rows
