"""NSE sessions as data: which days trade, from when to when. Everything that needs a time of day asks here.

A session is a function of the date, the segment and whether a stock takes part in the closing auction. Which days differ from
Monday to Friday is in ``nse_sessions.csv`` beside this file, the regular hours are the dated rules below; each row and each rule
has its evidence. Outside the table's range it raises: a guessed calendar is worse than none. Past ``CONFIRMED_LAST`` the exchange
has not published its list yet: those sessions say ``provisional``. docs/sessions.md tells the whole of it.
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib.resources import files

import numpy as np

from intraday.domain.arrays import DAY_NS, I4, I8, IST_NS, MINUTE_NS, session_number
from intraday.domain.errors import CalendarError
from intraday.domain.session_rules import (
    AUCTION_FROM,
    HOURS,
    REGULAR_OPEN,
    AuctionHours,
    Segment,
    auction_hours,
    hours,
    minute_of,
    square_off,
)

__all__ = [
    "AUCTION_FROM", "CONFIRMED_LAST", "EPOCH", "CallAuction", "Segment", "Session", "SessionTable", "day_of", "midnight_ns",
    "with_auction",
]  # fmt: skip

EPOCH = date(1970, 1, 1)
TABLE_FIRST = date(2010, 1, 1)
TABLE_LAST = date(2027, 12, 31)
CONFIRMED_LAST = date(2026, 12, 31)  # NSE/CMTR/71775; the list of 2027 comes in December 2026
UNANNOUNCED = "unannounced"  # the exchange trades, its hours are not in the table
CLOSED = ("closed", UNANNOUNCED)  # kinds of rows that are no sessions


@dataclass(frozen=True, slots=True)
class CallAuction:
    """One call auction of one day, int64 ns UTC, in this order. It prints once, between ``random_end_ns`` and ``end_ns``."""

    start_ns: int
    entry_ns: int
    limit_only_ns: int
    random_end_ns: int
    entry_end_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of one segment. All times int64 ns since the epoch, UTC.

    Continuous trading is ``open_ns <= t < close_ns``; the last one-minute bar opens at ``last_minute_ns``. ``square_off_ns`` is
    when intraday positions must be gone. ``pauses`` are halts inside the day, each ``(start_ns, end_ns)``. ``provisional``: the
    exchange has not published the list this day is on; whoever plans with it has to say so.
    """

    day: date
    number: int  # days since 1970-01-01; the session key in arrays
    open_ns: int
    close_ns: int
    square_off_ns: int
    kind: str = "regular"  # regular, special, muhurat, halt
    pauses: tuple[tuple[int, int], ...] = ()
    segment: Segment = Segment.EQUITY
    auction: bool = False  # continuous trading ends with the closing auction
    provisional: bool = False

    @property
    def minutes(self) -> int:
        """Length of continuous trading in minutes, pauses included."""
        return int((self.close_ns - self.open_ns) // MINUTE_NS)

    @property
    def open_minutes(self) -> int:
        """How many minutes somebody can trade in: those of continuous trading outside its pauses."""
        return self.minutes - sum((end_ns - start_ns) // MINUTE_NS for start_ns, end_ns in self.pauses)

    @property
    def last_minute_ns(self) -> int:
        """Open time of the last one-minute bar of continuous trading."""
        return self.close_ns - MINUTE_NS

    @property
    def pre_open(self) -> CallAuction | None:
        """The call auction that ends a little before the open; None where there was none yet."""
        rule = auction_hours(self.day, self.segment, closing=False)
        return None if rule is None else _call_auction(rule, self.open_ns - minute_of(REGULAR_OPEN) * MINUTE_NS)

    @property
    def closing_auction(self) -> CallAuction | None:
        """The call auction that follows continuous trading; None for who takes no part."""
        rule = auction_hours(self.day, self.segment, closing=True) if self.auction else None
        return None if rule is None else _call_auction(rule, midnight_ns(self.day))

    @property
    def begin_ns(self) -> int:
        """When the day begins: the pre-open's start, the open where there is none."""
        pre_open = self.pre_open
        return self.open_ns if pre_open is None else pre_open.start_ns

    @property
    def end_ns(self) -> int:
        """When the day is over: the closing auction's end, for others the close."""
        closing = self.closing_auction
        return self.close_ns if closing is None else closing.end_ns


def with_auction(session: Session) -> Session:
    """The same day of a stock that takes part in the closing auction: its continuous trading, and so the square-off, end earlier.

    Sessions that do not end at the regular close (Muhurat, Saturdays of an hour) and days before 2026-08-03 stay as they are.
    """
    return _hours(session, session.segment, auction=True)


def day_of(ts_ns: int) -> date:
    """The IST date of an instant, ns UTC."""
    return EPOCH + timedelta(days=session_number(ts_ns))


def midnight_ns(day: date) -> int:
    """00:00 IST of ``day``, trading day or not, as ns UTC."""
    return _instant(day, 0)


class SessionTable:
    """The sessions of the NSE, in order, for every day between ``first`` and ``last``.

    ``auction`` everywhere: hours of a stock that takes part in the closing auction (one with derivatives), whose continuous
    trading ends at 15:15 from 2026-08-03 on. ``segment`` where it is asked for: equity derivatives trade to 15:40 since then. Days
    outside ``first .. last`` raise CalendarError. Sessions after ``confirmed`` are provisional. On ``unannounced`` days the
    exchange trades at hours the table does not know: they are no sessions here, and who asks for one of them is told.
    """

    def __init__(
        self,
        sessions: Iterable[Session],
        first: date,
        last: date,
        confirmed: date | None = None,
        unannounced: Iterable[date] = (),
    ) -> None:
        self.first = first
        self.last = last
        self.confirmed = last if confirmed is None else min(last, confirmed)
        self.unannounced = tuple(sorted(unannounced))
        self._made = {s.number: s for s in sorted(sessions, key=lambda s: s.number)}
        self._rows: Mapping[int, Mapping[str, str]] = {}  # of the file, by number: what sessions not made yet are made of
        self._number = np.array(list(self._made), dtype=np.int32)
        self._numbers: list[int] = self._number.tolist()
        self._open_ns = np.array([s.open_ns for s in self._made.values()], dtype=np.int64)
        self._close_ns = np.array([s.close_ns for s in self._made.values()], dtype=np.int64)

    @classmethod
    def load(cls) -> SessionTable:
        """The table that comes with the program (``nse_sessions.csv``)."""
        with files("intraday.domain").joinpath("nse_sessions.csv").open(encoding="utf-8") as handle:
            rows = {_number(date.fromisoformat(row["date"])): row for row in csv.DictReader(handle)}
        unannounced = [EPOCH + timedelta(days=number) for number, row in rows.items() if row["kind"] == UNANNOUNCED]
        table = cls((), TABLE_FIRST, TABLE_LAST, CONFIRMED_LAST, unannounced)
        table._fill(rows)
        return table

    def _fill(self, rows: Mapping[int, Mapping[str, str]]) -> None:
        """Every session's number and times; the sessions are made when somebody asks: of thousands a command needs few."""
        number = np.arange(_number(self.first), _number(self.last) + 1, dtype=np.int32)
        trades = (number + EPOCH.weekday()) % 7 < 5
        for special, row in rows.items():
            trades[special - number[0]] = row["kind"] not in CLOSED
        self._rows, self._number = rows, number[trades]
        self._numbers = self._number.tolist()
        self._open_ns, self._close_ns = _regular_ns(self._number, Segment.EQUITY, auction=False)
        for special in rows.keys() & set(self._numbers):
            at, session = bisect_left(self._numbers, special), self._session(special)
            self._open_ns[at], self._close_ns[at] = session.open_ns, session.close_ns

    def _session(self, number: int) -> Session:
        """The session of a number that has one, in the equity segment's hours."""
        made = self._made.get(number)
        if made is None:
            made = self._made[number] = _session(EPOCH + timedelta(days=number), self._rows.get(number))
        return made

    def _trades(self, number: int) -> bool:
        at = bisect_left(self._numbers, number)
        return at < len(self._numbers) and self._numbers[at] == number

    def find(self, day: date, auction: bool = False, segment: Segment = Segment.EQUITY) -> Session | None:
        """The session of ``day``, None when the exchange is closed. CalendarError outside the table."""
        self._require(day)
        number = _number(day)
        return _hours(self._session(number), segment, auction) if self._trades(number) else None

    def get(self, day: date, auction: bool = False, segment: Segment = Segment.EQUITY) -> Session:
        """The session of ``day``; CalendarError when the exchange is closed or the day is outside the table."""
        session = self.find(day, auction, segment)
        if session is None:
            caveat = self.caveat(day)
            found = caveat if day in self.unannounced else "the exchange is closed"
            more = f" ({caveat})" if caveat and caveat != found else ""
            raise CalendarError(f"{day}: expected a trading day, {found}; next session is {self._neighbour(day)}{more}")
        return session

    def between(self, start: date, end: date, auction: bool = False, segment: Segment = Segment.EQUITY) -> list[Session]:
        """Sessions with ``start <= day <= end``, in order."""
        self._require(start)
        self._require(end)
        cut = slice(bisect_left(self._numbers, _number(start)), bisect_left(self._numbers, _number(end) + 1))
        return [_hours(self._session(number), segment, auction) for number in self._numbers[cut]]

    def at(self, ts_ns: int, auction: bool = False) -> Session | None:
        """The session in whose continuous trading ``ts_ns`` lies (pauses included), None outside trading hours."""
        session = self.find(day_of(ts_ns), auction)
        return session if session is not None and session.open_ns <= ts_ns < session.close_ns else None

    def previous(self, day: date, auction: bool = False) -> Session:
        """The last session before ``day``; CalendarError when the table has none."""
        self._require(day)
        i = bisect_left(self._numbers, _number(day)) - 1
        if i < 0:
            raise CalendarError(f"no session before {day}: the table starts {self.first}")
        return _hours(self._session(self._numbers[i]), Segment.EQUITY, auction)

    def next(self, day: date, auction: bool = False) -> Session:
        """The first session after ``day``; CalendarError when the table has none."""
        self._require(day)
        i = bisect_left(self._numbers, _number(day) + 1)
        if i == len(self._numbers):
            raise CalendarError(f"no session after {day}: the table ends {self.last}")
        return _hours(self._session(self._numbers[i]), Segment.EQUITY, auction)

    def arrays(self, auction: bool = False, segment: Segment = Segment.EQUITY) -> tuple[I4, I8, I8]:
        """``(number int32[n], open_ns int64[n], close_ns int64[n])`` of all sessions, ascending, for vectorised checks."""
        close_ns = self._close_ns.copy()
        if auction or segment is not Segment.EQUITY:  # as in `_hours`: whoever ends at the regular close ends at its own
            regular = close_ns == _regular_ns(self._number, Segment.EQUITY, auction=False)[1]
            close_ns[regular] = _regular_ns(self._number, segment, auction)[1][regular]
        return self._number.copy(), self._open_ns.copy(), close_ns

    def pauses(self) -> I8:
        """int64[k, 2]: start and end of every pause of every session, ascending."""
        halted = sorted(number for number in self._made if self._made[number].pauses)  # sessions out of the ordinary are all made
        return np.array([p for number in halted for p in self._made[number].pauses], dtype=np.int64).reshape(-1, 2)

    def caveat(self, day: date) -> str:
        """What a person who plans with ``day`` has to know about it; empty when the exchange has said everything."""
        if day in self.unannounced:
            return "the exchange trades at hours the session table does not know (Muhurat evening); add them to nse_sessions.csv"
        if self.confirmed < day <= self.last:
            return (
                f"the session table has the exchange's own holidays up to {self.confirmed}, later ones are computed festivals: "
                "update intraday when the list of the year is out"
            )
        return ""

    def _require(self, day: date) -> None:
        if not self.first <= day <= self.last:
            raise CalendarError(f"{day}: the session table covers {self.first} to {self.last}; extend nse_sessions.csv")

    def _neighbour(self, day: date) -> str:
        i = bisect_left(self._numbers, _number(day))
        return str(EPOCH + timedelta(days=self._numbers[i])) if i < len(self._numbers) else f"after {self.last}"


def _number(day: date) -> int:
    return (day - EPOCH).days


def _instant(day: date, minute: int) -> int:
    """``minute`` after midnight IST of ``day`` as ns UTC."""
    return _number(day) * DAY_NS - IST_NS + minute * MINUTE_NS


def _session(day: date, row: Mapping[str, str] | None) -> Session:
    """The session of ``day`` by its row of the table, or by the regular rules where there is none."""
    row = row or {"kind": "regular", "pauses": ""}
    rule = hours(day, Segment.EQUITY, auction=False)
    open_minute, close_minute = minute_of(row.get("open") or rule.open), minute_of(row.get("close") or rule.close)
    spans = [span.split("-") for span in row["pauses"].split()]
    return Session(
        day,
        _number(day),
        _instant(day, open_minute),
        _instant(day, close_minute),
        _instant(day, square_off(day, close_minute)),
        row["kind"],
        tuple((_instant(day, minute_of(a)), _instant(day, minute_of(b))) for a, b in spans),
        provisional=day > CONFIRMED_LAST,
    )


def _regular_ns(number: I4, segment: Segment, auction: bool) -> tuple[I8, I8]:
    """Regular open and close of the days with these numbers, ns UTC, int64[n] each."""
    open_minute, close_minute = np.zeros((2, len(number)), dtype=np.int64)
    for rule in HOURS:
        if rule.segment is segment and (auction or not rule.auction):
            since = int(np.searchsorted(number, _number(rule.since)))
            open_minute[since:], close_minute[since:] = minute_of(rule.open), minute_of(rule.close)
    midnight = number.astype(np.int64) * DAY_NS - IST_NS
    return midnight + open_minute * MINUTE_NS, midnight + close_minute * MINUTE_NS


def _hours(session: Session, segment: Segment, auction: bool) -> Session:
    """The hours of a segment, or of an auction-eligible stock: they end elsewhere where the session ends at the regular close."""
    if segment is Segment.EQUITY and not auction:
        return session
    day = session.day
    regular, own = hours(day, Segment.EQUITY, auction=False), hours(day, segment, auction)
    if own.close == regular.close or session.close_ns != _instant(day, minute_of(regular.close)):
        return session if segment is session.segment else replace(session, segment=segment)
    close = minute_of(own.close)
    return replace(
        session,
        close_ns=_instant(day, close),
        square_off_ns=_instant(day, square_off(day, close)),
        segment=segment,
        auction=own.auction,
    )


def _call_auction(rule: AuctionHours, origin_ns: int) -> CallAuction:
    """The auction of a day; ``origin_ns`` stands for midnight."""
    times = (rule.start, rule.entry, rule.limit_only, rule.random_end, rule.entry_end, rule.end)
    return CallAuction(*(origin_ns + minute_of(text) * MINUTE_NS for text in times))
