"""Suggested quantities, and prices not to chase, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.core.decision import chase_prices
from intraday.core.sizing import Sizing

SIZING = Sizing(500_000.0, 0.005, 100_000.0)  # a trade may lose 2 500


@pytest.mark.parametrize(
    ("price", "stop", "cost", "lot", "shares"),
    [
        (100.0, 95.0, 0.0, 1, 500),  # 2 500 / 5
        (100.0, 105.0, 0.0, 1, 500),  # short
        (100.0, 95.0, 0.001, 1, 490),  # 2 500 / 5.10
        (100.0, 99.0, 0.001, 1, 1000),  # the notional is the limit
        (100.0, 99.0, 0.001, 300, 900),
        (2400.0, 2150.0, 0.0, 1, 10),  # exactly: no share is lost to a double's error
    ],
)
def test_risk_and_notional_limit_it(price: float, stop: float, cost: float, lot: int, shares: int) -> None:
    assert SIZING.quantity(price, stop, cost, lot) == (shares, "")


def test_none_says_why() -> None:
    assert SIZING.quantity(100.0, float("nan"), 0.001, 1) == (0, "no quantity: it has no stop")
    assert SIZING.quantity(20_000.0, 17_000.0, 0.0, 1)[1] == ("no quantity: one share risks Rs 3,000.00, a trade may lose 2,500.00")
    assert SIZING.quantity(26_000.0, 25_990.0, 0.0, 65)[1] == (
        "no quantity: one lot of 65 is Rs 1,690,000.00, a trade at most 100,000.00"
    )
    assert SIZING.quantity(100.0, 80.0, 0.0, 300)[1] == "no quantity: one lot of 300 risks Rs 6,000.00, a trade may lose 2,500.00"


@given(
    price=st.floats(1.0, 1e5), distance=st.floats(1e-4, 0.2), cost=st.floats(0.0, 0.01), lot=st.sampled_from([1, 7, 65]),
    side=st.sampled_from([1, -1]),
)  # fmt: skip
def test_it_never_risks_more_than_allowed(price: float, distance: float, cost: float, lot: int, side: int) -> None:
    shares, why = SIZING.quantity(price, price * (1 - side * distance), cost, lot)
    risk = price * distance + price * cost
    assert shares % lot == 0 and (shares == 0) == (why != "")
    assert shares * risk <= 2_500.0 * (1 + 1e-6) and shares * price <= 100_000.0 * (1 + 1e-6)
    assert (shares + lot) * risk > 2_500.0 * (1 - 1e-6) or (shares + lot) * price > 100_000.0 * (1 - 1e-6)


def chase(side: int, close: float, expected: float, cost: float, tick: float = 0.05) -> float:
    one = (np.array([v]) for v in (close, expected, cost, tick))
    return float(chase_prices(np.array([side], np.int8), *one)[0])


def test_prices_not_to_chase_by_hand() -> None:
    # Exit expected at 100 * 1.003 = 100.30; 100.30 / 1.001 = 100.1998 -> 100.15.
    assert chase(1, 100.0, 0.002, 0.001) == 100.15
    # Exit expected at 99.70; 99.70 / 0.999 = 99.7998 -> 99.80.
    assert chase(-1, 100.0, 0.002, 0.001) == 99.8
    assert chase(1, 100.0, 0.0, 0.001) == 100.0 == chase(-1, 100.0, 0.0, 0.001)  # on the grid it stays
    assert chase(1, 100.0, -0.002, 0.001) < 100.0 < chase(-1, 100.0, -0.002, 0.001)  # observe mode
    assert np.isnan(chase(0, 100.0, 0.002, 0.001))


@given(
    close=st.integers(100, 10_000_000), side=st.sampled_from([1, -1]), expected=st.floats(-0.02, 0.05), cost=st.floats(0.0, 0.01),
    tick=st.sampled_from([1, 5, 10, 500]),
)  # fmt: skip
def test_nothing_is_left_a_tick_beyond_it(close: int, side: int, expected: float, cost: float, tick: int) -> None:
    price = chase(side, close / 100, expected, cost, tick / 100)
    exit_price = close / 100 * (1 + side * (expected + cost))

    def net(entry: float) -> float:
        return side * (exit_price / entry - 1) - cost

    assert round(price * 100) % tick == 0
    assert price <= 0 or net(price) >= -1e-5 * tick / close
    beyond = price + side * tick / 100
    assert beyond <= 0 or net(beyond) < 1e-9
