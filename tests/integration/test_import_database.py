"""Import into a real database: accounted for, twice the same, nothing half-written when the disk is full or the server is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intraday.database.bars import BarRepository
from intraday.database.copying import stamp
from intraday.database.digests import digests
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.clock import SimClock
from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable
from intraday.domain.ports import Quarantined, Source
from intraday.domain.session import SessionTable
from intraday.history.importing import Importer, ImportOptions

pytestmark = pytest.mark.integration
TABLE = SessionTable.load()
DAY = TABLE.get(date(2024, 1, 3))


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    with Database(dsn) as db:
        yield db


def importer(database: Database, now_ns: int = 1_750_000_000 * 10**9) -> Importer:
    bars = BarRepository(database)
    return Importer(InstrumentRepository(database), bars, TABLE, SimClock(now_ns).now_ns, lambda *_: None, bars)


def file(path: Path, shift: float = 0.0) -> Path:
    """A session with a gap, a repeat, a conflict, a pre-open print, padding and an empty cell."""
    close = 100.0 + shift + np.arange(375) % 5
    ts = pl.Series((DAY.open_ns + np.arange(375) * MINUTE_NS) // 1000).cast(pl.Datetime("us", "UTC"))
    df = pl.DataFrame({"ts": ts, "open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.full(375, 10)})
    odd = pl.concat(
        [
            df[5:6],
            df[6:7].with_columns(pl.col("close") + 0.5),
            df[0:1].with_columns(pl.col("ts") - pl.duration(minutes=8)),
            df[7:8].with_columns(low=pl.lit(None, pl.Float64)),
        ]
    )
    flat = df[100:101].with_columns(**{c: df["close"][99] for c in ("open", "high", "low", "close")}, volume=pl.lit(0))
    pl.concat([df[:50], df[53:100], flat.cast(df.schema), df[101:], odd]).write_parquet(path)
    return path


def test_twice_is_once_and_every_row_is_somewhere(database: Database, tmp_path: Path) -> None:
    path = file(tmp_path / "INFY.parquet")
    (report,) = importer(database).import_paths([path], ImportOptions())
    assert report.error is None
    assert (report.rows, report.stored) == (376, 371)
    assert dict(report.rejected) == {
        "out_of_session": 1, "bad_ohlc": 1, "duplicate": 1, "conflict": 1, "no_trade_padding": 1,
    }  # fmt: skip
    assert (report.gap_ranges, report.gap_minutes) == (1, 3)
    first = digests(database)
    assert {name: first[name].rows for name in ("ohlcv_1min", "quarantine", "candle_gaps", "instruments", "bar_superseded")} == {
        "ohlcv_1min": 371, "quarantine": 5, "candle_gaps": 1, "instruments": 1, "bar_superseded": 0,
    }  # fmt: skip
    (again,) = importer(database, 1_760_000_000 * 10**9).import_paths([path], ImportOptions())
    assert (again.stored, again.unchanged, again.revised) == (0, 371, 0)
    assert digests(database) == first


def test_overlapping_vendors_settle_and_replace_makes_versions(database: Database, tmp_path: Path) -> None:
    ours, theirs = file(tmp_path / "a.parquet"), file(tmp_path / "b.parquet", shift=0.25)
    options = ImportOptions(symbol="INFY")
    importer(database).import_paths([ours, theirs], options)
    settled = digests(database)
    reports = importer(database, 1_760_000_000 * 10**9).import_paths([theirs, ours], options)
    assert reports[0].rejected["differs_from_stored"] == reports[1].unchanged == 371
    assert digests(database) == settled
    (replaced,) = importer(database, 1_770_000_000 * 10**9).import_paths([theirs], ImportOptions(symbol="INFY", replace=True))
    assert replaced.revised == 371
    after = digests(database)
    assert (after["ohlcv_1min"].rows, after["bar_superseded"].rows) == (371, 371)
    assert BarRepository(database).read([1], DAY.open_ns, DAY.close_ns, Source.IMPORT)["close"][0] == 100.25


def test_a_truncated_file_leaves_the_database_as_it_was(database: Database, tmp_path: Path) -> None:
    before = digests(database)
    path = file(tmp_path / "INFY.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    (report,) = importer(database).import_paths([path], ImportOptions())
    assert report.error is not None
    assert digests(database) == before


def test_a_full_disk_stores_no_bar(dsn: str, tmp_path: Path) -> None:
    with Database(dsn, room=lambda: 1) as database:
        with pytest.raises(StorageFull):
            importer(database).import_paths([file(tmp_path / "INFY.parquet")], ImportOptions())
        after = digests(database)
    assert (after["ohlcv_1min"].rows, after["quarantine"].rows, after["candle_gaps"].rows) == (0, 0, 0)


def test_a_server_that_is_gone_says_so(tmp_path: Path) -> None:
    with Database("postgresql://nobody@127.0.0.1:1/none") as database, pytest.raises(StorageUnavailable):
        importer(database).import_paths([file(tmp_path / "INFY.parquet")], ImportOptions())


def test_rows_that_retention_would_have_dropped_are_left_out(database: Database, tmp_path: Path) -> None:
    """The others of the file are imported, and every row is accounted for."""
    kept_ns = DAY.open_ns + 200 * MINUTE_NS
    with database.autocommit() as connection:
        connection.execute("INSERT INTO kept_from VALUES ('bars', %s)", (stamp(kept_ns),))
    options = ImportOptions(kept_ns=BarRepository(database).kept_ns())
    path = file(tmp_path / "INFY.parquet")
    (report,) = importer(database).import_paths([path], options)
    assert report.error is None
    assert (report.stored, report.rejected["before_retention"], report.first_ns) == (175, 196, kept_ns)
    assert report.rows == report.stored + sum(report.rejected.values())
    assert report.gap_ranges == 1  # of the file; not one that is remembered
    found = digests(database)
    assert {name: found[name].rows for name in ("ohlcv_1min", "quarantine", "candle_gaps")} == {
        "ohlcv_1min": 175, "quarantine": 201, "candle_gaps": 0,
    }  # fmt: skip
    (again,) = importer(database).import_paths([path], options)
    assert (again.stored, again.unchanged) == (0, 175)
    assert digests(database) == found
    with pytest.raises(StorageError, match="retention dropped"):
        importer(database).import_paths([path], ImportOptions())


def test_a_refused_row_may_hold_anything(database: Database) -> None:
    rows = [Quarantined("A\0", "f\udcff:1", None, "bad\0", {"open": "1\0", "n\0": "\ud800", "text": "\\u0000"})]
    bars = BarRepository(database)
    assert bars.quarantine(rows) == 1
    assert bars.quarantine(rows) == 0
    with database.autocommit() as connection:
        row = connection.execute("SELECT symbol, origin, reason, content FROM quarantine").fetchone()
    assert row == ("A\ufffd", "f?:1", "bad\ufffd", {"open": "1\ufffd", "n\ufffd": "?", "text": "\\u0000"})
