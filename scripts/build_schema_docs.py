"""Writes the tables of docs/database.md and docs/images/schema.svg from a live schema; a test keeps both current.

    .venv/bin/python scripts/build_schema_docs.py

Starts our own server in a temporary folder. Run it after a migration.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from intraday.database import schema
from intraday.database.embedded import EmbeddedServer
from intraday.database.rollups import TIMEFRAMES

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "database.md"
PICTURE = DOCS / "images" / "schema.svg"
BEGIN = "<!-- Written by scripts/build_schema_docs.py from a live schema. Do not edit below. -->\n"
END = "<!-- End of the generated part. -->\n"
GROUPS = {
    "Instruments": ["instruments", "instrument_history", "instrument_listings", "instrument_tokens", "instrument_former_symbols",
                    "instrument_changes", "instrument_flags", "universe_members", "member_lists", "instrument_dumps", "sessions"],
    "Candles": ["ohlcv_1min", "bar_superseded", "ohlcv_5min", "ohlcv_15min", "ohlcv_60min", "candle_gaps", "candle_fetches",
                "corporate_actions", "price_limits", "quarantine", "rollup_pending", "kept_from", "broker_origin"],
    "Decisions": ["feature_sets", "features", "label_sets", "labels", "models", "signals", "signal_outcomes"],
    "Learning": ["trials", "comparisons", "promotions"],
    "Runs": ["runs", "run_days", "tick_rejects", "alerts", "events", "run_locks", "alembic_version"],
}  # fmt: skip
LOGICAL = {"instrument_id": "instruments", "feature_set_id": "feature_sets", "label_set_id": "label_sets", "model_id": "models",
           "run_id": "runs", "comparison_id": "comparisons"}  # fmt: skip
SHORT = {"timestamp with time zone": "timestamptz", "double precision": "double", "character varying(32)": "varchar"}
_OURS = """c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND c.relkind IN ('r', 'p', 'v')
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_COLUMNS = f"""
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), c.relkind <> 'v' AND NOT a.attnotnull,
       coalesce(a.attnum = ANY (SELECT unnest(indkey) FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), false),
       (SELECT k.confrelid::regclass::text FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]),
       coalesce(col_description(c.oid, a.attnum), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE {_OURS} ORDER BY c.relname, a.attnum"""
_TABLES = f"SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c WHERE {_OURS} ORDER BY 1"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``target``: the table a foreign key refers to."""

    name: str
    kind: str
    nullable: bool
    key: bool
    target: str | None
    comment: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a timeframe or a view."""

    name: str
    comment: str
    columns: tuple[Column, ...]


def read(connection: psycopg.Connection[Any]) -> dict[str, Table]:
    """Everything by name. Generated views of feature sets are left out."""
    columns: dict[str, list[Column]] = {}
    for name, *rest in connection.execute(_COLUMNS).fetchall():
        column = Column(*rest)
        if name in TIMEFRAMES:  # continuous aggregates have no keys, the tables of plain PostgreSQL have
            column = replace(column, nullable=False, key=column.name in {"instrument_id", "ts"})
        columns.setdefault(name, []).append(column)
    known = connection.execute(_TABLES).fetchall()
    return {name: Table(name, comment, tuple(columns[name])) for name, comment in known if not name.startswith("features_")}


def views(tables: dict[str, Table]) -> list[Table]:
    """What is in no group. A table that is in none is forgotten: ValueError."""
    listed = {name for names in GROUPS.values() for name in names}
    if listed - tables.keys():
        raise ValueError(f"expected these tables in the schema: {sorted(listed - tables.keys())}")
    return [table for name, table in tables.items() if name not in listed]


# ------------------------------------------------------------------------------------------------------------------- the page


def page(tables: dict[str, Table]) -> str:
    """The generated part of docs/database.md."""
    parts = [BEGIN, "[![All tables by subject, with their keys](images/schema.svg)](images/schema.svg)\n\n"]
    parts.append("Bold columns are the primary key; `NULL` marks columns that may have no value.\n")
    for title, names in GROUPS.items():
        parts.append(f"\n### {title}\n")
        parts += [_section(tables[name], tables) for name in names]
    parts.append("\n### Views\n")
    parts += [_section(table, tables) for table in views(tables)]
    return "".join([*parts, END])


def _section(table: Table, tables: dict[str, Table]) -> str:
    head = f"\n#### {table.name}\n{_safe(table.comment)}\n"
    like = _like(table, tables)
    if like is not None:
        return f"{head}\nColumns as [{like}](#{like}).\n"
    rows = "".join(
        f"| {_name(c)} | {SHORT.get(c.kind, c.kind)}{' NULL' if c.nullable else ''} | {_about(c)} |\n" for c in table.columns
    )
    return f"{head}\n| column | type | meaning |\n|---|---|---|\n{rows}"


def _like(table: Table, tables: dict[str, Table]) -> str | None:
    """The first table with the same columns, when there are several."""
    for names in GROUPS.values():
        for name in names:
            if name == table.name:
                return None
            if [(c.name, c.kind) for c in tables[name].columns] == [(c.name, c.kind) for c in table.columns]:
                return name
    return None


def _name(column: Column) -> str:
    return f"**{column.name}**" if column.key else column.name


def _about(column: Column) -> str:
    text = _safe(column.comment)
    return f"{text} → [{column.target}](#{column.target})" if column.target else text


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


# ---------------------------------------------------------------------------------------------------------------- the picture

WIDTH, GAP, TOP, LINE, BOX = 896, 32, 58, 15, 12
STYLE = """<style>
  text { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: #24292f }
  .title { font-weight: 700 } .group { font: 600 15px system-ui, sans-serif } .key { font-weight: 700 } .kind { fill: #6e7781 }
  rect { fill: #ffffff; stroke: #afb8c1 } .head { fill: #eaeef2 } .page { fill: #f6f8fa; stroke: none }
  path { fill: none; stroke: #5e6ad2; stroke-width: 1.3 } .loose { stroke: #8c959f; stroke-dasharray: 3 3 }
  .tip { fill: #5e6ad2; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #d7dde4 } .kind { fill: #8b949e } rect { fill: #1c2128; stroke: #444c56 } .head { fill: #2d333b }
    .page { fill: #161a20; stroke: none } path { stroke: #8f9bff } .loose { stroke: #768390 } .tip { fill: #8f9bff; stroke: none }
  }
</style>
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table's box is: its group's number, its left edge, its top, and the middle of each row by column name."""

    group: int
    x: float
    y: float
    rows: dict[str, float]


def picture(tables: dict[str, Table]) -> str:
    """The diagram as SVG: a column of boxes for each group, solid lines for foreign keys, dashed where nothing enforces them."""
    wide = (WIDTH - GAP * (len(GROUPS) + 1)) / len(GROUPS)
    places: dict[str, Place] = {}
    boxes: list[str] = []
    deepest = 0.0
    for i, (title, names) in enumerate(GROUPS.items()):
        x, y = GAP + i * (wide + GAP), float(TOP)
        boxes.append(f'<text class="group" x="{x:g}" y="22">{title}</text>\n')
        for name in names:
            shown = _shown(tables[name], tables)
            places[name] = Place(i, x, y, {c.name: y + LINE * (k + 1.5) + 7 for k, c in enumerate(shown)})
            boxes.append(_box(tables[name], shown, x, y, wide, _like(tables[name], tables)))
            y += LINE * (max(len(shown), 1) + 1) + BOX + 10
        deepest = max(deepest, y)
    lines = sorted({line for name in places for line in _lines(tables[name], places, wide)})
    size = f'width="{WIDTH}" height="{deepest:g}" viewBox="0 0 {WIDTH} {deepest:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="Tables of the database">\n'
    return f'{head}{STYLE}<rect class="page" width="{WIDTH}" height="{deepest:g}"/>\n{"".join(lines)}{"".join(boxes)}</svg>\n'


def _shown(table: Table, tables: dict[str, Table]) -> tuple[Column, ...]:
    return () if _like(table, tables) is not None else table.columns


def _box(table: Table, shown: tuple[Column, ...], x: float, y: float, wide: float, like: str | None) -> str:
    n = max(len(shown), 1)
    out = [f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{LINE * (n + 1) + 9:g}" rx="4"/>']
    out.append(f'<rect class="head" x="{x:g}" y="{y:g}" width="{wide:g}" height="{LINE + 4}" rx="4"/>')
    out.append(f'<text class="title" x="{x + 7:g}" y="{y + 14:g}">{table.name}</text>')
    for k, column in enumerate(shown):
        at = y + LINE * (k + 2) + 3
        out.append(
            f'<text{" class=" + chr(34) + "key" + chr(34) if column.key else ""} x="{x + 7:g}" y="{at:g}">{column.name}</text>'
        )
        kind = SHORT.get(column.kind, column.kind)
        out.append(f'<text class="kind" text-anchor="end" x="{x + wide - 7:g}" y="{at:g}">{kind}</text>')
    if like is not None:
        out.append(f'<text class="kind" x="{x + 7:g}" y="{y + LINE * 2 + 3:g}">columns as {like}</text>')
    return "\n".join(out) + "\n"


def _lines(table: Table, places: dict[str, Place], wide: float) -> Iterator[str]:
    """Lines to one table share a lane in the gutter left of the boxes, so that few cross."""
    here = places[table.name]
    for column in table.columns:
        target = column.target or LOGICAL.get(column.name)
        if target is None or target == table.name or column.name not in here.rows:
            continue
        there = places[target]
        style = "" if column.target else ' class="loose"'
        number = list(LOGICAL.values()).index(target)
        lane = here.x - 8 - 5 * number
        start, end = here.rows[column.name], there.y + (LINE + 4) / 2
        if there.group == here.group:
            way = f"M{here.x:g} {start:g}H{lane:g}V{end:g}H{there.x - 5:g}"
            yield _arrow(way, style, there.x, end, 1)
            continue
        above = TOP - 6 - 4 * number  # over the groups between
        if there.group > here.group:
            gutter = there.x - 8 - 5 * number
            yield _arrow(f"M{here.x:g} {start:g}H{lane:g}V{above:g}H{gutter:g}V{end:g}H{there.x - 5:g}", style, there.x, end, 1)
            continue
        edge, end = there.x + wide, min(there.rows.values())  # from the right, to the key: others come to the title there
        over = "" if here.group == there.group + 1 else f"V{above:g}H{edge + 9:g}"
        yield _arrow(f"M{here.x:g} {start:g}H{lane:g}{over}V{end:g}H{edge + 5:g}", style, edge, end, -1)


def _arrow(way: str, style: str, x: float, y: float, direction: int) -> str:
    tip = f'<path class="tip" d="M{x:g} {y:g}l{-6 * direction} -3.5v7z"/>'
    return f'<path{style} d="{way}"/>{tip}\n'


def with_generated(text: str, generated: str) -> str:
    """The page with its generated part replaced."""
    before, rest = text.split(BEGIN)
    return before + generated + rest.split(END)[1]


def main() -> None:
    """Make both files."""
    with tempfile.TemporaryDirectory(prefix="intraday-docs-") as folder:
        Path(folder).chmod(0o755)  # our server's account has to get in
        with EmbeddedServer(Path(folder)) as server:
            schema.init(server.dsn)
            with psycopg.connect(server.dsn) as connection:
                tables = read(connection)
    PAGE.write_text(with_generated(PAGE.read_text("utf-8"), page(tables)), encoding="utf-8")
    PICTURE.write_text(picture(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
