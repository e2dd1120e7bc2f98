"""Sums over the lives of labels, and draws that avoid labels which overlap. Times are int64, a life is ``start <= t < end``.

Every sum runs over one label's own life only, so a label's weight has the same bits whatever else is in the table.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def mean_inverse(first: I8, last: I8, at: I8, alive: I8, out: F8) -> None:
    """Time average of ``1 / alive`` over each life; ``alive[k]`` labels live from ``at[k]`` to ``at[k + 1]``.

    first, last int64 [n]: a life runs from ``at[first]`` to ``at[last]``; of no length: 1.
    """
    for i in range(first.shape[0]):
        total = 0.0
        for k in range(first[i], last[i]):
            total += (at[k + 1] - at[k]) / alive[k]
        span = at[last[i]] - at[first[i]]
        out[i] = total / span if span > 0 else 1.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def attribute(first: I8, last: I8, entry: F8, value: F8, alive: I8, out: F8) -> None:
    """``|sum of value / alive|`` over rows ``first <= k < last`` of each label, the first by ``entry`` instead; NaN counts for
    nothing. All [n] or [m]."""
    for i in range(first.shape[0]):
        total = 0.0
        for k in range(first[i], last[i]):
            move = entry[k] if k == first[i] else value[k]
            if move == move and alive[k] > 0:
                total += move / alive[k]
        out[i] = abs(total)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _uniqueness(first: int, last: int, at: I8, drawn: I8) -> float:
    """Average uniqueness that a label would have beside the drawn ones."""
    total = 0.0
    for k in range(first, last):
        total += (at[k + 1] - at[k]) / (drawn[k] + 1.0)
    span = at[last] - at[first]
    return total / span if span > 0 else 1.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _block_sum(weight: F8, block: int, size: int) -> float:
    total = 0.0
    for i in range(block * size, min((block + 1) * size, weight.shape[0])):
        total += weight[i]
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _pick(weight: F8, blocks: F8, size: int, u: float) -> int:
    """The row at ``u`` (0 <= u < 1) of the cumulated weights; ``blocks`` are sums of ``size`` rows each."""
    total = 0.0
    for b in range(blocks.shape[0]):
        total += blocks[b]
    rest, b = u * total, 0
    while b < blocks.shape[0] - 1 and rest >= blocks[b]:
        rest -= blocks[b]
        b += 1
    i, stop = b * size, min((b + 1) * size, weight.shape[0])
    while i < stop - 1 and rest >= weight[i]:
        rest -= weight[i]
        i += 1
    return i


@nb.njit(cache=True, nogil=True, error_model="numpy")
def probabilities(first: I8, last: I8, at: I8, drawn: I8, out: F8) -> None:
    """Of each label, the chance to be drawn next; ``drawn[k]`` drawn labels live from ``at[k]`` to ``at[k + 1]``."""
    total = 0.0
    for i in range(first.shape[0]):
        out[i] = _uniqueness(first[i], last[i], at, drawn)
        total += out[i]
    for i in range(first.shape[0]):
        out[i] /= total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def draw(first: I8, last: I8, longest: int, at: I8, u: F8, drawn: I8, weight: F8, blocks: F8, size: int, out: I8) -> None:
    """``len(u)`` labels, each with a probability in proportion to its average uniqueness beside those drawn before.

    Labels are ordered by ``first``; ``longest`` is the largest ``last - first``. u float64 [m] uniform on [0, 1); scratch: drawn
    int64 [len(at)] zeros, weight float64 [n], blocks float64 [ceil(n / size)]. Only labels that overlap the drawn one change.
    """
    n = first.shape[0]
    for i in range(n):
        weight[i] = _uniqueness(first[i], last[i], at, drawn)
    for b in range(blocks.shape[0]):
        blocks[b] = _block_sum(weight, b, size)
    for j in range(u.shape[0]):
        got = _pick(weight, blocks, size, u[j])
        out[j] = got
        for k in range(first[got], last[got]):
            drawn[k] += 1
        low, high = np.searchsorted(first, first[got] - longest), np.searchsorted(first, last[got])
        for i in range(low, high):
            if last[i] > first[got]:
                weight[i] = _uniqueness(first[i], last[i], at, drawn)
        for b in range(low // size, (high - 1) // size + 1 if high > low else low // size):
            blocks[b] = _block_sum(weight, b, size)
