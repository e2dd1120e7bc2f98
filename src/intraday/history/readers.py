"""Bar files as strangers write them: Parquet or CSV in, BAR rows and a symbol out, or an InputError that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl

from intraday.domain.arrays import BAR, I8, Bars, empty
from intraday.domain.errors import InputError

FIELDS = ("ts", "date", "time", "open", "high", "low", "close", "volume", "symbol")
PRICES = ("open", "high", "low", "close")
# Names under which strangers keep a field, best first; compared in lower case, without <> and spaces around.
NAMES: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "datetime", "date_time", "date time", "time_stamp", "ts_ns"),
    "date": ("date", "day", "trade_date"),
    "time": ("time", "minute"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "ltp"),
    "volume": ("volume", "vol", "v", "qty", "traded_volume"),
    "symbol": ("symbol", "ticker", "tradingsymbol", "trading_symbol", "instrument", "scrip"),
}
MISSING = ["", "NA", "N/A", "null", "NULL", "None", "-"]
# Tried in order on the first cells; "%.f" also matches no fraction. Day before month, as in India; anything else by --time-format.
TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M", "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d %H%M", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y %H:%M",
)  # fmt: skip
EPOCH_UNITS = ((10**9, 1e11), (10**6, 1e14), (10**3, 1e17), (1, float("inf")))  # (ns in one, below): s, ms, us, ns


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file; the defaults guess.

    ``columns``: our field (one of FIELDS) to the file's column. ``tz``: zone of stamps that carry none. ``time_format``: chrono
    format of text stamps. ``separator``: of CSV files.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    tz: str = "Asia/Kolkata"
    time_format: str | None = None
    separator: str = ","


@dataclass(frozen=True, slots=True)
class RawBars:
    """A file's rows, BAR[n] in file order (``inst`` 0, missing cells NaN, missing stamps 0), and what it says of itself."""

    bars: Bars
    symbol: str | None  # of its symbol column
    has_volume_column: bool
    zone: str  # in which its stamps were read


def read_bars(path: Path, options: ReadOptions) -> RawBars:
    """Read one file. InputError when it is unreadable, empty, lacks a column, or a cell is not what its column says."""
    frame = _load(path, options)
    found = resolve_columns(frame.columns, options.columns, path)
    if frame.height == 0:
        raise InputError(f"{path}: expected bars, found a file without rows")
    bars = empty(BAR, frame.height)
    bars["ts_ns"], zone = _stamps(frame, found, options, path)
    for name in PRICES:
        bars[name] = _numbers(frame, found[name], path)
    bars["volume"] = _numbers(frame, found["volume"], path) if "volume" in found else np.nan
    return RawBars(bars, _symbol(frame, found, path), "volume" in found, zone)


def _load(path: Path, options: ReadOptions) -> pl.DataFrame:
    """The columns of a file; CSV cells as text, so that a bad cell can be named."""
    try:
        if path.suffix.lower() == ".parquet":
            wanted = resolve_columns(list(pl.read_parquet_schema(path)), options.columns, path)
            return pl.read_parquet(path, columns=sorted(set(wanted.values())))
        return pl.read_csv(path, separator=options.separator, infer_schema=False, null_values=MISSING)
    except FileNotFoundError:
        raise InputError(f"{path}: expected a bar file, found nothing there; check the path") from None
    except pl.exceptions.NoDataError:
        raise InputError(f"{path}: expected a bar file, found an empty one; get it again or leave it out") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "CSV"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{path}: expected a whole {kind} file, found a damaged or truncated one ({reason}); get it again"
        ) from error


def resolve_columns(columns: Iterable[str], chosen: Mapping[str, str], path: Path) -> dict[str, str]:
    """Our field to the file's column. InputError names what is missing, what was found, and the option to map it."""
    names = list(columns)
    for name, column in chosen.items():
        if name not in FIELDS or column not in names:
            expected = f"one of {', '.join(FIELDS)}" if name not in FIELDS else f"a column {column!r}"
            raise InputError(f"{path}: --map {name}={column}: expected {expected}, found columns {', '.join(names)}")
    plain = {column.strip().strip("<>").strip().lower(): column for column in reversed(names)}
    found = {name: plain[alias] for name in FIELDS for alias in reversed(NAMES[name]) if alias in plain} | dict(chosen)
    if "ts" not in found and ("date" in found) != ("time" in found):
        found["ts"] = found["date"] if "date" in found else found["time"]  # Kite names the whole stamp "date"
    missing = [name for name in PRICES if name not in found]
    if "ts" not in found and "date" not in found:
        missing.insert(0, "ts")
    if missing:
        raise InputError(
            f"{path}: expected columns ts, open, high, low, close; found {', '.join(names)}; "
            f"name the missing ones, e.g. --map {missing[0]}=NAME (missing: {', '.join(missing)})"
        )
    if "ts" in found:
        found.pop("date", None)
        found.pop("time", None)
    return found


def _numbers(frame: pl.DataFrame, column: str, path: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column as float64; empty cells NaN. InputError names the first cell that is no number."""
    series = frame[column]
    if series.dtype == pl.String:
        text = series.str.strip_chars()
        series = text.cast(pl.Float64, strict=False)
        bad = (series.is_null() & text.is_not_null() & ~text.is_in(MISSING)).arg_true()
        if bad.len():
            row = int(bad[0])
            raise InputError(
                f"{path}: row {row + 1}, column {column!r}: expected a number, found {text[row]!r} "
                f"({bad.len()} such cells); correct the file or map another column with --map"
            )
    elif not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise InputError(f"{path}: column {column!r}: expected numbers, found {series.dtype}; map another column with --map")
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _stamps(frame: pl.DataFrame, found: Mapping[str, str], options: ReadOptions, path: Path) -> tuple[I8, str]:
    """(ns since the epoch UTC, 0 where missing; the zone the stamps were read in)."""
    _require_zone(options.tz, path)
    if "ts" in found:
        series = frame[found["ts"]]
    else:
        day, clock = (frame[found[name]].cast(pl.String).str.strip_chars() for name in ("date", "time"))
        series = (day + " " + clock).alias(f"{found['date']} + {found['time']}")
    if series.dtype == pl.String:
        series = _parse_text(series.str.strip_chars(), options, path)
    if series.dtype.is_numeric():
        return _epoch(series), "UTC"
    if not isinstance(series.dtype, pl.Datetime):
        raise InputError(f"{path}: column {series.name!r}: expected time stamps, found {series.dtype}; map one with --map ts=NAME")
    zone = series.dtype.time_zone
    if zone is None:
        series = series.dt.replace_time_zone(options.tz, ambiguous="earliest", non_existent="null")
    return series.dt.timestamp("ns").fill_null(0).to_numpy(), zone or options.tz


def _require_zone(tz: str, path: Path) -> None:
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError(f"{path}: --tz {tz}: expected a zone name such as Asia/Kolkata or UTC") from None


def _parse_text(text: pl.Series, options: ReadOptions, path: Path) -> pl.Series:
    """Text stamps as Datetime (naive, or UTC when they carry an offset) or as epoch numbers."""
    cells = text.drop_nulls()
    if cells.len() and cells.str.contains(r"^\d{9,19}(\.0*)?$").all():
        return text.str.replace(r"\.0*$", "").cast(pl.Int64)
    sample = cells.head(100)
    formats = (options.time_format,) if options.time_format else TIME_FORMATS
    fits = [f for f in formats if not _to_datetime(sample, f).null_count()]
    if not fits:
        shown = repr(sample[0]) if sample.len() else "none"
        raise InputError(
            f"{path}: column {text.name!r}: expected time stamps such as 2024-01-31 09:15:00, found {shown}; "
            "give their format with --time-format, e.g. '%m/%d/%Y %H:%M'"
        )
    stamps = _to_datetime(text, fits[0])
    bad = (stamps.is_null() & text.is_not_null()).arg_true()
    if bad.len():
        row = int(bad[0])
        raise InputError(
            f"{path}: row {row + 1}, column {text.name!r}: expected a time stamp like {sample[0]!r}, found {text[row]!r} "
            f"({bad.len()} such cells); correct the file or give --time-format"
        )
    return stamps


def _to_datetime(text: pl.Series, time_format: str) -> pl.Series:
    zone = "UTC" if "z" in time_format else None
    return text.str.to_datetime(time_format, strict=False, time_unit="us", time_zone=zone)


def _epoch(series: pl.Series) -> I8:
    """Epoch numbers as ns; the unit by their size (a second's stamp has ten digits until 2286)."""
    if series.dtype.is_float():
        series = series.fill_nan(0.0)
    values = series.fill_null(0).to_numpy()
    largest = float(np.abs(values).max(initial=0))
    scale = next(scale for scale, below in EPOCH_UNITS if largest < below)
    whole = values.astype(np.int64)
    return np.asarray(whole * scale + np.rint((values - whole) * scale).astype(np.int64), dtype=np.int64)


def _symbol(frame: pl.DataFrame, found: Mapping[str, str], path: Path) -> str | None:
    """The one symbol of the symbol column, None without one. InputError when there are several."""
    if "symbol" not in found:
        return None
    symbols = frame[found["symbol"]].cast(pl.String).str.strip_chars().drop_nulls().unique().sort().to_list()
    if len(symbols) > 1:
        shown = ", ".join(symbols[:3])
        raise InputError(f"{path}: expected one symbol a file, found {len(symbols)} ({shown} ...); split the file by symbol")
    return str(symbols[0]) if symbols else None
