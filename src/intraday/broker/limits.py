"""The day's circuit limits from the broker's full quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from intraday.broker.payloads import Quote
from intraday.domain.clock import Clock
from intraday.domain.instruments import Instrument
from intraday.domain.limits import LIMIT, Limits, paise


class QuoteApi(Protocol):
    """Where quotes are asked for: ``broker.rest.RESTClient``."""

    async def quote(self, keys: Sequence[str]) -> dict[str, Quote]:
        """Market snapshots by ``EXCHANGE:SYMBOL``, 500 a request."""
        ...


async def fetch_limits(api: QuoteApi, instruments: Sequence[Instrument], session: int, clock: Clock) -> Limits:
    """LIMIT[n] of a session number, known from the answers on; without those that are told no limit, as indices are.

    Raises BrokerError, AuthError.
    """
    found = await api.quote([i.key for i in instruments if i.has_volume])
    return limits_of(found, instruments, session, clock.now_ns())


def limits_of(quotes: Mapping[str, Quote], instruments: Sequence[Instrument], session: int, known_ns: int) -> Limits:
    """The limits in ``quotes``, by ``EXCHANGE:SYMBOL``; pure."""
    rows = []
    for instrument in instruments:
        quote = quotes.get(instrument.key)
        lower, upper = (0, 0) if quote is None else (paise(quote.lower_circuit), paise(quote.upper_circuit))
        if 0 < lower < upper:
            rows.append((instrument.id, session, lower, upper, known_ns))
    return np.array(rows, LIMIT)
