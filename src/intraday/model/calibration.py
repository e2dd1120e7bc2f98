"""Probabilities from raw scores, by a map fitted on earlier out-of-sample predictions.

``temperature``: ``p = softmax(log_prior + (score - log_prior) / temperature)``. Guo et al. 2017 ("On Calibration of Modern Neural
Networks") divide the scores themselves, which pulls an overconfident model towards equal classes; here it is pulled towards the
class frequencies of its own training window, which is what a model that knows nothing should say. ``temperatures`` has one for what
speaks of the size of a move (hold against the mean of down and up) and one for its direction (up against down), which is
matrix scaling (Guo et al. 2017, section 4.2) with two parameters: a model that knows how much prices will move tends to be as sure
of where to, which it does not know. ``beta`` and ``isotonic`` map each class's probability on its own, one against the rest, and
normalise (Zadrozny & Elkan 2002; ``calibrators/maps.py``).
``fit_calibrator`` chooses among them by log-loss on the later sessions of the past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F8, I4
from intraday.model.calibrators.maps import ClassMap, fit_beta, fit_isotonic, map_from_dict, map_to_dict
from intraday.model.sampling import spread_over_sessions

LEAST, MOST = 0.5, 20.0  # bounds of the temperature; at 20 the forecast is the prior for all practical purposes
VALIDATION = 3  # one session in so many of the past, the latest, is what methods are compared on
MIN_SESSIONS = 9  # of the past, below which nothing is compared: 3 sessions choose nothing
MOST_ROWS = 200_000  # that are fitted on, evenly of all sessions: more rows of them tell nothing new
MIN_ROWS_BETA, MIN_HITS_BETA = 2_000, 100  # rows, and rows of the rarest class, below which beta is not tried
MIN_ROWS_ISOTONIC, MIN_HITS_ISOTONIC = 20_000, 2_000  # Niculescu-Mizil & Caruana 2005 ask 1 000; labels overlap ten- to twentyfold


class Method(StrEnum):
    """Ways to calibrate, the simplest first."""

    IDENTITY = "identity"
    TEMPERATURE = "temperature"
    TEMPERATURES = "temperatures"
    BETA = "beta"
    ISOTONIC = "isotonic"


METHODS = tuple(Method)
USUAL = (Method.TEMPERATURES, Method.TEMPERATURE)  # the first of them that may be used is, unless another is clearly better


@dataclass(frozen=True, slots=True)
class Calibrator:
    """``temperature`` 1 changes nothing; ``log_prior`` are log class frequencies (down, hold, up) of the training rows.

    ``direction``: the temperature of up against down; None: the same one. ``maps`` of the three classes, for beta and isotonic
    alone: applied after the temperature, which is then 1.
    """

    temperature: float
    log_prior: tuple[float, float, float]
    method: Method = Method.TEMPERATURE
    maps: tuple[ClassMap, ClassMap, ClassMap] | None = None
    direction: float | None = None

    def apply(self, raw: F8) -> F8:
        """Probabilities [n, 3] from raw scores [n, 3]. A row's result does not depend on the other rows, bit for bit."""
        return self.apply_margin(raw - np.asarray(self.log_prior))

    def apply_margin(self, margin: F8) -> F8:
        """Probabilities [n, 3] from scores less the log prior of the window their model was trained on.

        Margins of earlier folds' models become what this fold would have said, so thresholds found on them apply to it.
        """
        return _said(self, margin, np.asarray(self.log_prior))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ``from_dict`` gives an equal calibrator back."""
        maps = None if self.maps is None else [map_to_dict(one) for one in self.maps]
        return {
            "method": str(self.method),
            "temperature": self.temperature,
            "direction": self.direction,
            "log_prior": list(self.log_prior),
            "maps": maps,
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Calibrator:
        """Back from ``to_dict``. Raises KeyError, TypeError or ValueError for what no calibrator says."""
        method, temperature = Method(told["method"]), float(told["temperature"])
        direction = None if told["direction"] is None else float(told["direction"])
        down, hold, up = (float(v) for v in told["log_prior"])
        if not (
            np.isfinite([down, hold, up]).all() and 0.0 < temperature < np.inf and (direction is None or 0.0 < direction < np.inf)
        ):
            raise ValueError(
                f"expected finite log priors and positive temperatures, found {told['log_prior']}, {temperature}, {direction}"
            )
        maps = None
        if told["maps"] is not None:
            first, second, third = (map_from_dict(one) for one in told["maps"])
            maps = (first, second, third)
        return cls(temperature, (down, hold, up), method, maps, direction)


def fit_calibrator(
    margin: F8,
    seen_prior: F8,
    label: NDArray[np.int8],
    session: I4,
    log_prior: tuple[float, float, float],
    methods: Sequence[Method] = METHODS,
) -> Calibrator:
    """The method that suited the latest sessions of the past (``chosen``), fitted again on all of the past.

    All arrays are out-of-sample predictions that lie before whatever the result is used on: ``margin`` float64 [n, 3] raw scores
    less the log prior of the window their model was trained on, that prior ``seen_prior`` [n, 3] or [3], ``label`` [n] and
    ``session`` [n], ascending; labels must end with it. ``log_prior``: of the window of the model that the result belongs to.
    A method that has too few rows becomes the identity; without rows: temperatures of 1. Of more than MOST_ROWS a sample is used.
    """
    at = spread_over_sessions(session, MOST_ROWS)
    prior = np.broadcast_to(seen_prior, margin.shape)[at]
    margin, label, session = margin[at], label[at], session[at]
    method = chosen(validation_losses(margin, prior, label, session, methods), methods)
    if not allowed(method, label):
        method = Method.IDENTITY
    return replace(_fit(method, margin, prior, label, session), log_prior=log_prior)


def chosen(losses: Mapping[Method, F8], methods: Sequence[Method]) -> Method:
    """The usual method, or the one with the least mean loss where that is less by more than a standard error.

    Usual is the first of USUAL among ``methods``, else their first. ``losses`` by method, float64 [sessions] each, are compared
    session by session. Source: the one-standard-error rule of Breiman et al. 1984, section 3.4.3.
    """
    usual = next((method for method in USUAL if method in methods), methods[0])
    if not losses:
        return usual
    best = min(losses, key=lambda method: float(losses[method].mean()))
    if usual not in losses:
        return best
    worse = losses[usual] - losses[best]
    return best if float(worse.mean()) > float(worse.std(ddof=1)) / worse.size**0.5 else usual


def validation_losses(
    margin: F8, seen_prior: F8, label: NDArray[np.int8], session: I4, methods: Sequence[Method] = METHODS
) -> dict[Method, F8]:
    """Mean log-loss of each method in each of the latest third of the sessions, fitted on the sessions before; arguments as above.

    In order of ``Method``; empty where sessions are fewer than MIN_SESSIONS. A method that has too few rows is left out.
    """
    sessions = np.unique(session)
    if sessions.size < MIN_SESSIONS:
        return {}
    last = sessions[sessions.size - sessions.size // VALIDATION :]
    later = session >= last[0]
    at = np.searchsorted(last, session[later])
    out: dict[Method, F8] = {}
    for method in (m for m in METHODS if m in methods and allowed(m, label[~later])):
        fitted = _fit(method, margin[~later], seen_prior[~later], label[~later], session[~later])
        losses = _losses(_said(fitted, margin[later], seen_prior[later]), label[later])
        out[method] = np.bincount(at, losses) / np.bincount(at)
    return out


def allowed(method: Method, label: NDArray[np.int8]) -> bool:
    """Whether there are rows enough to fit a method."""
    rows, rarest = label.size, int(np.bincount(label.astype(np.int64) + 1, minlength=3).min())
    if method is Method.BETA:
        return rows >= MIN_ROWS_BETA and rarest >= MIN_HITS_BETA
    if method is Method.ISOTONIC:
        return rows >= MIN_ROWS_ISOTONIC and rarest >= MIN_HITS_ISOTONIC
    return True


def prior_shift(raw: F8, log_weights: F8 | tuple[float, float, float]) -> F8:
    """Raw scores [n, 3] of a model trained with class weights, as one trained without would say them.

    Weights ``w`` make a model learn ``p_w(c | x)`` in proportion to ``w_c p(c | x)``; so ``score - log w`` are the scores of
    ``p(c | x)``, up to a constant that softmax does not see. Exact where a row's weight depends on its class alone. Source: Elkan
    2001, "The foundations of cost-sensitive learning", theorem 2; Saerens, Latinne & Decaestecker 2002, equation 2.4.
    ``log_weights`` [3] (down, hold, up): ``class_log_weights`` of the rows that the model was fitted on.
    """
    out: F8 = raw - np.asarray(log_weights, dtype=np.float64)
    return out


def class_log_weights(label: NDArray[np.int8], weight: F8 | None) -> tuple[float, float, float]:
    """Log of each class's mean weight over all rows' mean weight (down, hold, up); 0 for a class without rows, or without weights.

    Whatever the weights are for: balanced classes, but uniqueness too, which is larger for labels that end early and so favours
    the two classes that reach a barrier.
    """
    if weight is None or label.size == 0:
        return 0.0, 0.0, 0.0
    column = label.astype(np.int64) + 1
    count, total = np.bincount(column, minlength=3), np.bincount(column, weights=weight, minlength=3)
    mean = np.divide(total, count, out=np.ones(3), where=(count > 0) & (total > 0.0)) / float(weight.mean())
    down, hold, up = np.where((count > 0) & (total > 0.0), np.log(mean), 0.0).tolist()
    return down, hold, up


def scaled(margin: F8, log_prior: F8, temperature: float, direction: float | None = None) -> F8:
    """Scores whose distance from the prior is divided by the temperature; that of up against down by ``direction``, if given."""
    if direction is None:
        out: F8 = log_prior + margin / temperature
        return out
    size, side = _parts(margin)
    return np.asarray(log_prior + size / temperature + side / direction, dtype=np.float64)


def softmax(scores: F8) -> F8:
    """Probabilities from scores [n, 3]; columns are added one after the other so that every row sees the same arithmetic."""
    top = np.maximum(np.maximum(scores[:, 0], scores[:, 1]), scores[:, 2])
    return _normalised(np.exp(np.ascontiguousarray(scores - top[:, None])))


def log_prior_of(label: NDArray[np.int8]) -> tuple[float, float, float]:
    """Log class frequencies of labels -1, 0, 1, with one pseudo-count each so that an absent class keeps a chance."""
    counts = np.bincount(label.astype(np.int64) + 1, minlength=3) + 1.0
    down, hold, up = np.log(counts / counts.sum())
    return float(down), float(hold), float(up)


def fit_temperature(margin: F8, log_prior: F8, label: NDArray[np.int8]) -> float:
    """The temperature with the least log-loss; 1.0 without rows.

    ``margin`` [n, 3] raw scores less the log prior of the window they were trained on, ``log_prior`` [n, 3] or [3], ``label`` [n].
    """
    if label.size == 0:
        return 1.0

    def loss(log_t: float) -> float:
        return _loss(softmax(scaled(margin, log_prior, float(np.exp(log_t)))), label)

    from scipy.optimize import minimize_scalar  # loaded where it is used: most commands need none of it

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def fit_temperatures(margin: F8, log_prior: F8, label: NDArray[np.int8], session: I4 | None = None) -> tuple[float, float]:
    """The temperatures of size and of direction with the least log-loss; arguments as ``fit_temperature``'s. 1.0 without rows.

    With ``session`` [n] each slope (1 / temperature) is pulled towards 1, that changes nothing, by as much as sessions are too
    few to tell it from 1: ``1 + (slope - 1) (1 - (error / (slope - 1))^2)``, never beyond 1, with the standard error that lets
    rows of one session go together. Source: the positive-part rule of James & Stein 1961.
    """
    if label.size == 0:
        return 1.0, 1.0
    size, side = _parts(margin)
    hit = np.eye(3)[label.astype(np.int64) + 1]

    def loss(inverse: F8) -> tuple[float, F8]:
        p = softmax(log_prior + inverse[0] * size + inverse[1] * side)
        missed = (p - hit) / label.size
        return _loss(p, label), np.array([float((missed * size).sum()), float((missed * side).sum())])

    from scipy.optimize import minimize  # loaded where it is used: most commands need none of it

    found = minimize(loss, np.ones(2), jac=True, method="L-BFGS-B", bounds=[(1.0 / MOST, 1.0 / LEAST)] * 2, tol=1e-10)
    slopes: F8 = found.x
    if session is not None:
        slopes = _pulled(slopes, _slope_errors(softmax(log_prior + slopes[0] * size + slopes[1] * side), hit, size, side, session))
    return float(1.0 / slopes[0]), float(1.0 / slopes[1])


def _pulled(slopes: F8, errors: F8) -> F8:
    """Slopes [2] nearer to 1, by their standard errors [2]."""
    away = slopes - 1.0
    kept = np.maximum(0.0, 1.0 - np.divide(errors, np.abs(away), out=np.ones(2), where=away != 0.0) ** 2)
    return np.asarray(1.0 + kept * away, dtype=np.float64)


def _slope_errors(p: F8, hit: F8, size: F8, side: F8, session: I4) -> F8:
    """Standard errors [2] of the slopes of both parts [n, 3] at ``p`` [n, 3], clustered by session; inf under two sessions."""
    sessions, at = np.unique(session, return_inverse=True)
    if sessions.size < 2:
        return np.full(2, np.inf)
    missed, mean = p - hit, [(p * part).sum(axis=1) for part in (size, side)]
    gradient = np.column_stack([np.bincount(at, (missed * part).sum(axis=1)) for part in (size, side)])
    centred = [part - m[:, None] for part, m in zip((size, side), mean, strict=True)]
    curvature = np.array([[float((p * a * b).sum()) for b in centred] for a in centred])
    inverse = np.linalg.pinv(curvature)
    spread = inverse @ (gradient.T @ gradient) @ inverse * (sessions.size / (sessions.size - 1))
    return np.sqrt(np.maximum(np.diag(spread), 0.0))


def _parts(margin: F8) -> tuple[F8, F8]:
    """What a margin [n, 3] says of the size of a move and of its direction; their sum is the margin."""
    lean, zero = (margin[:, 2] - margin[:, 0]) / 2.0, np.zeros(len(margin))
    middle = (margin[:, 2] + margin[:, 0]) / 2.0
    return np.column_stack([middle, margin[:, 1], middle]), np.column_stack([-lean, zero, lean])


def _fit(method: Method, margin: F8, seen_prior: F8, label: NDArray[np.int8], session: I4) -> Calibrator:
    """Of one method, with log priors of 0: what is fitted does not depend on the window it will be used with."""
    none = (0.0, 0.0, 0.0)
    if method is Method.TEMPERATURE:
        return Calibrator(fit_temperature(margin, seen_prior, label), none, method)
    if method is Method.TEMPERATURES:
        size, direction = fit_temperatures(margin, seen_prior, label, session)
        return Calibrator(size, none, method, None, direction)
    if method is Method.IDENTITY:
        return Calibrator(1.0, none, method)
    q = softmax(scaled(margin, seen_prior, 1.0))
    fit = fit_beta if method is Method.BETA else fit_isotonic
    down, hold, up = (fit(np.ascontiguousarray(q[:, k]), (label == k - 1).astype(np.float64)) for k in range(3))
    return Calibrator(1.0, none, method, (down, hold, up))


def _said(fitted: Calibrator, margin: F8, seen_prior: F8) -> F8:
    """What a fitted method says of rows whose models had these priors, [n, 3] or [3]."""
    q = softmax(scaled(margin, seen_prior, fitted.temperature, fitted.direction))
    if fitted.maps is None:
        return q
    return _normalised(np.column_stack([one.apply(np.ascontiguousarray(q[:, k])) for k, one in enumerate(fitted.maps)]))


def _normalised(parts: F8) -> F8:
    out: F8 = parts / (parts[:, 0] + parts[:, 1] + parts[:, 2])[:, None]
    return out


def _loss(p: F8, label: NDArray[np.int8]) -> float:
    return float(_losses(p, label).mean())


def _losses(p: F8, label: NDArray[np.int8]) -> F8:
    out: F8 = -np.log(np.maximum(p[np.arange(label.size), label.astype(np.int64) + 1], 1e-300))
    return out
