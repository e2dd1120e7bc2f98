from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from intraday.core.rules import RULES
from intraday.domain.arrays import F8, I8
from intraday.model.baselines import (
    ALPHA158,
    HOLD,
    LOGISTIC,
    PRIOR,
    Alpha158,
    BaselineResult,
    Forecaster,
    Logistic,
    PriorOnly,
    forecast,
    run_baselines,
    said,
)
from intraday.model.boosting import Weighed
from intraday.model.calibration import METHODS, Method
from intraday.model.dataset import Dataset
from intraday.model.folds import outcomes
from intraday.model.linear import Scaling, fit_linear
from intraday.model.metrics import OutOfSample
from intraday.model.pool import Fits, Resources
from intraday.model.sampling import spread_over_sessions
from intraday.model.splits import Fold, SplitSpec, walk_forward
from intraday.model.walk import Task
from intraday.model.weighting import uniqueness
from model_cases import FIRST_SESSION, NAMES, dataset

SPLIT = SplitSpec(min_train=12, test=5)
LEAST = 10.0


def with_rules(data: Dataset) -> Dataset:
    """Sides of both rules, and bars that are too late to trade."""
    rng = np.random.default_rng(9)
    sides = rng.choice(np.array([-1, 0, 0, 0, 1], np.int8), size=(len(data), len(RULES)))
    return replace(data, rules=sides, eligible=data.x[:, 3] < 24)


def folds_of(data: Dataset) -> list[Fold]:
    return walk_forward(data.ts_ns, data.t1_ns, data.session, SPLIT)


def task_of(data: Dataset, fits: Fits) -> Task:
    return Task(outcomes(data), uniqueness(data), NAMES, fits, lambda what, done, total: None)


def weighed_of(data: Dataset, at: I8) -> Weighed:
    return Weighed(at, data.label[at], uniqueness(data)[at])


def run(data: Dataset) -> dict[str, BaselineResult]:
    with Fits(data.x, 1, Resources()) as fits:
        found = run_baselines(task_of(data, fits), folds_of(data), lambda at: weighed_of(data, at), LEAST, METHODS, 7)
    return {one.name: one for one in found}


def forecasts(one: Forecaster, data: Dataset, weight: F8 | None = None) -> OutOfSample:
    own = uniqueness(data) if weight is None else weight
    with Fits(data.x, 1, Resources()) as fits:
        scored = one.fit_score(task_of(data, fits), folds_of(data), lambda at: Weighed(at, data.label[at], own[at]))
        return forecast(scored, outcomes(data), LEAST, one.methods)


@pytest.fixture(scope="module")
def found() -> dict[str, BaselineResult]:
    return run(with_rules(dataset(sessions=32)))


def test_all_are_there_on_the_sessions_that_are_scored(found: dict[str, BaselineResult]) -> None:
    assert list(found) == [HOLD, *RULES, PRIOR, LOGISTIC, ALPHA158]
    for one in found.values():
        assert one.path.session.tolist() == list(range(FIRST_SESSION + 13, FIRST_SESSION + 32))
        assert one.path.trades.sum() == one.trades
        if one.trades:
            assert one.net_bps_trade == pytest.approx(one.gross_bps_trade - one.cost_bps_trade)
            assert one.path.net.sum() * 1e4 == pytest.approx(one.net_bps_trade * one.trades)
            assert one.sharpe == pytest.approx(one.path.net.mean() / one.path.net.std(ddof=1))


def test_hold_does_nothing(found: dict[str, BaselineResult]) -> None:
    hold = found[HOLD]
    assert (hold.trades, hold.net_bps_session.mean, hold.net_bps_session.low) == (0, 0.0, 0.0)
    assert not hold.path.net.any()
    assert np.isnan([hold.log_loss, hold.brier, hold.net_bps_trade, hold.sharpe]).all()


def test_rules_are_taken_as_they_come_while_flat_and_in_time(found: dict[str, BaselineResult]) -> None:
    data = with_rules(dataset(sessions=32))
    rows = data.rows(np.concatenate([fold.score for fold in folds_of(data)]))
    for k, name in enumerate(RULES):
        open_until: dict[int, int] = {}
        made: list[float] = []
        for i in range(len(rows)):
            side, inst = int(rows.rules[i, k]), int(rows.inst[i])
            if side == 0 or not rows.eligible[i] or rows.close_ns[i] < open_until.get(inst, 0):
                continue
            open_until[inst] = int(rows.t1_ns[i])
            made.append(float((rows.ret_long if side > 0 else rows.ret_short)[i] - rows.cost[i]))
        assert found[name].trades == len(made) > 100
        assert found[name].net_bps_trade == pytest.approx(np.mean(made) * 1e4)
        assert np.isnan(found[name].log_loss)


def test_rules_that_nobody_computed_are_left_out() -> None:
    assert list(run(dataset(sessions=20, bars=12))) == [HOLD, PRIOR, LOGISTIC, ALPHA158]


def test_the_prior_says_the_prior() -> None:
    data = dataset(sessions=32)
    oos = forecasts(PriorOnly(), data)
    assert oos.p == pytest.approx(oos.prior, abs=1e-12)
    for k, fold in enumerate(folds_of(data)):
        counts = np.bincount(data.label[np.concatenate([fold.fit, fold.stop])].astype(int) + 1) + 1.0
        assert oos.p[oos.fold == k][0] == pytest.approx(counts / counts.sum())


def test_the_regression_finds_what_is_linear_and_pays(found: dict[str, BaselineResult]) -> None:
    assert found[LOGISTIC].log_loss < 0.85 * found[PRIOR].log_loss
    assert found[LOGISTIC].brier < found[PRIOR].brier
    assert found[LOGISTIC].net_bps_session.low > 0.0
    assert found[PRIOR].trades == 0  # the same everywhere: nothing is expected to pay its costs
    null = run(dataset(sessions=32, edge=0.0, seed=3))
    assert null[LOGISTIC].log_loss == pytest.approx(null[PRIOR].log_loss, abs=0.005)
    assert not null[LOGISTIC].net_bps_session.low > 0.0


def test_the_published_parameters_are_those_published() -> None:
    told = Alpha158(7).parameters()
    assert (told["feature_fraction"], told["learning_rate"], told["bagging_fraction"]) == (0.8879, 0.2, 0.8789)
    assert (told["lambda_l1"], told["lambda_l2"], told["max_depth"], told["num_leaves"]) == (205.6999, 580.9768, 8, 210)
    assert "bagging_freq" not in told


def test_published_trees_learn_where_there_are_rows_enough() -> None:
    data = dataset(sessions=18, instruments=40, bars=20, edge=2.0)
    oos = forecasts(Alpha158(7), data)
    prior = forecasts(PriorOnly(), data)
    assert run_loss(oos) < 0.9 * run_loss(prior)


def run_loss(oos: OutOfSample) -> float:
    return float(-np.log(oos.p[np.arange(len(oos)), oos.label.astype(int) + 1]).mean())


@pytest.mark.parametrize("one", [PriorOnly(), Logistic(), Alpha158(7)], ids=lambda one: one.name)
def test_nothing_of_the_rows_scored_is_known(one: Forecaster) -> None:
    """Other labels, returns and features of the last score window change no forecast, no threshold and no side but by features."""
    many = isinstance(one, Alpha158)  # held back as strongly as published, it learns nothing from a few rows
    data = dataset(sessions=18, instruments=40, bars=20, edge=2.0) if many else dataset(sessions=24, bars=20)
    last = folds_of(data)[-1].score
    label, long, x = data.label.copy(), data.ret_long.copy(), data.x.copy()
    label[last], long[last] = -label[last], 1.0
    x[last[: len(last) // 2]] = 9.0
    one_way = forecasts(one, data)
    other = forecasts(one, replace(data, label=label, ret_long=long, ret_short=-long, x=x))
    same = np.flatnonzero(one_way.fold < one_way.fold.max()).tolist() + list(range(len(one_way) - len(last) // 2, len(one_way)))
    for name in ("raw", "p", "side", "expected"):
        assert getattr(one_way, name)[same].tobytes() == getattr(other, name)[same].tobytes(), name


def test_runs_repeat_bit_for_bit_and_can_be_stored(found: dict[str, BaselineResult]) -> None:
    again = run(with_rules(dataset(sessions=32)))
    for name, one in found.items():
        told = json.dumps(one.to_dict())
        assert told == json.dumps(again[name].to_dict())
        assert json.loads(told)["path"]["trades"] == one.path.trades.tolist()


def test_weights_of_classes_do_not_reach_forecasts() -> None:
    data = dataset(sessions=24)
    columns = data.label.astype(int) + 1
    heavy = np.array([1.0, 6.0, 1.0])[columns]

    plain = Logistic(methods=(Method.IDENTITY,))
    fair, skewed = forecasts(plain, data), forecasts(plain, data, heavy)
    assert skewed.p.mean(axis=0) == pytest.approx(fair.p.mean(axis=0), abs=0.02)


def test_the_regression_is_scikit_learns_pipeline() -> None:
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((3_000, 5)) * [1, 10, 100, 1, 1] + [0, 5, 0, 0, 3]).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    label = (np.nan_to_num(x[:, 0]) + rng.standard_normal(3_000)).round().clip(-1, 1).astype(np.int8)
    at = np.arange(2_000)
    mine = fit_linear(x, Weighed(at, label[at], None), Weighed(at[:500], label[:500], None))
    assert mine is not None
    steps = (SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=mine.penalty, tol=1e-6, max_iter=500))
    other = make_pipeline(*steps).fit(x[at], label[at])
    later = np.arange(2_000, 3_000)
    raw = mine.raw(x, later)
    p = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    near = np.nanmax(np.abs(mine.scaling.apply(x[later])), axis=1) < 5.0  # where nothing was cut off
    assert near.mean() > 0.95
    assert p[near] == pytest.approx(other.predict_proba(x[later])[near], abs=2e-3)


def test_what_is_missing_or_beyond_all_bounds_does_no_harm() -> None:
    x = np.array([[1, np.nan, 4], [2, np.nan, 4], [3, np.nan, 4], [np.inf, np.nan, 4]], np.float32)
    scaling = Scaling.of(x)
    assert scaling.middle.tolist() == [2.0, 0.0, 4.0]
    got = scaling.apply(np.array([[np.nan, 7, 9], [1e30, np.nan, 4]], np.float32))
    assert got == pytest.approx(np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))
    rows = Weighed(np.arange(4), np.array([0, 0, 1, 1], np.int8), None)
    assert fit_linear(x, rows, rows) is None  # no row of one class


def test_rows_are_sampled_evenly_over_sessions() -> None:
    session = np.repeat([0, 2, 3, 4], [100, 100, 1, 100]).astype(np.int32)
    got = spread_over_sessions(session, 61)
    assert np.bincount(session[got], minlength=5).tolist() == [20, 0, 20, 1, 20]
    assert np.all(np.diff(got) > 0)
    assert got[:4].tolist() == [0, 5 + 3, 10 + 1, 15 + 4]
    assert spread_over_sessions(session, 301).tolist() == list(range(301))
    assert spread_over_sessions(session, 2).size == 4  # no session is left out
    inst = np.tile(np.arange(5), 20)
    assert len(set(inst[spread_over_sessions(session, 61)[:20] % 100].tolist())) == 5  # not one instrument alone


def test_a_side_of_a_row_too_late_is_none() -> None:
    data = with_rules(dataset(sessions=14))
    oos = said(outcomes(data), np.ones(len(data), np.int8))
    assert np.array_equal(oos.side != 0, data.eligible)
    assert not oos.trade[~data.eligible].any()
