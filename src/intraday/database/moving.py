"""Everything from one database to another: plain PostgreSQL to TimescaleDB and back, since a partitioned table can't become a
hypertable.

Small tables go whole, the time series in weeks, each part in one transaction of the target with a note that it is there, so a
move that was cut off goes on where it stopped. Then the source holds still, every part's rows and checksum are compared, and what
changed meanwhile is copied again. The timeframes are made anew from the minutes; what they have of minutes that retention dropped
is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from psycopg import sql
from psycopg.errors import LockNotAvailable

from intraday.database import timescale
from intraday.database.copying import nanoseconds
from intraday.database.features import FeatureRepository
from intraday.database.moving_tables import PARTS, SERIES, Part, Sum, Table, sum_of, tables, weeks
from intraday.database.partitions import ensure_partitions
from intraday.database.pool import Connection, Database
from intraday.database.rollups import TIMEFRAMES, RollupRepository
from intraday.domain.errors import ConfigError, StorageError
from intraday.domain.ports import FeatureSetRecord, Progress

_BLOCK = 1 << 18
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did. ``rows`` by table; ``resumed``: parts an earlier, interrupted move had brought; ``again``: parts that had
    changed on the source meanwhile; ``timeframe_differences``: timeframes of the source that its own minutes do not give."""

    rows: dict[str, int]
    parts: int
    resumed: int
    again: int
    timeframe_differences: int


class Mover:
    """A move from ``source`` to ``target``, both with a current schema.

    ``lock_wait_s``: how long to wait for the source's writers to finish before the last comparison. ``otherwise``: what to do
    about a target that has data.
    """

    def __init__(
        self,
        source: Database,
        target: Database,
        progress: Progress,
        lock_wait_s: float = 15.0,
        otherwise: str = "name another one, or drop it first",
    ) -> None:
        self._otherwise = otherwise
        self._lock_wait_s = lock_wait_s
        self._source = source
        self._target = target
        self._progress = progress

    def run(self) -> Moved:
        """Move and verify. ConfigError when the target has data of its own, StorageError when a part is not what was sent."""
        series, others = tables(self._source)
        if (series, others) != tables(self._target):
            raise StorageError("the two databases have different tables: expected both at this program's schema revision")
        resumed = self._claim(others)
        self._definitions()
        self._small(others)
        RollupRepository(self._source).refresh(self._progress)
        parts = [part for table in series for part in weeks(self._source, table)]
        for done, part in enumerate(parts):
            self._progress("copy", done, len(parts))
            if part.name not in resumed:
                self._copy(part)
        self._progress("copy", len(parts), len(parts))
        rows, again = self._verify(series, others)
        RollupRepository(self._target).refresh(self._progress)
        moved = Moved(rows, len(parts), len(resumed & {part.name for part in parts}), again, self._timeframes())
        with self._target.transaction() as connection:
            connection.execute(f"DROP TABLE {PARTS}")
        return moved

    def _claim(self, others: Sequence[Table]) -> set[str]:
        """Parts that are there from an earlier try with the same source; begins the notes otherwise."""
        with self._source.autocommit() as connection:
            own = _identity(connection)
        with self._target.transaction() as connection:
            if _identity(connection) == own:
                raise ConfigError("--to names the database that is to be moved: expected another one")
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('move'), 0)")
            if connection.execute("SELECT to_regclass(%s)", (PARTS,)).fetchone() == (None,):
                _refuse_data(connection, [*SERIES, *(table.name for table in others)], self._otherwise)
                connection.execute(f"CREATE TABLE {PARTS} (source text NOT NULL, part text PRIMARY KEY)")
            found = connection.execute(f"SELECT source, part FROM {PARTS}").fetchall()  # nosec B608
        if any(source != own for source, _ in found):
            raise ConfigError("--to holds an unfinished move of another database: drop it and make it anew, or finish that move")
        with self._target.transaction() as connection:
            connection.execute(f"INSERT INTO {PARTS} VALUES (%s, '') ON CONFLICT DO NOTHING", (own,))  # nosec B608
        return {part for _, part in found if part}

    def _definitions(self) -> None:
        """Feature sets with their views of named columns."""
        with self._source.autocommit() as connection:
            rows = connection.execute("SELECT id, timeframe, names, definition::text FROM feature_sets ORDER BY id").fetchall()
        for number, timeframe, names, definition in rows:
            FeatureRepository(self._target).register(FeatureSetRecord(number, timeframe, tuple(names), definition))

    def _small(self, others: Sequence[Table]) -> None:
        """All small tables in one transaction: they refer to each other."""
        self._progress("tables", 0, len(others))
        with self._source.transaction() as source, self._target.transaction() as target:
            source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for done, table in enumerate(others):
                target.execute(f"CREATE TEMP TABLE moved_{table.name} (LIKE {table.name}) ON COMMIT DROP")
                _stream(source, target, Part(table), f"moved_{table.name}")
                self._progress("tables", done, len(others))
            for table in reversed(others):
                _update(target, table)
                _prune(target, table)
            for table in others:
                _insert(target, table)
        self._progress("tables", len(others), len(others))

    def _copy(self, part: Part) -> None:
        assert part.start is not None and part.stop is not None
        ensure_partitions(self._target, part.table.name, nanoseconds(part.start), nanoseconds(part.stop))
        with self._source.transaction() as source, self._target.transaction() as target:
            target.execute(f"DELETE FROM {part.table.name} WHERE {part.where}")  # nosec B608
            _stream(source, target, part, part.table.name)
            if part.table.name == "ohlcv_1min":
                target.execute("SELECT note_rollups('{}', %s, %s)", (part.start, part.stop))
            target.execute(
                f"INSERT INTO {PARTS} SELECT source, %s FROM {PARTS} WHERE part = '' ON CONFLICT DO NOTHING",  # nosec B608
                (part.name,),
            )

    def _verify(self, series: Sequence[Table], others: Sequence[Table]) -> tuple[dict[str, int], int]:
        """(rows by table, parts copied again), while nobody can write to the source."""
        rows: dict[str, int] = {}
        again = 0
        with ExitStack() as still:
            holder = still.enter_context(self._source.transaction())
            _hold(holder, [table.name for table in (*series, *others)], self._lock_wait_s)
            self._small(others)
            extra = {p.name: p for table in series for p in weeks(self._target, table)}
            parts = extra | {p.name: p for table in series for p in weeks(self._source, table)} | {t.name: Part(t) for t in others}
            for done, part in enumerate(parts.values()):
                self._progress("verify", done, len(parts))
                found = self._sums(part)
                if found[0] != found[1] and part.start is not None:
                    self._copy(part)
                    again += 1
                    found = self._sums(part)
                if found[0] != found[1]:
                    raise StorageError(
                        f"{part.name}: expected {found[0]} as on the source, found {found[1]}: run the same move again"
                    )
                rows[part.table.name] = rows.get(part.table.name, 0) + found[0].rows
            self._progress("verify", len(parts), len(parts))
        return rows, again

    def _sums(self, part: Part) -> tuple[Sum, Sum]:
        with self._source.transaction() as source, self._target.transaction() as target:
            return sum_of(source, part), sum_of(target, part)

    def _timeframes(self) -> int:
        """Copy what the timeframes have of minutes that are gone; returns how many of the timeframes differ from the source's."""
        different = 0
        for name in TIMEFRAMES:
            with self._source.transaction() as source, self._target.transaction() as target:
                row = source.execute("SELECT ts FROM kept_from WHERE series = 'bars'").fetchone()
                old, rest = _timeframe(source, name)
                if row is not None:
                    old, rest = replace(old, stop=row[0]), replace(rest, start=row[0])
                    place = _materialised(target, name)
                    target.execute(f"DELETE FROM {place} WHERE {old.where}")  # nosec B608
                    _stream(source, target, old, place)
                different += sum_of(source, rest) != sum_of(target, rest)
        return different


def _timeframe(connection: Connection, name: str) -> tuple[Part, Part]:
    """Everything, twice: for the callers to bound by what retention left."""
    columns = connection.execute(
        "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", (name,)
    ).fetchone()
    bounds = connection.execute("SELECT '1970-01-01 00:00+00'::timestamptz, '2200-01-01 00:00+00'::timestamptz").fetchone()
    assert columns is not None and bounds is not None
    part = Part(Table(name, tuple(columns[0]), ("instrument_id", "ts"), (), ()), *bounds)
    return part, part


def _materialised(connection: Connection, name: str) -> str:
    """Where rows of a timeframe can be put: the table itself, or the one behind a continuous aggregate."""
    if not timescale.installed(connection):
        return name
    row = connection.execute(
        """SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name)
           FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public' AND view_name = %s""",
        (name,),
    ).fetchone()
    assert row is not None
    return str(row[0])


def _identity(connection: Connection) -> str:
    """Which database this is: the cluster's number, which initdb draws, and the database's."""
    row = connection.execute(
        "SELECT (SELECT system_identifier FROM pg_control_system()), oid FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return f"{row[0]}/{row[1]}"


def _refuse_data(connection: Connection, names: Sequence[str], otherwise: str) -> None:
    for name in names:
        query = sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(sql.Identifier(name))
        if connection.execute(query).fetchone() == (True,):
            raise ConfigError(f"expected an empty database to move to, found rows in {name}: {otherwise}")


def _hold(connection: Connection, names: Sequence[str], wait_s: float) -> None:
    """Let nobody write to the source until the transaction ends. Writers come through the parent tables, so ONLY is enough.

    All tables at once or none: waiting for one while holding another is how deadlocks are made.
    """
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    tables = ", ".join("ONLY " + name for name in names)
    for _ in range(max(1, round(wait_s / _PAUSE_S))):
        try:
            with connection.transaction():
                connection.execute(f"LOCK TABLE {tables} IN SHARE MODE NOWAIT")
            return
        except LockNotAvailable:
            connection.execute("SELECT pg_sleep(%s)", (_PAUSE_S,))
    raise StorageError(
        f"a program still writes to the source and did not stop within {wait_s:.0f} s: stop it and run the same move again, "
        "what was copied stays"
    )


def _stream(source: Connection, target: Connection, part: Part, place: str) -> None:
    """COPY from one server straight into the other, in blocks."""
    listed = part.table.listed()
    rows = f"COPY (SELECT {listed} FROM {part.table.name} WHERE {part.where}) TO STDOUT (FORMAT binary)"  # nosec B608
    with source.cursor().copy(rows) as out, target.cursor().copy(f"COPY {place} ({listed}) FROM STDIN (FORMAT binary)") as into:
        block = bytearray()
        for row in out:
            block += row
            if len(block) >= _BLOCK:
                into.write(bytes(block))
                block.clear()
        into.write(bytes(block))


def _same_key(table: Table) -> str:
    return " AND ".join(f't."{name}" = m."{name}"' for name in table.key)


def _update(target: Connection, table: Table) -> None:
    """Rows that changed on the source since they came here. A row others refer to can't be deleted and brought anew."""
    names = [name for name in table.columns if name not in table.key and name not in table.identity]
    if names:
        values = ", ".join(f'"{name}" = m."{name}"' for name in names)
        target.execute(
            f"UPDATE {table.name} t SET {values} FROM moved_{table.name} m "
            f"WHERE {_same_key(table)} AND ROW(t.*)::text <> ROW(m.*)::text"  # nosec B608
        )


def _prune(target: Connection, table: Table) -> None:
    target.execute(
        f"DELETE FROM {table.name} t WHERE NOT EXISTS "
        f"(SELECT 1 FROM moved_{table.name} m WHERE {_same_key(table)} AND ROW(t.*)::text = ROW(m.*)::text)"  # nosec B608
    )


def _insert(target: Connection, table: Table) -> None:
    target.execute(
        f"INSERT INTO {table.name} ({table.listed()}) OVERRIDING SYSTEM VALUE "
        f"SELECT {table.listed('m.')} FROM moved_{table.name} m "
        f"WHERE NOT EXISTS (SELECT 1 FROM {table.name} t WHERE {_same_key(table)})"  # nosec B608
    )
    for column in table.identity:  # the next number comes after the ones that were brought
        target.execute(
            f"""SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'),
                              (SELECT coalesce(max("{column}"), 0) + 1 FROM {table.name}), false)"""  # nosec B608
        )
