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
_SINGULAR = 1e12  # condition of a curvature beyond which it has no inverse worth the name


class Line(NamedTuple):
    """``slope`` and ``intercept`` with their intervals; NaN where forecasts hardly differ or an outcome never came."""

    slope: Interval
    intercept: Interval


def class_line(p: F8, hit: F8, blocks: Blocks) -> Line:
    """Of one class: forecasts float64 [n] and outcomes float64 [n] of 0 and 1."""
    odds = _log_odds(p)
    if odds.std() < _SPREAD or hit.min() == hit.max():
        return Line(NOTHING, NOTHING)
    w = fit_logistic(np.column_stack([odds, np.ones(p.size)]), hit)
    g, h = np.zeros((blocks.size, 2)), np.zeros((blocks.size, 4))
    for rows, part in blocks.chunks():
        columns = np.column_stack([odds[rows], np.ones(len(part.at))])
        q = sigmoid(columns @ w)
        g += part.per_session(columns * (hit[rows] - q)[:, None])
        h += part.per_session((columns[:, :, None] * columns[:, None, :]).reshape(-1, 4) * (q * (1.0 - q))[:, None])
    found = _one_step(w, g, h, blocks)
    return Line(blocks.interval(found[:, 0]), blocks.interval(found[:, 1]))


def joint_slope(p: F8, label: NDArray[np.int8], blocks: Blocks) -> Interval:
    """Of the three classes together: probabilities float64 [n, 3], labels [n]."""
    said = np.log(np.clip(p, _TINY, 1.0))
    spread = max(float((said[:, k] - said[:, 1]).std()) for k in (0, 2))
    if spread < _SPREAD or np.unique(label).size < 3:
        return NOTHING
    w = np.array([1.0, 0.0, 0.0])
    for _ in range(_STEPS):
        g, h = _joint_sums(said, label, w, blocks)
        curvature = h.sum(axis=0).reshape(3, 3)
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > _SINGULAR:
            return NOTHING  # forecasts that are never wrong: any larger slope is likelier still
        step = np.linalg.solve(curvature, g.sum(axis=0))
        if float(np.abs(step).max()) < _ENOUGH:
            return blocks.interval(_one_step(w, g, h, blocks)[:, 0])
        w = w + step
    return NOTHING


def _log_odds(p: F8) -> F8:
    inside = np.clip(p, _TINY, 1.0 - _TINY)
    return np.asarray(np.log(inside) - np.log1p(-inside), dtype=np.float64)


def _joint_sums(said: F8, label: NDArray[np.int8], w: F8, blocks: Blocks) -> tuple[F8, F8]:
    """Sums by session of gradient [S, 3] and curvature [S, 9] of the log-likelihood in (slope, intercept of down, of up)."""
    g, h = np.zeros((blocks.size, 3)), np.zeros((blocks.size, 9))
    for rows, part in blocks.chunks():
        gradient, curvature = _multinomial(said[rows], np.eye(3)[label[rows].astype(np.int64) + 1], w)
        g += part.per_session(gradient)
        h += part.per_session(curvature.reshape(-1, 9))
    return g, h


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
    """Coefficients of the sample and of each draw, [1 + draws, k], from sums by session [S, k], [S, k * k]; NaN without any."""
    k = w.size
    g, h = blocks.counts @ gradient, (blocks.counts @ curvature).reshape(-1, k, k)
    usable = np.linalg.cond(h) < _SINGULAR
    out = np.full((len(g), k), np.nan)
    out[usable] = w + np.linalg.solve(h[usable], g[usable][:, :, None])[:, :, 0]
    return out
