"""How numbers and times read."""

from datetime import UTC, datetime

import pytest

from intraday.report import words
from intraday.report.inputs import NAN, Figure


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
