"""A feature's values in float64, before the cast to float32 that would hide the ninth digit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from intraday.core.anchor import AnchorRule
from intraday.core.features import FeatureSet
from intraday.core.kernels.plan import run_plan
from intraday.core.registry import default_registry
from intraday.domain.arrays import F8

PRICES = ("open", "high", "low", "close", "volume")


def values(market: Mapping[str, NDArray[np.float64]], name: str, session: NDArray[np.int32], minute: F8, timeframe: int) -> F8:
    """One feature of one instrument, a bar at a time through the interpreter; sessions of 375 minutes."""
    plan = FeatureSet.of(timeframe, [name], default_registry(), AnchorRule()).plan
    out = np.empty(len(session))
    reg, state = np.full((plan.n_nodes + 1, 1), np.nan), plan.state(1)
    ignored, yes = np.empty((1, 1, 1), np.float32), (np.ones((1, 1), np.bool_), np.ones(1, np.bool_))
    for t in range(len(out)):
        panel = tuple(np.array([[market[k][t]]]) for k in PRICES)
        clock = session[t : t + 1].astype(np.int32), minute[t : t + 1].copy(), np.array([375.0])
        run_plan(plan.tables, (*panel, *yes), clock, state, reg, ignored)
        out[t] = reg[plan.outputs[0], 0]
    return out
