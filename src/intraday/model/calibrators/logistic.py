"""Logistic regression of a few columns by Newton's method: what beta calibration and the calibration slope are made of."""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import F8

_STEPS, _ENOUGH = 50, 1e-10  # Newton converges in fewer than ten; the gain in mean log-likelihood below which it is there
_RIDGE = 1e-9  # of the mean curvature: a column without spread gets coefficient 0 instead of a singular matrix


def fit_logistic(columns: F8, hit: F8) -> F8:
    """Coefficients float64 [k] of the most likely ``P(hit) = 1 / (1 + exp(-columns @ w))``; zeros without rows.

    ``columns`` float64 [n, k] with a column of ones where an intercept is wanted, ``hit`` float64 [n] of 0 and 1.
    Steps are halved while they make it worse, so separable rows end at large finite coefficients.
    """
    w = np.zeros(columns.shape[1])
    if hit.size == 0:
        return w
    likely = log_likelihood(columns @ w, hit)
    for _ in range(_STEPS):
        step = _newton_step(columns, hit, w)
        better, gained = _halved(columns, hit, w, step, likely)
        if gained - likely < _ENOUGH:
            break
        w, likely = better, gained
    return w


def log_likelihood(score: F8, hit: F8) -> float:
    """Mean log-likelihood of 0/1 outcomes under log-odds ``score``, both float64 [n]."""
    return float((hit * score - np.logaddexp(0.0, score)).mean())


def sigmoid(score: F8) -> F8:
    """``1 / (1 + exp(-score))`` without overflow, element by element."""
    e = np.exp(-np.abs(score))
    out: F8 = np.where(score >= 0.0, 1.0, e) / (1.0 + e)
    return out


def _newton_step(columns: F8, hit: F8, w: F8) -> F8:
    p = sigmoid(columns @ w)
    n = hit.size
    gradient = columns.T @ (hit - p) / n
    curvature = (columns * (p * (1.0 - p))[:, None]).T @ columns / n
    ridge = _RIDGE * max(float(np.trace(curvature)), 1e-300) * np.eye(w.size)
    return np.asarray(np.linalg.solve(curvature + ridge, gradient), dtype=np.float64)


def _halved(columns: F8, hit: F8, w: F8, step: F8, likely: float) -> tuple[F8, float]:
    for _ in range(30):
        trial = w + step
        found = log_likelihood(columns @ trial, hit)
        if found >= likely:
            return trial, found
        step = step / 2.0
    return w, likely
