"""How bars get in, inside a transaction: new minutes by COPY, known ones recognised, the rest by the rules of ``store_bars``.

Bars go block by block in the order of the primary key, so that memory does not grow with the call.
docs/adr/0011-bar-versions.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intraday.database.bar_rows import SELECT, VALUES, copy_bars
from intraday.database.copying import floats, ids_literal, ints, stamp, text_literal, time_literal, times
from intraday.database.partitions import key_of, range_condition
from intraday.database.pool import Connection, Database
from intraday.domain.arrays import I8, MINUTE_NS, Bars, Mask
from intraday.domain.ports import Source, WriteReport

_BLOCK = 1 << 18  # bars compared and stored at a time: 17 MB of them, and about 60 MB of work


@dataclass(frozen=True, slots=True)
class Block:
    """Bars of consecutive primary keys, with the database id and the key of each."""

    bars: Bars
    instrument: I8
    keys: I8

    @property
    def owners(self) -> list[int]:
        """Whose bars they are."""
        return [int(i) for i in np.unique(self.instrument)]

    @property
    def where(self) -> str:
        """SQL for the smallest range of each of the owners that holds them all."""
        return range_condition(self.owners, int(self.bars["ts_ns"].min()), int(self.bars["ts_ns"].max()) + MINUTE_NS)


@dataclass(frozen=True, slots=True)
class Incoming:
    """Bars to store. ``instrument``: the database id of each; ``order``: by primary key, None: they are in that order."""

    bars: Bars
    instrument: I8
    order: I8 | None

    @classmethod
    def of(cls, ids: Sequence[int], bars: Bars) -> Incoming:
        """Bars of ``ids[inst]`` in any order; a minute of an instrument occurs once."""
        assert bool((bars["ts_ns"] % MINUTE_NS == 0).all()), "bars are named by a whole minute"
        instrument = np.asarray(ids, dtype=np.int64)[bars["inst"]]
        keys = key_of(instrument, bars["ts_ns"])
        if bool((keys[1:] > keys[:-1]).all()):
            return cls(bars, instrument, None)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        assert bool((keys[1:] > keys[:-1]).all()), "two bars for one minute of an instrument"
        return cls(bars, instrument, order)

    @property
    def owners(self) -> list[int]:
        """Whose bars they are."""
        return [int(i) for i in np.unique(self.instrument)]

    def blocks(self) -> Iterator[Block]:
        """All of them in the order of the primary key."""
        for start in range(0, self.bars.shape[0], _BLOCK):
            part = slice(start, start + _BLOCK)
            rows: Any = part if self.order is None else self.order[part]
            bars, instrument = self.bars[rows], self.instrument[rows]
            yield Block(bars, instrument, key_of(instrument, bars["ts_ns"]))


def store(database: Database, connection: Connection, new: Block, source: Source, known_ns: int) -> WriteReport:
    """Store a block in the connection's transaction, which holds the locks of its owners, and note what the timeframes lack."""
    fresh, same = _compare(database, connection, new, source)
    copy_bars(connection, "ohlcv_1min", new.instrument, new.bars, source, known_ns, fresh)
    inserted, unchanged, revised, changed = _store_others(connection, new, ~(fresh | same), source, known_ns)
    n_fresh = int(fresh.sum())
    if n_fresh + changed:
        touched = new.bars["ts_ns"][~same]
        span = f"{time_literal(int(touched.min()))}, {time_literal(int(touched.max()) + MINUTE_NS)}"
        connection.execute(f"SELECT note_rollups({ids_literal(new.owners)}, {span})")
    return WriteReport(n_fresh + inserted, int(same.sum()) + unchanged, revised)


def _compare(database: Database, connection: Connection, new: Block, source: Source) -> tuple[Mask, Mask]:
    """(nobody has a bar for it yet, this source's best bar is the same) for each incoming row."""
    n = new.keys.shape[0]
    if connection.execute(f"SELECT 1 FROM ohlcv_1min WHERE {new.where} LIMIT 1").fetchone() is None:  # nosec B608
        return np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    # Another connection may read: whoever could change these rows waits for our lock.
    own = f"source = {text_literal(source.value)}::source AS own"
    table = database.arrow(f"SELECT {SELECT}, {own} FROM ohlcv_1min WHERE {new.where}")  # nosec B608
    if table.num_rows == 0:
        return np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    keys = key_of(ints(table, "instrument_id"), times(table, "ts"))
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, new.keys, sorter=order), keys.shape[0] - 1)
    match = order[at]
    known = keys[match] == new.keys
    same = known & np.asarray(table.column("own").to_numpy(), dtype=np.bool_)[match]
    for name in VALUES:
        old = floats(table, name)[match]
        same &= (old == new.bars[name]) | (np.isnan(old) & np.isnan(new.bars[name].astype(np.float64)))
    return ~known, same


def _store_others(connection: Connection, new: Block, keep: Mask, source: Source, known_ns: int) -> tuple[int, int, int, int]:
    """The slow road: (inserted, unchanged, revised, best rows changed) by ``store_bars``."""
    if not keep.any():
        return 0, 0, 0, 0
    connection.execute("CREATE TEMP TABLE incoming (LIKE ohlcv_1min) ON COMMIT DROP")
    copy_bars(connection, "incoming", new.instrument, new.bars, source, known_ns, keep)
    # A plan for the rows at hand: made for any number, it looks every row up by itself.
    connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    row: Any = connection.execute(
        """SELECT inserted, unchanged, revised, best_changed FROM (
             SELECT array_agg(instrument_id) a, array_agg(ts) b, array_agg(open) c, array_agg(high) d, array_agg(low) e,
                    array_agg(close) f, array_agg(volume) g, array_agg(n_ticks) h, array_agg(flags) i FROM incoming) x
           CROSS JOIN LATERAL store_bars(%s::source, %s::timestamptz, a, b, c, d, e, f, g, h, i)""",
        (source.value, stamp(known_ns // 1000 * 1000)),
    ).fetchone()
    connection.execute("DROP TABLE incoming")
    return int(row[0]), int(row[1]), int(row[2]), int(row[3])
