"""The law of the trained pipeline and that of a user's own: each leak is caught, what is honest passes."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intraday.backtest.audit_model import ModelCase, model_laws
from intraday.backtest.audit_pipeline import anew, pipeline_law, plain_split, rotate
from intraday.core.anchor import AnchorRule
from intraday.core.audit.result import Finding, Law, Outcome
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import Lists, panel_of
from intraday.core.registry import default_registry
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.user_features import Pipeline, load_user_features
from intraday.domain.errors import ConfigError
from intraday.domain.session import SessionTable
from intraday.model.dataset import Dataset, join
from intraday.model.splits import SplitSpec
from intraday.model.trainer import LGBMTrainer, TrainSpec
from intraday.model.tuning import TuningSpec

LEAKS = Path(__file__).parents[1] / "leaks"
TRAINERS = runpy.run_path(str(LEAKS / "trainers.py"))
SESSIONS = SessionTable.load()
NAMES = ("ret_3", "session_pos")
SPEC = TrainSpec(SplitSpec(min_train=3, test=1), num_boost_round=25, min_data_in_leaf=20, threads=1)


@cache
def dataset() -> Dataset:
    """Seven sessions of four made-up instruments."""
    days = SESSIONS.between(date(2021, 3, 1), date(2021, 3, 9))
    market, n = SyntheticMarket(SyntheticSpec(instruments=3, seed=5), days), 4
    bars = np.concatenate([market.bars(i) for i in range(len(days))])
    minutes = panel_of(bars, n, 1, SESSIONS)
    panel = panel_of(HistoricalAggregator(n).aggregate(bars, 5), n, 5, SESSIONS)
    chosen = FeatureSet.of(5, (*NAMES, "sigma"), default_registry(), AnchorRule())
    x = FeatureCalculator(chosen, np.ones(n, np.bool_)).batch(panel)
    labeler = Labeler(LabelSpec(horizon_min=30), np.full(n, 0.05), Lists())
    labels = labeler.label(minutes, panel, np.ascontiguousarray(x[:, :, 2]), SESSIONS)
    t, inst = np.nonzero(panel.mask)
    return join(panel.ts_ns[t], inst.astype(np.int32), x[t, inst, :2], labels, lambda _: 1e-3, timeframe=5)


def trained(trainer: Any, test: int = 1) -> Finding:
    spec = replace(SPEC, split=replace(SPEC.split, test=test))
    found = model_laws(ModelCase(dataset(), NAMES, spec, trainer=trainer), np.random.default_rng(1))
    return next(f for f in found if f.law is Law.TRAINED)


OUTCOMES, LATER = "it knows outcomes of scored rows: ", "later in the day: "


@pytest.mark.parametrize(
    ("name", "reason", "where"),
    [
        ("StopsByTheScoredRows", OUTCOMES, "the score"),
        ("ThresholdOfTheScoredRows", OUTCOMES, "the signal"),
        ("TemperatureOfTheScoredRows", OUTCOMES, "the probability"),
        ("PriorOfAllRows", OUTCOMES, "the probability"),
        ("ScalesByAllRows", LATER, "the score"),
        ("ScalesByTheWholeDay", LATER, "the score"),
        ("FillsWithTheMedianOfAllRows", LATER, "the score"),
        ("SelectsByAllRows", OUTCOMES, "the score"),
        ("EncodesByAllLabels", OUTCOMES, "the score"),
        ("KnowsTheLabel", OUTCOMES, "the score"),
    ],
)
def test_a_trainer_that_looks_at_what_it_scores_is_caught_on_folds_of_one_session(name: str, reason: str, where: str) -> None:
    found = trained(TRAINERS[name])
    assert found.outcome is Outcome.FAILED
    assert reason in found.detail
    assert where in found.detail
    assert found.first is not None
    assert found.first.found != found.first.expected
    assert 0 < found.n_different <= found.n


def tuned(trainer: Any) -> Finding:
    spec = replace(SPEC, split=SplitSpec(min_train=5, test=2, embargo=0), num_boost_round=4, tuning=TuningSpec(trials=4))
    found = model_laws(ModelCase(dataset(), NAMES, spec, trainer=trainer), np.random.default_rng(1))
    return next(f for f in found if f.law is Law.TRAINED)


def test_a_search_that_looks_at_what_is_scored_is_caught_and_ours_does_not() -> None:
    leak = tuned(TRAINERS["TunesByTheScoredRows"])
    assert leak.outcome is Outcome.FAILED
    assert "of a scored row" in leak.detail
    assert tuned(LGBMTrainer).outcome is Outcome.PASSED


@pytest.mark.parametrize("test", [1, 2])
def test_the_trainer_passes(test: int) -> None:
    found = trained(LGBMTrainer, test)
    assert (found.outcome, found.n_different) == (Outcome.PASSED, 0)
    assert found.n > 1000


# ---------------------------------------------------------------------------------------------------------- own pipeline


def lazy() -> Pipeline:
    known: list[Any] = []

    def prepare(x: Any, label: Any, train: Any) -> Any:
        known.append(np.nanmean(x[train], axis=0))
        return x - known[0]

    return prepare


def random() -> Pipeline:
    generator = np.random.default_rng()
    return lambda x, label, train: x + generator.normal(size=x.shape)


def of(prepare: Callable[[Any, Any, Any], Any]) -> Callable[[], Pipeline]:
    return lambda: prepare


def scaled(x: Any, label: Any, train: Any) -> Any:
    return (x - x[train].mean(axis=0)) / x[train].std(axis=0)


def projected(x: Any, label: Any, train: Any) -> Any:
    """Principal components of large and nearly equal columns, in the precision of the features."""
    x = np.concatenate([x, 1e4 + x, 1e4 - x], axis=1).astype(np.float32)
    middle = x[train].mean(axis=0)
    return (x - middle) @ np.linalg.svd(x[train] - middle, full_matrices=False)[2].T


def summed(x: Any, label: Any, train: Any) -> Any:
    """Large, hardly varying, and added in an order that depends on how many rows there are, as BLAS does it."""
    return np.tile(np.float32(1e4) + x, 32).astype(np.float32) @ np.full((64, 1), 0.37, np.float32)


def own(fresh: Callable[[], Pipeline]) -> Finding:
    found = model_laws(ModelCase(dataset(), NAMES, SPEC, fresh), np.random.default_rng(1))
    return next(f for f in found if f.law is Law.PIPELINE)


@pytest.mark.parametrize(
    ("fresh", "reason"),
    [
        (lazy, "it remembers an earlier call: column 0"),
        (random, "it gives other values for the same rows"),
        (of(lambda x, label, train: np.concatenate([x, np.where(train, 0, label == 0)[:, None]], 1)), "depends on its label"),
        (of(lambda x, label, train: np.concatenate([x, np.where(train, 0, 1e9 + label)[:, None]], 1)), "depends on its label"),
        (of(lambda x, label, train: np.where(train, 0, 2**60 + label.astype(np.int64))[:, None]), "depends on its label: column 0"),
        (of(lambda x, label, train: x + np.where(train, 0.0, label)[:, None] * 1e-9), "depends on its label: column 0"),
        (of(lambda x, label, train: x[:, : 1 + (len(x) % 3 == 0)]), "the number of columns changes"),
        (
            of(lambda x, label, train: np.where(train[:, None], x, np.roll(x, -4, axis=0))),
            "a scored row depends on other scored rows",
        ),
        (of(lambda x, label, train: np.full((len(x), 1), 1e9 + label.mean())), "fitted on more than the training rows: column 0"),
        (of(lambda x, label, train: x / np.nanmax(np.abs(x), axis=0)), "fitted on more than the training rows"),
    ],
)
def test_a_pipeline_that_is_not_what_the_training_rows_say_is_caught(fresh: Callable[[], Pipeline], reason: str) -> None:
    found = own(fresh)
    assert found.outcome is Outcome.FAILED
    assert reason in found.detail
    assert found.first is not None
    assert found.first.ts_ns > 0


@pytest.mark.parametrize(
    "prepare", [scaled, projected, summed, lambda x, label, train: np.full((len(x), 1), 1e9 / 3 + x[train].mean())]
)
def test_honest_pipelines_pass_whatever_their_precision(prepare: Any) -> None:
    found = own(of(prepare))
    assert (found.outcome, found.detail) == (Outcome.PASSED, "")


def test_too_few_sessions_for_the_folds_still_check_the_pipeline() -> None:
    """A leak must not go unseen because the training has no fold yet."""
    data = dataset()
    few = data.rows(data.session < np.unique(data.session)[3])
    for prepare, outcome in ((scaled, Outcome.PASSED), (lambda x, label, train: x - x.mean(axis=0), Outcome.FAILED)):
        found = {f.law: f for f in model_laws(ModelCase(few, NAMES, SPEC, of(prepare)), np.random.default_rng(1))}
        assert {law for law, f in found.items() if f.outcome is Outcome.NOT_CHECKED} == {Law.FOLDS, Law.WEIGHTS, Law.TRAINED}
        assert found[Law.PIPELINE].outcome is outcome
        assert "on a plain split of the sessions, too few for the configured folds" in found[Law.PIPELINE].detail
    (fold,) = plain_split(few)
    assert few.t1_ns[fold.fit].max() < few.ts_ns[fold.score].min()
    assert len(np.unique(few.session[fold.score])) == 1
    one = few.rows(few.session == few.session[0])
    assert plain_split(one) == []
    assert pipeline_law(of(scaled), one, [], np.random.default_rng(1)).outcome is Outcome.NOT_CHECKED


def test_no_class_and_no_magnitude_survives_the_rotation() -> None:
    label = np.array([-1, 0, 1], np.int8)
    assert rotate(label).tolist() == [1, -1, 0]


def test_a_file_that_changes_while_it_is_audited_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text((LEAKS / "pipeline_lazy.py").read_text())
    user = load_user_features(mine, SESSIONS)
    x, train = np.arange(6.0, dtype=np.float32).reshape(3, 2), np.ones(3, np.bool_)
    anew(user, SESSIONS)(5.0 * x, np.zeros(3, np.int8), train)
    assert anew(user, SESSIONS)(x, np.zeros(3, np.int8), train).mean() == pytest.approx(0.0), "an earlier call is remembered"
    mine.write_text(mine.read_text() + "\n")
    with pytest.raises(ConfigError, match="found another; run the audit again"):
        anew(user, SESSIONS)
