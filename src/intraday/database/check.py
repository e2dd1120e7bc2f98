"""``intraday db check``: is everything in the database what it says it is.

Read-only, on one snapshot of the database, so that a program that writes meanwhile makes no findings. The time series go by month
and groups of instruments: memory is bounded by ``rows_max``, whatever there is of them. docs/check.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from intraday.core.validate import CandleValidator
from intraday.database.check_bars import check_minutes
from intraday.database.check_block import SERIES, Block, Scope, blocks, ist, months
from intraday.database.check_catalog import check_catalog
from intraday.database.check_derived import Sets, check_features, check_labels, registered
from intraday.database.check_gaps import GapCheck
from intraday.database.check_rollups import Noted, check_timeframes, noted
from intraday.database.check_rules import RULES, Finding, Tally
from intraday.database.check_snapshot import Snapshot, snapshot
from intraday.database.check_tables import check_sessions, check_tables
from intraday.database.copying import nanoseconds, stamp, time_literal
from intraday.database.pool import Database
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Auction
from intraday.domain.ports import Progress
from intraday.domain.session import Segment, SessionTable

ROWS_MAX = 500_000
_KEPT = ("bars", "features", "labels", "signals")
_OLDER = (
    ("bars", "ohlcv_1min"),
    ("bars", "bar_superseded"),
    ("features", "features"),
    ("labels", "labels"),
    ("signals", "signals"),
)
_LONG_AGO = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the scope, with what its checks need to know of the rest."""

    block: Block
    sets: Sets
    notes: Sequence[Noted]
    bars_ns: int  # retention: bars from then on are there


class Checker:
    """Runs every check. ``auction``: whose day ends with the closing auction when; ``rows_max`` rows at a time, about."""

    def __init__(self, database: Database, sessions: SessionTable, auction: Auction, rows_max: int = ROWS_MAX) -> None:
        self._db = database
        self._sessions = sessions
        self._auction = auction
        self._rows_max = rows_max
        self._validators = {segment: CandleValidator(sessions, segment=segment) for segment in Segment}

    def run(self, scope: Scope, progress: Progress) -> list[Finding]:
        """What was found, one entry a rule in the order of RULES, ``n`` 0 where all is well."""
        tally = Tally()
        with snapshot(self._db) as snap:
            check_catalog(snap, tally)
            check_sessions(snap, self._sessions.between(self._sessions.first, self._sessions.confirmed), tally)
            kept = _kept(snap)
            check_tables(snap, scope, kept["signals"], tally)
            _before_retention(snap, kept, tally)
            self._series(snap, scope, kept, tally, progress)
        return [tally.findings[rule.name] for rule in RULES if rule.name in tally.findings]

    def _series(self, snap: Snapshot, scope: Scope, kept: Mapping[str, int], tally: Tally, progress: Progress) -> None:
        known = [i for i in _instruments(snap) if scope.ids is None or i.id in scope.ids]
        sets, notes = registered(snap, tally), noted(snap, tally)
        gaps = GapCheck(self._sessions, self._auction, kept["bars"])
        spans = months(snap, scope)
        for done, (start_ns, end_ns) in enumerate(spans):
            progress("check", done, len(spans))
            rows = _counts(snap, start_ns, end_ns)
            if scope.ids is None:
                _unknown(rows, known, start_ns, tally)
            for block in blocks(known, rows, start_ns, end_ns, self._rows_max):
                self._block(snap, Part(block, sets, notes, kept["bars"]), gaps, tally)
        progress("check", len(spans), len(spans))

    def _block(self, snap: Snapshot, part: Part, gaps: GapCheck, tally: Tally) -> None:
        minutes = check_minutes(snap, part.block, self._validators, tally)
        check_timeframes(snap, part.block, minutes, _next_hour(part.bars_ns), part.notes, tally)
        gaps.check(snap, part.block, minutes, tally)
        check_features(snap, part.block, minutes, part.sets, part.bars_ns, tally)
        check_labels(snap, part.block, minutes, part.sets, part.bars_ns, tally)


def _instruments(snap: Snapshot) -> Iterator[Instrument]:
    for exchange, symbol, kind, tick, lot, number in snap.rows(
        "SELECT exchange, symbol, kind, tick_size, lot_size, id FROM instruments ORDER BY id"
    ):
        yield Instrument(exchange, symbol, Kind(kind), tick, lot, number)


def _kept(snap: Snapshot) -> dict[str, int]:
    """What retention left, by series: rows from then on are there."""
    return dict.fromkeys(_KEPT, _LONG_AGO) | {name: nanoseconds(ts) for name, ts in snap.rows("SELECT series, ts FROM kept_from")}


def _before_retention(snap: Snapshot, kept: Mapping[str, int], tally: Tally) -> None:
    tally.looked("before_retention")
    for series, table in _OLDER:
        if kept[series] > _LONG_AGO:
            n = snap.value(f"SELECT count(*) FROM {table} WHERE ts < %s", stamp(kept[series]))  # nosec B608
            if n:
                tally.add("before_retention", (), [f"{n} rows of {table} before {ist(kept[series])}"], n)


def _counts(snap: Snapshot, start_ns: int, end_ns: int) -> Counter[int]:
    """Rows of the time series by instrument."""
    rows: Counter[int] = Counter()
    for table in SERIES:
        span = f"ts >= {time_literal(start_ns)} AND ts < {time_literal(end_ns)}"
        rows.update(dict(snap.rows(f"SELECT instrument_id, count(*) FROM {table} WHERE {span} GROUP BY 1")))  # nosec B608
    return rows


def _unknown(rows: Mapping[int, int], known: Sequence[Instrument], start_ns: int, tally: Tally) -> None:
    """Rule unknown_instrument."""
    tally.looked("unknown_instrument")
    ids = {instrument.id for instrument in known}
    lost = {i: n for i, n in sorted(rows.items()) if i not in ids}
    texts = (f"instrument {i}, {n} rows of the month from {ist(start_ns)}" for i, n in lost.items())
    tally.add("unknown_instrument", (), texts, sum(lost.values()))


def _next_hour(ts_ns: int) -> int:
    """A moment from which whole hours are there: what was rolled up of an hour cut by retention can't be made again."""
    return ts_ns + 60 * MINUTE_NS if ts_ns > _LONG_AGO else ts_ns
