"""Sums over the last n observations in constant time: mean, deviation, slope and covariance.

What enters is added and what leaves is taken away, in double-double arithmetic: a sum carries 106 bits, so what a million steps
lose stays far below a double's last digit, and the mean of the squares less the square of the mean loses nothing that counts. Equal
observations are counted apart: they have exactly their own mean, no deviation and no slope.

One ring an instrument serves all widths of a series, the longest sets its length. Its rows in ``state``, float64 [R, W] of one
block: the place of the next observation, how many of the last are equal, the last one. The place is ``length`` less until the ring
is full: ``place + length`` observations were seen, at least. The observations themselves stand in ``rings``, float64 [Q, W, 8],
place by place, eight rings side by side: where instruments missed different bars their places differ, and what is then read, one
instrument at a time, fetches seven other rings' observations of that place with it. A ring that has hardly another of its length
beside it (cell < 0) keeps its observations in rows of ``state`` behind the three. Vectors are [S].
Source: Dekker (1971), "A floating-point technique for extending the available precision", Numerische Mathematik 18; Knuth, TAOCP
vol. 2, 4.2.2 (two-sum).
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels.types import BARE, F8

RUN, LAST, OWN_ROWS = 1, 2, 3  # rows behind the place
LANES = 8  # rings side by side: a line of the processor's cache


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
def push(x: F8, length: int, state: F8, row: int, rings: F8, cell: int, out: F8) -> None:
    """Put the observations into the ring. out: the one displaced, ``length`` before; NaN while the ring fills."""
    place, run, last = state[row], state[row + RUN], state[row + LAST]
    octet, lane = cell // LANES, cell % LANES
    if cell < 0:
        write_alone(x, length, place, state, row + OWN_ROWS, out)
    elif in_step(place, out.shape[0]):
        at = int(place[0])
        write_row(x, rings[octet + (at + length if at < 0 else at)], lane, out)
    else:
        write_each(x, length, place, rings[octet : octet + length], lane, out)
    for s in range(out.shape[0]):
        now, stood, equals, before = x[s], place[s], run[s], last[s]
        seen = now == now
        following = 0.0 if stood + 1.0 == length else stood + 1.0
        place[s] = following if seen else stood
        repeated = equals + 1.0 if now == before else 1.0
        run[s] = repeated if seen else equals
        last[s] = now if seen else before


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def write_alone(x: F8, length: int, place: F8, state: F8, row: int, out: F8) -> None:
    """Write the observations into the rows from ``row`` on."""
    if in_step(place, out.shape[0]):
        first = int(place[0])
        ring = state[row + (first + length if first < 0 else first)]
        for s in range(x.shape[0]):
            now, held = x[s], ring[s]
            seen = now == now
            out[s] = held if seen else np.nan
            ring[s] = now if seen else held
        return
    for s in range(x.shape[0]):
        stood = int(place[s])
        at = row + (stood + length if stood < 0 else stood)
        now, held = x[s], state[at, s]
        seen = now == now
        out[s] = held if seen else np.nan
        state[at, s] = now if seen else held


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def write_row(x: F8, ring: F8, lane: int, out: F8) -> None:
    """Write the observations, all at one place of the ring."""
    for s in range(x.shape[0]):
        now, held = x[s], ring[s, lane]
        seen = now == now
        out[s] = held if seen else np.nan
        ring[s, lane] = now if seen else held


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def write_each(x: F8, length: int, place: F8, rings: F8, lane: int, out: F8) -> None:
    """Write the observations, each where its instrument's ring stands."""
    for s in range(x.shape[0]):
        at = int(place[s])
        at = at + length if at < 0 else at
        now, held = x[s], rings[at, s, lane]
        seen = now == now
        out[s] = held if seen else np.nan
        rings[at, s, lane] = now if seen else held


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def displaced(x: F8, k: int, length: int, state: F8, row: int, rings: F8, cell: int, out: F8) -> None:
    """The observation ``k < length`` before this one; NaN where there is none: places not yet written hold NaN."""
    place = state[row]
    octet, lane = cell // LANES, cell % LANES
    if cell < 0:
        displaced_alone(x, k, length, place, state, row + OWN_ROWS, out)
        return
    if in_step(place, out.shape[0]):
        ring = rings[octet + (int(place[0]) - 1 - k + 2 * length) % length]
        for s in range(out.shape[0]):
            held = ring[s, lane]
            out[s] = held if x[s] == x[s] else np.nan
        return
    for s in range(out.shape[0]):
        at = int(place[s]) - 1 - k
        at = at + length if at < 0 else at
        at = at + length if at < 0 else at  # while the ring fills its place is ``length`` less
        held = rings[octet + at, s, lane]
        out[s] = held if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def displaced_alone(x: F8, k: int, length: int, place: F8, state: F8, row: int, out: F8) -> None:
    """``displaced`` from the rows from ``row`` on."""
    if in_step(place, out.shape[0]):
        ring = state[row + (int(place[0]) - 1 - k + 2 * length) % length]
        for s in range(out.shape[0]):
            held = ring[s]
            out[s] = held if x[s] == x[s] else np.nan
        return
    for s in range(out.shape[0]):
        at = int(place[s]) - 1 - k
        at = at + length if at < 0 else at
        at = at + length if at < 0 else at
        held = state[row + at, s]
        out[s] = held if x[s] == x[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def in_step(place: F8, n: int) -> bool:
    """Whether all instruments stand at one place of their rings: then the same value comes from whole rows, and faster."""
    apart = 0
    for s in range(n):
        apart += 1 if place[s] != place[0] else 0
    return apart == 0


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def mean(x: F8, left: F8, width: float, length: float, place: F8, run: F8, high: F8, low: F8, out: F8) -> None:
    """Mean of the last ``width`` observations; the sum stays in high + low."""
    least = width - length
    for s in range(out.shape[0]):
        now, gone, held, held_low, equals, stood = x[s], left[s], high[s], low[s], run[s], place[s]
        seen = now == now
        change, lost = add_exact(now, -(gone if gone == gone else 0.0))
        new, new_low = add_pairs(held, held_low, change, lost)
        value = now if equals >= width else new / width
        high[s] = new if seen else held
        low[s] = new_low if seen else held_low
        out[s] = value if (seen & (stood >= least)) else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def total(mean_: F8, x: F8, width: float, run: F8, high: F8, out: F8) -> None:
    """The sum behind a mean."""
    for s in range(out.shape[0]):
        now, known, held, equals = x[s], mean_[s], high[s], run[s]
        value = now * width if equals >= width else held
        out[s] = value if known == known else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def deviation(x: F8, left: F8, mean_: F8, width: float, run: F8, sum_high: F8, sum_low: F8, high: F8, low: F8, out: F8) -> None:
    """Population standard deviation: sqrt(n * sum of squares - square of the sum) / n. high + low: the sum of squares."""
    for s in range(out.shape[0]):
        now, gone, known, equals, sum_, sum_rest = x[s], left[s], mean_[s], run[s], sum_high[s], sum_low[s]
        held, held_low = high[s], low[s]
        seen = now == now
        gone = gone if gone == gone else 0.0
        a, b = multiply_exact(now, now)
        c, d = multiply_exact(gone, gone)
        a, b = add_pairs(a, b, -c, -d)
        a, b = add_pairs(held, held_low, a, b)
        new, new_low = a if seen else held, b if seen else held_low
        a, b = multiply_exact(new, width)
        c, d = multiply_exact(sum_, sum_)
        a, b = add_pairs(a, b + new_low * width, -c, -(d + 2.0 * sum_ * sum_rest))
        square = a + b
        value = math.sqrt(square if square > 0.0 else 0.0) / width
        value = 0.0 if equals >= width else value
        high[s] = new
        low[s] = new_low
        out[s] = value if known == known else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def slope(x: F8, left: F8, mean_: F8, par: F8, place: F8, run: F8, sum_high: F8, sum_low: F8, high: F8, low: F8, out: F8) -> None:
    """Least-squares slope on the times 1 .. n. high + low: the sum of time (0 the oldest) times observation. par: width, length."""
    width, length = par[0], par[1]
    middle, scale = 0.5 * (width - 1.0), width * (width * width - 1.0)
    for s in range(out.shape[0]):
        now, gone, known, equals, sum_, sum_rest = x[s], left[s], mean_[s], run[s], sum_high[s], sum_low[s]
        held, held_low, stood = high[s], low[s], place[s]
        slid = gone == gone  # every other time is one less than it was; before, the window fills
        a, b = multiply_exact(now, width if slid else stood + length - 1.0)
        a, b = add_pairs(a, b, -(sum_ if slid else 0.0), -(sum_rest if slid else 0.0))
        a, b = add_pairs(held, held_low, a, b)
        seen = now == now
        new, new_low = a if seen else held, b if seen else held_low
        a, b = multiply_exact(sum_, middle)
        a, b = add_pairs(new, new_low, -a, -(b + sum_rest * middle))
        value = (a + b) * 12.0 / scale
        value = 0.0 if equals >= width else value
        high[s] = new
        low[s] = new_low
        out[s] = value if known == known else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def covariance(
    x: F8, y: F8, left_x: F8, left_y: F8, mean_x: F8, width: float, state: F8, sums_x: int, sums_y: int, own: int, out: F8
) -> None:
    """Population covariance; x and y are observed together. The rows ``own``: sum of products."""
    high, low = state[own], state[own + 1]
    ah, al, bh, bl = state[sums_x], state[sums_x + 1], state[sums_y], state[sums_y + 1]
    for s in range(out.shape[0]):
        now, other, gone, gone_y, known = x[s], y[s], left_x[s], left_y[s], mean_x[s]
        held, held_low, sum_, sum_rest, sum_y, sum_y_rest = high[s], low[s], ah[s], al[s], bh[s], bl[s]
        seen, slid = now == now, gone == gone
        a, b = multiply_exact(now, other)
        c, d = multiply_exact(gone if slid else 0.0, gone_y if slid else 0.0)
        a, b = add_pairs(a, b, -c, -d)
        a, b = add_pairs(held, held_low, a, b)
        new, new_low = a if seen else held, b if seen else held_low
        a, b = multiply_exact(new, width)
        c, d = multiply_exact(sum_, sum_y)
        a, b = add_pairs(a, b + new_low * width, -c, -(d + (sum_ * sum_y_rest + sum_rest * sum_y)))
        high[s] = new
        low[s] = new_low
        out[s] = (a + b) / (width * width) if known == known else np.nan
