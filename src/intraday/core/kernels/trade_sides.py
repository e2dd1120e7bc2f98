"""One trade of a given side for every decision of one session. Rules, grids and rows as in ``barrier.py``."""

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels.barrier import (
    DUE,
    END,
    KNOWN,
    MINUTE_NS,
    OPEN,
    SKIPPED,
    UNKNOWN,
    WAIT,
    at_limit,
    find_entry,
    four_barriers,
    walk,
)

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
I1 = NDArray[np.int8]
I8 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = NDArray[Any]  # META[D, S]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def trade_session(
    grid: F8, keep: I8, decided: F8, sigma: F4, side: I1, tick: I8, root: float, target: float, stop: float,
    lower: F8, upper: F8, margin: F8, clock: I8, last: int, hole: int, open_ns: int, ts: I8, out: Table, done: Mask,
) -> None:  # fmt: skip
    """``barrier.label_session`` with ``side`` int8 [D, S]: +1 long, -1 short, 0 no trade and no row. All of ``out`` but label."""
    for i, s in enumerate(keep):
        bars = grid[i]
        for d in range(clock.shape[1]):
            up, below, down, above = four_barriers(decided[d, s], sigma[d, s], tick[s], root, target, stop)
            if side[d, s] == 0 or not up == up:
                continue
            end, known = clock[END, d], clock[KNOWN, d]
            m = find_entry(bars, clock[DUE, d], clock[WAIT, d], end)
            if m < 0 or m >= known:
                continue
            how, price, row, locked = SKIPPED, bars[OPEN, m], m + 1, False
            if not at_limit(price, lower[s], upper[s], margin[s]):
                goal, guard = (up, below) if side[d, s] > 0 else (down, above)
                how, price, row, _, locked = walk(bars, m, end, last, known, hole, side[d, s], goal, guard, lower[s], upper[s])
            if how == UNKNOWN:
                continue
            it = out[d, s]
            it["ts_ns"], it["inst"], it["side"], it["how"], it["locked"] = ts[d], s, side[d, s], how, locked
            it["entry_ns"], it["t1_ns"] = open_ns + m * MINUTE_NS, open_ns + row * MINUTE_NS
            it["ret"], it["sigma"] = side[d, s] * (price / bars[OPEN, m] - 1.0), sigma[d, s]
            done[d, s] = True
