"""The second model: it learns which of a primary's trades are worth taking, knows nothing of the future and turns no side round."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from intraday.core.decision import DecisionRule, best_side
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.meta_labels import MetaLabeler, MetaSpec
from intraday.domain.errors import NotEnoughData
from intraday.model.calibration import Calibrator
from intraday.model.dataset import Dataset, join
from intraday.model.folds import out_of_sample, outcomes
from intraday.model.meta import AS_IT_IS, NEVER, Bet, MetaTrained, MetaTrainer, MetaTrainSpec
from intraday.model.metrics import OutOfSample, measure
from intraday.model.path import path_of
from intraday.model.primary import Primary, worth_taking
from intraday.model.splits import SplitSpec
from model_cases import NAMES, dataset
from property.test_label_laws import TABLE, make_case

SPEC = MetaTrainSpec(split=SplitSpec(min_train=10, test=5), num_boost_round=60, min_rows=100)


def with_rule(sessions: int = 25, edge: float = 1.0, seed: int = 1) -> Dataset:
    """A rule that says a side at random on one row in three; whether it is worth taking is in the feature ``signal``."""
    data = dataset(sessions=sessions, edge=edge, seed=seed)
    rng = np.random.default_rng(seed + 100)
    side = np.where(rng.random(len(data)) < 0.33, rng.choice([-1, 1], len(data)), 0).astype(np.int8)
    return replace(data, rules=side[:, None])


def trained(data: Dataset, spec: MetaTrainSpec = SPEC) -> MetaTrained:
    return MetaTrainer(spec).train(data, NAMES, Primary.rule("coin", data, 0))


def same(a: OutOfSample, b: OutOfSample) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=f.name != "side") for f in fields(OutOfSample))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return with_rule()


@pytest.fixture(scope="module")
def found(data: Dataset) -> MetaTrained:
    return trained(data)


def test_it_takes_the_trades_that_are_worth_taking(data: Dataset, found: MetaTrained) -> None:
    oos, rows = found.oos, data.rows(np.isin(data.session, found.oos.session))
    said = rows.rules[:, 0]
    all_of_them = worth_taking(rows, said)[said != 0].mean()
    taken = worth_taking(rows, oos.side)[oos.side != 0].mean()
    assert 0.3 < all_of_them < 0.5 and taken > all_of_them + 0.15
    net = path_of(oos).net
    assert len(net) == 14 and net.mean() > 2 * net.std(ddof=1) / 14**0.5
    assert measure(oos, np.random.default_rng(1)).skill_log_loss > 0.05


def test_it_turns_no_side_round(data: Dataset, found: MetaTrained) -> None:
    oos, rows = found.oos, data.rows(np.isin(data.session, found.oos.session))
    bets = oos.side != 0
    assert 50 < bets.sum() < (rows.rules[:, 0] != 0).sum()
    np.testing.assert_array_equal(oos.side[bets], rows.rules[bets, 0])
    np.testing.assert_array_equal(oos.gross[bets], np.where(oos.side > 0, rows.ret_long, rows.ret_short)[bets])
    np.testing.assert_array_equal(oos.label[bets], oos.side[bets] * worth_taking(rows, oos.side)[bets])
    np.testing.assert_allclose(oos.p.sum(axis=1), 1.0)
    silent = rows.rules[:, 0] == 0
    assert (oos.p[silent] == [0.0, 1.0, 0.0]).all() and (oos.label[silent] == 0).all()


def test_the_same_input_gives_the_same_model(data: Dataset, found: MetaTrained) -> None:
    again = trained(data)
    assert same(found.oos, again.oos) and found.model_text == again.model_text and found.bet == again.bet


def test_the_future_changes_no_earlier_fold(data: Dataset, found: MetaTrained) -> None:
    last = found.folds[-1].score_sessions[0]
    later = data.session >= last
    changed = replace(
        data, x=np.where(later[:, None], 7.0, data.x).astype(np.float32), ret_long=np.where(later, -data.ret_long, data.ret_long)
    )
    other = trained(changed).oos
    before = found.oos.session < last
    for f in fields(OutOfSample):
        np.testing.assert_array_equal(getattr(found.oos, f.name)[before], getattr(other, f.name)[before])
    score, was = other.p[~before], found.oos.p[~before]
    assert not np.array_equal(score, was)


def test_a_row_s_outcome_does_not_move_its_own_bet(data: Dataset, found: MetaTrained) -> None:
    last = found.oos.session >= found.folds[-1].score_sessions[0]
    at = np.isin(data.session, found.oos.session[last])
    other = trained(replace(data, ret_long=np.where(at, 0.5, data.ret_long), ret_short=np.where(at, 0.5, data.ret_short))).oos
    np.testing.assert_array_equal(other.side, found.oos.side)
    np.testing.assert_array_equal(other.p, found.oos.p)


def test_rows_may_count_as_a_sequential_bootstrap_draws_them(data: Dataset, found: MetaTrained) -> None:
    spec = replace(SPEC, sequential=True)
    drawn, again = trained(data, spec), trained(data, spec)
    assert drawn.model_text == again.model_text != found.model_text
    assert path_of(drawn.oos).net.mean() > 0.0


def test_the_sign_of_a_feature_is_a_primary_too(data: Dataset) -> None:
    primary = Primary.feature("mine", data, 0)
    assert set(np.unique(primary.side)) == {-1, 1}
    np.testing.assert_array_equal(primary.side, np.sign(data.x[:, 0]))
    holes = Primary.feature("holes", data, 1)
    np.testing.assert_array_equal(holes.side == 0, np.isnan(data.x[:, 1]))


def scored(data: Dataset, rows: np.ndarray) -> OutOfSample:
    raw = np.random.default_rng(3).standard_normal((len(rows), 3))
    rule = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), 0.0005)
    return out_of_sample(outcomes(data).rows(rows), 0, raw, Calibrator(1.0, (-1.0, -1.0, -1.0)), rule)


def test_of_a_model_only_scored_rows_count(data: Dataset) -> None:
    rows = np.flatnonzero(data.session >= data.session[0] + 5)
    oos = scored(data, rows)
    primary = Primary.model("first", data, oos)
    unseen = np.setdiff1d(np.arange(len(data)), rows)
    assert (primary.side[unseen] == 0).all() and np.isnan(primary.extra[unseen]).all()
    np.testing.assert_array_equal(primary.side[rows], oos.side)
    np.testing.assert_array_equal(primary.extra[rows], oos.p.astype(np.float32))
    found = MetaTrainer(replace(SPEC, split=SplitSpec(min_train=15, test=5))).train(data, NAMES, primary)
    assert found.names == (*NAMES, "primary_down", "primary_hold", "primary_up")
    assert (np.isin(found.oos.side, [0]) | (found.oos.side == oos.side[np.isin(oos.session, found.oos.session)])).all()
    with pytest.raises(AssertionError, match="does not have"):
        Primary.model("first", data.rows(np.arange(100)), oos)


def test_too_few_signals_say_so(data: Dataset) -> None:
    with pytest.raises(NotEnoughData, match="coin: expected 9000 signals to learn from before some fold"):
        trained(data, replace(SPEC, min_rows=9_000))
    rare = replace(data, rules=np.where(np.arange(len(data))[:, None] % 400 == 0, data.rules, 0).astype(np.int8))
    with pytest.raises(NotEnoughData):
        trained(rare)


def test_a_bet_by_hand() -> None:
    bet = Bet(AS_IT_IS, DecisionRule((NEVER, -1.0, 2.0), (2.0, -1.0, NEVER), 0.0))
    side = np.array([1, -1, 0, 1], np.int8)
    p = bet.p(side, np.array([0.0, 0.0, 9.0, -9.0]))
    np.testing.assert_allclose(p[:3], [[0.0, 0.5, 0.5], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    said, expected = best_side(bet.rule, p, np.full(4, 0.002), np.full(4, 0.0006))
    assert said.tolist() == side.tolist()  # whatever the odds, nothing is turned round
    assert expected[:2] == pytest.approx(0.002 * 0.5 - 0.0006) and expected[3] < 0.0


@pytest.mark.parametrize("seed", [5, 6])
def test_worth_is_what_meta_labels_say(seed: int) -> None:
    case, spec, tick = make_case(seed, 3, 0.05, 5, 5), LabelSpec(horizon_min=30), np.full(3, 0.05)
    both = Labeler(spec, tick).label(case.minutes, case.decisions, case.sigma, TABLE)
    side = np.random.default_rng(seed).choice([-1, 1], case.decisions.mask.shape).astype(np.int8)
    meta = MetaLabeler(MetaSpec(spec, "rng"), tick).label(case.minutes, case.decisions, case.sigma, side, np.float64(0.0005), TABLE)
    rows = join(both["ts_ns"], both["inst"], np.zeros((len(both), 1), np.float32), both, lambda _: 0.0005, timeframe=5)
    at = np.searchsorted(case.decisions.ts_ns, rows.ts_ns)
    wanted = {(int(m["ts_ns"]), int(m["inst"])): int(m["label"]) for m in meta}
    got = worth_taking(rows, side[at, rows.inst])
    assert len(rows) > 30 and 0 < got.sum() < len(got)
    assert [wanted[int(t), int(i)] for t, i in zip(rows.ts_ns, rows.inst, strict=True)] == got.tolist()
