"""A minute's rows for the live writer: COPY's binary form where nobody has stored them yet, arrays for ``unnest`` otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from intraday.database.copying import Column, encode, stamp
from intraday.domain.arrays import I8, Bars
from intraday.domain.events import Alert, CountRejects, SaveFeatures, Signal

_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"

STORE_BARS = "SELECT best_changed FROM store_bars($1::text::source, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"

STORE_FEATURES = """
INSERT INTO features AS f (instrument_id, ts, source, feature_set_id, vector)
SELECT i, $1, $2::text::source, $3, v FROM unnest($4::integer[], $5::bytea[]) AS u (i, v)
ON CONFLICT (feature_set_id, source, instrument_id, ts) DO UPDATE SET vector = excluded.vector WHERE f.vector <> excluded.vector"""

STORE_SIGNALS = """
INSERT INTO signals AS s (source, feature_set_id, run_id, instrument_id, ts, decided_ns, valid_until_ns, action,
  confidence, p_down, p_hold, p_up, price, stop, target, observe, model_id, expected, chase, quantity, reasons, note)
SELECT $1::text::source, $2, $3, u.* FROM unnest($4::integer[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[],
  $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::float8[], $14::float8[], $15::float8[], $16::boolean[],
  $17::text[], $18::float8[], $19::float8[], $20::integer[], $21::jsonb[], $22::text[]) AS u
ON CONFLICT (source, model_id, instrument_id, ts) DO UPDATE SET feature_set_id = excluded.feature_set_id,
  run_id = excluded.run_id, decided_ns = excluded.decided_ns, valid_until_ns = excluded.valid_until_ns,
  action = excluded.action, confidence = excluded.confidence, p_down = excluded.p_down, p_hold = excluded.p_hold,
  p_up = excluded.p_up, price = excluded.price, stop = excluded.stop, target = excluded.target, observe = excluded.observe,
  expected = excluded.expected, chase = excluded.chase, quantity = excluded.quantity, reasons = excluded.reasons,
  note = excluded.note
WHERE (s.feature_set_id, s.decided_ns, s.valid_until_ns, s.action, s.confidence, s.p_down, s.p_hold, s.p_up, s.price,
  s.stop, s.target, s.observe, s.expected, s.chase, s.quantity, s.reasons, s.note)
  IS DISTINCT FROM (excluded.feature_set_id, excluded.decided_ns, excluded.valid_until_ns, excluded.action,
  excluded.confidence, excluded.p_down, excluded.p_hold, excluded.p_up, excluded.price, excluded.stop, excluded.target,
  excluded.observe, excluded.expected, excluded.chase, excluded.quantity, excluded.reasons, excluded.note)"""

STORE_REJECTS = """
INSERT INTO tick_rejects (run_id, counted_ns, instrument_id, ts, reason, n)
SELECT $1, $2, i, t, r, sum(n) FROM unnest($3::integer[], $4::timestamptz[], $5::text[], $6::bigint[]) AS u (i, t, r, n)
GROUP BY i, t, r
ON CONFLICT (run_id, counted_ns, instrument_id, ts, reason) DO NOTHING"""
STORE_ALERT = """
INSERT INTO alerts (digest, run_id, source, at_ns, level, topic, content)
VALUES ($1, $2, $3::text::source, $4, $5, $6, $7) ON CONFLICT (digest) DO NOTHING"""


_SIGNAL = np.dtype([
    ("bar_ns", "i8"), ("decided_ns", "i8"), ("valid_until_ns", "i8"), ("confidence", "f8"), ("p_down", "f8"), ("p_hold", "f8"),
    ("p_up", "f8"), ("price", "f8"), ("stop", "f8"), ("target", "f8"), ("observe", "?"), ("expected", "f8"), ("chase", "f8"),
    ("quantity", "i8"),
])  # fmt: skip
_MAY_MISS = ("stop", "target", "expected", "chase")
_VALUES = attrgetter(*(_SIGNAL.names or ()))


class Whose(NamedTuple):
    """What every row of a run says."""

    source: str
    feature_set_id: str
    run_id: str


class Copied(NamedTuple):
    """Rows for COPY: the columns in their order, and the whole stream in binary form."""

    columns: tuple[str, ...]
    stream: bytes


def bars_to_copy(ids: I8, bars: Bars, source: str, known_ns: int) -> Copied:
    """First versions of minutes. ``ids``: the database's, by bar."""
    volume = bars["volume"]
    parts = []
    for missing in (False, True):
        rows = np.flatnonzero(np.isnan(volume) == missing)
        b = bars[rows]
        parts.append([
            Column("instrument_id", "integer", ids[rows]),
            Column("ts", "timestamptz", b["ts_ns"]),
            *(Column(name, "double", b[name]) for name in ("open", "high", "low", "close")),
            Column("volume", "null") if missing else Column("volume", "bigint", b["volume"].astype(np.int64)),
            Column("n_ticks", "integer", b["n_ticks"]),
            Column("version", "integer", np.ones(b.shape, np.int64)),
            Column("known_at", "timestamptz", np.full(b.shape, known_ns)),
            Column("source", "text", source),
            Column("flags", "smallint", b["flags"]),
        ])  # fmt: skip
    return _joined(parts)


def bars_to_store(ids: I8, bars: Bars, source: str, known_ns: int) -> tuple[Any, ...]:
    """Arguments of STORE_BARS."""
    volume = [None if np.isnan(v) else int(v) for v in bars["volume"].tolist()]
    return (
        source, stamp(known_ns // 1000 * 1000), ids.tolist(), stamps(bars["ts_ns"]), bars["open"].tolist(), bars["high"].tolist(),
        bars["low"].tolist(), bars["close"].tolist(), volume, bars["n_ticks"].tolist(), bars["flags"].tolist(),
    )  # fmt: skip


def features_to_copy(ids: I8, effect: SaveFeatures, whose: Whose) -> Copied:
    """Vectors nobody has stored."""
    x = np.ascontiguousarray(effect.x, dtype="<f4")
    return _joined([[
        Column("instrument_id", "integer", ids),
        Column("ts", "timestamptz", np.full(ids.shape, effect.bar_ns)),
        Column("source", "text", whose.source),
        Column("feature_set_id", "text", whose.feature_set_id),
        Column("vector", "bytes", x.view(np.uint8).reshape(ids.shape[0], -1)),
    ]])  # fmt: skip


def features_to_store(ids: I8, effect: SaveFeatures, whose: Whose) -> tuple[Any, ...]:
    """Arguments of STORE_FEATURES."""
    x = np.ascontiguousarray(effect.x, dtype="<f4")
    return stamp(effect.bar_ns), whose.source, whose.feature_set_id, ids.tolist(), [row.tobytes() for row in x]


def signals_to_copy(ids: I8, signals: Sequence[Signal], whose: Whose) -> Copied:
    """Signals nobody has stored. ``ids``: the database's, by signal."""
    values = np.array([_VALUES(s) for s in signals], _SIGNAL)
    missing = np.stack([np.isnan(values[name]) for name in _MAY_MISS], axis=1).tolist()
    kinds: dict[tuple[Any, ...], list[int]] = {}  # most are HOLDs that say nothing more
    for k, s in enumerate(signals):
        kinds.setdefault((s.action, s.model_id, s.reasons, s.note, *missing[k]), []).append(k)
    parts = [_signal_columns(ids[rows], values[rows], signals[rows[0]], whose) for rows in kinds.values()]
    return _joined(parts)


def _signal_columns(ids: I8, values: Any, like: Signal, whose: Whose) -> list[Column]:
    """Signals that say the same in texts, and miss the same values, as ``like``."""
    doubles = ("confidence", "p_down", "p_hold", "p_up", "price", *_MAY_MISS)
    empty = {name for name in _MAY_MISS if np.isnan(getattr(like, name))}
    return [
        Column("source", "text", whose.source),
        Column("feature_set_id", "text", whose.feature_set_id),
        Column("run_id", "text", whose.run_id),
        Column("instrument_id", "integer", ids),
        Column("ts", "timestamptz", values["bar_ns"]),
        *(Column(name, "bigint", values[name]) for name in ("decided_ns", "valid_until_ns")),
        Column("action", "text", like.action.value),
        *(Column(name, "null") if name in empty else Column(name, "double", values[name]) for name in doubles),
        Column("observe", "bytes", values["observe"].view(np.uint8)[:, None]),
        Column("model_id", "text", like.model_id),
        Column("quantity", "integer", values["quantity"]),
        Column("reasons", "text", "\x01" + _reasons(like)) if like.reasons else Column("reasons", "null"),  # jsonb, version 1
        Column("note", "text", like.note),
    ]


def signals_to_store(ids: I8, signals: Sequence[Signal], whose: Whose) -> tuple[Any, ...]:
    """Arguments of STORE_SIGNALS."""
    rows = [
        (
            number, stamp(s.bar_ns), s.decided_ns, s.valid_until_ns, s.action.value, s.confidence, s.p_down, s.p_hold, s.p_up,
            s.price, _or_null(s.stop), _or_null(s.target), s.observe, s.model_id, _or_null(s.expected), _or_null(s.chase),
            s.quantity, _reasons(s) if s.reasons else None, s.note,
        )
        for number, s in zip(ids.tolist(), signals, strict=True)
    ]  # fmt: skip
    return whose.source, whose.feature_set_id, whose.run_id, *(list(column) for column in zip(*rows, strict=True))


def rejects_to_store(ids: I8, effect: CountRejects, run_id: str) -> tuple[Any, ...]:
    """Arguments of STORE_REJECTS. ``ids``: the database's, by dense row; instruments the run did not know become 0."""
    known = (effect.inst >= 0) & (effect.inst < len(ids))
    whose = np.where(known, ids[np.where(known, effect.inst, 0)], 0).tolist()
    minutes = stamps(np.maximum(effect.minute_ns, 0))
    return run_id, effect.now_ns, whose, minutes, list(effect.reason), effect.n.tolist()


def alert_to_store(a: Alert, whose: Whose) -> tuple[Any, ...]:
    """Arguments of STORE_ALERT."""
    key = "\x1f".join((whose.source, str(a.now_ns), a.level, a.topic, a.text))
    digest = hashlib.sha256(key.encode()).digest()[:16]
    return digest, whose.run_id, whose.source, a.now_ns, a.level, a.topic, a.text


def stamps(ts_ns: Any) -> list[datetime]:
    """Datetimes of int64 ns, of which few differ."""
    known = {ns: stamp(ns) for ns in np.unique(ts_ns).tolist()}
    return [known[ns] for ns in ts_ns.tolist()]


def _joined(parts: Sequence[Sequence[Column]]) -> Copied:
    """One stream of rows whose missing values and texts differ; the parts name the same columns in the same order."""
    stream = [block for part in parts if (n := _rows(part)) for block in encode(part, n)]
    return Copied(tuple(c.name for c in parts[0]), b"".join([_HEADER, *stream, _TRAILER]))


def _rows(columns: Sequence[Column]) -> int:
    return next(len(c.values) for c in columns if c.kind not in ("text", "null"))


def _reasons(signal: Signal) -> str:
    return json.dumps(signal.reasons)


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value
