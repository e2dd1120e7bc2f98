"""The real NSE sets in the database, on both servers: every row, every day, every gap and the grid are what the files say.

A slice of them here; ``make validate-data`` (INTRADAY_ALL_SETS=1) takes all. Expectations: tests/nse_sets.py.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from check_cases import HALT, found, numbers
from database_cases import Backend
from intraday.database.pool import Database
from intraday.domain.clock import SystemClock
from intraday.history.importing import FileReport, ImportOptions
from intraday.jobs.historical import import_bars
from job_cases import quiet, settings_on
from nse_sets import SetFile, candles, missing, read, set_files

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ALL = os.environ.get("INTRADAY_ALL_SETS") == "1"
_IST = "AT TIME ZONE 'Asia/Kolkata'"
_MINUTE = f"(extract(epoch FROM ts {_IST})::bigint / 60 % 1440)::integer"
_CANDLES = f"""SELECT {_MINUTE.replace("%", "%%")}, open, high, low, close, n_minutes
  FROM ohlcv_%dmin t JOIN instruments i ON i.id = t.instrument_id AND i.symbol = 'NIFTY50' AND i.exchange = 'NSE'
  WHERE (ts {_IST})::date = '%s' ORDER BY ts"""


class Loaded(NamedTuple):
    """The files and their rows, the importer's report of each, and the database they went to."""

    files: dict[SetFile, pl.DataFrame]
    reports: dict[Path, FileReport]
    database: Database

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.database.autocommit() as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def loaded(backend: Backend, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    chosen = set_files(shared / "data", ALL)
    dsn = backend.create()
    settings = settings_on(dsn, tmp_path_factory.mktemp("sets") / "var")
    reports = import_bars(settings, [f.path for f in chosen], ImportOptions(), SystemClock(), quiet)
    with Database(dsn) as database:
        files = {f: read(f) for f in chosen if f.dataset != "us_spy"}
        yield Loaded(files, {Path(r.path): r for r in reports}, database)
    backend.drop(dsn)


def test_every_row_is_stored_or_refused_for_the_reason_the_file_gives(loaded: Loaded) -> None:
    """rows in the file = stored + already there + quarantined, and quarantine has exactly those rows."""
    query = "SELECT split_part(origin, ':', 1), reason, count(*) FROM quarantine GROUP BY 1, 2"
    refused: dict[str, dict[str, int]] = {}
    for origin, reason, n in loaded.rows(query):
        refused.setdefault(str(origin), {})[str(reason)] = int(str(n))
    stored: dict[str, set[tuple[date, int]]] = {}
    for file, frame in loaded.files.items():
        report = loaded.reports[file.path]
        assert report.error is None, file
        assert report.rows == frame.height == file.rows
        assert report.stored + report.unchanged + report.revised + sum(report.rejected.values()) == file.rows, file
        fates = Counter(frame["fate"].to_list())
        told = refused.get(str(file.path.resolve()), {})
        assert told == report.rejected, file
        there = stored.setdefault(file.symbol, set())
        mine = set(frame.filter(pl.col("fate") == "stored").select("day", "minute").iter_rows())
        assert report.stored == len(mine - there), file
        assert report.unchanged + told.get("differs_from_stored", 0) == len(mine & there), file
        assert {k: n for k, n in told.items() if k != "differs_from_stored"} == {k: n for k, n in fates.items() if k != "stored"}
        there |= mine


def test_new_york_hours_are_refused_with_what_to_do(loaded: Loaded) -> None:
    spy = [report for path, report in loaded.reports.items() if "us_spy" in str(path)]
    assert [(r.stored, r.rows) for r in spy] == [(0, 0)]
    assert "America/New_York" in str(spy[0].error)
    assert loaded.rows("SELECT 1 FROM instruments WHERE symbol = 'SPY'") == []


def test_coverage_by_instrument_and_day_is_that_of_the_files_and_of_the_list(loaded: Loaded, shared: Path) -> None:
    minutes = pl.concat([
        frame.filter(pl.col("fate") == "stored").select("day", "minute", symbol=pl.lit(file.symbol))
        for file, frame in loaded.files.items()
    ]).unique()  # fmt: skip
    wanted = {
        (symbol, day): (n, first, last)
        for symbol, day, n, first, last in minutes.group_by("symbol", "day")
        .agg(n=pl.len(), first=pl.col("minute").min(), last=pl.col("minute").max())
        .iter_rows()
    }
    got = loaded.rows(
        f"""SELECT symbol, (ts {_IST})::date AS day, count(*), min({_MINUTE}), max({_MINUTE})
            FROM ohlcv_1min JOIN instruments ON id = instrument_id GROUP BY 1, 2"""
    )
    assert {(symbol, day): (n, first, last) for symbol, day, n, first, last in got} == wanted
    with (shared / "data" / "sessions.csv").open(encoding="utf-8") as handle:
        listed = {
            (r["dataset"], r["symbol"], date.fromisoformat(r["date"])): int(r["distinct_minutes"]) for r in csv.DictReader(handle)
        }
    for file, frame in loaded.files.items():
        for day, told in frame.group_by("day"):
            distinct = told.select("minute").n_unique()
            assert listed[file.dataset, file.symbol, day[0]] == distinct, (file, day)  # type: ignore[index]


def test_gaps_are_the_session_minutes_no_file_has(loaded: Loaded) -> None:
    wanted: dict[str, set[tuple[date, int]]] = {}
    said: dict[str, set[tuple[date, int]]] = {}
    for file, frame in loaded.files.items():
        wanted.setdefault(file.symbol, set()).update(missing(file, frame).iter_rows())
        seen = frame.filter(pl.col("fate").is_in(["stored", "no_trade_padding"])).select("day", "minute")
        said.setdefault(file.symbol, set()).update(seen.iter_rows())
    got = loaded.rows(
        f"""SELECT symbol, (t {_IST})::date, (extract(epoch FROM t {_IST})::bigint / 60 % 1440)::integer
            FROM candle_gaps JOIN instruments ON id = instrument_id,
                 generate_series(start_ts, end_ts - interval '1 minute', interval '1 minute') AS t"""
    )
    found_gaps: dict[str, set[tuple[object, object]]] = {symbol: set() for symbol in wanted}
    for symbol, day, minute in got:
        found_gaps[str(symbol)].add((day, minute))
    assert found_gaps == {symbol: minutes - said[symbol] for symbol, minutes in wanted.items()}
    assert len(got) == sum(map(len, found_gaps.values())), "a minute is in two rows"
    assert sum(map(len, found_gaps.values())) > 100


def test_sixty_minute_candles_start_at_0915_on_every_day_of_every_set(loaded: Loaded) -> None:
    """The first candle of a day is the hour from 09:15 on that its first minute is in."""
    query = f"SELECT instrument_id, (ts {_IST})::date, min({_MINUTE}) FROM {{}} GROUP BY 1, 2"
    first = {(i, day): minute for i, day, minute in loaded.rows(query.format("ohlcv_1min"))}
    hours = {(i, day): minute for i, day, minute in loaded.rows(query.format("ohlcv_60min"))}
    assert hours == {key: int(str(minute)) - (int(str(minute)) - 555) % 60 for key, minute in first.items()}
    assert loaded.rows(f"SELECT * FROM ohlcv_60min WHERE {_MINUTE} % 60 <> 15") == []
    early = [key for key, minute in first.items() if 555 <= int(str(minute)) < 615]
    assert len(early) >= len(first) - 40, "most days have a minute of the first hour"
    assert {hours[key] for key in early} == {555}


@pytest.mark.parametrize(
    ("day", "hours", "starts"),
    [
        (date(2021, 11, 4), [(18 * 60 + 15, 19 * 60 + 15)], [1095]),  # Muhurat
        (date(2014, 10, 23), [(18 * 60 + 30, 19 * 60 + 30)], [1095, 1155]),  # Muhurat
        (HALT, [(9 * 60 + 15, 11 * 60 + 40), (15 * 60 + 45, 17 * 60)], [555, 915, 975]),  # the exchange stood still
    ],
)
def test_an_evening_and_a_halt_aggregate_rightly(
    loaded: Loaded, day: date, hours: list[tuple[int, int]], starts: list[int]
) -> None:
    holding = [frame for f, frame in loaded.files.items() if f.symbol == "NIFTY50" and (frame["day"] == day).any()]
    if not holding:
        assert not ALL
        pytest.skip("its set is not in the slice: make validate-data")
    for step in (5, 15, 60):
        expected = candles(holding[0], day, hours, step)
        assert loaded.rows(_CANDLES % (step, day)) == expected
    assert [minute for minute, *_ in expected] == starts


def test_the_check_finds_nothing(loaded: Loaded) -> None:
    assert numbers(found(loaded.database, rows_max=500_000)) == {}
