"""Writing in bulk: in blocks, idempotent on both servers and on compressed chunks, in bounded memory."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest

from bulk_cases import minutes_of, some_bars, some_vectors
from chunk_cases import compress_all
from intraday.database import bar_writing
from intraday.database.bars import BarRepository
from intraday.database.features import FeatureRepository
from intraday.database.labels import LabelRepository
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import LABEL, Bars, empty
from intraday.domain.errors import StorageError
from intraday.domain.ports import FeatureSetRecord, Source, WriteReport

ALWAYS = (0, 4 * 10**18)
KNOWN = 10**18
MEMORY_ROWS = int(os.environ.get("INTRADAY_BULK_ROWS", "300000"))


def shuffled(bars: Bars, seed: int = 5) -> Bars:
    """The same bars in another order."""
    return bars.take(np.random.default_rng(seed).permutation(bars.shape[0]))


def count(database: Database, query: str) -> int:
    with database.autocommit() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_blocks_make_no_difference(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_writing, "_BLOCK", 1000)
    store, ids = BarRepository(database), [30, 2, 17]
    bars = some_bars(3, minutes_of("2024-01-30", 4))
    bars["volume"][bars["inst"] == 1] = np.nan
    n = bars.shape[0]
    some = np.random.default_rng(3).random(n) < 0.4
    assert store.write(ids, shuffled(bars[some]), Source.BROKER, KNOWN) == WriteReport(int(some.sum()), 0, 0)
    other = bars.copy()
    other["close"][::7] += 0.01
    revised = some & (np.arange(n) % 7 == 0)
    wanted = WriteReport(int((~some).sum()), int((some & ~revised).sum()), int(revised.sum()))
    assert store.write(ids, shuffled(other), Source.BROKER, KNOWN + 10**9) == wanted
    assert store.write(ids, other, Source.BROKER, KNOWN + 10**9) == WriteReport(0, n, 0)
    assert store.read(ids, *ALWAYS).tobytes() == other.take(np.lexsort((other["inst"], other["ts_ns"]))).tobytes()
    assert count(database, "SELECT count(*) FROM bar_versions") == n + int(revised.sum())
    RollupRepository(database).refresh()
    for timeframe in ("5min", "15min", "60min"):
        assert count(database, f"SELECT sum(n_minutes) FROM ohlcv_{timeframe}") == n
    assert count(database, "SELECT count(*) FROM ohlcv_5min WHERE instrument_id = 2 AND volume IS NOT NULL") == 0


def test_what_else_belongs_to_the_write_fails_with_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_writing, "_BLOCK", 1000)
    store, bars = BarRepository(database), some_bars(2, minutes_of("2024-01-30", 3))

    def fails(_: object) -> None:
        raise StorageError("no")

    with pytest.raises(StorageError, match="no"):
        store.write([1, 2], bars, Source.BROKER, KNOWN, also=fails)
    assert count(database, "SELECT (SELECT count(*) FROM bar_versions) + (SELECT count(*) FROM rollup_pending)") == 0


@pytest.mark.slow
def test_many_rows_change_in_compressed_chunks(database: Database) -> None:
    """More than the 100 000 rows that TimescaleDB lets one transaction decompress unless told otherwise."""
    store, ids = BarRepository(database), list(range(1, 13))
    bars = some_bars(12, minutes_of("2023-02-01", 25))
    n = bars.shape[0]
    assert n > 110_000
    assert store.write(ids, bars, Source.BROKER, KNOWN).inserted == n
    compress_all(database)
    assert store.write(ids, bars, Source.BROKER, KNOWN + 1000) == WriteReport(0, n, 0)
    split = bars.copy()
    for name in ("open", "high", "low", "close"):
        split[name] /= 2.0
    assert store.write(ids, split, Source.BROKER, KNOWN + 10**9) == WriteReport(0, 0, n)
    compress_all(database)
    assert store.write(ids, split, Source.BROKER, KNOWN + 2 * 10**9) == WriteReport(0, n, 0)
    assert store.read(ids, *ALWAYS).tobytes() == split.take(np.lexsort((split["inst"], split["ts_ns"]))).tobytes()
    assert count(database, "SELECT count(*) FROM bar_versions") == 2 * n


def test_derived_rows_change_in_compressed_chunks(database: Database) -> None:
    features, labels, ids = FeatureRepository(database), LabelRepository(database), [8, 3]
    ts, inst, x = some_vectors(2, minutes_of("2023-02-01", 10)[::5], 3)
    features.register(FeatureSetRecord("f1", 5, ("a", "b", "c"), "{}"))
    labels.register("l1", "{}")
    rows = empty(LABEL, ts.shape[0])
    rows["ts_ns"], rows["inst"], rows["sigma"] = ts, inst, x[:, 0]
    for again in (False, True):
        wrote = features.write("f1", Source.HISTORY, ids, ts, inst, x), labels.write("l1", ids, rows, *ALWAYS)
        assert wrote == (WriteReport(0, ts.shape[0], 0) if again else WriteReport(ts.shape[0], 0, 0),) * 2
        compress_all(database)
    x[::3, 2], rows["sigma"][::3] = np.nan, 1.0
    n = x[::3].shape[0]
    for again in (False, True):
        wrote = features.write("f1", Source.HISTORY, ids, ts, inst, x), labels.write("l1", ids, rows, *ALWAYS)
        assert wrote == (WriteReport(0, ts.shape[0], 0) if again else WriteReport(0, ts.shape[0] - n, n),) * 2
    read = features.read("f1", Source.HISTORY, ids, *ALWAYS)
    assert [part.tobytes() for part in read] == [part.tobytes() for part in (ts, inst, x)]
    assert labels.read("l1", ids, *ALWAYS).tobytes() == rows.tobytes()


@pytest.mark.slow
def test_a_write_takes_little_more_memory_than_its_bars(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """INTRADAY_BULK_ROWS=5000000 is the size that is promised; here with blocks of the same share."""
    monkeypatch.setattr(bar_writing, "_BLOCK", min(bar_writing._BLOCK, MEMORY_ROWS // 16))
    store, n_inst = BarRepository(database), MEMORY_ROWS // 7500
    bars = shuffled(some_bars(n_inst, minutes_of("2023-02-01", 20)))
    ids = list(range(1, n_inst + 1))
    store.write(ids, bars[:1], Source.BROKER, KNOWN)
    store.read(ids, *ALWAYS)  # the reader's libraries are no part of it
    for wanted in (WriteReport(bars.shape[0] - 1, 1, 0), WriteReport(0, bars.shape[0], 0)):
        tracemalloc.start()
        assert store.write(ids, bars, Source.BROKER, KNOWN) == wanted
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < bars.nbytes, (peak, bars.nbytes)
