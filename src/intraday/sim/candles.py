"""Historical candles, built from the tape trade by trade in plain Python. Source: KITE_SPEC, section 7.

A minute candle is named by its open time and is made of the trades of continuous trading alone; a minute without one has no candle.
The day's first candle has the volume of the pre-open match too, as the volume of the day counts from there. The closing auction's
print makes a candle of its own or none (``auction_candles``): what Kite shows is not known. Day candles have all trades.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.domain.session import Session, SessionTable, day_of, midnight_ns
from intraday.sim.knobs import CandleKnobs
from intraday.sim.listing import SimInstrument
from intraday.sim.paths import mix
from intraday.sim.tape import Tape, Trade, Trades, open_interest, trading_hours

ANCHOR_NS = (9 * 60 + 15) * MINUTE_NS  # longer candles are counted from 09:15 IST of every day
MINUTES_SINCE = date(2015, 2, 2)  # there are no shorter candles from before
REVISION_NS = 60 * 10**9  # after its publication a minute's volume may change
DAY_CACHE = 200_000  # day candles kept


class Candle(NamedTuple):
    """Prices in paise; ``start_ns`` is the open time. ``oi`` 0 for everything but futures."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    oi: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of candles as Kite names it. ``minutes`` 0: a day, -1: a week. The caps are days a request may span."""

    minutes: int
    cap: int
    cap_2018: int


INTERVALS = {
    "minute": Interval(1, 60, 30),
    "2minute": Interval(2, 60, 30),
    "3minute": Interval(3, 100, 90),
    "4minute": Interval(4, 100, 90),
    "5minute": Interval(5, 100, 90),
    "10minute": Interval(10, 100, 90),
    "15minute": Interval(15, 200, 180),
    "30minute": Interval(30, 200, 180),
    "60minute": Interval(60, 400, 365),
    "hour": Interval(60, 400, 365),
    "2hour": Interval(120, 400, 365),
    "3hour": Interval(180, 400, 365),
    "4hour": Interval(240, 400, 365),
    "day": Interval(0, 2000, 2000),
    "week": Interval(-1, 2000, 2000),
}


def minute_candles(trades: Sequence[Trade], session: Session, auction: bool = False) -> list[Candle]:
    """One-minute candles of a day's trades, ascending. ``auction``: the print after the close makes one too, in its own minute."""
    out: list[Candle] = []
    columns = Trades.of(trades)
    before = minute = 0
    first = high = low = last = volume = 0
    for at_ns, price, qty in zip(columns.at_ns, columns.price, columns.qty, strict=True):
        if at_ns < session.open_ns:
            before += qty
            continue
        if at_ns >= session.close_ns and not auction:
            break
        if at_ns >= minute + MINUTE_NS:
            if minute:
                out.append(Candle(minute, first, high, low, last, volume))
            minute = at_ns - at_ns % MINUTE_NS
            first = high = low = price
            volume, before = before, 0
        elif price > high:
            high = price
        elif price < low:
            low = price
        last = price
        volume += qty
    if minute:
        out.append(Candle(minute, first, high, low, last, volume))
    return out


def longer(minutes: Iterable[Candle], length: int) -> list[Candle]:
    """Candles of ``length`` minutes from one-minute candles, on the grid from 09:15 IST of each day."""
    out: list[Candle] = []
    for candle in minutes:
        since = (candle.start_ns + IST_NS) % DAY_NS - ANCHOR_NS
        start_ns = candle.start_ns - since % (length * MINUTE_NS)
        if out and out[-1].start_ns == start_ns:
            out[-1] = merged(out[-1], candle)
        else:
            out.append(candle._replace(start_ns=start_ns))
    return out


def merged(a: Candle, b: Candle) -> Candle:
    """``a`` and the later ``b`` as one candle, named as ``a``."""
    return Candle(a.start_ns, a.open, max(a.high, b.high), min(a.low, b.low), b.close, a.volume + b.volume, b.oi)


def day_candle(trades: Sequence[Trade], day: date) -> Candle | None:
    """All trades of a day as one candle, stamped 00:00 IST; None without any."""
    columns = Trades.of(trades)
    if not columns:
        return None
    price = columns.price
    return Candle(midnight_ns(day), price[0], max(price), min(price), price[-1], sum(columns.qty))


def candles_of(tape: Tape, row: SimInstrument, day: date, minutes: int = 1, auction: bool = False) -> list[Candle]:
    """Every candle of a past day, as it is once nothing changes any more: the reference for what others built live."""
    session = trading_hours(tape.sessions, row, day)
    if session is None:
        return []
    made = minute_candles(tape.trades(row.token, day), session, auction and row.auction)
    if row.is_future:
        made = [candle._replace(oi=open_interest(row, candle.start_ns)) for candle in made]
    return made if minutes == 1 else longer(made, minutes)


class History:
    """The candles that are served at a given moment. ``knobs`` is read at every call.

    A minute is there ``publish_delay_s`` after its end; the running one is there too, from the trades so far. Longer candles are
    built from these. A share of the minutes (``late_revision_share``, drawn from ``seed``) has a smaller volume for the first
    60 s after its publication.
    """

    def __init__(self, tape: Tape, knobs: CandleKnobs, seed: int = 1) -> None:
        self._tape = tape
        self._knobs = knobs
        self._seed = seed
        self._days: OrderedDict[tuple[int, date], Candle | None] = OrderedDict()

    async def candles(self, row: SimInstrument, name: str, start_ns: int, end_ns: int, now_ns: int) -> list[Candle]:
        """Candles with ``start_ns <= open time <= end_ns`` as they are at ``now_ns``, ascending. Lets others run between days."""
        length = INTERVALS[name].minutes
        start_ns = max(start_ns, midnight_ns(self._tape.sessions.first))
        end_ns = min(end_ns, now_ns, midnight_ns(self._tape.sessions.last) + DAY_NS - 1)
        if start_ns > end_ns:
            return []
        first, last = day_of(start_ns), day_of(end_ns)
        out: list[Candle] = []
        for day in trading_days(self._tape.sessions, first, last):
            out += self._of_day(row, day, length, now_ns)
            await asyncio.sleep(0)
        if length < 0:
            out = _weeks(out)
        return [candle for candle in out if start_ns <= candle.start_ns <= end_ns]

    def _of_day(self, row: SimInstrument, day: date, length: int, now_ns: int) -> list[Candle]:
        if length <= 0:
            found = self._day(row, day, now_ns)
            return [] if found is None else [found]
        if day < MINUTES_SINCE:
            return []
        made = self._minutes(row, day, now_ns)
        return made if length == 1 else longer(made, length)

    def _day(self, row: SimInstrument, day: date, now_ns: int) -> Candle | None:
        if now_ns < midnight_ns(day) + DAY_NS:
            columns = Trades.of(self._tape.trades(row.token, day))
            trades = columns[: columns.until(now_ns)]
            return _with_interest(row, day_candle(trades, day), now_ns)
        key = (row.token, day)
        if key not in self._days:
            self._days[key] = _with_interest(row, day_candle(self._tape.trades(row.token, day), day), midnight_ns(day) + DAY_NS)
            if len(self._days) > DAY_CACHE:
                self._days.popitem(last=False)
        return self._days[key]

    def _minutes(self, row: SimInstrument, day: date, now_ns: int) -> list[Candle]:
        made = candles_of(_Until(self._tape, now_ns), row, day, auction=self._knobs.auction_candles == "one")
        share = self._knobs.late_revision_share
        if now_ns >= midnight_ns(day) + 2 * DAY_NS:
            return made
        made = [c for c in made if now_ns >= self._published_ns(c) or now_ns < c.start_ns + MINUTE_NS]
        for i, candle in enumerate(made):
            if share and now_ns < self._published_ns(candle) + REVISION_NS and self._is_revised(row.token, candle, share):
                made[i] = candle._replace(volume=candle.volume * 9 // 10)
        return made

    def _published_ns(self, candle: Candle) -> int:
        return candle.start_ns + MINUTE_NS + round(self._knobs.publish_delay_s * 1e9)

    def _is_revised(self, token: int, candle: Candle, share: float) -> bool:
        return mix(self._seed ^ token << 32 ^ candle.start_ns) < share * 2**64


class _Until:
    """A tape of which nothing after ``now_ns`` has happened yet."""

    def __init__(self, tape: Tape, now_ns: int) -> None:
        self._tape = tape
        self._now_ns = now_ns
        self.instruments = tape.instruments
        self.sessions = tape.sessions

    def trades(self, token: int, day: date) -> Sequence[Trade]:
        trades = self._tape.trades(token, day)
        if midnight_ns(day) + DAY_NS <= self._now_ns:
            return trades
        columns = Trades.of(trades)
        return columns[: columns.until(self._now_ns)]

    def previous_close(self, token: int, day: date) -> int:
        return self._tape.previous_close(token, day)


def trading_days(sessions: SessionTable, first: date, last: date) -> list[date]:
    """The days with a session between two days, both included, as far as the table goes."""
    first, last = max(first, sessions.first), min(last, sessions.last)
    return [session.day for session in sessions.between(first, last)] if first <= last else []


def _with_interest(row: SimInstrument, candle: Candle | None, at_ns: int) -> Candle | None:
    return candle and candle._replace(oi=open_interest(row, at_ns))


def _weeks(days: Sequence[Candle]) -> list[Candle]:
    """Weeks from days, named by their Monday."""
    out: list[Candle] = []
    for candle in days:
        day = day_of(candle.start_ns)
        monday_ns = midnight_ns(day - timedelta(days=day.weekday()))
        if out and out[-1].start_ns == monday_ns:
            out[-1] = merged(out[-1], candle)
        else:
            out.append(candle._replace(start_ns=monday_ns))
    return out
