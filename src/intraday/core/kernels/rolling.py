"""Windows: one ring buffer an instrument, and what is read from it.

Every statistic is recomputed from the ring (or from a sorted copy of it), so nothing drifts however long it runs, and a value is a
function of the window alone up to the order of summation, which the anchor fixes. The loops run over instruments inside, so they
vectorise. ``state`` is one block's float64 [R, W]; a ring of width n has the rows ``row .. row + n - 1``.
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.types import BARE, F8

HEAD = 3  # rows before the ring: position of the next observation (the oldest, once full), count, what was displaced last


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def window(x: F8, width: int, state: F8, row: int, out: F8) -> None:
    """Put the observation into the ring behind ``row``. out: x once the ring is full, NaN before."""
    position, count, left = state[row], state[row + 1], state[row + 2]
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        at = int(position[s])
        held = state[row + HEAD + at, s]  # NaN while the ring fills
        left[s] = held if seen else left[s]
        state[row + HEAD + at, s] = x[s] if seen else held
        following = 0.0 if at + 1 == width else at + 1.0
        position[s] = following if seen else position[s]
    for s in range(out.shape[0]):
        grown = count[s] + (1.0 if count[s] < width else 0.0)
        count[s] = grown if x[s] == x[s] else count[s]
        out[s] = x[s] if count[s] >= width else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def insert_sorted(x: F8, width: int, left: F8, state: F8, row: int, gone: F8, before: F8) -> None:
    """Take ``left`` (NaN: one of the +inf that stand for what is missing) out of the ascending rows and put x in; one pass.

    gone, before: scratch [S].
    """
    for s in range(x.shape[0]):
        gone[s], before[s] = 0.0, -np.inf
    for w in range(row, row + width):
        here = state[w]
        after = state[w + 1 if w + 1 < row + width else w]
        last = w + 1 == row + width
        for s in range(x.shape[0]):
            out = left[s] if left[s] == left[s] else np.inf
            gone[s] = 1.0 if here[s] == out else gone[s]
            rest = np.inf if last else after[s]
            rest = rest if gone[s] > 0.0 else here[s]
            put = before[s] if before[s] > x[s] else x[s]
            put = rest if rest < put else put
            before[s] = rest
            here[s] = put if x[s] == x[s] else here[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def reduce_window(code: int, x: F8, y: F8, z: F8, par: F8, state: F8, row: int, scratch: F8, out: F8) -> None:
    """One statistic of a ring; NaN where x (the window's own output) is. y, z: its mean and deviation where it needs them."""
    width = int(par[0])
    end = row + width
    if code == op.HIGHEST:
        highest(state, row, end, out)
    elif code == op.LOWEST:
        lowest(state, row, end, out)
    elif code == op.RANK:
        rank(x, state, row, end, out)
    elif code == op.QUANTILE:
        quantile(par[1], state, row, width, out)
    elif code == op.SKEW or code == op.KURT:
        moment(code, y, z, state, row, end, out)
    else:
        by_age(code, state[row - HEAD], state, row, width, scratch[0], out)
    for s in range(out.shape[0]):
        out[s] = out[s] if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def by_age(code: int, oldest: F8, state: F8, row: int, width: int, best: F8, out: F8) -> None:
    """Statistics that need the order of the observations. oldest: [S], where the ring begins."""
    if code == op.ARGMAX:
        place_of_largest(1.0, oldest, state, row, width, best, out)
    elif code == op.ARGMIN:
        place_of_largest(-1.0, oldest, state, row, width, best, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def moment(code: int, centre: F8, spread: F8, state: F8, row: int, end: int, out: F8) -> None:
    """Bias-corrected skewness and excess kurtosis (Joanes and Gill 1998, G1 and G2); 0 and -3 of equal values, as pandas."""
    n = float(end - row)
    out[:] = 0.0
    for w in range(row, end):
        value = state[w]
        for s in range(out.shape[0]):
            z = (value[s] - centre[s]) / spread[s]
            out[s] += z * z * z if code == op.SKEW else z * z * z * z
    for s in range(out.shape[0]):
        if code == op.SKEW:
            out[s] = out[s] / n * math.sqrt(n * (n - 1.0)) / (n - 2.0) if spread[s] > 0.0 else 0.0
        else:
            excess = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * (out[s] / n) - 3.0 * (n - 1.0))
            out[s] = excess if spread[s] > 0.0 else -3.0


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def place_of_largest(sign: float, oldest: F8, state: F8, row: int, width: int, best: F8, out: F8) -> None:
    """Place 1 (oldest) .. n of the largest of ``sign * value``; the oldest of equals. best: scratch [S]."""
    best[: out.shape[0]] = -np.inf
    out[:] = np.inf
    for w in range(width):
        value = state[row + w]
        for s in range(out.shape[0]):
            place = w - oldest[s]
            place = place + width if place < 0.0 else place
            v = sign * value[s]
            better = (v > best[s]) | ((v == best[s]) & (place < out[s]))
            best[s] = v if better else best[s]
            out[s] = place if better else out[s]
    for s in range(out.shape[0]):
        out[s] = out[s] + 1.0


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def highest(state: F8, row: int, end: int, out: F8) -> None:
    """Largest."""
    out[:] = -np.inf
    for w in range(row, end):
        value = state[w]
        for s in range(out.shape[0]):
            out[s] = value[s] if value[s] > out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def lowest(state: F8, row: int, end: int, out: F8) -> None:
    """Smallest."""
    out[:] = np.inf
    for w in range(row, end):
        value = state[w]
        for s in range(out.shape[0]):
            out[s] = value[s] if value[s] < out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def rank(x: F8, state: F8, row: int, end: int, out: F8) -> None:
    """Share of the window that is not above x, x itself included: 1/W .. 1."""
    out[:] = 0.0
    for w in range(row, end):
        value = state[w]
        for s in range(out.shape[0]):
            out[s] += 1.0 if value[s] <= x[s] else 0.0
    for s in range(out.shape[0]):
        out[s] = out[s] / (end - row)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def quantile(q: float, state: F8, row: int, width: int, out: F8) -> None:
    """Linear interpolation between the two nearest of the ascending rows."""
    at = (width - 1) * q
    below = int(at)
    share = at - below
    low, high = state[row + below], state[row + min(below + 1, width - 1)]
    for s in range(out.shape[0]):
        out[s] = low[s] + (high[s] - low[s]) * share
