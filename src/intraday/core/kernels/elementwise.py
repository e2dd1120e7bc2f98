"""Primitives without state: inputs, arithmetic, comparison. Vectors are [S] (a block of instruments).

NaN means "no observation" throughout: an instrument without a bar loads NaN, and NaN goes through every operation here.
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels import opcodes as op
from intraday.core.kernels.types import B1, BARE, F8


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def load(x: F8, mask: B1, out: F8) -> None:
    """``out`` = x where there is a bar, else NaN. x, mask, out: [S]."""
    for s in range(out.shape[0]):
        value = x[s]  # read in any case, or the loop could not be vectorised
        out[s] = value if mask[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def load_volume(x: F8, mask: B1, has_volume: B1, out: F8) -> None:
    """Like ``load``; NaN too where the instrument has no volume (indices), whatever stands in ``x``."""
    for s in range(out.shape[0]):
        value = x[s]
        out[s] = value if (mask[s] & has_volume[s]) else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def copy(x: F8, out: F8) -> None:
    """``out`` = x; a loop, since numba compiles a slice assignment ten times as long."""
    for s in range(out.shape[0]):
        out[s] = x[s]


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def broadcast(value: float, mask: B1, out: F8) -> None:
    """``out`` = value where there is a bar, else NaN."""
    for s in range(out.shape[0]):
        out[s] = value if mask[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def one_operand(code: int, x: F8, p: float, q: float, out: F8) -> None:
    """AFFINE p*x+q; CLIP to p..q; POWER x**p; LOG of what is not positive and SQRT of a negative are NaN."""
    if code == op.LOG:
        for s in range(out.shape[0]):
            out[s] = math.log(x[s]) if x[s] > 0.0 else np.nan
    elif code == op.SQRT:
        for s in range(out.shape[0]):
            out[s] = math.sqrt(x[s]) if x[s] >= 0.0 else np.nan
    elif code == op.EXP:
        for s in range(out.shape[0]):
            out[s] = math.exp(x[s])
    elif code == op.POWER:
        for s in range(out.shape[0]):
            real = (x[s] > 0.0) | ((x[s] == 0.0) & (p > 0.0)) | ((x[s] < 0.0) & (p == math.floor(p)))
            out[s] = math.pow(x[s] if real else 1.0, p) if real else np.nan
    elif code == op.SIN or code == op.COS:
        wave(code, x, out)
    else:
        piecewise(code, x, p, q, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def wave(code: int, x: F8, out: F8) -> None:
    """SIN and COS."""
    for s in range(out.shape[0]):
        out[s] = math.sin(x[s]) if code == op.SIN else math.cos(x[s])


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def piecewise(code: int, x: F8, p: float, q: float, out: F8) -> None:
    """ABS, SIGN, AFFINE and CLIP."""
    if code == op.ABS:
        for s in range(out.shape[0]):
            out[s] = math.fabs(x[s])
    elif code == op.AFFINE:
        for s in range(out.shape[0]):
            out[s] = p * x[s] + q
    elif code == op.SIGN:
        for s in range(out.shape[0]):
            out[s] = (1.0 if x[s] > 0.0 else (-1.0 if x[s] < 0.0 else 0.0)) + x[s] * 0.0
    elif code == op.CLIP:
        for s in range(out.shape[0]):
            low = p if x[s] < p else x[s]
            out[s] = q if low > q else low


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def two_operands(code: int, x: F8, y: F8, p: float, out: F8) -> None:
    """DIV by zero gives p; GREATER and EQUAL are 1.0 or 0.0; MAX and MIN of a NaN are NaN; GIVEN and WHEN leave values out."""
    if code == op.ADD:
        for s in range(out.shape[0]):
            out[s] = x[s] + y[s]
    elif code == op.SUB:
        for s in range(out.shape[0]):
            out[s] = x[s] - y[s]
    elif code == op.MUL:
        for s in range(out.shape[0]):
            out[s] = x[s] * y[s]
    elif code == op.DIV:
        for s in range(out.shape[0]):
            quotient = x[s] / y[s] if y[s] != 0.0 else p
            out[s] = quotient if x[s] == x[s] else np.nan
    elif code == op.GIVEN or code == op.WHEN:
        leave_out(code, x, y, out)
    else:
        compare(code, x, y, out)


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def leave_out(code: int, x: F8, y: F8, out: F8) -> None:
    """GIVEN: x where y is an observation. WHEN: y where x > 0."""
    for s in range(out.shape[0]):
        value, keep = (x[s], y[s] == y[s]) if code == op.GIVEN else (y[s], x[s] > 0.0)
        out[s] = value if keep else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def compare(code: int, x: F8, y: F8, out: F8) -> None:
    """The larger, the smaller, whether x > y or x == y; NaN if either is NaN."""
    if code == op.MAX:
        for s in range(out.shape[0]):
            out[s] = (x[s] if x[s] > y[s] else y[s]) + (x[s] + y[s]) * 0.0
    elif code == op.MIN:
        for s in range(out.shape[0]):
            out[s] = (x[s] if x[s] < y[s] else y[s]) + (x[s] + y[s]) * 0.0
    elif code == op.GREATER:
        for s in range(out.shape[0]):
            out[s] = (1.0 if x[s] > y[s] else 0.0) + (x[s] + y[s]) * 0.0
    elif code == op.EQUAL:
        for s in range(out.shape[0]):
            out[s] = (1.0 if x[s] == y[s] else 0.0) + (x[s] + y[s]) * 0.0


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def where(condition: F8, x: F8, y: F8, out: F8) -> None:
    """``x`` where condition > 0, else ``y``; NaN where the condition is. The branch not taken may be NaN."""
    for s in range(out.shape[0]):
        yes, no = x[s], y[s]
        chosen = yes if condition[s] > 0.0 else no
        out[s] = chosen if condition[s] == condition[s] else np.nan
