"""What the exchange lists, and the daily dump of it. Source: KITE_SPEC, section 5."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from intraday.sim.paths import seeded

COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size", "lot_size",
    "instrument_type", "segment", "exchange",
)  # fmt: skip
SEGMENT_CODES = {"NSE": 1, "NFO": 2, "BSE": 4, "INDICES": 9}
FUTURES_MONTHS = 3
# Well-known numbers first, so that examples written for Kite work: symbol, exchange token, price in rupees, tick in paise.
KNOWN_STOCKS = (
    ("INFY", 1594, 1500, 10),
    ("RELIANCE", 2885, 1400, 10),
    ("SBIN", 3045, 850, 5),
    ("HDFCBANK", 1333, 980, 5),
    ("TCS", 11536, 3100, 10),
)
NIFTY = ("NIFTY 50", 1001, 24_500)
FIRST_SYNTHETIC = 20_001  # exchange token of SYN001
FIRST_FUTURE = 60_001


@dataclass(frozen=True, slots=True)
class SimInstrument:
    """One row of the list. Prices in paise; ``segment`` as in the dump (NSE, INDICES, NFO-FUT).

    ``auction``: takes part in the closing auction, as stocks with derivatives do from 2026-08-03. ``first_day``: no trades before.
    ``name`` of a future is the symbol of its underlying.
    """

    token: int
    exchange_token: int
    symbol: str
    exchange: str
    name: str
    segment: str
    instrument_type: str
    tick_paise: int
    lot: int
    expiry: date | None = None
    auction: bool = False
    base_paise: int = 100_000
    first_day: date | None = None

    @property
    def is_index(self) -> bool:
        """Indices have no volume, no depth, and other packets."""
        return self.segment == "INDICES"

    @property
    def is_future(self) -> bool:
        """Futures have open interest and longer hours."""
        return self.instrument_type == "FUT"

    @property
    def key(self) -> str:
        """``NSE:INFY``, as quotes are asked for."""
        return f"{self.exchange}:{self.symbol}"


def token_of(exchange_token: int, segment: str) -> int:
    """Kite's number: ``exchange_token << 8 | segment code``."""
    return exchange_token << 8 | SEGMENT_CODES[segment.split("-")[0]]


def stock(symbol: str, exchange_token: int, base_paise: int, tick_paise: int = 5, auction: bool = False) -> SimInstrument:
    """A stock of the cash segment."""
    token = token_of(exchange_token, "NSE")
    return SimInstrument(
        token,
        exchange_token,
        symbol,
        "NSE",
        f"{symbol} LIMITED",
        "NSE",
        "EQ",
        tick_paise,
        1,
        auction=auction,
        base_paise=base_paise,
    )


def index(symbol: str, exchange_token: int, base_paise: int) -> SimInstrument:
    """An index; its prices move in steps of five paise, its row says tick 0."""
    token = token_of(exchange_token, "INDICES")
    return SimInstrument(token, exchange_token, symbol, "NSE", symbol, "INDICES", "EQ", 5, 0, base_paise=base_paise)


def future(underlying: SimInstrument, exchange_token: int, expiry: date, lot: int) -> SimInstrument:
    """A future on ``underlying``."""
    root = underlying.symbol if not underlying.is_index else underlying.symbol.split(" ")[0]
    symbol = f"{root}{expiry:%y%b}FUT".upper()
    token = token_of(exchange_token, "NFO")
    return SimInstrument(
        token, exchange_token, symbol, "NFO", root, "NFO-FUT", "FUT", max(underlying.tick_paise, 5), lot, expiry,
        base_paise=underlying.base_paise,
    )  # fmt: skip


def synthetic_listing(n: int, with_index: bool = True, seed: int = 7, day: date = date(2026, 1, 2)) -> list[SimInstrument]:
    """``n`` stocks (five of them under well-known names and numbers, then SYN006 and so on), NIFTY 50 if asked for, and futures of
    every second stock for the three months from ``day``, so that clients can tell the closing-auction stocks.

    The same arguments give the same list; the futures alone depend on ``day``.
    """
    rng = seeded(f"listing {seed}")
    stocks = [_synthetic_stock(rng, i) for i in range(n)]
    indices = [index(NIFTY[0], NIFTY[1], NIFTY[2] * 100)] if with_index else []
    lots = [rng.choice((100, 250, 500, 1000)) for _ in stocks]
    futures: list[SimInstrument] = []
    for expiry in monthly_expiries(day, FUTURES_MONTHS):
        first = FIRST_FUTURE + (expiry.year * 12 + expiry.month) % 60 * 4_000  # a contract's number goes to another after years
        chosen = [(s, lot) for s, lot in zip(stocks, lots, strict=True) if s.auction]
        if with_index:
            chosen = [(indices[0], 75), *chosen]
        futures += [future(s, first + i, expiry, lot) for i, (s, lot) in enumerate(chosen)]
    return [*indices, *stocks, *futures]


def monthly_expiries(day: date, n: int) -> list[date]:
    """The last Tuesdays of ``n`` months, the first one on or after ``day``."""
    out: list[date] = []
    year, month = day.year, day.month
    while len(out) < n:
        following = date(year + month // 12, month % 12 + 1, 1)
        last = following - timedelta(days=1)
        expiry = last - timedelta(days=(last.weekday() - 1) % 7)
        if expiry >= day:
            out.append(expiry)
        year, month = following.year, following.month
    return out


def instruments_csv(instruments: Sequence[SimInstrument], exchange: str | None, last_price: Mapping[int, int]) -> bytes:
    """The dump as Kite writes it: the exact header, numbers in every numeric column, names quoted where they need it.

    ``last_price``: paise by token, of those that have one; 0 is written for the others. ``exchange`` None: all of them.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in instruments:
        if exchange is None or row.exchange == exchange:
            writer.writerow(_cells(row, last_price.get(row.token, 0)))
    return out.getvalue().encode()


def _cells(row: SimInstrument, price: int) -> tuple[object, ...]:
    tick = 0 if row.is_index else row.tick_paise / 100
    expiry = "" if row.expiry is None else row.expiry.isoformat()
    return (
        row.token, row.exchange_token, row.symbol, row.name, price / 100, expiry, 0, tick, row.lot, row.instrument_type,
        row.segment, row.exchange,
    )  # fmt: skip


def _synthetic_stock(rng: Random, i: int) -> SimInstrument:
    """The i-th stock; the well-known ones have derivatives, then every second one."""
    price = round(100 * 10 ** rng.uniform(1.95, 3.65))
    if i < len(KNOWN_STOCKS):
        symbol, exchange_token, rupees, tick = KNOWN_STOCKS[i]
        return stock(symbol, exchange_token, rupees * 100, tick, auction=True)
    tick = 1 if price < 25_000 else 5 if price < 100_000 else 10
    return stock(f"SYN{i + 1:03d}", FIRST_SYNTHETIC + i, price, tick, auction=i % 2 == 0)
