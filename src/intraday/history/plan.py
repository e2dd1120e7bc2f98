"""What a run of HISTORICAL_MODE is told, what it works on, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from intraday.core.feature_set import FeatureSet
from intraday.core.labels import LabelSpec
from intraday.core.panel import NO_LISTS, Lists
from intraday.core.price_rules import PriceRules, tick_sizes_of
from intraday.core.tradability import TradeLists
from intraday.domain.instruments import Instrument
from intraday.domain.learning import Trial
from intraday.domain.membership import Membership
from intraday.domain.ports import BarStore, FeatureStore, LabelStore, ModelStore, Source
from intraday.history.steps import StepReport
from intraday.model.artifacts import Artifact
from intraday.model.pool import Resources
from intraday.model.trainer import Trained, TrainSpec


def _no_lists(universe: Sequence[Instrument], first: date, last: date) -> Lists:
    return NO_LISTS


def _own_ticks(universe: Sequence[Instrument], first: date, last: date) -> PriceRules:
    return PriceRules(tick_sizes_of((), universe))


def _everything(universe: Sequence[Instrument]) -> TradeLists | None:
    return None


def _no_index(universe: Sequence[Instrument]) -> int | None:
    return None


def _nothing_tried() -> Sequence[Trial]:
    return ()


def _not_remembered(trials: Sequence[Trial]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class HistoricalPlan:
    """What to do. ``first`` and ``last`` day inclusive, None: all that is stored. ``source`` None: the best version of each bar.

    ``known_ns`` is the moment up to which bars are complete; None when every session in the range is over. ``membership`` tells
    for days ``first .. last`` who was in the universe when (``domain.universe.Universe.between``; its None and no function: all of
    them on every day): only rows of members of their day are learned from, what an instrument did before and after is not.
    """

    features: FeatureSet
    labels: LabelSpec
    training: TrainSpec
    directory: Path  # of model artifacts
    notional: float = 100_000.0  # rupees of one trade, for its charges
    first: date | None = None
    last: date | None = None
    source: Source | None = None
    known_ns: int | None = None
    membership: Callable[[date, date], Membership | None] | None = None
    coverage: Sequence[tuple[int, date, int]] | None = None  # BarStore.coverage() where it was asked already: it reads every bar
    lists: Callable[[Sequence[Instrument], date, date], Lists] = _no_lists  # closing auction and universe of the days between
    index: Callable[[Sequence[Instrument]], int | None] = _no_index  # place of the market index among the instruments
    prices: Callable[[Sequence[Instrument], date, date], PriceRules] = _own_ticks  # ticks and limits of the days between
    resources: Resources = field(default_factory=Resources)  # workers, and where finished fits are kept; no result depends on it
    work: Path | None = None  # of the rows while it runs; None: the system's folder for temporary files
    tried: Callable[[], Sequence[Trial]] = _nothing_tried  # the trials ledger of the same data, for the verdict
    remember: Callable[[Sequence[Trial]], None] = _not_remembered  # writes what was tried to it, before the model is stored
    tradable: Callable[[Sequence[Instrument]], TradeLists | None] = _everything  # who may be traded intraday; None: everybody
    piece_mib: int = 256  # memory of what is worked on at once
    golden_instruments: int = 8

    @property
    def view(self) -> str:
        """Which bars are read, in words; part of the artifact."""
        return "best version" if self.source is None else f"source {self.source}"


@dataclass(frozen=True, slots=True)
class Stores:
    """Where rows come from and go to."""

    bars: BarStore
    features: FeatureStore
    labels: LabelStore
    models: ModelStore


@dataclass(frozen=True, slots=True)
class HistoricalResult:
    """What came of it. ``steps`` in the order they ran; ``warnings`` for people."""

    model_id: str
    verdict: str
    reason: str
    artifact: Artifact
    trained: Trained
    first: date
    last: date
    n_sessions: int
    steps: tuple[StepReport, ...]
    warnings: tuple[str, ...]
    labels: Mapping[str, int]  # core.labels.tally of all that were made

    def summary(self) -> dict[str, object]:
        """JSON-ready, for the run's record and ``--json``."""
        m = self.trained.metrics
        return {
            "model_id": self.model_id,
            "verdict": self.verdict,
            "reason": self.reason,
            "artifact": str(self.artifact.path),
            "first": str(self.first),
            "last": str(self.last),
            "sessions": self.n_sessions,
            "rows": self.trained.rows,
            "log_loss": m.log_loss,
            "log_loss_prior": m.log_loss_prior,
            "net_bps_trade": m.net_bps_trade,
            "trades": m.trades,
            "labels": dict(self.labels),
            "steps": [step.summary() for step in self.steps],
            "warnings": list(self.warnings),
        }
