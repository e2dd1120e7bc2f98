"""Who opens a session at another scale than it closed the one before, as on an ex-date that nobody entered.

The state that features carry is on the old scale then, so the instrument sits out exactly as if the action were known
(``core.actions.excluded``): from that session on, until its state starts at an anchor on that day or later. A person settles it by
entering the action, or by saying that it was none (a factor of one). History, warm-up and live ask this file. docs/adjust.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from intraday.core.panel import Lists
from intraday.core.suspects import RATIOS
from intraday.domain.arrays import DAY_NS, F8, IST_NS, Bars, Mask
from intraday.domain.session import EPOCH

MOVE = 0.18  # at least: price bands end at 20 %, and the open is all there is to judge by
TOLERANCE = 0.05  # how far the open may be from a ratio: the market moves overnight too
DAYS_MAX = 40  # since the session before: over longer gaps a price may have gone anywhere
NEVER = np.iinfo(np.int64).max


class Rescaled(NamedTuple):
    """Instrument ``row`` opened session ``number`` at ``move`` times its close before."""

    row: int
    number: int
    move: float

    def text(self, symbol: str) -> str:
        """For people: what was seen, what follows, what to do."""
        day = EPOCH + timedelta(days=self.number)
        return (
            f"{symbol} opened on {day} at {self.move:.3f} of the close before, as on an ex-date, and no action is entered: it has "
            f"no features and no signals from then on. Enter it (`intraday adjust add {symbol} --ex {day} --split 1:2`, or what it "
            f"was), or say that it was none (`intraday adjust add {symbol} --ex {day} --factor 1`)"
        )


def rescaled(opens: F8, before: F8) -> Mask:
    """bool, elementwise: whether the open is far from the close before and near a simple ratio of it; False where one is NaN."""
    move = np.log(np.asarray(opens / before))
    near = np.abs(move[..., None] - np.log(RATIOS)).min(axis=-1) <= TOLERANCE
    return np.asarray(near & (np.abs(move) >= -np.log(1.0 - MOVE)), np.bool_)


class Overnight:
    """Sessions of S instruments, one after the other from the anchor on. What has no volume (an index) has no scale to change.

    ``settled``: (dense row, session number) of opens that a person has explained. Who sits out by the lists is not to be among the
    bars.
    """

    def __init__(self, n: int, settled: Iterable[tuple[int, int]] = ()) -> None:
        self._settled = frozenset(settled)
        self._close = np.full(n, np.nan)  # of the last bar
        self._number = np.zeros(n, np.int64)  # and its session
        self._since = np.full(n, NEVER)  # the session from which on it sits out
        self.found: list[Rescaled] = []

    def take(self, bars: Bars) -> Bars:
        """The next whole sessions, BAR[n] of any one timeframe ordered by (ts, inst); returns the rows of who does not sit out."""
        rows = bars[np.argsort(bars["inst"], kind="stable")]
        inst, number = rows["inst"], _numbers(rows)
        first = np.flatnonzero(np.append(True, (inst[1:] != inst[:-1]) | (number[1:] != number[:-1]))[: len(rows)])
        carried = np.append(True, inst[1:] != inst[:-1])[: len(rows)][first]
        whose = inst[first]
        before = np.where(carried, self._close[whose], rows["close"][first - 1])
        days = number[first] - np.where(carried, self._number[whose], number[first - 1])
        before[(days > DAYS_MAX) | np.isnan(rows["volume"][first])] = np.nan
        for k in np.flatnonzero(rescaled(rows["open"][first], before)).tolist():
            self._note(Rescaled(int(whose[k]), int(number[first[k]]), float(rows["open"][first[k]] / before[k])))
        last = np.flatnonzero(np.append(inst[1:] != inst[:-1], True)[: len(rows)])
        self._close[inst[last]], self._number[inst[last]] = rows["close"][last], number[last]
        self._close[inst[last][np.isnan(rows["volume"][last])]] = np.nan
        return self.playing(bars)

    def playing(self, bars: Bars) -> Bars:
        """The rows of who does not sit out."""
        keep = _numbers(bars) < self._since[bars["inst"]]
        return bars if keep.all() else bars[keep]

    def before(self, number: int) -> F8:
        """float64 [S]: the closes that the opens of session ``number`` are to be compared with; NaN for none."""
        closes = np.where(number - self._number <= DAYS_MAX, self._close, np.nan)
        closes[[row for row, day in self._settled if day == number]] = np.nan
        return closes

    def sitting(self, lists: Lists, number: int) -> Lists:
        """The lists of session ``number``, with those that sit out since an earlier one."""
        rows = np.flatnonzero(self._since < number).tolist()
        return replace(lists, out=(*lists.out, *((row, number, number) for row in rows))) if rows else lists

    def _note(self, found: Rescaled) -> None:
        if (found.row, found.number) not in self._settled:
            self._since[found.row] = min(int(self._since[found.row]), found.number)
            self.found.append(found)


def opened_elsewhere(bars: Bars, before: F8) -> Mask:
    """bool [S]: who opens the session of ``bars`` (BAR[n] of one session, in order of time) at another scale than ``before``."""
    inst, first = np.unique(bars["inst"], return_index=True)
    out = np.zeros(len(before), np.bool_)
    out[inst] = rescaled(bars["open"][first], before[inst])
    return out


def _numbers(bars: Bars) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray((bars["ts_ns"] + IST_NS) // DAY_NS, np.int64)
