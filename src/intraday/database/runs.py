"""Runs of the program, the days they covered, what they refused, and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from intraday.database.copying import nanoseconds, stamp
from intraday.database.pool import Database
from intraday.domain.ports import RunDay, Source


class RunRepository:
    """``domain.ports.RunStore``."""

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
                """INSERT INTO run_days AS r
                     (source, day, run_id, journal, feature_set_id, model_id, instrument_ids, timeframe, from_ts)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
                   ON CONFLICT (source, day) DO UPDATE SET run_id = excluded.run_id, journal = excluded.journal,
                     feature_set_id = excluded.feature_set_id, model_id = excluded.model_id,
                     instrument_ids = excluded.instrument_ids,
                     timeframe = excluded.timeframe, from_ts = excluded.from_ts
                   WHERE r IS DISTINCT FROM excluded""",
                (
                    day.source.value, day.day, day.run_id, day.journal, day.feature_set_id, day.model_id, list(day.instrument_ids),
                    day.timeframe, stamp(day.from_ns) if day.from_ns else None,
                ),
            )  # fmt: skip

    def days(self, day: date | None = None, source: Source | None = None) -> list[RunDay]:
        """Newest first; of one day or one source if given."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT run_id, source, day, journal, feature_set_id, model_id, instrument_ids, timeframe, from_ts
                   FROM run_days
                   WHERE (%(day)s::date IS NULL OR day = %(day)s) AND (%(source)s::source IS NULL OR source = %(source)s::source)
                   ORDER BY day DESC, source""",
                {"day": day, "source": None if source is None else source.value},
            ).fetchall()
        return [
            RunDay(run, Source(who), when, journal, fset, model, tuple(ids), tf, 0 if since is None else nanoseconds(since))
            for run, who, when, journal, fset, model, ids, tf, since in rows
        ]

    def record(self, now_ns: int, kind: str, detail: Mapping[str, Any]) -> None:
        """One audit event."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO events (at, kind, detail) VALUES (%s, %s, %s)", (stamp(now_ns), kind, Jsonb(dict(detail)))
            )
