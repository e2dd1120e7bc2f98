"""A quote as the bytes of Kite's WebSocket packets. Big-endian, prices as they come (paise for every segment the exchange lists).

Source: KITE_SPEC 8.4 (Kite Connect v3 documentation, "WebSocket streaming"). Plain ``struct``: this end of the wire shares nothing
with the decoder it is there to test.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Protocol

INDEX_SEGMENT = 9  # low byte of an index's token
MODES = ("ltp", "quote", "full")  # as subscriptions name them
LEVELS = 5
NO_DEPTH: tuple[tuple[int, int, int], ...] = ((0, 0, 0),) * LEVELS

Level = tuple[int, int, int]  # quantity, price, orders

_LTP = struct.Struct(">II")
_INDEX_QUOTE = struct.Struct(">IIIIIIi")
_INDEX_FULL = struct.Struct(">IIIIIIiI")
_QUOTE = struct.Struct(">11I")
_FULL = struct.Struct(">16I" + "IIHH" * (2 * LEVELS))
_COUNT = struct.Struct(">H")

LENGTHS = (_LTP.size, _INDEX_QUOTE.size, _INDEX_FULL.size, _QUOTE.size, _FULL.size)
VOLUME = slice(16, 20)  # of quote and full packets of what is traded


class Quote(Protocol):
    """What the book knows of one instrument: ``book.QuoteBook`` keeps it. Whole numbers, prices in paise, times in seconds UTC."""

    last_price: int
    last_qty: int
    avg_price: int
    volume: int
    buy_qty: int
    sell_qty: int
    open: int
    high: int
    low: int
    close: int  # of the previous session
    last_trade_s: int
    oi: int
    oi_high: int
    oi_low: int
    exchange_s: int

    @property
    def bids(self) -> Sequence[Level]:
        """Best first; fewer than five where there are no more."""
        ...

    @property
    def offers(self) -> Sequence[Level]:
        """Best first; fewer than five where there are no more."""
        ...


def ltp(token: int, quote: Quote) -> bytes:
    """8 bytes: token and last price."""
    return _LTP.pack(token, quote.last_price)


def quote(token: int, quote: Quote) -> bytes:
    """44 bytes: everything but times, open interest and depth."""
    q = quote
    return _QUOTE.pack(
        token, q.last_price, q.last_qty, q.avg_price, q.volume, q.buy_qty, q.sell_qty, q.open, q.high, q.low, q.close
    )  # fmt: skip


def full(token: int, quote: Quote) -> bytes:
    """184 bytes: everything."""
    q = quote
    book = [x for side in (q.bids, q.offers) for qty, price, orders in padded(side) for x in (qty, price, orders, 0)]
    return _FULL.pack(
        token, q.last_price, q.last_qty, q.avg_price, q.volume, q.buy_qty, q.sell_qty, q.open, q.high, q.low, q.close,
        q.last_trade_s, q.oi, q.oi_high, q.oi_low, q.exchange_s, *book,
    )  # fmt: skip


def index_quote(token: int, quote: Quote) -> bytes:
    """28 bytes: an index without its time."""
    q = quote
    return _INDEX_QUOTE.pack(token, q.last_price, q.high, q.low, q.open, q.close, _change(q))


def index_full(token: int, quote: Quote) -> bytes:
    """32 bytes: an index with its time."""
    q = quote
    return _INDEX_FULL.pack(token, q.last_price, q.high, q.low, q.open, q.close, _change(q), q.exchange_s)


_TRADED: dict[str, Callable[[int, Quote], bytes]] = {"ltp": ltp, "quote": quote, "full": full}
_INDEX: dict[str, Callable[[int, Quote], bytes]] = {"ltp": ltp, "quote": index_quote, "full": index_full}


def encode(token: int, mode: str, quote: Quote) -> bytes:
    """The body of the packet that a subscription of ``mode`` gets."""
    return (_INDEX if token & 0xFF == INDEX_SEGMENT else _TRADED)[mode](token, quote)


def sized(body: bytes) -> bytes:
    """A packet as it stands in a frame: its length, then its body."""
    return _COUNT.pack(len(body)) + body


def frame(packets: Sequence[bytes]) -> bytes:
    """One binary message of these packets (at most 65 535), each as ``sized`` gives it."""
    return _COUNT.pack(len(packets)) + b"".join(packets)


def padded(side: Sequence[Level]) -> Sequence[Level]:
    """Exactly five levels; a missing one is all zero."""
    return side if len(side) == LEVELS else (*side[:LEVELS], *NO_DEPTH[len(side) :])


def _change(quote: Quote) -> int:
    return quote.last_price - quote.close
