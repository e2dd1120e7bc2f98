"""The golden panel of an artifact: bars whose features any later program must compute bit for bit before it may predict."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.lists import stand_in
from intraday.core.panel import panel_of
from intraday.domain.arrays import F4, Bars, Mask, Panel
from intraday.domain.instruments import Instrument
from intraday.domain.session import SessionTable

GOLDEN_BARS = 60  # decision bars of the golden panel after the warm-up
GOLDEN_SESSIONS_MAX = 40


def golden_sessions(features: FeatureSet) -> int:
    """Enough sessions that every feature has values in the golden panel, within reason."""
    bars_per_session = 375 / features.timeframe
    need = max(ceil((features.warmup + GOLDEN_BARS) / bars_per_session), 1 + max(f.sessions for f in features.everything))
    return min(max(2, need), GOLDEN_SESSIONS_MAX)


def golden_instruments(universe: Sequence[Instrument], most: int) -> list[Instrument]:
    """At most ``most``, one without volume among them if there is any."""
    silent = [i for i in universe if not i.has_volume][:1]
    loud = [i for i in universe if i.has_volume][: most - len(silent)]
    return sorted(silent + loud, key=lambda i: i.id)


def cold_start(bars: Bars, has_volume: Mask, features: FeatureSet, sessions: SessionTable) -> tuple[Panel, F4]:
    """The decision panel of one-minute ``bars`` and its features float32 [T, S, F], from empty state at its first bar."""
    candles = HistoricalAggregator(len(has_volume)).aggregate(bars, features.timeframe)
    panel = panel_of(candles, len(has_volume), features.timeframe, sessions)
    return panel, FeatureCalculator(features, has_volume, stand_in(has_volume)).batch(panel)
