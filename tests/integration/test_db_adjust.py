"""Corporate actions in SQL: adjusted views against the pure function, bit for bit; what was known when; why versions go."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from intraday.core.actions import adjusted
from intraday.database import schema
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty
from intraday.domain.corporate import Action, ActionKind
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import Source, WriteReport
from intraday.domain.session import SessionTable, midnight_ns
from schema_cases import make_filled

pytestmark = pytest.mark.integration
SESSIONS = SessionTable.load()
DAYS = [s.day for s in SESSIONS.between(date(2024, 5, 27), date(2024, 6, 5))]
KNOWN = midnight_ns(date(2024, 5, 1))
VALUES = ("open", "high", "low", "close", "volume")


@pytest.fixture
def stores(database: Database) -> Stores:
    return Stores(database)


@pytest.fixture
def ids(stores: Stores) -> list[int]:
    """A stock with actions, an index, a stock without."""
    wanted = [Instrument("NSE", "INFY"), Instrument("NSE", "NIFTY 50", Kind.INDEX), Instrument("NSE", "TCS")]
    return [i.id for i in stores.instruments.upsert(wanted)]


def random_bars(n_instruments: int = 3) -> Bars:
    """Thirty minutes a day; prices with all their bits."""
    rng = np.random.default_rng(4)
    minutes = np.concatenate([SESSIONS.get(day).open_ns + MINUTE_NS * np.arange(30) for day in DAYS])
    bars = empty(BAR, minutes.size * n_instruments)
    bars["ts_ns"], bars["inst"] = np.repeat(minutes, n_instruments), np.tile(np.arange(n_instruments), minutes.size)
    bars["close"] = 100 * np.exp(rng.normal(0, 0.1, bars.size))
    bars["open"] = bars["close"] * np.exp(rng.normal(0, 0.01, bars.size))
    bars["high"], bars["low"] = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])
    bars["volume"] = np.where(bars["inst"] == 1, np.nan, rng.integers(1, 10_000, bars.size))
    return bars


def action(number: int, day: date, kind: str, price: float, volume: float, known_ns: int = KNOWN) -> Action:
    return Action(number, day, ActionKind(kind), price, volume, "terms", "test", known_ns)


def in_sql(database: Database, query: str, *args: Any) -> Bars:
    with database.autocommit() as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        rows = connection.execute(query, args or None).fetchall()
    bars = empty(BAR, len(rows))
    for k, (ts, *values) in enumerate(rows):
        bars[k]["ts_ns"] = int(ts.timestamp()) * 10**9
        for name, value in zip(VALUES, values, strict=True):
            bars[k][name] = np.nan if value is None else value
    return bars


AS_OF = "SELECT ts, open, high, low, close, volume FROM ohlcv_1min_as_of(%s) WHERE instrument_id = %s ORDER BY ts"


def test_views_and_the_pure_function_give_the_same_bits(stores: Stores, database: Database, ids: list[int]) -> None:
    raw = random_bars()
    stores.bars.write(ids, raw, Source.IMPORT, KNOWN)
    stores.rollups.refresh()
    told = [
        action(ids[0], DAYS[2], "split", 0.2, 5.0),
        action(ids[0], DAYS[2], "bonus", 1 / 3, 3.0),
        action(ids[0], DAYS[4], "dividend", 0.987654321, 1.0),
        action(ids[0], DAYS[6], "rights", 0.912345678, 1.1),
        action(ids[1], DAYS[3], "other", 0.9, 1.0),
    ]
    stores.corporate.add(told, KNOWN)
    for day in DAYS:
        until = raw[raw["ts_ns"] < midnight_ns(day + timedelta(1))]
        expected = adjusted(until, ids, told, day)
        for row, number in enumerate(ids):
            own = expected[expected["inst"] == row]
            found = in_sql(database, AS_OF, day, number)
            for name in ("ts_ns", *VALUES):
                assert np.array_equal(found[name], own[name], equal_nan=True), (day, number, name)
    newest = in_sql(
        database, "SELECT ts, open, high, low, close, volume FROM ohlcv_1min_adjusted WHERE instrument_id = %s ORDER BY ts", ids[0]
    )
    assert newest.tobytes() == in_sql(database, AS_OF, DAYS[-1], ids[0]).tobytes()
    with database.autocommit() as connection:
        for name in ("1min", "5min", "15min", "60min"):
            pairs = connection.execute(
                f"""SELECT count(*), count(*) FILTER (WHERE a.close = b.close * a.price_factor AND a.price_factor < 1)
                    FROM ohlcv_{name}_adjusted a JOIN ohlcv_{name} b USING (instrument_id, ts)
                    WHERE instrument_id = {ids[0]} AND ts < '{DAYS[6]} 00:00+05:30'"""
            ).fetchone()
            assert pairs is not None
            assert pairs[0] == pairs[1] > 0, name
    assert stores.bars.read(ids, 0, 2**62).tobytes() == raw.tobytes()  # raw bars are as they were


def test_an_action_of_the_future_adjusts_nothing(stores: Stores, database: Database, ids: list[int]) -> None:
    """Announced, but not gone ex: neither the views of today nor those of an earlier day may know it."""
    stores.bars.write(ids, random_bars(), Source.IMPORT, KNOWN)
    stores.corporate.add([action(ids[0], date(2027, 6, 1), "split", 0.5, 2.0), action(ids[0], DAYS[5], "split", 0.5, 2.0)], KNOWN)
    with database.autocommit() as connection:
        assert connection.execute("SELECT min(price_factor) FROM ohlcv_1min_adjusted").fetchone() == (0.5,)
        before = connection.execute("SELECT count(*), min(price_factor) FROM ohlcv_1min_as_of(%s)", (DAYS[4],)).fetchone()
        assert before == (5 * 90, 1.0)


def test_what_was_known_stays_known(stores: Stores, database: Database, ids: list[int]) -> None:
    s, second = stores.corporate, 10**9
    split = action(ids[0], DAYS[5], "split", 0.5, 2.0)
    assert s.add([split], KNOWN) == WriteReport(inserted=1)
    assert s.add([split], KNOWN + second) == WriteReport(unchanged=1)
    wrong = action(ids[0], DAYS[5], "split", 0.2, 5.0)
    assert s.add([wrong], KNOWN + 2 * second) == WriteReport(revised=1)  # known from then on, whatever it says
    assert s.remove(ids[0], DAYS[5], ActionKind.BONUS, KNOWN + 3 * second) == 0
    assert s.remove(ids[0], DAYS[5], None, KNOWN + 3 * second) == 1
    assert s.actions() == []
    assert s.add([split], KNOWN + 4 * second) == WriteReport(inserted=1)  # told again: not before it was taken back

    def factor(known_ns: int) -> list[float]:
        return [a.price_factor for a in s.actions([ids[0]], known_ns)]

    seen = [factor(KNOWN + k * second // 2) for k in range(-1, 9)]
    assert seen == [[], [0.5], [0.5], [0.5], [0.5], [0.2], [0.2], [0.5], [0.5], [0.5]]
    with database.autocommit() as connection:
        for k in range(-1, 9):
            rows = connection.execute(
                "SELECT price_factor FROM adjustments(%s, to_timestamp(%s))", (DAYS[6], (KNOWN + k * second // 2) / 1e9)
            ).fetchall()
            assert [x for (x,) in rows] == factor(KNOWN + k * second // 2)
        assert connection.execute("SELECT count(*) FROM corporate_actions_readable WHERE symbol = 'INFY'").fetchone() == (3,)


BROKEN = [
    ("0, 1", "price_factor"),
    ("'infinity', 1", "price_factor"),
    ("'nan', 1", "price_factor"),
    ("1, -1", "volume_factor"),
]


@pytest.mark.parametrize(("factors", "column"), BROKEN)
def test_factors_that_can_not_be(dsn: str, ids: list[int], factors: str, column: str) -> None:
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.errors.CheckViolation, match=column):
        connection.execute(
            f"INSERT INTO corporate_actions VALUES ({ids[0]}, '2024-06-03', 'split', 1, {factors}, '', '', now())".encode()
        )


def one_bar(**other: float) -> Bars:
    bars = empty(BAR, 1)
    bars["ts_ns"] = SESSIONS.get(DAYS[0]).open_ns
    for name, value in {"open": 100.0, "high": 102.0, "low": 99.0, "close": 101.0, "volume": 500.0, **other}.items():
        bars[name] = value
    return bars


def scaled(factor: float) -> Bars:
    return one_bar(**{name: round(value * factor, 2) for name, value in zip(VALUES, (100.0, 102.0, 99.0, 101.0), strict=False)})


WHY = [
    (Source.BROKER, one_bar(), Source.BROKER, one_bar(close=100.5), "fetched again"),
    (Source.BROKER, one_bar(), Source.BROKER, one_bar(volume=501.0), "fetched again"),
    (Source.BROKER, one_bar(), Source.BROKER, scaled(0.2), "rescaled"),
    (Source.BROKER, one_bar(), Source.BROKER, scaled(0.99), "fetched again"),
    (Source.IMPORT, one_bar(), Source.IMPORT, one_bar(low=98.0), "imported again"),
    (Source.IMPORT, one_bar(), Source.BROKER, one_bar(low=98.0), "better source"),
    (Source.BROKER, one_bar(), Source.TICK, one_bar(low=98.0), "worse source"),
    (Source.TICK, one_bar(), Source.TICK, one_bar(close=100.5, flags=2), "late"),
    (Source.TICK, one_bar(), Source.TICK, one_bar(close=100.5), "changed"),
]


@pytest.mark.parametrize(("source", "first", "other", "second", "reason"), WHY)
def test_a_version_that_is_put_aside_says_why(
    stores: Stores, database: Database, ids: list[int], source: Source, first: Bars, other: Source, second: Bars, reason: str
) -> None:
    stores.bars.write(ids[:1], first, source, KNOWN)
    stores.bars.write(ids[:1], second, other, KNOWN + 10**9)
    with database.autocommit() as connection:
        rows = connection.execute("SELECT best, reason FROM bar_versions ORDER BY best").fetchall()
        shown = connection.execute(
            "SELECT symbol, reason, best_close, close <> best_close OR low <> best_low OR volume <> best_volume FROM bar_revisions"
        ).fetchall()
    assert rows == [(False, reason), (True, None)]
    best = first if reason == "worse source" else second
    assert shown == [("INFY", reason, float(best["close"][0]), True)]


def test_an_older_word_of_the_same_source(stores: Stores, database: Database, ids: list[int]) -> None:
    stores.bars.write(ids[:1], one_bar(), Source.IMPORT, KNOWN)
    stores.bars.write(ids[:1], one_bar(close=100.5), Source.IMPORT, KNOWN - 10**9)
    with database.autocommit() as connection:
        assert connection.execute("SELECT close, reason FROM bar_superseded").fetchall() == [(100.5, "known before")]


def test_a_filled_database_gets_it_and_gives_it_back(empty_dsn: str) -> None:
    """From the release before, with compressed chunks where there are any: versions stay; the way down says what it would lose."""
    make_filled(empty_dsn, "0002")
    schema.migrate(empty_dsn, "0007")
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
            n = connection.execute("SELECT count(compress_chunk(c)) FROM show_chunks('bar_superseded') c").fetchone()
            assert n is not None
            assert n[0] > 0
        versions = "SELECT count(*), sum(close), max(version) FROM bar_versions"
        before = connection.execute(versions).fetchone()
        schema.migrate(empty_dsn)
        assert connection.execute(versions).fetchone() == before
        assert connection.execute("SELECT DISTINCT reason FROM bar_superseded").fetchall() == [(None,)]
        number, ts = connection.execute("SELECT instrument_id, ts FROM ohlcv_1min WHERE source = 'broker' LIMIT 1").fetchone() or (
            0,
            0,
        )
        connection.execute(
            """SELECT store_bars('broker', now(), ARRAY[%s]::integer[], ARRAY[%s]::timestamptz[], '{1}', '{2}', '{1}', '{2}', '{3}',
                                 '{0}', '{0}')""",
            (number, ts),
        )
        assert connection.execute("SELECT count(*) FROM bar_superseded WHERE reason = 'fetched again'").fetchone() == (1,)
        connection.execute(
            "INSERT INTO corporate_actions VALUES (%s, '2024-01-31', 'split', 1, 0.5, 2, '1:2', 'test', now())", (number,)
        )
        with pytest.raises(Exception, match="way down from revision 0008 loses the rows of corporate_actions"):
            schema.migrate(empty_dsn, "0007")
        schema.migrate(empty_dsn, "0007", lose_data=True)
        assert connection.execute("SELECT count(*) FROM bar_superseded").fetchone() == (before[0] - minutes(connection) + 1,)  # type: ignore[index]


def minutes(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM ohlcv_1min").fetchone()
    assert row is not None
    return int(row[0])
