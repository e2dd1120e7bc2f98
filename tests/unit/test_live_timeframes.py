"""The timeframes follow a live day beside it: once in five minutes, whatever becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from engine_cases import DAY, engine, feed
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.errors import StorageError
from intraday.domain.events import Alert, Effect, Event, Signal
from intraday.live.consumer import StreamConsumer
from intraday.live.queue import TickQueue
from intraday.live.timeframes import TimeframeLoop


class Rollups:
    """Counts refreshes; the first ``broken`` of them fail. They can be held back."""

    def __init__(self, broken: int = 0) -> None:
        self.n = 0
        self.broken = broken
        self.began = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def pending(self) -> int:
        return 1

    def refresh(self, progress: object = None) -> int:
        self.n += 1
        self.began.release()
        assert self.go_on.wait(30)
        if self.n <= self.broken:
            raise StorageError("no")
        return 1


class Kept:
    """Somebody for a consumer to work with: counts what is logged and written."""

    def __init__(self, n_events: int = 0) -> None:
        self.n_events, self.n_written = n_events, 0
        self.all_logged = asyncio.Event()

    def append(self, event: Event) -> None:
        self.n_events -= 1
        if self.n_events == 0:
            self.all_logged.set()

    async def write(self, effects: Sequence[Effect]) -> None:
        self.n_written += 1

    def offer(self, alert: Alert) -> None: ...

    def offer_signals(self, signals: Sequence[Signal]) -> None: ...

    async def run(self) -> None: ...

    def close(self) -> None: ...


async def began(rollups: Rollups) -> None:
    assert await asyncio.to_thread(rollups.began.acquire, timeout=30)


@pytest.mark.asyncio
async def test_once_in_five_minutes_of_exchange_time() -> None:
    rollups = Rollups()
    loop = TimeframeLoop(rollups)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run())
        for k in range(1, 16):  # the first event is no reason yet
            loop.stored(DAY.open_ns + k * MINUTE_NS + 1_500_000_000)
            if k % 5 == 0:
                await began(rollups)
        loop.close()
    assert rollups.n == 3


@pytest.mark.asyncio
async def test_a_slow_one_is_followed_by_one_not_by_many() -> None:
    rollups = Rollups()
    rollups.go_on.clear()
    loop = TimeframeLoop(rollups)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run())
        loop.stored(0)
        loop.stored(5 * MINUTE_NS)
        await began(rollups)
        for k in range(10, 60):
            loop.stored(k * MINUTE_NS)
        rollups.go_on.set()
        await began(rollups)
        loop.close()
    assert rollups.n == 2


@pytest.mark.asyncio
async def test_a_failure_is_left_to_the_next() -> None:
    rollups = Rollups(broken=1)
    loop = TimeframeLoop(rollups)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run())
        for k in range(3):
            loop.stored(5 * k * MINUTE_NS)
            if k:
                await began(rollups)
        loop.close()
    assert rollups.n == 2


@pytest.mark.asyncio
async def test_the_day_does_not_wait_for_it() -> None:
    """Half an hour goes through while the first refresh is held back; it is let go at the end, and the run ends with it."""
    events = feed(3)
    rollups, kept = Rollups(), Kept(len(events))
    rollups.go_on.clear()

    class Feed:
        async def events(self) -> AsyncIterator[Event]:
            for event in events:
                yield event
                await asyncio.sleep(0)  # a batch an event, as at the exchange's pace
            await kept.all_logged.wait()
            await began(rollups)
            rollups.go_on.set()

    consumer = StreamConsumer(TickQueue(1), kept, engine(), kept, kept, timeframes=TimeframeLoop(rollups))
    counts = await consumer.run(Feed())
    assert counts.n_events == len(events)
    assert kept.n_written > 10
    assert 1 <= rollups.n <= 2
