"""The Sharpe ratio of one row a session, how sure it is, and how much of it the number of trials explains.

T is the number of sessions, sessions without a trade included; nothing is annualised. ``skew`` and ``kurtosis`` are the moment
ratios m3 / m2^1.5 and m4 / m2^2 with divisor T, so a normal distribution has kurtosis 3 (Pearson's, not the excess); the standard
deviation in the ratio has divisor T - 1. A path without spread, or with fewer than three sessions, says nothing: its ratio is NaN,
its probabilities are 0.5, its track record is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import F8

EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class SharpeRatio:
    """Mean over standard deviation of ``n`` rows, with the moments its standard error needs. ``value`` NaN: undefined."""

    value: float
    n: int
    skew: float = 0.0
    kurtosis: float = 3.0

    @property
    def defined(self) -> bool:
        """False for a path that says nothing."""
        return self.n >= 3 and math.isfinite(self.value)


def sharpe_ratio(values: F8) -> SharpeRatio:
    """Of ``values`` float64 [T], finite, one a session. NaN where they have no spread or T < 3."""
    n = int(values.size)
    if n < 3:
        return SharpeRatio(float("nan"), n)
    largest = float(np.abs(values).max())
    x = values / largest if largest > 0.0 else values  # so that no power of it under- or overflows
    off = x - x.mean()
    sd = math.sqrt(float(np.mean(off**2)))
    if sd <= 1e-12:  # what is left is rounding
        return SharpeRatio(float("nan"), n)
    z = off / sd
    return SharpeRatio(float(x.mean()) / sd * math.sqrt((n - 1) / n), n, float(np.mean(z**3)), float(np.mean(z**4)))


def standard_error(s: SharpeRatio) -> float:
    """Of the ratio, for independent rows of any shape; NaN if undefined.

    Bailey & Lopez de Prado 2012, "The Sharpe ratio efficient frontier", eq. 4 (after Mertens 2002), with their T - 1.
    """
    return math.sqrt(_shape(s) / (s.n - 1)) if s.defined else float("nan")


def standard_error_normal(s: SharpeRatio) -> float:
    """Of the ratio, for independent normal rows: sqrt((1 + SR^2 / 2) / T). Lo 2002, "The statistics of Sharpe ratios", eq. 9."""
    return math.sqrt((1.0 + 0.5 * s.value**2) / s.n) if s.defined else float("nan")


def probabilistic(s: SharpeRatio, benchmark: float = 0.0) -> float:
    """Probability that the true ratio lies above ``benchmark`` (per session): PSR. 0.5 where undefined.

    Bailey & Lopez de Prado 2012, eq. 9.
    """
    if not s.defined:
        return 0.5
    return _normal_cdf((s.value - benchmark) / standard_error(s))


def expected_maximum(n_trials: int, variance: float) -> float:
    """Largest Sharpe ratio to expect of ``n_trials`` without skill whose ratios have ``variance``: SR0. 0 for one trial.

    Bailey & Lopez de Prado 2014, "The deflated Sharpe ratio", eq. 1: sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), Z the normal
    quantile, g the Euler-Mascheroni constant.
    """
    assert n_trials >= 1 and variance >= 0.0, (n_trials, variance)
    if n_trials == 1:
        return 0.0
    first, second = normal_quantile(1.0 - 1.0 / n_trials), normal_quantile(1.0 - 1.0 / (n_trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def deflated(s: SharpeRatio, n_trials: int, variance: float) -> float:
    """PSR against the maximum expected of all trials: DSR. One trial: PSR(0). Bailey & Lopez de Prado 2014, eq. 2."""
    return probabilistic(s, expected_maximum(n_trials, variance))


def minimum_track_record(s: SharpeRatio, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Sessions needed before this ratio is above ``benchmark`` with ``confidence``; infinite where it is not above it at all.

    Bailey & Lopez de Prado 2012, eq. 11: 1 + (1 - g3 SR + (g4 - 1)/4 SR^2) (Z / (SR - SR*))^2.
    """
    if not s.defined or s.value <= benchmark:
        return math.inf
    return 1.0 + _shape(s) * (normal_quantile(confidence) / (s.value - benchmark)) ** 2


def normal_quantile(p: float) -> float:
    """Of the standard normal distribution, ``p`` strictly between 0 and 1."""
    from statistics import NormalDist  # loaded where it is used: most commands need none of it

    return NormalDist().inv_cdf(p)


def _shape(s: SharpeRatio) -> float:
    """1 - g3 SR + (g4 - 1)/4 SR^2. Never negative for moments of real rows, since g4 >= g3^2 + 1."""
    return 1.0 - s.skew * s.value + 0.25 * (s.kurtosis - 1.0) * s.value**2


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
