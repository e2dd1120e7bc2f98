"""Ticks to candles and candles to longer candles: two drivers over the kernels of ``kernels/candle.py``.

``LiveAggregator`` takes whatever arrived and hands minutes out when a ``Timer`` says so. ``HistoricalAggregator`` does the same
for a whole recorded day at once, and longer timeframes for any number of days. A minute without trades has no candle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels import candle
from intraday.core.panel import Day
from intraday.domain.arrays import BAR, GRID_ORIGIN_NS, I8, MINUTE_NS, BarFlag, Bars, Ticks, empty
from intraday.domain.session import Session


class TickReject(IntEnum):
    """Why a tick is not used; the value is what ``candle.check_ticks`` writes."""

    UNKNOWN_INSTRUMENT = candle.UNKNOWN
    ZERO_TIME = candle.ZERO_TIME  # stamped in 1970: the broker had no time
    BAD_PRICE = candle.BAD_PRICE  # zero or negative
    OTHER_DAY = candle.OTHER_DAY  # yesterday's cached packet, or a file of another day
    PRE_OPEN = candle.PRE_OPEN  # before the session's open: the pre-open auction's one match, and what was quoted before it
    HALT = candle.HALT  # inside a pause of the session
    AUCTION = candle.AUCTION  # a closing-auction stock after its continuous trading
    OUT_OF_SESSION = candle.OUT_OF_SESSION  # after the close
    FUTURE = candle.FUTURE  # stamped later than it was received
    OUT_OF_ORDER = candle.OUT_OF_ORDER  # older than a tick already used
    VOLUME_REGRESSED = candle.VOLUME_REGRESSED  # the day's volume went down
    DUPLICATE = candle.DUPLICATE  # the last tick again
    VOLUME_LEAPT = candle.VOLUME_LEAPT  # the day's volume grew by more than can be traded between two ticks


@dataclass(frozen=True, slots=True)
class ClosedBars:
    """What one ``Timer`` closed. All BAR rows, ordered by (ts, inst).

    ``minutes``: on-time one-minute bars; ``late``: minutes already handed out, changed or completed since (flag LATE, never
    used for a decision); ``decisions``: bars of the decision timeframe, made of on-time minutes only.
    """

    minutes: Bars
    late: Bars
    decisions: Bars


def closes(day: Day) -> I8:
    """int64 [S]: when each instrument's continuous trading ends."""
    return np.asarray(day.open_ns + day.minutes.astype(np.int64) * MINUTE_NS, np.int64)


def day_end(day: Day) -> int:
    """When the last of the day's instruments ends its continuous trading."""
    return int(closes(day).max())


def sort_bars(bars: Bars) -> Bars:
    """The same rows ordered by (ts, inst)."""
    return bars[np.lexsort((bars["inst"], bars["ts_ns"]))]


class LiveAggregator:
    """One session's candles of the S instruments of ``day``, a frame at a time.

    State is per instrument, so candles depend neither on how ticks are cut into frames nor on which other instruments there are. A
    last short decision bar waits for the last instrument to end its day: those of one slot are decided on together, as in history.
    """

    def __init__(self, day: Day, timeframe: int) -> None:
        n_instruments = len(day.minutes)
        self._end_ns = np.full(n_instruments, day_end(day))
        self._fold = empty(candle.FOLD, n_instruments)
        self._fold["minute_ns"] = -1
        self._bucket = _empty_buckets(n_instruments)
        self._frame_ns = timeframe * MINUTE_NS
        self._pending: list[Bars] = []  # completed by a newer tick, not yet handed out
        self._scratch = empty(BAR, n_instruments)
        self._issued_ns = day.open_ns

    def fold(self, ticks: Ticks) -> None:
        """Take usable ticks (`TickValidator`)."""
        out = self._room(len(ticks))
        n = candle.fold_ticks(self._fold, ticks, self._issued_ns, out)
        if n:
            self._pending.append(out[:n].copy())

    def lose_link(self, since_ns: int, inst: Sequence[int] = ()) -> None:
        """What comes next of ``inst`` (all when empty) is not continuous with what came before.

        The minute of ``since_ns``, when the last frame came, and the next one seen are partial. If that minute was handed out
        already it comes once more, as late and partial.
        """
        lost = np.full(len(self._fold), len(inst) == 0)
        lost[list(inst)] = True
        last = lost & (self._fold["minute_ns"] == since_ns - since_ns % MINUTE_NS)
        news = last & ((self._fold["flags"] & BarFlag.PARTIAL) == 0)
        self._fold["flags"][news] |= BarFlag.PARTIAL
        self._fold["dirty"][news & (self._fold["issued"] == 1)] = 1
        self._fold["cut"][lost] = 1

    def close(self, boundary_ns: int) -> ClosedBars:
        """Hand out every minute that ends at or before ``boundary_ns``; a last short bucket comes at the end of the day."""
        n = candle.close_minutes(self._fold, boundary_ns, self._scratch)
        rows = np.concatenate([*self._pending, self._scratch[:n]])
        due = rows["ts_ns"] + MINUTE_NS <= boundary_ns
        self._pending = [] if due.all() else [rows[~due]]
        rows = sort_bars(rows[due])
        self._issued_ns = max(self._issued_ns, boundary_ns)
        is_late = (rows["flags"] & BarFlag.LATE) != 0
        minutes = rows[~is_late]
        return ClosedBars(minutes, rows[is_late], self._decide(minutes, boundary_ns))

    def take(self, minutes: Bars, boundary_ns: int) -> ClosedBars:
        """``close`` for minutes that were handed out before and stored, on-time ones, ordered by (ts, inst)."""
        self._issued_ns = max(self._issued_ns, boundary_ns)
        return ClosedBars(minutes, empty(BAR), self._decide(minutes, boundary_ns))

    def _decide(self, minutes: Bars, boundary_ns: int) -> Bars:
        out = empty(BAR, len(minutes) + len(self._bucket))
        n = candle.fold_minutes(self._bucket, minutes, GRID_ORIGIN_NS, self._frame_ns, out)
        n += candle.close_buckets(self._bucket, boundary_ns, self._frame_ns, self._end_ns, out[n:])
        return sort_bars(out[:n])

    def _room(self, n: int) -> Bars:
        if len(self._scratch) < n:
            self._scratch = empty(BAR, n)
        return self._scratch


class HistoricalAggregator:
    """The same candles from recorded days."""

    def __init__(self, n_instruments: int) -> None:
        self._n = n_instruments

    def fold_day(self, session: Session, day: Day, ticks: Ticks, grace_ns: int, timeframe: int = 5) -> ClosedBars:
        """Candles of one recorded session of the instruments of ``day``.

        ticks: usable TICK rows in arrival order. Minutes close ``grace_ns`` after their end on the clock of ``recv_ns``, as
        they do live, so late ticks are late here too.
        """
        live = LiveAggregator(day, timeframe)
        closed: list[ClosedBars] = []
        start = 0
        for boundary_ns in minute_ends(session.open_ns, day_end(day)):
            stop = start + int(np.searchsorted(ticks["recv_ns"][start:], boundary_ns + grace_ns, side="left"))
            live.fold(ticks[start:stop])
            closed.append(live.close(boundary_ns))
            start = stop
        live.fold(ticks[start:])
        closed.append(live.close(day_end(day)))
        return ClosedBars(
            np.concatenate([c.minutes for c in closed]),
            sort_bars(np.concatenate([c.late for c in closed])),
            np.concatenate([c.decisions for c in closed]),
        )

    def aggregate(self, bars: Bars, timeframe: int) -> Bars:
        """Bars of ``timeframe`` minutes (1, 5, 15, 60) from one-minute bars ordered by (ts, inst), any number of sessions.

        Buckets lie on the grid whose origin is 09:15 IST every day; a session that opens off the grid has a short first bucket
        and one that closes off it a short last one. Ordered by (ts, inst).
        """
        if timeframe == 1:
            return bars
        state = _empty_buckets(self._n)
        frame_ns = timeframe * MINUTE_NS
        out = empty(BAR, len(bars) + self._n)
        n = candle.fold_minutes(state, bars, GRID_ORIGIN_NS, frame_ns, out)
        never_ns = np.iinfo(np.int64).max
        n += candle.close_buckets(state, never_ns, frame_ns, np.full(self._n, never_ns), out[n:])
        return sort_bars(out[:n])


def minute_ends(open_ns: int, close_ns: int) -> Iterator[int]:
    """The boundaries at which a session's minutes end, ascending; the last is its close."""
    return iter(range(open_ns + MINUTE_NS, close_ns + 1, MINUTE_NS))


def _empty_buckets(n: int) -> NDArray[np.void]:
    state = empty(candle.BUCKET, n)
    state["ts_ns"] = -1
    return state
