"""The paired test of two models on daily net P&L."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intraday.domain.arrays import F8
from intraday.domain.errors import NotEnoughData
from intraday.model.compare import detectable, on_sessions, paired_test
from intraday.model.path import DailyPath

FIRST = 18_000


def path(net: F8, cost: float = 0.0) -> DailyPath:
    n = net.size
    return DailyPath(np.arange(FIRST, FIRST + n, dtype=np.int32), net + cost, np.full(n, cost), np.ones(n, np.int64))


def test_the_better_one_wins_and_the_worse_one_does_not() -> None:
    rng = np.random.default_rng(1)
    market = 0.01 * rng.standard_normal(60)  # what both have in common takes no part
    champion, challenger = path(market), path(market + 0.0005 + 0.001 * rng.standard_normal(60))
    won = paired_test(champion, challenger, np.random.default_rng(2))
    assert won.p_value == max(won.p_bootstrap, won.p_flips) < 0.01
    assert won.difference.low > 0.0
    assert won.difference.mean == pytest.approx(won.challenger - won.champion)
    lost = paired_test(challenger, champion, np.random.default_rng(2))
    assert lost.p_value > 0.95
    assert (lost.sessions, lost.champion_trades) == (60, 60)


def test_costs_count() -> None:
    rng = np.random.default_rng(3)
    net = 0.001 * rng.standard_normal(40)
    dear = DailyPath(path(net).session, net, np.full(40, 0.001), np.ones(40, np.int64))
    assert paired_test(dear, path(net + 1e-6 * rng.standard_normal(40)), rng).p_value < 0.01


def test_twins_are_no_better_than_each_other() -> None:
    same = paired_test(path(np.linspace(-1, 1, 30)), path(np.linspace(-1, 1, 30)), np.random.default_rng(0))
    assert (same.p_value, same.difference.mean) == (1.0, 0.0)
    assert math.isnan(same.difference.low)
    above = paired_test(path(np.zeros(30)), path(np.full(30, 0.001)), np.random.default_rng(0))
    assert above.p_value < 0.001  # better by the same every session
    below = paired_test(path(np.full(30, 0.001)), path(np.zeros(30)), np.random.default_rng(0))
    assert below.p_value == 1.0
    idle = paired_test(path(np.zeros(30)), path(np.zeros(30)), np.random.default_rng(0))
    assert idle.p_value == 1.0


def test_one_lucky_session_wins_nothing() -> None:
    """Idle models that differ on one session: half of all sign flips look as good."""
    luck = np.zeros(40)
    luck[7] = 0.05
    assert paired_test(path(np.zeros(40)), path(luck), np.random.default_rng(0)).p_value >= 0.45


def test_the_same_paths_and_generator_give_the_same_answer() -> None:
    rng = np.random.default_rng(4)
    a, b = path(rng.standard_normal(50)), path(rng.standard_normal(50))
    assert paired_test(a, b, np.random.default_rng(9)) == paired_test(a, b, np.random.default_rng(9))


@pytest.mark.parametrize("kind", ["heavy tails", "idle"])
def test_without_a_difference_it_seldom_fires(kind: str) -> None:
    """Size at 5 % over 100 pairs of 40 sessions; docs/registry.md has 400 of each kind. 13 of 100 would be 1 in 600 at 5 %."""
    rng, fired = np.random.default_rng(5), 0
    for _ in range(100):
        noise = rng.standard_t(3, size=40) if kind == "heavy tails" else rng.standard_t(4, size=40) * (rng.random(40) < 0.3)
        fired += paired_test(path(np.zeros(40)), path(noise), rng).p_value <= 0.05
    assert fired <= 12


def test_a_session_that_was_not_looked_at_is_no_zero() -> None:
    whole = path(np.arange(30.0))
    part = on_sessions(whole, [FIRST + 3, FIRST + 9])
    assert (part.session.tolist(), part.net.tolist()) == ([FIRST + 3, FIRST + 9], [3.0, 9.0])
    with pytest.raises(NotEnoughData, match="found 2 that one of them was not run on"):
        on_sessions(whole, [FIRST - 1, FIRST, FIRST + 30])


def test_what_a_test_would_find() -> None:
    """80 % of the tests find the difference that is said to be found with 80 %."""
    rng = np.random.default_rng(6)
    found = detectable(rng.standard_normal(4000), 60, 0.05)
    assert found == pytest.approx((1.6449 + 0.8416) / math.sqrt(60), rel=0.1)
    hits = sum(paired_test(path(np.zeros(60)), path(found + rng.standard_normal(60)), rng).p_value <= 0.05 for _ in range(100))
    assert 68 <= hits <= 92
    assert math.isnan(detectable(np.zeros(2), 60, 0.05))
