"""A day's orders as a contract note prices them, to the paisa. The model's own costs are not rounded (``core.costs``).

Brokerage is rounded an order, everything else on the day's sums of a segment: to the paisa, but securities transaction tax and
stamp duty to the whole rupee, halves up. Source: Zerodha's brokerage calculator and support pages, cited in ``docs/charges.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from intraday.core.costs import Charges, Rates

PAISA, RUPEE = Decimal("0.01"), Decimal(1)


@dataclass(frozen=True, slots=True)
class Executed:
    """One executed order: ``price`` rupees (of an option its premium). ``forced``: the broker placed it to close a position."""

    buy: bool
    quantity: int
    price: float
    forced: bool = False

    @property
    def value(self) -> Decimal:
        """Rupees, exact for prices in paise."""
        return self.quantity * Decimal(repr(self.price))


def contract_note(rates: Rates, orders: Sequence[Executed]) -> Charges:
    """Charges of a day's intraday ``orders`` of one segment under ``rates``, rounded as a contract note does; rupees."""
    bought = sum((o.value for o in orders if o.buy), Decimal(0))
    sold = sum((o.value for o in orders if not o.buy), Decimal(0))
    brokerage = sum((_brokerage(rates, o.value) for o in orders), Decimal(0))
    exchange, sebi = (_round(_exact(rate) * (bought + sold), PAISA) for rate in (rates.exchange, rates.sebi))
    square_off = _exact(rates.square_off) * sum(o.forced for o in orders)
    return Charges(
        brokerage=float(brokerage),
        stt=float(_round(_exact(rates.stt_buy) * bought + _exact(rates.stt_sell) * sold, RUPEE)),
        exchange=float(exchange),
        sebi=float(sebi),
        stamp=float(_round(_exact(rates.stamp_buy) * bought, RUPEE)),
        gst=float(_round(_exact(rates.gst) * (brokerage + exchange + sebi + square_off), PAISA)),
        ipft=float(_round(_exact(rates.ipft) * (bought + sold), PAISA)),
        square_off=float(square_off),
    )


def _brokerage(rates: Rates, value: Decimal) -> Decimal:
    if rates.brokerage_flat:
        return _exact(rates.brokerage_flat)
    return _round(min(_exact(rates.brokerage) * value, _exact(rates.brokerage_max)), PAISA)


def _exact(rate: float) -> Decimal:
    """The decimal number that the table's text says."""
    return Decimal(repr(rate))


def _round(value: Decimal, unit: Decimal) -> Decimal:
    return value.quantize(unit, ROUND_HALF_UP)
