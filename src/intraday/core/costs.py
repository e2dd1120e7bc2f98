"""What trading costs: broker, exchange and state, by date. Slippage and spread are not in here.

The rates are dated rows in ``charges.csv`` beside this file, each with its evidence; ``approximate`` marks rows
whose rates or first day are assumed in part. The newest row also answers for later days: show it beside the dated one.
The functions here do not round; a contract note does (``core.contract_notes``).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib.resources import files

import numpy as np

from intraday.domain.arrays import F8
from intraday.domain.errors import InputError
from intraday.domain.instruments import Kind


class Charged(StrEnum):
    """What the rates differ by. Of an option, only the premium is charged."""

    EQUITY = "equity"  # intraday, not for delivery
    FUTURE = "future"  # on a stock or an index alike
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Rates:
    """One row of the table: fractions of the value traded; ``gst`` (before July 2017 service tax) of brokerage, exchange and SEBI.

    Brokerage an order is ``brokerage_flat`` rupees, or where that is 0 ``brokerage`` of the value, at most ``brokerage_max``
    rupees. ``ipft`` goes to the exchange's investor protection fund, without GST. ``square_off`` is the broker's fee in rupees for
    each order it has to place itself to close a position, before GST.
    """

    since: date
    segment: Charged
    brokerage: float
    brokerage_max: float
    brokerage_flat: float
    stt_buy: float
    stt_sell: float
    exchange: float
    ipft: float
    sebi: float
    stamp_buy: float
    gst: float
    square_off: float
    approximate: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Charges:
    """What a set of orders costs, taken apart, rupees. ``square_off`` without its GST, which is in ``gst``."""

    brokerage: float
    stt: float
    exchange: float
    sebi: float
    stamp: float
    gst: float
    ipft: float = 0.0
    square_off: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        fees = self.brokerage + self.exchange + self.ipft + self.sebi + self.square_off
        return fees + self.stt + self.stamp + self.gst


class Costs:
    """The dated table. An index cannot be traded: its round trip is priced as its future's."""

    def __init__(self, rows: Sequence[Rates]) -> None:
        self._rows = sorted(rows, key=lambda r: r.since)

    @classmethod
    def load(cls) -> Costs:
        """The table that comes with the program."""
        with files("intraday.core").joinpath("charges.csv").open(encoding="utf-8") as handle:
            return cls([_rates(row) for row in csv.DictReader(handle)])

    def rates(self, day: date, kind: Kind | Charged = Kind.EQUITY) -> Rates:
        """The row in force on ``day``; InputError before the first."""
        segment = Charged.FUTURE if kind is Kind.INDEX else Charged(kind.value)
        rows = [r for r in self._rows if r.segment is segment and r.since <= day]
        if not rows:
            first = min((r.since for r in self._rows if r.segment is segment), default=None)
            raise InputError(f"charges of {segment} on {day}: expected a day from {first} on; add a row to charges.csv")
        return rows[-1]

    def round_trip(self, day: date, buy_value: float, sell_value: float, kind: Kind | Charged = Kind.EQUITY) -> Charges:
        """Charges of buying for ``buy_value`` and selling for ``sell_value`` rupees, one order each, intraday, in either order.

        The value of an option is its premium.
        """
        r = self.rates(day, kind)
        return _charges(r, buy_value, sell_value, _brokerage(r, buy_value) + _brokerage(r, sell_value))

    def order(self, day: date, value: float, *, buy: bool, kind: Kind | Charged = Kind.EQUITY) -> Charges:
        """Charges of one order of ``value`` rupees: half a round trip."""
        r = self.rates(day, kind)
        return _charges(r, value if buy else 0.0, 0.0 if buy else value, _brokerage(r, value))

    def square_off_fee(self, day: date, kind: Kind | Charged = Kind.EQUITY) -> float:
        """What the broker takes for an order it places to close a position, rupees, tax included."""
        r = self.rates(day, kind)
        return r.square_off * (1.0 + r.gst)

    def round_trip_bps(self, day: date, notional: float, kind: Kind | Charged = Kind.EQUITY) -> float:
        """Charges of buying and selling ``notional`` rupees, in basis points of it."""
        return self.round_trip(day, notional, notional, kind).total / notional * 1e4


def round_trip_values(rates: Rates, buy_value: F8, sell_value: F8) -> F8:
    """Total charges in rupees for arrays of trades under one row of rates: ``buy_value``, ``sell_value`` float64 [n], rupees."""
    traded = buy_value + sell_value
    capped = sum(np.minimum(rates.brokerage * value, rates.brokerage_max) for value in (buy_value, sell_value))
    brokerage = 2.0 * rates.brokerage_flat or capped
    fees = brokerage + (rates.exchange + rates.sebi) * traded
    taxes = rates.stt_buy * buy_value + rates.stt_sell * sell_value + rates.stamp_buy * buy_value
    out: F8 = fees * (1.0 + rates.gst) + rates.ipft * traded + taxes
    return out


def _brokerage(r: Rates, value: float) -> float:
    return r.brokerage_flat or min(r.brokerage * value, r.brokerage_max)


def _charges(r: Rates, buy_value: float, sell_value: float, brokerage: float) -> Charges:
    traded = buy_value + sell_value
    exchange, sebi = r.exchange * traded, r.sebi * traded
    return Charges(
        brokerage=brokerage,
        stt=r.stt_buy * buy_value + r.stt_sell * sell_value,
        exchange=exchange,
        sebi=sebi,
        stamp=r.stamp_buy * buy_value,
        gst=r.gst * (brokerage + exchange + sebi),
        ipft=r.ipft * traded,
    )


def _rates(row: dict[str, str]) -> Rates:
    text = {"since", "segment", "approximate", "evidence"}
    return Rates(
        since=date.fromisoformat(row["since"]),
        segment=Charged(row["segment"]),
        approximate=row["approximate"] == "yes",
        evidence=row["evidence"],
        **{name: float(value) for name, value in row.items() if name not in text},
    )
