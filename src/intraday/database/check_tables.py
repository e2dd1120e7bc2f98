"""The small tables, by SQL: what refers to what is not there, what overlaps, what differs from the program's own table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from intraday.database.check_block import Scope
from intraday.database.check_rules import SPOTS_MAX, Tally
from intraday.database.check_snapshot import Snapshot
from intraday.database.copying import ids_literal, nanoseconds, time_literal
from intraday.domain.session import Session

# Each gives a text and then the place, as the rule's repair wants it. {on}: the scope, in SQL, of the table called x.
_SIGNALS = """
SELECT x.source || ' ' || coalesce(i.symbol, 'instrument ' || x.instrument_id) || ' '
       || to_char(x.ts AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI')
       || concat_ws(',', '', CASE WHEN i.id IS NULL THEN ' no instrument' END,
                    CASE WHEN m.id IS NULL THEN ' no model ' || x.model_id END,
                    CASE WHEN f.id IS NULL THEN ' no feature set ' || x.feature_set_id END,
                    CASE WHEN r.id IS NULL THEN ' no run ' || x.run_id END),
       x.source::text, x.model_id, x.instrument_id, x.ts
FROM signals x LEFT JOIN instruments i ON i.id = x.instrument_id LEFT JOIN models m ON m.id = x.model_id
     LEFT JOIN feature_sets f ON f.id = x.feature_set_id LEFT JOIN runs r ON r.id = x.run_id
WHERE {on} AND (i.id IS NULL OR m.id IS NULL OR f.id IS NULL OR r.id IS NULL) ORDER BY x.ts, x.instrument_id"""
_OUTCOMES = """
SELECT x.source || ' instrument ' || x.instrument_id || ' ' || to_char(x.ts AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI'),
       x.source::text, x.model_id, x.instrument_id, x.ts
FROM signal_outcomes x WHERE {on} AND NOT EXISTS (
  SELECT 1 FROM signals s WHERE (s.source, s.model_id, s.instrument_id, s.ts) = (x.source, x.model_id, x.instrument_id, x.ts))
ORDER BY x.ts, x.instrument_id"""
_MODELS = """
SELECT x.id FROM models x WHERE NOT EXISTS (SELECT 1 FROM feature_sets f WHERE f.id = x.feature_set_id)
   OR NOT EXISTS (SELECT 1 FROM label_sets l WHERE l.id = x.label_set_id) ORDER BY 1"""
_RUN_DAYS = """
SELECT x.source || ' ' || x.day || ' of run ' || x.run_id, x.source::text, x.day FROM run_days x
WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = x.run_id) ORDER BY 1"""
_INTERVALS = """
WITH spans AS (
  SELECT 'universe ' || universe AS what, instrument_id, valid_from, valid_to FROM universe_members
  UNION ALL SELECT 'flag ' || flag, instrument_id, valid_from, valid_to FROM instrument_flags
  UNION ALL SELECT 'its token', instrument_id, valid_from, valid_to FROM instrument_tokens
  UNION ALL SELECT 'token ' || token, 0, valid_from, valid_to FROM instrument_tokens
), following AS (
  SELECT *, lead(valid_from) OVER (PARTITION BY what, instrument_id ORDER BY valid_from) AS next FROM spans
)
SELECT what || coalesce(' of ' || i.symbol, '') || ' from ' || valid_from || ' to ' || coalesce(valid_to::text, 'now')
       || ' and again from ' || next
FROM following LEFT JOIN instruments i ON i.id = instrument_id WHERE next < coalesce(valid_to, 'infinity'::date) ORDER BY 1"""
_QUARANTINE = """
SELECT left(origin, 80) || ' ' || left(symbol, 20) FROM quarantine
WHERE symbol = '' OR origin = '' OR reason = '' OR jsonb_typeof(content) <> 'object' OR length(digest) < 16 ORDER BY 1"""


def check_tables(snap: Snapshot, scope: Scope, signals_ns: int, tally: Tally) -> None:
    """Rules signal_orphan, outcome_orphan, model_orphan, run_day, intervals and quarantine. ``signals_ns``: retention took older
    signals, their outcomes stay."""
    on = f"x.ts >= {time_literal(scope.start_ns)} AND x.ts < {time_literal(scope.end_ns)}"
    if scope.ids is not None:
        on += f" AND x.instrument_id = ANY ({ids_literal(sorted(scope.ids))})"
    for rule, query in (
        ("signal_orphan", _SIGNALS.format(on=on)),
        ("outcome_orphan", _OUTCOMES.format(on=f"{on} AND x.ts >= {time_literal(signals_ns)}")),
        ("model_orphan", _MODELS),
        ("run_day", _RUN_DAYS),
        ("intervals", _INTERVALS),
        ("quarantine", _QUARANTINE),
    ):
        rows = snap.rows(f"SELECT count(*) OVER (), q.* FROM ({query}) q LIMIT {SPOTS_MAX}")  # nosec B608
        tally.looked(rule)
        if rows:
            tally.add(rule, (row[2:] for row in rows), (row[1] for row in rows), rows[0][0])


def check_sessions(snap: Snapshot, own: Sequence[Session], tally: Tally) -> None:
    """Rule sessions_table: a day of the table that is another in the program, or none; of its days none is asked for."""
    tally.looked("sessions_table")
    wanted = {s.day: (s.number, s.open_ns, s.close_ns, s.square_off_ns, s.kind, [list(p) for p in s.pauses]) for s in own}
    for day, number, opens, closes, square_off, kind, pauses in snap.rows("SELECT * FROM sessions ORDER BY day"):
        found = (number, nanoseconds(opens), nanoseconds(closes), nanoseconds(square_off), kind, pauses)
        if wanted.get(day) != found:
            at = datetime.fromtimestamp(nanoseconds(opens) / 1e9, UTC)
            text = f"{day}, {kind}, opens {at:%H:%M} UTC" + ("" if day in wanted else ": the program has no session then")
            tally.add("sessions_table", [(day,)], [text], 1)
