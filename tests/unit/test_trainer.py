from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from intraday.core.decision import DecisionRule, best_side, expected_net, said_by
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.domain.learning import TrialKind
from intraday.model.calibration import Method
from intraday.model.cpcv import CpcvSpec
from intraday.model.dataset import Dataset
from intraday.model.metrics import take_flat
from intraday.model.path import path_of
from intraday.model.splits import SplitSpec, walk_forward
from intraday.model.thresholds import choose_threshold, payoffs
from intraday.model.trainer import EDGE, NO_EDGE, TOO_LITTLE, LGBMTrainer, Trained, TrainSpec
from intraday.model.verdict import VerdictSpec
from model_cases import FIRST_SESSION, NAMES, dataset

SPEC = TrainSpec(
    split=SplitSpec(min_train=12, test=5),
    num_boost_round=60,
    early_stopping_rounds=10,
    min_data_in_leaf=50,
    threads=1,
    verdict=VerdictSpec(min_sessions=15, min_active=10),
)


def train(data: Dataset, spec: TrainSpec = SPEC) -> Trained:
    return LGBMTrainer(spec).train(data, NAMES)


@pytest.fixture(scope="module")
def edge() -> Trained:
    return train(dataset(sessions=32))


def test_a_planted_edge_is_found_and_its_feature_leads(edge: Trained) -> None:
    assert edge.verdict == EDGE, edge.reason
    assert edge.importance[0].name == "signal"
    m = edge.metrics
    assert m.log_loss < m.log_loss_prior
    assert m.skill_brier > 0
    assert m.ic.low > 0.1
    assert m.net_bps_session.low > 0
    assert m.net_bps_trade == pytest.approx(m.gross_bps_trade - m.cost_bps_trade)


def test_without_an_edge_there_is_none_and_observe_mode_still_shows_signals() -> None:
    found = train(dataset(sessions=34, edge=0.0, seed=5))
    assert found.verdict == NO_EDGE, found.reason
    m = found.metrics
    assert abs(m.ic.mean) < 0.05
    assert found.rule.threshold == 0.0 > found.rule.shown  # who is expected to lose is not traded, only shown
    assert (found.oos.expected[found.oos.trade] >= 0.0).all()
    assert found.oos.shown_trade.sum() >= m.sessions > m.trades / 10
    assert found.judged.figures["measured_trades"] >= found.oos.trade.sum()


def test_false_edges_are_rare_without_costs() -> None:
    """Gross, since net of costs the test could not fail; 12 markets without an edge."""
    spec = replace(SPEC, num_boost_round=20, verdict=VerdictSpec(min_sessions=10, min_active=5, min_trades=20))
    found = [train(dataset(sessions=28, edge=0.0, cost=0.0, seed=100 + k, bars=20), spec).verdict for k in range(12)]
    assert found.count(EDGE) <= 3  # 0.6 expected at 5 %


def test_too_few_sessions_give_no_verdict() -> None:
    found = train(dataset(sessions=22))
    assert found.verdict == TOO_LITTLE
    assert "15 out-of-sample sessions are needed, 9 are there" in found.reason


def test_too_little_to_train_is_said() -> None:
    with pytest.raises(NotEnoughData, match="found 10"):
        train(dataset(sessions=10))
    with pytest.raises(NotEnoughData, match="no row"):
        train(dataset(sessions=20).rows(np.empty(0, dtype=np.int64)))


def test_two_trainings_are_equal_byte_for_byte(edge: Trained) -> None:
    again = train(dataset(sessions=32))
    assert again.model_text == edge.model_text
    assert again.oos.p.tobytes() == edge.oos.p.tobytes()
    assert (again.metrics, again.rule, again.calibrator, again.folds) == (edge.metrics, edge.rule, edge.calibrator, edge.folds)
    assert train(dataset(sessions=32), replace(SPEC, seed=8)).model_text != edge.model_text


def test_out_of_sample_rows_are_the_later_sessions_once(edge: Trained) -> None:
    oos = edge.oos
    assert np.unique(oos.session).tolist() == list(range(FIRST_SESSION + 13, FIRST_SESSION + 32))
    assert len(oos) == 19 * 30 * 6
    keys = oos.ts_ns * 100 + oos.inst
    assert np.all(np.diff(keys) > 0)
    assert oos.p.sum(axis=1) == pytest.approx(np.ones(len(oos)))


@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_fold_knows_nothing_of_its_score_window(edge: Trained, k: int) -> None:
    """Change everything from fold k's score window on: its rounds, calibration and threshold and all before may not move."""
    data = dataset(sessions=32)
    start = walk_forward(data.ts_ns, data.t1_ns, data.session, SPEC.split)[k].score[0]
    label, x, ret = data.label.copy(), data.x.copy(), data.ret_long.copy()
    label[start:], x[start:], ret[start:] = -label[start:], -3 * x[start:], 5.0
    changed = train(replace(data, label=label, x=x, ret_long=ret))
    rows = edge.oos.fold < k
    assert changed.oos.p[rows].tobytes() == edge.oos.p[rows].tobytes()
    assert changed.oos.side[rows].tobytes() == edge.oos.side[rows].tobytes()
    ours, theirs = edge.folds[k], changed.folds[k]
    assert (ours.temperature, ours.threshold, ours.rounds) == (theirs.temperature, theirs.threshold, theirs.rounds)
    assert ours.log_loss != theirs.log_loss


def test_the_first_fold_is_calibrated_by_its_early_stop_rows_and_later_ones_by_the_past(edge: Trained) -> None:
    assert edge.folds[0].calibration == "temperatures"
    assert edge.folds[1].temperature != 1.0  # five sessions of the past choose nothing: the temperature
    only = train(dataset(sessions=32), replace(SPEC, calibration=(Method.IDENTITY,)))
    assert {f.calibration for f in only.folds} == {"identity"}


def test_the_final_model_has_the_folds_median_rounds(edge: Trained) -> None:
    assert edge.rounds == int(np.median([f.rounds for f in edge.folds]))
    assert edge.model_text.count("Tree=") == 3 * edge.rounds
    assert edge.sessions == (FIRST_SESSION, FIRST_SESSION + 31)


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[int, int]] = []
    LGBMTrainer(replace(SPEC, num_boost_round=3)).train(
        dataset(sessions=16), NAMES, lambda what, done, total: seen.append((done, total))
    )
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]


def test_rows_that_are_not_eligible_never_trade() -> None:
    data = dataset(sessions=20)
    half = data.inst < 3
    found = train(replace(data, eligible=half))
    assert found.oos.side.any()
    assert set(np.unique(found.oos.inst[found.oos.side != 0])) <= {0, 1, 2}


def test_what_was_tried_before_is_counted_once_each(edge: Trained) -> None:
    (own,) = edge.trials
    assert own.kind is TrialKind.CONFIGURATION
    assert own.net.tobytes() == path_of(edge.oos).net.tobytes()
    rng = np.random.default_rng(3)
    others = [replace(own, id=f"other {k}", net=0.01 * rng.standard_normal(own.net.size)) for k in range(19)]
    again = LGBMTrainer(SPEC).train(dataset(sessions=32), NAMES, ledger=lambda: [*others, replace(own, net=-own.net)])
    assert (edge.judged.figures["n_trials"], again.judged.figures["n_trials"]) == (1, 20)
    assert again.judged.figures["variance_of_sharpes"] > 0.0
    assert again.judged.figures["p_value"] > edge.judged.figures["p_value"]
    assert again.trials[0].id == own.id
    assert LGBMTrainer(SPEC).train(dataset(sessions=32), NAMES, about={"labels": "others"}).trials[0].id != own.id


def test_cross_validation_paths_show_the_edge_and_its_absence() -> None:
    spec = replace(SPEC, cpcv=CpcvSpec(5, 2), num_boost_round=20)
    found, nothing = (train(dataset(sessions=24, edge=strength), spec).paths for strength in (1.0, 0.0))
    assert found is not None
    assert nothing is not None
    assert (found.splits, len(found.sharpes), len(found.trades)) == (10, 4, 4)
    assert min(found.sharpes) > 1.0
    assert np.nanmax(nothing.sharpes) < 0.3  # hardly a trade was expected to pay


def test_the_leading_feature_leads_in_every_fold(edge: Trained) -> None:
    assert edge.gain_by_fold.shape == (len(edge.folds), len(NAMES))
    assert edge.gain_by_fold.sum(axis=1) == pytest.approx(np.ones(len(edge.folds)))
    assert (edge.gain_by_fold.argmax(axis=1) == NAMES.index("signal")).all()
    found = train(dataset(sessions=20), replace(SPEC, explained_rows=40)).explained
    assert found is not None
    assert found.names[0] == "signal"
    assert np.corrcoef(found.toward_up[:, 0], found.quantile[:, 0])[0, 1] > 0.8
    assert np.isnan(found.quantile[:, found.names.index("noise_a")]).any(), "missing values stay missing"


# ------------------------------------------------------------------------------------------------------ rule, threshold


def test_expected_net_by_hand() -> None:
    rule = DecisionRule((-3.0, 0.5, 3.0), (3.0, -0.5, -3.0), 0.0)
    p = np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2], [0.3, 0.4, 0.3], [np.nan, 0.4, 0.3]])
    sigma, cost = np.full(4, 0.001), np.full(4, 0.0006)
    long, short = expected_net(rule, p, sigma, cost)
    assert long[:3] == pytest.approx([0.0013 - 0.0006, -0.0011 - 0.0006, 0.0002 - 0.0006])
    assert short[:3] == pytest.approx([-0.0013 - 0.0006, 0.0011 - 0.0006, -0.0002 - 0.0006])
    side, score = best_side(rule, p, sigma, cost)
    assert side.tolist() == [1, -1, 1, 0]
    assert score[:3] == pytest.approx([0.0013 - 0.0006, 0.0011 - 0.0006, 0.0002 - 0.0006])
    assert np.isnan(score[3])


def test_payoffs_are_sums_over_sums() -> None:
    data = dataset(sessions=2)
    rule = payoffs(data)
    up = data.label == 1
    assert rule.long[2] == pytest.approx(data.ret_long[up].sum() / data.sigma[up].sum())
    assert rule.short[2] == pytest.approx(-rule.long[2])
    assert payoffs(data.rows(up)).long[:2] == (0.0, 0.0)


def test_threshold_is_the_best_of_the_past_among_those_that_show_enough() -> None:
    data = dataset(sessions=10)
    rng = np.random.default_rng(0)
    p = rng.dirichlet([2, 2, 2], len(data))
    rule = payoffs(data)

    def trades_and_net(threshold: float) -> tuple[int, float]:
        side, score = best_side(rule, p, data.sigma, data.cost)
        side = np.where(score >= threshold, side, 0).astype(np.int8)
        taken = take_flat(side, data.inst, data.close_ns, data.t1_ns)
        gross = np.where(side > 0, data.ret_long, data.ret_short)
        return int(taken.sum()), float((gross - data.cost)[taken].sum())

    few, many = choose_threshold(rule, p, data, 1.0), choose_threshold(rule, p, data, 12.0)
    assert few > many
    assert trades_and_net(few)[0] >= 10
    assert trades_and_net(many)[0] >= 120
    assert trades_and_net(few)[1] > trades_and_net(many)[1]  # random forecasts lose the cost on every trade
    assert trades_and_net(choose_threshold(rule, p, data, 1e9))[0] > 200  # cannot be met: the lowest candidate
    assert choose_threshold(rule, p, replace(data, eligible=np.zeros(len(data), dtype=np.bool_)), 1.0) == math.inf


def test_on_top_of_a_primary_only_its_sides_are_traded(edge: Trained) -> None:
    """Of the same market: half of what a coin says; the coin itself is a baseline, and others are free of it."""
    data = dataset(sessions=32)
    coin = np.random.default_rng(3).choice([-1.0, 0.0, np.nan, 1.0], len(data)).astype(np.float32)
    data = replace(data, x=np.column_stack([data.x[:, :2], coin, data.x[:, 3]]))
    said, spec = said_by(coin), replace(SPEC, primary="noise_b", baselines=True, num_boost_round=20, min_signals_per_session=1.0)
    found = train(data, spec)
    oos = found.oos
    scored = said[np.isin(data.session, oos.session)]
    assert set(np.unique(scored)) == {-1, 0, 1}
    for side in (oos.side, oos.shown):
        assert (side != 0).sum() > 100 and (side == scored)[side != 0].all()
    assert edge.verdict == found.verdict == EDGE, found.reason
    names = [one.name for one in found.baselines]
    alone = found.baselines[names.index("noise_b")]
    assert names.count("noise_b") == 1 and alone.trades > found.metrics.trades and alone.net_bps_trade < 0.0
    bare = train(data, replace(spec, primary=None))
    others = [(one.name, one.trades, one.net_bps_trade) for one in found.baselines if one is not alone]
    assert repr(others) == repr([(one.name, one.trades, one.net_bps_trade) for one in bare.baselines])
    assert found.model_text == bare.model_text and np.array_equal(oos.p, bare.oos.p), "it learns from every row"
    assert found.trials[-1].id != bare.trials[-1].id, "another configuration"
    assert json.loads(found.trials[-1].parameters)["spec"]["primary"] == "noise_b"
    assert "primary" not in bare.spec.record() and "primary" not in json.loads(bare.trials[-1].parameters)["spec"]


def test_no_threshold_knows_what_other_sides_than_the_primarys_paid() -> None:
    data, rng = dataset(sessions=12, seed=4), np.random.default_rng(1)
    said = rng.choice([-1, 0, 1], len(data)).astype(np.int8)
    p = rng.dirichlet([1.0, 1.0, 1.0], len(data))
    rule = payoffs(data)
    other = replace(data, ret_long=np.where(said > 0, data.ret_long, 0.9), ret_short=np.where(said < 0, data.ret_short, -0.9))
    found = choose_threshold(rule, p, data.on_top_of(said), 1.0)
    assert choose_threshold(rule, p, other.on_top_of(said), 1.0) == found
    assert choose_threshold(rule, p, other, 1.0) != found
    assert not data.on_top_of(said).allows((-said).astype(np.int8)).any()


def test_a_primary_that_is_no_feature_or_says_nothing_is_told() -> None:
    data = dataset(sessions=24)
    with pytest.raises(ConfigError, match="expected one of the 4 features that are trained on, found 'nobody'"):
        train(data, replace(SPEC, primary="nobody"))
    silent = replace(data, x=data.x * np.array([1, 1, 0, 1], np.float32))
    with pytest.raises(NotEnoughData, match="noise_b says no side that may be traded"):
        train(silent, replace(SPEC, primary="noise_b"))
