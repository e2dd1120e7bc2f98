from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from intraday.model.blocks import Blocks
from intraday.model.calibration import softmax
from intraday.model.calibration_error import calibration_error, equal_mass
from intraday.model.calibrators.logistic import fit_logistic
from intraday.model.metrics import OutOfSample
from intraday.model.path import path_of
from intraday.model.recalibration import class_line, joint_slope
from intraday.model.reliability import BINS, Reliability, reliability

PRIOR = np.array([0.3, 0.45, 0.25])
SESSIONS = 40


def scored(n: int = 12_000, seed: int = 1, bend: float = 1.0, slope: float = 1.0) -> OutOfSample:
    """Rows whose true log-odds are the forecast's times ``1 / bend``; all are trades that earn ``slope`` times what they say."""
    rng = np.random.default_rng(seed)
    z = 0.5 * rng.standard_normal((n, 3))
    truth, p = softmax(np.log(PRIOR) + z), softmax(np.log(PRIOR) + bend * z)
    label = ((rng.random(n)[:, None] > truth.cumsum(axis=1)).sum(axis=1) - 1).astype(np.int8)
    session = np.sort(rng.integers(0, SESSIONS, n)).astype(np.int32)
    expected = rng.normal(2e-4, 5e-4, n)
    gross = slope * expected + rng.normal(0.0, 2e-3, n) + 1e-4
    times, zeros, ones = np.arange(n, dtype=np.int64), np.zeros(n), np.ones(n, np.bool_)
    return OutOfSample(
        ts_ns=times, t1_ns=times, session=session, inst=zeros.astype(np.int32), fold=zeros.astype(np.int32), label=label,
        ret_long=gross, raw=np.log(p), p=p, prior=np.tile(PRIOR, (n, 1)), side=np.ones(n, np.int8), trade=ones, gross=gross,
        cost=np.full(n, 1e-4), paid=np.full(n, 1e-4), expected=expected, close_ns=times, close=zeros, end_ns=times, sigma=zeros,
        ret_short=-gross, eligible=ones, shown=np.ones(n, np.int8), shown_trade=ones,
    )  # fmt: skip


def figures(oos: OutOfSample, draws: int = 300) -> Reliability:
    return reliability(oos, np.random.default_rng(2), draws)


def hits(oos: OutOfSample, label: int) -> np.ndarray:
    return np.asarray(oos.label == label, dtype=np.float64)


@pytest.fixture(scope="module")
def honest() -> Reliability:
    return figures(scored())


def test_forecasts_that_are_true_look_it(honest: Reliability) -> None:
    assert honest.slope.low < 1.0 < honest.slope.high
    assert honest.ece < 0.01
    assert honest.brier_skill.low > 0.0
    assert honest.log_loss_skill.low > 0.0
    for one in honest.classes:
        assert one.slope.low < 1.0 < one.slope.high
        assert one.intercept.low < 0.0 < one.intercept.high
        assert one.ece.low == 0.0
        assert one.ece.mean < one.ece_plain
        assert sum(row.low <= row.mean_p <= row.high for row in one.curve) >= BINS - 2
        assert sum(row.n for row in one.curve) == honest.rows
    assert (honest.rows, honest.sessions) == (12_000, SESSIONS)


def test_forecasts_that_are_too_sure_have_a_slope_below_one() -> None:
    found = figures(scored(bend=2.0))
    assert found.slope.mean == pytest.approx(0.5, abs=0.05)
    assert found.slope.high < 0.7
    assert found.ece > 0.05
    for one in found.classes:
        assert one.slope.high < 0.8
        assert one.ece.low > 0.02
        assert one.mce.mean > one.ece.mean


def test_a_forecast_too_high_everywhere_shows_in_the_intercept() -> None:
    oos = scored()
    p = oos.p * np.array([1.3, 1.0, 1.0])
    found = figures(replace(oos, p=p / p.sum(axis=1, keepdims=True)))
    down = found.classes[0]
    assert down.slope.low < 1.0 < down.slope.high
    assert down.intercept.high < -0.1
    assert down.ece.mean == pytest.approx(down.mean_p - down.frequency, abs=0.004)


def test_slope_and_intercept_are_those_of_a_logistic_regression() -> None:
    oos = scored(bend=1.5)
    blocks = Blocks.of(oos.session, 10, np.random.default_rng(0))
    p = oos.p[:, 2]
    line = class_line(p, hits(oos, 1), blocks)
    other = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1_000).fit(np.log(p / (1.0 - p))[:, None], hits(oos, 1))
    assert line.slope.mean == pytest.approx(float(other.coef_[0, 0]), abs=1e-4)
    assert line.intercept.mean == pytest.approx(float(other.intercept_[0]), abs=1e-4)


def test_chunks_of_rows_change_nothing() -> None:
    oos = scored(n=2_000)
    blocks = Blocks.of(oos.session, 5, np.random.default_rng(0))
    whole, parts = blocks.per_session(oos.p), np.zeros((blocks.size, 3))
    for rows, part in blocks.chunks(300):
        parts += part.per_session(oos.p[rows])
    assert parts == pytest.approx(whole, rel=1e-12)


def test_one_step_draws_are_as_wide_as_regressions_of_every_draw() -> None:
    oos = scored(n=3_000, bend=1.5)
    blocks = Blocks.of(oos.session, 150, np.random.default_rng(0))
    odds, hit = np.log(oos.p[:, 0] / (1.0 - oos.p[:, 0])), hits(oos, -1)
    columns = np.column_stack([odds, np.ones(len(oos))])
    refitted = []
    for counts in blocks.counts.astype(int):
        rows = np.repeat(np.arange(len(oos)), counts[blocks.at])
        refitted.append(fit_logistic(columns[rows], hit[rows])[0])
    slow, fast = blocks.interval(np.array(refitted)), class_line(oos.p[:, 0], hits(oos, -1), blocks).slope
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.1 * (slow.high - slow.low))


def test_rows_of_a_session_go_together(honest: Reliability) -> None:
    """Every row ten times tells nothing new: nothing becomes surer. Ten times the sessions do."""
    oos = scored()
    ten = OutOfSample(*(np.repeat(getattr(oos, name), 10, axis=0) for name in OutOfSample.__slots__))
    again = figures(ten)
    assert again.slope.low == pytest.approx(honest.slope.low, abs=1e-6)
    assert again.signals.slope.high == pytest.approx(honest.signals.slope.high, abs=1e-6)
    for one, other in zip(again.classes, honest.classes, strict=True):
        assert one.ece.mean == pytest.approx(other.ece.mean, abs=2e-3)
        assert one.brier_skill.low == pytest.approx(other.brier_skill.low, abs=1e-9)
    finer = figures(replace(oos, session=np.arange(len(oos), dtype=np.int32) // 30))
    assert finer.slope.high - finer.slope.low < 1.3 * (honest.slope.high - honest.slope.low)


def test_calibration_error_by_hand() -> None:
    p = np.repeat([0.1, 0.2, 0.6, 0.8], 50)
    hit = np.tile(np.arange(50) < 25, 4).astype(np.float64)  # half of everything, the same in every session
    session = np.tile(np.arange(25), 8).astype(np.int32)
    found = calibration_error(p, hit, Blocks.of(session, 50, np.random.default_rng(0)), 4)
    assert [row.n for row in found.curve] == [50] * 4
    assert [row.mean_p for row in found.curve] == pytest.approx([0.1, 0.2, 0.6, 0.8])
    assert [row.frequency for row in found.curve] == [0.5] * 4
    assert found.plain == pytest.approx((0.4 + 0.3 + 0.1 + 0.3) / 4)
    assert found.ece.mean == pytest.approx(found.plain)  # sessions agree wholly: there is no noise to take off
    assert found.largest.mean == pytest.approx(0.4)


def test_the_noise_of_a_bin_is_that_of_its_sessions() -> None:
    """The cluster-robust standard error of a mean, by its textbook formula, session by session."""
    rng = np.random.default_rng(6)
    session = np.repeat(np.arange(12), rng.integers(1, 60, 12)).astype(np.int32)
    p = np.full(len(session), 0.2)
    hit = (rng.random(len(p)) < 0.05 + 0.4 * rng.random(12)[session]).astype(np.float64)
    gap = hit.mean() - 0.2
    residuals = [float((hit[session == k] - 0.2 - gap).sum()) for k in range(12)]
    error = np.sqrt(np.sum(np.square(residuals)) * 12 / 11) / len(p)
    folded = np.abs(gap + error * np.random.default_rng(0).standard_normal(1_000_000)).mean()
    found = calibration_error(p, hit, Blocks.of(session, 10, rng), 10)
    assert found.plain == pytest.approx(gap)
    assert gap < 3.0 * error  # noise enough to be taken off
    assert found.ece.mean == pytest.approx(2.0 * gap - folded, abs=2e-4)


def test_debiasing_takes_the_noise_off_and_leaves_the_error() -> None:
    plain, debiased, bent = [], [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.2, 0.6, 4_000)
        blocks = Blocks.of(rng.integers(0, 200, 4_000).astype(np.int32), 2, rng)
        found = calibration_error(p, (rng.random(4_000) < p).astype(np.float64), blocks, 10)
        plain.append(found.plain)
        debiased.append(found.ece.mean)
        bent.append(calibration_error(p, (rng.random(4_000) < p + 0.06).astype(np.float64), blocks, 10).ece.mean)
    assert np.mean(plain) > 0.014
    assert np.mean(debiased) < 0.65 * np.mean(plain)
    assert np.mean(bent) == pytest.approx(0.06, abs=0.003)


def test_bins_are_of_equal_mass_and_keep_equal_forecasts_together() -> None:
    bins, count = equal_mass(np.random.default_rng(0).random(1_000), 10)
    assert count == 10
    assert np.bincount(bins).tolist() == [100] * 10
    bins, count = equal_mass(np.array([0.3] * 90 + [0.4] * 10), 10)
    assert count == 2
    assert np.bincount(bins).tolist() == [90, 10]
    assert equal_mass(np.full(7, 0.3), 10)[1] == 1


def test_promises_of_signals_are_held_against_what_they_made() -> None:
    kept = figures(scored(slope=1.0)).signals
    assert kept.trades == 12_000
    assert kept.slope.low < 1.0 < kept.slope.high
    assert kept.gap_bps.low < 0.0 < kept.gap_bps.high
    assert [row.n for row in kept.curve] == [2_400] * 5
    assert sum(row.low <= row.expected_bps <= row.high for row in kept.curve) >= 4
    broken = figures(scored(slope=0.0)).signals
    assert broken.slope.low < 0.0 < broken.slope.high < 0.3
    assert broken.gap_bps.mean == pytest.approx(-2.0, abs=0.6)


def test_trades_alone_count_as_signals() -> None:
    oos = scored()
    some = figures(replace(oos, trade=np.arange(len(oos)) % 4 == 0)).signals
    assert some.trades == 3_000
    assert np.isfinite(some.slope.low)
    none = figures(replace(oos, trade=np.zeros(len(oos), np.bool_))).signals
    assert (none.trades, none.curve) == (0, ())
    equal = figures(replace(oos, expected=np.full(len(oos), 3e-4))).signals
    assert np.isnan(equal.slope.mean)
    assert np.isfinite(equal.gap_bps.low)


def test_forecasts_that_never_differ_have_no_slope() -> None:
    oos = scored(n=2_000)
    found = figures(replace(oos, p=np.tile(PRIOR, (len(oos), 1))))
    assert np.isnan([found.slope.mean, *(one.slope.mean for one in found.classes)]).all()
    assert found.brier_skill.mean == 0.0
    assert [len(one.curve) for one in found.classes] == [1, 1, 1]
    blocks = Blocks.of(oos.session, 5, np.random.default_rng(0))
    assert np.isnan(joint_slope(oos.p, np.zeros(len(oos), np.int8), blocks).mean)  # one class alone came


def test_two_sessions_have_figures_but_no_intervals() -> None:
    found = figures(replace(scored(n=2_000), session=(np.arange(2_000) // 1_000).astype(np.int32)))
    assert np.isfinite(found.slope.mean)
    assert np.isnan([found.slope.low, found.brier_skill.high, found.signals.gap_bps.low]).all()


def test_figures_can_be_stored_and_repeat_bit_for_bit(honest: Reliability) -> None:
    assert figures(scored()) == honest
    told = json.loads(json.dumps(honest.to_dict()))
    assert told["classes"][2]["label"] == 1
    assert told["signals"]["slope"]["low"] == honest.signals.slope.low


def test_forecasts_that_are_never_wrong_have_no_slope() -> None:
    """Any larger slope would be likelier still: no number, and no error either."""
    label = np.tile(np.array([-1, 0, 1], dtype=np.int8), 60)
    p = np.full((180, 3), 1e-12)
    p[np.arange(180), label.astype(np.int64) + 1] = 1.0
    found = joint_slope(p, label, Blocks.of(np.repeat(np.arange(20, dtype=np.int32), 9), 50, np.random.default_rng(1)))
    assert np.isnan(found.mean)


def test_a_trade_that_is_never_entered_is_none() -> None:
    """It pays nothing of its cost, makes nothing, and proves nothing about what was expected."""
    whole = scored(2000)
    skipped = np.arange(2000) % 4 == 0
    some = replace(whole, paid=np.where(skipped, 0.0, whole.paid), gross=np.where(skipped, 0.0, whole.gross))
    assert some.entered.tolist() == (~skipped).tolist()
    assert path_of(some).trades.sum() == 1500
    assert figures(some, 50).signals.trades == 1500
    free = replace(whole, cost=np.zeros(2000), paid=np.zeros(2000))  # without any cost all count
    assert path_of(free).trades.sum() == 2000
