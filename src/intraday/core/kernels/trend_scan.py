"""Trend scanning: the span after a decision over which a straight line fits prices best. Rules: docs/labels.md.

Grids and rows as in ``barrier.py``. Source: López de Prado 2020, Machine Learning for Asset Managers, section 5.4.
"""

import math
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels.barrier import ANY_VERTICAL, CLOSE, DUE, END, KNOWN, MINUTE_NS, OPEN, WAIT, find_entry

F4 = NDArray[np.float32]
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
def scan(close: F8, entry: int, first: int, step: int, end: int, least: int, hole: int) -> tuple[float, int, float]:
    """Of the spans from row ``entry`` to before rows ``first``, ``first + step`` .. up to ``end`` that hold ``least`` bars: (t, row
    of its end, last close) of the one with the largest absolute t, the shortest of equals. Row 0: unknown, for a hole of more than
    ``hole`` rows or because there is no such span.
    """
    n, x, y, xx, xy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    best, row, price, seen, due = 0.0, 0, 0.0, entry, first
    for m in range(entry, end):
        if close[m] == close[m]:
            if m - seen - 1 > hole:
                return np.nan, 0, np.nan
            seen, n = m, n + 1.0
            dx, dy = float(m - entry), close[m] - close[entry]
            x, y, xx, xy, yy = x + dx, y + dy, xx + dx * dx, xy + dx * dy, yy + dy * dy
        if m + 1 == due:
            t = t_value(n, x, y, xx, xy, yy)
            if n >= least and (row == 0 or abs(t) > abs(best)):
                best, row, price = t, m + 1, close[seen]
            due += step
    if end - seen - 1 > hole:
        return np.nan, 0, np.nan
    return best, row, price


@nb.njit(cache=True, nogil=True, error_model="numpy")
def scan_session(
    grid: F8, keep: I8, decided: F8, sigma: F4, clock: I8, from_rows: I8, step: int, least: int, least_t: float, hole: int,
    open_ns: int, ts: I8, out: Table, done: Mask, t: F8, end_ns: I8,
) -> None:  # fmt: skip
    """Every decision of the instruments ``keep`` in one session; arguments as ``barrier.label_session``'s.

    from_rows int64 [D]: where each decision's first span ends. Fills ``out``, ``t`` float64, ``end_ns`` int64 [D, S] where it sets
    ``done``. All spans that end by the vertical barrier are compared, so that, not the chosen span's end, is when a row is known.
    """
    for i, s in enumerate(keep):
        for d in range(clock.shape[1]):
            if not (decided[d, s] > 0.0 and sigma[d, s] > 0.0):
                continue
            end = clock[END, d]
            m = find_entry(grid[i], clock[DUE, d], clock[WAIT, d], end)
            if m < 0 or end > clock[KNOWN, d]:
                continue
            best, row, price = scan(grid[i, CLOSE], m, from_rows[d], step, end, least, hole)
            if row == 0:
                continue
            ret = price / grid[i, OPEN, m] - 1.0
            it = out[d, s]
            it["ts_ns"], it["inst"], it["sigma"] = ts[d], s, sigma[d, s]
            it["label"] = 0 if not abs(best) >= least_t or best == 0.0 else (1 if best > 0.0 else -1)
            it["barrier"], it["ret_long"], it["ret_short"] = ANY_VERTICAL, ret, -ret
            it["entry_ns"], it["t1_ns"] = open_ns + m * MINUTE_NS, open_ns + end * MINUTE_NS
            t[d, s], end_ns[d, s], done[d, s] = best, open_ns + row * MINUTE_NS, True
