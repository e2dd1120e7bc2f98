"""A small market around a change of anchor, and a plan for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from intraday.core.anchor import AnchorRule
from intraday.core.feature_set import FeatureSet
from intraday.core.labels import LabelSpec
from intraday.core.registry import default_registry
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import Bars
from intraday.domain.instruments import Instrument
from intraday.domain.session import SessionTable
from intraday.history.plan import HistoricalPlan
from intraday.model.splits import SplitSpec
from intraday.model.trainer import TrainSpec

FIRST, LAST = date(2025, 3, 20), date(2025, 4, 21)
ANCHORS = date(2024, 10, 1), date(2025, 1, 1)  # of the sessions in March, and of those in April
NAMES = ("sigma", "rsi_14", "session_pos", "ret_1", "vwap_dist")


def market_of(sessions: SessionTable) -> tuple[list[Instrument], list[Bars]]:
    """Four instruments, the last an index, ids falling, and their bars by session: the two anchors, then FIRST to LAST."""
    days = [sessions.get(day) for day in ANCHORS] + sessions.between(FIRST, LAST)
    market = SyntheticMarket(SyntheticSpec(instruments=4, seed=3), days)
    return [replace(x, id=20 - 3 * k) for k, x in enumerate(market.instruments)], [market.bars(k) for k in range(len(days))]


def plan_of(directory: Path, **changes: Any) -> HistoricalPlan:
    """A small plan from FIRST on."""
    features = FeatureSet.of(5, NAMES, default_registry(), AnchorRule())
    training = TrainSpec(split=SplitSpec(min_train=8, test=4), num_boost_round=20, min_data_in_leaf=50, threads=1)
    return HistoricalPlan(features, LabelSpec(), training, directory, **{"first": FIRST, **changes})
