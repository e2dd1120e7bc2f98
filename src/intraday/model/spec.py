"""How to train: one frozen record, written into the artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from intraday.model.calibration import METHODS, Method
from intraday.model.cpcv import CpcvSpec
from intraday.model.splits import SplitSpec
from intraday.model.tuning import TuningSpec
from intraday.model.verdict import VerdictSpec
from intraday.model.weighting import ClassWeights, Weighting

Tuned = Mapping[str, Any]  # LightGBM's parameters that a search found; empty: the spec's own
TUNED = ("learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction", "bagging_fraction", "lambda_l2")
"""The parameters that tuning may choose."""


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """How to train. Same data, spec, library versions and machine: the same model, byte for byte, however many processes."""

    split: SplitSpec = field(default_factory=SplitSpec)
    num_boost_round: int = 400
    early_stopping_rounds: int = 20
    learning_rate: float = 0.1
    num_leaves: int = 15
    min_data_in_leaf: int = 200
    feature_fraction: float = 0.7
    bagging_fraction: float = 0.7
    lambda_l2: float = 10.0
    weights: Weighting = Weighting.UNIQUENESS
    time_decay: float = 1.0  # weight of the oldest row learned from to the newest one's (core.weights.time_decay)
    seed: int = 7
    threads: int = 2
    min_signals_per_session: float = 10.0  # over all instruments; the threshold is lowered until at least this many show
    class_weights: ClassWeights = ClassWeights.NONE
    calibration: tuple[Method, ...] = METHODS  # chosen among on past sessions
    tuning: TuningSpec = field(default_factory=TuningSpec)
    cpcv: CpcvSpec = field(default_factory=CpcvSpec)
    verdict: VerdictSpec = field(default_factory=VerdictSpec)
    baselines: bool = False  # whether what a model has to beat is run beside it (``baselines``), which takes as long again
    explained_rows: int = 0  # scored rows of each fold whose contributions are computed, some 10 ms each; 0: none
    primary: str | None = None  # the feature whose sign is the only side that may be traded; None: either

    def record(self, *without: str) -> dict[str, Any]:
        """What was asked for, as plain values; never the number of threads, which changes no result. ``without``: other fields.
        Without a primary there is no word of it: what was trained before there were any keeps its name in the ledger."""
        left = ("threads", *without, *(() if self.primary else ("primary",)))
        return {name: value for name, value in asdict(self).items() if name not in left}

    def parameters(self, tuned: Tuned | None = None) -> dict[str, Any]:
        """LightGBM's parameters but the number of threads, which is not to change a result; ``tuned`` ones take precedence."""
        own = {name: getattr(self, name) for name in TUNED} | dict(tuned or {})
        assert set(own) == set(TUNED), f"tuned {sorted(own)}, expected among {TUNED}"
        return {
            "objective": "multiclass",
            "num_class": 3,
            "metric": "multi_logloss",
            "bagging_freq": 1,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,  # a third less work than row-wise on one thread; both are deterministic
            "verbosity": -1,
            **own,
        }
