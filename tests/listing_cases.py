"""Lists of instruments as Kite words them, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)


def stock(symbol: str, token: int, *, name: str | None = None, tick: str = "0.05", lot: str = "1", exchange: str = "NSE") -> str:
    """A row of the cash segment."""
    return f'{token},{token >> 8},{symbol},"{name or symbol + " LTD, INDIA"}",0,,0,{tick},{lot},EQ,{exchange},{exchange}'


def index(symbol: str, token: int) -> str:
    """A row of an index."""
    return f"{token},{token >> 8},{symbol},{symbol},0,,0,0,0,EQ,INDICES,NSE"


def future(symbol: str, token: int, name: str, expiry: str = "2026-08-27", lot: str = "500") -> str:
    """A row of a future."""
    return f"{token},{token >> 8},{symbol},{name},0,{expiry},0,0.05,{lot},FUT,NFO-FUT,NFO"


def option(symbol: str, token: int) -> str:
    """A row of an option."""
    return f"{token},{token >> 8},{symbol},INFY,0,2026-08-27,1500,0.05,400,CE,NFO-OPT,NFO"


def dump(*rows: str, header: str = HEADER) -> bytes:
    """The whole file."""
    return "\n".join([header, *rows, ""]).encode()


@dataclass
class Lists:
    """``domain.listings.ListingApi``: a file for each exchange, which a test may exchange for another."""

    files: Mapping[str, bytes]
    asked: list[str | None] = field(default_factory=list)

    async def instruments(self, exchange: str | None = None) -> bytes:
        self.asked.append(exchange)
        assert exchange is not None
        return self.files[exchange]
