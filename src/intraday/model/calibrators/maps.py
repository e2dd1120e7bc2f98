"""Maps of one class's forecast probability to a calibrated one, before the three classes are normalised.

A row's value does not depend on the other rows, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from intraday.domain.arrays import F8
from intraday.model.calibrators.logistic import fit_logistic, sigmoid

CLIP = 1e-3  # isotonic values are kept within [CLIP, 1 - CLIP]: a block of a few rows is no proof of "never" or "always"
_TINY = 1e-9  # forecasts are kept this far from 0 and 1 before logarithms
_FAR = 30.0  # log-odds beyond which beta maps say no more: three classes at 0 could not be normalised


@dataclass(frozen=True, slots=True)
class BetaMap:
    """``1 / (1 + 1 / (exp(c) q**a / (1 - q)**b))`` with a, b >= 0; a = b = 1, c = 0 changes nothing.

    Source: Kull, Silva Filho & Flach 2017, "Beta calibration", AISTATS, equation 5 and algorithm 1.
    """

    a: float
    b: float
    c: float

    def apply(self, q: F8) -> F8:
        """Calibrated float64 [n] of forecasts float64 [n]."""
        up, down = _logs(q)
        return sigmoid(np.clip(self.a * up - self.b * down + self.c, -_FAR, _FAR))


@dataclass(frozen=True, slots=True)
class IsotonicMap:
    """Straight lines between knots ``(x, y)``, both ascending; flat beyond the first and the last.

    Source: Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates", KDD.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]

    def apply(self, q: F8) -> F8:
        """Calibrated float64 [n] of forecasts float64 [n]."""
        return np.interp(q, self.x, self.y).astype(np.float64)


ClassMap = BetaMap | IsotonicMap


def fit_beta(q: F8, hit: F8) -> BetaMap:
    """The most likely beta map of forecasts ``q`` for outcomes ``hit`` (0 or 1), float64 [n] each.

    A coefficient that comes out below zero would turn the order of forecasts round: it is set to 0 and the others are fitted
    again, as in the paper.
    """
    up, down = _logs(q)
    columns = np.column_stack([up, -down, np.ones(q.size)])
    keep = np.array([True, True, True])
    w = np.zeros(3)
    for _ in range(3):
        w = np.zeros(3)
        w[keep] = fit_logistic(np.ascontiguousarray(columns[:, keep]), hit)
        wrong = np.array([w[0] < 0.0, w[1] < 0.0, False])
        if not wrong.any():
            break
        keep[int(np.argmin(np.where(wrong, w, np.inf)))] = False
    a, b, c = w.tolist()
    return BetaMap(a, b, c)


def fit_isotonic(q: F8, hit: F8) -> IsotonicMap:
    """The ascending step function with the least squared error (pool adjacent violators), as knots."""
    from sklearn.isotonic import IsotonicRegression  # loaded where it is used: most commands need none of it

    found = IsotonicRegression(y_min=CLIP, y_max=1.0 - CLIP, out_of_bounds="clip").fit(q, hit)
    return IsotonicMap(_floats(found.X_thresholds_), _floats(found.y_thresholds_))


def map_to_dict(one: ClassMap) -> dict[str, Any]:
    """For JSON."""
    if isinstance(one, BetaMap):
        return {"a": one.a, "b": one.b, "c": one.c}
    return {"x": list(one.x), "y": list(one.y)}


def map_from_dict(told: Mapping[str, Any]) -> ClassMap:
    """Back from ``map_to_dict``. Raises KeyError, TypeError or ValueError for anything else."""
    if "a" in told:
        a, b, c = _floats([told[name] for name in "abc"])
        if min(a, b) < 0.0:
            raise ValueError(f"expected a beta map with a and b of at least 0, found {a} and {b}")
        return BetaMap(a, b, c)
    x, y = np.asarray(_floats(told["x"])), np.asarray(_floats(told["y"]))
    if not (0 < x.size == y.size and np.all(np.diff(x) >= 0.0) and np.all(np.diff(y) >= 0.0) and 0.0 < y[0] and y[-1] < 1.0):
        raise ValueError(f"expected ascending knots of an isotonic map within (0, 1), found {x.size} and {y.size} of them")
    return IsotonicMap(_floats(x), _floats(y))


def _floats(values: Any) -> tuple[float, ...]:
    out = tuple(float(v) for v in values)
    if not np.isfinite(out).all():
        raise ValueError("expected finite numbers in a calibration map, found one that is not")
    return out


def _logs(q: F8) -> tuple[F8, F8]:
    """log q and log(1 - q)."""
    inside = np.ascontiguousarray(np.clip(q, _TINY, 1.0 - _TINY))
    return np.log(inside), np.log(np.ascontiguousarray(1.0 - inside))
