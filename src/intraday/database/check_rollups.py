"""The 5, 15 and 60 minute bars against what the kernel makes of the one-minute bars: SQL and kernel must agree to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intraday.core.candles import HistoricalAggregator
from intraday.database.check_block import Block, Minutes, bars_of, distinct, has, hour_of, keys_of
from intraday.database.check_rules import Tally
from intraday.database.check_snapshot import Snapshot
from intraday.database.copying import ints, nanoseconds
from intraday.domain.arrays import GRID_ORIGIN_NS, I8, MINUTE_NS, Bars, Mask

TIMEFRAMES = (5, 15, 60)
_FIELDS = ("open", "high", "low", "close", "volume", "n_ticks", "flags")
_COLUMNS = "instrument_id, ts, open, high, low, close, volume::double precision AS volume, flags, n_ticks, n_minutes"


@dataclass(frozen=True, slots=True)
class Noted:
    """What ``rollup_pending`` says is still to be made: whole hours ``start_ns <= ts < end_ns`` of ``ids``; none: of everybody."""

    start_ns: int
    end_ns: int
    ids: frozenset[int]


def noted(snap: Snapshot, tally: Tally) -> list[Noted]:
    """The notes, which are findings themselves."""
    rows = snap.rows("SELECT from_ts, to_ts, instrument_ids FROM rollup_pending ORDER BY id")
    tally.looked("timeframes_behind", "timeframe")
    texts = (f"{len(ids) or 'all'} instruments, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC" for start, end, ids in rows)
    tally.add("timeframes_behind", (), texts, len(rows))
    return [Noted(hour_of(nanoseconds(a)), hour_of(nanoseconds(b) - 1) + 60 * MINUTE_NS, frozenset(ids)) for a, b, ids in rows]


def check_timeframes(snap: Snapshot, block: Block, minutes: Minutes, floor_ns: int, notes: Sequence[Noted], tally: Tally) -> None:
    """Compare every bucket from ``floor_ns`` on (retention took what is older), except those a note or a bad minute explains."""
    for timeframe in TIMEFRAMES:
        table = snap.arrow(f"SELECT {_COLUMNS} FROM ohlcv_{timeframe}min WHERE {block.where}")  # nosec B608
        stored, counted = bars_of(table, block.ids), ints(table, "n_minutes")
        order = np.lexsort((stored["ts_ns"], stored["inst"]))
        stored, counted = stored[order], counted[order]
        made, n_minutes = _made(block, minutes, timeframe)
        wrong = _differences(block, (stored, counted), (made, n_minutes))
        keys = wrong[~_explained(block, wrong, minutes, floor_ns, notes, timeframe)]
        if keys.size:
            spots = [_place(int(key)) for key in keys]
            texts = (f"{block.say(i, ts)} ({timeframe} minutes)" for i, ts in spots)
            tally.add("timeframe", spots, texts, keys.size)


def _made(block: Block, minutes: Minutes, timeframe: int) -> tuple[Bars, I8]:
    """What the kernel makes, ordered by key, and how many minutes are in each."""
    made = HistoricalAggregator(len(block.instruments)).aggregate(minutes.bars, timeframe)
    made = made[np.lexsort((made["ts_ns"], made["inst"]))]
    bucket = minutes.bars.copy()
    bucket["ts_ns"] -= (bucket["ts_ns"] - GRID_ORIGIN_NS) % (timeframe * MINUTE_NS)
    _, n_minutes = np.unique(keys_of(block, bucket), return_counts=True)
    return made, n_minutes


def _differences(block: Block, stored: tuple[Bars, I8], made: tuple[Bars, I8]) -> I8:
    """Keys of the buckets that are not the same on both sides, ascending."""
    a, b = keys_of(block, stored[0]), keys_of(block, made[0])
    both = has(b, a)
    at = np.searchsorted(b, a[both])
    left, right = stored[0][both], made[0][at]
    same = stored[1][both] == made[1][at]
    for name in _FIELDS:
        x, y = left[name], right[name]
        same &= (x == y) | ((x != x) & (y != y))
    # A stored bucket off the grid has a key of no bucket, or the key of one cut to the minute.
    off = left["ts_ns"] != right["ts_ns"]
    return distinct(np.concatenate((a[~both], a[both][~same | off], b[~has(a, b)])))


def _explained(block: Block, keys: I8, minutes: Minutes, floor_ns: int, notes: Sequence[Noted], timeframe: int) -> Mask:
    """bool [n]: buckets that can't be compared, will be made, or hold a minute that is a finding itself."""
    ts, ids = (keys & 0xFFFFFFFF) * MINUTE_NS, keys >> 32
    explained = ts < floor_ns
    for note in notes:
        mine = np.isin(ids, list(note.ids)) if note.ids else np.ones(len(ids), dtype=np.bool_)
        explained |= mine & (ts >= note.start_ns) & (ts < note.end_ns)
    bad = minutes.bars[~minutes.sane]
    if bad.size:
        bad["ts_ns"] -= (bad["ts_ns"] - GRID_ORIGIN_NS) % (timeframe * MINUTE_NS)
        explained |= has(distinct(keys_of(block, bad)), keys)
    return explained


def _place(key: int) -> tuple[int, int]:
    """(instrument, ns) of a key."""
    return key >> 32, (key & 0xFFFFFFFF) * MINUTE_NS
