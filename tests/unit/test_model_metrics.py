from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from intraday.model.calibration import MOST, Calibrator, fit_temperature, log_prior_of, scaled, softmax
from intraday.model.metrics import (
    Interval,
    bootstrap_mean,
    brier_scores,
    calibration_bins,
    direction_ic,
    log_losses,
    session_means,
    session_sums,
    take_flat,
)


def test_losses_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    label = np.array([-1, 1], dtype=np.int8)
    assert log_losses(p, label) == pytest.approx([-np.log(0.7), -np.log(0.5)])
    assert brier_scores(p, label) == pytest.approx([0.09 + 0.04 + 0.01, 0.25 + 0.25])


def test_sums_and_means_keep_empty_sessions_apart() -> None:
    sessions = np.array([3, 5, 9], dtype=np.int32)
    values, at = np.array([1.0, 2.0, 4.0]), np.array([3, 3, 9], dtype=np.int32)
    assert session_sums(values, at, sessions).tolist() == [3.0, 0.0, 4.0]
    assert session_means(values, at, sessions)[[0, 2]].tolist() == [1.5, 4.0]
    assert np.isnan(session_means(values, at, sessions)[1])


def test_one_position_per_instrument_at_a_time() -> None:
    side = np.array([1, 1, -1, 0, -1, 1], dtype=np.int8)
    inst = np.array([0, 0, 1, 0, 0, 0], dtype=np.int32)
    ts = np.array([0, 5, 5, 10, 20, 25])
    t1 = np.array([20, 25, 25, 30, 40, 45])
    assert take_flat(side, inst, ts, t1).tolist() == [True, False, True, False, True, False]


def test_ic_is_spearman_by_session() -> None:
    rng = np.random.default_rng(3)
    p = softmax(rng.standard_normal((40, 3)))
    ret = np.round(rng.standard_normal(40), 1)  # with ties
    session = np.repeat([1, 2], 20).astype(np.int32)
    found = direction_ic(p, ret, session, np.array([1, 2, 3], dtype=np.int32))
    for k in (1, 2):
        rows = session == k
        assert found[k - 1] == pytest.approx(spearmanr((p[:, 2] - p[:, 0])[rows], ret[rows]).statistic)
    assert np.isnan(found[2])


def test_bins_hold_every_row_once_and_what_happened() -> None:
    p = np.tile([0.25, 0.05, 0.7], (10, 1))
    label = np.array([1] * 7 + [-1] * 3, dtype=np.int8)
    bins = calibration_bins(p, label)
    assert [(b.label, b.n) for b in bins] == [(-1, 10), (0, 10), (1, 10)]
    assert [b.mean_p for b in bins] == pytest.approx([0.25, 0.05, 0.7])
    assert [b.frequency for b in bins] == pytest.approx([0.3, 0.0, 0.7])
    assert all(b.low <= b.mean_p <= b.high for b in bins)


def test_interval_of_too_little_or_no_spread() -> None:
    rng = np.random.default_rng(0)
    one = bootstrap_mean(np.array([2.0, np.nan]), rng)
    assert one.mean == 2.0
    assert np.isnan(one.low)
    assert bootstrap_mean(np.full(5, 3.0), rng) == Interval(3.0, 3.0, 3.0)


def test_interval_covers_at_its_stated_rate() -> None:
    """Skewed, heavy-tailed sessions without an edge: the lower end lies above zero about 2.5 % of the time, not 5 or 10."""
    rng = np.random.default_rng(11)
    above = below = 0
    for _ in range(600):
        values = rng.standard_t(4, 20) + 0.5 * (rng.exponential(1.0, 20) - 1.0)
        interval = bootstrap_mean(values, rng, draws=800)
        above += interval.low > 0
        below += interval.high < 0
    assert 0.005 < above / 600 < 0.035
    assert 0.02 < (above + below) / 600 < 0.065


def test_softmax_and_calibrator_see_rows_alone() -> None:
    rng = np.random.default_rng(5)
    raw = rng.standard_normal((257, 3)) * 3
    calibrator = Calibrator(1.7, (-1.2, -0.9, -1.2))
    together = calibrator.apply(raw)
    alone = np.concatenate([calibrator.apply(raw[i : i + 1]) for i in range(len(raw))])
    assert together.tobytes() == alone.tobytes()
    assert together.sum(axis=1) == pytest.approx(np.ones(257))


def test_temperature_one_is_softmax_and_a_hot_one_is_the_prior() -> None:
    raw = np.array([[0.3, -1.0, 2.0]])
    prior = np.array([0.2, 0.5, 0.3])
    log_prior = (float(np.log(0.2)), float(np.log(0.5)), float(np.log(0.3)))
    assert Calibrator(1.0, log_prior).apply(raw) == pytest.approx(softmax(raw))
    assert Calibrator(1e9, log_prior).apply(raw)[0] == pytest.approx(prior)


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(7)
    log_prior = np.log([0.3, 0.3, 0.4])
    margin = rng.standard_normal((20_000, 3))
    p = softmax(scaled(margin, log_prior, 2.0))
    label = ((rng.random(20_000)[:, None] > np.cumsum(p, axis=1)).sum(axis=1) - 1).astype(np.int8)
    assert fit_temperature(margin, log_prior, label) == pytest.approx(2.0, rel=0.05)
    shuffled = rng.permutation(label)
    assert fit_temperature(margin, np.asarray(log_prior_of(shuffled)), shuffled) > 0.8 * MOST
    assert fit_temperature(margin[:0], log_prior, label[:0]) == 1.0


def test_prior_counts_with_one_row_more_each() -> None:
    assert np.exp(log_prior_of(np.array([1, 1, -1], dtype=np.int8))) == pytest.approx([2 / 6, 1 / 6, 3 / 6])
