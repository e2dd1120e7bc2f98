"""A feature's values in float64, before the cast to float32 that would hide the ninth digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.registry import default_registry
from intraday.domain.arrays import F8, Panel

PRICES = ("open", "high", "low", "close", "volume")


def table(panel: Panel, features: Sequence[Feature]) -> dict[str, F8]:
    """Each feature's [T, S], NaN without a bar, by name."""
    has_volume = np.asarray(~np.isnan(panel.volume).all(axis=0), np.bool_)
    calculator = FeatureCalculator(FeatureSet(panel.timeframe, tuple(features), AnchorRule()), has_volume)
    found = calculator.batch(panel, dtype=np.float64)
    return {feature.name: found[:, :, f] for f, feature in enumerate(features)}


def panel_of_one(market: Mapping[str, NDArray[np.float64]], session: NDArray[np.int32], minute: F8, timeframe: int) -> Panel:
    """One instrument that trades in every row; sessions of 375 minutes."""
    shape = (len(session), 1)
    prices = {name: np.ascontiguousarray(market[name], np.float64).reshape(shape) for name in PRICES}
    ts_ns = np.arange(len(session), dtype=np.int64)
    yes = np.ones(shape, np.bool_)
    return Panel(timeframe, ts_ns, session.astype(np.int32), minute, np.full(shape, 375.0), yes, mask=yes, **prices)


def values(market: Mapping[str, NDArray[np.float64]], name: str, session: NDArray[np.int32], minute: F8, timeframe: int) -> F8:
    """One registered feature of one instrument."""
    panel = panel_of_one(market, session, minute, timeframe)
    return table(panel, [default_registry()[name]])[name][:, 0]
