"""Primitives across the instruments of one decision bar.

Who stands in which column must not matter, to the last bit, so sums over instruments are exact (``exact_sum``) and ranks count
equal values alike. Vectors are [S]; ``here`` says who has a bar, ``member`` who is compared.
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.types import B1, F8, I8


@nb.njit(cache=True, nogil=True, error_model="numpy")
def run_across(codes: I8, source: I8, target: I8, mask: B1, member: B1, index: int, carried: F8, work: F8, keys: I8) -> None:
    """All cross-sections of one level. carried: float64 [C, T, S]; codes, source, target: [K], rows of ``carried``.

    mask, member: bool [T, S]. index: the market index's column, -1 for none. work: float64 [S], keys: int64 [4, S], scratch.
    """
    for t in range(mask.shape[0]):
        for k in range(codes.shape[0]):
            across(codes[k], carried[source[k], t], mask[t], member[t], index, work, keys, carried[target[k], t])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def across(code: int, x: F8, here: B1, member: B1, index: int, work: F8, keys: I8, out: F8) -> None:
    """One cross-section of one decision bar."""
    if code == op.OF_INDEX:
        broadcast(x[index] if index >= 0 else np.nan, here, out)
        return
    n = chosen(x, here, member, work)
    if code == op.ACROSS_COUNT:
        broadcast(float(n), here, out)
    elif n < op.LEAST_ACROSS:
        out[:] = np.nan
    elif code == op.ACROSS_RANK:
        rank(x, here, member, n, work, keys, out)
    else:
        mean = exact_sum(work, n) / n
        if code == op.ACROSS_STD:
            for i in range(n):
                work[i] = (work[i] - mean) * (work[i] - mean)
            mean = math.sqrt(exact_sum(work, n) / n)
        broadcast(mean, here, out)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def chosen(x: F8, here: B1, member: B1, work: F8) -> int:
    """Collect the members' observations; how many there are."""
    n = 0
    for s in range(x.shape[0]):
        if here[s] and member[s] and x[s] == x[s]:
            work[n] = x[s]
            n += 1
    return n


@nb.njit(cache=True, nogil=True, error_model="numpy")
def broadcast(value: float, here: B1, out: F8) -> None:
    """``value`` for everybody who has a bar."""
    for s in range(out.shape[0]):
        out[s] = value if here[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy")
def exact_sum(x: F8, n: int) -> float:
    """Sum of x[:n], the same whatever their order; accurate to 2**-70 of the largest. NaN when one is not finite.

    Every value is cut at two places that depend on the largest alone: the parts are whole multiples of a unit and their sums exact.
    Source: Demmel and Nguyen (2013), "Fast reproducible floating-point summation", IEEE ARITH 21.
    """
    largest = 0.0
    for i in range(n):
        size = math.fabs(x[i])
        largest = size if not size <= largest else largest
    if largest == 0.0 or not largest < 1e290:
        return largest * 0.0
    bits = 2 + int(math.ceil(math.log2(n + 1.0)))
    exponent = math.frexp(largest)[1]
    coarse = math.ldexp(1.5, exponent + bits)  # adding it rounds to multiples of 2**(exponent + bits - 52)
    fine = math.ldexp(1.5, exponent + 2 * bits - 52)
    upper, lower = 0.0, 0.0
    for i in range(n):
        high = (x[i] + coarse) - coarse
        rest = x[i] - high
        upper += high
        lower += (rest + fine) - fine
    return upper + lower


@nb.njit(cache=True, nogil=True, error_model="numpy")
def rank(x: F8, here: B1, member: B1, n: int, work: F8, keys: I8, out: F8) -> None:
    """Mean rank over n of each chosen instrument; NaN for the others. work: their n values."""
    order = sort_keys(work, n, keys)
    place = keys[3]
    i = 0
    while i < n:
        last = i
        while last + 1 < n and work[order[last + 1]] == work[order[i]]:
            last += 1
        for k in range(i, last + 1):
            place[order[k]] = i + last + 2  # twice the mean of the ranks i + 1 .. last + 1
        i = last + 1
    k = 0
    for s in range(out.shape[0]):
        out[s] = np.nan
        if here[s] and member[s] and x[s] == x[s]:
            out[s] = place[k] / (2.0 * n)
            k += 1


@nb.njit(cache=True, nogil=True, error_model="numpy")
def sort_keys(x: F8, n: int, keys: I8) -> I8:
    """Positions of x[:n] in ascending order, by radix, eleven bits at a time. keys: scratch int64 [6, max(n, 2048)] (not row 3)."""
    value, order, other, other_order, count = keys[0], keys[1], keys[4], keys[2], keys[5]
    for i in range(n):
        value[i] = sortable(x[i])
        order[i] = i
    for shift in range(0, 64, 11):
        count[:2048] = 0
        for i in range(n):
            count[(value[i] >> shift) & 2047] += 1
        first = 0
        for digit in range(2048):
            first, count[digit] = first + count[digit], first
        for i in range(n):
            digit = (value[i] >> shift) & 2047
            at = count[digit]
            other[at], other_order[at] = value[i], order[i]
            count[digit] = at + 1
        value, other = other, value
        order, other_order = other_order, order
    return order  # type: ignore[no-any-return]  # mypy loses the rows' type in the swap


@nb.njit(cache=True, nogil=True, error_model="numpy")
def sortable(x: float) -> int:
    """The bits of a double, changed so that they order as unsigned integers the way the doubles do; -0.0 is 0.0."""
    bits: int = np.float64(x + 0.0).view(np.int64)  # type: ignore[assignment]
    return bits ^ (-0x8000000000000000 if bits >= 0 else -1)
