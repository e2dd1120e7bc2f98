from __future__ import annotations

import threading
from datetime import date

import numpy as np
import pytest

from chunk_cases import compress_all
from database_cases import make_known
from intraday.database.bars import BarRepository
from intraday.database.digests import digest, digests
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, Bars, empty
from intraday.domain.errors import StorageError
from intraday.domain.ports import Gap, Quarantined, Source, WriteReport

pytestmark = pytest.mark.integration
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS  # 2020-01-03 09:15 IST
IDS = [41, 7, 300]
ALWAYS = (-(2**63), 2**63 - 1)


def bars_of(n: int = 30, instruments: int = 3, start_ns: int = DAY, seed: int = 1, index_rows: tuple[int, ...] = (2,)) -> Bars:
    """``n`` minutes of each instrument, valid in every way; the instruments of ``index_rows`` have no volume."""
    rng = np.random.default_rng(seed)
    bars = empty(BAR, n * instruments)
    bars["ts_ns"] = np.repeat(start_ns + MINUTE_NS * np.arange(n), instruments)
    bars["inst"] = np.tile(np.arange(instruments), n)
    bars["open"], bars["close"] = np.round(rng.uniform(100, 200, (2, bars.shape[0])), 2)
    bars["high"] = np.maximum(bars["open"], bars["close"]) + 0.05
    bars["low"] = np.minimum(bars["open"], bars["close"]) - 0.05
    bars["volume"] = rng.integers(0, 2**40, bars.shape[0])
    bars["volume"][np.isin(bars["inst"], index_rows)] = np.nan
    bars["n_ticks"] = rng.integers(0, 100, bars.shape[0])
    bars["flags"] = rng.integers(0, 8, bars.shape[0])
    return bars


def assert_same(found: Bars, wanted: Bars) -> None:
    """Equal bit for bit: missing volumes too."""
    assert found.dtype == wanted.dtype
    assert found.tolist() == wanted.tolist() or found.tobytes() == wanted.tobytes()


def versions(database: Database, where: str = "true") -> list[tuple[object, ...]]:
    with database.autocommit() as connection:
        return connection.execute(
            f"SELECT source::text, version, best, close FROM bar_versions WHERE {where} ORDER BY source, version"
        ).fetchall()


@pytest.fixture
def store(database: Database) -> BarRepository:
    return BarRepository(database)


def test_bars_come_back_as_they_went_in(store: BarRepository) -> None:
    bars = bars_of(400)
    rng = np.random.default_rng(2)
    report = store.write(IDS, rng.permutation(bars), Source.IMPORT, 5)
    assert report == WriteReport(inserted=1200)
    assert_same(store.read(IDS, *ALWAYS), bars)
    assert_same(store.read(IDS, *ALWAYS, Source.IMPORT), bars)
    assert store.read(IDS, *ALWAYS, Source.TICK).shape == (0,)
    some = store.read([300, 41], DAY + MINUTE_NS, DAY + 3 * MINUTE_NS)  # another order of rows, an exclusive end
    wanted = bars[(bars["inst"] != 1) & (bars["ts_ns"] >= DAY + MINUTE_NS) & (bars["ts_ns"] < DAY + 3 * MINUTE_NS)]
    wanted["inst"] = np.where(wanted["inst"] == 0, 1, 0)
    assert_same(some, wanted[np.lexsort((wanted["inst"], wanted["ts_ns"]))])


def test_the_same_write_again_touches_no_row(store: BarRepository, database: Database) -> None:
    bars = bars_of(300)
    store.write(IDS, bars, Source.IMPORT, 5)
    before = digests(database)
    assert store.write(IDS, bars, Source.IMPORT, 9) == WriteReport(unchanged=900)
    assert digests(database) == before  # xmin included


def test_an_overlap_stores_only_what_is_new(store: BarRepository) -> None:
    bars = bars_of(100)
    store.write(IDS, bars[:150], Source.IMPORT, 5)
    assert store.write(IDS, bars[90:], Source.IMPORT, 6) == WriteReport(inserted=150, unchanged=60)
    assert_same(store.read(IDS, *ALWAYS), bars)


def test_other_values_of_a_source_become_a_new_version(store: BarRepository, database: Database) -> None:
    bars = bars_of(2, 1)
    store.write(IDS, bars, Source.TICK, 1_000_000)
    late = bars[:1].copy()
    late["close"] += 1
    assert store.write(IDS, late, Source.TICK, 2_000_000) == WriteReport(revised=1)
    assert store.read(IDS, *ALWAYS)["close"].tolist() == [late["close"][0], bars["close"][1]]
    at = f"ts = to_timestamp({DAY // 10**9})"
    assert versions(database, at) == [("tick", 1, False, bars["close"][0]), ("tick", 2, True, late["close"][0])]


def test_a_change_of_any_value_is_noticed(store: BarRepository) -> None:
    bars = bars_of(1, 1)
    store.write(IDS, bars, Source.IMPORT, 1_000_000)
    for k, name in enumerate(("open", "high", "low", "close", "volume", "flags", "n_ticks")):
        bars[name] += 1
        assert store.write(IDS, bars, Source.IMPORT, (k + 2) * 1_000_000) == WriteReport(revised=1), name
        assert_same(store.read(IDS, *ALWAYS), bars)
    bars["volume"] = np.nan
    assert store.write(IDS, bars, Source.IMPORT, 20_000_000) == WriteReport(revised=1)
    assert store.write(IDS, bars, Source.IMPORT, 21_000_000) == WriteReport(unchanged=1)


def test_a_rerun_with_late_bars_changes_nothing(store: BarRepository, database: Database) -> None:
    """What was said stays said: the first version again, with the time it was known, is recognised although a later one is best."""
    first = bars_of(5, 2)
    late = first[4:6].copy()
    late["high"] += 2

    def run() -> WriteReport:
        return store.write(IDS, first, Source.REPLAY, 10**15) + store.write(IDS, late, Source.REPLAY, 2 * 10**15)

    assert run() == WriteReport(inserted=10, revised=2)
    before = digests(database)
    assert run() == WriteReport(unchanged=12)
    assert digests(database) == before


def test_an_older_version_that_arrives_late_is_kept_but_not_best(store: BarRepository, database: Database) -> None:
    new = bars_of(1, 1)
    old = new.copy()
    old["close"] += 1
    store.write(IDS, new, Source.BROKER, 2_000_000)
    assert store.write(IDS, old, Source.BROKER, 1_000_000) == WriteReport(revised=1)
    assert_same(store.read(IDS, *ALWAYS), new)
    assert_same(store.read(IDS, *ALWAYS, Source.BROKER), new)
    assert [v[2] for v in versions(database)] == [True, False]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_sources_never_overwrite_each_other(store: BarRepository, database: Database, order: tuple[int, ...]) -> None:
    sources = (Source.BROKER, Source.IMPORT, Source.TICK, Source.REPLAY)
    made = [bars_of(20, seed=k) for k in range(4)]
    for k in order:
        assert store.write(IDS, made[k], sources[k], 7) == WriteReport(inserted=60)
    assert_same(store.read(IDS, *ALWAYS), made[0])  # broker is the best of them
    for k in range(4):
        assert_same(store.read(IDS, *ALWAYS, sources[k]), made[k])
    before = digests(database)
    for k in order:
        assert store.write(IDS, made[k], sources[k], 8) == WriteReport(unchanged=60)
    assert digests(database) == before
    assert len(versions(database)) == 240


def rollup(bars: Bars, minutes: int) -> dict[tuple[int, int], tuple[float, ...]]:
    """Bars on the 09:15 IST grid in plain Python."""
    out: dict[tuple[int, int], list[Bars]] = {}
    for bar in bars:
        step = minutes * MINUTE_NS
        out.setdefault((IDS[bar["inst"]], int((bar["ts_ns"] - GRID_ORIGIN_NS) // step * step + GRID_ORIGIN_NS)), []).append(bar)
    return {
        key: (
            rows[0]["open"], max(r["high"] for r in rows), min(r["low"] for r in rows), rows[-1]["close"],
            -1.0 if np.isnan(rows[0]["volume"]) else sum(r["volume"] for r in rows), sum(r["n_ticks"] for r in rows), len(rows),
        )
        for key, rows in out.items()
    }  # fmt: skip


def stored_rollup(database: Database, minutes: int) -> dict[tuple[int, int], tuple[float, ...]]:
    RollupRepository(database).refresh()
    with database.autocommit() as connection:
        rows = connection.execute(
            f"""SELECT instrument_id, (extract(epoch FROM ts) * 1000000000)::bigint, open, high, low, close,
                       coalesce(volume, -1)::float8, n_ticks, n_minutes FROM ohlcv_{minutes}min"""
        ).fetchall()
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


@pytest.mark.parametrize("minutes", [5, 15, 60])
def test_timeframes_follow_every_kind_of_write(store: BarRepository, database: Database, minutes: int) -> None:
    """In pieces that cut buckets, with holes, an evening session off the grid, a revision and a better source."""
    rng = np.random.default_rng(3)
    evening = DAY + DAY_NS + 537 * MINUTE_NS  # 18:12 IST
    bars = np.concatenate([bars_of(375), bars_of(60, start_ns=evening, seed=9)])
    bars = bars[rng.random(bars.shape[0]) > 0.2]
    for piece in np.array_split(bars, 7):
        store.write(IDS, piece, Source.IMPORT, 5)
    assert stored_rollup(database, minutes) == rollup(bars, minutes)
    revised = bars[100:400:7].copy()
    revised["high"] += 5
    store.write(IDS, revised, Source.BROKER, 6)
    bars[100:400:7] = revised
    assert stored_rollup(database, minutes) == rollup(bars, minutes)
    store.write(IDS, bars_of(375, seed=4), Source.REPLAY, 7)  # fills the holes, replaces nothing
    assert stored_rollup(database, minutes) == rollup(store.read(IDS, *ALWAYS), minutes)


def test_two_bars_for_one_minute_are_our_own_mistake(store: BarRepository, database: Database) -> None:
    bars = bars_of(3, 1)
    with pytest.raises(AssertionError, match="two bars for one minute"):
        store.write(IDS, np.concatenate([bars, bars[:1]]), Source.IMPORT, 5)
    assert digest(database, "ohlcv_1min").rows == 0


def test_an_error_leaves_nothing_half_written(store: BarRepository, database: Database) -> None:
    bars = bars_of(200_000, 1)
    bars["n_ticks"][-1] = 0
    with database.autocommit() as connection:
        connection.execute("ALTER TABLE rollup_pending ADD CHECK (from_ts < '1990-01-01')")  # refuses late
    with pytest.raises(StorageError, match="refused"):
        store.write(IDS, bars, Source.IMPORT, 5)
    assert all(found.rows == 0 for found in digests(database).values())


def test_writers_of_the_same_instrument_take_turns(database: Database) -> None:
    """Eight threads write interleaved minutes of the same buckets; every bucket ends complete."""
    bars = bars_of(120)
    errors: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for piece in np.array_split(bars[k::8], 3):
                BarRepository(database).write(IDS, piece, Source.IMPORT, 5)
        except BaseException as error:  # noqa: BLE001  shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert_same(BarRepository(database).read(IDS, *ALWAYS), bars)
    for minutes in (5, 15, 60):
        assert stored_rollup(database, minutes) == rollup(bars, minutes)


def test_coverage_counts_by_indian_day(store: BarRepository) -> None:
    store.write(IDS, np.concatenate([bars_of(375, 1), bars_of(10, 2, DAY + DAY_NS)]), Source.IMPORT, 5)
    assert store.coverage() == [(7, date(2020, 1, 4), 10), (41, date(2020, 1, 3), 375), (41, date(2020, 1, 4), 10)]


def test_a_write_across_years_makes_only_the_partitions_it_needs(store: BarRepository, database: Database) -> None:
    bars = np.concatenate([bars_of(2, 1), bars_of(2, 1, DAY + 1000 * DAY_NS)])
    assert store.write(IDS, bars, Source.IMPORT, 5) == WriteReport(inserted=4)
    assert_same(store.read(IDS, *ALWAYS), bars)


def test_refused_rows_are_kept_once(store: BarRepository, database: Database) -> None:
    rows = [
        Quarantined("RELIANCE", "a.csv:3", DAY, "bad_ohlc", {"open": float("nan"), "high": 1.0, "ts": date(2020, 1, 1)}),
        Quarantined("RELIANCE", "a.csv:4", None, "stale_zero_time", {"open": 1}),
        Quarantined("RELIANCE", "a.csv:3", DAY, "bad_ohlc", {"open": float("nan"), "high": 1.0, "ts": date(2020, 1, 1)}),
    ]
    assert store.quarantine(rows) == 2
    before = digests(database)
    assert store.quarantine(rows) == 0
    assert store.quarantine([]) == 0
    assert digests(database) == before
    with database.autocommit() as connection:
        found = connection.execute("SELECT origin, reason, content FROM quarantine ORDER BY origin").fetchall()
    assert found == [
        ("a.csv:3", "bad_ohlc", {"open": "NaN", "high": 1.0, "ts": "2020-01-01"}),
        ("a.csv:4", "stale_zero_time", {"open": 1}),
    ]


def test_gaps(store: BarRepository, database: Database) -> None:
    make_known(database, [7, 41])
    gaps = [Gap(7, DAY, DAY + 5 * MINUTE_NS, "missing", 5), Gap(41, DAY, DAY + DAY_NS, "session missing", 375)]
    assert store.save_gaps(gaps[::-1]) == 2
    before = digests(database)
    assert store.save_gaps(gaps) == 0
    assert digests(database) == before
    assert store.gaps(IDS, DAY, DAY + 1) == gaps
    assert store.gaps([41], *ALWAYS) == gaps[1:]
    assert store.gaps(IDS, DAY + 1, DAY + DAY_NS) == []


def test_a_digest_of_compressed_chunks_is_that_of_the_rows(store: BarRepository, database: Database) -> None:
    store.write(IDS, bars_of(375), Source.IMPORT, 5)
    before = digest(database, "ohlcv_1min")
    compress_all(database)
    after = digest(database, "ohlcv_1min")
    assert (after.rows, after.content) == (before.rows, before.content)
