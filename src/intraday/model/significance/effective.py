"""How many independent observations a path, a list of trades or a set of trials is worth. Shown beside the counts."""

from __future__ import annotations

import math

import numpy as np

from intraday.domain.arrays import F8, I4
from intraday.model.significance.sharpe import sharpe_ratio


def newey_west_error(values: F8) -> float:
    """Standard error of the mean of ``values`` float64 [T] that allows for autocorrelation; NaN under three.

    Newey & West 1987 with Bartlett weights, floor(4 (T / 100)^(2/9)) lags (Newey & West 1994).
    """
    n = values.size
    if n < 3:
        return float("nan")
    off = values - values.mean()
    lags = int(4.0 * (n / 100.0) ** (2.0 / 9.0))
    variance = float(off @ off)
    variance += 2.0 * sum((1.0 - k / (lags + 1.0)) * float(off[k:] @ off[:-k]) for k in range(1, lags + 1))
    return math.sqrt(max(variance, 0.0)) / n


def sharpe_error_autocorrelated(values: F8) -> float:
    """Standard error of the Sharpe ratio of ``values`` float64 [T] that allows for any shape and for autocorrelation.

    Newey and West's error of the ratio's influence function z - SR (z^2 - 1) / 2 (Lo 2002, section "Non-IID returns"). NaN where
    the ratio is.
    """
    s = sharpe_ratio(values)
    if not s.defined:
        return float("nan")
    z = (values - values.mean()) / values.std(ddof=1)
    return newey_west_error(z - 0.5 * s.value * (z**2 - 1.0))


def effective_sessions(values: F8) -> float:
    """Independent sessions with the same standard error of the mean, at most T. T without spread, NaN under three sessions.

    T times the plain variance of the mean over Newey and West's.
    """
    n = values.size
    error = newey_west_error(values)
    if not error > 0.0:
        return error if math.isnan(error) else float(n)
    return min(float(n), n * (float(values.std()) / math.sqrt(n) / error) ** 2)


def effective_trades(net: F8, session: I4) -> float:
    """Independent trades with the same standard error of the mean trade, at most n; trades of one session may move together.

    ``net`` float64 [n] return of each trade, ``session`` int32 [n]. n times the plain variance of the mean over the one that takes
    the session as its cluster (Liang & Zeger 1986). n without spread, NaN under two sessions.
    """
    n = net.size
    groups, where = np.unique(session, return_inverse=True)
    if groups.size < 2:
        return float("nan")
    off = net - net.mean()
    between = float(np.square(np.bincount(where, weights=off)).sum()) * groups.size / (groups.size - 1)
    if not between > 0.0:
        return float(n)
    return min(float(n), n * float(off @ off) / between)


def effective_trials(paths: F8) -> float:
    """Independent trials that ``paths`` float64 [T, N] are worth: N / (1 + (N - 1) rho), rho their mean correlation (at least 0).

    N stays the count that deflates: the variance V of the trials' Sharpe ratios is already small where trials are alike, and both
    corrections at once would deflate too little. A path without spread counts as one of its own.
    """
    n = paths.shape[1]
    off = paths - paths.mean(axis=0)
    sd = np.sqrt(np.square(off).sum(axis=0))
    moving = sd > 1e-12 * np.abs(paths).max(initial=0.0) * math.sqrt(max(paths.shape[0], 1))
    k = int(moving.sum())
    if k < 2:
        return float(n)
    unit = off[:, moving] / sd[moving]
    rho = max(0.0, (float(np.square(unit.sum(axis=1)).sum()) - k) / (k * (k - 1.0)))
    return float(n - k + k / (1.0 + (k - 1.0) * rho))
