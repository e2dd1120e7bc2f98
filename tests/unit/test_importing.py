"""Importer: accounting, idempotence, every way a file can be wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from import_stores import MemoryBars, MemoryInstruments
from intraday.core.validate import CandleValidator
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.clock import SimClock
from intraday.domain.errors import InputError, StorageFull
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Auction, Span, auction_rule, no_auction
from intraday.domain.ports import Gap, Source
from intraday.domain.session import SessionTable
from intraday.history.importing import FileReport, Importer, ImportOptions
from intraday.history.readers import ReadOptions
from intraday.history.timezone import best_shift

TABLE = SessionTable.load()
DAY = TABLE.get(date(2024, 1, 3))


class Bench:
    """An importer over stores in memory."""

    def __init__(self, room: int | None = None, auction: Auction = no_auction) -> None:
        self.instruments, self.bars, self.clock = MemoryInstruments(), MemoryBars(room), SimClock(10**18)
        self.progress: list[tuple[str, int, int]] = []
        self.importer = Importer(
            self.instruments,
            self.bars,
            TABLE,
            self.clock.now_ns,
            lambda what, done, total: self.progress.append((what, done, total)),
            self.bars,
            auction,
        )

    def run(self, path: Path, options: ImportOptions | None = None) -> FileReport:
        (report,) = self.importer.import_paths([path], options or ImportOptions())
        if report.error is None:
            assert report.rows == report.stored + report.unchanged + report.revised + report.n_rejected
        return report

    def fails(self, path: Path, match: str, options: ImportOptions | None = None) -> None:
        before = (dict(self.bars.best), dict(self.bars.quarantined), self.instruments.all())
        report = self.run(path, options)
        assert report.error is not None
        assert "\n" not in report.error
        assert report.error.startswith(str(path))
        for part in match.split(" .. "):
            assert part in report.error, report.error
        assert (self.bars.best, self.bars.quarantined, self.instruments.all()) == before


def frame(n: int = 375, day_open: int = DAY.open_ns) -> pl.DataFrame:
    """A clean session: naive IST stamps."""
    close = 100.0 + np.arange(n) % 7
    ts = (
        pl.Series("ts", (day_open + np.arange(n) * MINUTE_NS) // 1000)
        .cast(pl.Datetime("us", "UTC"))
        .dt.convert_time_zone("Asia/Kolkata")
    )
    return pl.DataFrame(
        {
            "ts": ts.dt.replace_time_zone(None),
            "open": close,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume": np.arange(n) + 1,
        }
    )


def save(df: pl.DataFrame, path: Path) -> Path:
    df.write_parquet(path) if path.suffix == ".parquet" else df.write_csv(path)
    return path


@pytest.mark.parametrize("name", ["RELIANCE.parquet", "RELIANCE.csv"])
def test_a_clean_file_is_stored_once_and_then_unchanged(tmp_path: Path, name: str) -> None:
    bench, path = Bench(), save(frame(), tmp_path / name)
    report = bench.run(path)
    assert (report.rows, report.stored, report.unchanged, dict(report.rejected)) == (375, 375, 0, {})
    assert (report.symbol, report.exchange, report.kind, report.kind_reason) == (
        "RELIANCE",
        "NSE",
        "equity",
        "assumed: it has volume",
    )
    assert (report.first_ns, report.last_ns) == (DAY.open_ns, DAY.close_ns - MINUTE_NS)
    assert (report.gap_minutes, report.gap_ranges) == (0, 0)
    assert bench.progress == [("import", 0, 1), ("import", 1, 1)]
    bench.clock.set(2 * 10**18)
    again = bench.run(path)
    assert (again.stored, again.unchanged, again.revised) == (0, 375, 0)
    assert len(bench.bars.versions) == 375
    stored = bench.bars.read([1], 0, 2**62, Source.IMPORT)
    assert stored["volume"].tolist() == list(range(1, 376))
    assert stored["close"].tolist() == frame()["close"].to_list()


def test_files_of_a_day_each_are_judged_as_one_file_is(tmp_path: Path) -> None:
    """A first bar at three times the price, and a jump: what was imported before says what is usual."""
    sessions = TABLE.between(date(2024, 1, 3), date(2024, 1, 10))
    parts = [frame(day_open=s.open_ns).with_columns(volume=pl.int_range(k * 1000, k * 1000 + 375)) for k, s in enumerate(sessions)]
    prices = [(pl.col(n) * pl.when(pl.int_range(375) == 0).then(3.0).otherwise(1.0)) for n in ("open", "high", "low", "close")]
    parts[-1] = parts[-1].with_columns(prices)
    whole, daily = Bench(), Bench()
    found = whole.run(save(pl.concat(parts), tmp_path / "ACC.parquet"))
    each = [daily.run(save(part, tmp_path / "ACC.csv")) for part in parts]
    assert (found.stored, dict(found.rejected)) == (375 * len(parts) - 1, {"outlier": 1})
    assert dict(each[-1].rejected) == {"outlier": 1} and sum(report.stored for report in each) == found.stored
    assert whole.bars.best == daily.bars.best


def test_a_stock_of_the_closing_auction_ends_at_1515_on_its_days(tmp_path: Path) -> None:
    """375 minutes in the file, from before the auction, of a day on the list and of one after it: the 15 of one day are none."""
    days = [date(2026, 7, 31), date(2026, 8, 3), date(2026, 8, 4)]
    rows = pl.concat([frame(day_open=TABLE.get(day).open_ns) for day in days]).with_columns(volume=pl.int_range(1, 1126))
    rule = auction_rule([Span(1, date(2026, 8, 3), date(2026, 8, 4))], date(2026, 8, 3))
    bench = Bench(auction=rule)
    bench.instruments.upsert([Instrument("NSE", "RELIANCE"), Instrument("NSE", "OTHER")])
    report = bench.run(save(rows, tmp_path / "RELIANCE.parquet"))
    assert (report.stored, dict(report.rejected), report.gap_minutes) == (1110, {"out_of_session": 15}, 0)
    stored = bench.bars.read([1], 0, 2**62, Source.IMPORT)["ts_ns"]
    assert [int(((stored >= s.open_ns) & (stored < s.close_ns)).sum()) for s in map(TABLE.get, days)] == [375, 360, 375]
    assert TABLE.get(days[1], auction=True).last_minute_ns in stored
    assert bench.run(save(rows, tmp_path / "OTHER.parquet")).stored == 1125, "not on the list"
    afternoon = bench.run(save(rows[540:750], tmp_path / "RELIANCE.csv"))
    assert (afternoon.error, afternoon.unchanged, dict(afternoon.rejected)) == (None, 195, {"out_of_session": 15}), "no wrong clock"
    early = bench.run(save(rows.head(725), tmp_path / "RELIANCE.csv"))
    assert (early.unchanged, early.gap_minutes) == (725, 10), "minutes after its own close are not missing"


@pytest.mark.parametrize(
    ("stamps", "options"),
    [
        ({"date": ["2024-01-03 09:15:00+05:30", "2024-01-03 09:16:00+05:30"]}, {}),
        ({"date": ["2024-01-03T09:15:00+0530", "2024-01-03T09:16:00+0530"]}, {}),
        ({"datetime": ["2024-01-03 09:15:00", "2024-01-03 09:16:00"]}, {}),
        ({"Timestamp": ["03-01-2024 09:15", "03-01-2024 09:16"]}, {}),
        ({"<DATE>": ["20240103", "20240103"], "<TIME>": ["09:15", "09:16"]}, {}),
        ({"Date": ["2024/01/03", "2024/01/03"], "Time": ["09:15:00", "09:16:00"]}, {}),
        ({"ts": [DAY.open_ns // 10**9, DAY.open_ns // 10**9 + 60]}, {}),
        ({"ts": [DAY.open_ns // 10**6, DAY.open_ns // 10**6 + 60_000]}, {}),
        ({"ts": [DAY.open_ns, DAY.open_ns + MINUTE_NS]}, {}),
        ({"ts": [DAY.open_ns / 1e9, DAY.open_ns / 1e9 + 60]}, {}),
        ({"when": ["2024-01-03 03:45", "2024-01-03 03:46"]}, {"columns": {"ts": "when"}, "tz": "UTC"}),
        ({"ts": ["01/03/2024 09:15", "01/03/2024 09:16"]}, {"time_format": "%m/%d/%Y %H:%M"}),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_stamps_as_strangers_write_them(
    tmp_path: Path, stamps: dict[str, list[object]], options: dict[str, object], suffix: str
) -> None:
    prices = {"Open": [1.0, 1.0], "HIGH": [1.1, 1.1], " low ": [0.9, 0.9], "<CLOSE>": [1.0, 1.0], "Vol": [5, 5]}
    path = save(pl.DataFrame({**stamps, **prices}), tmp_path / f"X{suffix}")
    report = Bench().run(path, ImportOptions(read=ReadOptions(**options)))  # type: ignore[arg-type]
    assert (report.error, report.stored, report.first_ns, report.last_ns) == (None, 2, DAY.open_ns, DAY.open_ns + MINUTE_NS)


def test_rejected_rows_are_quarantined_once_with_origin_and_reason(tmp_path: Path) -> None:
    df = frame(5)
    df = pl.concat(
        [df, df.tail(1), df.tail(1).with_columns(close=pl.lit(104.5)), df.head(1).with_columns(low=pl.lit(None, pl.Float64))]
    )
    bench, path = Bench(), save(df, tmp_path / "X.csv")
    report = bench.run(path)
    assert dict(report.rejected) == {"bad_ohlc": 1, "duplicate": 1, "conflict": 1}
    rows = {row.origin.rsplit(":", 1)[1]: row for row in bench.bars.quarantined.values()}
    assert {n: row.reason for n, row in rows.items()} == {"6": "duplicate", "7": "conflict", "8": "bad_ohlc"}
    assert rows["7"].row["close"] == 104.5
    assert rows["8"].row["low"] is None
    bench.run(path)
    assert len(bench.bars.quarantined) == 3


def test_an_overlapping_file_keeps_what_came_first_in_any_order_and_number_of_imports(tmp_path: Path) -> None:
    first = save(frame(10), tmp_path / "a.parquet")
    second = save(frame(12).with_columns(close=pl.col("close") + 0.5), tmp_path / "b.parquet")
    bench, options = Bench(), ImportOptions(symbol="X")
    bench.run(first, options)
    report = bench.run(second, options)
    assert (report.stored, dict(report.rejected)) == (2, {"differs_from_stored": 10})
    same_range = save(frame(10).with_columns(open=pl.col("open") + 0.5), tmp_path / "c.parquet")
    assert dict(bench.run(same_range, options).rejected) == {"differs_from_stored": 10}
    n = len(bench.bars.versions)
    for path in (first, second, first):
        bench.run(path, options)
    assert len(bench.bars.versions) == n
    replaced = bench.run(second, ImportOptions(symbol="X", replace=True))
    assert (replaced.revised, replaced.unchanged) == (10, 2)


def test_gaps_are_reported_and_remembered(tmp_path: Path) -> None:
    bench = Bench()
    report = bench.run(save(frame().filter(~pl.int_range(375).is_in([3, 4, 9])), tmp_path / "X.parquet"))
    assert (report.gap_minutes, report.gap_ranges) == (3, 2)
    assert bench.bars.gaps([1], 0, 2**62) == [
        Gap(1, DAY.open_ns + 3 * MINUTE_NS, DAY.open_ns + 5 * MINUTE_NS, "not in the imported file", 2),
        Gap(1, DAY.open_ns + 9 * MINUTE_NS, DAY.open_ns + 10 * MINUTE_NS, "not in the imported file", 1),
    ]


@pytest.mark.parametrize(
    ("name", "volume", "options", "kind", "why"),
    [
        ("NIFTY50", 7, ImportOptions(), "index", "assumed: an index by its name"),
        ("BANKNIFTY", 0, ImportOptions(), "index", "assumed: an index by its name"),
        ("NIFTY-I", 7, ImportOptions(), "equity", "assumed: it has volume"),
        ("NIFTYBEES", 7, ImportOptions(), "equity", "assumed: it has volume"),
        ("WHATEVER", 0, ImportOptions(), "index", "assumed: the whole volume column is zero"),
        ("NIFTY-I", 7, ImportOptions(kind=Kind.FUTURE), "future", "option"),
    ],
)
def test_kind_is_reported_with_its_reason(
    tmp_path: Path, name: str, volume: int, options: ImportOptions, kind: str, why: str
) -> None:
    bench = Bench()
    report = bench.run(save(frame(3).with_columns(volume=pl.lit(volume)), tmp_path / f"{name}.parquet"), options)
    assert (report.kind, report.kind_reason, report.stored) == (kind, why, 3)
    assert np.isnan(bench.bars.read([1], 0, 2**62, Source.IMPORT)["volume"]).all() == (kind == "index")


def test_an_index_needs_no_volume_column(tmp_path: Path) -> None:
    assert Bench().run(save(frame(3).drop("volume"), tmp_path / "NIFTY50.csv")).stored == 3


def test_a_stored_instrument_keeps_its_tick_size_and_its_kind(tmp_path: Path) -> None:
    bench = Bench()
    bench.instruments.upsert([Instrument("NSE", "ODD", Kind.FUTURE, tick_size=1)])
    report = bench.run(save(frame(3), tmp_path / "ODD.parquet"))
    assert report.kind == "future"
    assert bench.instruments.all()[0].tick_size == 1
    bench.fails(tmp_path / "ODD.parquet", "to be of kind future", ImportOptions(kind=Kind.EQUITY))


def test_symbol_column_option_and_stem(tmp_path: Path) -> None:
    path = save(frame(3).with_columns(Ticker=pl.lit("M&M")), tmp_path / "M_M.csv")
    assert Bench().run(path).symbol == "M&M"
    Bench().fails(path, "expected symbol OTHER (--symbol), found M&M", ImportOptions(symbol="OTHER"))
    mixed = save(frame(3).with_columns(symbol=pl.Series(["A", "B", "B"])), tmp_path / "mixed.csv")
    Bench().fails(mixed, "expected one symbol a file, found 2 (A, B")


MANIFEST = "file,symbol,kind,exchange\nbars/set/M_M.parquet,M&M,equity,NSE\nbars/set/N.parquet,NIFTY50,index,NSE\n"


@pytest.mark.parametrize("where", ["", "bars", "bars/set"])
def test_a_manifest_above_is_found_and_decides_what_a_bar_file_is(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "bars" / "set"
    folder.mkdir(parents=True)
    (tmp_path / "instruments.csv").write_text(MANIFEST)
    (folder / "notes.csv").write_text("not,bars\n1,2\n")
    save(frame(3), folder / "M_M.parquet")
    save(frame(3), folder / "N.parquet")
    reports = Bench().importer.import_paths([tmp_path / where], ImportOptions())
    assert [(r.symbol, r.kind, r.kind_reason, r.error) for r in reports] == [
        ("M&M", "equity", "manifest", None),
        ("NIFTY50", "index", "manifest", None),
    ]
    assert Bench().run(folder / "M_M.parquet").symbol == "M&M"


def test_a_bad_manifest_is_refused(tmp_path: Path) -> None:
    path = save(frame(3), tmp_path / "X.parquet")
    bad = tmp_path / "list.csv"
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected a manifest with columns file, symbol, kind, exchange; found a, b"):
        Bench().importer.import_paths([path], ImportOptions(manifest=bad))
    bad.write_text("file,symbol,kind,exchange\nX.parquet,X,warrant,NSE\n")
    with pytest.raises(InputError, match="found 'warrant'"):
        Bench().importer.import_paths([path], ImportOptions(manifest=bad))


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    whole = save(frame(), tmp_path / "whole.parquet").read_bytes()
    path = tmp_path / "X.parquet"
    for cut in (0, 3, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:cut])
        Bench().fails(path, "expected a whole Parquet file, found a damaged or truncated one .. get it again")
    damaged = bytearray(whole)
    damaged[20:200] = bytes(180)
    path.write_bytes(bytes(damaged))
    Bench().fails(path, "damaged")


def test_an_empty_or_missing_or_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text("")
    Bench().fails(path, "found an empty one")
    path.write_text("ts,open,high,low,close,volume\n")
    Bench().fails(path, "found a file without rows")
    path.write_bytes(bytes(range(128, 256)) * 20)
    Bench().fails(path, "expected")
    with pytest.raises(InputError, match="found nothing there"):
        Bench().importer.import_paths([tmp_path / "no.csv"], ImportOptions())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected Parquet or CSV files, found none"):
        Bench().importer.import_paths([tmp_path / "empty"], ImportOptions())


def test_a_missing_column_names_those_found_and_the_option(tmp_path: Path) -> None:
    path = save(frame(3).rename({"high": "hi", "low": "lo"}), tmp_path / "X.csv")
    Bench().fails(path, "found ts, open, hi, lo, close, volume; .. --map high=NAME (missing: high, low)")
    assert Bench().run(path, ImportOptions(read=ReadOptions(columns={"high": "hi", "low": "lo"}))).stored == 3
    Bench().fails(path, "--map high=top: expected a column 'top'", ImportOptions(read=ReadOptions(columns={"high": "top"})))
    Bench().fails(path, "--map hgh=hi: expected one of", ImportOptions(read=ReadOptions(columns={"hgh": "hi"})))
    Bench().fails(save(frame(3).drop("volume"), tmp_path / "Y.csv"), "expected a volume column .. --kind index")


def test_a_cell_that_is_no_number_or_no_stamp(tmp_path: Path) -> None:
    df = frame(3).with_columns(close=pl.Series(["1", "abc", "2"]))
    Bench().fails(save(df, tmp_path / "X.csv"), "row 2, column 'close': expected a number, found 'abc' (1 such cells)")
    df = frame(3).with_columns(ts=pl.Series(["2024-01-03 09:15:00", "2024-01-03 09:16:00", "soon"]))
    Bench().fails(save(df, tmp_path / "Y.csv"), "expected time stamps such as .. --time-format")
    many = frame(375).with_columns(pl.col("ts").dt.to_string("%Y-%m-%d %H:%M:%S"))
    many[300, "ts"] = "soon"
    Bench().fails(
        save(many, tmp_path / "Z.csv"), "row 301, column 'ts': expected a time stamp like '2024-01-03 09:15:00', found 'soon'"
    )
    Bench().fails(save(frame(3).with_columns(ts=True), tmp_path / "B.parquet"), "column 'ts': expected time stamps, found Boolean")
    Bench().fails(save(frame(3).with_columns(open=True), tmp_path / "C.parquet"), "column 'open': expected numbers, found Boolean")


def test_an_empty_cell_is_a_bad_row_not_a_bad_file(tmp_path: Path) -> None:
    df = frame(4).with_columns(pl.col("close").cast(pl.String), pl.col("ts").dt.to_string("%Y-%m-%d %H:%M:%S"))
    df[1, "close"], df[2, "ts"] = None, None
    bench = Bench()
    assert dict(bench.run(save(df, tmp_path / "X.csv")).rejected) == {"bad_ohlc": 1, "stale_zero_time": 1}
    assert [row.ts_ns for row in bench.bars.quarantined.values()] == [DAY.open_ns + MINUTE_NS, None]


def test_half_seconds_of_epoch_stamps_are_kept(tmp_path: Path) -> None:
    path = save(frame(2).with_columns(ts=pl.Series([DAY.open_ns / 1e9, DAY.open_ns / 1e9 + 60.5])), tmp_path / "X.parquet")
    assert dict(Bench().run(path).rejected) == {"not_on_minute": 1}


def test_the_best_name_wins_where_two_would_do(tmp_path: Path) -> None:
    wrong = pl.col("ts").dt.offset_by("1h").alias("timestamp")
    report = Bench().run(
        save(frame(2).with_columns(wrong).select(pl.col("timestamp"), pl.exclude("timestamp")), tmp_path / "X.csv")
    )
    assert report.first_ns == DAY.open_ns


def test_a_local_time_that_exists_twice_or_never_is_no_crash(tmp_path: Path) -> None:
    stamps = pl.Series(["2024-01-02 22:45:00", "2024-11-03 01:30:00", "2024-03-10 02:30:00"])
    report = Bench().run(
        save(frame(3).with_columns(ts=stamps), tmp_path / "X.csv"), ImportOptions(read=ReadOptions(tz="America/New_York"))
    )
    assert (report.stored, dict(report.rejected)) == (1, {"stale_zero_time": 1, "out_of_session": 1})


def test_a_wrong_time_zone_says_which_would_fit(tmp_path: Path) -> None:
    df = frame().with_columns(pl.col("ts") - pl.duration(minutes=330))
    path = save(df, tmp_path / "X.csv")
    Bench().fails(path, "rows outside .. a shift of +330 minutes would fit best (100% inside) .. look like UTC: use --tz UTC")
    assert Bench().run(path, ImportOptions(read=ReadOptions(tz="UTC"))).stored == 375
    east = save(frame().with_columns(pl.col("ts") + pl.duration(minutes=150)), tmp_path / "E.csv")
    Bench().fails(east, "a shift of -150 minutes would fit best .. use --tz Asia/Singapore")
    Bench().fails(path, "--tz Mars/Phobos: expected a zone name", ImportOptions(read=ReadOptions(tz="Mars/Phobos")))
    Bench().fails(
        save(df.with_columns(pl.col("ts").dt.offset_by("-20y")), tmp_path / "Y.csv"), "expected days between 2010-01-01 and"
    )


def test_a_few_odd_rows_in_a_short_file_are_not_a_wrong_clock(tmp_path: Path) -> None:
    """One print of the pre-open among seven rows is 14 % of them, and a shift would bring it in: still only the row is odd."""
    rows = frame(6, DAY.open_ns)
    early = rows[:1].with_columns(pl.col("ts") - pl.duration(minutes=8))
    report = Bench().run(save(pl.concat([early, rows]), tmp_path / "X.csv"))
    assert (report.stored, dict(report.rejected)) == (6, {"out_of_session": 1})


@pytest.mark.parametrize("n", [1, 3])
def test_a_short_file_wholly_outside_trading_hours_is_a_wrong_clock(tmp_path: Path, n: int) -> None:
    Bench().fails(save(frame(n, DAY.open_ns - 330 * MINUTE_NS), tmp_path / "X.csv"), f"found {n} of {n} rows outside them")


@pytest.mark.parametrize("minutes", [-345, -150, -15, 15, 30, 90])
def test_a_clock_that_is_a_little_off_is_found_though_most_rows_lie_in_hours(tmp_path: Path, minutes: int) -> None:
    path = save(frame().with_columns(pl.col("ts") + pl.duration(minutes=minutes)), tmp_path / "X.parquet")
    Bench().fails(path, f"a shift of {-minutes:+d} minutes would fit best (100% inside)")


def test_prints_before_the_open_and_after_the_close_are_no_wrong_clock(tmp_path: Path) -> None:
    early = frame(20).with_columns(pl.col("ts") - pl.duration(minutes=20))
    late = frame(20).with_columns(pl.col("ts") + pl.duration(minutes=375))
    report = Bench().run(save(pl.concat([early, frame(), late]), tmp_path / "X.parquet"))
    assert (report.stored, dict(report.rejected)) == (375, {"out_of_session": 40})
    report = Bench().run(save(pl.concat([frame(), late]), tmp_path / "Y.parquet"))
    assert (report.stored, dict(report.rejected)) == (375, {"out_of_session": 20})


def test_of_shifts_that_fit_alike_the_smallest_is_named() -> None:
    inside = CandleValidator(TABLE).in_session
    assert best_shift(np.array([DAY.open_ns - 20 * MINUTE_NS]), inside) == (30, 1.0)
    assert best_shift(np.array([DAY.close_ns + 3 * MINUTE_NS]), inside) == (-15, 1.0)


def test_others_go_on_unless_strict(tmp_path: Path) -> None:
    (tmp_path / "A.csv").write_text("")
    save(frame(3), tmp_path / "B.csv")
    bench = Bench()
    first, second = bench.importer.import_paths([tmp_path], ImportOptions())
    assert first.error is not None
    assert second.stored == 3
    with pytest.raises(InputError, match="empty"):
        bench.importer.import_paths([tmp_path], ImportOptions(strict=True))


def test_a_full_disk_ends_the_run_with_the_earlier_files_stored(tmp_path: Path) -> None:
    save(frame(3), tmp_path / "A.csv")
    save(frame(30).vstack(frame(1)), tmp_path / "B.csv")
    bench = Bench(room=10)
    with pytest.raises(StorageFull):
        bench.importer.import_paths([tmp_path], ImportOptions())
    assert [i for i, _, _ in bench.bars.coverage()] == [1]
    assert bench.bars.quarantined == {}


def test_volumes_adjusted_for_splits_are_rounded_once(tmp_path: Path) -> None:
    """Fractions of a share are rounded to what the database keeps, so that a second import finds the same rows."""
    adjusted = frame().with_columns(pl.col("volume").cast(pl.Float64) + 0.333)
    bench, path = Bench(), save(adjusted, tmp_path / "RELIANCE.csv")
    first, again = bench.run(path), bench.run(path)
    assert (first.stored, first.rounded, first.n_rejected) == (375, 375, 0)
    assert (again.stored, again.unchanged, again.n_rejected) == (0, 375, 0)


def test_a_file_in_paise_is_found_out_by_what_is_stored(tmp_path: Path) -> None:
    """By itself nothing is wrong with it; without a stored day before it there is nothing to compare with."""
    next_day = TABLE.next(DAY.day)
    prices = [pl.col(name) * 100 for name in ("open", "high", "low", "close")]
    paise = save(frame(day_open=next_day.open_ns).with_columns(prices), tmp_path / "X.csv")
    assert Bench().run(paise).stored == 375
    bench = Bench()
    (tmp_path / "before").mkdir()
    bench.run(save(frame(), tmp_path / "before" / "X.csv"))
    report = bench.run(paise)
    assert (report.stored, dict(report.rejected)) == (0, {"unit_jump": 375})
    assert len(bench.bars.quarantined) == 375


def test_what_is_odd_is_stored_counted_and_told(tmp_path: Path) -> None:
    days = [s.open_ns for s in TABLE.between(DAY.day, date(2024, 1, 31))][:5]
    close = 1000.0 + np.random.default_rng(1).integers(-9, 10, 5 * 375).cumsum() / 20
    close[1_600:] *= 1.03
    bars = pl.concat([frame(day_open=at) for at in days]).with_columns(open=close, high=close + 0.05, low=close - 0.05, close=close)
    report = Bench().run(save(bars, tmp_path / "X.parquet"))
    assert (report.stored, dict(report.rejected), dict(report.flagged)) == (1_875, {}, {"jump": 1})
    assert report.odd[0].startswith("2024-01-09 10:55 jump: +")
