"""Forgetting what one source said of a day: the others' bars become the best again, and nothing else is touched."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from database_cases import make_known
from intraday.database.bars import BarRepository
from intraday.database.days import DayRepository
from intraday.database.digests import digests
from intraday.database.features import FeatureRepository
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.database.runs import RunRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, IST_NS, MINUTE_NS, Bars, empty
from intraday.domain.ports import FeatureSetRecord, RunDay, Source

pytestmark = pytest.mark.integration
OPEN = GRID_ORIGIN_NS + 7305 * DAY_NS  # 2020-01-03 09:15 IST
DAY = OPEN - (OPEN + IST_NS) % DAY_NS  # its midnight
IDS = [41, 7]
TIMEFRAMES = ("ohlcv_5min", "ohlcv_15min", "ohlcv_60min")


def bars_of(close: float, n: int = 70, start_ns: int = OPEN) -> Bars:
    bars = empty(BAR, 2 * n)
    bars["ts_ns"] = np.repeat(start_ns + MINUTE_NS * np.arange(n), 2)
    bars["inst"] = np.tile([0, 1], n)
    for name in ("open", "high", "low", "close"):
        bars[name] = close
    bars["volume"] = 10
    return bars


def longer(database: Database) -> dict[str, list[tuple[object, ...]]]:
    RollupRepository(database).refresh()
    with database.autocommit() as connection:
        return {
            t: connection.execute(f"SELECT instrument_id, ts, open, high, low, close, volume FROM {t} ORDER BY 1, 2").fetchall()
            for t in TIMEFRAMES
        }


def clear(database: Database, source: Source = Source.REPLAY) -> int:
    return DayRepository(database).clear(source, DAY, DAY + DAY_NS)


@pytest.fixture
def store(database: Database) -> BarRepository:
    return BarRepository(database)


@pytest.mark.parametrize("order", [(Source.IMPORT, Source.REPLAY), (Source.REPLAY, Source.IMPORT)])
def test_a_forgotten_replay_leaves_the_import_as_if_it_had_never_been(
    database: Database, store: BarRepository, order: tuple[Source, Source]
) -> None:
    prices = {Source.IMPORT: 100.0, Source.REPLAY: 200.0}
    store.write(IDS, bars_of(100.0), Source.IMPORT, 5)
    alone = {name: found.content for name, found in digests(database).items()}
    clear(database, Source.IMPORT)
    for known_ns, source in enumerate(order, start=5):
        store.write(IDS, bars_of(prices[source]), source, 5 if source is Source.IMPORT else known_ns)
    assert clear(database) == 140
    assert {name: found.content for name, found in digests(database).items()} == alone
    assert clear(database) == 0


@pytest.mark.parametrize("winner", [Source.TICK, Source.REPLAY, Source.IMPORT])
def test_the_next_best_version_is_promoted_with_its_timeframes(database: Database, store: BarRepository, winner: Source) -> None:
    """Whatever source is forgotten, best bars and longer bars are those of the sources that are left."""
    prices = {Source.TICK: 100.0, Source.REPLAY: 200.0, Source.IMPORT: 300.0}
    rest = {source: price for source, price in prices.items() if source is not winner}
    for source, price in rest.items():
        store.write(IDS, bars_of(price), source, 5)
    best, expected = store.read(IDS, 0, 2**62), longer(database)
    store.write(IDS, bars_of(prices[winner]), winner, 6)
    clear(database, winner)
    assert store.read(IDS, 0, 2**62).tolist() == best.tolist()
    assert longer(database) == expected
    assert len(store.read(IDS, 0, 2**62, winner)) == 0
    for source, price in rest.items():
        assert set(store.read(IDS, 0, 2**62, source)["close"]) == {price}


def test_superseded_versions_of_the_source_go_too(database: Database, store: BarRepository) -> None:
    store.write(IDS, bars_of(200.0), Source.REPLAY, 5)
    store.write(IDS, bars_of(201.0), Source.REPLAY, 6)
    store.write(IDS, bars_of(202.0), Source.REPLAY, 7)
    assert clear(database) == 3 * 140
    with database.autocommit() as connection:
        assert connection.execute("SELECT count(*) FROM bar_versions").fetchone() == (0,)
    assert longer(database) == {name: [] for name in TIMEFRAMES}


def test_other_days_stay_and_no_instrument_does(database: Database, store: BarRepository) -> None:
    store.write(IDS, bars_of(200.0), Source.REPLAY, 5)
    for start_ns in (OPEN - DAY_NS, OPEN + DAY_NS):
        store.write(IDS, bars_of(210.0, start_ns=start_ns), Source.REPLAY, 5)
    clear(database)
    left = store.read(IDS, 0, 2**62)
    assert len(left) == 4 * 70 and not ((left["ts_ns"] >= DAY) & (left["ts_ns"] < DAY + DAY_NS)).any()
    RollupRepository(database).refresh()
    with database.autocommit() as connection:
        rows = connection.execute("SELECT instrument_id, count(*) FROM ohlcv_60min GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [(7, 4), (41, 4)]


def test_vectors_of_the_source_go_and_others_stay(database: Database) -> None:
    features = FeatureRepository(database)
    features.register(FeatureSetRecord("a" * 16, 5, ("x",), "{}"))
    ts, inst, x = np.array([OPEN, OPEN + DAY_NS]), np.zeros(2, np.int32), np.ones((2, 1), np.float32)
    for source in (Source.IMPORT, Source.REPLAY):
        features.write("a" * 16, source, IDS, ts, inst, x)
    assert clear(database) == 1
    assert features.read("a" * 16, Source.REPLAY, IDS, 0, 2**62)[0].tolist() == [OPEN + DAY_NS]
    assert len(features.read("a" * 16, Source.IMPORT, IDS, 0, 2**62)[0]) == 2


@pytest.mark.parametrize("minute", [1, 7, 30, 63])
def test_the_rest_of_a_day_is_forgotten_and_its_start_stays(database: Database, store: BarRepository, minute: int) -> None:
    """A live run that starts within the session replaces nothing from before it; longer bars are those of what is left."""
    store.write(IDS, bars_of(100.0, minute), Source.TICK, 5)
    alone = longer(database)
    clear(database, Source.TICK)
    store.write(IDS, bars_of(100.0), Source.TICK, 5)
    gone = DayRepository(database).clear(Source.TICK, OPEN + minute * MINUTE_NS, DAY + DAY_NS)
    assert gone == 2 * (70 - minute)
    assert longer(database) == alone
    assert len(store.read(IDS, DAY, DAY + DAY_NS, Source.TICK)) == 2 * minute


def test_a_day_that_is_cleared_in_part_has_no_whole_run_any_more(database: Database) -> None:
    make_known(database, runs=["r"])
    runs = RunRepository(database)
    day = datetime.fromtimestamp(OPEN // 10**9, timezone(timedelta(hours=5, minutes=30))).date()
    for source in (Source.TICK, Source.REPLAY):
        runs.save_day(RunDay("r", source, day, "journal", "f", "m", (41,), 5))
    DayRepository(database).clear(Source.TICK, OPEN + 7 * MINUTE_NS, DAY + DAY_NS)
    assert [run.source for run in runs.days()] == [Source.REPLAY]
