"""The verdict: which word is said when, why, and that no path can make it crash."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from intraday.domain.learning import Trial, TrialKind
from intraday.model.path import DailyPath
from intraday.model.significance.sharpe import sharpe_ratio
from intraday.model.verdict import (
    DIRECTION,
    EDGE,
    NO_DIRECTION,
    NO_EDGE,
    TOO_LITTLE,
    Verdict,
    VerdictSpec,
    effective_trials_of,
    judge,
    market_of,
    trials_of,
)

COST = 8e-4


def path_with(sessions: int, multiple: float, trades: float = 10.0, sd: float = 0.004, seed: int = 1) -> DailyPath:
    """Trades that make ``multiple`` costs gross each, ``sd`` their spread."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(trades, sessions)
    gross = n * multiple * COST + sd * np.sqrt(n) * rng.standard_normal(sessions)
    return DailyPath(np.arange(sessions, dtype=np.int32), gross, n * COST, n.astype(np.int64))


def trial(name: str, path: DailyPath, kind: TrialKind = TrialKind.CONFIGURATION) -> Trial:
    return Trial(name, "scope", kind, 1, "run", "", "{}", float("nan"), "complete", path.session, path.net)


def words(verdict: Verdict) -> tuple[str, str]:
    return verdict.word, verdict.gross_word


def test_an_edge_is_called_one() -> None:
    verdict = judge(path_with(130, 2.0), [])
    assert words(verdict) == (EDGE, DIRECTION)
    assert "130 out-of-sample sessions" in verdict.reason and "more than luck explains" in verdict.reason
    assert verdict.figures["p_value"] <= 0.05 and verdict.figures["dsr"] >= 0.95


def test_direction_that_costs_eat_is_no_tradable_edge() -> None:
    verdict = judge(path_with(250, 1.0), [])
    assert words(verdict) == (NO_EDGE, DIRECTION)
    assert "2 times the cost would have shown with a chance of over 99 %" in verdict.reason


def test_nothing_is_nothing() -> None:
    assert words(judge(path_with(250, 0.0), [])) == (NO_EDGE, NO_DIRECTION)


@pytest.mark.parametrize("sessions", [15, 30, 59])
def test_under_sixty_sessions_there_is_no_edge(sessions: int) -> None:
    verdict = judge(path_with(sessions, 4.0), [])
    assert words(verdict) == (TOO_LITTLE, TOO_LITTLE)
    assert f"60 out-of-sample sessions are needed, {sessions} are there" in verdict.reason
    assert judge(path_with(60, 4.0), []).word == EDGE


def test_a_blind_test_never_says_no() -> None:
    verdict = judge(path_with(250, 0.0, trades=0.5, sd=0.03), [])
    assert verdict.figures["power"] < 0.5 and words(verdict) == (TOO_LITTLE, TOO_LITTLE)
    assert "with a chance of only" in verdict.reason


def test_what_the_power_decides() -> None:
    for sd in np.geomspace(0.002, 0.05, 12):
        for sessions in (20, 60, 200):
            verdict = judge(path_with(sessions, 0.2, sd=float(sd)), [])
            if verdict.word == NO_EDGE:
                assert verdict.figures["power"] >= 0.5
            else:
                assert verdict.word == TOO_LITTLE and verdict.figures["power"] < 0.5


def test_few_trades_or_few_days_with_trades_are_too_little() -> None:
    idle = path_with(250, 3.0, trades=10.0)
    keep = np.arange(250) % 16 == 0  # 16 sessions with a trade
    some = DailyPath(idle.session, idle.gross * keep, idle.cost * keep, idle.trades * keep)
    verdict = judge(some, [], VerdictSpec(min_trades=10))
    assert verdict.figures["p_value"] <= 0.05 and verdict.word == TOO_LITTLE and "20 sessions with a trade" in verdict.reason
    assert judge(path_with(250, 40.0, trades=0.2), []).word == TOO_LITTLE  # about 50 trades


def test_a_handful_of_trades_never_says_no() -> None:
    """Three trades that lose their costs have hardly a spread, so an edge of twice the cost seems easy to see."""
    trades = np.zeros(250, dtype=np.int64)
    trades[[20, 90, 200]] = 1
    path = DailyPath(np.arange(250, dtype=np.int32), trades * 1e-5 * np.arange(250), trades * COST, trades)
    verdict = judge(path, [])
    assert verdict.figures["power"] > 0.5 and words(verdict) == (TOO_LITTLE, TOO_LITTLE)
    assert "60 trades are needed, 3 are there" in verdict.reason
    assert judge(path_with(14, 0.0, trades=50.0), []).word == TOO_LITTLE
    assert judge(path_with(15, 0.0, trades=50.0), []).word == NO_EDGE


def test_trying_raises_the_bar() -> None:
    path = path_with(130, 1.25)
    others = [trial(f"t{k}", path_with(130, 1.0, seed=100 + k)) for k in range(20)]
    alone, deflated = judge(path, [trial("me", path)]), judge(path, [trial("me", path), *others])
    assert alone.word == EDGE and alone.figures["n_trials"] == 1.0 and alone.figures["variance_of_sharpes"] == 0.0
    assert deflated.word != EDGE and deflated.figures["n_trials"] == 21.0
    assert "after 21 configurations tried" in deflated.reason
    assert deflated.figures["power"] < alone.figures["power"] and deflated.figures["dsr"] < alone.figures["dsr"]


def test_the_ledger_counts_configurations_once_and_no_tuning() -> None:
    paths = [path_with(100, 1.0, seed=k) for k in range(3)]
    ledger = [trial(f"t{k}", p) for k, p in enumerate(paths)]
    tuning = [trial("inner", paths[0], TrialKind.TUNING)] * 50
    n, variance = trials_of([*ledger, *tuning, ledger[0]])
    assert n == 3 and variance == pytest.approx(np.var([sharpe_ratio(p.net).value for p in paths], ddof=1))
    assert trials_of(tuning) == trials_of([]) == (1, 0.0)
    idle = replace(ledger[0], id="idle", net=np.zeros(100))
    values = [sharpe_ratio(p.net).value for p in paths] + [0.0]
    assert trials_of([*ledger, idle]) == (4, pytest.approx(np.var(values, ddof=1)))


def test_equal_trials_deflate_nothing() -> None:
    path = path_with(130, 1.4)
    same = [trial(f"t{k}", path) for k in range(9)]
    assert judge(path, same).figures["p_value"] == judge(path, []).figures["p_value"]
    assert effective_trials_of(same) == pytest.approx(1.0)


def test_effective_trials_use_the_sessions_all_have() -> None:
    long, short = trial("a", path_with(200, 1.0, seed=5)), trial("b", path_with(120, 1.0, seed=6))
    assert effective_trials_of([long, short]) == pytest.approx(2.0, abs=0.4)
    apart = replace(short, session=short.session + 1000)
    assert math.isnan(effective_trials_of([long, apart])) and effective_trials_of([]) == 1.0


def test_the_market_is_the_paths() -> None:
    path = path_with(200, 1.0)
    market = market_of(path)
    assert market.cost == pytest.approx(COST) and market.trades == path.trades.mean() and market.sd == path.net.std(ddof=1)


@pytest.mark.parametrize("sessions", [0, 1, 2, 5, 80])
def test_paths_that_say_nothing_are_too_little(sessions: int) -> None:
    zero = np.zeros(sessions)
    for gross, trades in ((zero, 0), (zero + 1e-3, 3), (zero - 1e-3, 3)):
        path = DailyPath(np.arange(sessions, dtype=np.int32), gross, zero, np.full(sessions, trades, dtype=np.int64))
        verdict = judge(path, [])
        assert words(verdict) == (TOO_LITTLE, TOO_LITTLE)
        assert verdict.figures["p_value"] == verdict.figures["psr"] == 0.5


def test_costless_paths_are_judged_by_direction_alone() -> None:
    path = path_with(130, 3.0)
    free = replace(path, cost=np.zeros(130))
    assert judge(free, []).word == EDGE
    assert judge(replace(free, gross=-free.gross), []).word == TOO_LITTLE  # no cost: nothing to measure the power by


def test_the_same_path_gives_the_same_bits_and_json() -> None:
    path = path_with(90, 1.2)
    first, second = judge(path, [trial("me", path)]), judge(path, [trial("me", path)])
    assert first == second and all(isinstance(v, float) for v in first.figures.values())
    assert json.loads(json.dumps(dict(first.figures)))["trades"] == float(path.trades.sum())
    assert math.isnan(first.figures["effective_trades"])
    assert judge(path, [], independent_trades=77.0).figures["effective_trades"] == 77.0
