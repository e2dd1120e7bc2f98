"""Primitives of the trading session. ``start`` is 1.0 at an instrument's first bar of a session, 0.0 after, NaN without a bar.

Sessions are told apart per instrument: one that opens late starts its session with its own first bar.
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.types import B1, BARE, F8


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def session_start(session: float, mask: B1, known: F8, out: F8) -> None:
    """1.0 where this bar's session is another than the instrument's last one. known: [S], NaN before the first bar."""
    for s in range(out.shape[0]):
        flag = 1.0 if known[s] != session else 0.0
        out[s] = flag if mask[s] else np.nan
        known[s] = session if mask[s] else known[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def accumulate(code: int, x: F8, start: F8, total: F8, out: F8) -> None:
    """First, sum, largest or smallest observation of the session so far, this one included. total: state [S]."""
    if code == op.SESSION_FIRST:
        for s in range(out.shape[0]):
            carried = np.nan if start[s] == 1.0 else total[s]
            total[s] = carried if carried == carried else x[s]
    elif code == op.SESSION_SUM:
        for s in range(out.shape[0]):
            carried = 0.0 if start[s] == 1.0 else total[s]
            total[s] = carried + (x[s] if x[s] == x[s] else 0.0)
    elif code == op.SESSION_MAX:
        for s in range(out.shape[0]):
            carried = -np.inf if start[s] == 1.0 else total[s]
            total[s] = x[s] if x[s] > carried else carried
    elif code == op.SESSION_MIN:
        for s in range(out.shape[0]):
            carried = np.inf if start[s] == 1.0 else total[s]
            total[s] = x[s] if x[s] < carried else carried
    for s in range(out.shape[0]):
        out[s] = total[s] if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def session_before(x: F8, start: F8, current: F8, before: F8, out: F8) -> None:
    """The last observation of the instrument's session before this one; NaN in the first."""
    for s in range(out.shape[0]):
        before[s] = current[s] if start[s] == 1.0 else before[s]
        current[s] = x[s] if x[s] == x[s] else current[s]
        out[s] = before[s] if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def slot_mean(x: F8, alpha: float, known: F8, out: F8) -> None:
    """Exponential mean, over earlier sessions, of the observations at this time of day; then learns this one.

    known: [S], the row of this slot, NaN until a session had an observation there.
    """
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        out[s] = known[s] if seen else np.nan
        learnt = known[s] + (x[s] - known[s]) * alpha if known[s] == known[s] else x[s]
        known[s] = learnt if seen else known[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def slot_std(x: F8, alpha: float, mean: F8, var: F8, count: F8, out: F8) -> None:
    """Exponential deviation, over earlier sessions, of the observations at this time of day; then learns this one. NaN before two.

    mean, var, count: [S], the rows of this slot. Source: as ``recursive.ewvar``.
    """
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        out[s] = math.sqrt(var[s]) if (seen & (count[s] >= 2.0)) else np.nan
        n = count[s] + (1.0 if seen else 0.0)
        share = 1.0 / (n if n > 1.0 else 1.0)
        weight = share if share > alpha else alpha
        delta = x[s] - mean[s]
        mean[s] = mean[s] + weight * delta if seen else mean[s]
        var[s] = (1.0 - weight) * (var[s] + weight * delta * delta) if seen else var[s]
        count[s] = n
