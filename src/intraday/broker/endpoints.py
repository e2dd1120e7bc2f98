"""What Kite Connect can be asked: each call's method, path, class of pace and patience. Pure.

Source: Kite Connect v3 documentation and the official client (KITE_SPEC 1, 4, 6, 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from intraday.domain.arrays import IST_NS

SECOND_NS = 1_000_000_000
QUOTE_KEYS_MAX = 500  # instruments of one /quote
PRICE_KEYS_MAX = 1000  # instruments of one /quote/ohlc or /quote/ltp


class Pace(StrEnum):
    """Calls of one class share one limit, counted per API key."""

    QUOTE = "quote"
    HISTORICAL = "historical"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call. ``path`` is a template; ``patience``: how many times the usual timeout its answer may take."""

    method: str
    path: str
    pace: Pace = Pace.OTHER
    csv: bool = False
    signed: bool = True  # carries the access token
    patience: float = 1.0

    @property
    def repeatable(self) -> bool:
        """Whether asking twice does no more than asking once. A request token works once, so its exchange is not."""
        return self.method == "GET"


EXCHANGE = Endpoint("POST", "/session/token", signed=False)
LOGOUT = Endpoint("DELETE", "/session/token")
PROFILE = Endpoint("GET", "/user/profile")
INSTRUMENTS = Endpoint("GET", "/instruments", csv=True, patience=10)
INSTRUMENTS_OF = Endpoint("GET", "/instruments/{exchange}", csv=True, patience=10)
CANDLES = Endpoint("GET", "/instruments/historical/{token}/{interval}", Pace.HISTORICAL)
QUOTE = Endpoint("GET", "/quote", Pace.QUOTE)
OHLC = Endpoint("GET", "/quote/ohlc", Pace.QUOTE)
LTP = Endpoint("GET", "/quote/ltp", Pace.QUOTE)


def ist_text(ts_ns: int) -> str:
    """``ts_ns`` as Kite writes times: ``2026-01-05 09:15:00``, IST wall time, whole seconds (the rest is cut off)."""
    return str(np.datetime64((ts_ns + IST_NS) // SECOND_NS, "s")).replace("T", " ")
