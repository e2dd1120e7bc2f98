"""One-minute bars, every version of them: can they be, and is the best one the best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from intraday.core.validate import CandleValidator
from intraday.database.check_block import Block, Minutes, bars_of, distinct, ist, keys_of
from intraday.database.check_rules import Spot, Tally
from intraday.database.check_snapshot import Snapshot
from intraday.database.copying import ints, times
from intraday.domain.arrays import I8, MINUTE_NS, Bars, Mask
from intraday.domain.session import Segment

Validators = Mapping[Segment, CandleValidator]
_COLUMNS = (
    "instrument_id, ts, open, high, low, close, volume::double precision AS volume, flags, n_ticks, "
    "source = 'import' AS by_import, source = 'broker' AS by_broker, version"
)
_RULES = ("not_a_minute", "outside_session", "bad_price", "bad_volume", "index_volume", "duplicate_version", "best_bar")
_VERSIONS = """
SELECT s.instrument_id, s.ts, coalesce((s.source, s.version) = (b.source, b.version), false) AS twice
FROM bar_superseded s LEFT JOIN ohlcv_1min b ON b.instrument_id = s.instrument_id AND b.ts = s.ts AND b.{span}
WHERE s.{where} AND (b.ts IS NULL OR s.source < b.source OR (s.source, s.version) = (b.source, b.version)
                     OR (s.source = b.source AND (s.known_at, s.version) > (b.known_at, b.version)))
ORDER BY s.ts, s.instrument_id"""


def check_minutes(snap: Snapshot, block: Block, validators: Validators, tally: Tally) -> Minutes:
    """Look at every version of every minute of the block; ``validators`` by whose hours an instrument keeps."""
    tally.looked(*_RULES)
    best = snap.arrow(f"SELECT {_COLUMNS} FROM ohlcv_1min WHERE {block.where}")  # nosec B608
    older = snap.arrow(f"SELECT {_COLUMNS}, source::text AS source FROM bar_superseded WHERE {block.where}")  # nosec B608
    bars, sane = _judge(block, best, "ohlcv_1min", validators, tally)
    superseded, _ = _judge(block, older, "bar_superseded", validators, tally)
    if older.num_rows:
        _versions(snap, block, tally)
    keys, more = keys_of(block, bars), keys_of(block, superseded)
    order = np.lexsort((bars["inst"], bars["ts_ns"]))

    def of(column: str) -> I8:
        return distinct(np.concatenate((keys[_bools(best, column)], more[_bools(older, column)])))

    return Minutes(bars[order], sane[order], distinct(np.concatenate((keys, more))), of("by_import"), of("by_broker"))


def _judge(block: Block, table: pa.Table, name: str, validators: Validators, tally: Tally) -> tuple[Bars, Mask]:
    """The rows as bars, and which of them a timeframe can be made of."""
    bars = bars_of(table, block.ids)
    ts, volume = bars["ts_ns"], bars["volume"]
    index = np.array([not i.has_volume for i in block.instruments], dtype=np.bool_)[bars["inst"]]
    odd = ts % MINUTE_NS != 0
    price = ~_sane(bars)
    negative = volume < 0.0  # NaN (no volume) is none
    surplus = index & ~np.isnan(volume)
    found = {
        "not_a_minute": odd,
        "outside_session": ~odd & ~_in_session(block, bars, validators),
        "bad_price": price,
        "bad_volume": negative & ~index,
        "index_volume": surplus,
    }
    for rule, bad in found.items():
        rows = np.flatnonzero(bad)
        if rows.size:
            rows = rows[_order(table, name, bars, rows)]
            tally.add(rule, _spots(block, table, name, bars, rows), _texts(block, bars, rows), rows.size)
    return bars, ~(price | negative | surplus)


def _in_session(block: Block, bars: Bars, validators: Validators) -> Mask:
    inside = np.zeros(len(bars), dtype=np.bool_)
    for segment, validator in validators.items():
        rows = np.array([i.segment is segment for i in block.instruments], dtype=np.bool_)[bars["inst"]]
        inside[rows] = validator.in_session(bars["ts_ns"][rows])
    return inside


def _order(table: pa.Table, name: str, bars: Bars, rows: I8) -> I8:
    """The rows by time, instrument, source and version: a server gives them in any order."""
    picked = table.take(pa.array(rows))
    source = () if name == "ohlcv_1min" else (picked.column("source").to_numpy(),)
    return np.lexsort((ints(picked, "version"), *source, bars["inst"][rows], bars["ts_ns"][rows]))


def _sane(bars: Bars) -> Mask:
    """As the importer wants them; a comparison with NaN is false."""
    o, h, low, c = bars["open"], bars["high"], bars["low"], bars["close"]
    return np.asarray((low > 0.0) & (h < np.inf) & (o >= low) & (o <= h) & (c >= low) & (c <= h), dtype=np.bool_)


def _spots(block: Block, table: pa.Table, name: str, bars: Bars, rows: I8) -> Iterator[Spot]:
    """(table, instrument, ns, source, version); source None: the best version, whatever it is."""
    ids, version = block.ids, ints(table, "version")
    sources: Sequence[str | None] = [None] * table.num_rows if name == "ohlcv_1min" else table.column("source").to_pylist()
    return ((name, ids[int(bars["inst"][k])], int(bars["ts_ns"][k]), sources[k], int(version[k])) for k in rows.tolist())


def _texts(block: Block, bars: Bars, rows: I8) -> Iterator[str]:
    for k in rows.tolist():
        bar = bars[k]
        prices = "/".join(f"{float(bar[field]):g}" for field in ("open", "high", "low", "close"))
        yield f"{block.instruments[int(bar['inst'])].key} {ist(int(bar['ts_ns']))} {prices}, volume {float(bar['volume']):g}"


def _versions(snap: Snapshot, block: Block, tally: Tally) -> None:
    query = _VERSIONS.format(span=block.span.replace("AND ts", "AND b.ts"), where=block.where.replace("AND ts", "AND s.ts"))
    table = snap.arrow(query)
    if table.num_rows == 0:
        return
    twice = _bools(table, "twice")
    rows = _places(table)
    for rule, mask in (("duplicate_version", twice), ("best_bar", ~twice)):
        picked = np.unique(rows[mask], axis=0)
        spots = [(int(a), int(b)) for a, b in picked.tolist()]
        tally.add(rule, spots, (block.say(a, b) for a, b in spots), len(spots))


def _places(table: pa.Table) -> I8:
    """int64 [n, 2]: instrument and ns of each row."""
    return np.column_stack((ints(table, "instrument_id"), times(table, "ts")))


def _bools(table: pa.Table, name: str) -> Mask:
    return np.asarray(table.column(name).to_numpy(), dtype=np.bool_)
