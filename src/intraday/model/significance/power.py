"""Would the test behind "edge" have seen an edge of a given size? Without that, "no edge" means nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from intraday.model.significance.sharpe import expected_maximum, normal_quantile


@dataclass(frozen=True, slots=True)
class Market:
    """What decides the power: ``sd`` of the daily net sum, ``trades`` a session, ``cost`` of one, all as ``DailyPath`` has them."""

    sd: float
    trades: float
    cost: float


def sharpe_of_edge(market: Market, multiple: float) -> float:
    """Net Sharpe ratio a session when a trade makes ``multiple`` times its cost gross; NaN without spread, trades or cost."""
    if not (market.sd > 0.0 and market.trades > 0.0 and market.cost > 0.0):
        return float("nan")
    return (multiple - 1.0) * market.cost * market.trades / market.sd


def power(sharpe: float, sessions: int, n_trials: int = 1, variance: float = 0.0, alpha: float = 0.05) -> float:
    """Probability that ``edge_test`` gives p <= ``alpha`` when the true ratio is ``sharpe`` a session, normal independent sessions.

    T SR^2 of a sample is non-central t: sqrt(T) SR ~ t'(T - 1, sqrt(T) sharpe). NaN in, NaN out; 0 where no sample could pass.
    """
    if not math.isfinite(sharpe):
        return float("nan")
    if sessions < 3:
        return 0.0
    from scipy.stats import nct  # loaded where it is used: most commands need none of it

    critical = _critical(sessions, expected_maximum(n_trials, variance), alpha)
    return float(nct.sf(critical * math.sqrt(sessions), sessions - 1, sharpe * math.sqrt(sessions)))


def _critical(n: int, benchmark: float, alpha: float) -> float:
    """Least sample ratio that passes both halves of ``edge_test`` (skew 0, kurtosis 3)."""
    from scipy.stats import t  # loaded where it is used: most commands need none of it

    student = benchmark + float(t.isf(alpha, n - 1)) / math.sqrt(n)
    z2 = normal_quantile(1.0 - alpha) ** 2
    a, b, c = n - 1 - 0.5 * z2, -2.0 * (n - 1) * benchmark, (n - 1) * benchmark**2 - z2  # z2 (1 + s^2 / 2) = (n - 1) (s - s0)^2
    if a <= 0.0:
        return math.inf
    return max(student, (-b + math.sqrt(b * b - 4.0 * a * c)) / (2.0 * a))
