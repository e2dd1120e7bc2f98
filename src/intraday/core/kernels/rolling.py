"""Windows: one ring buffer an instrument, and what is read from it.

Every statistic is recomputed from the ring, so nothing drifts however long it runs, and a value is a function of the window
alone up to the order of summation, which the anchor fixes. The loops run over instruments inside, so they vectorise.
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.types import F8


@nb.njit(cache=True, nogil=True, error_model="numpy")
def window(x: F8, width: int, position: F8, count: F8, left: F8, state: F8, row: int, first: int, out: F8) -> None:
    """Put the observation into the ring ``state[row : row + width, first:]``. out: x once the ring is full, NaN before.

    left: [S], the observation that this one displaced; NaN while the ring fills.
    """
    for s in range(out.shape[0]):
        if x[s] == x[s]:
            at = int(position[s])
            left[s] = state[row + at, first + s] if count[s] >= width else np.nan
            state[row + at, first + s] = x[s]
            position[s] = 0.0 if at + 1 == width else at + 1.0
            count[s] = count[s] + (1.0 if count[s] < width else 0.0)
        out[s] = x[s] if count[s] >= width else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy")
def reduce_window(code: int, x: F8, width: int, state: F8, row: int, first: int, last: int, scratch: F8, out: F8) -> None:
    """One statistic of the ring ``state[row : row + width, first:last]``; NaN where x (the window's own output) is."""
    end = row + width
    if code == op.MEAN:
        mean(state, row, end, first, last, out)
    elif code == op.STD:
        mean(state, row, end, first, last, scratch)
        deviation(scratch, state, row, end, first, last, out)
    elif code == op.HIGHEST:
        highest(state, row, end, first, last, out)
    elif code == op.LOWEST:
        lowest(state, row, end, first, last, out)
    elif code == op.RANK:
        rank(x, state, row, end, first, last, out)
    for s in range(out.shape[0]):
        out[s] = out[s] if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy")
def mean(state: F8, row: int, end: int, first: int, last: int, out: F8) -> None:
    """Plain mean, summed as distances from one element: equal values have exactly that mean and no deviation."""
    base = state[row, first:last]
    out[:] = 0.0
    for w in range(row + 1, end):
        value = state[w, first:last]
        for s in range(out.shape[0]):
            out[s] += value[s] - base[s]
    for s in range(out.shape[0]):
        out[s] = base[s] + out[s] / (end - row)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def deviation(centre: F8, state: F8, row: int, end: int, first: int, last: int, out: F8) -> None:
    """Population standard deviation about ``centre``; the second pass is what keeps it from cancelling."""
    out[:] = 0.0
    for w in range(row, end):
        value = state[w, first:last]
        for s in range(out.shape[0]):
            d = value[s] - centre[s]
            out[s] += d * d
    for s in range(out.shape[0]):
        out[s] = math.sqrt(out[s] / (end - row))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def highest(state: F8, row: int, end: int, first: int, last: int, out: F8) -> None:
    """Largest."""
    out[:] = -np.inf
    for w in range(row, end):
        value = state[w, first:last]
        for s in range(out.shape[0]):
            out[s] = value[s] if value[s] > out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lowest(state: F8, row: int, end: int, first: int, last: int, out: F8) -> None:
    """Smallest."""
    out[:] = np.inf
    for w in range(row, end):
        value = state[w, first:last]
        for s in range(out.shape[0]):
            out[s] = value[s] if value[s] < out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def rank(x: F8, state: F8, row: int, end: int, first: int, last: int, out: F8) -> None:
    """Share of the window that is not above x, x itself included: 1/W .. 1."""
    out[:] = 0.0
    for w in range(row, end):
        value = state[w, first:last]
        for s in range(out.shape[0]):
            out[s] += 1.0 if value[s] <= x[s] else 0.0
    for s in range(out.shape[0]):
        out[s] = out[s] / (end - row)
