"""The tape: every trade of the simulated market. Candles, quotes and the stream are all made from it.

Plain Python, and nothing of ``core``: the programs that are tested against the exchange must not share its mistakes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple, Protocol, overload

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.session import AUCTION_FROM, Session, SessionTable, midnight_ns
from intraday.sim.listing import SimInstrument

PREOPEN_MINUTES = 15  # from the start of order entry to the open
MATCH_BEFORE_OPEN_NS = 450 * 10**9  # the one match before the open, at about 09:07:30
FUTURES_CLOSE = 15 * 60 + 40  # minutes after midnight IST, since the closing auction exists
REGULAR_CLOSE = 15 * 60 + 30
PREOPEN_ENTRY_MINUTES = 7  # order entry before the open lasts at least so long
AUCTION_ENTRY = (15 * 60 + 20, 15 * 60 + 30)  # minutes after midnight IST

Window = tuple[int, int]  # start_ns <= t < end_ns


class Trade(NamedTuple):
    """One execution: when (ns UTC), at what price (paise), how many shares (0 for index values)."""

    at_ns: int
    price: int
    qty: int


class Trades(Sequence[Trade]):
    """Trades of one instrument and day in order of time, kept as three columns: 16 bytes each."""

    __slots__ = ("at_ns", "price", "qty")

    def __init__(self, at_ns: Iterable[int] = (), price: Iterable[int] = (), qty: Iterable[int] = ()) -> None:
        self.at_ns = array("q", at_ns)
        self.price = array("i", price)
        self.qty = array("i", qty)

    @classmethod
    def of(cls, trades: Sequence[Trade]) -> Trades:
        """The same trades as columns."""
        if isinstance(trades, Trades):
            return trades
        return cls((t.at_ns for t in trades), (t.price for t in trades), (t.qty for t in trades))

    def until(self, now_ns: int) -> int:
        """How many happened at ``now_ns`` or before."""
        return bisect_right(self.at_ns, now_ns)

    def __len__(self) -> int:
        return len(self.at_ns)

    def __iter__(self) -> Iterator[Trade]:
        return map(Trade, self.at_ns, self.price, self.qty)

    @overload
    def __getitem__(self, i: int) -> Trade: ...
    @overload
    def __getitem__(self, i: slice) -> Trades: ...
    def __getitem__(self, i: int | slice) -> Trade | Trades:
        if isinstance(i, slice):
            return Trades(self.at_ns[i], self.price[i], self.qty[i])
        return Trade(self.at_ns[i], self.price[i], self.qty[i])


class Tape(Protocol):
    """Where trades come from: ``market.SyntheticTape``, ``recorded.RecordedTape``."""

    @property
    def instruments(self) -> Sequence[SimInstrument]:
        """What is listed."""
        ...

    @property
    def sessions(self) -> SessionTable:
        """When it trades."""
        ...

    def trades(self, token: int, day: date) -> Sequence[Trade]:
        """Ascending: the pre-open match at about 09:07:30, continuous trading, the closing auction's print between 15:30 and 15:35
        for its stocks; index values about every second or two. Empty on holidays and for unknown tokens."""
        ...

    def previous_close(self, token: int, day: date) -> int:
        """The close of the last session before ``day``, paise; 0 if there was none."""
        ...


def trading_hours(sessions: SessionTable, instrument: SimInstrument, day: date) -> Session | None:
    """Continuous trading of ``instrument`` on ``day``, None when the exchange is closed. CalendarError outside the table.

    Closing-auction stocks stop at 15:15 and futures trade to 15:40, both from 2026-08-03 on.
    """
    session = sessions.find(day, auction=instrument.auction)
    if session is None or not instrument.is_future or day < AUCTION_FROM:
        return session
    midnight = midnight_ns(day)
    if session.close_ns != midnight + REGULAR_CLOSE * MINUTE_NS:
        return session
    return replace(session, close_ns=midnight + FUTURES_CLOSE * MINUTE_NS)


def has_auction(sessions: SessionTable, day: date) -> bool:
    """Whether ``day`` ends with a closing auction."""
    regular, auction = sessions.find(day), sessions.find(day, auction=True)
    return regular is not None and auction is not None and auction.close_ns < regular.close_ns


def order_windows(sessions: SessionTable, row: SimInstrument, day: date) -> tuple[Window, ...]:
    """When orders are entered, so that depth moves: pre-open, continuous trading without its pauses, the closing auction's entry.

    Empty for indices and on days without a session.
    """
    session = trading_hours(sessions, row, day)
    if session is None or row.is_index:
        return ()
    preopen_ns = session.open_ns - PREOPEN_MINUTES * MINUTE_NS
    out = [(preopen_ns, preopen_ns + PREOPEN_ENTRY_MINUTES * MINUTE_NS)]
    start_ns = session.open_ns
    for pause_start, pause_end in session.pauses:
        out.append((start_ns, pause_start))
        start_ns = pause_end
    out.append((start_ns, session.close_ns))
    if row.auction and has_auction(sessions, day):
        first, last = AUCTION_ENTRY
        out.append((midnight_ns(day) + first * MINUTE_NS, midnight_ns(day) + last * MINUTE_NS))
    return tuple(out)


def open_interest(row: SimInstrument, at_ns: int) -> int:
    """Open interest of a future at an instant: a number of lots that rises and falls through the day; 0 for everything else."""
    if not row.is_future:
        return 0
    minute = at_ns // MINUTE_NS
    wave = abs((minute * 7 + row.token) % 400 - 200) + abs((minute + row.token) % 60 - 30)
    return row.lot * (5_000 + 10 * wave)
