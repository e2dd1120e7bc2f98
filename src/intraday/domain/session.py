"""NSE sessions as data: which days trade, from when to when. Everything that needs a time of day asks here.

The rows come from ``nse_sessions.csv`` beside this file (holidays and special sessions, each with its evidence); the regular
hours are dated rules below. Outside the table's range it raises: a guessed calendar is worse than none.
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib.resources import files

import numpy as np

from intraday.domain.arrays import DAY_NS, I4, I8, IST_NS, MINUTE_NS, session_number
from intraday.domain.errors import CalendarError

EPOCH = date(1970, 1, 1)
TABLE_FIRST = date(2010, 1, 1)
TABLE_LAST = date(2026, 12, 31)
# (from this day on, open, close) of regular sessions, minutes after midnight IST. Opening moved to 09:15 with the pre-open auction.
REGULAR_HOURS = ((date(2010, 1, 1), 9 * 60, 15 * 60 + 30), (date(2010, 10, 18), 9 * 60 + 15, 15 * 60 + 30))
AUCTION_FROM = date(2026, 8, 3)  # NSE/CMTR/74466: closing auction for stocks with derivatives
AUCTION_CLOSE = 15 * 60 + 15
SQUARE_OFF_FROM = ((date(2010, 1, 1), 15 * 60 + 20),)  # the broker's published time; its present time is unknown, so dated
SQUARE_OFF_BEFORE_CLOSE = 10  # minutes, for sessions that do not end at the regular close


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of one segment. All times int64 ns since the epoch, UTC.

    Continuous trading is ``open_ns <= t < close_ns``; the last one-minute bar opens at ``close_ns - 1 min``. ``square_off_ns``
    is when intraday positions must be gone. ``pauses`` are halts inside the day, each ``(start_ns, end_ns)``.
    """

    day: date
    number: int  # days since 1970-01-01; the session key in arrays
    open_ns: int
    close_ns: int
    square_off_ns: int
    kind: str = "regular"  # regular, special, muhurat, halt
    pauses: tuple[tuple[int, int], ...] = ()

    @property
    def minutes(self) -> int:
        """Length of continuous trading in minutes, pauses included."""
        return int((self.close_ns - self.open_ns) // 60_000_000_000)


def day_of(ts_ns: int) -> date:
    """The IST date of an instant, ns UTC."""
    return EPOCH + timedelta(days=session_number(ts_ns))


def midnight_ns(day: date) -> int:
    """00:00 IST of ``day``, trading day or not, as ns UTC."""
    return _instant(day, 0)


class SessionTable:
    """The sessions of the NSE cash segment, in order, for every day between ``first`` and ``last``.

    ``auction`` everywhere: hours of a stock that takes part in the closing auction (one with derivatives), whose continuous
    trading ends at 15:15 from 2026-08-03 on. Days outside ``first .. last`` raise CalendarError.
    """

    def __init__(self, sessions: Iterable[Session], first: date, last: date) -> None:
        self.first = first
        self.last = last
        self._sessions = tuple(sorted(sessions, key=lambda s: s.number))
        self._numbers = [s.number for s in self._sessions]
        self._by_number = {s.number: s for s in self._sessions}

    @classmethod
    def load(cls) -> SessionTable:
        """The table that comes with the program (``nse_sessions.csv``)."""
        with files("intraday.domain").joinpath("nse_sessions.csv").open(encoding="utf-8") as handle:
            exceptions = {date.fromisoformat(row["date"]): row for row in csv.DictReader(handle)}
        n_days = (TABLE_LAST - TABLE_FIRST).days + 1
        days = (TABLE_FIRST + timedelta(days=i) for i in range(n_days))
        return cls([s for day in days if (s := _session(day, exceptions.get(day))) is not None], TABLE_FIRST, TABLE_LAST)

    def find(self, day: date, auction: bool = False) -> Session | None:
        """The session of ``day``, None when the exchange is closed. CalendarError outside the table."""
        self._require(day)
        session = self._by_number.get(_number(day))
        return None if session is None else _hours(session, auction)

    def get(self, day: date, auction: bool = False) -> Session:
        """The session of ``day``; CalendarError when the exchange is closed or the day is outside the table."""
        session = self.find(day, auction)
        if session is None:
            raise CalendarError(f"{day}: expected a trading day, the exchange is closed; next session is {self._neighbour(day)}")
        return session

    def between(self, start: date, end: date, auction: bool = False) -> list[Session]:
        """Sessions with ``start <= day <= end``, in order."""
        self._require(start)
        self._require(end)
        cut = slice(bisect_left(self._numbers, _number(start)), bisect_left(self._numbers, _number(end) + 1))
        return [_hours(s, auction) for s in self._sessions[cut]]

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
        return _hours(self._sessions[i], auction)

    def next(self, day: date, auction: bool = False) -> Session:
        """The first session after ``day``; CalendarError when the table has none."""
        self._require(day)
        i = bisect_left(self._numbers, _number(day) + 1)
        if i == len(self._sessions):
            raise CalendarError(f"no session after {day}: the table ends {self.last}")
        return _hours(self._sessions[i], auction)

    def arrays(self, auction: bool = False) -> tuple[I4, I8, I8]:
        """``(number int32[n], open_ns int64[n], close_ns int64[n])`` of all sessions, ascending, for vectorised checks."""
        rows = [_hours(s, auction) for s in self._sessions]
        return (
            np.array(self._numbers, dtype=np.int32),
            np.array([s.open_ns for s in rows], dtype=np.int64),
            np.array([s.close_ns for s in rows], dtype=np.int64),
        )

    def pauses(self) -> I8:
        """int64[k, 2]: start and end of every pause of every session, ascending."""
        return np.array([p for s in self._sessions for p in s.pauses], dtype=np.int64).reshape(-1, 2)

    def _require(self, day: date) -> None:
        if not self.first <= day <= self.last:
            raise CalendarError(f"{day}: the session table covers {self.first} to {self.last}; extend nse_sessions.csv")

    def _neighbour(self, day: date) -> str:
        i = bisect_left(self._numbers, _number(day))
        return str(self._sessions[i].day) if i < len(self._sessions) else f"after {self.last}"


def _number(day: date) -> int:
    return (day - EPOCH).days


def _instant(day: date, minute: int) -> int:
    """``minute`` after midnight IST of ``day`` as ns UTC."""
    return _number(day) * DAY_NS - IST_NS + minute * MINUTE_NS


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _dated(rules: Sequence[tuple[date, int]], day: date) -> int:
    return [value for since, value in rules if since <= day][-1]


def _session(day: date, row: Mapping[str, str] | None) -> Session | None:
    """The session of ``day`` by its row of the table, or by the regular rules where there is none."""
    open_minute, close_minute = [(o, c) for since, o, c in REGULAR_HOURS if since <= day][-1]
    kind, pauses = "regular", ""
    if row is None:
        if day.weekday() >= 5:
            return None
    elif row["kind"] == "closed":
        return None
    else:
        open_minute, close_minute, kind, pauses = _minute(row["open"]), _minute(row["close"]), row["kind"], row["pauses"]
    regular_close = close_minute == REGULAR_HOURS[-1][2]
    square_off = _dated(SQUARE_OFF_FROM, day) if regular_close else close_minute - SQUARE_OFF_BEFORE_CLOSE
    spans = [span.split("-") for span in pauses.split()]
    return Session(
        day,
        _number(day),
        _instant(day, open_minute),
        _instant(day, close_minute),
        _instant(day, square_off),
        kind,
        tuple((_instant(day, _minute(a)), _instant(day, _minute(b))) for a, b in spans),
    )


def _hours(session: Session, auction: bool) -> Session:
    """The hours of an auction-eligible stock: continuous trading, and so the square-off, end before the auction."""
    close_ns = _instant(session.day, AUCTION_CLOSE)
    if not auction or session.day < AUCTION_FROM or session.kind == "muhurat" or session.close_ns <= close_ns:
        return session
    return replace(session, close_ns=close_ns, square_off_ns=close_ns - SQUARE_OFF_BEFORE_CLOSE * MINUTE_NS)
