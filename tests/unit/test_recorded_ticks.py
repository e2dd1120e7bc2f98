"""Recorded ticks: the arrival rule row by row, every row delivered, frames, bad files, and the real recordings."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.domain.arrays import TICK, Ticks, empty
from intraday.domain.errors import CalendarError, InputError
from intraday.domain.session import SessionTable
from intraday.live.recorded import RecordedTicks, arrival_ns, frames

TABLE = SessionTable.load()
DAY = date(2021, 4, 12)
OPEN = TABLE.get(DAY).open_ns
START = OPEN - 15 * 60 * 10**9
S = 10**9


def save(
    path: Path, rows: list[tuple[int, float | None, int | None]], src: list[str] | None = None, day: date | None = DAY
) -> Path:
    """Rows of (seconds after the open or an absolute stamp in ns, ltp, volume)."""
    ts = [OPEN + t * S if abs(t) < 10**6 else t for t, _, _ in rows]
    df = pl.DataFrame(
        {
            "ts": pl.Series([0 if t == 1 else t for t in ts], dtype=pl.Int64)
            .cast(pl.Datetime("ns", "UTC"))
            .dt.convert_time_zone("Asia/Kolkata"),
            "ltp": pl.Series([r[1] for r in rows], dtype=pl.Float64),
            "volume": pl.Series([r[2] for r in rows], dtype=pl.Int64),
        }
    )
    if src:
        df = df.with_columns(src=pl.Series(src))
    if day:
        df = df.with_columns(file_date=pl.lit(day))
    df.write_parquet(path)
    return path


NEXT_DAY = OPEN + 86_400 * S
ZERO = 10**6 + 1  # epoch, about


def table_of(ticks: Ticks) -> list[tuple[int, ...]]:
    return [((int(t["recv_ns"]) - OPEN) // S, int(t["inst"]), int(t["price"]), int(t["volume"])) for t in ticks]


def test_arrival_is_the_latest_stamp_of_the_day_so_far() -> None:
    stamps = np.array([0, NEXT_DAY, OPEN + 5 * S, OPEN + 3 * S, 0, NEXT_DAY, OPEN + 7 * S, OPEN - 86_400 * S], dtype=np.int64)
    expected = [START, START, *[OPEN + 5 * S] * 4, *[OPEN + 7 * S] * 2]
    assert arrival_ns(stamps, DAY, START).tolist() == expected


def test_no_row_advances_the_clock_of_a_recording_that_starts_early() -> None:
    stamps = np.array([0, START - 10 * S, 0, START - 20 * S, START - 5 * S])
    assert arrival_ns(stamps, DAY, START).tolist() == [*[START - 10 * S] * 4, START - 5 * S]
    assert arrival_ns(np.zeros(2, np.int64), DAY, START).tolist() == [START, START]


def test_every_row_arrives_merged_by_time_then_instrument_then_file_order(tmp_path: Path) -> None:
    save(tmp_path / "B.parquet", [(ZERO, 10.0, 1), (2, 10.05, 5), (1, 10.1, 4), (NEXT_DAY, 10.2, 9), (4, 10.3, 9)])
    save(tmp_path / "A.parquet", [(2, 20.0, 7), (2, 20.0, 7), (3, None, None)])
    got = RecordedTicks([tmp_path], {"B": 0, "A": 1}, [True, True], TABLE).ticks(DAY)
    assert got.dtype == TICK
    assert table_of(got) == [
        (-900, 0, 1000, 1),
        (2, 0, 1005, 5),
        (2, 0, 1010, 4),
        (2, 0, 1020, 9),
        (2, 1, 2000, 7),
        (2, 1, 2000, 7),
        (3, 1, 0, -1),
        (4, 0, 1030, 9),
    ]
    assert got["event_ns"].tolist()[:4] == [ZERO, OPEN + 2 * S, OPEN + S, NEXT_DAY]


def test_two_recorders_of_one_day_have_two_clocks(tmp_path: Path) -> None:
    save(tmp_path / "A.parquet", [(100, 1.0, 3), (101, 1.1, 4), (1, 0.9, 1), (2, 0.95, 2)], ["x", "x", "y", "y"])
    got = RecordedTicks([tmp_path], {"A": 0}, [True], TABLE).ticks(DAY)
    assert table_of(got) == [(1, 0, 90, 1), (2, 0, 95, 2), (100, 0, 100, 3), (101, 0, 110, 4)]


def test_an_index_has_no_volume_and_prices_round_to_paise(tmp_path: Path) -> None:
    save(tmp_path / "N.parquet", [(1, 14610.35, 0), (2, 0.29, 5), (3, 1e12, 5), (4, -1.0, 5)])
    got = RecordedTicks([tmp_path], {"N": 0}, [False], TABLE).ticks(DAY)
    assert got["volume"].tolist() == [-1] * 4
    assert got["price"].tolist() == [1461035, 29, 0, -100]


def test_csv_symbol_column_and_days_of_stamps(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(
        "ts,symbol,ltp,volume\n1970-01-01 05:30:00,M&M,1.0,5\n"
        "2021-04-12 09:15:01,M&M,1.0,5\n1970-01-01 05:30:00,M&M,1.0,5\n2021-04-13 09:15:01,M&M,2.0,6\n"
        "2021-04-13 09:15:02,OTHER,3.0,7\n2021-04-15 09:15:02,OTHER,3.0,7\n"
    )
    recorded = RecordedTicks([tmp_path / "all.csv"], {"M&M": 0}, [True], TABLE)
    assert recorded.days() == [date(2021, 4, 12), date(2021, 4, 13)]
    assert table_of(recorded.ticks(DAY)) == [(-900, 0, 100, 5), (1, 0, 100, 5), (1, 0, 100, 5)]
    assert recorded.ticks(date(2021, 4, 13))["price"].tolist() == [200]


def test_a_file_is_named_after_its_symbol(tmp_path: Path) -> None:
    save(tmp_path / "M_M.parquet", [(1, 1.0, 1)])
    save(tmp_path / "UNKNOWN.parquet", [(1, 1.0, 1)], day=date(2021, 4, 13))
    recorded = RecordedTicks([tmp_path], {"M&M": 0}, [True], TABLE)
    assert recorded.days() == [DAY]
    assert recorded.ticks(DAY).shape == (1,)
    assert recorded.ticks(date(2021, 4, 13)).shape == (0,)
    with pytest.raises(CalendarError):
        recorded.ticks(date(2021, 4, 14))


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        RecordedTicks([tmp_path], {}, [], TABLE)
    whole = save(tmp_path / "A.parquet", [(1, 1.0, 1)]).read_bytes()
    (tmp_path / "A.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"A.parquet: expected a whole tick file, found a damaged or truncated one"):
        RecordedTicks([tmp_path], {"A": 0}, [True], TABLE)
    damaged = bytearray(whole)
    damaged[4:60] = bytes(56)
    (tmp_path / "A.parquet").write_bytes(bytes(damaged))
    with pytest.raises(InputError, match="damaged"):
        RecordedTicks([tmp_path], {"A": 0}, [True], TABLE).ticks(DAY)
    (tmp_path / "A.parquet").unlink()
    (tmp_path / "B.csv").write_text("when,ltp\n1,2\n")
    with pytest.raises(InputError, match="expected tick columns ts, ltp, volume; found when, ltp; rename ts"):
        RecordedTicks([tmp_path], {"B": 0}, [True], TABLE)
    (tmp_path / "B.csv").write_text("ts,ltp\nsoon,2\n")
    with pytest.raises(InputError, match="expected time stamps, found String"):
        RecordedTicks([tmp_path], {"B": 0}, [True], TABLE).days()


@given(st.lists(st.integers(0, 50), max_size=40).map(sorted), st.integers(1, 9))
def test_frames_cut_without_loss(recv: list[int], frame_ns: int) -> None:
    ticks = empty(TICK, len(recv))
    ticks["recv_ns"], ticks["price"] = recv, range(len(recv))
    got = list(frames(ticks, frame_ns))
    assert [int(p) for _, part in got for p in part["price"]] == list(range(len(recv)))
    assert all(now == part["recv_ns"][-1] for now, part in got)
    keys = [{int(r) // frame_ns for r in part["recv_ns"]} for _, part in got]
    assert all(len(key) == 1 for key in keys)
    assert len({min(key) for key in keys}) == len(keys)


def test_the_real_recordings_arrive_whole(shared: Path) -> None:
    folder = shared / "data" / "ticks" / "nse_2021"
    with (shared / "data" / "ticks.csv").open(encoding="utf-8") as handle:
        lines = {line["symbol"]: line for line in csv.DictReader(handle) if line["file"].startswith("ticks/nse_2021/")}
    symbols = sorted(lines)
    recorded = RecordedTicks([folder], {s: i for i, s in enumerate(symbols)}, [s != "NIFTY50" for s in symbols], TABLE)
    days = recorded.days()
    assert len(days) == max(int(line["file_dates"]) for line in lines.values())
    n = np.zeros(len(symbols), dtype=np.int64)
    zero_time = n.copy()
    for day in days:
        ticks = recorded.ticks(day)
        session = TABLE.get(day)
        n += np.bincount(ticks["inst"], minlength=len(symbols))
        zero_time += np.bincount(ticks["inst"][ticks["event_ns"] <= 10**15], minlength=len(symbols))
        of_day = (ticks["event_ns"] >= session.open_ns - 12 * 3600 * S) & (ticks["event_ns"] < session.close_ns + 8 * 3600 * S)
        early = ticks["event_ns"][of_day] - ticks["recv_ns"][of_day]  # the last rows before an older part of a file begins
        assert early.max() <= 10 * S and np.mean(early > 0) < 1e-3, "none may look as if from the future"
        assert sum(len(part) for _, part in frames(ticks)) == len(ticks)
    assert dict(zip(symbols, n.tolist(), strict=True)) == {s: int(line["ticks"]) for s, line in lines.items()}
    assert dict(zip(symbols, zero_time.tolist(), strict=True)) == {s: int(line["ts_before_2000"]) for s, line in lines.items()}


def test_one_stamp_that_runs_ahead_moves_no_clock():
    """A row of 10:15 stamped 14:15: what follows still arrives in its own time, and the row itself is from the future."""
    stamps = OPEN + np.arange(100) * 10**9
    stamps[40] += 4 * 3600 * 10**9
    recv = arrival_ns(stamps, DAY, OPEN - 900 * 10**9)
    assert recv[40] == stamps[39] and (recv[41:] == stamps[41:]).all()
    assert stamps[40] - recv[40] > 10**10, "the validator refuses it as from the future"
