"""What a database needs now and then: timeframes brought up to date, old rows dropped or compressed, statistics, the server's job.

Everything may be run at any time and again; two programs take turns. ``docs/maintenance.md`` says what is done when.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from intraday.database import timescale
from intraday.database.copying import stamp
from intraday.database.errors import Contended, mapped
from intraday.database.link import unlimited
from intraday.database.pool import Connection, Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import DAY_NS
from intraday.domain.errors import StorageError
from intraday.domain.ports import Progress

TABLES = ("ohlcv_1min", "bar_superseded", "features", "labels", "signals")
JOB = "run_maintenance"
PUT_OFF = "put off"
# A writer reads with a second connection what its transaction holds with the first. Who waits for the first makes the second wait
# behind it, a circle that the server can't see: so nothing here waits for long, and what is busy is left to the next time.
_PATIENCE = "2s"
_NIGHT = "1970-01-01 16:00+00"  # 21:30 IST, when no market is open


@dataclass(frozen=True, slots=True)
class Policy:
    """How many days of a series (``kept.SERIES``) are kept, and after how many days rows are compressed; None: never."""

    retention_days: Mapping[str, int | None] = field(default_factory=dict)
    compress_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, or would be: what kind of work, and on what. Of the kind ``PUT_OFF`` is what other programs were busy with."""

    done: tuple[tuple[str, str], ...]
    dry_run: bool

    def count(self, kind: str) -> int:
        """How many things of a kind: timeframes, retention, compression, partitions, statistics, job, put off."""
        return sum(1 for what, _ in self.done if what == kind)


class _Work(NamedTuple):
    what: str  # for people
    sql: str
    values: tuple[Any, ...] = ()


def maintain(database: Database, policy: Policy, now_ns: int, progress: Progress | None = None, *, dry_run: bool = False) -> Report:
    """Do whatever is due at ``now_ns``; ``dry_run``: only say it, as far as it can be known beforehand.

    In this order: timeframes, retention, compression (TimescaleDB), partitions of the next month (plain PostgreSQL), statistics,
    the server's own job (TimescaleDB). What other programs are busy with is put off: the next call does it, as it does the rest of
    one that was stopped in the middle. Raises StorageError.
    """
    refresh = partial(RollupRepository(database).refresh, progress)
    with database.autocommit() as connection, _alone(connection):
        _check_owner(connection)
        done = [_tried("timeframes", what, refresh, dry_run) for what in _behind(connection)]
        stages = {"retention": _retention(connection, policy, now_ns)}
        if timescale.installed(connection):
            stages |= {"compression": _compression(connection, policy, now_ns), "job": _job(connection, policy)}
        else:
            stages |= {"partitions": _partitions(connection, now_ns)}
        for kind, stage in (stages | {"statistics": _statistics(connection)}).items():
            work = list(stage)  # known only now: what came before may have changed it
            for at, one in enumerate(work):
                if progress is not None:
                    progress(kind, at, len(work))
                done.append(_tried(kind, one.what, partial(connection.execute, one.sql, one.values), dry_run))
            if progress is not None and work:
                progress(kind, len(work), len(work))
    return Report(tuple(done), dry_run)


def _tried(kind: str, what: str, work: Callable[[], object], dry_run: bool) -> tuple[str, str]:
    """For the report: what was done, or that it was put off."""
    try:
        with mapped():
            if not dry_run:
                work()
    except Contended:
        return PUT_OFF, f"{kind}: {what}; other programs are busy with it, the next time does it"
    return kind, what


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """No other program maintains this database meanwhile; no statement has a time limit, and none waits for a lock for long."""
    with unlimited(connection):
        connection.execute("SELECT pg_advisory_lock(hashtext('maintain'), 0)")
        try:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (_PATIENCE,))
            yield
        finally:
            if not connection.closed and not connection.broken:
                connection.execute("SELECT pg_advisory_unlock(hashtext('maintain'), 0)")


def _check_owner(connection: Connection) -> None:
    row = connection.execute(
        "SELECT pg_has_role(relowner, 'USAGE'), current_user::text FROM pg_class WHERE oid = 'ohlcv_1min'::regclass"
    ).fetchone()
    if row is None or not row[0]:
        raise StorageError(
            f"expected a member of intraday_owner, found {row and row[1]}: only a table's owner may drop, compress and analyze its "
            "rows; let the owner run `intraday db maintain` every night"
        )


def _behind(connection: Connection) -> Iterator[str]:
    row = connection.execute("SELECT count(*), min(from_ts), max(to_ts) FROM rollup_pending").fetchone()
    assert row is not None
    if row[0]:
        yield f"{row[0]} changes from {row[1]:%Y-%m-%d} to {row[2]:%Y-%m-%d}"


def _retention(connection: Connection, policy: Policy, now_ns: int) -> Iterator[_Work]:
    """A series whose limit has moved, and one with rows before its limit, which a crash or a late writer left."""
    for series, days in policy.retention_days.items():
        if days is None:
            continue
        due = connection.execute("SELECT retention_limit(%s, %s, %s)", (series, days, stamp(now_ns))).fetchone()
        if due is None or due[0] is None:  # there are no rows
            continue
        before = due[0]
        row = connection.execute(
            """SELECT greatest(k.ts, due), k.ts IS NULL OR k.ts < due FROM date_bin('7 days', %s, '1970-01-01 00:00+00') AS due
               LEFT JOIN kept_from k ON k.series = %s""",
            (before, series),
        ).fetchone()
        assert row is not None
        limit, moved = row
        tables = ("ohlcv_1min", "bar_superseded") if series == "bars" else (series,)
        left = [f"SELECT 1 FROM {table} WHERE ts < %s LIMIT 1" for table in tables]  # nosec B608: our own names
        if moved or any(connection.execute(query, (limit,)).fetchone() for query in left):
            what = f"{series} from {limit:%Y-%m-%d} on are kept, older ones dropped"
            yield _Work(what, "SELECT drop_before(%s, %s)", (series, before))


def _compression(connection: Connection, policy: Policy, now_ns: int) -> Iterator[_Work]:
    if policy.compress_after_days is None:
        return
    before = stamp(now_ns - policy.compress_after_days * DAY_NS)
    rows = connection.execute("SELECT series, chunk::text, until FROM chunks_to_compress(%s)", (before,)).fetchall()
    for series, chunk, until in rows:
        yield _Work(f"{series} up to {until:%Y-%m-%d}", "SELECT compress_chunk(%s::regclass)", (chunk,))


def _partitions(connection: Connection, now_ns: int) -> Iterator[_Work]:
    """Of this and the next month, so that no writer has to make them in trading hours."""
    for table in TABLES:
        rows = connection.execute(
            """SELECT month FROM generate_series(date_trunc('month', %(now)s, 'UTC'), %(now)s + interval '1 month',
                 interval '1 month') AS month
               WHERE to_regclass(%(table)s || to_char(month AT TIME ZONE 'UTC', '_"y"YYYY"m"MM')) IS NULL""",
            {"now": stamp(now_ns), "table": table},
        ).fetchall()
        for (month,) in rows:
            yield _Work(f"{table} of {month:%Y-%m}", "SELECT ensure_partitions(%s, %s, %s)", (table, month, month))


def _statistics(connection: Connection) -> Iterator[_Work]:
    """Tables of which a tenth is dead or changed since the planner last looked; autovacuum never looks at a partitioned whole."""
    rows = connection.execute(
        """SELECT format('%I.%I', s.schemaname, s.relname), s.n_dead_tup > 1000 + s.n_live_tup / 10, p.oid::regclass::text
           FROM pg_stat_user_tables s LEFT JOIN pg_inherits i ON i.inhrelid = s.relid
                LEFT JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'
           WHERE s.schemaname IN (current_schema, '_timescaledb_internal')
             AND greatest(s.n_dead_tup, s.n_mod_since_analyze) > 1000 + s.n_live_tup / 10 ORDER BY 1"""
    ).fetchall()
    statements = [f"VACUUM (ANALYZE) {table}" if dead else f"ANALYZE {table}" for table, dead, _ in rows]
    for statement in statements + sorted({f"ANALYZE {whole}" for _, _, whole in rows if whole is not None}):
        yield _Work(statement, statement)


def _job(connection: Connection, policy: Policy) -> Iterator[_Work]:
    """One job that does the same on the server, should no program come by."""
    wanted: dict[str, object] = {"retention": {name: days for name, days in policy.retention_days.items() if days is not None}}
    if policy.compress_after_days is not None:
        wanted["compress_after_days"] = policy.compress_after_days
    job = connection.execute(
        "SELECT job_id, config FROM timescaledb_information.jobs WHERE proc_schema = current_schema AND proc_name = %s", (JOB,)
    ).fetchone()
    config = json.dumps(wanted, sort_keys=True)
    if job is None:
        add = """SELECT add_job(%s::regproc, '1 day', config => %s::jsonb, fixed_schedule => true,
                   initial_start => date_bin('1 day', now(), %s::timestamptz) + interval '1 day')"""
        yield _Work(f"every night, with {config}", add, (JOB, config, _NIGHT))
    elif job[1] != wanted:
        yield _Work(f"from now on with {config}", "SELECT alter_job(%s, config => %s::jsonb)", (job[0], config))
