"""``candle_gaps`` and ``candle_fetches`` against the session table and the bars: is every minute accounted for, by its own source.

A row of candle_gaps says that its source lacks these minutes (domain.gaps), so only that source's bars contradict it. Who has to
account for a day: the broker for what was fetched, the importer for other days it has bars of. Live bars account for nothing:
their minutes without trades have no row anywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from intraday.database.check_block import Block, Minutes, has, ist
from intraday.database.check_rules import Tally
from intraday.database.check_snapshot import Snapshot
from intraday.database.copying import nanoseconds
from intraday.domain.arrays import DAY_NS, I8, IST_NS, MINUTE_NS
from intraday.domain.gaps import NO_CANDLE, NOT_IN_FILE, PADDING, expected_minutes, minutes_of, runs
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Auction
from intraday.domain.session import EPOCH, Segment, Session, SessionTable, midnight_ns

PADDED_MAX = 100  # a broker's answer leaves at most so many of its padding rows in quarantine (broker.candles.KEPT_MAX)


class Claim(NamedTuple):
    """A row of candle_gaps."""

    start_ns: int
    end_ns: int
    reason: str
    n_minutes: int


class FetchedDay(NamedTuple):
    """A row of candle_fetches."""

    day: date
    until_ns: int
    n_bars: int


@dataclass(frozen=True, slots=True)
class Books:
    """What is written of one instrument in a block: its claims, fetches, and the minutes said to have no trade; and its minutes."""

    instrument: Instrument
    claims: Sequence[Claim]
    fetched: Sequence[FetchedDay]
    quiet: I8
    imported: I8
    broker: I8


class GapCheck:
    """Rules gap_missing, gap_stale and fetch_empty. ``floor_ns``: what is older, retention took."""

    def __init__(self, sessions: SessionTable, auction: Auction, floor_ns: int) -> None:
        self._table = sessions
        self._auction = auction
        self._floor_ns = floor_ns

    def check(self, snap: Snapshot, block: Block, minutes: Minutes, tally: Tally) -> None:
        """Look at a block, which holds whole days of sessions."""
        tally.looked("gap_missing", "gap_stale", "fetch_empty")
        first, last = _days(block)
        first = max(first, _day(self._floor_ns))
        plain = self._sessions(first, last)
        early = self._sessions(first, last, auction=True)
        late = self._sessions(first, last, segment=Segment.DERIVATIVES)
        everything = {Segment.EQUITY: expected_minutes(plain.values()), Segment.DERIVATIVES: expected_minutes(late.values())}
        for books in _books(snap, block, minutes):
            i = books.instrument
            self._stale(books, everything[i.segment], tally)
            own = {day: early[day] if self._auction(i.id, day) else plain[day] for day in plain}
            self._missing(books, late if i.segment is Segment.DERIVATIVES else own, tally)

    def _sessions(self, first: date, last: date, auction: bool = False, segment: Segment = Segment.EQUITY) -> dict[date, Session]:
        first, last = max(first, self._table.first), min(last, self._table.last)
        return {} if first > last else {s.day: s for s in self._table.between(first, last, auction, segment)}

    def _stale(self, books: Books, everything: I8, tally: Tally) -> None:
        for claim in books.claims:
            if claim.start_ns < self._floor_ns:
                continue
            span = everything[np.searchsorted(everything, claim.start_ns) : np.searchsorted(everything, claim.end_ns)]
            have = books.imported if claim.reason == NOT_IN_FILE else books.broker
            lacking = int((~has(have, span)).sum())
            if not 0 < claim.n_minutes <= lacking:
                where = f"{books.instrument.key} {ist(claim.start_ns)}"
                text = f"{where}, {claim.n_minutes} minutes, {claim.reason}: {lacking} are missing"
                tally.add("gap_stale", [(books.instrument.id, *claim)], [text], 1)

    def _missing(self, books: Books, own: Mapping[date, Session], tally: Tally) -> None:
        claimed = np.concatenate([np.empty(0, dtype=np.int64), *(minutes_of(c.start_ns, c.end_ns) for c in books.claims)])
        accounted = np.concatenate((claimed, books.quiet))
        fetched = {row.day for row in books.fetched}
        imported = {_day(int(ns)) for ns in _first_of_days(books.imported)} - fetched
        sessions = [own[day] for day in sorted(imported & own.keys())]
        lost = _lacking(expected_minutes(sessions), accounted, books.imported)
        self._tell(books, lost[lost >= self._floor_ns], NOT_IN_FILE, tally)
        for row in books.fetched:
            self._fetch(books, row, own.get(row.day), accounted, tally)

    def _fetch(self, books: Books, row: FetchedDay, session: Session | None, accounted: I8, tally: Tally) -> None:
        start_ns = midnight_ns(row.day)
        if start_ns < self._floor_ns:
            return
        there = bool(((books.broker >= start_ns) & (books.broker < start_ns + DAY_NS)).any())
        if session is None or (row.n_bars > 0 and not there):
            tally.add(
                "fetch_empty", [(books.instrument.id, row.day)], [f"{books.instrument.key} {row.day}, {row.n_bars} candles"], 1
            )
        elif books.quiet.size < PADDED_MAX:  # with more, not every minute without trades is on record
            expected = expected_minutes([session], row.until_ns - MINUTE_NS + 1)
            self._tell(books, _lacking(expected, accounted, books.broker), NO_CANDLE, tally)

    def _tell(self, books: Books, lost: I8, reason: str, tally: Tally) -> None:
        for start, end in runs(lost).tolist():
            n = (end - start) // MINUTE_NS
            text = f"{books.instrument.key} {ist(start)}, {n} minutes, {reason}"
            tally.add("gap_missing", [(books.instrument.id, start, end, reason, n)], [text], 1)


def _books(snap: Snapshot, block: Block, minutes: Minutes) -> list[Books]:
    """Of every instrument of the block, in order."""
    claims, fetched, quiet = _claims(snap, block), _fetched(snap, block), _quiet(snap, block)
    imported, broker = _by_instrument(minutes.import_keys), _by_instrument(minutes.broker_keys)
    nothing = np.empty(0, dtype=np.int64)
    return [
        Books(
            i, claims.get(i.id, ()), fetched.get(i.id, ()), quiet.get(i.symbol, nothing), imported.get(i.id, nothing),
            broker.get(i.id, nothing),
        )
        for i in block.instruments
    ]  # fmt: skip


def _claims(snap: Snapshot, block: Block) -> dict[int, list[Claim]]:
    found: dict[int, list[Claim]] = defaultdict(list)
    rows = snap.rows(
        f"""SELECT instrument_id, start_ts, end_ts, reason, n_minutes FROM candle_gaps
            WHERE instrument_id = ANY (%s) AND {block.span.replace("ts ", "start_ts ")} ORDER BY instrument_id, start_ts""",  # nosec B608
        block.ids,
    )
    for i, start, end, reason, n in rows:
        found[i].append(Claim(nanoseconds(start), nanoseconds(end), reason, n))
    return found


def _fetched(snap: Snapshot, block: Block) -> dict[int, list[FetchedDay]]:
    found: dict[int, list[FetchedDay]] = defaultdict(list)
    rows = snap.rows(
        """SELECT instrument_id, day, until_ts, n_bars FROM candle_fetches
           WHERE instrument_id = ANY (%s) AND day BETWEEN %s AND %s ORDER BY instrument_id, day""",
        block.ids, *_days(block),
    )  # fmt: skip
    for i, day, until, n_bars in rows:
        found[i].append(FetchedDay(day, nanoseconds(until), n_bars))
    return found


def _quiet(snap: Snapshot, block: Block) -> dict[str, I8]:
    rows = snap.rows(
        f"""SELECT symbol, array_agg(extract(epoch FROM ts)::bigint) FROM quarantine
            WHERE symbol = ANY (%s) AND reason = %s AND {block.span} GROUP BY symbol""",  # nosec B608
        [i.symbol for i in block.instruments], PADDING,
    )  # fmt: skip
    return {symbol: np.asarray(seconds, dtype=np.int64) * 1_000_000_000 for symbol, seconds in rows}


def _by_instrument(keys: I8) -> dict[int, I8]:
    """Open times by instrument of ``key_of`` keys, ascending."""
    ids = keys >> 32
    present, first = np.unique(ids, return_index=True)
    parts = np.split((keys & 0xFFFFFFFF) * MINUTE_NS, first[1:])
    return dict(zip(present.tolist(), parts, strict=True)) if keys.size else {}


def _first_of_days(ts_ns: I8) -> I8:
    """One instant of each Indian day that there is any of."""
    _, first = np.unique((ts_ns + IST_NS) // DAY_NS, return_index=True)
    return ts_ns[first]


def _lacking(expected: I8, *have: I8) -> I8:
    """Those of ``expected`` (ascending) that are in none of the others."""
    return expected[~has(np.sort(np.concatenate(have)), expected)]


def _days(block: Block) -> tuple[date, date]:
    """First and last day whose session is in the block: it begins and ends in the night."""
    return _day(block.start_ns + DAY_NS // 2), _day(block.end_ns - DAY_NS // 2)


def _day(ts_ns: int) -> date:
    return EPOCH + timedelta(days=(ts_ns + IST_NS) // DAY_NS)
