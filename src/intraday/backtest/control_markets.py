"""Numbered made-up markets of a fixed size, ready to be trained on: market k of a kind is the same on every machine and day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from intraday.backtest.control_rows import Recipe, market_rows, with_column
from intraday.core.anchor import AnchorRule
from intraday.core.decision import latest_bar_ns
from intraday.core.feature_set import FeatureSet
from intraday.core.labels import LabelSpec
from intraday.core.null_markets.parameters import MINUTES, pooled
from intraday.core.null_markets.planted import carrier, draw_sides, drift_of
from intraday.core.null_markets.simulate import TICK_PAISE, draw_minutes, to_bars
from intraday.core.null_markets.sizes import FIRST_DAY, HORIZON, TIMEFRAME, MarketSize
from intraday.core.registry import default_registry
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.session import Session, SessionTable
from intraday.model.dataset import Dataset
from intraday.model.thresholds import Sides, taken_sides

FEATURES: Final = (
    "sigma", "ret_1", "ret_3", "ret_12", "ret_session", "zscore_60", "rsi_14", "range_pos", "rvol_20", "vol_ratio", "vol_rel_20",
    "vwap_dist", "mins_from_open",
)  # fmt: skip
CARRIER: Final = "carrier"
COST: Final = (
    8.3e-4  # round trip: 8.3 bps, that of 1 lakh rupees in 2026 (core/charges.csv); fixed, so that figures stay comparable
)
DRIFT: Final[Mapping[int, float]] = {0: 0.0, 1: 9.26e-4, 2: 19.24e-4, 3: 31.77e-4}
"""Log drift after a planted bar with which the oracle's mean gross return a trade is that multiple of COST (fit_planted.py)."""


@dataclass(frozen=True, slots=True)
class ControlMarket:
    """``data`` with the features ``names``; ``side`` int8 [n]: what the oracle knows of each row (0: nothing is planted)."""

    data: Dataset
    names: tuple[str, ...]
    side: NDArray[np.int8]


def recipe(sessions: SessionTable, horizon_min: int = HORIZON) -> Recipe:
    """The registered features and the labels that controls are made with; trades last ``horizon_min`` minutes at most."""
    features = FeatureSet.of(TIMEFRAME, FEATURES, default_registry(), AnchorRule())
    return Recipe(features, LabelSpec(timeframe=TIMEFRAME, horizon_min=horizon_min), sessions)


def regular_sessions(sessions: SessionTable, n: int) -> list[Session]:
    """The first ``n`` of 375 minutes from FIRST_DAY on."""
    found = [s for s in sessions.between(FIRST_DAY, date(2026, 7, 31)) if s.minutes == MINUTES and not s.pauses]
    assert len(found) >= n, (len(found), n)
    return found[:n]


def control_market(
    of: Recipe, size: MarketSize, seed: tuple[int, ...], log_move: float = 0.0, planted: bool = True, cost: float = COST
) -> ControlMarket:
    """The market of ``seed``: a martingale but for ``log_move`` after each planted bar. ``planted`` False: no carrier either."""
    rng = np.random.default_rng(list(seed))
    days = regular_sessions(of.sessions, size.sessions)
    bars_a_day = MINUTES // of.labels.timeframe
    usable = (latest_bar_ns(of.labels, days[0]) - days[0].open_ns) // (of.labels.timeframe * MINUTE_NS) + 1
    side = draw_sides(rng, size.sessions, bars_a_day, int(usable), size.stocks)
    minutes = draw_minutes(rng, pooled(), size.sessions, size.stocks, drift_of(side, of.labels.timeframe, log_move))
    rows = market_rows(to_bars(minutes, days), size.stocks, of, np.full(size.stocks, TICK_PAISE / 100.0), lambda _: cost)
    known = rows.of_panel(side.reshape(-1, size.stocks))
    if not planted:
        return ControlMarket(rows.data, of.features.names, np.zeros_like(known))
    column = rows.of_panel(carrier(rng, side).reshape(-1, size.stocks))
    return ControlMarket(with_column(rows.data, column), (*of.features.names, CARRIER), known)


def oracle(market: ControlMarket) -> Sides:
    """Who knows every planted bar and its side, trading by the same rules: one position per instrument at a time."""
    return taken_sides(market.side, np.where(market.side != 0, 1.0, -1.0), market.data)
