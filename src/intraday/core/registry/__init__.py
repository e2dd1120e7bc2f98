"""The registered features, by family. A new one is an expression in one of these files; it needs no compilation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from intraday.core.feature import Feature
from intraday.core.registry import (
    alpha158,
    channels,
    context,
    cross,
    frames,
    micro,
    momentum,
    oscillators,
    realised,
    seasonal,
    session,
    trend,
    volatility,
    volume,
    vwap,
)


def default_registry() -> Mapping[str, Feature]:
    """Every feature that comes with the program by name, in column order; immutable."""
    families = (
        trend,
        channels,
        momentum,
        oscillators,
        volatility,
        realised,
        volume,
        vwap,
        micro,
        seasonal,
        session,
        frames,
        context,
        cross,
        alpha158,
    )
    features = [feature for family in families for feature in family.features()]
    registry = {f.name: f for f in features}
    assert len(registry) == len(features), "a feature name twice"
    return MappingProxyType(registry)
