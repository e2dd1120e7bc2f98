"""What the broker was asked for and what it gave: ``candle_fetches``, in one transaction with the bars and the gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from intraday.database.bars import BarRepository
from intraday.database.copying import nanoseconds, stamp
from intraday.database.gaps import insert_gaps
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import Bars
from intraday.domain.broker import Fetched
from intraday.domain.ports import Gap, Source, WriteReport
from intraday.domain.session import midnight_ns


class FetchRepository:
    """``domain.broker.FetchStore``."""

    def __init__(self, database: Database, bars: BarRepository) -> None:
        self._db = database
        self._bars = bars

    def save(self, instrument_id: int, bars: Bars, fetched: Sequence[Fetched], gaps: Sequence[Gap], known_ns: int) -> WriteReport:
        """One answer in one transaction: its bars as source broker (``inst`` is 0 throughout), the days it covers, and what of
        those days could not be had.

        Stored gaps that begin in a covered day before its ``until_ns``, or inside one of ``gaps``, go unless they are named again;
        not those of a day whose candles are stored and which came back empty. Idempotent.
        """
        assert {f.instrument_id for f in fetched} | {g.instrument_id for g in gaps} <= {instrument_id}, "one instrument an answer"

        def note(connection: Connection) -> None:
            _save_fetched(connection, instrument_id, fetched, known_ns)
            _drop_gaps(connection, instrument_id, fetched, gaps)
            if gaps:
                insert_gaps(connection, gaps)

        return self._bars.write([instrument_id], bars, Source.BROKER, known_ns, also=note)

    def fetched(self, ids: Sequence[int], first: date, last: date) -> list[Fetched]:
        """Ordered by (instrument, day)."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT instrument_id, day, until_ts, n_bars, complete, empty_at FROM candle_fetches
                   WHERE instrument_id = ANY (%s) AND day BETWEEN %s AND %s ORDER BY instrument_id, day""",
                (list(ids), first, last),
            ).fetchall()
        return [
            Fetched(i, day, nanoseconds(until), n, complete, None if empty is None else nanoseconds(empty))
            for i, day, until, n, complete, empty in rows
        ]


def _save_fetched(connection: Connection, instrument_id: int, fetched: Sequence[Fetched], known_ns: int) -> None:
    connection.execute(
        """INSERT INTO candle_fetches AS f (instrument_id, day, until_ts, n_bars, complete, empty_at, asked_at)
           SELECT %s, d, u, n, c, e, %s::timestamptz
           FROM unnest(%s::date[], %s::timestamptz[], %s::integer[], %s::boolean[], %s::timestamptz[]) AS x (d, u, n, c, e)
           ON CONFLICT (instrument_id, day) DO UPDATE
             SET until_ts = excluded.until_ts, n_bars = excluded.n_bars, complete = excluded.complete,
                 empty_at = excluded.empty_at, asked_at = excluded.asked_at
           WHERE (f.until_ts, f.n_bars, f.complete, f.empty_at)
             IS DISTINCT FROM (excluded.until_ts, excluded.n_bars, excluded.complete, excluded.empty_at)""",
        (
            instrument_id,
            stamp(known_ns),
            [row.day for row in fetched],
            [stamp(row.until_ns) for row in fetched],
            [row.n_bars for row in fetched],
            [row.complete for row in fetched],
            [None if row.empty_ns is None else stamp(row.empty_ns) for row in fetched],
        ),
    )


def _drop_gaps(connection: Connection, instrument_id: int, fetched: Sequence[Fetched], gaps: Sequence[Gap]) -> None:
    """Delete what ``FetchRepository.save`` says goes."""
    told = [row for row in fetched if row.empty_ns is None or row.n_bars == 0]
    spans = [(midnight_ns(row.day), row.until_ns) for row in told] + [(gap.start_ns, gap.end_ns) for gap in gaps]
    if not spans:
        return
    connection.execute(
        """DELETE FROM candle_gaps g USING unnest(%s::timestamptz[], %s::timestamptz[]) AS span (a, b)
           WHERE g.instrument_id = %s AND g.start_ts >= span.a AND g.start_ts < span.b
             AND NOT EXISTS (SELECT 1 FROM unnest(%s::timestamptz[], %s::timestamptz[]) AS named (s, e)
                             WHERE named.s = g.start_ts AND named.e = g.end_ts)""",
        (
            [stamp(start) for start, _ in spans],
            [stamp(end) for _, end in spans],
            instrument_id,
            [stamp(gap.start_ns) for gap in gaps],
            [stamp(gap.end_ns) for gap in gaps],
        ),
    )
