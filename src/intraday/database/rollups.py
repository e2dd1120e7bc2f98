"""The 5, 15 and 60 minute bars, brought up to date with their minutes after a write, never inside it.

A writer notes in its own transaction which minutes it changed (``note_rollups``); ``refresh`` makes the timeframes say the same and
takes the notes out. A crash between the two leaves the note, so nothing is forgotten. Plain PostgreSQL has one SQL function for it;
TimescaleDB's continuous aggregates refresh outside transactions, hence the same order on both
(docs/adr/0018-timeframes-after-the-minutes.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from loguru import logger

from intraday.database import timescale
from intraday.database.link import unlimited
from intraday.database.pool import Connection, Database
from intraday.domain.ports import Progress

TIMEFRAMES = ("ohlcv_5min", "ohlcv_15min", "ohlcv_60min")
_ORIGIN = datetime(2000, 1, 3, 3, 45, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_PART = _HOUR - timedelta(microseconds=1)  # added before rounding down, it rounds up


@dataclass(frozen=True, slots=True)
class _Window:
    """Whole hours of the grid within one month, and whose minutes changed there (empty: everybody's)."""

    start: datetime
    stop: datetime
    ids: frozenset[int]
    everybody: bool

    def joined(self, other: _Window) -> _Window:
        return _Window(
            min(self.start, other.start), max(self.stop, other.stop), self.ids | other.ids, self.everybody or other.everybody
        )


class RollupRepository:
    """``domain.ports.RollupStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def pending(self) -> int:
        """How many noted changes the timeframes do not have yet."""
        with self._db.autocommit() as connection:
            row = connection.execute("SELECT count(*) FROM rollup_pending").fetchone()
        assert row is not None
        return int(row[0])

    def refresh(self, progress: Progress | None = None) -> int:
        """Bring the timeframes up to date; returns how many months were worked on. One program at a time, others wait.

        It has no time limit, whatever the settings say: one that is too short would end it the same way every time. Stopped in the
        middle, the next call does the rest. A role that may not (continuous aggregates are their owner's) leaves the notes to one
        that may, and says so in the log.
        """
        if not self.pending():
            return 0
        with self._db.autocommit() as connection:
            if not _may(connection):
                logger.warning("the timeframes stay behind: only their owner refreshes them, as does `intraday db maintain`")
                return 0
            with unlimited(connection), _alone(connection):
                return _refresh(connection, progress)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    connection.execute("SELECT pg_advisory_lock(hashtext('rollups'), 0)")
    try:
        yield
    finally:
        if not connection.closed and not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(hashtext('rollups'), 0)")


def _may(connection: Connection) -> bool:
    """Tables take a writer's rows; views here are continuous aggregates, which only their owner refreshes."""
    row = connection.execute(
        "SELECT relkind <> 'v' OR pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'ohlcv_5min'::regclass"
    ).fetchone()
    assert row is not None
    return bool(row[0])


def _refresh(connection: Connection, progress: Progress | None) -> int:
    notes = connection.execute("SELECT id, from_ts, to_ts, instrument_ids FROM rollup_pending ORDER BY id").fetchall()
    row = connection.execute("SELECT ts FROM kept_from WHERE series = 'bars'").fetchone()
    windows = _windows([note[1:] for note in notes], None if row is None else row[0])
    by_aggregate = timescale.installed(connection)
    for done, window in enumerate(windows):
        if progress is not None:
            progress("timeframes", done, len(windows))
        if by_aggregate:
            _refresh_aggregates(connection, window)
        else:
            connection.execute("SELECT refresh_rollups(%s, %s, %s)", (_whose(connection, window), window.start, window.stop))
    connection.execute("DELETE FROM rollup_pending WHERE id = ANY (%s)", ([note[0] for note in notes],))
    if progress is not None:
        progress("timeframes", len(windows), len(windows))
    return len(windows)


def _windows(notes: list[tuple[datetime, datetime, list[int]]], floor: datetime | None) -> list[_Window]:
    """What is to be done, month by month (UTC) in order; nothing before ``floor``: what was rolled up of older minutes stays."""
    months: dict[tuple[int, int], _Window] = {}
    for start, stop, ids in notes:
        at = _hour(start if floor is None else max(start, floor + _PART))
        while at < stop:
            following = _hour(datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC) + _PART)
            window = _Window(at, min(following, _hour(stop - timedelta(microseconds=1)) + _HOUR), frozenset(ids), not ids)
            known = months.get((at.year, at.month))
            months[at.year, at.month] = window if known is None else known.joined(window)
            at = following
    return [months[key] for key in sorted(months)]


def _hour(at: datetime) -> datetime:
    """The hour of the 09:15 IST grid that ``at`` is in."""
    return _ORIGIN + (at.astimezone(UTC) - _ORIGIN) // _HOUR * _HOUR


def _whose(connection: Connection, window: _Window) -> list[int]:
    if not window.everybody:
        return sorted(window.ids)
    return [row[0] for row in connection.execute("SELECT id FROM instruments ORDER BY id").fetchall()]


def _refresh_aggregates(connection: Connection, window: _Window) -> None:
    """TimescaleDB looks only at what its own log says changed, so a wide window costs nothing.

    In one batch: several refreshed a window of a year in a third of the speed (DATABASE.md).
    """
    for timeframe in TIMEFRAMES:
        connection.execute(
            "CALL refresh_continuous_aggregate(%s, %s::timestamptz, %s::timestamptz, options => '{\"buckets_per_batch\": 0}')",
            (timeframe, window.start, window.stop),
        )
