"""The test behind "edge" fires as often as it says on paths without an edge, whatever their shape.

INTRADAY_EDGE_PATHS sets the paths a case (400, the number of null markets in the controls); the whole table of sizes is made by
``scripts/edge_test_sizes.py``.
"""

from __future__ import annotations

import os
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from intraday.model.significance.bootstrap import bootstrap_error, mean_interval, sharpe_interval
from intraday.model.significance.edge import edge_test, inflation
from intraday.model.significance.power import Market, power, sharpe_of_edge
from intraday.model.significance.sharpe import deflated, sharpe_ratio
from intraday.model.significance.spa import superior_ability
from null_paths import SHAPES, autocorrelated, clustered, heavy_tails, normal

N = int(os.environ.get("INTRADAY_EDGE_PATHS", "400"))
SEED = 20260801


@pytest.mark.parametrize("sessions", [60, 130, 250])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_p_values_without_an_edge_are_uniform(shape: str, sessions: int) -> None:
    paths = SHAPES[shape](np.random.default_rng(SEED), N, sessions)
    p = np.array([edge_test(path) for path in paths])
    assert int((p <= 0.05).sum()) <= binom.isf(0.01, N, 0.0525), "fires too often"  # 31 of 400
    assert kstest(p, "uniform").pvalue > 0.001  # 36 cases: 1 % each would fail one in three runs of a perfect test


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=80), st.integers(1, 50), st.floats(0.0, 0.2))
def test_passing_implies_the_deflated_sharpe(values: list[float], n_trials: int, variance: float) -> None:
    path = np.array(values)
    p = edge_test(path, n_trials, variance)
    assert 0.0 <= p <= 1.0
    s = sharpe_ratio(path)
    if p <= 0.05:
        assert deflated(s, n_trials, variance) >= 0.95
    if not s.defined:
        assert p == 0.5
    assert p <= edge_test(path, n_trials + 1, variance) + 1e-12  # more trials never help


@given(st.lists(st.floats(-1.0, 1.0), min_size=10, max_size=60), st.floats(1e-6, 1e6))
def test_units_do_not_matter(values: list[float], unit: float) -> None:
    path = np.array(values)
    if sharpe_ratio(path).defined and sharpe_ratio(path * unit).defined:
        assert edge_test(path) == pytest.approx(edge_test(path * unit), rel=1e-6, abs=1e-9)


def test_a_few_idle_wins_are_not_called_certain() -> None:
    path = np.zeros(250)
    path[[10, 100, 200]] = 0.01
    assert edge_test(path) > 0.03  # three equal wins: one in eight by chance; the verdict asks for more sessions with a trade


def test_deflation_keeps_the_best_of_many_from_passing() -> None:
    rng = np.random.default_rng(1)
    alone = kept = 0
    for _ in range(100):
        paths = normal(rng, 20, 130)
        values = np.array([sharpe_ratio(path).value for path in paths])
        best = paths[int(values.argmax())]
        alone += edge_test(best) <= 0.05
        kept += edge_test(best, 20, float(values.var(ddof=1))) <= 0.05
    assert alone > 45 and kept <= 4


def test_autocorrelation_is_corrected_for_where_it_shows() -> None:
    rng = np.random.default_rng(2)
    assert inflation(normal(rng, 1, 4000)[0]) < 1.06
    assert inflation(autocorrelated(0.3)(rng, 1, 4000)[0]) == pytest.approx((1.3 / 0.7) ** 0.5, rel=0.05)
    assert inflation(autocorrelated(-0.3)(rng, 1, 400)[0]) == 1.0


@pytest.mark.parametrize(("n_trials", "variance"), [(1, 0.0), (20, 0.004)])
@pytest.mark.parametrize(("sessions", "sharpe"), [(15, 0.5), (50, 0.3), (130, 0.25), (250, 0.1)])
def test_power_is_what_simulation_finds(sessions: int, sharpe: float, n_trials: int, variance: float) -> None:
    said = power(sharpe, sessions, n_trials, variance)
    paths = normal(np.random.default_rng(sessions), 1000, sessions) + sharpe
    found = np.mean([edge_test(path, n_trials, variance) <= 0.05 for path in paths])
    assert ceil(1000 * abs(said - found)) / 1000 < 0.055  # the check for autocorrelation costs one to three points
    assert found <= said + 0.03


def test_power_under_heavy_tails_is_near() -> None:
    paths = np.random.default_rng(3).standard_t(5, (1000, 130)) / (5 / 3) ** 0.5 + 0.22
    assert np.mean([edge_test(path) <= 0.05 for path in paths]) == pytest.approx(power(0.22, 130), abs=0.05)


def test_power_at_its_limits() -> None:
    assert power(0.0, 250) == pytest.approx(0.05, abs=0.002)
    assert power(5.0, 250) > 0.999 and power(0.3, 2) == 0.0 and power(0.3, 3) < 0.2
    assert np.isnan(power(sharpe_of_edge(Market(0.0, 3.0, 0.001), 2.0), 100))
    assert np.isnan(sharpe_of_edge(Market(0.01, 0.0, 0.001), 2.0)) and np.isnan(sharpe_of_edge(Market(0.01, 3.0, 0.0), 2.0))
    assert sharpe_of_edge(Market(0.01, 10.0, 0.0008), 1.0) == 0.0
    assert sharpe_of_edge(Market(0.01, 10.0, 0.0008), 3.0) == pytest.approx(1.6)
    rising = [power(0.2, n, 20, 0.005) for n in (30, 60, 130, 250)]
    assert rising == sorted(rising) and power(0.2, 130, 40, 0.005) < power(0.2, 130, 20, 0.005)


@pytest.mark.parametrize("draw", [normal, heavy_tails, clustered, autocorrelated(0.3)], ids=["normal", "tails", "clusters", "slow"])
def test_intervals_cover(draw: object) -> None:
    assert callable(draw)
    rng = np.random.default_rng(4)
    paths = draw(rng, 150, 120) + 0.1
    intervals = [mean_interval(path, rng, draws=400) for path in paths]
    assert 0.88 <= np.mean([i.low <= 0.1 <= i.high for i in intervals])
    if draw is normal:
        ratios = [sharpe_interval(path, rng, draws=400) for path in paths]
        assert 0.88 <= np.mean([i.low <= 0.1 <= i.high for i in ratios]) <= 0.99


def test_intervals_lean_to_the_long_tail() -> None:
    """Where large gains are rare a small sample has probably missed some: the upper arm is the longer one."""
    rng = np.random.default_rng(7)
    path = rng.exponential(1.0, 60)
    gains, losses = mean_interval(path, rng), mean_interval(-path, rng)
    assert gains.high - gains.mean > 1.15 * (gains.mean - gains.low)
    assert losses.mean - losses.low > 1.15 * (losses.high - losses.mean)


def test_intervals_of_paths_that_say_nothing() -> None:
    rng = np.random.default_rng(5)
    for path in (np.empty(0), np.zeros(2), np.zeros(90), np.full(90, 0.1)):
        assert np.isnan(mean_interval(path, rng).low) and np.isnan(sharpe_interval(path, rng).high)
    assert float(bootstrap_error(np.zeros(20), 3.0)) == 0.0


def test_spa_fires_rarely_without_an_edge_and_often_with_one() -> None:
    rng = np.random.default_rng(6)
    null = [superior_ability(normal(rng, 5, 100).T, rng, draws=200) for _ in range(100)]
    assert sum(s.consistent <= 0.05 for s in null) <= 12 and sum(s.reality_check <= 0.05 for s in null) <= 12
    edge = normal(rng, 5, 100).T + np.array([0.0, 0.0, 0.5, 0.0, -0.5])
    found = superior_ability(edge, rng, draws=500)
    assert found.best == 2 and found.consistent < 0.01 and found.lower <= found.consistent <= found.upper
    idle = superior_ability(np.zeros((50, 3)), rng)
    assert (idle.consistent, idle.reality_check, idle.statistic) == (1.0, 1.0, 0.0)
    assert superior_ability(np.hstack([np.zeros((100, 1)), edge]), rng, draws=200).best == 3  # a path that always holds is no rival
