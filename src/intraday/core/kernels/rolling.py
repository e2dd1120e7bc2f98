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
def window(x: F8, width: int, position: F8, count: F8, ring: F8, out: F8) -> None:
    """Put the observation into the ring. out: x once the ring is full, NaN before. position, count: [S]; ring: [width, S]."""
    for s in range(out.shape[0]):
        if x[s] == x[s]:
            at = int(position[s])
            ring[at, s] = x[s]
            position[s] = 0.0 if at + 1 == width else at + 1.0
            count[s] = count[s] + (1.0 if count[s] < width else 0.0)
        out[s] = x[s] if count[s] >= width else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy")
def reduce_window(code: int, x: F8, ring: F8, scratch: F8, out: F8) -> None:
    """One statistic of the ring [W, S]; NaN where x (the window's own output) is."""
    if code == op.MEAN:
        mean(ring, out)
    elif code == op.STD:
        mean(ring, scratch)
        deviation(ring, scratch, out)
    elif code == op.HIGHEST:
        highest(ring, out)
    elif code == op.LOWEST:
        lowest(ring, out)
    elif code == op.RANK:
        rank(x, ring, out)
    for s in range(out.shape[0]):
        out[s] = out[s] if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy")
def mean(ring: F8, out: F8) -> None:
    """Plain mean, summed as distances from one element: equal values have exactly that mean and no deviation."""
    base = ring[0]
    out[:] = 0.0
    for w in range(1, ring.shape[0]):
        row = ring[w]
        for s in range(out.shape[0]):
            out[s] += row[s] - base[s]
    for s in range(out.shape[0]):
        out[s] = base[s] + out[s] / ring.shape[0]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def deviation(ring: F8, centre: F8, out: F8) -> None:
    """Population standard deviation about ``centre``; the second pass is what keeps it from cancelling."""
    out[:] = 0.0
    for w in range(ring.shape[0]):
        row = ring[w]
        for s in range(out.shape[0]):
            d = row[s] - centre[s]
            out[s] += d * d
    for s in range(out.shape[0]):
        out[s] = math.sqrt(out[s] / ring.shape[0])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def highest(ring: F8, out: F8) -> None:
    """Largest."""
    out[:] = -np.inf
    for w in range(ring.shape[0]):
        row = ring[w]
        for s in range(out.shape[0]):
            out[s] = row[s] if row[s] > out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lowest(ring: F8, out: F8) -> None:
    """Smallest."""
    out[:] = np.inf
    for w in range(ring.shape[0]):
        row = ring[w]
        for s in range(out.shape[0]):
            out[s] = row[s] if row[s] < out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def rank(x: F8, ring: F8, out: F8) -> None:
    """Share of the window that is not above x, x itself included: 1/W .. 1."""
    out[:] = 0.0
    for w in range(ring.shape[0]):
        row = ring[w]
        for s in range(out.shape[0]):
            out[s] += 1.0 if row[s] <= x[s] else 0.0
    for s in range(out.shape[0]):
        out[s] = out[s] / ring.shape[0]
