"""The tape: every trade of the simulated market. Candles, quotes and the stream are all made from it.

Plain Python, and nothing of ``core``: the programs that are tested against the exchange must not share its mistakes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import NamedTuple, Protocol, overload

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.session import Segment, Session, SessionTable
from intraday.sim.listing import SimInstrument

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
        """Ascending: the pre-open's match, continuous trading, the closing auction's print for its stocks, all when the session
        table says; index values about every second or two. Empty on holidays and for unknown tokens."""
        ...

    def previous_close(self, token: int, day: date) -> int:
        """The close of the last session before ``day``, paise; 0 if there was none."""
        ...


def trading_hours(sessions: SessionTable, instrument: SimInstrument, day: date) -> Session | None:
    """Continuous trading of ``instrument`` on ``day``, None when the exchange is closed. CalendarError outside the table.

    Closing-auction stocks stop at 15:15 and futures trade to 15:40, both from 2026-08-03 on.
    """
    segment = Segment.DERIVATIVES if instrument.is_future else Segment.EQUITY
    return sessions.find(day, instrument.auction, segment)


def match_ns(session: Session) -> int:
    """When the pre-open's match is, within half a minute: order entry has ended by then. The open where there is no pre-open."""
    before = session.pre_open
    return session.open_ns if before is None else (before.random_end_ns + before.entry_end_ns) // 2


def order_windows(sessions: SessionTable, row: SimInstrument, day: date) -> tuple[Window, ...]:
    """When orders are entered, so that depth moves: the pre-open as long as it is sure to last, continuous trading without its
    pauses, the closing auction's entry.

    Empty for indices and on days without a session.
    """
    session = trading_hours(sessions, row, day)
    if session is None or row.is_index:
        return ()
    before, after = session.pre_open, session.closing_auction
    out = [] if before is None else [(before.entry_ns, before.random_end_ns)]
    start_ns = session.open_ns
    for pause_start, pause_end in session.pauses:
        out.append((start_ns, pause_start))
        start_ns = pause_end
    out.append((start_ns, session.close_ns))
    if after is not None:
        out.append((after.entry_ns, after.entry_end_ns))
    return tuple(out)


def open_interest(row: SimInstrument, at_ns: int) -> int:
    """Open interest of a future at an instant: a number of lots that rises and falls through the day; 0 for everything else."""
    if not row.is_future:
        return 0
    minute = at_ns // MINUTE_NS
    wave = abs((minute * 7 + row.token) % 400 - 200) + abs((minute + row.token) % 60 - 30)
    return row.lot * (5_000 + 10 * wave)
