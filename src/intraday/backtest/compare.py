"""Stored rows against recomputed rows, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, I4, I8, Bars, empty
from intraday.domain.events import Signal

Rows = NDArray[Any]

SIGNAL = np.dtype(
    [
        ("ts_ns", "i8"),
        ("inst", "i4"),
        ("action", "U4"),
        ("decided_ns", "i8"),
        ("valid_until_ns", "i8"),
        ("observe", "?"),
        ("model_id", "U64"),
        ("confidence", "f8"),
        ("p_down", "f8"),
        ("p_hold", "f8"),
        ("p_up", "f8"),
        ("price", "f8"),
        ("stop", "f8"),
        ("target", "f8"),
        ("expected", "f8"),
        ("chase", "f8"),
        ("quantity", "i8"),
        ("reasons", "O"),  # a tuple
        ("note", "O"),  # a string: few are long, and most are empty
    ]
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what it should be. ``stored`` or ``again`` is "absent" where the row exists on one side only."""

    what: str  # candle, feature or signal
    check: str  # which recomputation disagreed
    inst: int
    ts_ns: int
    field: str
    stored: str
    again: str


def signal_rows(signals: Sequence[Signal]) -> Rows:
    """SIGNAL rows of signals."""
    rows = empty(SIGNAL, len(signals))
    for i, s in enumerate(signals):
        rows[i] = (
            s.bar_ns, s.inst, str(s.action), s.decided_ns, s.valid_until_ns, s.observe, s.model_id,
            s.confidence, s.p_down, s.p_hold, s.p_up, s.price, s.stop, s.target, s.expected, s.chase, s.quantity, s.reasons, s.note,
        )  # fmt: skip
    return rows


def feature_rows(ts_ns: I8, inst: I4, x: F4, names: Sequence[str]) -> Rows:
    """Structured rows with one field a feature."""
    rows = empty(np.dtype([("ts_ns", "i8"), ("inst", "i4"), *((n, "f4") for n in names)]), len(ts_ns))
    rows["ts_ns"], rows["inst"] = ts_ns, inst
    for i, name in enumerate(names):
        rows[name] = x[:, i]
    return rows


def no_features(names: Sequence[str]) -> Rows:
    """No rows, with the fields of ``feature_rows``."""
    return feature_rows(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, len(names)), np.float32), names)


def newest(rows: Rows) -> Rows:
    """The last row of each (ts, inst), ordered by (ts, inst)."""
    keys = _keys(rows)[::-1]
    _, first = np.unique(keys, return_index=True)
    kept: Rows = rows[len(rows) - 1 - first]
    return kept


def compare(what: str, check: str, stored: Rows, again: Rows) -> Iterator[Difference]:
    """Every difference between two sets of rows with one row a (ts, inst). NaN equals NaN; nothing else is forgiven."""
    keys, other = _keys(stored), _keys(again)
    common, i, j = np.intersect1d(keys, other, assume_unique=True, return_indices=True)
    for rows, mine, side in ((stored, keys, "stored"), (again, other, "again")):
        for row in rows[~np.isin(mine, common)]:
            at = ("present", "absent") if side == "stored" else ("absent", "present")
            yield Difference(what, check, int(row["inst"]), int(row["ts_ns"]), "row", *at)
    names = stored.dtype.names or ()
    for name in names:
        a, b = stored[name][i], again[name][j]
        differs = a != b
        if a.dtype.kind == "f":
            differs &= ~(np.isnan(a) & np.isnan(b))
        for k in np.flatnonzero(differs):
            yield Difference(what, check, int(common[k]["inst"]), int(common[k]["ts_ns"]), name, str(a[k]), str(b[k]))


def changed_minutes(stored: Bars, best: Bars) -> Rows:
    """(ts_ns, inst) of the minutes whose candle differs in price or volume, or exists on one side only."""
    names = ["ts_ns", "inst", "open", "high", "low", "close", "volume"]
    found = {(d.ts_ns, d.inst) for d in compare("candle", "", stored[names], best[names])}
    return np.array(sorted(found), dtype=[("ts_ns", "i8"), ("inst", "i4")])


def _keys(rows: Rows) -> Rows:
    keys = np.empty(len(rows), dtype=[("ts_ns", "i8"), ("inst", "i4")])
    keys["ts_ns"], keys["inst"] = rows["ts_ns"], rows["inst"]
    return keys
