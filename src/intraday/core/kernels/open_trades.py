"""Trades that are open now, minute by minute. Rules, grids and rows as in ``barrier.py``."""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels.barrier import DUE, END, KNOWN, OPEN, UNKNOWN, WAIT, at_limit, find_entry, walk

F8 = NDArray[np.float64]
I1 = NDArray[np.int8]
I8 = NDArray[np.int64]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def ended_at(
    bars: F8, closed: int, clock: I8, last: int, hole: int,
    side: int, target: float, stop: float, lower: float, upper: float, margin: float,
) -> int:  # fmt: skip
    """The row at whose open a trade was seen to be over, from bars complete up to row ``closed``; -1: it is open.

    ``bars`` float64 [4, M]; ``clock`` int64 [4]. Where nothing was entered: the row after the last possible entry. Where a hole or
    a halt hides the end: the vertical barrier, the last moment its end can have been; what is locked then, never.
    """
    end, late = clock[END], min(clock[WAIT] + 1, clock[END])
    m = find_entry(bars, clock[DUE], clock[WAIT], min(end, closed))
    if m < 0:
        return late if closed >= late else -1
    if at_limit(bars[OPEN, m], lower, upper, margin):
        return m + 1
    how, _, row, _, locked = walk(bars, m, end, last, min(closed, clock[KNOWN]), hole, side, target, stop, lower, upper)
    if how != UNKNOWN:
        return row
    return end if closed >= end and not locked else -1


@nb.njit(cache=True, nogil=True, error_model="numpy")
def follow_trades(
    grid: F8, closed: int, side: I1, clock: I8, last: I8, hole: int, target: F8, stop: F8, lower: F8, upper: F8, margin: F8
) -> None:
    """Set ``side`` int8 [S] to 0 where its trade was seen to be over. ``grid`` float64 [S, 4, M], ``clock`` int64 [S, 4]."""
    for s in range(side.shape[0]):
        if side[s] == 0:
            continue
        row = ended_at(grid[s], closed, clock[s], last[s], hole, side[s], target[s], stop[s], lower[s], upper[s], margin[s])
        if 0 <= row <= closed:
            side[s] = 0
