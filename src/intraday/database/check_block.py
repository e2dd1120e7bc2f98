"""The parts a check of the time series goes by, month by month and a group of instruments at a time, and their one-minute bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa

from intraday.database.check_catalog import series_months
from intraday.database.check_snapshot import Snapshot
from intraday.database.copying import floats, ints, time_literal, times
from intraday.database.partitions import key_of, range_condition, rows_of
from intraday.domain.arrays import BAR, GRID_ORIGIN_NS, I8, MINUTE_NS, Bars, Mask, empty
from intraday.domain.instruments import Instrument

SERIES = ("ohlcv_1min", "bar_superseded", "features", "labels")
IST = timezone(timedelta(hours=5, minutes=30), "IST")
_HOUR_NS = 60 * MINUTE_NS
_DATED = (
    ("ohlcv_5min", "ts"),
    ("ohlcv_15min", "ts"),
    ("ohlcv_60min", "ts"),
    ("candle_gaps", "start_ts"),
    ("candle_fetches", "day"),
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is checked: ``start_ns <= ts < end_ns`` of ``ids``, None: of everybody."""

    start_ns: int
    end_ns: int
    ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Whole hours of the grid within a month, of some known instruments, ordered by id."""

    instruments: tuple[Instrument, ...]
    start_ns: int
    end_ns: int

    @property
    def ids(self) -> list[int]:
        """Database ids, ascending: position k is ``inst`` k."""
        return [i.id for i in self.instruments]

    @property
    def where(self) -> str:
        """The block in SQL."""
        return range_condition(self.ids, self.start_ns, self.end_ns)

    @property
    def span(self) -> str:
        """Its time alone in SQL."""
        return f"ts >= {time_literal(self.start_ns)} AND ts < {time_literal(self.end_ns)}"

    def say(self, instrument_id: int, ts_ns: int) -> str:
        """``NSE:INFY 2021-06-08 09:15``."""
        symbol = next((i.key for i in self.instruments if i.id == instrument_id), f"instrument {instrument_id}")
        return f"{symbol} {ist(ts_ns)}"


@dataclass(frozen=True, slots=True)
class Minutes:
    """All versions of the minutes of a block. ``bars``: the best ones, ordered by (ts, inst); ``by_import`` and ``by_broker``
    bool [n] beside them; ``sane`` bool [n]: fit for a timeframe. ``keys``: every minute with any version, ``import_keys`` and
    ``broker_keys`` those with one of that source; all as ``partitions.key_of``, ascending."""

    bars: Bars
    sane: Mask
    keys: I8
    import_keys: I8
    broker_keys: I8


def ist(ts_ns: int) -> str:
    """Indian time to the minute, with what is beyond where there is any."""
    at = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).astimezone(IST)
    return f"{at:%Y-%m-%d %H:%M}" if ts_ns % MINUTE_NS == 0 else f"{at:%Y-%m-%d %H:%M:%S}.{ts_ns // 1000 % 1_000_000:06d}"


def hour_of(ts_ns: int) -> int:
    """The hour of the 09:15 IST grid that an instant is in."""
    return ts_ns - (ts_ns - GRID_ORIGIN_NS) % _HOUR_NS


def months(snap: Snapshot, scope: Scope) -> list[tuple[int, int]]:
    """(start, end) of every month that holds anything, ascending; they begin at a whole hour of the grid, when nobody trades."""
    found = series_months(snap, SERIES)
    for table, column in _DATED:
        rows = snap.rows(f"SELECT DISTINCT date_trunc('month', {column}::timestamptz, 'UTC') FROM {table}")  # nosec B608
        found |= {(at.astimezone(UTC).year, at.astimezone(UTC).month) for (at,) in rows}
    spans = []
    for year, month in sorted(found):
        start, end = _begin(year, month), _begin(year + month // 12, month % 12 + 1)
        start, end = max(start, hour_of(scope.start_ns)), min(end, hour_of(scope.end_ns))
        if start < end:
            spans.append((start, end))
    return spans


def blocks(known: Sequence[Instrument], rows: Mapping[int, int], start_ns: int, end_ns: int, rows_max: int) -> Iterator[Block]:
    """Groups of instruments with about ``rows_max`` rows of the month together, at least one each. ``rows`` by id."""
    group: list[Instrument] = []
    n = 0
    for instrument in known:
        more = rows.get(instrument.id, 0)
        if group and n + more > rows_max:
            yield Block(tuple(group), start_ns, end_ns)
            group, n = [], 0
        group.append(instrument)
        n += more
    if group:
        yield Block(tuple(group), start_ns, end_ns)


def bars_of(table: pa.Table, ids: Sequence[int]) -> Bars:
    """BAR [n] of an Arrow table of any timeframe, in its order; ``inst`` by position in ``ids``, NULL volume NaN."""
    bars = empty(BAR, table.num_rows)
    bars["ts_ns"], bars["inst"] = times(table, "ts"), rows_of(ids, ints(table, "instrument_id"))
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = floats(table, name)
    for name in ("flags", "n_ticks"):
        bars[name] = ints(table, name)
    return bars


def keys_of(block: Block, bars: Bars) -> I8:
    """``key_of`` each row."""
    return key_of(np.asarray(block.ids, dtype=np.int64)[bars["inst"]], bars["ts_ns"])


def distinct(keys: I8) -> I8:
    """Each value once, ascending. numpy's unique hashes millions of them for longer than a sort takes."""
    ascending = np.sort(keys)
    if ascending.size == 0:
        return ascending
    return ascending[np.concatenate(([True], ascending[1:] != ascending[:-1]))]


def has(keys: I8, wanted: I8) -> Mask:
    """bool [n]: which of ``wanted`` are in ``keys`` (ascending)."""
    if keys.size == 0:
        return np.zeros(wanted.shape, dtype=np.bool_)
    at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.asarray(keys[at] == wanted, dtype=np.bool_)


def _begin(year: int, month: int) -> int:
    return hour_of(int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1_000_000_000)
