"""Charges: the published figures, dated rows, and the vectorised form against the plain one."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from intraday.core.costs import Charged, Costs, round_trip_values
from intraday.domain.errors import InputError
from intraday.domain.instruments import Kind

DAY = date(2026, 9, 1)


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs.load()


@pytest.mark.parametrize(("notional", "bps"), [(50_000, 10.6), (100_000, 8.3), (200_000, 5.9), (500_000, 4.5), (1_000_000, 4.0)])
def test_published_round_trips(costs: Costs, notional: float, bps: float) -> None:
    assert round(costs.round_trip_bps(DAY, notional), 1) == bps


def test_one_lakh_taken_apart(costs: Costs) -> None:
    c = costs.round_trip(DAY, 100_000.0, 100_000.0)
    assert (c.brokerage, c.stt, c.exchange, c.sebi, c.stamp) == pytest.approx((40.0, 25.0, 6.14, 0.2, 3.0))
    assert c.gst == pytest.approx(0.18 * (40.0 + 6.14 + 0.2))
    assert c.total == pytest.approx(40 + 25 + 6.14 + 0.2 + 3 + c.gst)


def test_sides_are_charged_apart(costs: Costs) -> None:
    up, down = costs.round_trip(DAY, 100.0, 200.0), costs.round_trip(DAY, 200.0, 100.0)
    assert up.stt == pytest.approx(2 * down.stt) and down.stamp == pytest.approx(2 * up.stamp)


def test_rows_are_dated(costs: Costs) -> None:
    assert costs.rates(date(2024, 9, 30)).exchange == 0.0000322
    assert costs.rates(date(2024, 10, 1)).exchange == 0.0000297
    assert costs.rates(date(2030, 1, 1)) == costs.rates(DAY)
    assert costs.rates(date(2016, 8, 16)).approximate and not costs.rates(DAY).approximate
    with pytest.raises(InputError, match="2013-01-01"):
        costs.rates(date(2012, 12, 31))


def test_an_index_is_priced_as_its_future(costs: Costs) -> None:
    assert costs.round_trip_bps(DAY, 1e6, Kind.INDEX) == costs.round_trip_bps(DAY, 1e6, Kind.FUTURE) > 0
    assert costs.rates(DAY, Kind.INDEX).stt_sell == 0.0005


def test_an_option_pays_flat_brokerage_and_tax_on_its_premium(costs: Costs) -> None:
    c = costs.round_trip(DAY, 150.0, 100_000.0, Charged.OPTION)
    assert c.brokerage == 40.0 and c.stt == pytest.approx(150.0)


@pytest.mark.parametrize("kind", list(Charged))
@pytest.mark.parametrize("day", [date(2016, 8, 16), date(2023, 7, 13), DAY])
def test_arrays_give_the_same(costs: Costs, day: date, kind: Charged) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    buy, sell = rng.uniform(1_000, 2e6, 50), rng.uniform(1_000, 2e6, 50)
    plain = [costs.round_trip(day, b, s, kind).total for b, s in zip(buy, sell, strict=True)]
    np.testing.assert_allclose(round_trip_values(costs.rates(day, kind), buy, sell), plain, rtol=1e-12)
