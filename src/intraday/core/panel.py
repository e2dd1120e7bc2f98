"""Rows to panels: bars of S instruments on common open times, as the feature and label kernels want them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from intraday.domain.arrays import DAY_NS, F8, I8, IST_NS, MINUTE_NS, Bars, Mask, Panel
from intraday.domain.errors import CalendarError
from intraday.domain.session import EPOCH, Segment, Session, SessionTable

Spans = tuple[tuple[int, int, int], ...]  # (dense row, first, last session number), both inclusive


@dataclass(frozen=True, slots=True)
class Lists:
    """What is dated about the S instruments of a panel.

    ``auction``: when a stock took part in the closing auction, so that its continuous trading ended earlier. ``member``: when it
    was in the universe that cross-sections compare; None: always. Others get features, but are compared with nobody. ``out``: when
    it sits out, as after a corporate action (``core.actions.excluded``): it has no bars in panels, so no features and no labels.
    ``futures``: rows that keep the derivatives segment's hours. ``decided``: when there may be signals of it; None: always. Who is
    only compared with, as the market index may be, gets none. ``settled``: (row, session number) of opens that a person
    has explained.
    """

    auction: Spans = ()
    member: Spans | None = None
    out: Spans = ()
    futures: tuple[int, ...] = ()
    decided: Spans | None = None
    settled: tuple[tuple[int, int], ...] = ()

    def auction_on(self, number: int, n: int) -> Mask:
        """bool [n]: who is on the closing-auction list on a session number."""
        return _on(self.auction, number, n)

    def members_on(self, number: int, n: int) -> Mask:
        """bool [n]: who is compared on a session number."""
        return np.ones(n, np.bool_) if self.member is None else _on(self.member, number, n)

    def of_state(self, number: int) -> Lists:
        """The lists of the bars that make state from its anchor on, up to a session number and later.

        Who sat out until before then has bars of one scale only from the anchor on (that is why it plays again), so they count.
        """
        return replace(self, out=tuple(span for span in self.out if span[2] >= number))

    def playing(self, bars: Bars) -> Bars:
        """The rows of instruments that do not sit the row's session out."""
        keep = np.ones(len(bars), np.bool_)
        for row, first, last in self.out:
            number = (bars["ts_ns"] + IST_NS) // DAY_NS
            keep &= (bars["inst"] != row) | (number < first) | (number > last)
        return bars if keep.all() else bars[keep]


NO_LISTS = Lists()


class Day(NamedTuple):
    """One session, as features see it. ``minutes`` float64 [S]: each instrument's continuous trading; ``member`` bool [S];

    ``before`` float64 [S]: closes that its opens are compared with (`core.overnight`), None: none;
    ``out`` bool [S]: who sits it out, None: nobody; ``decided`` bool [S]: who gets signals, None: everybody.
    """

    number: int  # days since 1970-01-01 of the IST date
    open_ns: int
    minutes: F8
    member: Mask
    out: Mask | None = None
    decided: Mask | None = None
    before: F8 | None = None


def regular_day(session: Session, n: int) -> Day:
    """A session on which ``n`` instruments trade for the same time, all of them compared."""
    return Day(session.number, session.open_ns, np.full(n, float(session.minutes)), np.ones(n, np.bool_))


def day_of(session: Session, n: int, sessions: SessionTable, lists: Lists = NO_LISTS) -> Day:
    """The session for these ``n`` instruments."""
    auction = lists.auction_on(session.number, n)
    regular, early = (float(sessions.get(session.day, auction=each).minutes) for each in (False, True))
    minutes = np.where(auction, early, regular)
    minutes[list(lists.futures)] = sessions.get(session.day, segment=Segment.DERIVATIVES).minutes
    out = _on(lists.out, session.number, n) if lists.out else None
    decided = None if lists.decided is None else _on(lists.decided, session.number, n)
    return Day(session.number, session.open_ns, minutes, lists.members_on(session.number, n), out, decided)


def kept_of(day: Day, keep: I8) -> Day:
    """The same session for the instruments ``keep`` alone, in that order."""
    out, decided = (None if part is None else part[keep] for part in (day.out, day.decided))
    before = None if day.before is None else day.before[keep]
    return day._replace(minutes=day.minutes[keep], member=day.member[keep], out=out, decided=decided, before=before)


def within_hours(bars: Bars, n_instruments: int, sessions: SessionTable, lists: Lists = NO_LISTS) -> Bars:
    """The rows that open before their own instrument's continuous trading ends on their day.

    Later ones were stored before the list of closing-auction stocks was; live has none either. Rows of days without a session stay.
    """
    if not len(bars):
        return bars
    number = (bars["ts_ns"] + IST_NS) // DAY_NS
    first = int(number.min())
    number -= first
    end_ns = np.full((int(number.max()) + 1, n_instruments), np.iinfo(np.int64).max)
    for k in np.flatnonzero(np.bincount(number)).tolist():
        session = sessions.find(EPOCH + timedelta(days=first + k))
        if session is not None:
            minutes = day_of(session, n_instruments, sessions, lists).minutes
            end_ns[k] = session.open_ns + minutes.astype(np.int64) * MINUTE_NS
    keep = bars["ts_ns"] < end_ns[number, bars["inst"]]
    return bars if keep.all() else bars[keep]


def panel_of(bars: Bars, n_instruments: int, timeframe: int, sessions: SessionTable, lists: Lists = NO_LISTS) -> Panel:
    """Scatter BAR rows (any order, one per (ts, inst)) into a panel of the open times that occur.

    Bars of who sits out, and after an instrument's own close, are left out. Raises CalendarError for a bar on a day without a
    session.
    """
    bars = within_hours(lists.playing(bars), n_instruments, sessions, lists)
    ts_ns, row = np.unique(bars["ts_ns"], return_inverse=True)
    number, open_ns, _ = sessions.arrays()
    session = ((ts_ns + IST_NS) // DAY_NS).astype(np.int32)
    at = np.minimum(np.searchsorted(number, session), len(number) - 1)
    if not np.array_equal(number[at], session):
        bad = np.datetime64(int(session[number[at] != session][0]), "D")
        raise CalendarError(
            f"bars on {bad}, which is no trading day of the session table: expected bars of sessions only; check the import"
        )
    shape = (len(ts_ns), n_instruments)
    columns = {name: np.full(shape, np.nan) for name in ("open", "high", "low", "close", "volume")}
    mask = np.zeros(shape, np.bool_)
    for name, column in columns.items():
        column[row, bars["inst"]] = bars[name]
    mask[row, bars["inst"]] = True
    minutes, member = np.empty(shape), np.empty(shape, np.bool_)
    for day in np.unique(session):
        found = day_of(sessions.get(np.datetime64(int(day), "D").item()), n_instruments, sessions, lists)
        minutes[session == day], member[session == day] = found.minutes, found.member
    return Panel(
        timeframe=timeframe,
        ts_ns=ts_ns.astype(np.int64),
        session=session,
        minute=(ts_ns - open_ns[at]) / MINUTE_NS,
        minutes=minutes,
        member=member,
        mask=mask,
        **columns,
    )


def _on(spans: Spans, number: int, n: int) -> Mask:
    out = np.zeros(n, np.bool_)
    out[[row for row, first, last in spans if first <= number <= last]] = True
    return out
