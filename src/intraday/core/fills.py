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
* **A hole** in the bars longer than ``max_wait_min`` before anything was decided: the outcome is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels import barrier as kernel
from intraday.domain.arrays import F8, I8, MINUTE_NS
from intraday.domain.session import Session

SECOND_NS = 1_000_000_000
FOREVER_NS = np.iinfo(np.int64).max


class Exit(IntEnum):
    """How a trade ended."""

    TARGET = kernel.TARGET
    STOP = kernel.STOP
    VERTICAL = kernel.VERTICAL
    SKIPPED = kernel.SKIPPED  # not entered: the entry's open was at or beyond a barrier


@dataclass(frozen=True, slots=True)
class FillRules:
    """The settings of the rules above."""

    entry_delay_s: int = 60
    max_wait_min: int = 5
    square_off_buffer_min: int = 5


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


def barriers(
    close: F8, sigma: NDArray[np.floating], tick_rupees: F8, horizon_bars: float, target_sigma: float, stop_sigma: float
) -> Barriers:
    """Stop and target of both sides for decision bars: ``close`` rupees [n], ``sigma`` return per bar [n], ``tick_rupees`` [n].

    A NaN or non-positive close or sigma gives NaN. ``horizon_bars`` is the horizon in decision bars (60 minutes of 5: 12).
    """
    base = np.ascontiguousarray(close, dtype=np.float64)
    unit = base * np.asarray(sigma, dtype=np.float64) * np.sqrt(horizon_bars)
    tick = np.maximum(np.round(np.asarray(tick_rupees, dtype=np.float64) * 100.0), 1.0).astype(np.int64)

    def at(multiple: float, side: int) -> F8:
        out = np.empty_like(base)
        kernel.barrier_prices(base, multiple * unit, tick, side, out)
        return out

    return Barriers(at(target_sigma, 1), at(stop_sigma, -1), at(target_sigma, -1), at(stop_sigma, 1))


def entry_due_ns(rules: FillRules, decision_close_ns: int) -> int:
    """The earliest open at which the trade may be entered."""
    return decision_close_ns + rules.entry_delay_s * SECOND_NS


def last_exit_ns(rules: FillRules, session: Session) -> int:
    """When every trade of a session must be over: square-off less the buffer, at the latest the end of continuous trading."""
    return min(session.close_ns, session.square_off_ns - rules.square_off_buffer_min * MINUTE_NS)


def vertical_ns(rules: FillRules, session: Session, decision_close_ns: int, horizon_min: int) -> int:
    """The vertical barrier of a decision."""
    return min(decision_close_ns + horizon_min * MINUTE_NS, last_exit_ns(rules, session))


def fill_trade(
    rules: FillRules, minutes: NDArray[np.void], session: Session, side: int, decision_close_ns: int, horizon_min: int,
    target: float, stop: float, known_ns: int = FOREVER_NS,
) -> Fill | None:  # fmt: skip
    """One trade on the one-minute bars (BAR[n], one instrument, ascending) of its session; ``side`` +1 long, -1 short.

    None: not entered for want of a bar, or its end is not known from these bars (they are complete up to ``known_ns``).
    """
    ts: I8 = np.ascontiguousarray(minutes["ts_ns"])
    o, h, low, c = (np.ascontiguousarray(minutes[name]) for name in ("open", "high", "low", "close"))
    due, until = entry_due_ns(rules, decision_close_ns), vertical_ns(rules, session, decision_close_ns, horizon_min)
    wait = rules.max_wait_min * MINUTE_NS
    entry = kernel.find_entry(ts, o, int(np.searchsorted(ts, due)), due, wait, until)
    if entry < 0:
        return None
    how, price, end_ns, both = kernel.walk(ts, o, h, low, c, entry, float(side), target, stop, until, known_ns, wait)
    if how == kernel.UNKNOWN:
        return None
    paid = float(o[entry])
    return Fill(int(ts[entry]), paid, float(price), int(end_ns), Exit(how), bool(both), side * (float(price) / paid - 1.0))
