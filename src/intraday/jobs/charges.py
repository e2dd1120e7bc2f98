"""What a day's orders cost, as the contract note will say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from intraday.core.contract_notes import Executed, contract_note
from intraday.core.costs import Charged, Charges, Costs
from intraday.domain.errors import InputError

_ORDER: Final = re.compile(r"(buy|sell|exit):([1-9]\d*)@(\d+(?:\.\d{1,4})?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ChargesReport:
    """``charges`` in rupees, rounded as a contract note is, of orders worth ``bought`` and ``sold`` rupees.

    ``approximate``: a rate or the day it began could not be verified. ``gross``: sold less bought, NaN where quantities do not
    cancel. ``usual_bps``: the round trip of ``notional`` rupees that labels and decisions reckon with, not rounded.
    """

    day: date
    segment: str
    since: date
    approximate: bool
    bought: float
    sold: float
    charges: Charges
    total: float
    gross: float
    notional: float
    usual_bps: float


def charges(orders: Sequence[str], segment: Charged, day: date, notional: float) -> ChargesReport:
    """Charges of ``orders`` (``parse_order``) of one segment on ``day``. Raises InputError for a text that is no order."""
    costs, executed = Costs.load(), [parse_order(text) for text in orders]
    rates = costs.rates(day, segment)
    found = contract_note(rates, executed)
    bought, sold = (float(sum(o.value for o in executed if o.buy is side)) for side in (True, False))
    left = sum(o.quantity if o.buy else -o.quantity for o in executed)
    gross = sold - bought if left == 0 else float("nan")
    return ChargesReport(
        day, segment.value, rates.since, rates.approximate, bought, sold, found, round(found.total, 2), gross, notional,
        costs.round_trip_bps(day, notional, segment),
    )  # fmt: skip


def parse_order(text: str) -> Executed:
    """``buy:100@1234.55`` or ``sell:...``; ``exit:...`` is a sale that the broker placed to square off, which has its fee."""
    found = _ORDER.fullmatch(text.strip())
    if found is None or float(found[3]) <= 0.0:
        raise InputError(f"expected an order like buy:100@1234.55 (buy, sell or exit; quantity; price in rupees), found {text!r}")
    what = found[1].lower()
    return Executed(what == "buy", int(found[2]), float(found[3]), forced=what == "exit")
