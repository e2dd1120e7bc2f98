"""What the engine asks to be stored, in one transaction per call: hop 8's database half.

Everything is idempotent, so a call that failed may simply be repeated. A minute nobody has said anything about goes straight in by
COPY; anything else by ``unnest``, bars through ``store_bars``: the same rules as every import (docs/adr/0011-bar-versions.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from types import TracebackType
from typing import Any

import asyncpg
import numpy as np

from intraday.database import live_rows as rows
from intraday.database.copying import stamp
from intraday.database.errors import TRIES, Contended, check_room, mapped
from intraday.database.exclusive import HELD
from intraday.database.kept import check_kept, kept_from
from intraday.database.link import keep_alive
from intraday.database.live_link import asyncpg_arguments
from intraday.database.partitions import missing_months
from intraday.database.pool import Database
from intraday.domain.arrays import I8, MINUTE_NS, BarFlag
from intraday.domain.errors import StorageUnavailable
from intraday.domain.events import Alert, CountRejects, Effect, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.ports import Source

_CONNECT_S = 600.0  # of the event loop's time, which may run sixty times as fast as ours (docs/adr/0013); see ``_connected``


class LiveWriter:
    """``domain.ports.EffectWriter``. ``ids`` maps the engine's dense rows to database ids by position.

    Use as an async context manager, or call ``close``; one call at a time. Raises StorageUnavailable (repeat the call later),
    StorageFull, StorageError, the last also when another run has taken over what this one held alone.
    """

    def __init__(self, database: Database, ids: Sequence[int], source: Source, feature_set_id: str, run_id: str) -> None:
        self._db = database
        self._ids = np.asarray(ids, dtype=np.int64)
        self._whose = rows.Whose(source.value, feature_set_id, run_id)
        self._connection: asyncpg.Connection | None = None
        self._first = True  # nobody was met who had stored these minutes before
        self._kept: dict[
            str, int
        ] = {}  # where each series begins, as of the last connection: retention's days are long past a run's

    async def __aenter__(self) -> LiveWriter:
        with mapped(self._db.room, sockets=True):
            await self._connected()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def write(self, effects: Sequence[Effect]) -> None:
        """Store what one minute brought, idempotently; requests for a backfill are not ours."""
        check_room(self._db.room)
        for _ in range(TRIES - 1):
            try:
                return await self._write(effects)
            except Contended:
                continue
        try:
            await self._write(effects)
        except Contended as error:  # it may still succeed, only not at once
            raise StorageUnavailable(str(error)) from None

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with mapped(self._db.room, sockets=True):
                await connection.close()

    async def _write(self, effects: Sequence[Effect]) -> None:
        with mapped(self._db.room, sockets=True):
            connection = await self._connected()
            self._check_kept(effects)
            try:
                await self._ensure_partitions(connection, effects)
                async with connection.transaction():
                    for fence in self._db.fences:
                        if await connection.fetchval(HELD, fence.what, fence.number) is None:
                            raise fence.lost()
                    # All at once and in order: one by one, two writers of two batches could each wait for the other.
                    await connection.execute("SELECT lock_instruments($1)", self._ids[_touched(effects)].tolist())
                    for effect in effects:
                        await self._apply(connection, effect)
            except BaseException:
                # Whatever state it is in, the next call gets a fresh one.
                connection.terminate()
                self._connection = None
                raise

    async def _connected(self) -> Any:
        """No time limit here is the driver's, which counts the event loop's seconds: the check finds out whether there is a server,
        long statements are the server's to stop, and a dead line is the kernel's to notice."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                **await asyncio.to_thread(self._look),
                timeout=_CONNECT_S,
                max_cached_statement_lifetime=0,  # a statement is needed once a minute, all day
            )
            keep_alive(self._connection._transport.get_extra_info("socket"))  # asyncpg has no option for it
        return self._connection

    def _look(self) -> dict[str, Any]:
        """The server checks of ``pool``; what retention kept; how to get there with asyncpg."""
        with self._db.autocommit() as connection:
            self._kept = kept_from(connection)
            return asyncpg_arguments(connection.info, self._db.live_link)

    def _check_kept(self, effects: Sequence[Effect]) -> None:
        for series, start_ns in _starts(effects):
            if start_ns < self._kept.get(series, start_ns):
                with self._db.transaction() as connection:
                    check_kept(connection, series, start_ns)

    async def _apply(self, connection: Any, effect: Effect) -> None:
        match effect:
            case SaveBars() if effect.bars.shape[0]:
                await self._bars(connection, effect)
            case SaveFeatures() if len(effect.inst):
                await self._features(connection, effect)
            case SaveSignals() if effect.signals:
                await self._signals(connection, effect.signals)
            case CountRejects():
                await connection.execute(rows.STORE_REJECTS, *rows.rejects_to_store(self._ids, effect, self._whose.run_id))
            case Alert():
                await connection.execute(rows.STORE_ALERT, *rows.alert_to_store(effect, self._whose))
            case _:
                pass

    async def _bars(self, connection: Any, effect: SaveBars) -> None:
        bars, source = effect.bars, self._whose.source
        ids = self._ids[bars["inst"]]
        first, last = int(bars["ts_ns"].min()), int(bars["ts_ns"].max())
        if self._first and not (bars["flags"] & BarFlag.LATE).any():
            await self._copy(connection, "ohlcv_1min", rows.bars_to_copy(ids, bars, source, effect.known_ns))
            changed = True
        else:
            changed = await connection.fetchval(rows.STORE_BARS, *rows.bars_to_store(ids, bars, source, effect.known_ns))
        if changed:
            await connection.execute("SELECT note_rollups($1, $2, $3)", ids.tolist(), stamp(first), stamp(last + MINUTE_NS))

    async def _features(self, connection: Any, effect: SaveFeatures) -> None:
        ids, whose = self._ids[effect.inst], self._whose
        if self._first:
            await self._copy(connection, "features", rows.features_to_copy(ids, effect, whose))
        else:
            await connection.execute(rows.STORE_FEATURES, *rows.features_to_store(ids, effect, whose))

    async def _signals(self, connection: Any, signals: Sequence[Signal]) -> None:
        ids = self._ids[[s.inst for s in signals]]
        if self._first:
            await self._copy(connection, "signals", rows.signals_to_copy(ids, signals, self._whose))
        else:
            await connection.execute(rows.STORE_SIGNALS, *rows.signals_to_store(ids, signals, self._whose))

    async def _copy(self, connection: Any, table: str, copied: rows.Copied) -> None:
        """Without asking first, the key's index knows: rows that exist undo the transaction, and it is done again with care."""
        try:
            await connection.copy_to_table(table, source=BytesIO(copied.stream), columns=copied.columns, format="binary")
        except asyncpg.UniqueViolationError:
            self._first = False
            raise Contended(f"rows of {table} were stored by somebody before; do the same again") from None

    async def _ensure_partitions(self, connection: Any, effects: Sequence[Effect]) -> None:
        """In a transaction of their own, so that attaching one never waits for our rows."""
        for effect in effects:
            for table, start_ns, end_ns in _spans(effect):
                for month in missing_months(self._db, table, start_ns, end_ns):
                    at = datetime.fromisoformat(month)
                    await connection.execute("SELECT ensure_partitions($1, $2, $3)", table, at, at)
                    self._db.partitions.add((table, month))


def _touched(effects: Sequence[Effect]) -> I8:
    """Dense rows of the instruments something is stored of."""
    touched: list[int] = []
    for effect in effects:
        match effect:
            case SaveBars():
                touched += effect.bars["inst"].tolist()
            case SaveFeatures():
                touched += effect.inst.tolist()
            case SaveSignals():
                touched += [s.inst for s in effect.signals]
            case _:
                pass
    return np.unique(np.array(touched, dtype=np.int64))


def _starts(effects: Sequence[Effect]) -> list[tuple[str, int]]:
    """(series, ns of its first row) of each effect that has rows under retention."""
    starts: list[tuple[str, int]] = []
    for effect in effects:
        match effect:
            case SaveBars() if effect.bars.shape[0]:
                starts.append(("bars", int(effect.bars["ts_ns"].min())))
            case SaveFeatures() if len(effect.inst):
                starts.append(("features", effect.bar_ns))
            case SaveSignals() if effect.signals:
                starts.append(("signals", effect.bar_ns))
            case _:
                pass
    return starts


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
