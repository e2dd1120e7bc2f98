"""How a signal becomes a trade and a trade ends: one truth for labels, backtest, outcomes and the stop and target of a signal.

* **Entry**: the open of the first one-minute bar at least ``entry_delay_s`` after the decision bar's close (a person is late);
  none within ``max_wait_min`` of that, or none before the vertical barrier: no trade.
* **Stop and target**: absolute, fixed from the decision bar's *close*, ``multiple * sigma * sqrt(horizon in decision bars)`` away,
  rounded away from the close to the tick grid, at least one tick: neither gets easier to reach.
* **Entry's open at or beyond a barrier**: the move is over, the trade is not entered (return 0).
* **Inside a bar**: the stop first, also when the target is in it. **A gap** through the stop fills at the (worse) open, through
  the target at the (better) open. Touching the price fills.
* **Vertical barrier**: the earlier of decision close + horizon, the end of continuous trading and square-off less a buffer;
  exit at the last one-minute close before it.
* **A hole** in the bars longer than ``max_wait_min``, or a halt of the session, before anything was decided: outcome unknown.
* **Circuit limits**, where they are known: no entry at an open within ``limit_ticks`` of one (return 0), no fill at one. A position
  that cannot leave is locked: it stays open, leaves at the first open inside the limits, and is marked at the last close where
  there is none before the session's last exit. Minutes without trades are then no hole: nobody sells to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf, isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels import barrier as kernel
from intraday.domain.arrays import F8, I4, I8, MINUTE_NS
from intraday.domain.session import Session

SECOND_NS = 1_000_000_000
FOREVER_NS = np.iinfo(np.int64).max
PRICES = ("open", "high", "low", "close")
NO_LIMITS = (float("nan"), float("nan"))


class Exit(IntEnum):
    """How a trade ended."""

    TARGET = kernel.TARGET
    STOP = kernel.STOP
    VERTICAL = kernel.VERTICAL
    SKIPPED = kernel.SKIPPED  # not entered: the entry's open was at or beyond a barrier, or near a circuit limit


@dataclass(frozen=True, slots=True)
class FillRules:
    """The settings of the rules above."""

    entry_delay_s: int = 60
    max_wait_min: int = 5
    square_off_buffer_min: int = 5
    limit_ticks: int = 3


@dataclass(frozen=True, slots=True)
class Bands:
    """Circuit limits by session: ``number`` int32 [N] ascending session numbers, ``lower`` and ``upper`` float64 [N, S] rupees, NaN
    where unknown. Limits move within a day; these are the ones in force at its end or open, and prices beyond them show it."""

    number: I4
    lower: F8
    upper: F8

    def on(self, number: int) -> tuple[F8, F8]:
        """Lower and upper limits, float64 [S] each, as the doubles that prices of whole paise are; NaN on other sessions."""
        at = int(np.searchsorted(self.number, number))
        if at == len(self.number) or self.number[at] != number:
            return np.full(self.lower.shape[1], np.nan), np.full(self.lower.shape[1], np.nan)
        return np.round(self.lower[at] * 100.0) / 100.0, np.round(self.upper[at] * 100.0) / 100.0


@dataclass(frozen=True, slots=True)
class TickSizes:
    """Dated tick sizes: ``number`` int32 [N] ascending session numbers, ``rupees`` float64 [N, S] in force from each of them on."""

    number: I4
    rupees: F8

    def on(self, number: int) -> F8:
        """Those of a session, float64 [S]; before the first, the first."""
        row: F8 = self.rupees[max(int(np.searchsorted(self.number, number, side="right")) - 1, 0)]
        return row


class Clock(NamedTuple):
    """The times of decisions as rows of a session's minutes (row m opens m minutes after the session)."""

    rows: I8  # [4, D]: kernel.DUE, WAIT, END, KNOWN
    last: int  # every trade is over before this row


class Barriers(NamedTuple):
    """Absolute prices in rupees, [n] each; NaN where close or sigma was."""

    long_target: F8
    long_stop: F8
    short_target: F8
    short_stop: F8


@dataclass(frozen=True, slots=True)
class Fill:
    """One simulated trade. ``ret`` is gross, of the side taken; ``known_ns`` is when its end was known."""

    entry_ns: int
    entry: float
    exit: float
    known_ns: int
    how: Exit
    both_in_bar: bool
    ret: float
    locked: bool = False


def barriers(
    close: F8, sigma: NDArray[np.floating], tick_rupees: F8, horizon_bars: float, target_sigma: float, stop_sigma: float
) -> Barriers:
    """Stop and target of both sides for decision bars: ``close`` rupees [n], ``sigma`` return per bar [n], ``tick_rupees`` [n].

    A NaN or non-positive close or sigma gives NaN. ``horizon_bars`` is the horizon in decision bars (60 minutes of 5: 12).
    """
    base = np.ascontiguousarray(close, dtype=np.float64)
    out = np.empty((4, len(base)))
    root, wide = float(np.sqrt(horizon_bars)), np.asarray(sigma, dtype=np.float64)
    kernel.barrier_prices(base, wide, tick_paise(tick_rupees), root, target_sigma, stop_sigma, out)
    return Barriers(*out)


def tick_paise(tick_rupees: F8) -> I8:
    """Tick sizes as whole paise, at least one, int64 [n]."""
    return np.maximum(np.round(np.asarray(tick_rupees, dtype=np.float64) * 100.0), 1.0).astype(np.int64)


def limit_margin(rules: FillRules, tick_rupees: F8) -> F8:
    """How near to a circuit limit nobody enters, rupees [n]; half a paisa more, for prices on the grid."""
    return np.asarray((rules.limit_ticks * tick_paise(tick_rupees) + 0.5) / 100.0, dtype=np.float64)


def last_exit_ns(rules: FillRules, session: Session) -> int:
    """When every trade of a session must be over: square-off less the buffer, at the latest the end of continuous trading."""
    return min(session.close_ns, session.square_off_ns - rules.square_off_buffer_min * MINUTE_NS)


def clock_of(rules: FillRules, session: Session, decision_close_ns: I8, horizon_min: int, known_ns: int = FOREVER_NS) -> Clock:
    """The rows of decisions that closed at ``decision_close_ns`` int64 [D], on bars complete up to ``known_ns``.

    A halt after the decision ends what can be known: who was in the market then could leave, if at all, only elsewhere.
    """
    last_ns = last_exit_ns(rules, session)
    due = decision_close_ns + rules.entry_delay_s * SECOND_NS
    end = np.minimum(decision_close_ns + horizon_min * MINUTE_NS, last_ns)
    known = np.full(len(due), min(known_ns, session.close_ns), dtype=np.int64)
    for start_ns, _ in session.pauses:
        known = np.where(decision_close_ns <= start_ns, np.minimum(known, start_ns), known)

    def row(ns: I8) -> I8:
        return np.maximum((ns - session.open_ns) // MINUTE_NS, 0)

    rows = np.stack([row(due + MINUTE_NS - 1), row(due + rules.max_wait_min * MINUTE_NS), row(end), row(known)])
    return Clock(rows, (last_ns - session.open_ns) // MINUTE_NS)


def minute_grid(session: Session, ts_ns: I8, prices: Sequence[F8], keep: I8) -> F8:
    """Open, high, low, close float64 [T, S] of minutes that open at ``ts_ns`` as [n, 4, session.minutes], NaN where none is.

    ``keep`` int64 [n]: the columns.
    """
    row = (ts_ns - session.open_ns) // MINUTE_NS
    inside = (row >= 0) & (row < session.minutes)
    out = np.empty((len(keep), 4, session.minutes))
    whole = bool(inside.all()) and len(row) > 0 and int(row[-1] - row[0]) == len(row) - 1
    if whole and int(keep[-1] - keep[0]) == len(keep) - 1:  # the usual case: no gap, and neighbours
        out[:, :, : int(row[0])] = np.nan
        out[:, :, int(row[-1]) + 1 :] = np.nan
        for field, values in enumerate(prices):
            kernel.to_grid(np.ascontiguousarray(values), int(keep[0]), int(row[0]), field, out)
        return out
    out.fill(np.nan)
    for field, values in enumerate(prices):
        out[:, field, row[inside]] = values[inside][:, keep].T
    return out


def fill_trade(
    rules: FillRules, minutes: NDArray[np.void], session: Session, side: int, decision_close_ns: int, horizon_min: int,
    target: float, stop: float, known_ns: int = FOREVER_NS, limits: tuple[float, float] = NO_LIMITS, tick_rupees: float = 0.05,
) -> Fill | None:  # fmt: skip
    """One trade on the one-minute bars (BAR[n], one instrument, ascending) of its session; ``side`` +1 long, -1 short.

    ``target``, ``stop``: rupees, NaN for none, as signals of labels without barriers have them. ``limits``: the lower and upper
    circuit limit, NaN where unknown. None: not entered for want of a bar, or its end is not known from these bars (they are
    complete up to ``known_ns``).
    """
    target, stop = side * inf if isnan(target) else target, -side * inf if isnan(stop) else stop
    bars = minute_grid(session, minutes["ts_ns"], [minutes[name][:, None] for name in PRICES], np.zeros(1, np.int64))[0]
    clock = clock_of(rules, session, np.array([decision_close_ns]), horizon_min, known_ns)
    due, wait, end, known = (int(k) for k in clock.rows[:, 0])
    entry = kernel.find_entry(bars, due, wait, end)
    if entry < 0 or entry >= known:
        return None
    margin, paid = float(limit_margin(rules, np.array([tick_rupees]))[0]), float(bars[kernel.OPEN, entry])
    if kernel.at_limit(paid, limits[0], limits[1], margin):
        how, price, row, both, locked = kernel.SKIPPED, paid, entry + 1, False, False
    else:
        how, price, row, both, locked = kernel.walk(
            bars, entry, end, clock.last, known, rules.max_wait_min, side, target, stop, limits[0], limits[1]
        )
    if how == kernel.UNKNOWN:
        return None
    entry_ns, known_at_ns = session.open_ns + entry * MINUTE_NS, session.open_ns + int(row) * MINUTE_NS
    ret = side * (float(price) / paid - 1.0)
    return Fill(entry_ns, paid, float(price), known_at_ns, Exit(how), bool(both), ret, bool(locked))
