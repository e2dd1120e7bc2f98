"""Feature vectors and labels against the sets they name and the bars they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from intraday.database.check_block import Block, Minutes, distinct, has
from intraday.database.check_rules import Spot, Tally
from intraday.database.check_snapshot import Snapshot
from intraday.database.copying import ints, text_literal, times
from intraday.database.partitions import key_of
from intraday.domain.arrays import GRID_ORIGIN_NS, I8, MINUTE_NS, Mask

_RULES = (
    "feature_without_bar", "feature_width", "feature_set", "feature_view", "label_without_bar", "label_set", "label_times",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sets:
    """What is registered: (timeframe, bytes a vector) by feature set, timeframe by label set (0: its definition names none)."""

    features: Mapping[str, tuple[int, int]]
    labels: Mapping[str, int]


def registered(snap: Snapshot, tally: Tally) -> Sets:
    """The sets, and whether each feature set has its view."""
    tally.looked(*_RULES)
    features = {
        i: (timeframe, 4 * n) for i, timeframe, n in snap.rows("SELECT id, timeframe, cardinality(names) FROM feature_sets")
    }
    labels = snap.rows("SELECT id, coalesce((definition->>'timeframe')::integer, 0) FROM label_sets")
    lost = [(i,) for i in sorted(features) if snap.value("SELECT to_regclass(%s) IS NULL", f'"features_{i}"')]
    tally.add("feature_view", lost, (f"features_{i}" for (i,) in lost), len(lost))
    return Sets(features, dict(labels))


def check_features(snap: Snapshot, block: Block, minutes: Minutes, sets: Sets, floor_ns: int, tally: Tally) -> None:
    """Every vector of the block. ``floor_ns``: bars from then on are there."""
    groups = snap.rows(
        f"SELECT feature_set_id, source::text FROM features WHERE {block.where} GROUP BY 1, 2 ORDER BY 1, 2"  # nosec B608
    )
    for set_id, source in groups:
        where = f"feature_set_id = {text_literal(set_id)} AND source = '{source}' AND {block.where}"
        table = snap.arrow(f"SELECT instrument_id, ts, octet_length(vector) AS width FROM features WHERE {where}")  # nosec B608
        ids, ts, width = ints(table, "instrument_id"), times(table, "ts"), ints(table, "width")
        known = sets.features.get(set_id)
        if known is None:
            _tell(block, tally, "feature_set", ("features", set_id, source), ids, ts)
            continue
        timeframe, expected = known
        wrong = width != expected
        _tell(block, tally, "feature_width", ("features", set_id, source), ids[wrong], ts[wrong])
        bare = ~wrong & (ts >= floor_ns) & ~has(_buckets(minutes.keys, timeframe), _exact(ids, ts))
        _tell(block, tally, "feature_without_bar", ("features", set_id, source), ids[bare], ts[bare])


def check_labels(snap: Snapshot, block: Block, minutes: Minutes, sets: Sets, floor_ns: int, tally: Tally) -> None:
    """Every label of the block."""
    groups = snap.rows(f"SELECT label_set_id FROM labels WHERE {block.where} GROUP BY 1 ORDER BY 1")  # nosec B608
    for (set_id,) in groups:
        where = f"label_set_id = {text_literal(set_id)} AND {block.where}"
        table = snap.arrow(f"SELECT instrument_id, ts, entry_ts, t1 FROM labels WHERE {where}")  # nosec B608
        ids, ts, entry, t1 = ints(table, "instrument_id"), times(table, "ts"), times(table, "entry_ts"), times(table, "t1")
        place = ("labels", set_id, None)
        timeframe = sets.labels.get(set_id)
        if timeframe is None:
            _tell(block, tally, "label_set", place, ids, ts)
            continue
        early = (entry <= ts) | (t1 < entry)
        _tell(block, tally, "label_times", place, ids[early], ts[early])
        bare = ~early & (ts >= floor_ns) & ~has(minutes.keys, _exact(ids, entry))
        if timeframe:
            bare |= ~early & (ts >= floor_ns) & ~has(_buckets(minutes.keys, timeframe), _exact(ids, ts))
        _tell(block, tally, "label_without_bar", place, ids[bare], ts[bare])


def _buckets(keys: I8, timeframe: int) -> I8:
    """Keys of the buckets that these minutes are in."""
    minute = keys & 0xFFFFFFFF
    return distinct(keys - (minute - GRID_ORIGIN_NS // MINUTE_NS) % timeframe)


def _exact(ids: I8, ts_ns: I8) -> I8:
    """``key_of``; -1, the key of nothing, where the time is no whole minute."""
    odd: Mask = ts_ns % MINUTE_NS != 0
    return np.where(odd, -1, key_of(ids, ts_ns))


def _tell(block: Block, tally: Tally, rule: str, place: Spot, ids: I8, ts_ns: I8) -> None:
    order = np.lexsort((ids, ts_ns))  # rows come as the server likes: every server shall give the same examples

    def spots() -> Iterator[Spot]:
        return ((*place, i, ts) for i, ts in zip(ids[order].tolist(), ts_ns[order].tolist(), strict=True))

    if ids.size:
        texts = (f"{block.say(i, ts)}, set {set_id}" for _, set_id, _, i, ts in spots())
        tally.add(rule, spots(), texts, ids.size)
