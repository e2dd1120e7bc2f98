"""Sharpe ratios: the papers' worked examples, and paths that say nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from intraday.model.significance.edge import edge_test
from intraday.model.significance.effective import (
    effective_sessions,
    effective_trades,
    effective_trials,
    newey_west_error,
    sharpe_error_autocorrelated,
)
from intraday.model.significance.sharpe import (
    SharpeRatio,
    deflated,
    expected_maximum,
    minimum_track_record,
    normal_quantile,
    probabilistic,
    sharpe_ratio,
    standard_error,
    standard_error_normal,
)

# Bailey & Lopez de Prado 2014, "The deflated Sharpe ratio", section "A numerical example": SR 2.5 a year, five years of 250 days.
PAPER = SharpeRatio(2.5 / math.sqrt(250.0), 1250, skew=-3.0, kurtosis=10.0)
V = 0.5 / 250.0


def test_deflated_sharpe_of_the_paper() -> None:
    assert expected_maximum(100, V) == pytest.approx(0.1132, abs=5e-5)
    assert deflated(PAPER, 100, V) == pytest.approx(0.9004, abs=5e-5)
    assert deflated(PAPER, 46, V) == pytest.approx(0.9505, abs=5e-5)
    normal = SharpeRatio(PAPER.value, 1250)
    assert deflated(normal, 88, V) == pytest.approx(0.9505, abs=5e-5)


def test_probabilistic_sharpe_of_the_paper() -> None:
    # Bailey & Lopez de Prado 2012, section "Probabilistic Sharpe ratio": two years of months, SR 0.458 a month.
    assert probabilistic(SharpeRatio(0.458, 24)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic(SharpeRatio(0.458, 24, skew=-2.448, kurtosis=10.164)) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_minimum_track_record_of_the_paper(per_year: int, years: float) -> None:
    # The same, section "Minimum track record length": normal, SR 2 a year against 1, 95 %.
    s, benchmark = SharpeRatio(2.0 / math.sqrt(per_year), 100), 1.0 / math.sqrt(per_year)
    assert minimum_track_record(s, benchmark) / per_year == pytest.approx(years, abs=5e-3)


def test_track_record_is_where_psr_reaches_its_confidence() -> None:
    s = SharpeRatio(0.11, 300, skew=0.4, kurtosis=6.0)
    n = minimum_track_record(s, 0.02, 0.95)
    assert probabilistic(SharpeRatio(s.value, math.ceil(n), s.skew, s.kurtosis), 0.02) >= 0.95
    assert probabilistic(SharpeRatio(s.value, math.floor(n), s.skew, s.kurtosis), 0.02) < 0.95
    assert minimum_track_record(s, 0.11) == math.inf


def test_errors_of_normal_rows_agree() -> None:
    s = SharpeRatio(0.2, 1001)
    assert standard_error(s) == pytest.approx(standard_error_normal(s), rel=1e-3)
    assert standard_error_normal(SharpeRatio(0.0, 400)) == 0.05


def test_moments_are_scipys() -> None:
    x = np.random.default_rng(3).gamma(2.0, 1.0, 500) - 1.7
    s = sharpe_ratio(x)
    assert s.value == pytest.approx(x.mean() / x.std(ddof=1), rel=1e-12)
    assert (s.skew, s.kurtosis) == pytest.approx((stats.skew(x), stats.kurtosis(x, fisher=False)), rel=1e-12)
    assert normal_quantile(0.95) == pytest.approx(stats.norm.ppf(0.95), rel=1e-12)


def test_units_however_small_or_large() -> None:
    x = np.random.default_rng(8).gamma(2.0, 1.0, 60) - 1.7
    for unit in (1e-300, 1e-102, 1e200):
        s, same = sharpe_ratio(x * unit), sharpe_ratio(x)
        assert (s.value, s.skew, s.kurtosis) == pytest.approx((same.value, same.skew, same.kurtosis), rel=1e-9)
        assert edge_test(x * unit) == pytest.approx(edge_test(x), rel=1e-9)


def test_expected_maximum_is_about_the_maximum() -> None:
    for n in (10, 50, 400):
        found = np.random.default_rng(n).standard_normal((4000, n)).max(axis=1).mean()
        assert expected_maximum(n, 1.0) == pytest.approx(found, abs=0.05)
    assert expected_maximum(1, 4.0) == 0.0 and expected_maximum(20, 0.0) == 0.0


@pytest.mark.parametrize(
    "path", [np.empty(0), np.ones(1), np.array([0.1, -0.1]), np.zeros(200), np.full(200, -3e-4), np.full(200, 0.1) * 3.0 - 0.3]
)
def test_paths_that_say_nothing(path: np.ndarray) -> None:
    s = sharpe_ratio(path)
    assert not s.defined and math.isnan(s.value)
    assert probabilistic(s) == deflated(s, 20, 0.01) == 0.5
    assert math.isnan(standard_error(s)) and math.isnan(standard_error_normal(s)) and math.isnan(sharpe_error_autocorrelated(path))
    assert minimum_track_record(s) == math.inf


def test_autocorrelation_widens_errors_and_shrinks_samples() -> None:
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(2000)
    slow = np.convolve(noise, [1.0, 1.0], "valid") + 0.3  # first autocorrelation 0.5
    assert newey_west_error(noise) == pytest.approx(noise.std() / 2000**0.5, rel=0.15)
    assert newey_west_error(slow) == pytest.approx(slow.std() / 1999**0.5 * 2**0.5, rel=0.15)
    assert effective_sessions(slow) == pytest.approx(1000, rel=0.25)
    assert effective_sessions(np.tile([1.0, -1.0], 50)) == 100.0  # never more than there are
    assert effective_sessions(np.zeros(50)) == 50.0 and math.isnan(effective_sessions(np.zeros(2)))
    assert sharpe_error_autocorrelated(slow) > 1.2 * standard_error(sharpe_ratio(slow))


def test_effective_trades_of_sessions_that_move_together() -> None:
    rng = np.random.default_rng(6)
    session = np.repeat(np.arange(400, dtype=np.int32), 10)
    apart, together = rng.standard_normal(4000), np.repeat(rng.standard_normal(400), 10)
    assert effective_trades(apart, session) == pytest.approx(4000, rel=0.15)
    assert effective_trades(together, session) == pytest.approx(400, rel=0.02)
    assert effective_trades(np.array([1.0, 1.0, -1.0, -1.0]), np.array([0, 0, 1, 1], dtype=np.int32)) == 1.0
    assert math.isnan(effective_trades(apart[:10], session[:10])) and effective_trades(np.zeros(40), session[:40]) == 40.0


def test_effective_trials() -> None:
    rng = np.random.default_rng(7)
    common, own = rng.standard_normal((5000, 1)), rng.standard_normal((5000, 8))
    assert effective_trials(own) == pytest.approx(8.0, rel=0.1)
    assert effective_trials(np.repeat(common, 8, axis=1)) == pytest.approx(1.0, rel=1e-6)
    assert effective_trials(common + own) == pytest.approx(8 / (1 + 7 * 0.5), rel=0.1)
    assert effective_trials(np.hstack([common + own, np.zeros((5000, 2))])) == pytest.approx(2 + 8 / 4.5, rel=0.1)
    assert effective_trials(np.zeros((50, 3))) == 3.0
