"""What a round trip costs: broker, exchange and state, by date. Slippage and spread are not in here.

The rates are dated rows in ``charges.csv`` beside this file, each with its evidence; ``approximate`` marks rows
whose rates or first day are assumed in part. The newest row also answers for later days: show it beside the dated one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

import numpy as np

from intraday.domain.arrays import F8
from intraday.domain.errors import InputError
from intraday.domain.instruments import Kind


@dataclass(frozen=True, slots=True)
class Rates:
    """One row of the table. Fractions of the value traded; ``brokerage_max`` rupees an order, ``gst`` of the three fees."""

    since: date
    kind: Kind
    brokerage: float
    brokerage_max: float
    stt_buy: float
    stt_sell: float
    exchange: float
    sebi: float
    stamp_buy: float
    gst: float
    approximate: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Charges:
    """A round trip taken apart, rupees."""

    brokerage: float
    stt: float
    exchange: float
    sebi: float
    stamp: float
    gst: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.brokerage + self.stt + self.exchange + self.sebi + self.stamp + self.gst


class Costs:
    """The dated table. An index cannot be traded: its round trip is priced as its future's."""

    def __init__(self, rows: Sequence[Rates]) -> None:
        self._rows = sorted(rows, key=lambda r: r.since)

    @classmethod
    def load(cls) -> Costs:
        """The table that comes with the program."""
        with files("intraday.core").joinpath("charges.csv").open(encoding="utf-8") as handle:
            return cls([_rates(row) for row in csv.DictReader(handle)])

    def rates(self, day: date, kind: Kind = Kind.EQUITY) -> Rates:
        """The row in force on ``day``; InputError before the first."""
        traded = Kind.FUTURE if kind is Kind.INDEX else kind
        rows = [r for r in self._rows if r.kind is traded and r.since <= day]
        if not rows:
            first = min((r.since for r in self._rows if r.kind is traded), default=None)
            raise InputError(f"charges of {traded} on {day}: expected a day from {first} on; add a row to charges.csv")
        return rows[-1]

    def round_trip(self, day: date, buy_value: float, sell_value: float, kind: Kind = Kind.EQUITY) -> Charges:
        """Charges of buying for ``buy_value`` and selling for ``sell_value`` rupees, one order each, intraday, in either order."""
        r = self.rates(day, kind)
        traded = buy_value + sell_value
        brokerage = sum(min(r.brokerage * value, r.brokerage_max) for value in (buy_value, sell_value))
        exchange, sebi = r.exchange * traded, r.sebi * traded
        stt = r.stt_buy * buy_value + r.stt_sell * sell_value
        return Charges(brokerage, stt, exchange, sebi, r.stamp_buy * buy_value, r.gst * (brokerage + exchange + sebi))

    def round_trip_bps(self, day: date, notional: float, kind: Kind = Kind.EQUITY) -> float:
        """Charges of buying and selling ``notional`` rupees, in basis points of it."""
        return self.round_trip(day, notional, notional, kind).total / notional * 1e4

    def round_trip_returns(self, days: Sequence[date], notional: float, kind: Kind = Kind.EQUITY) -> F8:
        """The same as a return (0.0008 is 8 bps) for each of ``days``, float64 [n]; each distinct day is looked up once."""
        known = {day: self.round_trip_bps(day, notional, kind) * 1e-4 for day in set(days)}
        return np.array([known[day] for day in days], dtype=np.float64)


def round_trip_values(rates: Rates, buy_value: F8, sell_value: F8) -> F8:
    """Total charges in rupees for arrays of trades under one row of rates: ``buy_value``, ``sell_value`` float64 [n], rupees."""
    traded = buy_value + sell_value
    brokerage = sum(np.minimum(rates.brokerage * value, rates.brokerage_max) for value in (buy_value, sell_value))
    fees = brokerage + (rates.exchange + rates.sebi) * traded
    out: F8 = fees * (1.0 + rates.gst) + rates.stt_buy * buy_value + rates.stt_sell * sell_value + rates.stamp_buy * buy_value
    return out


def _rates(row: dict[str, str]) -> Rates:
    numbers = ("brokerage", "brokerage_max", "stt_buy", "stt_sell", "exchange", "sebi", "stamp_buy", "gst")
    return Rates(
        since=date.fromisoformat(row["since"]),
        kind=Kind(row["kind"]),
        approximate=row["approximate"] == "yes",
        evidence=row["evidence"],
        **{name: float(row[name]) for name in numbers},
    )
