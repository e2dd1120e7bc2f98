"""Settings of features, validation and LightGBM."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from intraday.config.section import Section, Symbol


class WalkForwardSettings(Section):
    """Validation by session: train on earlier sessions, score later ones."""

    scheme: Literal["expanding", "rolling"] = Field(
        default="expanding", description="training window grows, or keeps min_train_sessions"
    )
    min_train_sessions: int = Field(default=15, ge=2, description="sessions in the first training window")
    test_sessions: int = Field(default=5, ge=1, description="sessions scored by each fold")
    embargo_sessions: int = Field(
        default=1, ge=0, description="sessions left out between training and scoring; labels are purged by time anyway"
    )


class TuningSettings(Section):
    """Search for LightGBM's settings with Optuna, inside training windows only (docs/validation.md)."""

    trials: int = Field(default=0, ge=0, le=10_000, description="settings tried in each search; 0: no search, those given are used")
    refit_every: int = Field(
        default=0, ge=0, description="search again every so many folds; 0: once, in the first fold's training window"
    )


class CpcvSettings(Section):
    """Combinatorial purged cross-validation beside the walk-forward: many test paths instead of one. It changes no verdict."""

    groups: int = Field(default=0, ge=0, le=20, description="groups the sessions are cut into; 0: none of it")
    test_groups: int = Field(default=2, ge=1, le=10, description="groups scored by each split")


class DriftSettings(Section):
    """When `intraday retrain --if-drifted` says that the world has moved (docs/registry.md)."""

    psi: float = Field(default=0.2, gt=0, description="population stability index above which a feature has moved")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="share of false alarms among the features said to have moved")
    share: float = Field(default=0.1, ge=0, le=1, description="so many of the features may move without consequence")
    least_sessions: int = Field(default=10, ge=5, description="sessions since training below which nothing is said")
    block: int = Field(default=5, ge=1, description="sessions that stay together when chance is measured")


class ModelSettings(Section):
    """Features, validation and LightGBM."""

    features: Literal["all"] | tuple[Symbol, ...] = Field(default="all", description="all registered features, or a list of names")
    user_features: Path | None = Field(
        default=None, description="a Python file with features of your own (docs/user-features.md); null: none"
    )
    primary: Symbol | None = Field(
        default=None,
        description="what says the sides, for a model that says which of them are worth taking (docs/signals.md): "
        "opening_range_breakout, moving_average_cross or a feature, whose sign is the side; null: the model says them itself",
    )
    anchor: Literal["auto", "previous_quarter"] | date = Field(
        default="auto",
        description="where recursive state starts: previous_quarter (its first session), a fixed day, or auto: previous_quarter "
        "once a year is stored, the first stored day until then",
    )
    index: Symbol | None = Field(
        default=None,
        description="the market index that context features compare with, e.g. NSE:NIFTY 50; left out: NIFTY 50, or the only index "
        "of the universe; without one these features are missing",
    )
    walk_forward: WalkForwardSettings = Field(default=WalkForwardSettings(), description="walk-forward validation")
    tuning: TuningSettings = Field(default=TuningSettings(), description="search for LightGBM's settings")
    cpcv: CpcvSettings = Field(default=CpcvSettings(), description="combinatorial purged cross-validation")
    drift: DriftSettings = Field(default=DriftSettings(), description="when the world has moved since training")
    calibration: Literal["auto", "none", "temperature", "temperatures", "beta", "isotonic"] = Field(
        default="auto", description="how scores become probabilities (docs/calibration.md); auto: the best on past sessions"
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: classes weigh the same in boosting; the probabilities are corrected for it"
    )
    num_boost_round: int = Field(default=400, ge=1, description="most trees a class")
    early_stopping_rounds: int = Field(
        default=20, ge=1, description="stop when the early-stopping sessions have not improved for so many rounds"
    )
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="shrinkage of each tree")
    num_leaves: int = Field(default=15, ge=2, le=1024, description="most leaves of a tree")
    min_data_in_leaf: int = Field(default=200, ge=1, description="fewest labels in a leaf")
    min_signals_per_session: float = Field(
        default=10.0,
        ge=0,
        description="BUY and SELL of all instruments together that a session shows on average; a model that sees fewer worth "
        "taking shows its best ones (observe mode)",
    )
    weights: Literal["uniqueness", "return_attribution", "none"] = Field(
        default="uniqueness",
        description="how rows weigh in training (docs/labels.md): by how few labels of the instrument they overlap with, by the "
        "return that is theirs alone, or all the same",
    )
    time_decay: float = Field(
        default=1.0,
        gt=-1,
        le=1,
        description="weight of the oldest row to that of the newest, along a line; 1: no decay; below 0: that share is forgotten",
    )
    seed: int = Field(default=7, ge=0, description="same data and seed, same model")
    threads: int = Field(default=2, ge=1, le=256, description="threads for training; the trees do not depend on it")
    baselines: bool = Field(
        default=True, description="fit what a model has to beat on the same rows and folds too (docs/baselines.md)"
    )
    explained_rows: int = Field(
        default=200, ge=0, le=20_000, description="scored rows of each fold whose SHAP values the report shows; 0: none"
    )
    workers: int = Field(
        default=2, ge=1, le=256, description="processes that fit folds and trials at the same time; they share the threads"
    )
    directory: Path = Field(default=Path("models"), description="folder of model artifacts, inside data_dir unless absolute")
