"""What a move has to take along, read from the catalogue: tables, keys, the order their references ask for, checksums of parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import TopologicalSorter

from intraday.database.pool import Connection, Database

SERIES = ("ohlcv_1min", "bar_superseded", "features", "labels", "signals")
PARTS = "move_parts"  # on the target, while a move is under way
# In the order of the alphabet; what is about this very database (its revision, locks, notes of a refresh) stays.
OTHERS = (
    "alerts", "broker_origin", "candle_fetches", "candle_gaps", "comparisons", "corporate_actions", "events", "feature_sets",
    "instrument_changes", "instrument_dumps", "instrument_flags", "instrument_former_symbols", "instrument_history",
    "instrument_listings", "instrument_tokens", "instruments", "kept_from", "label_sets", "member_lists", "models", "price_limits",
    "promotions", "quarantine", "run_days", "runs", "sessions", "signal_outcomes", "tick_rejects", "trials", "universe_members",
)  # fmt: skip
STAYING = ("alembic_version", "rollup_pending", "run_locks")
_WEEK = timedelta(days=7)
_TABLES = """
SELECT c.relname,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary),
       (SELECT coalesce(array_agg(a.attname::text), '{}') FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attidentity <> ''),
       (SELECT coalesce(array_agg(DISTINCT r.relname::text), '{}') FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
        WHERE f.conrelid = c.oid AND f.contype = 'f')
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname = ANY (%s)
ORDER BY 1"""
_ANY = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
ORDER BY 1 LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: columns in order, primary key, columns numbered by the server, tables it refers to."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    identity: tuple[str, ...]
    refers_to: tuple[str, ...]

    def listed(self, prefix: str = "") -> str:
        """The columns as SQL."""
        return ", ".join(f'{prefix}"{name}"' for name in self.columns)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a table with ``start <= ts < stop``; without times the whole table."""

    table: Table
    start: datetime | None = None
    stop: datetime | None = None

    @property
    def name(self) -> str:
        """Which part it is, for people and for ``move_parts``."""
        return self.table.name if self.start is None else f"{self.table.name} {self.start:%Y-%m-%d}"

    @property
    def where(self) -> str:
        """Its rows as SQL."""
        if self.start is None or self.stop is None:
            return "true"
        return f"ts >= '{self.start.isoformat()}' AND ts < '{self.stop.isoformat()}'"


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows of a part, and a checksum of all their values that does not depend on their order."""

    rows: int
    content: str


def tables(database: Database) -> tuple[list[Table], list[Table]]:
    """(series, the others in an order in which each comes after those it refers to). Other people's tables are not ours to move."""
    with database.autocommit() as connection:
        rows = connection.execute(_TABLES, ([*SERIES, *OTHERS],)).fetchall()
    found = {row[0]: Table(row[0], *(tuple(part or ()) for part in row[1:])) for row in rows}
    others = {name: table for name, table in found.items() if name in OTHERS}
    references = {name: [r for r in table.refers_to if r in others and r != name] for name, table in others.items()}
    order = TopologicalSorter(dict(sorted(references.items()))).static_order()
    return [found[name] for name in SERIES], [others[name] for name in order]


def stranger(database: Database) -> str | None:
    """A table or view in a database that has no schema of ours, None: there is nothing in it, or it is ours."""
    with database.autocommit() as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,):
            return None
        row = connection.execute(_ANY).fetchone()
    return None if row is None else str(row[0])


def unfinished(database: Database) -> bool:
    """True while a move into this database was begun and not ended: part of the rows are there."""
    with database.autocommit() as connection:
        return connection.execute("SELECT to_regclass(%s)", (PARTS,)).fetchone() != (None,)


def weeks(database: Database, table: Table) -> list[Part]:
    """The parts of a series that have rows: 7 days from Thursday 00:00 UTC, as TimescaleDB's chunks."""
    with database.autocommit() as connection:
        rows = connection.execute(
            f"SELECT DISTINCT date_bin('7 days', ts, '1970-01-01 00:00+00') AS week FROM {table.name} ORDER BY 1"  # nosec B608
        ).fetchall()
    return [Part(table, row[0], row[0] + _WEEK) for row in rows]


def sum_of(connection: Connection, part: Part) -> Sum:
    """Count and checksum; equal on any server for equal rows, the values being hashed as text in their shortest exact form."""
    connection.execute("SET LOCAL datestyle = 'ISO'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1")
    row = connection.execute(
        f"""SELECT count(*), coalesce(sum(hashtextextended(ROW({part.table.listed()})::text, 0)::numeric), 0)::text
            FROM {part.table.name} WHERE {part.where}"""  # nosec B608: names are the catalogue's
    ).fetchone()
    assert row is not None
    return Sum(int(row[0]), row[1])
