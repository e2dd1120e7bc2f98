"""From the dated table of charges to the picture of what a round trip costs."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from intraday.core.costs import Costs
from intraday.domain.instruments import Kind
from intraday.report.parts import Charges

NOTIONALS = (50_000.0, 200_000.0, 1_000_000.0)


def charges_of(costs: Costs, first: date, last: date, today: date, notional: float, kind: Kind = Kind.EQUITY) -> Charges:
    """Round trips of ``notional`` rupees and of a few other sizes under every row of the table from ``first`` to ``today``.

    InputError before the table's first row.
    """
    end = max(last, today)
    since = {costs.rates(first + timedelta(days=k), kind).since for k in range((end - first).days + 1)}
    days = sorted({max(day, first) for day in since})
    sizes = sorted({notional, *NOTIONALS})
    bps = np.array([[costs.round_trip_bps(day, size, kind) for size in sizes] for day in days])
    now = np.array([costs.round_trip_bps(today, size, kind) for size in sizes])
    return Charges(days, sizes, bps, now, today, last)
