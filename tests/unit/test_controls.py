"""The controls' own machinery: rows like the pipeline makes them, nothing to find where nothing is, and what was planted."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intraday.backtest.control_markets import CARRIER, COST, DRIFT, ControlMarket, control_market, oracle, recipe
from intraday.backtest.control_rows import at_cost, mirrored, shifted_features, shuffled_rows, shuffled_sessions
from intraday.backtest.control_tables import MAIN_CELL, allowed_of, document, least_of, null_rows, power_rows
from intraday.backtest.controls import (
    BOOSTERS,
    SHOWN,
    Control,
    NullResult,
    PlantedResult,
    control_spec,
    decided,
    disconnected,
    null_result,
    planted_result,
    simulated_null,
    walked,
)
from intraday.core.null_markets.sizes import N_NULLS, NULL_SIZE, PLANTED_HORIZON, POWER_SIZES, MarketSize
from intraday.domain.arrays import DAY_NS
from intraday.domain.session import SessionTable
from intraday.jobs.controls import controls_section
from intraday.model.trainer import LGBMTrainer

SMALL = MarketSize(stocks=2, test=10, train=30)
SESSIONS = SessionTable.load()


@pytest.fixture(scope="module")
def market() -> ControlMarket:
    return control_market(recipe(SESSIONS, PLANTED_HORIZON), SMALL, (5, 1), DRIFT[3])


def test_the_sizes_are_the_stated_ones() -> None:
    assert N_NULLS == 400 and allowed_of(N_NULLS) == 28
    assert all(40_000 < size.stocks * size.sessions * 73 < 100_000 for size in (NULL_SIZE, *POWER_SIZES))
    assert [size.test for size in POWER_SIZES] == [15, 50, 130, 250] and len(BOOSTERS) * len(SHOWN) == 20


def test_rows_are_those_of_every_usable_bar(market: ControlMarket) -> None:
    data = market.data
    assert market.names[-1] == CARRIER and data.x.shape[1] == len(market.names)
    assert np.all(np.diff(data.ts_ns) >= 0) and np.all(data.close > 0.0) and np.all(data.cost == COST)
    assert len(np.unique(data.session)) == SMALL.sessions and not market.side[~data.eligible].any()
    assert np.all(data.end_long_ns <= data.t1_ns) and np.all(np.maximum(data.end_long_ns, data.end_short_ns) == data.t1_ns)
    assert data.rules.shape[1] == 2 and data.rules.any(axis=0).all()
    again = control_market(recipe(SESSIONS, PLANTED_HORIZON), SMALL, (5, 1), DRIFT[3])
    assert np.array_equal(again.data.x, data.x, equal_nan=True) and np.array_equal(again.data.ret_long, data.ret_long)


def test_folds_are_the_trainers(market: ControlMarket) -> None:
    """What controls run is what training runs, to the last bit."""
    spec = control_spec(SMALL)
    ours = decided(market.data, walked(market.data, market.names, spec), spec.min_signals_per_session)
    theirs = LGBMTrainer(spec).train(market.data, market.names).oos
    assert (
        np.array_equal(ours.p, theirs.p) and np.array_equal(ours.trade, theirs.trade) and np.array_equal(ours.gross, theirs.gross)
    )
    assert len(np.unique(ours.session)) == SMALL.test


@pytest.mark.parametrize("multiple", [1, 2, 3])
def test_the_oracle_gains_that_multiple_of_the_cost(multiple: int) -> None:
    """Against the same market without drift, where it gains nothing: that takes most of the noise out."""
    of, size = recipe(SESSIONS, PLANTED_HORIZON), MarketSize(stocks=10, test=190)
    gain = []
    for move in (DRIFT[multiple], 0.0):
        planted = control_market(of, size, (78, 1), move)
        said = oracle(planted)
        gain.append(said.gross[said.trade].mean())
        assert np.all(said.side[~planted.data.eligible] == 0)
    assert gain[0] - gain[1] == pytest.approx(multiple * COST, abs=1.2e-4)


def outcomes(data: Any) -> set[tuple[Any, ...]]:
    later = [name - data.close_ns for name in (data.t1_ns, data.end_long_ns, data.end_short_ns)]
    return set(
        zip(data.label.tolist(), data.ret_long.tolist(), data.ret_short.tolist(), *map(np.ndarray.tolist, later), strict=True)
    )


@pytest.mark.parametrize("shuffle", [shuffled_sessions, shuffled_rows])
def test_shuffled_outcomes_move_together_and_keep_their_hour(market: ControlMarket, shuffle: Any) -> None:
    data = market.data
    other = shuffle(data, np.random.default_rng(1))
    assert len(other) > 0.97 * len(data) and outcomes(other) <= outcomes(data)
    same = np.isin(other.ts_ns * 10 + other.inst, data.ts_ns * 10 + data.inst)
    assert same.all() and (other.ret_long != data.ret_long[: len(other)]).mean() > 0.9
    minute = (data.ts_ns % DAY_NS, data.inst)
    by_hour = [sorted(data.ret_long[(minute[0] == minute[0][0]) & (minute[1] == 0)].tolist())]
    by_hour.append(sorted(other.ret_long[(other.ts_ns % DAY_NS == minute[0][0]) & (other.inst == 0)].tolist()))
    assert len(set(by_hour[1]) - set(by_hour[0])) == 0
    assert abs(np.corrcoef(market.side[: len(other)] * 1.0, other.ret_long)[0, 1]) < 0.1


def test_sessions_are_shuffled_whole(market: ControlMarket) -> None:
    data = replace(market.data, ret_long=np.arange(len(market.data), dtype=np.float64))
    other = shuffled_sessions(data, np.random.default_rng(2))
    of = data.session[other.ret_long.astype(np.int64)]
    pairs = set(zip(other.session.tolist(), of.tolist(), strict=True))
    assert len(pairs) == len(set(of.tolist())) == SMALL.sessions  # one partner each, everybody's once


def test_mirrored_changes_sides_of_whole_sessions(market: ControlMarket) -> None:
    data = market.data
    other = mirrored(data, np.random.default_rng(3))
    swapped = other.ret_long != data.ret_long
    assert np.array_equal(np.where(swapped, -data.label, data.label), other.label)
    assert np.array_equal(np.where(swapped, data.ret_short, data.ret_long), other.ret_long)
    assert np.array_equal(np.where(swapped, data.end_short_ns, data.end_long_ns)[swapped], other.end_long_ns[swapped])
    share = [swapped[data.session == s].mean() for s in np.unique(data.session)]
    assert all(s == 0.0 or s > 0.9 for s in share) and 5 < sum(s > 0.9 for s in share) < 35


def test_shifted_features_are_those_of_another_session_at_the_same_hour(market: ControlMarket) -> None:
    data = market.data
    other = shifted_features(data, 7)
    numbers = np.unique(data.session)
    k = len(other) // 2
    source = numbers[(np.searchsorted(numbers, other.session[k]) - 7) % len(numbers)]
    hour = data.ts_ns % DAY_NS == other.ts_ns[k] % DAY_NS
    row = np.flatnonzero((data.session == source) & hour & (data.inst == other.inst[k]))
    assert len(row) == 1 and np.array_equal(data.x[row[0]], other.x[k], equal_nan=True)
    own = np.flatnonzero((data.ts_ns == other.ts_ns[k]) & (data.inst == other.inst[k]))
    assert other.ret_long[k] == data.ret_long[own[0]] and other.sigma[k] == data.sigma[own[0]]


@pytest.mark.parametrize("control", [Control.SESSIONS, Control.ROWS, Control.SHIFTED])
def test_a_market_that_was_taken_apart_shows_nothing_and_one_with_a_leak_does(market: ControlMarket, control: Control) -> None:
    data = disconnected(market.data, control, np.random.default_rng(4))
    spec = control_spec(SMALL)
    found = null_result(control, 0, data, market.names, spec)
    assert 0.01 < found.p_value and found.word != "edge" and found.sessions == SMALL.test
    told = data.x.copy()
    told[:, -1] = data.label + 0.5 * np.random.default_rng(5).standard_normal(len(data))
    leak = null_result(control, 0, replace(data, x=told), market.names, spec)
    assert leak.p_value < 1e-3 and leak.gross_bps > found.gross_bps


def test_the_cost_is_taken_out_of_decisions_too(market: ControlMarket) -> None:
    dear = at_cost(market.data, 0.01)
    spec = control_spec(SMALL)
    free, paid = (null_result(Control.MARTINGALE, 0, data, market.names, spec) for data in (market.data, dear))
    assert free.p_value == paid.p_value and free.trades == paid.trades and paid.word != "edge"


def test_tables_count_and_judge() -> None:
    def null(p: float, word: str = "no tradable edge") -> NullResult:
        return NullResult(Control.MARTINGALE, 0, p, word, 0.0, 1, 120, 1)

    even = [null((k + 0.5) / 40) for k in range(40)]
    (row,) = null_rows(even)
    assert (row.n, row.fired, row.passed) == (40, 2, True) and row.uniform_p > 0.99 and row.allowed == allowed_of(40) == 6
    (row,) = null_rows([null(p.p_value / 4, "edge") for p in even])
    assert row.fired == 8 and row.edges == 40 and not row.passed
    assert not null_rows([null(0.5 + k / 100) for k in range(40)])[0].passed  # never fires, but its p-values are no p-values

    def planted(found: bool, cell: tuple[int, int] = MAIN_CELL) -> PlantedResult:
        return PlantedResult(
            cell[0], cell[1], 0, found, 0.01, "edge" if found else "no tradable edge", 20, 0.01, 0.1, 1.0, 500, 16.6, 1
        )

    (cell,) = power_rows([planted(k < 160) for k in range(200)])
    assert cell.passed and cell.least == 160 and cell.found == cell.edges == 160
    assert not power_rows([planted(k < 159) for k in range(200)])[0].passed
    assert least_of((3, 250), 40) == 0 and least_of(MAIN_CELL, 6) < 5
    assert not power_rows([planted(True, (0, 250)) for _ in range(40)])[0].passed  # without an edge there is nothing to find


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    where = Path(__file__).parents[2] / "scripts" / "run_controls.py"
    spec = importlib.util.spec_from_file_location("run_controls", where)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    file, whole = tmp_path / "markets.jsonl", {"code": "a", "task": ["x", 0, 0, 1], "result": {}}
    cut = json.dumps({**whole, "task": ["x", 0, 0, 2]})[:20]
    file.write_text(f"{json.dumps(whole)}\n{json.dumps({**whole, 'code': 'b', 'task': ['x', 0, 0, 3]})}\n{cut}\n")
    assert list(script.kept(file, "a")) == [script.Task("x", 0, 0, 1)]
    wanted = list(script.tasks(script.WHOLE, ""))
    assert len(set(wanted)) == len(wanted) == 400 + 3 * 40 + 15 * 40 + 200 + 2 * 40
    assert len(list(script.tasks(script.SMOKE, "null"))) == 40


@pytest.mark.slow
def test_null_markets_of_the_fixed_size_show_no_more_than_luck() -> None:
    """A slice of `make controls`; INTRADAY_NULLS=400 is the whole."""
    n = int(os.environ.get("INTRADAY_NULLS", "3"))
    found = [simulated_null(recipe(SESSIONS), k) for k in range(n)]
    assert all(r.sessions == NULL_SIZE.test and r.rows > 50_000 and 0.0 < r.p_value < 1.0 for r in found)
    assert null_rows(found)[0].passed


@pytest.mark.slow
def test_a_clear_edge_is_found() -> None:
    found = planted_result(recipe(SESSIONS, PLANTED_HORIZON), MarketSize(stocks=6, test=60, train=30), 3, 3)
    assert found.found and found.word == "edge" and found.trials == 20 and found.sessions == 60
    assert 0.0 < found.variance < 0.1 and found.p_value < 0.05 and found.oracle_bps == pytest.approx(24.9, abs=5.0)


def test_the_report_reads_what_was_kept(tmp_path: Path) -> None:
    nulls = [NullResult(Control.MARTINGALE, k, (k + 0.5) / 20, "no tradable edge", 0.0, 9, 120, 50_000) for k in range(20)]
    cells = [(m, s, k) for m in (0, 2) for s in (15, 250) for k in range(4) if (m, s) != (0, 15)]
    power = [PlantedResult(m, s, k, m > 0, 0.5, "edge", 20, 0.01, 0.1, 1.0, 500, 16.6, 50_000) for m, s, k in cells]
    file = tmp_path / "controls.json"
    file.write_text(json.dumps(document(nulls, power)))
    section = controls_section(file)
    assert section is not None and section.power is not None
    assert [(null.name, null.fired, null.allowed) for null in section.nulls] == [("simulated martingales", 1, allowed_of(20))]
    assert section.power.found.tolist() == [[0, 0], [4, 4]] and section.power.markets.tolist() == [[0, 4], [4, 4]]
    assert section.power.multiples == [0.0, 2.0] and section.power.sessions == [15, 250] and section.power.trials == 20
