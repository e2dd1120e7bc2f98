"""Resampling of whole sessions in blocks of random length: the stationary bootstrap, its block length, studentised intervals.

Politis & Romano 1994, "The stationary bootstrap"; Politis & White 2004 with the correction of Patton, Politis & White 2009,
"Automatic block-length selection for the dependent bootstrap". Intervals are bootstrap-t (Efron & Tibshirani 1993, section 12.5),
studentised by the standard error that the stationary bootstrap itself implies at that block length.
"""

from __future__ import annotations

import math

import numpy as np

from intraday.domain.arrays import F8, I8
from intraday.model.metrics import Interval

DRAWS = 2000


def block_length(values: F8) -> float:
    """Mean block length that suits ``values`` float64 [T], between 1 and ceil(min(3 sqrt T, T / 3)); 1 without spread or T < 10.

    Patton, Politis & White 2009, for the stationary bootstrap: (2 G^2 / D)^(1/3) T^(1/3) with the flat-top lag window.
    """
    n = values.size
    if n < 10 or np.ptp(values) == 0.0:
        return 1.0
    off = values - values.mean()
    band = max(5, int(math.log10(n)))
    lags = math.ceil(math.sqrt(n)) + band
    cov = np.array([off[k:] @ off[: n - k] for k in range(lags + 1)]) / n
    m = min(2 * _first_quiet(cov[1:] / cov[0], 2.0 * math.sqrt(math.log10(n) / n), band), lags)
    k = np.arange(1, m + 1)
    window = np.where(k / m <= 0.5, 1.0, 2.0 * (1.0 - k / m))
    long_run = cov[0] + 2.0 * float(window @ cov[1 : m + 1])
    g = 2.0 * float(window @ (k * cov[1 : m + 1]))
    if long_run == 0.0:
        return 1.0
    best = (2.0 * g**2 / (2.0 * long_run**2)) ** (1.0 / 3.0) * n ** (1.0 / 3.0)
    return float(max(1.0, min(best, math.ceil(min(3.0 * math.sqrt(n), n / 3.0)))))


def stationary_indices(n: int, block: float, draws: int, rng: np.random.Generator) -> I8:
    """Row numbers [draws, n]: blocks start anywhere, run on (round the end), and end after each row with chance 1 / ``block``."""
    assert n > 0 and block >= 1.0, (n, block)
    new = rng.random((draws, n)) < 1.0 / block
    new[:, 0] = True
    start = rng.integers(0, n, size=(draws, n))
    at = np.maximum.accumulate(np.where(new, np.arange(n), 0), axis=1)  # position of the block's first row
    out: I8 = (np.take_along_axis(start, at, axis=1) + np.arange(n) - at) % n
    return out


def bootstrap_error(values: F8, block: float) -> F8:
    """Standard error of the mean that the stationary bootstrap implies, over the last axis [..., T].

    Politis & Romano 1994, lemma 1: sqrt((R0 + 2 sum b_k R_k) / T), b_k = (1 - k/T) q^k + (k/T) q^(T-k), q = 1 - 1/block. Since
    b_k = b_(T-k), that is the sum of b_k times the circular autocovariances: a weighted sum of the periodogram.
    """
    n = values.shape[-1]
    off = values - values.mean(axis=-1, keepdims=True)
    if block <= 1.0:
        variance = np.mean(off**2, axis=-1)
    else:
        k, q = np.arange(n), 1.0 - 1.0 / block
        weight = np.fft.rfft((1.0 - k / n) * q**k + (k / n) * q ** (n - k)).real
        weight[1 : (n + 1) // 2] *= 2.0  # each stands for its conjugate too
        variance = np.maximum(np.square(np.abs(np.fft.rfft(off, axis=-1))) @ weight, 0.0) / n**2
    out: F8 = np.sqrt(variance / n)
    return out


def mean_interval(
    values: F8, rng: np.random.Generator, block: float | None = None, level: float = 0.95, draws: int = DRAWS
) -> Interval:
    """Mean of ``values`` float64 [T], one a session, and its interval; NaN bounds where T < 3 or without spread.

    ``block`` None chooses it.
    """
    if not _spread(values):
        return _unknown(values)
    length = block_length(values) if block is None else block
    sample = values[stationary_indices(values.size, length, draws, rng)]
    return _studentised(
        float(values.mean()), float(bootstrap_error(values, length)), sample.mean(axis=1), bootstrap_error(sample, length), level
    )


def sharpe_interval(
    values: F8, rng: np.random.Generator, block: float | None = None, level: float = 0.95, draws: int = DRAWS
) -> Interval:
    """Sharpe ratio of ``values`` float64 [T] (not annualised) and its interval; NaN bounds where T < 3 or without spread.

    Studentised with the error of the mean of the ratio's influence function, z - SR (z^2 - 1) / 2 with z = (x - mean) / sd.
    """
    if not _spread(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    length = block_length(values) if block is None else block
    ratio, error = _sharpe_and_error(values[None, :], length)
    some = stationary_indices(values.size, length, draws, rng)
    ratios, errors = _sharpe_and_error(values[some], length)
    return _studentised(float(ratio[0]), float(error[0]), ratios, errors, level)


def _sharpe_and_error(sample: F8, block: float) -> tuple[F8, F8]:
    """Ratio and its standard error of each row; NaN in rows without spread."""
    mean, sd = sample.mean(axis=1, keepdims=True), sample.std(axis=1, ddof=1, keepdims=True)
    sd = np.where(sd > 1e-12 * np.abs(sample).max(axis=1, keepdims=True), sd, np.nan)
    ratio, z = mean / sd, (sample - mean) / sd
    return ratio[:, 0], bootstrap_error(z - 0.5 * ratio * (z**2 - 1.0), block)


def _studentised(estimate: float, error: float, estimates: F8, errors: F8, level: float) -> Interval:
    if not error > 0.0:
        return Interval(estimate, float("nan"), float("nan"))
    with np.errstate(invalid="ignore"):
        usable = errors > 1e-9 * error
    t = (estimates[usable] - estimate) / errors[usable]
    if t.size < 100:  # hardly a resample has any spread
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(t, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    return Interval(estimate, estimate - float(high) * error, estimate - float(low) * error)


def _spread(values: F8) -> bool:
    return bool(values.size >= 3 and float(values.std()) > 1e-12 * float(np.abs(values).max()))


def _unknown(values: F8) -> Interval:
    return Interval(float(values.mean()) if values.size else float("nan"), float("nan"), float("nan"))


def _first_quiet(correlation: F8, bound: float, band: int) -> int:
    """First lag (from 1) of the first ``band`` lags in a row that are all small; beyond the last lag where there is no such row."""
    loud = np.abs(correlation) >= bound
    for k in range(correlation.size - band + 1):
        if not loud[k : k + band].any():
            return k + 1
    return correlation.size + 1
