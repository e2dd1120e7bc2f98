"""How an engine is put together from a trained model: the same way for live, replay and verify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from intraday.core.costs import Costs
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import SIGMA, LabelSpec
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import Day
from intraday.domain.arrays import F8
from intraday.domain.instruments import Instrument
from intraday.domain.session import Session
from intraday.live.engine import Engine, EngineSpec, Features, Predictor
from intraday.live.resume import Given, carry_over
from intraday.model.predictor import ModelPredictor
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.signal.one_open import Explain
from intraday.signal.terms import Terms


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An artifact that passed its checks, with what its decisions need."""

    feature_set: FeatureSet
    predictor: ModelPredictor
    label: LabelSpec
    costs: Costs
    notional: float  # rupees a trade
    threads: int = 1  # that share the features of many instruments between them

    @property
    def id(self) -> str:
        """The artifact's id."""
        return self.predictor.artifact.id

    def calculator(self, instruments: Sequence[Instrument], index: int | None = None) -> FeatureCalculator:
        """A cold calculator of the model's features; ``index``: row of the market index. A user's function that fails gives NaN:
        whatever it does, candles are stored and other features decide."""
        calculator = FeatureCalculator(
            self.feature_set, np.array([i.has_volume for i in instruments], np.bool_), index, self.threads
        )
        calculator.forgive()
        return calculator

    def cost(self, session: Session, instruments: Sequence[Instrument]) -> F8:
        """Round trip of each instrument at the charges of the session's day, as a return."""
        return np.array([self.costs.round_trip_bps(session.day, self.notional, i.kind) / 1e4 for i in instruments])

    def decider(self, cost: F8, instruments: Sequence[Instrument], terms: Terms | None = None) -> SignalGenerator:
        """The decision rule of the model at these costs (`cost`) and on these terms."""
        artifact, ticks = self.predictor.artifact, tick_rupees(instruments)
        observe = self.predictor.observe or (terms is not None and terms.watch)
        rule = artifact.rule.watched() if observe else artifact.rule
        primary = None if artifact.primary is None else self.feature_set.column(artifact.primary)
        return SignalGenerator(SignalSpec(rule, cost, self.label, ticks, observe, artifact.id, terms, primary))

    def opened(self, session: Session, instruments: Sequence[Instrument], terms: Terms | None = None) -> OpenSignals:
        """Follows the signals of one session, of which there are none yet."""
        return OpenSignals(session, self.label, tick_rupees(instruments), None if terms is None else terms.limits)

    def explain(self, terms: Terms | None) -> Explain | None:
        """Gives the reasons the terms ask for."""
        return partial(self.predictor.reasons, k=terms.reasons) if terms is not None and terms.reasons else None

    def engine(
        self,
        session: Session,
        day: Day,
        calculator: Features,
        instruments: Sequence[Instrument],
        cost: F8,
        grace_ns: int,
        predictor: Predictor | None = None,
        terms: Terms | None = None,
        given: Given = (),
    ) -> Engine:
        """An engine for one session; ``calculator`` is warm. ``predictor`` stands in for the model's own where a backtest has asked
        it before, for the whole session at once. ``given``: signals of an earlier run of the session that are still open."""
        symbols = tuple(i.symbol for i in instruments)
        spec = EngineSpec(self.feature_set.timeframe, grace_ns, self.feature_set.column(SIGMA), symbols)
        decider, opened = self.decider(cost, instruments, terms), self.opened(session, instruments, terms)
        carry_over(opened, given, session, day)
        return Engine(session, day, spec, calculator, predictor or self.predictor, decider, opened, self.explain(terms))


def tick_rupees(instruments: Sequence[Instrument]) -> F8:
    """Tick sizes, float64 [S]."""
    return np.array([i.tick_size / 100.0 for i in instruments])
