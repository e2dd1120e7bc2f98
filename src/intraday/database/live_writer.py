"""What the engine asks to be stored, in one transaction per call: hop 8's database half.

Everything is idempotent, so a call that failed may simply be repeated. Bars go through ``store_bars``, the same
rules as every import.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

import asyncpg
import numpy as np

from intraday.database.copying import stamp
from intraday.database.errors import check_room, mapped
from intraday.database.partitions import missing_months
from intraday.database.pool import Database
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.events import Alert, CountRejects, Effect, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.ports import Source

_BARS = "SELECT best_changed FROM store_bars($1::text::source, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_FEATURES = """
INSERT INTO features AS f (instrument_id, ts, source, feature_set_id, vector)
SELECT i, $1, $2::text::source, $3, v FROM unnest($4::integer[], $5::bytea[]) AS u (i, v)
ON CONFLICT (feature_set_id, source, instrument_id, ts) DO UPDATE SET vector = excluded.vector WHERE f.vector <> excluded.vector"""
_SIGNALS = """
INSERT INTO signals AS s (source, feature_set_id, run_id, instrument_id, ts, decided_ns, valid_until_ns, action,
  confidence, p_down, p_hold, p_up, price, stop, target, observe, model_id)
SELECT $1::text::source, $2, $3, u.* FROM unnest($4::integer[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[],
  $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::float8[], $14::float8[], $15::float8[], $16::boolean[],
  $17::text[]) AS u
ON CONFLICT (source, model_id, instrument_id, ts) DO UPDATE SET feature_set_id = excluded.feature_set_id,
  run_id = excluded.run_id, decided_ns = excluded.decided_ns, valid_until_ns = excluded.valid_until_ns,
  action = excluded.action, confidence = excluded.confidence, p_down = excluded.p_down, p_hold = excluded.p_hold,
  p_up = excluded.p_up, price = excluded.price, stop = excluded.stop, target = excluded.target, observe = excluded.observe
WHERE (s.feature_set_id, s.decided_ns, s.valid_until_ns, s.action, s.confidence, s.p_down, s.p_hold, s.p_up, s.price,
  s.stop, s.target, s.observe)
  IS DISTINCT FROM (excluded.feature_set_id, excluded.decided_ns, excluded.valid_until_ns, excluded.action,
  excluded.confidence, excluded.p_down, excluded.p_hold, excluded.p_up, excluded.price, excluded.stop, excluded.target,
  excluded.observe)"""
_REJECTS = """
INSERT INTO tick_rejects (run_id, counted_ns, instrument_id, ts, reason, n)
SELECT $1, $2, i, t, r, sum(n) FROM unnest($3::integer[], $4::timestamptz[], $5::text[], $6::bigint[]) AS u (i, t, r, n)
GROUP BY i, t, r
ON CONFLICT (run_id, counted_ns, instrument_id, ts, reason) DO NOTHING"""
_ALERTS = """
INSERT INTO alerts (digest, run_id, source, at_ns, level, topic, content)
SELECT d, $1, $2::text::source, t, l, o, c
FROM unnest($3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::text[]) AS u (d, t, l, o, c)
ON CONFLICT (digest) DO NOTHING"""


class LiveWriter:
    """``domain.ports.EffectWriter``. ``ids`` maps the engine's dense rows to database ids by position.

    Use as an async context manager, or call ``close``. Raises StorageUnavailable (repeat the call
    later), StorageFull, StorageError.
    """

    def __init__(self, database: Database, ids: Sequence[int], source: Source, feature_set_id: str, run_id: str) -> None:
        self._db = database
        self._ids = np.asarray(ids, dtype=np.int64)
        self._source = source.value
        self._feature_set_id = feature_set_id
        self._run_id = run_id
        self._pool: asyncpg.Pool | None = None

    async def __aenter__(self) -> LiveWriter:
        await self._connected()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def write(self, effects: Sequence[Effect]) -> None:
        """Store what one minute brought, idempotently; requests for a backfill are not ours."""
        check_room(self._db.room)
        with mapped(self._db.room):
            pool = await self._connected()
            async with pool.acquire() as connection:
                await self._ensure_partitions(connection, effects)
                async with connection.transaction():
                    for effect in effects:
                        await self._apply(connection, effect)

    async def close(self) -> None:
        """Give the connections back."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            with mapped(self._db.room):
                await asyncio.to_thread(self._check)
                self._pool = await asyncpg.create_pool(
                    self._db.dsn,
                    min_size=0,  # a pool that keeps some open would log a trace when the server is gone
                    max_size=2,
                    timeout=10,
                    server_settings={"timezone": "UTC"},
                    max_inactive_connection_lifetime=0,
                )
        return self._pool

    def _check(self) -> None:
        """The server checks of ``pool``: version, encoding, TimescaleDB preloaded."""
        with self._db.autocommit():
            pass

    async def _apply(self, connection: Any, effect: Effect) -> None:
        match effect:
            case SaveBars():
                await self._bars(connection, effect)
            case SaveFeatures():
                await self._features(connection, effect)
            case SaveSignals():
                await self._signals(connection, effect.signals)
            case CountRejects():
                await self._rejects(connection, effect)
            case Alert():
                await self._alert(connection, effect)
            case _:
                pass

    async def _bars(self, connection: Any, effect: SaveBars) -> None:
        bars = effect.bars
        if bars.shape[0] == 0:
            return
        ids = self._ids[bars["inst"]].tolist()
        volume = [None if np.isnan(v) else int(v) for v in bars["volume"].tolist()]
        changed = await connection.fetchval(
            _BARS, self._source, stamp(effect.known_ns // 1000 * 1000), ids, _stamps(bars["ts_ns"]), bars["open"].tolist(),
            bars["high"].tolist(), bars["low"].tolist(), bars["close"].tolist(), volume, bars["n_ticks"].tolist(),
            bars["flags"].tolist(),
        )  # fmt: skip
        if changed:
            first, last = int(bars["ts_ns"].min()), int(bars["ts_ns"].max()) + MINUTE_NS
            await connection.execute("SELECT note_rollups($1, $2, $3)", ids, stamp(first), stamp(last))

    async def _features(self, connection: Any, effect: SaveFeatures) -> None:
        ids = self._ids[effect.inst].tolist()
        rows = np.ascontiguousarray(effect.x, dtype="<f4")
        await connection.execute(
            _FEATURES, stamp(effect.bar_ns), self._source, self._feature_set_id, ids, [row.tobytes() for row in rows]
        )  # fmt: skip

    async def _signals(self, connection: Any, signals: Sequence[Signal]) -> None:
        if not signals:
            return
        columns = list(zip(*(self._signal_row(s) for s in signals), strict=True))
        await connection.execute(_SIGNALS, self._source, self._feature_set_id, self._run_id, *(list(c) for c in columns))

    def _signal_row(self, s: Signal) -> tuple[Any, ...]:
        return (
            int(self._ids[s.inst]), stamp(s.bar_ns), s.decided_ns, s.valid_until_ns, s.action.value, s.confidence, s.p_down,
            s.p_hold, s.p_up, s.price, _or_null(s.stop), _or_null(s.target), s.observe, s.model_id,
        )  # fmt: skip

    async def _rejects(self, connection: Any, effect: CountRejects) -> None:
        known = (effect.inst >= 0) & (effect.inst < len(self._ids))
        ids = np.where(known, self._ids[np.where(known, effect.inst, 0)], 0).tolist()
        minutes = _stamps(np.maximum(effect.minute_ns, 0))
        await connection.execute(_REJECTS, self._run_id, effect.now_ns, ids, minutes, list(effect.reason), effect.n.tolist())

    async def _alert(self, connection: Any, a: Alert) -> None:
        key = "\x1f".join((self._source, str(a.now_ns), a.level, a.topic, a.text))
        digest = hashlib.sha256(key.encode()).digest()[:16]
        await connection.execute(_ALERTS, self._run_id, self._source, [digest], [a.now_ns], [a.level], [a.topic], [a.text])

    async def _ensure_partitions(self, connection: Any, effects: Sequence[Effect]) -> None:
        """In a transaction of their own, so that attaching one never waits for our rows."""
        for effect in effects:
            for table, start_ns, end_ns in _spans(effect):
                for month in missing_months(self._db, table, start_ns, end_ns):
                    at = datetime.fromisoformat(month)
                    await connection.execute("SELECT ensure_partitions($1, $2, $3)", table, at, at)
                    self._db.partitions.add((table, month))


def _spans(effect: Effect) -> list[tuple[str, int, int]]:
    match effect:
        case SaveBars() if effect.bars.shape[0]:
            span = int(effect.bars["ts_ns"].min()), int(effect.bars["ts_ns"].max()) + 1
            return [("ohlcv_1min", *span), ("bar_superseded", *span)]
        case SaveFeatures():
            return [("features", effect.bar_ns, effect.bar_ns + 1)]
        case SaveSignals():
            return [("signals", effect.bar_ns, effect.bar_ns + 1)]
        case _:
            return []


def _stamps(ts_ns: Any) -> list[datetime]:
    known = {ns: stamp(ns) for ns in np.unique(ts_ns).tolist()}
    return [known[ns] for ns in ts_ns.tolist()]


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value
