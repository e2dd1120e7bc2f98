"""Primitives whose state is one or a few numbers an instrument. A NaN input is no observation: state stays, output is NaN.

All vectors are [S].
"""

import math

import numba as nb
import numpy as np

from intraday.core.kernels.types import BARE, F8


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def previous(x: F8, last: F8, out: F8) -> None:
    """The observation before this one."""
    for s in range(out.shape[0]):
        seen, held = x[s] == x[s], last[s]
        out[s] = held if seen else np.nan
        last[s] = x[s] if seen else held


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def ema(x: F8, period: float, alpha: float, value: F8, count: F8, out: F8) -> None:
    """Exponential mean seeded with the plain mean of the first ``period`` observations; NaN before it.

    alpha 2/(period+1) is the usual EMA, 1/period is Wilder's smoothing. Source: TA-Lib, "EMA", unstable period 0.
    """
    cold = 0
    for s in range(out.shape[0]):
        cold += 1 if count[s] < period else 0
    if cold == 0:  # nearly always, and without a division
        for s in range(out.shape[0]):
            seen, held = x[s] == x[s], value[s]
            grown = held + (x[s] - held) * alpha
            value[s] = grown if seen else held
            out[s] = grown if seen else np.nan
        return
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        n = count[s]
        weight = alpha if n >= period else 1.0 / (n + 1.0)
        value[s] = value[s] + (x[s] - value[s]) * weight if seen else value[s]
        n = n + (1.0 if seen & (n < period) else 0.0)
        count[s] = n
        out[s] = value[s] if (seen & (n >= period)) else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def ewvar(x: F8, least: float, alpha: float, mean: F8, var: F8, count: F8, out: F8) -> None:
    """Exponentially weighted variance about the weighted mean, weight max(alpha, 1/n); NaN before ``least`` observations.

    Source: West (1979), "Updating mean and variance estimates", CACM 22(9), with exponential weights.
    """
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        n = count[s] + (1.0 if seen else 0.0)
        share = 1.0 / (n if n > 1.0 else 1.0)
        weight = share if share > alpha else alpha
        delta = x[s] - mean[s]
        mean[s] = mean[s] + weight * delta if seen else mean[s]
        var[s] = (1.0 - weight) * (var[s] + weight * delta * delta) if seen else var[s]
        count[s] = n
        out[s] = var[s] if (seen & (n >= least)) else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def hold(x: F8, present: F8, last: F8, out: F8) -> None:
    """The last observation of ``x``, wherever ``present`` is not NaN."""
    for s in range(out.shape[0]):
        held = last[s]
        held = x[s] if x[s] == x[s] else held
        last[s] = held
        out[s] = held if present[s] == present[s] else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def running_sum(x: F8, total: F8, lost: F8, out: F8) -> None:
    """Sum of every observation. Source: Neumaier (1974), "Rundungsfehleranalyse einiger Verfahren zur Summation", ZAMM 54."""
    for s in range(out.shape[0]):
        seen = x[s] == x[s]
        grown = total[s] + x[s]
        small = (total[s] - grown) + x[s] if math.fabs(total[s]) >= math.fabs(x[s]) else (x[s] - grown) + total[s]
        lost[s] = lost[s] + small if seen else lost[s]
        total[s] = grown if seen else total[s]
        out[s] = total[s] + lost[s] if seen else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def bars_since(condition: F8, count: F8, out: F8) -> None:
    """Observations since condition > 0; NaN before the first time."""
    for s in range(out.shape[0]):
        seen = condition[s] == condition[s]
        n = 0.0 if condition[s] > 0.0 else count[s] + 1.0
        count[s] = n if seen else count[s]
        out[s] = n if seen else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def adaptive(x: F8, before: F8, weight: F8, value: F8, out: F8) -> None:
    """Exponential mean with a weight of its own at each observation, begun at the observation before the first weight.

    Source: TA-Lib, "KAMA".
    """
    for s in range(out.shape[0]):
        seen = weight[s] == weight[s]
        known = value[s] if value[s] == value[s] else before[s]
        known = known + (x[s] - known) * weight[s]
        value[s] = known if seen else value[s]
        out[s] = known if seen else np.nan


@nb.njit(cache=True, nogil=True, error_model="numpy", **BARE)
def read_where(present: F8, value: F8, out: F8) -> None:
    """``value`` where ``present`` is an observation."""
    for s in range(out.shape[0]):
        held = value[s]
        out[s] = held if present[s] == present[s] else np.nan
