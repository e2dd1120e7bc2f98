"""Trades of given orders after any delay: ``barrier.py``'s, and entries inside a minute where the delay ends there.

A minute's bar does not say when its prices were. An entry inside one is put on the line between two opens, and of the rest of that
minute the stop counts and the target does not: either may have been before the entry, and the worse of both is taken. Where ticks
tell the price and what came after it in the minute, nothing is estimated.
"""

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels.barrier import (
    CLOSE,
    DUE,
    END,
    HIGH,
    KNOWN,
    LOW,
    MINUTE_NS,
    OPEN,
    SKIPPED,
    UNKNOWN,
    WAIT,
    at_limit,
    find_entry,
    walk,
)

F8 = NDArray[np.float64]
I1 = NDArray[np.int8]
I8 = NDArray[np.int64]
Table = NDArray[Any]  # FILL[n]

MISSED = 5  # how a trade ended that never began: no bar to enter at in time


@nb.njit(cache=True, nogil=True, error_model="numpy")
def price_within(bars: F8, m: int, part: float) -> float:
    """The mean of a Brownian bridge, ``part`` (0..1) of row ``m``: from its open to the next row's, or to its close without one."""
    first, then = bars[OPEN, m], bars[CLOSE, m]
    if m + 1 < bars.shape[1] and bars[OPEN, m + 1] == bars[OPEN, m + 1]:
        then = bars[OPEN, m + 1]
    out: float = first + part * (then - first)
    return out


@nb.njit(cache=True, nogil=True, error_model="numpy")
def walk_within(
    bars: F8, m: int, price: float, high: float, low: float, end: int, last: int, known: int, hole: int,
    side: int, target: float, stop: float, lower: float, upper: float,
) -> tuple[int, float, int, bool, bool]:  # fmt: skip
    """``barrier.walk`` from ``price`` inside row ``m``, after which its minute saw ``high`` and ``low``."""
    was_open, was_high, was_low = bars[OPEN, m], bars[HIGH, m], bars[LOW, m]
    bars[OPEN, m], bars[HIGH, m], bars[LOW, m] = price, high, low
    found = walk(bars, m, end, last, known, hole, side, target, stop, lower, upper)
    bars[OPEN, m], bars[HIGH, m], bars[LOW, m] = was_open, was_high, was_low
    return found


@nb.njit(cache=True, nogil=True, error_model="numpy")
def fill_orders(
    grid: F8, at: I8, side: I1, target: F8, stop: F8, clock: I8, last: I8, into: I8, ticked: F8,
    hole: int, lower: F8, upper: F8, margin: F8, open_ns: int, out: Table,
) -> None:  # fmt: skip
    """One trade for each of n orders of one session.

    grid float64 [k, 4, M]; at int64 [n] rows of the grid; clock int64 [4, n], last int64 [n] as ``fills.clock_of`` has them; into
    int64 [n]: ns that an order's delay ends inside the row before ``clock[DUE]``, 0: at the row's open; ticked float64 [3, n]:
    price at the end of the delay, and the highest and lowest after it in that minute, NaN where no ticks tell; limits rupees [n].
    ``known_ns`` is when an open signal of the same order is over (``open_trades.ended_at``), whatever became of the trade.
    """
    for k in range(at.shape[0]):
        bars, it = grid[at[k]], out[k]
        end, known, due, part = clock[END, k], clock[KNOWN, k], clock[DUE, k], into[k] / MINUTE_NS
        within = into[k] > 0 and due >= 1 and due - 1 < end and bars[OPEN, due - 1] == bars[OPEN, due - 1]
        m = due - 1 if within else find_entry(bars, due, clock[WAIT, k], end)
        it["how"] = MISSED if m < 0 else UNKNOWN
        it["known_ns"] = open_ns + (min(clock[WAIT, k] + 1, end) if m < 0 else end) * MINUTE_NS
        if m < 0 or m >= known:
            continue
        exact = ticked[0, k] == ticked[0, k]
        paid, high, low = bars[OPEN, m], bars[HIGH, m], bars[LOW, m]
        if within:
            paid = ticked[0, k] if exact else price_within(bars, m, part)
            high = ticked[1, k] if exact else (paid if side[k] > 0 else max(high, paid))
            low = ticked[2, k] if exact else (min(low, paid) if side[k] > 0 else paid)
        how, price, row, both, locked = SKIPPED, paid, m + 1, False, False
        if not at_limit(paid, lower[k], upper[k], margin[k]):
            how, price, row, both, locked = walk_within(
                bars, m, paid, high, low, end, last[k], known, hole, side[k], target[k], stop[k], lower[k], upper[k]
            )
        it["how"], it["entry_ns"], it["entry"] = how, open_ns + m * MINUTE_NS + (into[k] if within else 0), paid
        it["locked"] = locked
        if how == UNKNOWN:
            it["known_ns"] = open_ns + (last[k] if locked else end) * MINUTE_NS
            continue
        it["known_ns"], it["exit"], it["both"] = open_ns + row * MINUTE_NS, price, both
        it["estimated"], it["ret"] = within and not exact, side[k] * (price / paid - 1.0)
