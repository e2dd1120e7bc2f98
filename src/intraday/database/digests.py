"""Row counts and checksums, to show that running something twice changed nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.errors import FeatureNotSupported, InvalidColumnReference

from intraday.database.pool import Connection, Database

# What import, historical and replay write; runs, run_days, trials and events tell of every run and so may grow.
DATA_TABLES: tuple[str, ...] = (
    "instruments", "instrument_history", "sessions", "ohlcv_1min", "bar_superseded", "ohlcv_5min", "ohlcv_15min", "ohlcv_60min",
    "candle_gaps", "candle_fetches", "quarantine", "feature_sets", "features", "label_sets", "labels", "models", "signals",
    "signal_outcomes",
    "alerts", "instrument_listings", "instrument_tokens", "instrument_former_symbols", "instrument_changes", "instrument_dumps",
    "member_lists", "universe_members", "instrument_flags", "corporate_actions", "price_limits",
    "comparisons", "promotions",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableDigest:
    """``rows``; ``content`` changes with any value of any row; ``writes`` with any row written, even with the same values.

    A continuous aggregate and a table with compressed chunks do not tell their writes: there ``writes`` is ``content``.
    """

    rows: int
    content: str
    writes: str


def digest(database: Database, table: str) -> TableDigest:
    """One table's digest; independent of the order of rows. ``table`` is one of the schema's."""
    with database.autocommit() as connection:
        kind = connection.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", (table,)).fetchone()
        if kind == ("v",):
            return _digest(connection, table, "t")
        try:
            return _digest(connection, table, "t.xmin")
        except (FeatureNotSupported, InvalidColumnReference):  # compressed chunks keep no transaction a row; either, by plan
            return _digest(connection, table, "t")


def _digest(connection: Connection, table: str, writer: str) -> TableDigest:
    row = connection.execute(
        f"""SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text,
                   coalesce(sum(hashtextextended({writer}::text, 0)::numeric), 0)::text FROM {table} t"""  # nosec B608: our own names
    ).fetchone()
    assert row is not None
    return TableDigest(int(row[0]), row[1], row[2])


def digests(database: Database, tables: Sequence[str] = DATA_TABLES) -> dict[str, TableDigest]:
    """Digests by table."""
    return {table: digest(database, table) for table in tables}
