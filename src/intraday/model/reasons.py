"""Why a model says what it says of one row: SHAP values of its trees.

A feature's part is its SHAP value in the raw score (log odds before calibration) of the class said less that in the score of
hold: by how much it moved the odds of up (or down) against nothing happening. The parts and a constant add up to the difference of
the two scores. Source: Lundberg et al. 2020 (TreeSHAP), as LightGBM's ``pred_contrib`` computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, F8

if TYPE_CHECKING:
    import lightgbm as lgb

CLASSES, HOLD = 3, 1


def contributions(booster: lgb.Booster, x: F4, side: NDArray[np.int8]) -> F8:
    """Parts of the features, float64 [n, F + 1], the last column the constant; ``side`` int8 [n] is what was said, +1 or -1.

    One thread; a row's result is the same bits alone and in any batch. Costs about as much as a thousand predictions a row.
    """
    raw = np.asarray(booster.predict(np.ascontiguousarray(x), pred_contrib=True, num_threads=1), dtype=np.float64)
    parts = raw.reshape(len(x), CLASSES, -1)
    out: F8 = parts[np.arange(len(x)), HOLD + side.astype(np.int64)] - parts[:, HOLD]
    return out


def largest(names: Sequence[str], parts: F8, k: int) -> list[tuple[tuple[str, float], ...]]:
    """Of each row the ``k`` features whose parts are largest and speak for what was said, largest first; equal ones in their order.

    ``parts`` float64 [n, F + 1], as ``contributions`` gives them.
    """
    order = np.argsort(-parts[:, : len(names)], axis=1, kind="stable")[:, :k]
    return [tuple((names[f], float(row[f])) for f in best if row[f] > 0.0) for row, best in zip(parts, order.tolist(), strict=True)]
