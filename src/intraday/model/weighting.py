"""How much each row counts in training; the figures behind it are ``core/weights.py``'s. Pure."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from intraday.core.weights import average_uniqueness, time_decay
from intraday.domain.arrays import F8
from intraday.model.dataset import Dataset


class Weighting(StrEnum):
    """What a row's weight is before it decays with time."""

    UNIQUENESS = "uniqueness"  # average uniqueness among the labels of its instrument
    RETURN_ATTRIBUTION = "return_attribution"  # the return that is the label's alone, scaled so that the sum is that of uniqueness
    NONE = "none"  # 1


class ClassWeights(StrEnum):
    """How much a row of each class counts beside its own weight."""

    NONE = "none"
    BALANCED = "balanced"  # every class as much as every other; what the model then says is shifted back (``boosting``)


def uniqueness(data: Dataset) -> F8:
    """Average uniqueness of each row, float64 [n] in (0, 1], by instrument.

    That instruments move together is not in it: the metrics take the session as their unit for that reason.
    """
    return average_uniqueness(data.entry_ns, data.t1_ns, data.inst)


def row_weights(weighting: Weighting, last: float, data: Dataset, unique: F8, at: NDArray[np.int64]) -> F8 | None:
    """Weights of the rows ``at`` (ascending) of ``data``, from these rows alone; None: all the same.

    ``unique`` float64 [n]: the uniqueness of all rows; ``last``: ``core.weights.time_decay``'s. ``Dataset.attribution`` has to be
    known for RETURN_ATTRIBUTION; where no price moved at all uniqueness stands in.
    """
    own = unique[at]
    weight = own
    if weighting is Weighting.RETURN_ATTRIBUTION:
        share = data.attribution[at]
        assert np.isfinite(share).all(), "return attribution was not computed"
        total = float(share.sum())
        weight = share * (float(own.sum()) / total) if total > 0.0 else own
    elif weighting is Weighting.NONE:
        if last == 1.0:
            return None
        weight = np.ones(len(at))
    return weight if last == 1.0 else weight * time_decay(own, last)


def class_balanced(label: NDArray[np.int8], weight: F8 | None) -> F8:
    """The weights times what makes every class that is there weigh the same, float64 [n]; their sum stays. None: all are 1."""
    own = np.ones(len(label)) if weight is None else weight
    column = label.astype(np.int64) + 1
    total = np.bincount(column, weights=own, minlength=3)
    there = total > 0.0
    share = float(total.sum()) / max(1, int(there.sum()))
    factor = np.divide(share, total, out=np.ones(3), where=there)
    out: F8 = own * factor[column]
    return out
