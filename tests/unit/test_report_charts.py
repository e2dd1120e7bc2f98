"""Every chart: something to see with figures, nothing without, and its figures where they belong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pytest

from intraday.report import charts, explained, money, tested
from intraday.report.parts import Charges, Controls, FoldMap, Lane, PowerGrid, Span, Stability, Swarm, Trials
from report_example import DAYS, example

REPORT = example()
CONTROLS = REPORT.controls or Controls(())
NAN = float("nan")
CASES: dict[str, tuple[Callable[[Any], str], Any]] = {
    "equity": (money.equity_chart, REPORT.equity),
    "delays": (partial(money.scenario_chart, label="delay"), REPORT.delays),
    "heat": (money.heat_chart, REPORT.heat),
    "charges": (money.charges_chart, REPORT.charges),
    "reliability": (charts.reliability_chart, REPORT.reliability),
    "realised": (charts.realised_chart, REPORT.realised),
    "confusion": (charts.confusion_chart, REPORT.confusion),
    "importance": (explained.importance_chart, REPORT.importance),
    "stability": (explained.stability_chart, REPORT.stability),
    "swarm": (explained.swarm_chart, REPORT.swarm),
    "fold map": (tested.fold_map_chart, REPORT.fold_map),
    "baselines": (tested.baseline_chart, REPORT.baselines),
    "trials": (tested.trials_chart, REPORT.trials),
    "overfitting": (tested.overfitting_chart, REPORT.overfitting),
    "paths": (tested.paths_chart, REPORT.path_spread),
    "power": (tested.power_chart, REPORT.judgement),
    "null": (tested.null_chart, CONTROLS.nulls[0]),
    "planted": (tested.planted_chart, CONTROLS.power),
}


def hollow(part: Any) -> Any:
    """The part with every float array NaN and every float NaN; rows of a sequence likewise."""
    if isinstance(part, tuple) and not hasattr(part, "_fields"):
        return tuple(hollow(p) for p in part)
    if isinstance(part, np.ndarray):
        return np.full(part.shape, np.nan) if part.dtype.kind == "f" else np.zeros_like(part)
    if isinstance(part, float):
        return NAN
    if hasattr(part, "_fields"):
        return type(part)(*(hollow(p) for p in part))
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: hollow(getattr(part, f.name)) for f in fields(part)})
    return part


@pytest.mark.parametrize("name", CASES)
def test_a_chart_is_one_labelled_picture_without_nan(name: str) -> None:
    draw, part = CASES[name]
    text = draw(part)
    assert text.count("<svg") == 1
    assert re.search(r'aria-label="[A-Z][^"]{15,}"', text)
    assert not re.search(r"\bnan\b|\binf\b", text.lower())
    assert "<text" in text
    assert draw(part) == text


@pytest.mark.parametrize("name", CASES)
def test_numbers_that_are_missing_break_no_chart(name: str) -> None:
    draw, part = CASES[name]
    assert not re.search(r"\bnan\b|\binf\b", draw(hollow(part)).lower())


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("equity", "stability")])
def test_coordinates_stay_on_the_sheet(name: str) -> None:
    draw, part = CASES[name]
    text = draw(part)
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0])
    xs = [float(x) for x in re.findall(r'<(?:rect|text) x="([-\d.]+)"', text)]
    ys = [float(y) for y in re.findall(r'<(?:rect|text) x="[-\d.]+" y="([-\d.]+)"', text)]
    assert 0 <= min(xs) <= max(xs) <= width
    assert 0 <= min(ys) <= max(ys) <= height


def test_equity_ends_with_its_totals() -> None:
    equity = REPORT.equity
    assert equity is not None
    text = money.equity_chart(equity)
    assert f"net of costs {equity.net[-1]:,.0f}".replace("-", "−") in text
    assert f"costs {equity.gross[-1] - equity.net[-1]:,.0f}" in text


def test_the_heat_map_names_cells_and_keeps_empty_ones_quiet() -> None:
    heat = REPORT.heat
    assert heat is not None
    heat = replace(heat, net=np.where(np.arange(6) == 2, np.nan, heat.net), trades=np.where(np.arange(6) == 2, 0, heat.trades))
    text = money.heat_chart(heat)
    assert text.count("<title>") == 24 * 5
    assert "RELIANCE 09:15:" in text


def test_charges_step_at_their_days_and_name_todays() -> None:
    days = [date(2024, 1, 1), date(2024, 10, 1)]
    charges = Charges(days, (50_000.0,), np.array([[11.0], [10.5]]), np.array([10.6]), date(2026, 1, 1), date(2025, 6, 1))
    text = money.charges_chart(charges)
    assert "₹50,000" in text
    assert "10.6 today" in text
    assert "2025" in text


def test_a_reliability_bin_of_a_few_rows_is_left_out() -> None:
    down = REPORT.reliability[0]
    few = replace(down, count=np.where(np.arange(9) < 8, 10, down.count))
    dots = [re.search(r'<path d="((?:M[\d.]+ [\d.]+h0)+)"', charts.reliability_chart((c,))) for c in (down, few)]
    assert [d.group(1).count("h0") for d in dots if d] == [9, 1]


def test_purged_rows_are_marked_though_they_are_no_whole_session() -> None:
    spans = (Span("fit", 0, 9), Span("embargo", 10, 10), Span("score", 11, 19), Span("purged", 10, 9))
    text = tested.fold_map_chart(FoldMap(DAYS[:20], [Lane("fold 1", spans, 640)]))
    assert "fold 1: purged 640 rows" in text
    assert "embargo 15 Dec 2021 to 15 Dec 2021" in text
    assert ">purged<" in text


def test_a_fold_map_names_only_kinds_that_are_there() -> None:
    text = tested.fold_map_chart(FoldMap(DAYS[:20], [Lane("fold 1", (Span("fit", 0, 9), Span("score", 10, 19)))]))
    assert ">embargo<" not in text
    assert ">scored<" in text


def test_the_leftmost_bin_of_a_null_fires() -> None:
    null = replace(CONTROLS.nulls[0], p_values=np.array([0.01, 0.02, 0.5]))
    text = tested.null_chart(null)
    assert "p from 0.00: 2 markets" in text
    assert "p from 0.50: 1 markets" in text


@pytest.mark.parametrize("n", [1, 100, 400, 5000])
def test_what_chance_allows_holds_its_share(n: int) -> None:
    rng = np.random.default_rng(n)
    low, high = tested._binomial(n, 0.05)
    inside = np.mean([(low <= k <= high) for k in rng.binomial(n, 0.05, 4000)])
    assert 0.945 < inside


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe 1998, table I: 81 of 263, score interval 0.2553 to 0.3662."""
    low, high = tested.wilson(np.array([81.0]), np.array([263.0]))
    assert (round(float(low[0]), 4), round(float(high[0]), 4)) == (0.2553, 0.3662)


def test_power_cells_without_markets_are_left_out() -> None:
    grid = PowerGrid((1.0, 2.0), (15, 250), np.array([[0, 5], [0, 10]]), np.array([[0, 10], [0, 10]]))
    text = tested.planted_chart(grid)
    assert ">250<" in text
    assert ">15<" not in text


def test_only_configurations_are_drawn_of_the_ledger() -> None:
    trials = REPORT.trials
    assert trials is not None
    tuning = Trials([r for r in trials.rows if r.kind == "tuning"], 0, 20)
    assert tested.trials_chart(tuning) == ""
    assert "23</text>" in tested.trials_chart(trials)


def test_a_swarm_stacks_equal_dots_without_touching_its_neighbours() -> None:
    offset = explained._beeswarm(np.full(1000, 50.0))
    assert np.abs(offset).max() <= 11.5
    assert np.unique(offset).size == 1000
    assert explained._beeswarm(np.arange(100) * 10.0).tolist() == [0.0] * 100


def test_a_swarm_shows_missing_values_in_their_own_shade() -> None:
    swarm = Swarm(("f",), np.array([[NAN, 0.0, 1.0]]), np.array([[0.1, -0.1, 0.2]]), np.array([0.13]))
    text = explained.swarm_chart(swarm)
    for shade in (explained.MISSING_SHADE, explained.SHADES[0], explained.SHADES[-1]):
        assert shade in text


def test_stable_features_and_others_are_told_apart() -> None:
    shares = np.array([[0.5, 0.5], [0.3, 0.3], [0.1, 0.08], [0.05, 0.06], [0.04, 0.01], [0.01, 0.05]])
    text = explained.stability_chart(Stability(tuple("abcdef"), shares))
    assert text.count("stroke-dasharray") == 1  # the legend's: nobody moves by more than three ranks
    jumped = shares.copy()
    jumped[4, 1] = 0.9  # from the fifth place to the first
    assert explained.stability_chart(Stability(tuple("abcdef"), jumped)).count("stroke-dasharray") == 2
    assert explained.stability_chart(Stability(("a",), np.ones((1, 1)))) == ""
