"""A trained model and everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.core.decision import DecisionRule
from intraday.domain.arrays import F4, F8
from intraday.domain.learning import Trial
from intraday.model.baselines import BaselineResult
from intraday.model.calibration import Calibrator
from intraday.model.cpcv import PathFigures
from intraday.model.folds import FoldFigures
from intraday.model.metrics import Metrics, OutOfSample
from intraday.model.reliability import Reliability
from intraday.model.spec import TrainSpec
from intraday.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Importance:
    """A feature's share of the final model's gain, and how often it was split on."""

    name: str
    gain: float
    splits: int


@dataclass(frozen=True, slots=True)
class Explained:
    """What the features did to the scores of a sample of scored rows, each by the model of its fold (TreeSHAP).

    ``size`` float64 [folds, 3, F]: mean absolute contribution to the score of each class (down, hold, up). Of the ``names``, the
    largest by the mean of ``size``: ``toward_up`` float32 [m, names], what the feature adds to the score of up less that of down,
    and ``quantile`` float32 [m, names], where the row's value lies among the sampled rows (0 to 1, NaN where it has none).
    """

    size: F8
    names: tuple[str, ...]
    toward_up: F4
    quantile: F4


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model and everything that is known about it."""

    model_text: str
    feature_names: tuple[str, ...]
    spec: TrainSpec
    rounds: int
    parameters: str  # LightGBM's, of the final model, as JSON
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
    reliability: Reliability
    baselines: tuple[BaselineResult, ...]  # where they were asked for
    judged: Verdict
    importance: tuple[Importance, ...]  # largest gain first
    gain_by_fold: F8  # [folds, F] shares of each fold's gain, in order of feature_names
    trials: tuple[Trial, ...]  # every search's, then the configuration itself; scope, run and time are the ledger's to fill in
    paths: PathFigures | None  # of combinatorial cross-validation, where it was asked for
    explained: Explained | None  # where it was asked for

    @property
    def verdict(self) -> str:
        """In a word: "edge", "no tradable edge" or "not enough data"."""
        return self.judged.word

    @property
    def reason(self) -> str:
        """Why, with figures."""
        return self.judged.reason
