"""How an engine is put together from a trained model: the same way for live, replay and verify."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intraday.core.costs import Costs
from intraday.core.features import FeatureCalculator, FeatureSet
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import F8, Mask
from intraday.domain.session import Session
from intraday.live.engine import Engine, EngineSpec
from intraday.model.predictor import ModelPredictor
from intraday.signal.generator import SignalGenerator, SignalSpec

SIGMA = "sigma"  # the feature that stops and targets are scaled with


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An artifact that passed its checks, with what its decisions need."""

    feature_set: FeatureSet
    predictor: ModelPredictor
    label: LabelSpec
    costs: Costs
    notional: float  # rupees a trade

    @property
    def id(self) -> str:
        """The artifact's id."""
        return self.predictor.artifact.id

    def calculator(self, has_volume: Mask) -> FeatureCalculator:
        """A cold calculator of the model's features."""
        return FeatureCalculator(self.feature_set, has_volume)

    def decider(self, session: Session, tick_rupees: F8) -> SignalGenerator:
        """The decision rule of the model at the charges of the session's day."""
        artifact = self.predictor.artifact
        cost = self.costs.round_trip_bps(session.day, self.notional) / 1e4
        spec = SignalSpec(artifact.rule, cost, self.label, np.asarray(tick_rupees, np.float64), self.predictor.observe, artifact.id)
        return SignalGenerator(spec)

    def engine(self, session: Session, calculator: FeatureCalculator, tick_rupees: F8, grace_ns: int) -> Engine:
        """An engine for one session; ``calculator`` is warm."""
        spec = EngineSpec(self.feature_set.timeframe, grace_ns, self.feature_set.column(SIGMA))
        return Engine(session, calculator.n_instruments, spec, calculator, self.predictor, self.decider(session, tick_rupees))
