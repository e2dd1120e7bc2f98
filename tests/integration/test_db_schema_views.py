"""The views that people ask for, against plain Python on the same rows; and how long they take on two million bars."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from intraday.database import schema
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from schema_cases import make_filled

pytestmark = pytest.mark.integration
IST = timezone(timedelta(hours=5, minutes=30))
# A halt, a Muhurat evening, two days of the closing auction (7 is in it, by the first list of all), and a day nobody's table has.
MORE = """
INSERT INTO sessions SELECT d, d - date '1970-01-01', (d + a) AT TIME ZONE 'Asia/Kolkata', (d + b) AT TIME ZONE 'Asia/Kolkata',
    (d + b) AT TIME ZONE 'Asia/Kolkata', k, p FROM (VALUES
    ('2024-02-02'::date, '09:15'::time, '15:30'::time, 'halt', '[[1706850600000000000, 1706853600000000000]]'::jsonb),
    ('2026-08-03', '09:15', '15:30', 'regular', '[]'), ('2026-08-04', '18:00', '19:00', 'muhurat', '[]'),
    ('2026-08-05', '09:15', '15:30', 'regular', '[]')) AS s (d, a, b, k, p);
INSERT INTO member_lists VALUES ('flag', 'closing_auction', '2026-08-05', 'test');
INSERT INTO instrument_flags VALUES (7, 'closing_auction', '2026-08-05', NULL, NULL, 'test');
INSERT INTO instruments VALUES (500, 'NSE', 'GONE', 'equity', 5, 1), (501, 'NSE', 'QUIET', 'equity', 5, 1),
    (502, 'BSE', 'NEW', 'equity', 5, 1);
SELECT ensure_partitions('ohlcv_1min', t, t) FROM unnest(ARRAY['2024-03-01', '2026-07-01', '2026-08-01']::timestamptz[]) AS t;
SELECT store_bars('broker', '2026-09-01', array_agg(i), array_agg(t), array_agg(10), array_agg(11), array_agg(9), array_agg(10),
                  array_agg(5), array_agg(0), array_agg(f::smallint))
FROM (VALUES (7, '2024-02-02 09:15+05:30'::timestamptz, 1), (7, '2024-02-02 15:29+05:30', 3), (7, '2026-08-03 15:14+05:30', 0),
    (7, '2026-08-04 18:10+05:30', 0), (7, '2026-08-05 09:15+05:30', 0), (41, '2026-08-05 15:29+05:30', 0),
    (41, '2024-03-02 10:00+05:30', 0), (500, '2026-07-26 15:28+05:30', 0), (501, '2026-07-26 15:29+05:30', 0)) AS b (i, t, f);
SELECT note_rollups('{7,41,500,501}', '2024-02-02', '2026-08-06')"""


@pytest.fixture
def filled(empty_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with a little of everything."""
    make_filled(empty_dsn, "0002")
    schema.migrate(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute(MORE)
        with Database(empty_dsn) as database:
            RollupRepository(database).refresh()
        yield connection


def day_of(at: datetime) -> date:
    return at.astimezone(IST).date()


def by_symbol(connection: psycopg.Connection[Any]) -> dict[int, tuple[str, str]]:
    return {i: (x, s) for i, x, s in connection.execute("SELECT id, exchange, symbol FROM instruments").fetchall()}


def test_coverage_by_day(filled: psycopg.Connection[Any]) -> None:
    names = by_symbol(filled)
    held: Counter[tuple[int, date]] = Counter()
    for instrument, at in filled.execute("SELECT instrument_id, ts FROM ohlcv_1min").fetchall():
        held[instrument, day_of(at)] += 1
    spans = {i: (min(d for j, d in held if j == i), max(d for j, d in held if j == i)) for i, _ in held}
    full = {}
    for day, a, b, kind, pauses in filled.execute("SELECT day, open_ts, close_ts, kind, pauses FROM sessions").fetchall():
        pause = sum(end - start for start, end in pauses) // 60_000_000_000
        for i, (first, last) in spans.items():
            if first <= day <= last:
                auction = 15 if i == 7 and day >= date(2026, 8, 3) and kind != "muhurat" else 0
                full[i, day] = (b - a) // timedelta(minutes=1) - pause - auction
    wanted = {
        (*names[i], day, held[i, day], full.get((i, day)), max(full[i, day] - held[i, day], 0) if (i, day) in full else None, i)
        for i, day in held.keys() | full.keys()
    }
    assert set(filled.execute("SELECT * FROM coverage_by_day").fetchall()) == wanted
    one = {(day, bars, expected) for _, symbol, day, bars, expected, _, _ in wanted if symbol == "INFY"}
    assert one >= {(date(2024, 2, 2), 2, 325), (date(2026, 8, 3), 1, 360), (date(2026, 8, 4), 1, 60), (date(2026, 8, 5), 1, 360)}
    assert ("NSE", "RELIANCE", date(2024, 3, 2), 1, None, None, 41) in wanted, "a day that sessions does not have"
    assert ("NSE", "RELIANCE", date(2026, 8, 3), 0, 375, 375, 41) in wanted, "a whole session is missing"


def test_latest_bars(filled: psycopg.Connection[Any]) -> None:
    names = by_symbol(filled)
    last: dict[int, Any] = {}
    for row in filled.execute("SELECT instrument_id, ts, close, source, version FROM ohlcv_1min ORDER BY ts").fetchall():
        last[row[0]] = row
    newest = max(row[1] for row in last.values())
    wanted = [(*names[i], row[1], row[2]) for i, row in last.items() if newest - row[1] <= timedelta(days=10)]
    found = filled.execute("SELECT exchange, symbol, ts, close FROM latest_bars").fetchall()
    assert sorted(found) == sorted(wanted)
    assert {row[1] for row in found} == {"INFY", "RELIANCE", "QUIET"}, "GONE is a minute too old, NIFTY 50 and NEW by far"
    assert len(filled.execute("SELECT * FROM newest_bars(4000)").fetchall()) == 5


def test_latest_bars_of_an_empty_database(database: Database) -> None:
    with database.autocommit() as connection:
        assert connection.execute("SELECT count(*) FROM latest_bars").fetchone() == (0,)


def test_data_quality(filled: psycopg.Connection[Any]) -> None:
    names = by_symbol(filled)
    wanted: Counter[tuple[Any, ...]] = Counter()
    for i, at, n, reason in filled.execute("SELECT instrument_id, start_ts, n_minutes, reason FROM candle_gaps").fetchall():
        wanted[(*names[i], day_of(at), "gap", reason, i)] += n
    for i, at, source in filled.execute("SELECT instrument_id, ts, source::text FROM bar_superseded").fetchall():
        wanted[(*names[i], day_of(at), "superseded", source, i)] += 1
    for i, at, flags, source in filled.execute("SELECT instrument_id, ts, flags, source::text FROM ohlcv_1min").fetchall():
        for bit, what in ((1, "partial"), (2, "late")):
            if flags & bit:
                wanted[(*names[i], day_of(at), what, source, i)] += 1
    for symbol, at, reason in filled.execute("SELECT symbol, ts, reason FROM quarantine").fetchall():
        wanted[None, symbol, None if at is None else day_of(at), "quarantined", reason, None] += 1
    found = filled.execute("SELECT exchange, symbol, day, what, reason, instrument_id, n FROM data_quality").fetchall()
    assert {row[:-1]: row[-1] for row in found} == wanted
    assert {row[3] for row in found} == {"gap", "superseded", "late", "partial", "quarantined"}


def test_model_scoreboard(filled: psycopg.Connection[Any]) -> None:
    """Without outcomes, and with some that could not be entered."""
    filled.execute(
        """INSERT INTO models (id, feature_set_id, label_set_id, path, verdict, trained_from, trained_to, manifest)
           VALUES ('m2', 'f5', 'tb1', 'models/m2', 'no tradable edge', '2024-01-30', '2024-01-31', '{}')"""
    )
    columns = "model_id, verdict, source::text, signals, trades, outcomes, hit_rate, mean_ret_net"
    query = f"SELECT {columns} FROM model_scoreboard ORDER BY model_id"
    assert filled.execute(query).fetchall() == [
        ("m1", "edge", "replay", 63, 21, 0, None, None),
        ("m2", "no tradable edge", None, 0, 0, 0, None, None),
    ]
    rows = [(7, 0.01), (41, -0.02), (300, 0.04), (7, None)]
    for k, (instrument, gain) in enumerate(rows):
        filled.execute(
            "INSERT INTO signal_outcomes (source, model_id, instrument_id, ts, ret_net) VALUES ('replay', 'm1', %s, %s, %s)",
            (instrument, datetime(2024, 2, 1, 4, k, tzinfo=UTC), gain),
        )
    found = filled.execute(query).fetchall()[0]
    assert found[:6] == ("m1", "edge", "replay", 63, 21, 3)
    assert found[6:] == pytest.approx((2 / 3, 0.01))


def test_todays_signals(filled: psycopg.Connection[Any]) -> None:
    """By the Indian clock: its midnight is 18:30 UTC."""
    with filled.transaction():
        row = filled.execute("SELECT now()").fetchone()
        assert row is not None
        midnight = row[0].astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
        for at in (-1, 0, 24 * 60 - 1, 24 * 60):
            when = midnight + timedelta(minutes=at)
            filled.execute("SELECT ensure_partitions('signals', %s, %s)", (when, when))
            filled.execute(
                """INSERT INTO signals SELECT instrument_id, %s, source, observe, decided_ns, valid_until_ns, confidence, p_down,
                     p_hold, p_up, price, stop, target, action, model_id, feature_set_id, run_id
                   FROM signals WHERE instrument_id = 7 LIMIT 1""",
                (when,),
            )
        found = filled.execute("SELECT bar_closed, symbol FROM todays_signals ORDER BY 1").fetchall()
        readable = "SELECT * FROM signals_readable WHERE bar_closed BETWEEN %s AND %s ORDER BY bar_closed"
        first, last = midnight + timedelta(minutes=5), midnight + timedelta(minutes=24 * 60 + 4)
        same = filled.execute(readable, (first, last)).fetchall()
        assert filled.execute("SELECT * FROM todays_signals ORDER BY bar_closed").fetchall() == same
    assert found == [(midnight + timedelta(minutes=m), "INFY") for m in (5, 24 * 60 + 4)]


def test_gaps_and_runs(filled: psycopg.Connection[Any]) -> None:
    assert filled.execute("SELECT exchange, symbol, day, n_minutes, reason FROM gaps_readable").fetchall() == [
        ("NSE", "INFY", date(2024, 1, 30), 1, "no candle")
    ]
    older = "SELECT 'x' || k, 'live', '{}', '2020-01-01' FROM generate_series(1, 60) k"
    filled.execute(f"INSERT INTO runs (id, command, config, started_at) {older}")
    found = filled.execute("SELECT id, command, status, took, days FROM runs_recent").fetchall()
    assert len(found) == 50
    assert found[0] == ("r1", "replay", "ok", timedelta(minutes=5), [date(2024, 2, 1)])
    assert found[1] == ("x1", "live", "running", None, None)


def test_latest_bars_looks_at_few_partitions(filled: psycopg.Connection[Any]) -> None:
    """Twelve years of months or weeks: an unbounded search would open them all."""
    years: dict[int, int] = defaultdict(int)
    with filled.transaction():
        for year in range(2012, 2024):
            for month in range(1, 13):
                at = datetime(year, month, 3, 4, 0, tzinfo=UTC)
                filled.execute("SELECT ensure_partitions('ohlcv_1min', %s, %s)", (at, at))
                filled.execute("INSERT INTO ohlcv_1min VALUES (7, %s, 1, 1, 1, 1, 1, 0, 1, %s, 'import', 0)", (at, at))
                years[year] += 1
    with filled.transaction():
        filled.execute("SELECT count(*) FROM latest_bars")
        row = filled.execute(
            """SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
               WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND (c.relname LIKE 'ohlcv_1min_y%' OR c.relname LIKE '%chunk')"""
        ).fetchone()
    assert row is not None
    assert sum(years.values()) == 144
    assert 0 < row[0] < 10
