"""What the server's catalogue says: partitions and chunks, indexes, constraints, checksums. Here the two backends differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, timedelta

from intraday.database.check_rules import Tally
from intraday.database.check_snapshot import Snapshot

ALL_SERIES = ("ohlcv_1min", "bar_superseded", "features", "labels", "signals")
_PART = re.compile(r"_y(\d{4})m(\d{2})$")

_PARTITIONS = """
SELECT c.relname, p.relname IS NOT NULL AS attached, pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relnamespace = current_schema::regnamespace AND c.relkind = 'r'
  AND (p.relname = ANY (%s) OR c.relname ~ '^(ohlcv_1min|bar_superseded|features|labels|signals)_y[0-9]{4}m[0-9]{2}$')
ORDER BY 1"""
_CHUNKS = """
SELECT hypertable_name, chunk_schema, chunk_name, range_start, range_end,
       to_regclass(format('%%I.%%I', chunk_schema, chunk_name)) IS NOT NULL AS there
FROM timescaledb_information.chunks WHERE hypertable_name = ANY (%s) ORDER BY 1, 4"""
_INDEXES = """
SELECT c.oid::regclass::text FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE NOT (x.indisvalid AND x.indisready) AND c.relkind = 'i' AND c.relnamespace::regnamespace::text NOT LIKE 'pg\\_%'
ORDER BY 1"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname FROM pg_constraint
WHERE NOT convalidated AND conrelid <> 0 AND connamespace::regnamespace::text NOT LIKE 'pg\\_%' ORDER BY 1, 2"""


def series_months(snap: Snapshot, series: Sequence[str]) -> set[tuple[int, int]]:
    """(year, month) in UTC that the partitions or chunks of these time series may hold rows of."""
    if not snap.hyper:
        names = [row[0] for row in snap.rows(_PARTITIONS, list(series))]
        return {(int(found[1]), int(found[2])) for name in names if (found := _PART.search(name))}
    months = set()
    for _, _, _, start, end, _ in snap.rows(_CHUNKS, list(series)):
        day = start.astimezone(UTC)
        while day < end:
            months.add((day.year, day.month))
            day += timedelta(days=1)
    return months


def check_catalog(snap: Snapshot, tally: Tally) -> None:
    """Rules partitions, index_invalid, constraint_unvalidated and checksums."""
    tally.looked("partitions", "index_invalid", "constraint_unvalidated", "checksums")
    wrong = _chunks(snap) if snap.hyper else _partitions(snap)
    tally.add("partitions", (), wrong, len(wrong))
    indexes = [row[0] for row in snap.rows(_INDEXES)]
    tally.add("index_invalid", ((name,) for name in indexes), indexes, len(indexes))
    constraints = snap.rows(_CONSTRAINTS)
    tally.add("constraint_unvalidated", constraints, (f"{name} of {table}" for table, name in constraints), len(constraints))
    if snap.value("SELECT current_setting('data_checksums')") != "on":
        tally.add("checksums", (), ["data_checksums is off"], 1)


def _partitions(snap: Snapshot) -> list[str]:
    wrong = []
    kinds = dict(snap.rows("SELECT relname, relkind FROM pg_class WHERE oid = ANY (%s::text[]::regclass[])", list(ALL_SERIES)))
    wrong += [f"{table} is not partitioned" for table in ALL_SERIES if kinds.get(table) not in ("p", b"p")]
    for name, attached, is_default in snap.rows(_PARTITIONS, list(ALL_SERIES)):
        if not attached:
            wrong.append(f"{name} is not attached: nobody sees its rows")
        elif is_default:
            wrong.append(f"{name} is a default partition: no month can be added that it has rows of")
    return wrong


def _chunks(snap: Snapshot) -> list[str]:
    known = {row[0] for row in snap.rows("SELECT hypertable_name FROM timescaledb_information.hypertables")}
    wrong = [f"{table} is not a hypertable" for table in ALL_SERIES if table not in known]
    lost = [
        f"{schema}.{name} of {table} has no table"
        for table, schema, name, _, _, there in snap.rows(_CHUNKS, list(ALL_SERIES))
        if not there
    ]
    return wrong + lost
