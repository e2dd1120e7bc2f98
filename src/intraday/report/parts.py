"""The evidence behind a verdict, as frozen values for the report: what was tested how, and what came of it.

As in ``inputs``: every number may be NaN and every part missing. Bps are of the money in one trade; nothing is annualised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from intraday.domain.arrays import F8, I8

NAN = float("nan")


class Estimate(NamedTuple):
    """A figure and its 95 % interval, NaN where there is none."""

    value: float = NAN
    low: float = NAN
    high: float = NAN


@dataclass(frozen=True, slots=True)
class Figure:
    """One headline figure. ``low`` and ``high`` bound its 95 % interval, NaN where there is none."""

    name: str
    value: float
    unit: str = ""  # "bps", "%", "nats", "₹", "p" or nothing
    digits: int = 2
    low: float = NAN
    high: float = NAN
    note: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The statistics of the verdict."""

    figures: Sequence[Figure] = ()
    power: Sequence[tuple[float, float]] = ()  # (edge as a multiple of the cost of a trade, chance in 0..1 of finding it)
    gross_word: str = ""  # the same test before costs: is there any direction at all?
    gross_reason: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The same signals under another assumption: a slower hand, or worse prices. Bps a trade; ``session`` is net bps a session."""

    name: str
    trades: int
    gross: float
    cost: float  # charges and slippage
    net: float
    session: Estimate = Estimate()
    note: str = ""


@dataclass(frozen=True, slots=True)
class CostLine:
    """One part of the charges in rupees: by the rates of each day, and by today's."""

    name: str
    dated: float
    today: float


@dataclass(frozen=True, slots=True)
class Account:
    """The signals traded with the configured capital and limits. ``refused``: why signals were not traded, and how many."""

    figures: Sequence[Figure]
    costs: Sequence[CostLine] = ()
    refused: Sequence[tuple[str, int]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Trades of one instrument, or of one hour. Bps a trade, ``total`` net bps in all; ``hit`` share of gross gains in 0..1."""

    name: str
    trades: int
    hit: float
    gross: float
    cost: float
    net: float
    total: float


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Mean net bps a trade by instrument and hour of decision, float64 [I, H], NaN without trades; ``trades`` int64 [I, H]."""

    instruments: Sequence[str]
    hours: Sequence[str]
    net: F8
    trades: I8


@dataclass(frozen=True, slots=True)
class Recalibration:
    """How well one class's probabilities fit: a perfect forecast has slope 1, intercept 0 and no calibration error.

    ``skill`` is 1 - Brier score / the walk-forward prior's. ``error`` is the debiased expected calibration error. Both in 0..1.
    """

    name: str
    slope: Estimate = Estimate()
    intercept: Estimate = Estimate()
    skill: Estimate = Estimate()
    error: Estimate = Estimate()


@dataclass(frozen=True, slots=True)
class Realised:
    """Emitted signals by predicted net value: mean predicted and realised bps of each bin [k], its interval and rows."""

    predicted: F8
    realised: F8
    low: F8
    high: F8
    count: I8
    slope: Estimate = Estimate()


class Span(NamedTuple):
    """Sessions ``first`` to ``last`` (rows of ``FoldMap.days``, both included) used as fit, stop, score, purged or embargo."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One fold or split: its spans from left to right."""

    name: str
    spans: Sequence[Span]
    purged: int = 0  # rows left out because their label lived into a scored one


@dataclass(frozen=True, slots=True)
class FoldMap:
    """Which sessions each fold learned from and was scored on."""

    days: Sequence[date]
    lanes: Sequence[Lane]


@dataclass(frozen=True, slots=True)
class Stability:
    """Share of the total gain by feature and fold, float64 [F, K]; ``agreement`` is the mean rank correlation between folds."""

    names: Sequence[str]
    shares: F8
    agreement: float = NAN


@dataclass(frozen=True, slots=True)
class Swarm:
    """What features did to single forecasts: contribution to log-odds and the feature's value as a quantile, float64 [F, n].

    ``value`` in 0..1, NaN where the feature was missing; ``strength`` [F] mean absolute contribution, largest first.
    """

    names: Sequence[str]
    value: F8
    contribution: F8
    strength: F8
    towards: str = "“up” against “down”"  # what positive contributions speak for


@dataclass(frozen=True, slots=True)
class Baseline:
    """The model, or something simpler on the same rows and folds. ``net`` bps a trade, ``session`` net bps a session."""

    name: str
    trades: int
    net: float
    session: Estimate = Estimate()
    sharpe: float = NAN
    log_loss: float = NAN
    brier: float = NAN
    own: bool = False  # this is the model the report is about
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One row of the trials ledger; ``value`` is the tuning objective, ``sharpe`` that of its test path, by session."""

    made_ns: int
    kind: str  # configuration or tuning
    state: str
    parameters: str  # what differs from the others
    value: float = NAN
    sharpe: float = NAN
    sessions: int = 0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Trials:
    """The ledger of this scope of data. ``n`` configurations are counted, tuning trials are listed only."""

    rows: Sequence[TrialRow]
    n: int
    n_tuning: int
    variance: float = NAN  # of the configurations' Sharpe ratios
    expected_best: float = NAN  # best Sharpe ratio that so many tries without any edge would show
    effective: float = NAN  # about how many of them are independent


@dataclass(frozen=True, slots=True)
class Overfitting:
    """PBO by combinatorially symmetric cross-validation, and tests against benchmarks. Probabilities in 0..1."""

    pbo: float = NAN
    logits: F8 | None = None  # of the relative out-of-sample rank of the best in sample, one for each way to split
    slope: float = NAN  # of out-of-sample on in-sample performance
    loss: float = NAN  # probability that the best in sample loses out of sample
    spa: float = NAN  # Hansen's consistent p-value: no configuration beats always HOLD
    spa_low: float = NAN
    spa_high: float = NAN
    reality_check: float = NAN  # White's p-value of the same
    beaten: float = NAN  # Hansen's consistent p-value: no baseline beats the model
    n: int = 0  # configurations these figures are of
    left_out: int = 0  # configurations of other sessions, which share less than half of the model's


@dataclass(frozen=True, slots=True)
class PathSpread:
    """Sharpe ratio by session of every path of combinatorial purged cross-validation, float64 [P]; ``own`` the walk-forward's."""

    sharpes: F8
    own: float
    groups: int
    test_groups: int


@dataclass(frozen=True, slots=True)
class NullControl:
    """Markets without an edge: p-values [n] of the test behind "edge" at zero cost; it may fire ``allowed`` times at 5 %."""

    name: str
    p_values: F8
    fired: int
    allowed: int
    uniform_p: float = NAN  # Kolmogorov-Smirnov test of uniformity
    net_fired: int = 0  # "edge" after costs
    note: str = ""


@dataclass(frozen=True, slots=True)
class PowerGrid:
    """Planted edges: how many of ``markets`` were found, int64 [M, S], by edge (multiple of the cost) and test sessions."""

    multiples: Sequence[float]
    sessions: Sequence[int]
    found: I8
    markets: I8
    trials: int = 1


@dataclass(frozen=True, slots=True)
class Controls:
    """The pipeline on markets where the answer is known."""

    nulls: Sequence[NullControl]
    power: PowerGrid | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Charges:
    """Round-trip charges in bps, float64 [D, N], from each of ``days`` on, by ``notionals`` in rupees; ``today`` float64 [N]."""

    days: Sequence[date]
    notionals: Sequence[float]
    bps: F8
    today: F8
    on: date
    last: date  # end of the drawn time
