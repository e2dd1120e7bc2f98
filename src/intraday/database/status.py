"""Where a database stands: its server, its size, and every feature we use with on or off and why.

Nothing is changed and no table is read through; figures of TimescaleDB come from its catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from intraday.database import timescale
from intraday.database.maintenance import JOB, TABLES
from intraday.database.pool import Connection, Database

ROLES = ("intraday_owner", "intraday_writer", "intraday_reader")


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: whether it is on, and what there is of it, or why it is off."""

    name: str
    on: bool
    detail: str


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What the server says; ``connections`` of ``connections_max`` are in use by everybody, ``role`` is ours."""

    server: str
    timescaledb: str | None
    where: str
    size: int  # bytes
    role: str
    connections: int
    connections_max: int
    features: tuple[Feature, ...]


def server_status(database: Database) -> ServerStatus:
    """Ask the server. Before ``db init`` only what does not need our tables is told. Raises StorageError."""
    with database.autocommit() as connection:
        row = connection.execute(
            """SELECT current_setting('server_version'), pg_database_size(current_database()), current_user,
                      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                      current_setting('max_connections')::integer, to_regclass('rollup_pending') IS NOT NULL"""
        ).fetchone()
        assert row is not None
        server, size, role, used, limit, ready = row
        extension = timescale.version(connection)
        found = [feature for ask in _asked(ready, extension is not None) for feature in ask(connection)]
        info = connection.info
        where = f"{info.host}:{info.port}/{info.dbname}"
    return ServerStatus(server, extension, where, size, role, used, limit, tuple(found))


def _asked(ready: bool, hyper: bool) -> list[Callable[[Connection], Iterator[Feature]]]:
    common: list[Callable[[Connection], Iterator[Feature]]] = [_roles, _safety]
    if not ready:
        return common
    ours = [_hypertables, _aggregates, _compression, _retention, _job] if hyper else [_plain, _retention]
    return [*ours, *common]


def _one(connection: Connection, query: str, *values: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
    assert row is not None
    return row


def _behind(connection: Connection) -> str:
    n, first, last = _one(connection, "SELECT count(*), min(from_ts), max(to_ts) FROM rollup_pending")
    return f"behind by {n} changes from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if n else "up to date"


# ------------------------------------------------------------------------------------------------------ plain PostgreSQL


def _plain(connection: Connection) -> Iterator[Feature]:
    (offered,) = _one(connection, "SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'timescaledb'")
    why = "the server has TimescaleDB, but this database was made without it" if offered else "the server has no TimescaleDB"
    (parts,) = _one(connection, "SELECT count(*) FROM pg_inherits WHERE inhparent::regclass::text = ANY (%s)", list(TABLES))
    yield Feature("hypertables", False, f"{why}; {parts} partitions by month instead")
    yield Feature("continuous aggregates", False, f"{why}; tables instead, {_behind(connection)}")
    yield Feature("compression", False, why)
    yield Feature("background job", False, f"{why}; `intraday db maintain` does its work")


# ----------------------------------------------------------------------------------------------------------- TimescaleDB


def _hypertables(connection: Connection) -> Iterator[Feature]:
    tables, chunks = _one(
        connection,
        """SELECT count(*), sum(num_chunks) FROM timescaledb_information.hypertables
           WHERE hypertable_schema = current_schema AND hypertable_name = ANY (%s)""",
        list(TABLES),
    )
    missing = "" if tables == len(TABLES) else f", {len(TABLES) - tables} of ours are none"
    yield Feature("hypertables", not missing, f"{tables} tables in {chunks or 0} chunks of 7 days{missing}")


def _aggregates(connection: Connection) -> Iterator[Feature]:
    (n,) = _one(
        connection,
        """SELECT count(*) FROM timescaledb_information.continuous_aggregates
           WHERE view_schema = current_schema AND view_name IN ('ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min')""",
    )
    yield Feature("continuous aggregates", n == 3, f"{n} of 3, {_behind(connection)}")


def _compression(connection: Connection) -> Iterator[Feature]:
    chunks, packed, rows, before, after = _one(
        connection,
        """SELECT count(*), count(s.chunk_id), sum(s.numrows_pre_compression),
                  sum(s.uncompressed_heap_size + s.uncompressed_index_size + s.uncompressed_toast_size),
                  sum(s.compressed_heap_size + s.compressed_index_size + s.compressed_toast_size)
           FROM _timescaledb_catalog.hypertable h JOIN _timescaledb_catalog.chunk c ON c.hypertable_id = h.id
                LEFT JOIN _timescaledb_catalog.compression_chunk_size s ON s.chunk_id = c.id
                LEFT JOIN timescaledb_information.continuous_aggregates a
                  ON a.materialization_hypertable_schema = h.schema_name AND a.materialization_hypertable_name = h.table_name
           WHERE h.schema_name = current_schema OR a.view_schema = current_schema""",
    )
    if not packed:
        yield Feature(
            "compression", False, f"none of {chunks} chunks yet: `intraday db maintain` compresses those that are old enough"
        )
        return
    yield Feature(
        "compression",
        True,
        f"{packed} of {chunks} chunks, {rows:,} rows, {mebibytes(before)} in {mebibytes(after)}, {before / after:.1f} times less",
    )


def _job(connection: Connection) -> Iterator[Feature]:
    row = connection.execute(
        """SELECT j.scheduled, j.config::text, nullif(j.next_start, '-infinity'), s.last_run_status,
                  nullif(s.last_successful_finish, '-infinity'), s.total_failures
           FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.job_stats s USING (job_id)
           WHERE j.proc_schema = current_schema AND j.proc_name = %s""",
        (JOB,),
    ).fetchone()
    if row is None:
        yield Feature("background job", False, "not there yet: `intraday db maintain` makes it")
        return
    scheduled, config, following, status, finished, failures = row
    last = "has not run yet" if finished is None else f"last done {finished:%Y-%m-%d %H:%M} UTC"
    trouble = f", last run {status}, {failures} failures" if status not in (None, "Success") else ""
    when = "" if following is None or following.year < 2000 else f", next {following:%Y-%m-%d %H:%M} UTC"
    yield Feature("background job", bool(scheduled), f"{config}, {last}{trouble}{when}{'' if scheduled else ', switched off'}")


# ------------------------------------------------------------------------------------------------------------ both kinds


def _retention(connection: Connection) -> Iterator[Feature]:
    rows = connection.execute("SELECT series, ts FROM kept_from ORDER BY series").fetchall()
    detail = ", ".join(f"{series} kept from {at:%Y-%m-%d} on" for series, at in rows)
    yield Feature("retention", bool(rows), detail or "everything is kept: no database.retention was applied so far")


def _roles(connection: Connection) -> Iterator[Feature]:
    found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1", (list(ROLES),)).fetchall()
    missing = sorted(set(ROLES) - {name for (name,) in found})
    detail = f"missing {', '.join(missing)}: a superuser's `intraday db migrate` makes them" if missing else ", ".join(ROLES)
    yield Feature("roles", not missing, detail)


def _safety(connection: Connection) -> Iterator[Feature]:
    checksums, commit, fsync, tls, cipher = _one(
        connection,
        """SELECT current_setting('data_checksums'), current_setting('synchronous_commit'), current_setting('fsync'),
                  s.ssl, concat_ws(' ', s.version, s.cipher) FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()""",
    )
    yield Feature(
        "data checksums", checksums == "on", "" if checksums == "on" else "a page that rots is not noticed: pg_checksums --enable"
    )
    waits = commit != "off" and fsync == "on"
    why = "a commit waits for the disk" if waits else "a crash of the machine may lose the last commits"
    yield Feature("synchronous_commit", waits, f"{commit}, fsync {fsync}: {why}")
    local = connection.info.host.startswith("/")
    yield Feature("TLS", tls, cipher if tls else "not needed: a Unix socket" if local else "the connection is in the clear")


def mebibytes(size: float) -> str:
    """A size for people."""
    return f"{float(size) / 2**20:,.1f} MiB"
