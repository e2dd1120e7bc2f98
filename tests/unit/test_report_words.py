"""How numbers and times read."""

from datetime import UTC, datetime

import pytest

from intraday.report import words
from intraday.report.parts import NAN, Estimate, Figure


@pytest.mark.parametrize(
    ("value", "digits", "sign", "reads"),
    [
        (1234.5, 2, False, "1,234.50"),
        (-2.314, 2, True, "−2.31"),
        (0.0, 2, True, "0.00"),
        (-0.001, 2, True, "0.00"),
        (3.0, 0, True, "+3"),
        (NAN, 2, True, "–"),
        (float("inf"), 2, False, "–"),
    ],
)
def test_numbers(value: float, digits: int, sign: bool, reads: str) -> None:
    assert words.number(value, digits, sign) == reads


def test_share_of_nothing_is_missing() -> None:
    assert (words.share(1, 3), words.share(0, 0)) == ("33.3 %", "–")


def test_half_an_interval_is_none() -> None:
    assert words.figure_interval(Figure("x", 1.0, low=NAN, high=2.0)) == ""


def test_figure_without_unit_or_value() -> None:
    assert words.figure_value(Figure("Trades", 210, "", 0)) == "210"
    assert words.figure_value(Figure("Net", NAN, "bps")) == "–"


def test_times_are_ist_whatever_the_host() -> None:
    ns = int(datetime(2026, 11, 20, 20, 15, tzinfo=UTC).timestamp()) * 10**9
    assert words.clock(ns) == "01:45:00"
    assert words.moment(ns) == "2026-11-21 01:45 IST (2026-11-20 20:15 UTC)"


@pytest.mark.parametrize(
    ("value", "reads"),
    [
        (50_000.0, "₹50,000"),
        (200_000.0, "₹2 lakh"),
        (-52_310.4, "−₹52,310"),
        (218_400_000.0, "₹21.84 crore"),
        (150_000.0, "₹1.5 lakh"),
        (0.0, "₹0"),
        (NAN, "–"),
    ],
)
def test_rupees_read_as_in_india(value: float, reads: str) -> None:
    assert words.rupees(value) == reads
    assert words.figure_value(Figure("x", value, "₹")) == reads


def test_estimates_show_intervals_that_are_whole() -> None:
    assert words.estimate(Estimate(1.02, 0.95, 1.1)) == "1.02 (0.95 to 1.10)"
    assert words.estimate(Estimate(1.02, 0.95)) == "1.02"
    assert words.estimate(words.scaled(Estimate(0.5, 0.25, 0.75), 100), 0) == "50 (25 to 75)"
    assert words.estimate(Estimate()) == "–"


@pytest.mark.parametrize(
    ("value", "reads"), [(0.0312, "0.031"), (0.005, "0.005"), (0.0002, "under 0.001"), (NAN, "–"), (1.0, "1.000")]
)
def test_p_values(value: float, reads: str) -> None:
    assert words.p_value(value) == words.figure_value(Figure("p", value, "p")) == reads


def test_p_in_a_sentence() -> None:
    assert [words.p_is(v) for v in (0.03, 0.0, NAN)] == ["p = 0.030", "p under 0.001", "–"]


def test_percent_and_iso_times() -> None:
    assert (words.percent(0.543), words.percent(NAN)) == ("54 %", "–")
    assert words.iso(1_623_383_100 * 10**9) == "2021-06-11T03:45:00Z"
