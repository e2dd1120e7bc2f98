"""Recorded tick files as the feed they once were: every row, in the order in which it must have arrived.

A recording has exchange stamps but no receive times, and its rows stand in the order in which they were written down. So arrival is
rebuilt: within one recorder (instrument and source file) the clock is the latest stamp of the recording day seen so far. Defects
(zero times, other days, repeats, steps back, falling volume) are delivered like any tick: it is the engine's validator that must
see and count them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from intraday.domain.arrays import DAY_NS, I8, IST_NS, TICK, Ticks, empty
from intraday.domain.errors import InputError
from intraday.domain.session import EPOCH, SessionTable

SUFFIXES = (".parquet", ".csv")
AHEAD = 5  # rows that tell whether a stamp before them ran ahead
AHEAD_NS = 10_000_000_000  # live.validate.FUTURE_NS: what the engine takes for a stamp from the future
PRICE_MAX = 2**31 - 1  # paise; a price beyond it is delivered as 0, which no validator accepts
NAMES: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "exchange_timestamp"),
    "ltp": ("ltp", "last_price", "price"),
    "volume": ("volume", "volume_traded"),
    "day": ("file_date",),
    "symbol": ("symbol", "tradingsymbol"),
    "src": ("src",),
}


@dataclass(frozen=True, slots=True)
class _Recording:
    """One file, with its columns mapped to ours."""

    path: Path
    columns: Mapping[str, str]

    def scan(self) -> pl.LazyFrame:
        """Columns ts (Asia/Kolkata), ltp, volume, day, symbol, src of every row, in file order."""
        lazy, ours = _open(self.path), self.columns
        ts = pl.col(ours["ts"])
        kind = lazy.collect_schema()[ours["ts"]]
        if not isinstance(kind, pl.Datetime):
            raise InputError(f"{self.path}: column {ours['ts']!r}: expected time stamps, found {kind}; write them as date and time")
        ts = ts.dt.replace_time_zone("Asia/Kolkata") if kind.time_zone is None else ts.dt.convert_time_zone("Asia/Kolkata")
        # Without a recording day a row belongs to the day of its stamp; a stamp of 1970 to the day around it.
        own_day = pl.when(ts.dt.year() > 1970).then(ts.dt.date()).otherwise(None).forward_fill().backward_fill()
        return lazy.select(
            ts.alias("ts"),
            pl.col(ours["ltp"]).cast(pl.Float64).alias("ltp"),
            (pl.col(ours["volume"]).cast(pl.Int64) if "volume" in ours else pl.lit(None, pl.Int64)).alias("volume"),
            (pl.col(ours["day"]).cast(pl.Date) if "day" in ours else own_day).alias("day"),
            (pl.col(ours["symbol"]).cast(pl.String) if "symbol" in ours else pl.lit(self.path.stem)).alias("symbol"),
            (pl.col(ours["src"]).cast(pl.String) if "src" in ours else pl.lit("")).alias("src"),
        )


class RecordedTicks:
    """The ticks of recorded files, one day at a time; no more than a day is in memory.

    ``paths``: Parquet or CSV files, or folders of them, with columns ``ts``, ``ltp`` (rupees), ``volume`` (cumulative, the day's)
    and perhaps ``file_date`` (the recording day), ``symbol`` (else the file's name) and ``src`` (which recorder wrote the row).
    ``instruments``: symbol to dense row; rows of other symbols are not read. ``has_volume``: by dense row.
    Raises InputError for files that cannot be used.
    """

    def __init__(
        self, paths: Sequence[Path], instruments: Mapping[str, int], has_volume: Sequence[bool], sessions: SessionTable
    ) -> None:
        self._recordings = [_recording(path) for path in tick_files(paths)]
        # A file name cannot hold every symbol: M&M is M_M.parquet.
        self._inst = {file_name(symbol): inst for symbol, inst in instruments.items()} | dict(instruments)
        self._has_volume = np.asarray(has_volume, dtype=np.bool_)
        self._sessions = sessions

    def days(self) -> list[date]:
        """Days of recording of any of the instruments, ascending."""
        days: set[date] = set()
        for recording in self._recordings:
            wanted = recording.scan().filter(pl.col("symbol").is_in(list(self._inst)))
            days |= set(_collect(wanted.select(pl.col("day").unique()), recording.path)["day"].drop_nulls())
        return sorted(days)

    def ticks(self, day: date) -> Ticks:
        """TICK[n] recorded on ``day``, in order of arrival: by ``recv_ns``, then instrument, then place in the file.

        Nothing is dropped or repaired. ``volume`` is -1 where it is missing or the instrument has none, ``price`` and ``event_ns``
        are 0 where the cell is empty. CalendarError when the exchange was closed on ``day``.
        """
        start_ns = self._sessions.get(day).begin_ns  # when rows arrive that stand before the first valid stamp of their recorder
        parts = [part for recording in self._recordings for part in self._parts(recording, day, start_ns)]
        merged = np.concatenate(parts) if parts else empty(TICK)
        order = np.lexsort((merged["inst"], merged["recv_ns"]))  # lexsort is stable: file order among equals
        return merged[order]

    def _parts(self, recording: _Recording, day: date, start_ns: int) -> Iterator[Ticks]:
        """The day's rows of one file, one array for each recorder in it."""
        wanted = (pl.col("day") == day) & pl.col("symbol").is_in(list(self._inst))
        rows = _collect(recording.scan().filter(wanted), recording.path)
        for (symbol, _), part in rows.group_by("symbol", "src", maintain_order=True):
            inst = self._inst[str(symbol)]
            ticks = empty(TICK, part.height)
            ticks["event_ns"] = part["ts"].dt.timestamp("ns").fill_null(0).to_numpy()
            ticks["recv_ns"] = arrival_ns(ticks["event_ns"], day, start_ns)
            ticks["inst"] = inst
            ticks["price"] = _paise(part["ltp"].fill_null(np.nan).to_numpy())
            ticks["volume"] = part["volume"].fill_null(-1).to_numpy() if self._has_volume[inst] else -1
            yield ticks


def arrival_ns(event_ns: I8, day: date, start_ns: int) -> I8:
    """int64[n]: when each row of one recorder arrived: the latest stamp of ``day`` (IST) up to it, ``start_ns`` before the first.

    A row stamped on another day, or with no time at all, moves no clock; nor does one whose stamp runs ahead of all the next
    ``AHEAD`` rows by more than the engine forgives: one wrong stamp must not make the rest of the day look late. Where the first
    stamp of the day is older than ``start_ns``, the rows before it arrived with it.
    """
    of_day = (event_ns + IST_NS) // DAY_NS == (day - EPOCH).days
    first_ns = min(start_ns, int(event_ns[np.argmax(of_day)]) if of_day.any() else start_ns)
    clock = np.full(len(event_ns), first_ns)
    clock[of_day] = np.where(_runs_ahead(event_ns[of_day]), first_ns, event_ns[of_day])
    return np.maximum.accumulate(clock)


def _runs_ahead(stamps: I8) -> NDArray[np.bool_]:
    """bool[n]: all of the next ``AHEAD`` stamps lie more than ``AHEAD_NS`` below; the last rows have nothing to be held to."""
    ahead = np.zeros(len(stamps), np.bool_)
    if len(stamps) > AHEAD:
        following = np.lib.stride_tricks.sliding_window_view(stamps[1:], AHEAD).max(axis=1)
        ahead[:-AHEAD] = stamps[:-AHEAD] > following + AHEAD_NS
    return ahead


def frames(ticks: Ticks, frame_ns: int = 1_000_000_000) -> Iterator[tuple[int, Ticks]]:
    """``(now_ns, TICK[k])`` in order of arrival, one frame for each ``frame_ns`` in which something arrived.

    ``ticks`` ordered by ``recv_ns``; the frames are views of it. ``now_ns`` is the arrival of the frame's last tick.
    """
    if ticks.shape[0] == 0:
        return
    recv_ns = ticks["recv_ns"]
    assert np.all(recv_ns[1:] >= recv_ns[:-1]), "ticks must be in order of arrival"
    cuts = np.flatnonzero(np.diff(recv_ns // frame_ns)) + 1
    ends = np.append(cuts, recv_ns.shape[0])
    start = 0
    for end, now_ns in zip(ends.tolist(), recv_ns[ends - 1].tolist(), strict=True):
        yield now_ns, ticks[start:end]
        start = end


def tick_files(paths: Sequence[Path]) -> list[Path]:
    """The tick files under ``paths``, sorted within each folder. InputError when there are none."""
    found: list[Path] = []
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else (path,)
        found += sorted(p for p in inside if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: expected Parquet or CSV tick files, found none; check the path")
    return found


def file_name(symbol: str) -> str:
    """A symbol as a file is named after it: characters other than letters, digits, ``-`` and ``_`` become ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", symbol)


def _recording(path: Path) -> _Recording:
    try:
        names = _open(path).collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(path, error) from error
    plain = {name.strip().lower(): name for name in reversed(names)}
    columns = {ours: plain[alias] for ours, aliases in NAMES.items() for alias in reversed(aliases) if alias in plain}
    missing = [name for name in ("ts", "ltp") if name not in columns]
    if missing:
        raise InputError(f"{path}: expected tick columns ts, ltp, volume; found {', '.join(names)}; rename {', '.join(missing)}")
    return _Recording(path, columns)


def _open(path: Path) -> pl.LazyFrame:
    if path.suffix.lower() == ".parquet":
        return pl.scan_parquet(path)
    return pl.scan_csv(path, try_parse_dates=True, infer_schema_length=None)


def _collect(lazy: pl.LazyFrame, path: Path) -> pl.DataFrame:
    try:
        return lazy.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return InputError(f"{path}: expected a whole tick file, found a damaged or truncated one ({reason}); get it again")


def _paise(rupees: NDArray[Any]) -> NDArray[np.int64]:
    """Rupees to paise, rounded; 0 where missing or beyond what a price can be."""
    paise = np.rint(rupees * 100.0)
    return np.where(np.abs(paise) <= PRICE_MAX, paise, 0.0).astype(np.int64)
