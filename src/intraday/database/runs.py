"""Runs of the program, the days they covered, what they refused, and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from intraday.database.copying import stamp
from intraday.database.pool import Database
from intraday.domain.ports import RunDay, Source, TickReject


class RunRepository:
    """``domain.ports.RunStore`` and ``RejectStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def start(self, run_id: str, command: str, config: str, started_ns: int) -> None:
        """A run began; ``config`` is JSON without secrets."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, command, config, started_at) VALUES (%s, %s, %s, %s)",
                (run_id, command, config, stamp(started_ns)),
            )

    def finish(self, run_id: str, status: str, summary: str, finished_ns: int) -> None:
        """It ended: status ok, failed or interrupted; ``summary`` is JSON."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = %s, summary = %s, finished_at = %s WHERE id = %s",
                (status, summary, stamp(finished_ns), run_id),
            )

    def save_day(self, day: RunDay) -> None:
        """Remember (or replace) which run and journal produced a day of a source."""
        with self._db.transaction() as connection:
            connection.execute(
                """INSERT INTO run_days AS r (source, day, run_id, journal, feature_set_id, model_id, instrument_ids, timeframe)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
                   ON CONFLICT (source, day) DO UPDATE SET run_id = excluded.run_id, journal = excluded.journal,
                     feature_set_id = excluded.feature_set_id, model_id = excluded.model_id,
                     instrument_ids = excluded.instrument_ids,
                     timeframe = excluded.timeframe
                   WHERE r IS DISTINCT FROM excluded""",
                (
                    day.source.value, day.day, day.run_id, day.journal, day.feature_set_id, day.model_id, list(day.instrument_ids),
                    day.timeframe,
                ),
            )  # fmt: skip

    def days(self, day: date | None = None, source: Source | None = None) -> list[RunDay]:
        """Newest first; of one day or one source if given."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT run_id, source, day, journal, feature_set_id, model_id, instrument_ids, timeframe FROM run_days
                   WHERE (%(day)s::date IS NULL OR day = %(day)s) AND (%(source)s::source IS NULL OR source = %(source)s::source)
                   ORDER BY day DESC, source""",
                {"day": day, "source": None if source is None else source.value},
            ).fetchall()
        return [
            RunDay(run, Source(who), when, journal, fset, model, tuple(ids), tf)
            for run, who, when, journal, fset, model, ids, tf in rows
        ]

    def record(self, now_ns: int, kind: str, detail: Mapping[str, Any]) -> None:
        """One audit event."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO events (at, kind, detail) VALUES (%s, %s, %s)", (stamp(now_ns), kind, Jsonb(dict(detail)))
            )

    def save_rejects(self, run_id: str, rejects: Sequence[TickReject]) -> int:
        """Store the counts of a run; the same again changes nothing. Returns how many rows were new or changed."""
        rows = [(run_id, r.instrument_id, stamp(r.ts_ns), r.reason, r.n) for r in rejects]
        with self._db.transaction() as connection, connection.cursor() as cursor:
            connection.execute("CREATE TEMP TABLE counted (LIKE tick_rejects) ON COMMIT DROP")
            with cursor.copy("COPY counted (run_id, instrument_id, ts, reason, n) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["text", "int4", "timestamptz", "text", "int8"])
                for row in rows:
                    copy.write_row(row)
            done = connection.execute(
                """INSERT INTO tick_rejects AS t (run_id, instrument_id, ts, reason, n)
                   SELECT run_id, instrument_id, ts, reason, n FROM counted
                   ON CONFLICT (run_id, instrument_id, ts, reason) DO UPDATE SET n = excluded.n WHERE t.n <> excluded.n"""
            )
            return done.rowcount
