"""Sums over the last n observations in constant time: mean, deviation, slope and covariance.

What enters is added and what leaves is taken away, in double-double arithmetic: a sum carries 106 bits, so what a million steps
lose stays far below a double's last digit, and the mean of the squares less the square of the mean loses nothing that counts. Equal
observations are counted apart: they have exactly their own mean, no deviation and no slope.

One ring an instrument serves all widths of a series, the longest sets its length. Its rows: position of the next observation, how
many there were (counted to length + 1), how many of the last are equal, the last one, the one it displaced, then the observations.
``state`` is float64 [R, W] of one block, vectors [S].
Source: Dekker (1971), "A floating-point technique for extending the available precision", Numerische Mathematik 18; Knuth, TAOCP
vol. 2, 4.2.2 (two-sum).
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels.types import BARE, F8

COUNT, RUN, LAST, GONE, RING = 1, 2, 3, 4, 5  # rows behind the position


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always", **BARE)
def add_exact(a: float, b: float) -> tuple[float, float]:
    """Two-sum: a + b as a rounded sum and what the rounding lost."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always", **BARE)
def multiply_exact(a: float, b: float) -> tuple[float, float]:
    """Two-product by Dekker's and Veltkamp's split, without a fused multiply-add, which not every processor has."""
    product = a * b
    big = 134217729.0 * a
    high_a = big - (big - a)
    low_a = a - high_a
    big = 134217729.0 * b
    high_b = big - (big - b)
    low_b = b - high_b
    return product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always", **BARE)
def add_pairs(high: float, low: float, more_high: float, more_low: float) -> tuple[float, float]:
    """Sum of two double-doubles."""
    total, lost = add_exact(high, more_high)
    rest, lost_low = add_exact(low, more_low)
    total, lost = add_exact(total, lost + rest)
    total, lost = add_exact(total, lost + lost_low)
    return total, lost


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def push(x: F8, length: int, state: F8, row: int, out: F8) -> None:
    """Put the observations into the ring. out: x."""
    position, count, run, last, gone = state[row], state[row + COUNT], state[row + RUN], state[row + LAST], state[row + GONE]
    if in_step(position, out.shape[0]):
        write_row(x, length, position, gone, state[row + RING + int(position[0])])
    else:
        write_each(x, length, position, gone, state, row + RING)
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        n, equals, before = count[s], run[s], last[s]
        grown = n + 1.0 if n <= length else n
        count[s] = grown if seen else n
        repeated = equals + 1.0 if x[s] == before else 1.0
        run[s] = repeated if seen else equals
        last[s] = x[s] if seen else before
        out[s] = x[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def write_row(x: F8, length: int, position: F8, gone: F8, ring: F8) -> None:
    """Write the observations, all into one row of the ring."""
    for s in range(x.shape[0]):
        seen, at, held, before = x[s] == x[s], position[s], ring[s], gone[s]
        gone[s] = held if seen else before
        ring[s] = x[s] if seen else held
        following = 0.0 if at + 1.0 == length else at + 1.0
        position[s] = following if seen else at


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def write_each(x: F8, length: int, position: F8, gone: F8, state: F8, row: int) -> None:
    """Write the observations, each where its instrument's ring stands."""
    for s in range(x.shape[0]):
        seen = x[s] == x[s]
        at = int(position[s])
        held = state[row + at, s]
        gone[s] = held if seen else gone[s]
        state[row + at, s] = x[s] if seen else held
        following = 0.0 if at + 1 == length else at + 1.0
        position[s] = following if seen else position[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def displaced(x: F8, k: int, length: int, state: F8, row: int, out: F8) -> None:
    """The observation ``k`` before this one; NaN where there is none."""
    position, count, gone = state[row], state[row + COUNT], state[row + GONE]
    if k == length:
        for s in range(out.shape[0]):
            held = gone[s]
            out[s] = held if x[s] == x[s] else np.nan
        return
    if in_step(position, out.shape[0]):
        at = int(position[0]) - 1 - k
        value = state[row + RING + (at + length if at < 0 else at)]
        for s in range(out.shape[0]):
            held = value[s]
            out[s] = held if ((x[s] == x[s]) & (count[s] > k)) else np.nan
        return
    for s in range(out.shape[0]):
        at = int(position[s]) - 1 - k
        at = at + length if at < 0 else at
        out[s] = state[row + RING + at, s] if ((x[s] == x[s]) & (count[s] > k)) else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def in_step(position: F8, n: int) -> bool:
    """Whether all instruments stand at one place of their rings: then the same value comes from whole rows, and faster."""
    apart = 0
    for s in range(n):
        apart += 1 if position[s] != position[0] else 0
    return apart == 0


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def mean(x: F8, left: F8, width: float, count: F8, run: F8, high: F8, low: F8, out: F8) -> None:
    """Mean of the last ``width`` observations; the sum stays in high + low."""
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        change, lost = add_exact(x[s], -left[s] if left[s] == left[s] else 0.0)
        new_high, new_low = add_pairs(high[s], low[s], change, lost)
        high[s] = new_high if seen else high[s]
        low[s] = new_low if seen else low[s]
        value = x[s] if run[s] >= width else high[s] / width
        out[s] = value if (seen & (count[s] >= width)) else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def total(mean_: F8, x: F8, width: float, run: F8, high: F8, out: F8) -> None:
    """The sum behind a mean."""
    for s in range(out.shape[0]):
        value = x[s] * width if run[s] >= width else high[s]
        out[s] = value if mean_[s] == mean_[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def deviation(x: F8, left: F8, mean_: F8, width: float, run: F8, sum_high: F8, sum_low: F8, high: F8, low: F8, out: F8) -> None:
    """Population standard deviation: sqrt(n * sum of squares - square of the sum) / n. high + low: the sum of squares."""
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        gone = left[s] if left[s] == left[s] else 0.0
        a, b = multiply_exact(x[s], x[s])
        c, d = multiply_exact(gone, gone)
        a, b = add_pairs(a, b, -c, -d)
        a, b = add_pairs(high[s], low[s], a, b)
        high[s] = a if seen else high[s]
        low[s] = b if seen else low[s]
        a, b = multiply_exact(high[s], width)
        c, d = multiply_exact(sum_high[s], sum_high[s])
        a, b = add_pairs(a, b + low[s] * width, -c, -(d + 2.0 * sum_high[s] * sum_low[s]))
        square = a + b
        value = math.sqrt(square if square > 0.0 else 0.0) / width
        value = 0.0 if run[s] >= width else value
        out[s] = value if mean_[s] == mean_[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def slope(x: F8, left: F8, mean_: F8, width: float, state: F8, row: int, sums: int, own: int, out: F8) -> None:
    """Least-squares slope on the places 1 .. n. The rows ``own``: sum of place (0 the oldest) times observation."""
    count, run, sum_high, sum_low = state[row + COUNT], state[row + RUN], state[sums], state[sums + 1]
    high, low = state[own], state[own + 1]
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        slid = left[s] == left[s]  # every other place is one less than it was
        a, b = multiply_exact(x[s], width if slid else count[s] - 1.0)
        a, b = add_pairs(a, b, -sum_high[s] if slid else 0.0, -sum_low[s] if slid else 0.0)
        a, b = add_pairs(high[s], low[s], a, b)
        high[s] = a if seen else high[s]
        low[s] = b if seen else low[s]
        middle = 0.5 * (width - 1.0)
        a, b = multiply_exact(sum_high[s], middle)
        a, b = add_pairs(high[s], low[s], -a, -(b + sum_low[s] * middle))
        value = (a + b) * 12.0 / (width * (width * width - 1.0))
        value = 0.0 if run[s] >= width else value
        out[s] = value if mean_[s] == mean_[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def covariance(
    x: F8, y: F8, left_x: F8, left_y: F8, mean_x: F8, width: float, state: F8, sums_x: int, sums_y: int, own: int, out: F8
) -> None:
    """Population covariance; x and y are observed together. The rows ``own``: sum of products."""
    high, low = state[own], state[own + 1]
    ah, al, bh, bl = state[sums_x], state[sums_x + 1], state[sums_y], state[sums_y + 1]
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        a, b = multiply_exact(x[s], y[s])
        slid = left_x[s] == left_x[s]
        c, d = multiply_exact(left_x[s] if slid else 0.0, left_y[s] if slid else 0.0)
        a, b = add_pairs(a, b, -c, -d)
        a, b = add_pairs(high[s], low[s], a, b)
        high[s] = a if seen else high[s]
        low[s] = b if seen else low[s]
        a, b = multiply_exact(high[s], width)
        c, d = multiply_exact(ah[s], bh[s])
        a, b = add_pairs(a, b + low[s] * width, -c, -(d + (ah[s] * bl[s] + al[s] * bh[s])))
        out[s] = (a + b) / (width * width) if mean_x[s] == mean_x[s] else np.nan
