"""What the real sets should become in the database: computed from the files with polars, and from sessions.csv, not with our code.

The only thing shared with the program is the list of holidays and special sessions, read here as the data file it is.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path

import polars as pl

REGULAR = (9 * 60 + 15, 15 * 60 + 30)
SLICE = (
    "nse_lean_samples/", "nse_fut_samples/", "us_spy/", "nse_index_2021_2023/", "nse_2021_from_ticks/NIFTY50",
    "nse_2021_from_ticks/RELIANCE", "nse_2016/RELIANCE", "nse_2016/BOSCHLTD",
)  # fmt: skip


Candle = tuple[int, float, float, float, float, int]  # minute, open, high, low, close, minutes in it


@dataclass(frozen=True)
class SetFile:
    """A file of the manifest."""

    path: Path
    dataset: str
    symbol: str
    kind: str
    rows: int


def set_files(data: Path, everything: bool) -> list[SetFile]:
    """All files of the manifest, or a slice of them, sorted as they are imported."""
    with (data / "instruments.csv").open(encoding="utf-8") as handle:
        lines = list(csv.DictReader(handle))
    found = [SetFile(data / row["file"], row["dataset"], row["symbol"], row["kind"], int(row["rows"])) for row in lines]
    wanted = [f for f in found if everything or any(part in str(f.path) for part in SLICE)]
    return sorted(wanted, key=lambda f: f.path)


@cache
def calendar() -> pl.DataFrame:
    """One row a minute of continuous trading from 2013 to 2025: day, minute after midnight IST."""
    with files("intraday.domain").joinpath("nse_sessions.csv").open(encoding="utf-8") as handle:
        special = {date.fromisoformat(row["date"]): row for row in csv.DictReader(handle)}
    days: list[date] = []
    minutes: list[int] = []
    day = date(2013, 1, 1)
    while day < date(2026, 1, 1):
        inside = _hours(day, special.get(day))
        days += [day] * len(inside)
        minutes += inside
        day += timedelta(days=1)
    return pl.DataFrame({"day": days, "minute": minutes}, schema={"day": pl.Date, "minute": pl.Int32})


def read(file: SetFile) -> pl.DataFrame:
    """Every row of a file in its order, with: row (from 1), day, minute, what it is (fate)."""
    raw = pl.read_parquet(file.path).with_row_index("row", 1)
    seconds = pl.col("ts").dt.second() + pl.col("ts").dt.microsecond()
    minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute().cast(pl.Int32)
    frame = raw.with_columns(day=pl.col("ts").dt.date(), minute=minute)
    assert raw.select(seconds.sum()).item() == 0, "the sets have whole minutes"
    traded = calendar().with_columns(traded=pl.lit(value=True))
    frame = frame.join(traded, on=["day", "minute"], how="left").sort("row")
    return frame.with_columns(fate=_fate(frame, file.kind != "index")).drop("traded")


def missing(file: SetFile, frame: pl.DataFrame) -> pl.DataFrame:
    """Session minutes of the days from the file's first session to its last that it says nothing of: day, minute."""
    seen = frame.filter(pl.col("fate").is_in(["stored", "no_trade_padding"]))
    first, last = seen["day"].min(), seen["day"].max()
    return calendar().filter(pl.col("day").is_between(first, last)).join(seen, on=["day", "minute"], how="anti")


def candles(frame: pl.DataFrame, day: date, hours: list[tuple[int, int]], step: int) -> list[Candle]:
    """(first minute of the bucket, open, high, low, close, number of minutes) of a day's rows inside ``hours``, in plain Python."""
    buckets: dict[int, list[tuple[float, float, float, float]]] = {}
    seen = set()
    for row in frame.filter(pl.col("day") == day).sort("minute", "row").iter_rows(named=True):
        minute = row["minute"]
        if any(a <= minute < b for a, b in hours) and minute not in seen:
            seen.add(minute)
            start = minute - (minute - REGULAR[0]) % step
            buckets.setdefault(start, []).append((row["open"], row["high"], row["low"], row["close"]))
    return [
        (start, bars[0][0], max(b[1] for b in bars), min(b[2] for b in bars), bars[-1][3], len(bars))
        for start, bars in sorted(buckets.items())
    ]


def _hours(day: date, row: dict[str, str] | None) -> list[int]:
    if row is None:
        return [] if day.weekday() >= 5 else list(range(*REGULAR))
    if row["kind"] == "closed":
        return []
    pauses = [tuple(map(_minute, span.split("-"))) for span in row["pauses"].split()]
    return [m for m in range(_minute(row["open"]), _minute(row["close"])) if not any(a <= m < b for a, b in pauses)]


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _fate(frame: pl.DataFrame, has_volume: bool) -> pl.Series:
    """stored, or the reason a row is refused for, in the order of the rows."""
    fields = ["open", "high", "low", "close"] + (["volume"] if has_volume else [])
    inside = frame.filter(pl.col("traded").is_not_null()).sort("day", "minute", "row")
    again = (pl.col("day") == pl.col("day").shift()) & (pl.col("minute") == pl.col("minute").shift())
    first = [pl.col(name).first().over("day", "minute") for name in fields]
    same = pl.all_horizontal([pl.col(name) == value for name, value in zip(fields, first, strict=True)])
    inside = inside.with_columns(again=again.fill_null(value=False), same=same)
    repeats = inside.filter("again").select("row", fate=pl.when("same").then(pl.lit("duplicate")).otherwise(pl.lit("conflict")))
    kept = inside.filter(~pl.col("again"))
    before = pl.col("close").shift().fill_null(pl.col("close").first())
    flat = (pl.col("volume") == 0) & (pl.col("high") == pl.col("low")) & (pl.col("close") == before)
    word = pl.when(flat & has_volume).then(pl.lit("no_trade_padding")).otherwise(pl.lit("stored"))
    told = pl.concat([repeats, kept.select("row", fate=word)])
    return frame.select("row").join(told, on="row", how="left").sort("row")["fate"].fill_null("out_of_session")
