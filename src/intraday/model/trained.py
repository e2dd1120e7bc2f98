"""A trained model and everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.core.decision import DecisionRule
from intraday.model.calibration import Calibrator
from intraday.model.folds import FoldFigures
from intraday.model.metrics import Metrics, OutOfSample
from intraday.model.spec import TrainSpec


@dataclass(frozen=True, slots=True)
class Importance:
    """A feature's share of the final model's gain, and how often it was split on."""

    name: str
    gain: float
    splits: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model and everything that is known about it."""

    model_text: str
    feature_names: tuple[str, ...]
    spec: TrainSpec
    rounds: int
    sessions: tuple[int, int]  # first and last session number trained on
    rows: int
    label_counts: tuple[int, int, int]  # down, hold, up
    effective_rows: float  # sum of uniqueness: about how many labels do not overlap on their instrument
    folds: tuple[FoldFigures, ...]
    oos: OutOfSample
    calibrator: Calibrator
    rule: DecisionRule
    cost: float  # round trip of the last session, as a return
    metrics: Metrics
    verdict: str
    reason: str  # why that verdict, in one sentence with its figures
    importance: tuple[Importance, ...]  # largest gain first
