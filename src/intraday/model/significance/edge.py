"""The one test behind the word "edge"."""

from __future__ import annotations

import math

import numpy as np

from intraday.domain.arrays import F8
from intraday.model.significance.sharpe import expected_maximum, sharpe_ratio, standard_error

PRETEST_Z = 1.2816  # one-sided 10 %: a first autocorrelation above it is corrected for


def edge_test(values: F8, n_trials: int = 1, variance: float = 0.0) -> float:
    """One-sided p-value of "the mean is not above what the best of ``n_trials`` without skill would show"; 0.5 says nothing.

    ``values`` float64 [T], one a session, zeros included; ``variance`` that of the trials' Sharpe ratios (not annualised). Below
    the benchmark Student's t; above it the larger of two p-values, so p <= 0.05 implies DSR >= 0.95:

    * 1 - DSR (one trial: 1 - PSR(0)), which allows for skewness and kurtosis;
    * Student's t of the same difference, which does not.

    PSR alone is too kind where sessions are idle or tails heavy (a chance outlier makes its own skewness and earns the credit for
    it), Student's alone where losses are rare and large. Both are divided by sqrt((1 + r) / (1 - r)) where the first
    autocorrelation r is above zero by a one-sided 10 % test. Simulated sizes are in docs/significance.md.
    """
    s = sharpe_ratio(values)
    if not s.defined:
        return 0.5
    from scipy.stats import norm, t  # loaded where it is used: most commands need none of it

    above = (s.value - expected_maximum(n_trials, variance)) / inflation(values)
    student = float(t.sf(above * math.sqrt(s.n), s.n - 1))
    return max(float(norm.sf(above / standard_error(s))), student) if above > 0.0 else student


def inflation(values: F8) -> float:
    """Factor by which autocorrelation widens the standard error, at least 1; 1 where the first one is not clearly above zero.

    ``values`` float64 [T] with some spread.
    """
    off = values - values.mean()
    off = off / np.abs(off).max()
    r = float(off[1:] @ off[:-1]) / float(off @ off) + 1.0 / values.size  # its mean without correlation is -1/T
    if r <= PRETEST_Z / math.sqrt(values.size):
        return 1.0
    r = min(r, 0.9)
    return math.sqrt((1.0 + r) / (1.0 - r))
