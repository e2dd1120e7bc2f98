"""Multinomial logistic regression of standardised features: the baseline that says whether trees are needed at all.

Fitted on at most MOST_ROWS rows of the fit window, spread evenly over its sessions, so that memory does not grow with the history;
medians that stand in for missing values, means and deviations come from these rows alone. How strongly coefficients are held back
is chosen on the early-stop rows, as the rounds of boosting are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import F4, F8, I8
from intraday.model.boosting import CHUNK, Weighed

MOST_ROWS = 20_000
FAR = 5.0  # standard deviations beyond which a feature's value counts as that far
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1.0)  # of scikit-learn (C): the strongest hold on squared coefficients first
_ROUNDS = 100  # of L-BFGS for each; each begins where the last one ended, and a fit that is not quite there yet forecasts no worse


@dataclass(frozen=True, slots=True)
class Scaling:
    """Medians, means and deviations float64 [F] of the rows fitted on; a feature without spread has deviation inf: always 0."""

    middle: F8
    mean: F8
    deviation: F8

    @classmethod
    def of(cls, x: F4) -> Scaling:
        """Of float32 [n, F]; what is not finite is missing. A feature that is always missing counts as 0."""
        found = np.where(np.isfinite(x), x, np.nan).astype(np.float64)
        middle = np.zeros(x.shape[1])
        there = np.isfinite(found).any(axis=0)
        middle[there] = np.nanmedian(found[:, there], axis=0)
        filled = np.where(np.isnan(found), middle, found)
        mean, deviation = filled.mean(axis=0), filled.std(axis=0)
        return cls(middle, mean, np.where(deviation > 1e-9 * np.abs(mean), deviation, np.inf))

    def apply(self, x: F4) -> F8:
        """Standardised float64 [n, F], without missing values, within ``FAR``."""
        filled = np.where(np.isfinite(x), x, self.middle)
        return np.asarray(np.clip((filled - self.mean) / self.deviation, -FAR, FAR), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Linear:
    """Scores ``apply(x) @ weights + intercept`` of the classes down, hold, up: ``weights`` float64 [F, 3], ``intercept`` [3]."""

    scaling: Scaling
    weights: F8
    intercept: F8
    penalty: float

    def raw(self, x: F4, at: I8) -> F8:
        """Raw scores float64 [len(at), 3] of the rows ``at``, a chunk at a time, on one thread: the same rows, the same bits."""
        from threadpoolctl import threadpool_limits  # loaded where it is used: most commands need none of it

        out = np.empty((len(at), 3))
        with threadpool_limits(limits=1):
            for k in range(0, len(at), CHUNK):
                out[k : k + CHUNK] = self.scaling.apply(x[at[k : k + CHUNK]]) @ self.weights + self.intercept
        return out


def fit_linear(x: F4, fit: Weighed, stop: Weighed) -> Linear | None:
    """Fit on the rows ``fit`` of float32 ``x`` [n, F], choose the penalty on the rows ``stop``; None where a class has no row.

    Runs on one thread, so that the same rows give the same bits.
    """
    from threadpoolctl import threadpool_limits  # loaded where it is used: most commands need none of it

    if np.unique(fit.label).size < 3:
        return None
    scaling = Scaling.of(x[fit.at])
    with threadpool_limits(limits=1):
        own, later = scaling.apply(x[fit.at]), scaling.apply(x[stop.at])
        best, least = None, np.inf
        for penalty, weights, intercept in _path(own, fit):
            loss = _loss(later @ weights + intercept, stop)
            if loss >= least:  # from here on it only learns the fit rows by heart
                break
            best, least = Linear(scaling, weights, intercept, penalty), loss
    return best


def _path(own: F8, fit: Weighed) -> Iterator[tuple[float, F8, F8]]:
    """Each penalty with its coefficients and intercepts, the strongest hold first."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # loaded where it is used: most commands need none of it

    model = LogisticRegression(max_iter=_ROUNDS, tol=1e-4, warm_start=True)
    for penalty in PENALTIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # see _ROUNDS
            model.set_params(C=penalty).fit(own, fit.label, fit.weight)
        yield penalty, np.ascontiguousarray(model.coef_.T), np.asarray(model.intercept_, dtype=np.float64).copy()


def _loss(scores: F8, rows: Weighed) -> float:
    """Weighted mean log-loss."""
    said = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    losses = -said[np.arange(len(rows)), rows.label.astype(np.int64) + 1]
    return float(np.average(losses, weights=rows.weight))
