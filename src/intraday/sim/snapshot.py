"""What is known of one instrument at one moment, and how trades and orders change it."""

from __future__ import annotations

from dataclasses import dataclass, field

from intraday.domain.arrays import MINUTE_NS
from intraday.sim.listing import SimInstrument
from intraday.sim.tape import open_interest

Level = tuple[int, int, int]  # quantity, price in paise, orders

NO_DEPTH: tuple[Level, ...] = ((0, 0, 0),) * 5
SECOND_NS = 10**9


@dataclass(slots=True)
class Quote:
    """One instrument now. Prices in paise, times in seconds since the epoch UTC; best levels first; all zero before any trade.

    Before the day's first trade it is the last session's, with that session's times (the exchange's cache of last values).
    ``close`` is the previous session's close. An index has prices and ``exchange_s`` only.
    """

    token: int
    last_price: int = 0
    last_qty: int = 0
    avg_price: int = 0
    volume: int = 0
    buy_qty: int = 0
    sell_qty: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    last_trade_s: int = 0
    oi: int = 0
    oi_high: int = 0
    oi_low: int = 0
    exchange_s: int = 0
    bids: list[Level] = field(default_factory=lambda: list(NO_DEPTH))
    offers: list[Level] = field(default_factory=lambda: list(NO_DEPTH))


def begin_day(quote: Quote, price: int, close: int) -> None:
    """The first trade: the day's figures start from it."""
    quote.open = quote.high = quote.low = price
    quote.close = close
    quote.volume = 0
    quote.oi_high = quote.oi_low = 0


def count_interest(quote: Quote, row: SimInstrument, first_ns: int, last_ns: int) -> None:
    """Open interest after the trades of ``first_ns`` to ``last_ns``, minute by minute for its extremes."""
    steps = [*range(first_ns, last_ns, MINUTE_NS), last_ns]
    found = [open_interest(row, at_ns) for at_ns in steps]
    quote.oi = found[-1]
    quote.oi_high = max(quote.oi_high, *found)
    quote.oi_low = min(quote.oi_low or found[0], *found)


def clear_orders(quote: Quote, now_ns: int) -> None:
    """No orders any more: the packet after the close."""
    quote.bids, quote.offers = list(NO_DEPTH), list(NO_DEPTH)
    quote.buy_qty = quote.sell_qty = 0
    quote.exchange_s = now_ns // SECOND_NS
