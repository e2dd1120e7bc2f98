"""Settings of what is decided on, and how a trade ends and is paid for."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from intraday.config.section import Section, Universe


class SyntheticSettings(Section):
    """The seeded market of the demo and of feed: synthetic."""

    instruments: int = Field(default=20, ge=1, le=3000, description="number of instruments")
    sessions: int = Field(default=40, ge=2, le=2500, description="number of sessions; the last one is replayed by the demo")
    seed: int = Field(default=7, ge=0, description="same seed, same market")
    edge: float = Field(default=2.0, ge=0, le=5, description="strength of the planted predictability, 0 is a martingale")
    start_day: date = Field(
        default=date(2025, 1, 1), description="first day; the market starts at the first session on or after it"
    )


class LabelSettings(Section):
    """What a label says (docs/labels.md); entry, horizon and barriers are the trade's, above."""

    kind: Literal["triple_barrier", "fixed_horizon", "trend_scanning"] = Field(
        default="triple_barrier",
        description="triple_barrier: which of target, stop and time came first; fixed_horizon: whether the return by the horizon "
        "is beyond target_sigma; trend_scanning: the sign of the clearest trend. Only the first has a stop and a target: signals "
        "of the others end with the horizon",
    )
    limit_ticks: int = Field(default=3, ge=0, le=1000, description="no entry so near to a circuit limit, ticks")
    max_wait_min: int = Field(
        default=5, ge=0, le=60, description="longest wait for a bar to enter at, and longest hole in a trade's bars, minutes"
    )
    trend_from_min: int = Field(
        default=15, ge=3, le=375, description="trend_scanning: the shortest trend, minutes after the decision"
    )
    trend_step_min: int = Field(default=5, ge=1, le=375, description="trend_scanning: each trend is so much longer than the last")
    trend_t: float = Field(default=2.0, ge=0, le=1000, description="trend_scanning: the least t-value that makes a trend")


class SlippageSettings(Section):
    """What entry and exit cost beside the charges, in the backtest (docs/backtest.md). Labels and verdicts are without."""

    model: Literal["none", "fixed", "spread", "volume"] = Field(
        default="spread",
        description="fixed: bps a side; spread: spread_share of the spread, which is at least one tick; volume: that and "
        "impact_bps times the root of our share of the minute's volume",
    )
    bps: float = Field(default=1.0, ge=0, le=100, description="fixed: basis points of the price a side")
    spread_share: float = Field(default=0.5, ge=0, le=5, description="spread and volume: this share of the spread is paid a side")
    impact_bps: float = Field(default=10.0, ge=0, le=1000, description="volume: basis points at a share of the whole minute")
    most_share: float = Field(
        default=0.1, gt=0, le=1, description="volume: the most of a minute's volume that is taken; what is left is not traded"
    )


class LimitSettings(Section):
    """What the backtest's account may hold at once."""

    positions: int = Field(default=10, ge=1, description="most open positions")
    exposure: float = Field(default=3.0, gt=0, le=20, description="most value of all open positions, in multiples of the capital")
    per_instrument: float = Field(default=1.0, gt=0, le=20, description="the same of one instrument")


class TradingSettings(Section):
    """What is decided on, when, and how a trade ends."""

    exchange: Literal["NSE", "BSE", "NFO", "BFO"] = Field(default="NSE", description="exchange of symbols given without one")
    universe: Universe = Field(
        default="all",
        description="all: every instrument with stored candles, and with a broker every one it lists on trading.exchange (at Kite "
        "10,000: name some); a list of symbols; fno: stocks with derivatives; "
        "index:NAME or csv:PATH, imported with `intraday universe import`, dated",
    )
    timeframe: Literal[1, 5, 15, 60] = Field(default=5, description="decision bar, minutes")
    notional_inr: float = Field(default=100_000.0, gt=0, description="size of one trade for costs, rupees")
    entry_delay_s: int = Field(
        default=60, ge=0, le=3600, description="time a person needs between a bar's close and the entry, seconds"
    )
    horizon_min: int = Field(
        default=60, ge=1, le=375, description="longest holding time, minutes; a trade never crosses the session's end"
    )
    target_sigma: float = Field(
        default=1.0, ge=0, le=20, description="target distance in volatilities of the horizon; 0 with fixed_horizon alone: the sign"
    )
    stop_sigma: float = Field(default=1.0, gt=0, le=20, description="stop distance in volatilities of the horizon")
    square_off_buffer_min: int = Field(
        default=5, ge=0, le=120, description="exit this long before the broker's square-off, minutes"
    )
    labels: LabelSettings = Field(default=LabelSettings(), description="what a label says")
    capital_inr: float = Field(default=500_000.0, gt=0, description="money for suggested quantities and the backtest, rupees")
    risk_per_trade_pct: float = Field(
        default=0.5, gt=0, le=100, description="what a trade may lose at its stop, charges included, in percent of the capital"
    )
    slippage: SlippageSettings = Field(default=SlippageSettings(), description="what entry and exit cost beside the charges")
    limits: LimitSettings = Field(default=LimitSettings(), description="what the backtest's account may hold at once")
    reasons: int = Field(default=5, ge=0, le=20, description="features named as the reason of a BUY or SELL; 0: none")
    synthetic: SyntheticSettings = Field(default=SyntheticSettings(), description="the seeded market of the demo")

    @model_validator(mode="after")
    def _horizon(self) -> TradingSettings:
        if self.horizon_min < self.timeframe:
            raise ValueError(f"horizon_min of at least one decision bar, but {self.horizon_min} < timeframe {self.timeframe}")
        if self.universe == ():
            raise ValueError("universe: all, or at least one symbol")
        return self

    @model_validator(mode="after")
    def _kind(self) -> TradingSettings:
        labels = self.labels
        if self.target_sigma == 0.0 and labels.kind != "fixed_horizon":
            raise ValueError(f"target_sigma above 0, but it is 0 with labels.kind {labels.kind}; 0 is for fixed_horizon alone")
        if labels.kind == "trend_scanning" and labels.trend_from_min > self.horizon_min:
            raise ValueError(
                f"labels.trend_from_min within the horizon, but {labels.trend_from_min} > horizon_min {self.horizon_min}: no trend "
                "would fit"
            )
        return self
