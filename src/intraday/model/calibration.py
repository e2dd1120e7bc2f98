"""Probabilities from raw scores: one number, the temperature, fitted on earlier out-of-sample predictions.

``p = softmax(log_prior + (score - log_prior) / temperature)``. Guo et al. 2017 ("On Calibration of Modern Neural Networks")
divide the scores themselves, which pulls an overconfident model towards equal classes; here it is pulled towards the class
frequencies of its own training window, which is what a model that knows nothing should say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F8

LEAST, MOST = 0.5, 20.0  # bounds of the temperature; at 20 the forecast is the prior for all practical purposes


@dataclass(frozen=True, slots=True)
class Calibrator:
    """``temperature`` 1 changes nothing; ``log_prior`` are log class frequencies (down, hold, up) of the training rows."""

    temperature: float
    log_prior: tuple[float, float, float]

    def apply(self, raw: F8) -> F8:
        """Probabilities [n, 3] from raw scores [n, 3]. A row's result does not depend on the other rows, bit for bit."""
        return self.apply_margin(raw - np.asarray(self.log_prior))

    def apply_margin(self, margin: F8) -> F8:
        """Probabilities [n, 3] from scores less the log prior of the window their model was trained on.

        Margins of earlier folds' models become what this fold would have said, so thresholds found on them apply to it.
        """
        return softmax(scaled(margin, np.asarray(self.log_prior), self.temperature))


def scaled(margin: F8, log_prior: F8, temperature: float) -> F8:
    """Scores whose distance from the prior is divided by the temperature."""
    out: F8 = log_prior + margin / temperature
    return out


def softmax(scores: F8) -> F8:
    """Probabilities from scores [n, 3]; columns are added one after the other so that every row sees the same arithmetic."""
    top = np.maximum(np.maximum(scores[:, 0], scores[:, 1]), scores[:, 2])
    e = np.exp(np.ascontiguousarray(scores - top[:, None]))
    out: F8 = e / (e[:, 0] + e[:, 1] + e[:, 2])[:, None]
    return out


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
    column = label.astype(np.int64) + 1
    row = np.arange(label.size)

    def loss(log_t: float) -> float:
        p = softmax(scaled(margin, log_prior, float(np.exp(log_t))))
        return float(-np.log(np.maximum(p[row, column], 1e-300)).mean())

    from scipy.optimize import minimize_scalar  # loaded where it is used: most commands need none of it

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
