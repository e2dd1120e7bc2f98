"""Charges to the paisa: what brokers have published, and every row of the table worked out by hand (``tests/golden``)."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from intraday.core.contract_notes import Executed, contract_note
from intraday.core.costs import Charged, Charges, Costs

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
PARTS = ("brokerage", "stt", "exchange", "ipft", "sebi", "stamp", "gst", "total")
DAY = date(2026, 9, 1)


def rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs.load()


def executed(row: dict[str, str]) -> list[Executed]:
    quantity = int(row["quantity"])
    return [Executed(side == "buy", quantity, float(row[side])) for side in ("buy", "sell") if row[side]]


def note(costs: Costs, row: dict[str, str], day: date) -> Charges:
    return contract_note(costs.rates(day, Charged(row["segment"])), executed(row))


@pytest.mark.parametrize("row", rows("charges_by_hand.csv"), ids=lambda r: f"{r['since']}-{r['segment']}")
def test_each_row_by_hand_from_its_first_day_to_its_last(costs: Costs, row: dict[str, str]) -> None:
    later = [r["since"] for r in rows("charges_by_hand.csv") if r["segment"] == row["segment"] and r["since"] > row["since"]]
    last = date.fromisoformat(min(later)) - timedelta(days=1) if later else DAY
    for day in (date.fromisoformat(row["since"]), last):
        found = note(costs, row, day)
        assert {part: f"{getattr(found, part):.2f}" for part in PARTS} == {part: row[part] for part in PARTS}, day


def test_every_row_of_the_table_was_worked_out(costs: Costs) -> None:
    table = {(r.since.isoformat(), r.segment.value) for r in costs._rows}
    assert table == {(r["since"], r["segment"]) for r in rows("charges_by_hand.csv")}


@pytest.mark.parametrize("row", rows("charges_published.csv"), ids=lambda r: r["source"].split(",")[0] + r["day"])
def test_published_examples(costs: Costs, row: dict[str, str]) -> None:
    day = date.fromisoformat(row["day"])
    if row["rounded"] == "yes":
        found = [note(costs, row, day)]
    else:
        found = [costs.order(day, float(o.value), buy=o.buy, kind=Charged(row["segment"])) for o in executed(row)]
    sums = {part: sum(getattr(f, part) for f in found) for part in PARTS}
    sums["exchange_and_ipft"] = sums["exchange"] + sums["ipft"]
    said = {part: float(row[part]) for part in sums if row[part]}
    assert said and {part: sums[part] for part in said} == pytest.approx(said, abs=1e-9)


def test_a_round_trip_is_two_orders(costs: Costs) -> None:
    for kind in Charged:
        buy, sell = (costs.order(DAY, v, buy=b, kind=kind).total for v, b in ((90_000.0, True), (91_000.0, False)))
        assert buy + sell == pytest.approx(costs.round_trip(DAY, 90_000.0, 91_000.0, kind).total, rel=1e-12)


def test_rounding_moves_a_note_by_less_than_its_units(costs: Costs) -> None:
    for kind in Charged:
        exact = costs.round_trip(DAY, 7 * 1234.55, 7 * 1240.05, kind).total
        rounded = contract_note(costs.rates(DAY, kind), [Executed(True, 7, 1234.55), Executed(False, 7, 1240.05)]).total
        assert exact != rounded and abs(exact - rounded) < 1.04


def test_brokerage_is_by_order_and_tax_by_day(costs: Costs) -> None:
    rates = costs.rates(DAY)
    halves = [Executed(False, 50, 2000.0)] * 2
    assert contract_note(rates, halves).brokerage == 40.0 and contract_note(rates, [Executed(False, 100, 2000.0)]).brokerage == 20.0
    assert contract_note(rates, [Executed(False, 1, 1200.0)] * 2).stt == 1.0  # 0.3 and 0.3: together above half a rupee
    assert contract_note(rates, [Executed(False, 1, 1200.0)]).stt == 0.0


def test_halves_round_up(costs: Costs) -> None:
    assert contract_note(costs.rates(DAY), [Executed(False, 100, 100.0)]).stt == 3.0  # 2.50
    assert contract_note(costs.rates(DAY), [Executed(False, 99, 100.0)]).stt == 2.0  # 2.475


def test_a_forced_exit_costs_fifty_rupees_and_tax(costs: Costs) -> None:
    assert costs.square_off_fee(DAY) == pytest.approx(59.0)
    orders = [Executed(True, 10, 500.0), Executed(False, 10, 501.0)]
    forced = [orders[0], Executed(False, 10, 501.0, forced=True)]
    plain, dear = (contract_note(costs.rates(DAY), o) for o in (orders, forced))
    assert dear.total - plain.total == pytest.approx(59.0) and dear.square_off == 50.0


def test_nothing_traded_costs_nothing(costs: Costs) -> None:
    assert contract_note(costs.rates(DAY), []).total == 0.0
