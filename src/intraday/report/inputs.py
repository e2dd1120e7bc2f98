"""Everything a report shows, as frozen values. Whoever builds them computes; the report only draws.

Every part may be empty or None, and every number NaN: the page then says so. Rates are in basis points (bps) of the notional of
one trade unless a field says otherwise; times are int64 ns since the epoch, UTC, shown in IST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from intraday.domain.arrays import F8, I8
from intraday.report.parts import (
    NAN,
    Account,
    Baseline,
    Charges,
    Controls,
    Figure,
    FoldMap,
    Group,
    HeatMap,
    Judgement,
    Overfitting,
    PathSpread,
    Realised,
    Recalibration,
    Scenario,
    Stability,
    Swarm,
    Trials,
)


@dataclass(frozen=True, slots=True)
class Header:
    """What was run, when, on what, and what came of it."""

    title: str
    made_ns: int
    mode: str  # HISTORICAL_MODE, or HISTORICAL_MODE and replay
    source: str  # where the bars came from, in words
    first_day: date | None
    last_day: date | None
    n_sessions: int
    n_instruments: int
    timeframe: int  # minutes
    model_id: str
    verdict: str  # "edge", "no tradable edge" or "not enough data"
    reason: str = ""  # one sentence from whoever gave the verdict
    note: str = ""  # what else a reader must know to judge the figures, e.g. that the market is made up


@dataclass(frozen=True, slots=True)
class Equity:
    """Out-of-sample result by session, cumulated, in bps of one trade's notional. All [n], ordered by day."""

    days: Sequence[date]
    gross: F8
    net: F8
    n_trades: I8  # of that session
    drawdown: float  # largest fall of ``net`` from an earlier peak, >= 0


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted probability against observed frequency of one class, by bin [k]; ``count`` rows in each."""

    name: str
    predicted: F8
    observed: F8
    count: I8
    low: F8 | None = None  # 95 % interval of ``observed``, by session
    high: F8 | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Out-of-sample rows by (what happened, what was said): int64 [3, 3], order SELL, HOLD, BUY."""

    counts: I8


@dataclass(frozen=True, slots=True)
class Fold:
    """One walk-forward fold."""

    number: int
    fit_from: date
    fit_to: date
    test_from: date
    test_to: date
    n_fit: int
    n_test: int
    n_rounds: int
    log_loss: float
    prior_log_loss: float
    n_trades: int = 0
    net_bps: float = NAN  # mean per trade
    n_purged: int = 0  # rows left out because their label lived into another part


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One BUY or SELL. ``time_ns`` is when it was decided, ``bar_ns`` the open of its bar; prices in rupees.

    ``expected`` is the net return expected, ``chase`` the entry price at which nothing is left of it, as in ``Signal``.
    """

    time_ns: int
    bar_ns: int
    symbol: str
    action: str
    confidence: float
    price: float
    stop: float
    target: float
    observe: bool
    expected: float = NAN
    chase: float = NAN
    quantity: int = 0
    reasons: tuple[tuple[str, float], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars of one instrument and day with the signals on them. Arrays [n]; ``volume`` NaN for an index."""

    symbol: str
    day: date
    timeframe: int  # minutes
    ts_ns: I8
    open: F8
    high: F8
    low: F8
    close: F8
    volume: F8
    signals: Sequence[SignalRow] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One part of ``intraday verify``."""

    name: str
    day: date | None
    n_compared: int
    n_differences: int
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OwnFeature:
    """A user's feature in a model: its place by gain among all ``n`` (1 the best), its share of the gain, and of rows missing."""

    name: str
    rank: int
    n: int
    gain: float
    splits: int
    missing: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Bars of one instrument against what full sessions would hold."""

    symbol: str
    n_sessions: int
    n_bars: int
    n_expected: int


@dataclass(frozen=True, slots=True)
class ReportInput:
    """The whole report."""

    header: Header
    figures: Sequence[Figure] = ()
    equity: Equity | None = None
    reliability: Sequence[Reliability] = ()
    confusion: Confusion | None = None
    importance: Sequence[tuple[str, float]] = ()  # feature, share of the total gain; any order
    folds: Sequence[Fold] = ()
    signals: Sequence[SignalRow] = ()  # BUY and SELL only
    n_hold: int = 0
    candles: Candles | None = None
    checks: Sequence[Check] = ()
    coverage: Sequence[Coverage] = ()
    rejects: Sequence[tuple[str, int]] = ()  # reason, rows
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)  # versions, seconds, machine
    own: Sequence[OwnFeature] = ()  # the user's features in the model, best first
    judgement: Judgement | None = None
    delays: Sequence[Scenario] = ()  # the same signals, acted on later and later
    slippage: Sequence[Scenario] = ()
    by_instrument: Sequence[Group] = ()
    by_hour: Sequence[Group] = ()
    heat: HeatMap | None = None
    recalibration: Sequence[Recalibration] = ()  # down, hold, up
    realised: Realised | None = None
    fold_map: FoldMap | None = None
    stability: Stability | None = None
    swarm: Swarm | None = None
    baselines: Sequence[Baseline] = ()  # the model itself among them
    trials: Trials | None = None
    overfitting: Overfitting | None = None
    path_spread: PathSpread | None = None
    controls: Controls | None = None
    charges: Charges | None = None
    account: Account | None = None
