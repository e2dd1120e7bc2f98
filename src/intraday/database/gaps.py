"""What an import leaves of ``candle_gaps``: minutes that no imported file has, whatever the order of the files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intraday.database.copying import nanoseconds, stamp, text_literal, times
from intraday.database.partitions import range_condition
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import I8, MINUTE_NS
from intraday.domain.gaps import NOT_IN_FILE, PADDING, minutes_of, runs
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Gap, Source

Span = tuple[int, int]  # open times start_ns <= t < end_ns


def settle(database: Database, instrument: Instrument, start_ns: int, end_ns: int, found: Sequence[Gap]) -> int:
    """Make the importer's gaps that begin in ``start_ns <= t < end_ns`` (whole days) those of all files together.

    ``found`` is what one file lacks. What other files lack too stays a gap; what one of them has, or calls a minute without trades,
    is none. Returns how many rows came or went.
    """
    with database.transaction() as connection:
        connection.execute("SELECT lock_instruments(%s)", ([instrument.id],))
        old, others = _stored(connection, instrument.id, start_ns, end_ns)
        new = {(g.start_ns, g.end_ns) for g in found}
        if not old | new:
            return 0
        spans = [minutes_of(start, end) for start, end in old | new]
        have = _accounted(database, instrument, start_ns, end_ns)
        missing = np.setdiff1d(np.unique(np.concatenate(spans)), have)
        # A row is known by its minutes: where the broker's says the same already, it stays the broker's.
        left = {(start, end) for start, end in runs(missing).tolist()} - others
        _delete(connection, instrument.id, old - left)
        insert_gaps(connection, [Gap(instrument.id, a, b, NOT_IN_FILE, (b - a) // MINUTE_NS) for a, b in sorted(left - old)])
        return len(old ^ left)


def insert_gaps(connection: Connection, gaps: Sequence[Gap]) -> int:
    """Store gaps inside the connection's transaction; returns how many rows were new or changed."""
    done = connection.execute(
        """INSERT INTO candle_gaps AS g (instrument_id, start_ts, end_ts, reason, n_minutes)
           SELECT DISTINCT ON (i, s, e) i, s, e, r, n
           FROM unnest(%s::integer[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::integer[]) AS u (i, s, e, r, n)
           ON CONFLICT (instrument_id, start_ts, end_ts) DO UPDATE
             SET reason = excluded.reason, n_minutes = excluded.n_minutes
           WHERE (g.reason, g.n_minutes) IS DISTINCT FROM (excluded.reason, excluded.n_minutes)""",
        (
            [g.instrument_id for g in gaps], [stamp(g.start_ns) for g in gaps], [stamp(g.end_ns) for g in gaps],
            [g.reason for g in gaps], [g.n_minutes for g in gaps],
        ),
    )  # fmt: skip
    return done.rowcount


def _stored(connection: Connection, instrument_id: int, start_ns: int, end_ns: int) -> tuple[set[Span], set[Span]]:
    """The importer's rows, and the others."""
    rows = connection.execute(
        "SELECT start_ts, end_ts, reason FROM candle_gaps WHERE instrument_id = %s AND start_ts >= %s AND start_ts < %s",
        (instrument_id, stamp(start_ns), stamp(end_ns)),
    ).fetchall()
    spans = [((nanoseconds(start), nanoseconds(end)), reason == NOT_IN_FILE) for start, end, reason in rows]
    return {span for span, ours in spans if ours}, {span for span, ours in spans if not ours}


def _accounted(database: Database, instrument: Instrument, start_ns: int, end_ns: int) -> I8:
    """Minutes an imported file has or says had no trade. Read outside the transaction: writers wait for our lock."""
    where = range_condition([instrument.id], start_ns, end_ns)
    table = database.arrow(f"SELECT ts FROM bar_versions WHERE {where} AND source = '{Source.IMPORT.value}'")  # nosec B608
    quiet = database.arrow(
        f"SELECT ts FROM quarantine WHERE symbol = {text_literal(instrument.symbol)} "  # nosec B608
        f"AND reason = {text_literal(PADDING)} AND ts IS NOT NULL"
    )
    return np.concatenate((times(table, "ts"), times(quiet, "ts")))


def _delete(connection: Connection, instrument_id: int, spans: set[Span]) -> None:
    connection.execute(
        """DELETE FROM candle_gaps g USING unnest(%s::timestamptz[], %s::timestamptz[]) AS gone (s, e)
           WHERE g.instrument_id = %s AND g.start_ts = gone.s AND g.end_ts = gone.e""",
        ([stamp(a) for a, _ in spans], [stamp(b) for _, b in spans], instrument_id),
    )
