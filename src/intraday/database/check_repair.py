"""``intraday db check --repair``: mend what a check found, each rule in a transaction that also records what it did.

Nothing that a row says is lost: rows of the time series and orphans go to ``quarantine`` with their whole content, the few others
that go stand in the ``repair`` event. Rules that make a bar go leave the timeframes noted and the gaps to the next round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from intraday.database.check_rebuild import rebuild_timeframes
from intraday.database.check_rules import Finding, Spot
from intraday.database.copying import stamp
from intraday.database.gaps import insert_gaps
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Connection, Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.ports import Gap
from intraday.domain.session import SessionTable

_ASIDE = """
WITH gone AS (DELETE FROM {table} x USING ({spots}) AS spot WHERE {match} RETURNING x.*)
INSERT INTO quarantine (digest, symbol, origin, ts, reason, content)
SELECT substring(sha256(convert_to('db check {table}' || gone::text, 'UTF8')) FOR 16),
       coalesce(i.symbol, 'instrument ' || gone.instrument_id), 'db check: {table}', gone.ts, %(reason)s, to_jsonb(gone)
FROM gone LEFT JOIN instruments i ON i.id = gone.instrument_id
ON CONFLICT (digest) DO NOTHING"""
_SPOTS = "SELECT * FROM unnest(%(ids)s::integer[], %(ts)s::timestamptz[]{more}) AS s (i, t{names})"
_AT = "x.instrument_id = spot.i AND x.ts = spot.t AND x.ts BETWEEN %(low)s AND %(high)s"
_MINUTES = f"({_SPOTS.format(more='', names='')}) AS spot"
_ELECT = (
    f"""CREATE TEMP TABLE every ON COMMIT DROP AS
        SELECT DISTINCT ON (x.instrument_id, x.ts, x.source, x.version) x.* FROM bar_versions x JOIN {_MINUTES} ON {_AT}
        ORDER BY x.instrument_id, x.ts, x.source, x.version, x.best DESC""",  # nosec B608
    f"DELETE FROM ohlcv_1min x USING {_MINUTES} WHERE {_AT}",  # nosec B608
    f"DELETE FROM bar_superseded x USING {_MINUTES} WHERE {_AT}",  # nosec B608
)
_IS_BEST = (
    "EXISTS (SELECT 1 FROM ohlcv_1min b WHERE b.ts BETWEEN %(low)s AND %(high)s AND (b.instrument_id, b.ts, b.source, b.version) "
    "= (x.instrument_id, x.ts, x.source, x.version))"
)
_BAR = "instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags"
_RANKED = f"""INSERT INTO {{table}} ({_BAR}) SELECT {_BAR} FROM (
  SELECT *, row_number() OVER (PARTITION BY instrument_id, ts ORDER BY source, known_at DESC, version DESC) AS place FROM every) e
WHERE place {{which}}"""  # nosec B608


class Repairer:
    """Mends findings. ``now_ns``: when the events are of."""

    def __init__(self, database: Database, sessions: SessionTable, now_ns: Callable[[], int]) -> None:
        self._db = database
        self._sessions = sessions
        self._now_ns = now_ns

    def mend(self, finding: Finding) -> None:
        """Mend the finding's places, as many as it has in mind; nothing where the rule can't be mended. Raises StorageError."""
        way = _WAYS.get(finding.rule.name)
        if way is not None and finding.n:
            way(self, finding)

    def _record(self, connection: Connection, finding: Finding, rows: Sequence[Any] = ()) -> None:
        detail = {"rule": finding.rule.name, "n": len(finding.spots) or finding.n, "examples": finding.examples}
        if rows:
            detail["rows"] = [[str(value) for value in row] for row in rows]
        connection.execute(
            "INSERT INTO events (at, kind, detail) VALUES (%s, 'repair', %s)", (stamp(self._now_ns()), Jsonb(detail))
        )

    def _bars_aside(self, finding: Finding) -> None:
        """Bad versions go to quarantine, the next best version of their minutes becomes the best."""
        with self._db.transaction() as connection:
            _lock(connection, [spot[1] for spot in finding.spots])
            for table, spots in groupby(sorted(finding.spots, key=lambda spot: spot[0]), key=lambda spot: spot[0]):
                group = list(spots)
                values = _places([(spot[1], spot[2]) for spot in group]) | {
                    "sources": [spot[3] for spot in group], "versions": [spot[4] for spot in group], "reason": finding.rule.name,
                }  # fmt: skip
                listed = _SPOTS.format(more=", %(sources)s::text[], %(versions)s::integer[]", names=", s, v")
                match = f"{_AT} AND x.version = spot.v AND (spot.s IS NULL OR x.source = spot.s::source)"
                connection.execute(_ASIDE.format(table=table, spots=listed, match=match), values)
            _elect(connection, [(spot[1], spot[2]) for spot in finding.spots])
            self._record(connection, finding)

    def _elect(self, finding: Finding) -> None:
        """The preferred source's newest becomes the best."""
        with self._db.transaction() as connection:
            _lock(connection, [spot[0] for spot in finding.spots])
            _elect(connection, finding.spots)
            self._record(connection, finding)

    def _twice(self, finding: Finding) -> None:
        """The copy among the superseded ones goes."""
        with self._db.transaction() as connection:
            _lock(connection, [spot[0] for spot in finding.spots])
            match = f"{_AT} AND {_IS_BEST}"
            query = _ASIDE.format(table="bar_superseded", spots=_SPOTS.format(more="", names=""), match=match)
            connection.execute(query, _places(finding.spots) | {"reason": finding.rule.name})
            self._record(connection, finding)

    def _no_volume(self, finding: Finding) -> None:
        """An index has none: NULL, and what stood there into the event."""
        with self._db.transaction() as connection:
            _lock(connection, [spot[1] for spot in finding.spots])
            rows: list[Any] = []
            for table in ("ohlcv_1min", "bar_superseded"):
                spots = [(spot[1], spot[2]) for spot in finding.spots if spot[0] == table]
                if spots:
                    query = f"""WITH was AS (SELECT x.instrument_id, x.ts, x.source, x.version, x.volume FROM {table} x, {_MINUTES}
                                             WHERE {_AT} AND x.volume IS NOT NULL)
                                UPDATE {table} x SET volume = NULL FROM was
                                WHERE x.instrument_id = was.instrument_id AND x.ts = was.ts
                                  AND (x.source, x.version) = (was.source, was.version)
                                  AND x.ts BETWEEN %(low)s AND %(high)s
                                RETURNING x.instrument_id, x.ts, x.source, x.version, was.volume"""  # nosec B608
                    rows += connection.execute(query, _places(spots)).fetchall()
            _note(connection, [(spot[1], spot[2]) for spot in finding.spots])
            self._record(connection, finding, rows)

    def _timeframes(self, finding: Finding) -> None:
        rebuild_timeframes(self._db, finding.spots)
        with self._db.transaction() as connection:
            self._record(connection, finding)

    def _refresh(self, finding: Finding) -> None:
        RollupRepository(self._db).refresh()
        with self._db.transaction() as connection:
            self._record(connection, finding)

    def _name_gaps(self, finding: Finding) -> None:
        with self._db.transaction() as connection:
            insert_gaps(connection, [Gap(*spot) for spot in finding.spots])
            self._record(connection, finding)

    def _forget(self, finding: Finding, table: str, key: str, kinds: str) -> None:
        """Rows that can be had again go; the event has them."""
        with self._db.transaction() as connection:
            columns = [list(column) for column in zip(*finding.spots, strict=True)]
            arrays = ", ".join(f"%s::{kind}[]" for kind in kinds.split())
            query = f"DELETE FROM {table} x WHERE ({key}) IN (SELECT * FROM unnest({arrays})) RETURNING x.*"  # nosec B608
            rows = connection.execute(query, columns).fetchall()
            self._record(connection, finding, rows)

    def _stale_gaps(self, finding: Finding) -> None:
        spots = [(i, stamp(start), stamp(end)) for i, start, end, *_ in finding.spots]
        self._forget(
            _with(finding, spots), "candle_gaps", "x.instrument_id, x.start_ts, x.end_ts", "integer timestamptz timestamptz"
        )

    def _fetches(self, finding: Finding) -> None:
        self._forget(finding, "candle_fetches", "x.instrument_id, x.day", "integer date")

    def _run_days(self, finding: Finding) -> None:
        self._forget(finding, "run_days", "x.source::text, x.day", "text date")

    def _session_rows(self, finding: Finding) -> None:
        self._forget(finding, "sessions", "x.day", "date")
        days = [spot[0] for spot in finding.spots]
        found = [self._sessions.find(day) for day in days if self._sessions.first <= day <= self._sessions.last]
        InstrumentRepository(self._db).save_sessions([session for session in found if session is not None])

    def _rows_aside(self, finding: Finding) -> None:
        """Vectors and labels go to quarantine: they can be made again."""
        with self._db.transaction() as connection:
            for (table, set_id, source), spots in groupby(finding.spots, key=lambda spot: spot[:3]):
                values: dict[str, Any] = _places([spot[3:] for spot in spots])
                values |= {"set": set_id, "source": source, "reason": finding.rule.name}
                column = "feature_set_id" if table == "features" else "label_set_id"
                match = f"{_AT} AND x.{column} = %(set)s" + (" AND x.source = %(source)s::source" if source else "")
                query = _ASIDE.format(table=table, spots=_SPOTS.format(more="", names=""), match=match)
                connection.execute(query, values)
            self._record(connection, finding)

    def _decisions_aside(self, finding: Finding) -> None:
        table = "signals" if finding.rule.name == "signal_orphan" else "signal_outcomes"
        with self._db.transaction() as connection:
            sources, models, ids, ts = (list(column) for column in zip(*finding.spots, strict=True))
            values = {"sources": sources, "models": models, "ids": ids, "ts": ts, "low": min(ts), "high": max(ts)}
            listed = _SPOTS.format(more=", %(sources)s::text[], %(models)s::text[]", names=", s, m")
            match = f"{_AT} AND x.source = spot.s::source AND x.model_id = spot.m"
            connection.execute(
                _ASIDE.format(table=table, spots=listed, match=match),
                values | {"reason": finding.rule.name},
            )
            self._record(connection, finding)

    def _views(self, finding: Finding) -> None:
        with self._db.transaction() as connection:
            for (set_id,) in finding.spots:
                connection.execute("SELECT create_feature_view(%s)", (set_id,))
            self._record(connection, finding)

    def _indexes(self, finding: Finding) -> None:
        with self._db.autocommit() as connection:
            for (name,) in finding.spots:
                connection.execute(f"REINDEX INDEX {name}")  # regclass quotes what needs it
        with self._db.transaction() as connection:
            self._record(connection, finding)

    def _constraints(self, finding: Finding) -> None:
        """Hold each against the rows; one they break stays a finding."""
        done = []
        for table, name in finding.spots:
            with self._db.autocommit() as connection:
                try:
                    connection.execute(f'ALTER TABLE {table} VALIDATE CONSTRAINT "{name}"')
                except (psycopg.errors.CheckViolation, psycopg.errors.ForeignKeyViolation):
                    continue
            done.append((table, name))
        if done:
            with self._db.transaction() as connection:
                self._record(connection, _with(finding, done))


def _with(finding: Finding, spots: Sequence[Spot]) -> Finding:
    return Finding(finding.rule, finding.n, finding.examples, list(spots))


def _places(spots: Sequence[Spot]) -> dict[str, Any]:
    """Values of ``_SPOTS`` and ``_AT`` for (instrument, ns)."""
    ts = [stamp(spot[1]) for spot in spots]
    return {"ids": [spot[0] for spot in spots], "ts": ts, "low": min(ts), "high": max(ts)}


def _lock(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute("SELECT lock_instruments(%s)", (sorted(set(ids)),))


def _note(connection: Connection, spots: Sequence[Spot]) -> None:
    ids, ts = sorted({spot[0] for spot in spots}), [spot[1] for spot in spots]
    connection.execute("SELECT note_rollups(%s, %s, %s)", (ids, stamp(min(ts)), stamp(max(ts) + MINUTE_NS)))


def _elect(connection: Connection, spots: Sequence[Spot]) -> None:
    """Of all versions of these minutes (instrument, ns) the preferred source's newest becomes the best."""
    values = _places(sorted(set(spots)))
    for statement in _ELECT:
        connection.execute(statement, values)
    connection.execute(_RANKED.format(table="ohlcv_1min", which="= 1"))
    connection.execute(_RANKED.format(table="bar_superseded", which="> 1"))
    connection.execute("DROP TABLE every")
    _note(connection, spots)


_WAYS: dict[str, Callable[[Repairer, Finding], None]] = {
    "duplicate_version": Repairer._twice,
    "best_bar": Repairer._elect,
    "outside_session": Repairer._bars_aside,
    "not_a_minute": Repairer._bars_aside,
    "bad_price": Repairer._bars_aside,
    "bad_volume": Repairer._bars_aside,
    "index_volume": Repairer._no_volume,
    "timeframe": Repairer._timeframes,
    "timeframes_behind": Repairer._refresh,
    "gap_missing": Repairer._name_gaps,
    "gap_stale": Repairer._stale_gaps,
    "fetch_empty": Repairer._fetches,
    "sessions_table": Repairer._session_rows,
    "feature_without_bar": Repairer._rows_aside,
    "feature_width": Repairer._rows_aside,
    "feature_set": Repairer._rows_aside,
    "feature_view": Repairer._views,
    "label_without_bar": Repairer._rows_aside,
    "label_set": Repairer._rows_aside,
    "label_times": Repairer._rows_aside,
    "signal_orphan": Repairer._decisions_aside,
    "outcome_orphan": Repairer._decisions_aside,
    "run_day": Repairer._run_days,
    "index_invalid": Repairer._indexes,
    "constraint_unvalidated": Repairer._constraints,
}
