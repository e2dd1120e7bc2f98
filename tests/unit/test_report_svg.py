"""The drawing layer: scales, ticks, lines that break, text that is only text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from intraday.report.svg import Drawing, Plot, day_ticks, fixed, legend, nice, plain, shortened, span, spread, whole
from report_cases import DAY

NAN = float("nan")


def plot() -> Plot:
    return Plot(Drawing(100, 100), (10.0, 20.0, 90.0, 70.0), (0.0, 4.0), (-1.0, 1.0))


@pytest.mark.parametrize(
    ("low", "high", "n", "ticks"),
    [
        (0.0, 10.0, 5, [0, 2, 4, 6, 8, 10]),
        (-0.31, 0.2, 5, [-0.2, 0.0, 0.2]),
        (0.0, 1.0, 4, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (5.0, 5.0, 5, []),
        (NAN, 1.0, 5, []),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, n: int, ticks: list[float]) -> None:
    assert np.allclose(nice(low, high, n), ticks)


def test_ticks_of_counts_are_whole() -> None:
    assert whole(3.0) == [0, 1, 2, 3]
    assert all(v == round(v) for high in range(1, 60) for v in whole(float(high)))


@pytest.mark.parametrize(
    ("values", "names"), [([0, 0.25, 0.5], ["0.00", "0.25", "0.50"]), ([-2000, 0, 2000], ["−2,000", "0", "2,000"]), ([], [])]
)
def test_tick_names_have_as_many_decimals_as_the_steps(values: list[float], names: list[str]) -> None:
    assert plain(values) == names


def test_spans_leave_room_and_stand_nan() -> None:
    assert span([1.0, 3.0, NAN], pad=0.5) == (0.0, 4.0)
    assert span([NAN]) == (0.0, 1.0)
    assert span([2.0], around=0.0)[0] < 0 < 2 < span([2.0], around=0.0)[1]
    low, high = span([5.0])
    assert low < 5 < high


def test_data_meet_pixels_with_y_upwards() -> None:
    p = plot()
    assert p.at_x([0.0, 4.0]).tolist() == [10.0, 90.0]
    assert p.at_y([-1.0, 1.0]).tolist() == [70.0, 20.0]


def test_a_line_breaks_at_nan() -> None:
    p = plot()
    p.line([0, 1, 2, 3, 4], [0.0, 1.0, NAN, 0.0, 1.0], "red")
    assert re.findall("[ML]", p.on.svg("x").split('d="')[1].split('"')[0]) == ["M", "L", "M", "L"]


def test_nothing_finite_draws_nothing() -> None:
    p = plot()
    p.line([NAN], [1.0], "red")
    p.dots([1.0], [NAN], "red")
    assert "<path" not in p.on.svg("x")


def test_many_dots_are_one_element() -> None:
    p = plot()
    p.dots(np.linspace(0, 4, 500), np.zeros(500), "red")
    assert p.on.svg("x").count("<path") == 1


@pytest.mark.parametrize("evil", ["<script>", '"><img>', "a&b", "'"])
def test_text_is_escaped_everywhere(evil: str) -> None:
    on = Drawing(100, 100)
    on.text(0, 0, evil)
    on.turned(0, 0, evil)
    on.rect(0, 0, 1, 1, "red", title=evil)
    legend(on, 0, 0, [(evil, "red", "line")])
    text = on.svg(evil)
    assert not re.search("<script|<img|&b", text)
    assert '="">' not in text


def test_a_bar_is_never_invisible() -> None:
    p = plot()
    p.bar(1.0, 1.0, 0.0, 1.0, "red")
    assert 'width="1"' in p.on.svg("x")


def test_print_has_colours_and_no_variables() -> None:
    p = plot()
    p.y_axis("label")
    legend(p.on, 0, 0, [(name, f"var(--{name})", "full") for name in ("ink", "muted", "blue", "orange", "green", "pink")])
    assert "var(" in p.on.svg("x")
    assert "var(" not in fixed(p.on.svg("x"))


def test_labels_do_not_cover_each_other() -> None:
    found = [y for y, _ in spread([(30.0, "c"), (10.0, "a"), (12.0, "b")], 14)]
    assert found == [10.0, 24.0, 38.0]


def test_long_names_are_cut() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"


def test_days_are_spread_evenly() -> None:
    at, names = day_ticks([DAY] * 20, most=7)
    assert at == [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0]
    assert names[0] == "11 Jun 21"
    assert day_ticks([]) == ([], [])
