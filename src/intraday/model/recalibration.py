"""Calibration slope and intercept: the logistic regression of what happened on what was said, with intervals over sessions.

Of one class: ``logit P(it happens) = intercept + slope * logit(forecast)``; of the three together: scores
``a_c + slope * log p_c`` in a softmax. 0 and 1 are perfect; a slope below 1 says forecasts are too extreme. Source: Cox 1958, "Two
further applications of a model for binary regression", Biometrika 45; for classes Van Hoorde et al. 2014, Statistics in Medicine
33(15).
Draws move the fitted coefficients by one Newton step (Davidson & MacKinnon 1999, International Economic Review 40(2)), which takes
sums of gradients and curvatures by session instead of a regression a draw.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F8
from intraday.model.blocks import NOTHING, Blocks
from intraday.model.calibration import softmax
from intraday.model.calibrators.logistic import fit_logistic, sigmoid
from intraday.model.metrics import Interval

_TINY = 1e-9  # forecasts are kept this far from 0 and 1 before logarithms
_SPREAD = 1e-4  # standard deviation of the log-odds below which a forecast says the same everywhere and has no slope
_STEPS, _ENOUGH = 50, 1e-9


class Line(NamedTuple):
    """``slope`` and ``intercept`` with their intervals; NaN where forecasts hardly differ or an outcome never came."""

    slope: Interval
    intercept: Interval


def class_line(p: F8, hit: F8, blocks: Blocks) -> Line:
    """Of one class: forecasts float64 [n] and outcomes float64 [n] of 0 and 1."""
    inside = np.clip(p, _TINY, 1.0 - _TINY)
    odds = np.log(inside) - np.log1p(-inside)
    if odds.std() < _SPREAD or hit.min() == hit.max():
        return Line(NOTHING, NOTHING)
    columns = np.column_stack([odds, np.ones(p.size)])
    w = fit_logistic(columns, hit)
    q = sigmoid(columns @ w)
    found = _one_step(w, columns * (hit - q)[:, None], _outer(columns) * (q * (1.0 - q))[:, None, None], blocks)
    return Line(blocks.interval(found[:, 0]), blocks.interval(found[:, 1]))


def joint_slope(p: F8, label: NDArray[np.int8], blocks: Blocks) -> Interval:
    """Of the three classes together: probabilities float64 [n, 3], labels [n]."""
    said = np.log(np.clip(p, _TINY, 1.0))
    if (said[:, [0, 2]] - said[:, [1]]).std(axis=0).max() < _SPREAD or np.unique(label).size < 3:
        return NOTHING
    hit = np.eye(3)[label.astype(np.int64) + 1]
    w = np.array([1.0, 0.0, 0.0])
    for _ in range(_STEPS):
        gradient, curvature = _multinomial(said, hit, w)
        step = np.linalg.solve(curvature.mean(axis=0), gradient.mean(axis=0))
        w = w + step
        if float(np.abs(step).max()) < _ENOUGH:
            break
    else:
        return NOTHING
    gradient, curvature = _multinomial(said, hit, w)
    return blocks.interval(_one_step(w, gradient, curvature, blocks)[:, 0])


def _multinomial(said: F8, hit: F8, w: F8) -> tuple[F8, F8]:
    """Gradient [n, 3] and curvature [n, 3, 3] of each row's log-likelihood in (slope, intercept of down, intercept of up)."""
    q = softmax(w[0] * said + np.array([w[1], 0.0, w[2]]))
    missed = hit - q
    gradient = np.column_stack([(missed * said).sum(axis=1), missed[:, 0], missed[:, 2]])
    mean = (q * said).sum(axis=1)
    curvature = np.empty((len(q), 3, 3))
    curvature[:, 0, 0] = (q * said**2).sum(axis=1) - mean**2
    for row, k in ((1, 0), (2, 2)):
        curvature[:, 0, row] = curvature[:, row, 0] = q[:, k] * (said[:, k] - mean)
        curvature[:, row, row] = q[:, k] * (1.0 - q[:, k])
    curvature[:, 1, 2] = curvature[:, 2, 1] = -q[:, 0] * q[:, 2]
    return gradient, curvature


def _one_step(w: F8, gradient: F8, curvature: F8, blocks: Blocks) -> F8:
    """Coefficients of the sample and of each draw, [1 + draws, k]; of draws that have none, NaN."""
    k = w.size
    g = blocks.sums(gradient)
    h = blocks.sums(curvature.reshape(len(curvature), k * k)).reshape(-1, k, k)
    usable = np.linalg.cond(h) < 1e12
    out = np.full((len(g), k), np.nan)
    out[usable] = w + np.linalg.solve(h[usable], g[usable][:, :, None])[:, :, 0]
    return out


def _outer(columns: F8) -> F8:
    out: F8 = columns[:, :, None] * columns[:, None, :]
    return out
