"""Windows: one ring buffer an instrument, and what is read from it.

Every statistic is recomputed from the ring, or from its observations in ascending order, so nothing drifts however long it runs,
and a value is a function of the window alone up to the order of summation, which the anchor fixes. The loops run over instruments
inside, so they vectorise. ``state`` is one block's float64 [R, W]; a ring of width n has the rows ``row .. row + n - 1``.
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.sums import in_step
from intraday.core.kernels.types import BARE, F8

HEAD = 1  # rows before the ring: the place of the next observation (the oldest, once full); ``width`` less until the ring is full


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def window(x: F8, width: int, state: F8, row: int, out: F8) -> None:
    """Put the observation into the ring behind ``row``. out: x once the ring is full, NaN before."""
    place = state[row]
    if in_step(place, out.shape[0]):
        first = int(place[0])
        ring = state[row + HEAD + (first + width if first < 0 else first)]
        for s in range(out.shape[0]):
            now, held = x[s], ring[s]
            ring[s] = now if now == now else held
    else:
        for s in range(out.shape[0]):
            stood = int(place[s])
            at = row + HEAD + (stood + width if stood < 0 else stood)
            now, held = x[s], state[at, s]
            state[at, s] = now if now == now else held
    for s in range(out.shape[0]):
        now, stood = x[s], place[s]
        following = 0.0 if stood + 1.0 == width else stood + 1.0
        following = following if now == now else stood
        place[s] = following
        out[s] = now if following >= 0.0 else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def insert_sorted(x: F8, left: F8, width: int, state: F8, row: int, scratch: F8, entering: F8) -> None:
    """Take ``left`` (NaN: one of the +inf that stand for what is missing) out of the ascending rows and put x in; one pass.

    scratch: [2, S]. entering: [S], written. Of x = NaN nothing comes in and nothing goes: +inf does for both.
    """
    leaving, before = scratch[0], scratch[1]
    for s in range(entering.shape[0]):
        now, gone = x[s], left[s]
        leaving[s] = gone if gone == gone else np.inf
        entering[s] = now if now == now else np.inf
        before[s] = -np.inf
    for w in range(row, row + width - 1):
        insert_row(entering, leaving, before, state[w], state[w + 1])
    last = state[row + width - 1]
    for s in range(entering.shape[0]):
        kept = last[s] if last[s] < leaving[s] else np.inf
        put = before[s] if before[s] > entering[s] else entering[s]
        last[s] = put if put < kept else kept


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def insert_row(entering: F8, leaving: F8, before: F8, here: F8, after: F8) -> None:
    """One row: without what leaves, the rows from there on are the next ones; of those and what enters, in order, this is next."""
    for s in range(entering.shape[0]):
        now, gone, below, held, following = entering[s], leaving[s], before[s], here[s], after[s]
        kept = held if held < gone else following
        put = below if below > now else now
        before[s] = kept
        here[s] = put if put < kept else kept


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def where_full(x: F8, least: float, place: F8, out: F8) -> None:
    """x once the ring has come to the place ``least``, NaN before."""
    for s in range(out.shape[0]):
        now = x[s]
        out[s] = now if place[s] >= least else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def reduce_window(code: int, x: F8, y: F8, z: F8, par: F8, state: F8, row: int, scratch: F8, out: F8) -> None:
    """One statistic of a ring; NaN where x (the window's own output) is. y, z: its mean and deviation where it needs them."""
    width = int(par[0])
    end = row + width
    if code == op.HIGHEST:
        highest(state, row, end, out)
    elif code == op.LOWEST:
        lowest(state, row, end, out)
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
    """Largest; four rows a pass, the last once more where they are no multiple."""
    out[:] = -np.inf
    for w in range(row, end, 4):
        a, b, c, d = state[w], state[min(w + 1, end - 1)], state[min(w + 2, end - 1)], state[min(w + 3, end - 1)]
        for s in range(out.shape[0]):
            left = a[s] if a[s] > b[s] else b[s]
            right = c[s] if c[s] > d[s] else d[s]
            most = left if left > right else right
            out[s] = most if most > out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def lowest(state: F8, row: int, end: int, out: F8) -> None:
    """Smallest, likewise."""
    out[:] = np.inf
    for w in range(row, end, 4):
        a, b, c, d = state[w], state[min(w + 1, end - 1)], state[min(w + 2, end - 1)], state[min(w + 3, end - 1)]
        for s in range(out.shape[0]):
            left = a[s] if a[s] < b[s] else b[s]
            right = c[s] if c[s] < d[s] else d[s]
            least = left if left < right else right
            out[s] = least if least < out[s] else out[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def rank(x: F8, width: int, state: F8, row: int, out: F8) -> None:
    """Share of the ascending rows that is not above x: 1/W .. 1."""
    out[:] = 0.0
    for w in range(row, row + width):
        value = state[w]
        for s in range(out.shape[0]):
            out[s] += 1.0 if value[s] <= x[s] else 0.0
    for s in range(out.shape[0]):
        out[s] = out[s] / width if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def mean_rank(x: F8, width: int, state: F8, row: int, out: F8) -> None:
    """Mean rank of x and its equals in the ascending rows, as a share: 1/W .. 1."""
    out[:] = 1.0
    for w in range(row, row + width):
        value = state[w]
        for s in range(out.shape[0]):
            out[s] += (1.0 if value[s] <= x[s] else 0.0) + (1.0 if value[s] < x[s] else 0.0)
    for s in range(out.shape[0]):
        out[s] = out[s] * 0.5 / width if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def quantile(x: F8, q: float, state: F8, row: int, width: int, out: F8) -> None:
    """Linear interpolation between the two nearest of the ascending rows; NaN where x is."""
    at = (width - 1) * q
    below = int(at)
    share = at - below
    low, high = state[row + below], state[row + min(below + 1, width - 1)]
    for s in range(out.shape[0]):
        value = low[s] + (high[s] - low[s]) * share
        out[s] = value if x[s] == x[s] else np.nan
