"""Retention, compression and the rest of `db maintain`: the same rows go and stay on both kinds of server, timeframes always."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from chunk_cases import compress_all, has_timescale, rows
from intraday.database import schema, timescale
from intraday.database.bars import BarRepository
from intraday.database.features import FeatureRepository
from intraday.database.kept import check_kept, kept_from
from intraday.database.maintenance import PUT_OFF, Policy, Report, maintain
from intraday.database.pool import Connection, Database
from intraday.database.rollups import TIMEFRAMES, RollupRepository
from intraday.domain.arrays import BAR, DAY_NS, MINUTE_NS, Bars, empty
from intraday.domain.errors import StorageError
from intraday.domain.ports import FeatureSetRecord, Gap, Source

pytestmark = pytest.mark.integration
THURSDAY = datetime(2025, 1, 2, tzinfo=UTC)
SECOND_NS = 10**9
FIRST_NS = int(THURSDAY.timestamp()) * SECOND_NS  # 05:30 IST, before any session
IDS = [5, 9]
N_DAYS = 60
NOW_NS = FIRST_NS + N_DAYS * DAY_NS
SET = FeatureSetRecord("fee1", 5, ("a", "b"), "{}")
MONTH = Policy({"bars": 35, "features": 35, "labels": None, "signals": None}, compress_after_days=1)
WAITED = """SELECT EXISTS (SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND classid = (hashtext(%s)::bigint & 4294967295)::oid AND clock_timestamp() - query_start > %s::interval)"""
LIMIT = THURSDAY + timedelta(days=21)  # 60 - 35 = 25 days after the first Thursday, rounded down


def bars_of(days: range, minutes: int = 65) -> Bars:
    """The first minutes of the Indian trading day, both instruments, on each day from ``THURSDAY`` on."""
    start = FIRST_NS + 225 * MINUTE_NS + DAY_NS * np.array(days, dtype=np.int64)
    ts = (start[:, None] + MINUTE_NS * np.arange(minutes)).ravel()
    bars = empty(BAR, 2 * ts.shape[0])
    bars["ts_ns"] = np.repeat(ts, 2)
    bars["inst"] = np.tile([0, 1], ts.shape[0])
    bars["open"] = np.round(100 + np.random.default_rng(3).random(bars.shape[0]), 2)
    for name, by in (("high", 1.0), ("low", -1.0), ("close", 0.5)):
        bars[name] = bars["open"] + by
    bars["volume"], bars["n_ticks"] = 10, 1
    return bars


@pytest.fixture
def filled(database: Database) -> Database:
    """Sixty days of bars of two sources, and features; timeframes made; one candle gap at the beginning."""
    with database.autocommit() as connection:
        connection.execute(
            """INSERT INTO instruments (id, exchange, symbol, kind, tick_size, lot_size) OVERRIDING SYSTEM VALUE
               SELECT id, 'NSE', 'I' || id, 'equity', 5, 1 FROM unnest(%s::integer[]) AS id""",
            ([*IDS, 77],),
        )
    store = BarRepository(database)
    bars = bars_of(range(N_DAYS))
    store.write(IDS, bars, Source.IMPORT, 1)
    better = bars[bars["ts_ns"] % (40 * MINUTE_NS) == 0]
    better["close"] += 0.25
    store.write(IDS, better, Source.BROKER, 2)
    store.save_gaps([Gap(5, FIRST_NS + DAY_NS, FIRST_NS + DAY_NS + MINUTE_NS, "missing", 1)])
    features = FeatureRepository(database)
    features.register(SET)
    ts = bars["ts_ns"][bars["ts_ns"] % (5 * MINUTE_NS) == 0]
    inst = bars["inst"][bars["ts_ns"] % (5 * MINUTE_NS) == 0].astype(np.int32)
    features.write(SET.id, Source.HISTORY, IDS, ts, inst, np.random.default_rng(4).random((ts.shape[0], 2)).astype(np.float32))
    RollupRepository(database).refresh()
    return database


def contents(database: Database, *names: str) -> dict[str, list[tuple[object, ...]]]:
    """A digest of each table's rows; why a version was put aside is not known to older schemas."""
    row = "(to_jsonb(t) - 'reason')::text"
    return {name: rows(database, f"SELECT md5(string_agg({row}, ',' ORDER BY {row})) FROM {name} t") for name in names}


def timeframes(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return contents(database, *TIMEFRAMES)


def note_everything(connection: Connection) -> None:
    connection.execute("SELECT note_rollups(%s, '2020-01-01', '2030-01-01')", (IDS,))


# ------------------------------------------------------------------------------------------------------------- retention


def test_limits_are_rounded_down_to_thursdays_where_chunks_begin(filled: Database) -> None:
    for day, kept in ((0, 0), (1, 0), (6, 0), (7, 7), (24, 21)):
        at = THURSDAY + timedelta(days=day, hours=13)
        assert rows(filled, "SELECT drop_before('labels', %s)", at) == [(THURSDAY + timedelta(days=kept),)]
    if has_timescale(filled):
        starts = rows(
            filled, "SELECT DISTINCT range_start FROM timescaledb_information.chunks WHERE hypertable_name = 'ohlcv_1min'"
        )
        assert {(start - THURSDAY) % timedelta(days=7) for (start,) in starts} == {timedelta(0)}  # type: ignore[operator]


def test_the_limit_never_goes_back(filled: Database) -> None:
    assert rows(filled, "SELECT drop_before('features', %s)", LIMIT) == [(LIMIT,)]
    assert rows(filled, "SELECT drop_before('features', %s)", THURSDAY) == [(LIMIT,)]
    with filled.autocommit() as connection:
        assert kept_from(connection) == {"features": FIRST_NS + 21 * DAY_NS}


@pytest.mark.parametrize("compressed", [False, True])
def test_exactly_the_older_rows_go(filled: Database, compressed: bool) -> None:
    bars, limit_ns = bars_of(range(N_DAYS)), FIRST_NS + 21 * DAY_NS
    if compressed:
        compress_all(filled)
    names = ("ohlcv_1min", "bar_superseded", "features")
    younger = {name: rows(filled, f"SELECT * FROM {name} WHERE ts >= %s ORDER BY ts, instrument_id", LIMIT) for name in names}
    report = maintain(filled, MONTH, NOW_NS)
    assert report.count("retention") == 2
    for name in names:
        assert rows(filled, f"SELECT * FROM {name} ORDER BY ts, instrument_id") == younger[name]
        assert len(younger[name]) > 0
    kept = BarRepository(filled).read(IDS, 0, 2**62, Source.IMPORT)
    assert kept.tolist() == bars[bars["ts_ns"] >= limit_ns].tolist()
    assert len(BarRepository(filled).gaps(IDS, 0, 2**62)) == 1
    assert rows(filled, "SELECT series, ts FROM kept_from ORDER BY 1") == [("bars", LIMIT), ("features", LIMIT)]


@pytest.mark.parametrize("compressed", [False, True])
def test_the_timeframes_never_lose_what_was_rolled_up_of_dropped_minutes(filled: Database, compressed: bool) -> None:
    """The trap: after the minutes are gone, a refresh over their time finds nothing and would roll up nothing."""
    if compressed:
        compress_all(filled)
    before = timeframes(filled)
    maintain(filled, MONTH, NOW_NS)
    assert timeframes(filled) == before
    with filled.autocommit() as connection:
        note_everything(connection)
    assert RollupRepository(filled).refresh() > 0
    assert timeframes(filled) == before
    with filled.autocommit() as connection:
        note_everything(connection)
        if timescale.installed(connection):
            connection.execute("CALL refresh_noted()")
            assert connection.execute("SELECT count(*) FROM rollup_pending").fetchone() == (0,)
        else:
            connection.execute("SELECT refresh_rollups(%s, '2020-01-01', '2030-01-01')", (IDS,))
    assert timeframes(filled) == before


def test_younger_minutes_are_still_rolled_up_after_retention(filled: Database) -> None:
    maintain(filled, MONTH, NOW_NS)
    before = timeframes(filled)
    late = bars_of(range(21, 22), minutes=1)  # the first minute that is kept
    late["high"] += 7
    BarRepository(filled).write(IDS, late, Source.BROKER, 9)
    RollupRepository(filled).refresh()
    after = timeframes(filled)
    assert all(after[name] != before[name] for name in TIMEFRAMES)
    with filled.autocommit() as connection:
        found = connection.execute("SELECT max(high) FROM ohlcv_60min WHERE ts < %s", (LIMIT + timedelta(days=1),)).fetchone()
    assert found == (late["high"].max(),)


def test_why_no_refresh_may_begin_at_the_beginning_of_time(filled: Database) -> None:
    """What docs/maintenance.md warns of: TimescaleDB's own way to refresh everything takes the history away."""
    if not has_timescale(filled):
        pytest.skip("plain PostgreSQL has no continuous aggregates")
    maintain(filled, MONTH, NOW_NS)
    before = rows(filled, "SELECT count(*) FROM ohlcv_5min")
    with filled.autocommit() as connection:
        connection.execute("CALL refresh_continuous_aggregate('ohlcv_5min', NULL, '2025-06-01')")
    assert rows(filled, "SELECT count(*) FROM ohlcv_5min") < before


def test_nothing_is_dropped_that_the_timeframes_lack(filled: Database) -> None:
    BarRepository(filled).write([77], bars_of(range(2))[::2], Source.IMPORT, 1)
    with filled.autocommit() as connection, pytest.raises(Exception, match="refresh them first"):
        connection.execute("SELECT drop_before('bars', %s)", (LIMIT,))
    with filled.autocommit() as connection:
        assert kept_from(connection) == {}
    maintain(filled, MONTH, NOW_NS)  # refreshes first
    assert rows(filled, "SELECT count(*) FROM ohlcv_60min WHERE instrument_id = 77") == [(4,)]
    assert rows(filled, "SELECT count(*) FROM ohlcv_1min WHERE instrument_id = 77") == [(0,)]


def test_retention_waits_for_a_refresh_under_way(filled: Database) -> None:
    with filled.autocommit() as refreshing:
        refreshing.execute("SELECT pg_advisory_lock(hashtext('rollups'), 0)")
        with filled.autocommit() as connection, pytest.raises(Exception, match="lock timeout"):
            connection.execute("SET lock_timeout = 200")
            connection.execute("SELECT drop_before('bars', %s)", (LIMIT,))
        refreshing.execute("SELECT pg_advisory_unlock(hashtext('rollups'), 0)")
    assert rows(filled, "SELECT count(*) FROM kept_from") == [(0,)]


def test_minutes_older_than_what_is_kept_are_refused(filled: Database) -> None:
    maintain(filled, MONTH, NOW_NS)
    limit_ns = FIRST_NS + 21 * DAY_NS
    with filled.autocommit() as connection:
        check_kept(connection, "bars", limit_ns)
        check_kept(connection, "labels", 0)
        with pytest.raises(StorageError, match="expected bars from 2025-01-23 on, found some of 2025-01-22: .*bars_days"):
            check_kept(connection, "bars", limit_ns - 1000)
    store = BarRepository(filled)
    with pytest.raises(StorageError, match="expected bars from 2025-01-23 on"):
        store.write(IDS, bars_of(range(20, 22)), Source.TICK, 3)
    assert store.write(IDS, bars_of(range(21, 22)), Source.TICK, 3).revised + store.read(IDS, 0, limit_ns).shape[0] == 0


def test_rows_that_came_back_go_again(filled: Database) -> None:
    """A writer that was not refused in time."""
    maintain(filled, MONTH, NOW_NS)
    maintain(filled, MONTH, NOW_NS)
    with filled.autocommit() as connection:
        connection.execute("SELECT ensure_partitions('features', %s, %s)", (THURSDAY, THURSDAY))
        connection.execute("INSERT INTO features VALUES (5, %s, 'history', 'fee1', '\\x00')", (THURSDAY,))
    assert maintain(filled, MONTH, NOW_NS).count("retention") == 1
    assert rows(filled, "SELECT count(*) FROM features WHERE ts < %s", LIMIT) == [(0,)]


# -------------------------------------------------------------------------------------------------------------- maintain


def settled(database: Database) -> Report:
    """Maintained until nothing is left to do: statistics arrive a moment late."""
    for _ in range(4):
        report = maintain(database, MONTH, NOW_NS)
        if not report.done:
            break
    return report


def test_maintaining_again_finds_nothing_to_do(filled: Database) -> None:
    BarRepository(filled).write(IDS, bars_of(range(N_DAYS, N_DAYS + 1)), Source.IMPORT, 1)
    seen: list[tuple[str, int, int]] = []
    report = maintain(filled, MONTH, NOW_NS, lambda what, done, total: seen.append((what, done, total)))
    kinds = {kind for kind, _ in report.done}
    wanted = {"compression", "job"} if has_timescale(filled) else {"partitions"}
    assert kinds - {"statistics"} == {"timeframes", "retention"} | wanted
    assert {what for what, done, total in seen if done == total} == kinds
    assert not {kind for kind, _ in settled(filled).done} - {"statistics"}


def test_a_dry_run_says_it_and_does_nothing(filled: Database) -> None:
    BarRepository(filled).write(IDS, bars_of(range(N_DAYS, N_DAYS + 1)), Source.IMPORT, 1)
    state = "SELECT (SELECT count(*) FROM ohlcv_1min), (SELECT count(*) FROM kept_from), (SELECT count(*) FROM rollup_pending)"
    before = rows(filled, state)
    said = maintain(filled, MONTH, NOW_NS, dry_run=True)
    assert said.dry_run
    assert rows(filled, state) == before
    done = maintain(filled, MONTH, NOW_NS)
    same = {"timeframes", "retention", "partitions", "job"}
    assert [w for w in said.done if w[0] in same] == [w for w in done.done if w[0] in same]
    assert said.count("compression") >= done.count("compression")


def test_two_at_once_take_turns(filled: Database) -> None:
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(maintain(filled, MONTH, NOW_NS))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.count("retention") for report in reports) == [0, 2]


def test_time_limits_hold_again_afterwards(filled: Database) -> None:
    with Database(filled.dsn, statement_timeout_s=77) as database:
        maintain(database, MONTH, NOW_NS)
        with database.autocommit() as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("77s",)


def test_a_refresh_has_no_time_limit_and_waits_for_another(filled: Database) -> None:
    """With the settings' limits it would fail the same way every time, and the timeframes stay behind for ever."""
    with filled.autocommit() as connection:
        note_everything(connection)
    with Database(filled.dsn, statement_timeout_s=0.8) as hasty, filled.autocommit() as other, ThreadPoolExecutor() as pool:
        other.execute("SELECT pg_advisory_lock(hashtext('rollups'), 0)")
        found = pool.submit(RollupRepository(hasty).refresh)
        try:
            while not found.done() and rows(filled, WAITED, "rollups", "1 second") != [(True,)]:
                pass
        finally:
            other.execute("SELECT pg_advisory_unlock(hashtext('rollups'), 0)")
        assert found.result() > 0
        limits = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        assert rows(hasty, limits) == [("800ms", "400ms")]
    assert rows(filled, "SELECT count(*) FROM rollup_pending") == [(0,)]


def test_retention_of_what_others_are_busy_with_is_put_off(filled: Database) -> None:
    with filled.autocommit() as refreshing:
        refreshing.execute("SET idle_session_timeout = '20s'")  # a maintainer that waits fails, it does not hang
        refreshing.execute("SELECT pg_advisory_lock(hashtext('rollups'), 0)")
        report = maintain(filled, MONTH, NOW_NS)
        refreshing.execute("SELECT pg_advisory_unlock(hashtext('rollups'), 0)")
    assert (report.count("retention"), report.count(PUT_OFF)) == (1, 1)
    assert rows(filled, "SELECT series FROM kept_from") == [("features",)]
    report = maintain(filled, MONTH, NOW_NS)
    assert (report.count("retention"), report.count(PUT_OFF)) == (1, 0)
    assert rows(filled, "SELECT count(*) FROM ohlcv_1min WHERE ts < %s", LIMIT) == [(0,)]


def test_a_clock_that_is_years_ahead_drops_no_more(filled: Database) -> None:
    """The limit never goes back, so it must not run away: days are counted from the newest row."""
    newest = rows(filled, "SELECT max(ts) FROM ohlcv_1min")
    maintain(filled, MONTH, NOW_NS + 4 * 365 * DAY_NS)
    left = rows(filled, "SELECT ts FROM kept_from WHERE series = 'bars'")
    assert left[0][0] <= newest[0][0] - timedelta(days=35)  # type: ignore[operator]
    assert rows(filled, "SELECT max(ts) FROM ohlcv_1min") == newest


def test_without_a_policy_everything_stays(filled: Database) -> None:
    before = contents(filled, "ohlcv_1min")
    report = maintain(filled, Policy(), NOW_NS)
    assert (report.count("retention"), report.count("compression")) == (0, 0)
    assert contents(filled, "ohlcv_1min") == before
    assert rows(filled, "SELECT count(*) FROM kept_from") == [(0,)]


@contextmanager
def member_of(database: Database, group: str) -> Iterator[Database]:
    """The database, for a login role that is a member of a group role."""
    name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(8)
    with database.autocommit() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {group}")
    try:
        with Database(make_conninfo(database.dsn, user=name, password=password)) as member:
            yield member
    finally:
        with database.autocommit() as connection:
            if timescale.installed(connection):
                connection.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE owner::text = %s", (name,))
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")


def test_membership_of_the_owners_role_is_enough(filled: Database) -> None:
    BarRepository(filled).write(IDS, bars_of(range(N_DAYS, N_DAYS + 1)), Source.IMPORT, 1)
    with member_of(filled, "intraday_owner") as owner:
        done = maintain(owner, MONTH, NOW_NS)
        assert {kind for kind, _ in done.done} >= {"timeframes", "retention"}
        assert not {kind for kind, _ in settled(owner).done} - {"statistics"}


def test_a_writer_is_told_who_may(filled: Database) -> None:
    with member_of(filled, "intraday_writer") as writer, pytest.raises(StorageError, match="expected .* intraday_owner, found"):
        maintain(writer, MONTH, NOW_NS)


# ----------------------------------------------------------------------------------------------------- the server's own job


@pytest.fixture
def hyper(filled: Database) -> Database:
    if not has_timescale(filled):
        pytest.skip("plain PostgreSQL has no jobs and no compression")
    return filled


def jobs(database: Database) -> list[tuple[object, ...]]:
    return rows(
        database,
        """SELECT config, scheduled, schedule_interval::text, initial_start > now()
           FROM timescaledb_information.jobs WHERE job_id >= 1000""",
    )


def test_the_servers_job_follows_the_settings(hyper: Database) -> None:
    maintain(hyper, MONTH, NOW_NS)
    night = (True, "1 day", True)
    assert jobs(hyper) == [({"retention": {"bars": 35, "features": 35}, "compress_after_days": 1}, *night)]
    maintain(hyper, Policy({"bars": 70}), NOW_NS)
    assert jobs(hyper) == [({"retention": {"bars": 70}}, *night)]


def test_the_servers_job_does_the_same(hyper: Database) -> None:
    """Its own clock, hence compression of everything; retention counts from the newest row."""
    BarRepository(hyper).write(IDS, bars_of(range(N_DAYS, N_DAYS + 1)), Source.IMPORT, 1)
    with hyper.autocommit() as connection:
        connection.execute("""CALL run_maintenance(0, '{"compress_after_days": 1}')""")
    assert rows(hyper, "SELECT count(*) FROM rollup_pending") == [(0,)]
    assert rows(hyper, "SELECT count(*) FROM chunks_to_compress(now() - interval '1 day')") == [(0,)]
    before = timeframes(hyper)
    with hyper.autocommit() as connection:
        connection.execute("""CALL run_maintenance(0, '{"retention": {"bars": 35}}')""")
        held = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").fetchone()
    assert held == (0,)
    kept = "SELECT date_bin('7 days', max(ts) - interval '35 days', '1970-01-01 00:00+00') FROM ohlcv_1min"
    assert rows(hyper, f"SELECT min(ts) >= ({kept}) FROM ohlcv_1min") == [(True,)]
    assert rows(hyper, "SELECT ts FROM kept_from WHERE series = 'bars'") == rows(hyper, kept)
    assert rows(hyper, "SELECT count(*) > 0 FROM features") == [(True,)]
    assert timeframes(hyper) == before


@pytest.mark.parametrize(("lock", "left"), [("maintain", 1), ("rollups", 1), ("other", 0)])
def test_the_servers_job_leaves_it_to_a_program_that_is_at_it(hyper: Database, lock: str, left: int) -> None:
    with hyper.autocommit() as connection:
        note_everything(connection)
    with hyper.autocommit() as busy:
        busy.execute("SELECT pg_advisory_lock(hashtext(%s), 0)", (lock,))
        with hyper.autocommit() as connection:
            connection.execute("CALL run_maintenance(0, '{}')")
        busy.execute("SELECT pg_advisory_unlock(hashtext(%s), 0)", (lock,))
    assert rows(hyper, "SELECT count(*) FROM rollup_pending") == [(left,)]


def test_the_schema_goes_down_and_up_again_with_compressed_rows(hyper: Database) -> None:
    maintain(hyper, MONTH, NOW_NS)
    tables = ("ohlcv_1min", "bar_superseded", "features", *TIMEFRAMES)
    before = contents(hyper, *tables)
    hyper.close()
    schema.migrate(hyper.dsn, "0006")
    assert jobs(hyper) == []
    assert contents(hyper, *tables) == before
    schema.migrate(hyper.dsn)
    assert maintain(hyper, MONTH, NOW_NS).count("compression") > 0
    assert contents(hyper, *tables) == before


def test_a_chunk_that_a_writer_holds_is_compressed_the_next_time(hyper: Database) -> None:
    """Waiting for it would be for ever: that writer's second connection would wait behind us, which the server can't see."""
    with psycopg.connect(hyper.dsn) as writing:
        writing.execute("SET idle_in_transaction_session_timeout = '20s'")  # a maintainer that waits fails, it does not hang
        oldest = "SELECT chunk FROM chunks_to_compress('infinity') WHERE series = 'ohlcv_1min' LIMIT 1"
        writing.execute(f"LOCK TABLE {rows(hyper, oldest)[0][0]} IN ROW EXCLUSIVE MODE")
        report = maintain(hyper, Policy(compress_after_days=1), NOW_NS)
        assert [what.split(";")[0] for kind, what in report.done if kind == PUT_OFF] == ["compression: ohlcv_1min up to 2025-01-09"]
        writing.rollback()
    assert report.count("compression") > 3
    assert maintain(hyper, Policy(compress_after_days=1), NOW_NS).count("compression") == 1


def test_changed_chunks_are_compressed_again(hyper: Database) -> None:
    settled(hyper)
    count: Callable[[], object] = lambda: rows(hyper, "SELECT count(*) FROM chunks_to_compress('infinity')")[0][0]  # noqa: E731
    uncompressed = count()
    late = bars_of(range(22, 23), minutes=1)
    late["high"] += 7
    BarRepository(hyper).write(IDS, late, Source.BROKER, 9)
    RollupRepository(hyper).refresh()
    assert count() > uncompressed  # type: ignore[operator]
    assert maintain(hyper, MONTH, NOW_NS).count("compression") >= 2
    assert count() == uncompressed
