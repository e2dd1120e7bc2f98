"""The thin asynchronous shell around the engine: source → queue → journal → engine → effects.

Four tasks, each bounded: one listens, one decides, one writes, one alerts; in a live run a fifth keeps the longer timeframes. The
journal has an event before the engine does; effects reach the database in order, one transaction for what was decided together;
alerts go out beside the writes and never wait for them. A database that is away for minutes only makes the writes late.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from intraday.domain.arrays import BarFlag
from intraday.domain.errors import StorageUnavailable
from intraday.domain.events import (
    Alert,
    Backfilled,
    CountRejects,
    Effect,
    Event,
    Frame,
    RequestBackfill,
    SaveBars,
    SaveFeatures,
    SaveSignals,
    Signal,
)
from intraday.domain.ports import EffectWriter, EventSource
from intraday.live.engine import Engine
from intraday.live.queue import TickQueue

PATIENCE_S = 300.0  # for a database that is away, in the event loop's seconds, as the back-off
_WAIT_S, _WAIT_MAX_S = 0.5, 15.0  # the first pause and the longest; each is twice the one before


class EventLog(Protocol):
    """Where events are written down before use: ``JournalWriter``."""

    def append(self, event: Event) -> None:
        """Write one event."""
        ...


class Alerts(Protocol):
    """What turns signals and engine alerts into messages: ``signal.alerts.AlertSystem``."""

    def offer(self, alert: Alert) -> None:
        """Queue one alert for delivery; never waits, never raises."""
        ...

    def offer_signals(self, signals: Sequence[Signal]) -> None:
        """Queue what is worth an alert among the signals of one decision bar; never waits, never raises."""
        ...

    async def run(self) -> None:
        """Deliver until closed and empty."""
        ...

    def close(self) -> None:
        """Let ``run`` end."""
        ...


class Repairs(Protocol):
    """Who fetches missing minutes: ``broker.feed.KiteFeed``, which hands them back as ``Backfilled`` events of its stream."""

    def request(self, wanted: RequestBackfill) -> None:
        """Ask for minutes; never waits, never raises."""
        ...


class Timeframes(Protocol):
    """What makes the longer timeframes from stored minutes: ``live.timeframes.TimeframeLoop``."""

    def stored(self, now_ns: int) -> None:
        """Minutes were stored at ``now_ns``; never waits, never raises."""
        ...

    async def run(self) -> None:
        """Refresh until closed."""
        ...

    def close(self) -> None:
        """Let ``run`` end."""
        ...


@dataclass(slots=True)
class SessionCounts:
    """What went through one session."""

    n_events: int = 0
    n_ticks: int = 0
    n_bars: int = 0
    n_late: int = 0
    n_backfilled: int = 0  # of the late ones, those fetched from the broker
    n_features: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)

    def add(self, effect: Effect) -> None:
        """Count one effect."""
        match effect:
            case SaveBars():
                late = int(np.count_nonzero(effect.bars["flags"] & BarFlag.LATE))
                self.n_late += late
                self.n_bars += len(effect.bars) - late
            case SaveFeatures():
                self.n_features += len(effect.inst)
            case SaveSignals():
                self.signals.update(str(s.action) for s in effect.signals)
            case CountRejects():
                for reason, n in zip(effect.reason, effect.n, strict=True):
                    self.rejects[reason] += int(n)
            case _:
                pass


class StreamConsumer:
    """Runs one session of one source through one engine.

    ``from_ns``: what the run answers for. It saw nothing of the minutes before but the last price: what it makes of them is
    dropped, and candles fetched for them are kept. ``effects_max``: about how many may wait for the database before decisions wait
    too; more than the minutes of an outage bring, so that alerts stay in time while it lasts. ``patience_s``: how long a database
    may be away.
    """

    def __init__(
        self,
        queue: TickQueue,
        log: EventLog,
        engine: Engine,
        writer: EffectWriter,
        alerts: Alerts,
        repairs: Repairs | None = None,
        from_ns: int = 0,
        timeframes: Timeframes | None = None,
        effects_max: int = 1024,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._queue = queue
        self._log = log
        self._engine = engine
        self._writer = writer
        self._alerts = alerts
        self._from_ns = from_ns
        self._repairs = repairs  # None: recorded ticks, whose broker cannot be asked any more
        self._timeframes = timeframes  # None: whoever runs the day makes them at its end
        self._writes: asyncio.Queue[list[Effect] | None] = asyncio.Queue()  # bounded by effects: see _hand_over
        self._effects_max = effects_max
        self._n_waiting = 0
        self._stored = asyncio.Event()
        self.counts = SessionCounts()
        self.now_ns = 0

    async def run(self, source: EventSource) -> SessionCounts:
        """Until the source ends and everything is stored. The first failure of any task ends all of them and is raised as it is."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(source))
                tasks.create_task(self._decide())
                tasks.create_task(self._write())
                tasks.create_task(self._alerts.run())
                if self._timeframes is not None:
                    tasks.create_task(self._timeframes.run())
        except BaseExceptionGroup as group:
            raise first_of(group) from None  # a caller knows our errors by type; a group would hide them
        return self.counts

    async def _listen(self, source: EventSource) -> None:
        async with aclosing(source.events()) as events:  # an early end stops the feed's own tasks at once
            async for event in events:
                await self._queue.put(event)
        self._queue.close()

    async def _decide(self) -> None:
        while events := await self._queue.drain():
            effects: list[Effect] = []
            for event in events:
                effects += self._step(event)
            if effects:
                await self._hand_over(effects)
        await self._writes.put(None)
        self._alerts.close()

    def _step(self, event: Event) -> list[Effect]:
        self._log.append(event)
        from_ns = 0 if isinstance(event, Backfilled) else self._from_ns
        effects = [kept for effect in self._engine.process(event) if (kept := since(effect, from_ns)) is not None]
        self.now_ns = event.now_ns
        self.counts.n_events += 1
        if isinstance(event, Frame):
            self.counts.n_ticks += len(event.ticks)
        elif isinstance(event, Backfilled):
            self.counts.n_backfilled += len(event.bars)
        for effect in effects:
            self.counts.add(effect)
            if isinstance(effect, Alert):
                self._alerts.offer(effect)
            elif isinstance(effect, SaveSignals):
                self._alerts.offer_signals(effect.signals)
            elif isinstance(effect, RequestBackfill) and self._repairs is not None:
                self._repairs.request(effect)
        return effects

    async def _hand_over(self, effects: list[Effect]) -> None:
        while self._n_waiting and self._n_waiting + len(effects) > self._effects_max:
            self._stored.clear()
            await self._stored.wait()
        self._n_waiting += len(effects)
        self._writes.put_nowait(effects)

    async def _write(self) -> None:
        while (effects := await self._writes.get()) is not None:
            await self._store(effects)
            self._n_waiting -= len(effects)
            self._stored.set()
            if self._timeframes is not None:
                self._timeframes.stored(self.now_ns)
        if self._timeframes is not None:
            self._timeframes.close()

    async def _store(self, effects: list[Effect]) -> None:
        """Again and again while the database is away, up to ``patience_s``. A write is idempotent: nothing is stored twice."""
        waited_s, wait_s = 0.0, _WAIT_S
        while True:
            try:
                await self._writer.write(effects)
            except StorageUnavailable as error:
                if waited_s >= self._patience_s:
                    raise
                if waited_s == 0.0:
                    self._alerts.offer(Alert(self.now_ns, "warning", "database", f"database away, keeping minutes: {error}"))
            else:
                break
            await asyncio.sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, _WAIT_MAX_S)
        if waited_s:
            self._alerts.offer(Alert(self.now_ns, "info", "database", "database back, storing the minutes kept meanwhile"))


def since(effect: Effect, from_ns: int) -> Effect | None:
    """What is left of an effect for a run that answers for minutes from ``from_ns`` on; None for nothing."""
    match effect:
        case SaveBars():
            keep = effect.bars["ts_ns"] >= from_ns
            return effect if keep.all() else SaveBars(effect.bars[keep], effect.known_ns) if keep.any() else None
        case SaveFeatures() | SaveSignals():
            return effect if effect.bar_ns >= from_ns else None
        case _:
            return effect


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a group of tasks, out of however many groups."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
