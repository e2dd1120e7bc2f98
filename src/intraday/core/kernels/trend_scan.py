"""Trend scanning: the span after a decision over which a straight line fits prices best. Rules: docs/labels.md.

Grids and rows as in ``barrier.py``. Source: López de Prado 2020, Machine Learning for Asset Managers, section 5.4.
"""

import math
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels.barrier import ANY_SKIPPED, CLOSE, END, MINUTE_NS

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = NDArray[Any]  # LABEL[D, S]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def t_value(n: float, x: float, y: float, xx: float, xy: float, yy: float) -> float:
    """t of the slope of least squares from the sums of ``n`` points; 0 for fewer than three, infinite on a slanted perfect line."""
    sxx, sxy, syy = xx - x * x / n, xy - x * y / n, yy - y * y / n
    if n < 3.0 or not sxx > 0.0 or not syy > 0.0:
        return 0.0
    slope = sxy / sxx
    rest = syy - slope * sxy
    if rest <= 1e-12 * syy:
        return math.copysign(math.inf, slope)
    return slope / math.sqrt(rest / (n - 2.0) / sxx)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def scan(close: F8, entry: int, first: int, step: int, end: int, least: int, hole: int) -> tuple[float, int]:
    """Of the spans from row ``entry`` to before rows ``first``, ``first + step`` .. up to ``end`` that hold ``least`` bars: (t, row
    of its end) of the one with the largest absolute t, the shortest of equals. Row 0: unknown, for a hole of more than ``hole``
    rows or because there is no such span: those that end before the entry hold nothing.
    """
    n, x, y, xx, xy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    best, row, seen, due = 0.0, 0, entry, first
    while due <= entry:  # spans that are over before somebody so late is in the market
        due += step
    for m in range(entry, end):
        if close[m] == close[m]:
            if m - seen - 1 > hole:
                return np.nan, 0
            seen, n = m, n + 1.0
            dx, dy = float(m - entry), close[m] - close[entry]
            x, y, xx, xy, yy = x + dx, y + dy, xx + dx * dx, xy + dx * dy, yy + dy * dy
        if m + 1 == due:
            t = t_value(n, x, y, xx, xy, yy)
            if n >= least and (row == 0 or abs(t) > abs(best)):
                best, row = t, m + 1
            due += step
    if end - seen - 1 > hole:
        return np.nan, 0
    return best, row


@nb.njit(cache=True, nogil=True, error_model="numpy")
def scan_session(
    grid: F8, keep: I8, clock: I8, from_rows: I8, step: int, least: int, least_t: float, hole: int, open_ns: int,
    out: Table, done: Mask, t: F8, end_ns: I8,
) -> None:  # fmt: skip
    """Trends from the entries of ``out`` LABEL [D, S] where ``done`` bool [D, S] is set, for the instruments ``keep``.

    grid, clock: as ``barrier.label_session`` has them; from_rows int64 [D]: where each decision's first span ends. Sets the label,
    ``t`` float64 and ``end_ns`` int64 [D, S]; clears ``done`` where there is no trend to be known. The returns stay those of the
    trade held to the vertical barrier: nobody knows at the entry which span will be chosen. A trade that was not entered is known
    at its entry, and so is its row, whatever comes later: label 0, t NaN, no end (0).
    """
    for i, s in enumerate(keep):
        for d in range(clock.shape[1]):
            if not done[d, s]:
                continue
            it = out[d, s]
            if it["barrier"] & ANY_SKIPPED:
                it["label"], t[d, s], end_ns[d, s] = 0, np.nan, 0
                continue
            entry = (it["entry_ns"] - open_ns) // MINUTE_NS
            best, row = scan(grid[i, CLOSE], entry, from_rows[d], step, clock[END, d], least, hole)
            done[d, s] = row > 0
            it["label"] = 0 if not abs(best) >= least_t or best == 0.0 else (1 if best > 0.0 else -1)
            t[d, s], end_ns[d, s] = best, open_ns + row * MINUTE_NS
