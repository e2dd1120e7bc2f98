"""COMPOSITION ROOT, the part that says what is learned: features, labels, training, and the price rules of stored instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches

from intraday.config.model import ModelSettings
from intraday.config.settings import Settings
from intraday.config.trading import TradingSettings
from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.labels import SIGMA, LabelSpec
from intraday.core.price_rules import PriceRules, price_rules
from intraday.core.registry import default_registry
from intraday.core.rule_features import rule_features
from intraday.core.rules import RULES
from intraday.core.user_features import UserFeatures, load_user_features, no_user_features
from intraday.database.stores import Stores
from intraday.domain.errors import ConfigError
from intraday.domain.instruments import Instrument
from intraday.domain.session import SessionTable
from intraday.model.calibration import METHODS, Method
from intraday.model.cpcv import CpcvSpec
from intraday.model.drift import DriftSpec
from intraday.model.splits import Scheme, SplitSpec
from intraday.model.trainer import TrainSpec
from intraday.model.tuning import TuningSpec
from intraday.model.weighting import ClassWeights, Weighting

CALIBRATION = {"none": Method.IDENTITY, **{str(m): m for m in METHODS if m is not Method.IDENTITY}}  # as settings name them


def feature_set(settings: Settings, anchor: AnchorRule, sessions: SessionTable, universe: str = "") -> FeatureSet:
    """The configured features, the user's own among them. Raises ConfigError."""
    model, user = settings.model, user_features(settings, sessions)
    if SIGMA not in model.features and model.features != "all":
        raise ConfigError(
            f"model.features: expected {SIGMA!r} among them, which scales stops and targets, found {', '.join(model.features)}"
        )
    timeframe, known = settings.trading.timeframe, known_features(user, settings.trading.timeframe)
    wanted = [*user.joined(default_registry()), *user.functions.names] if model.features == "all" else list(model.features)
    if model.primary is not None and model.primary not in wanted:
        if model.primary not in (*known, *user.functions.names):
            raise ConfigError(_no_primary(model.primary, (*known, *user.functions.names)))
        wanted.append(model.primary)
    return FeatureSet.of(timeframe, wanted, known, anchor, user.functions, universe)


def known_features(user: UserFeatures, timeframe: int) -> Mapping[str, Feature]:
    """Everything that a feature set may be asked for: what is registered, the user's, and the simple rules (``model.primary``)."""
    return {**rule_features(timeframe), **user.joined(default_registry())}


def _no_primary(name: str, known: Sequence[str]) -> str:
    near = ", ".join(get_close_matches(name, known, n=5))
    expected = near or f"{', '.join(RULES)}, or a feature of docs/features.md or model.user_features"
    return f"model.primary: expected {expected}, found {name!r}"


def user_features(settings: Settings, sessions: SessionTable) -> UserFeatures:
    """Those of the file that ``model.user_features`` names. Raises ConfigError."""
    path = settings.model.user_features
    return no_user_features(sessions) if path is None else load_user_features(path, sessions, settings.trading.timeframe)


def label_spec(t: TradingSettings) -> LabelSpec:
    """The configured labels."""
    own = t.labels
    return LabelSpec(
        timeframe=t.timeframe,
        horizon_min=t.horizon_min,
        target_sigma=t.target_sigma,
        stop_sigma=t.stop_sigma,
        entry_delay_s=t.entry_delay_s,
        square_off_buffer_min=t.square_off_buffer_min,
        max_wait_min=own.max_wait_min,
        limit_ticks=own.limit_ticks,
        kind=own.kind,
        trend_from_min=own.trend_from_min,
        trend_step_min=own.trend_step_min,
        trend_t=own.trend_t,
    )


def train_spec(m: ModelSettings) -> TrainSpec:
    """The configured training, without a primary: controls and audits are of the machinery and its features."""
    w = m.walk_forward
    return TrainSpec(
        split=SplitSpec(Scheme(w.scheme), w.min_train_sessions, w.test_sessions, w.embargo_sessions),
        num_boost_round=m.num_boost_round,
        early_stopping_rounds=m.early_stopping_rounds,
        learning_rate=m.learning_rate,
        num_leaves=m.num_leaves,
        min_data_in_leaf=m.min_data_in_leaf,
        min_signals_per_session=m.min_signals_per_session,
        weights=Weighting(m.weights),
        time_decay=m.time_decay,
        seed=m.seed,
        threads=m.threads,
        class_weights=ClassWeights(m.class_weights),
        calibration=METHODS if m.calibration == "auto" else (CALIBRATION[m.calibration],),
        tuning=TuningSpec(m.tuning.trials, m.tuning.refit_every),
        cpcv=CpcvSpec(m.cpcv.groups, m.cpcv.test_groups),
        baselines=m.baselines,
        explained_rows=m.explained_rows,
    )


def drift_spec(m: ModelSettings) -> DriftSpec:
    """What counts as drift."""
    d = m.drift
    return DriftSpec(d.psi, d.alpha, d.share, d.least_sessions, d.block)


def stored_price_rules(
    stores: Stores, sessions: SessionTable, instruments: Sequence[Instrument], first: date, last: date
) -> PriceRules:
    """Dated tick sizes of ``instruments``, and the circuit limits that are known of ``first .. last``."""
    ids = [i.id for i in instruments]
    return price_rules(instruments, stores.instruments.tick_sizes(ids), stores.limits.read(ids, first, last), sessions)
