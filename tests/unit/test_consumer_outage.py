"""A database that goes away in the middle of a live day: the minutes wait for it, the alerts do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from engine_cases import DAY, engine, feed
from intraday.domain.clock import Clock
from intraday.domain.errors import StorageError, StorageUnavailable
from intraday.domain.events import Alert, Effect, Event, Signal
from intraday.live.consumer import StreamConsumer
from intraday.live.queue import TickQueue
from pace_cases import virtual

S = 10**9
Said = tuple[float, str]


class Paced:
    """Events at their own time, or all at once."""

    def __init__(self, clock: Clock | None, events: Sequence[Event]) -> None:
        self.clock = clock
        self.all = events

    async def events(self) -> AsyncIterator[Event]:
        for event in self.all:
            if self.clock is not None and event.now_ns > self.clock.now_ns():
                await asyncio.sleep((event.now_ns - self.clock.now_ns()) / S)
            yield event


class Desk:
    """Log, alerts and a database that is away between two moments, of the day in seconds; notes when it saw what."""

    def __init__(self, clock: Clock, away_s: tuple[float, float] = (1.0, 0.0), error: StorageError | None = None) -> None:
        self.clock, self.away_s = clock, away_s
        self.error = error or StorageUnavailable("gone")
        self.stored: list[Effect] = []
        self.tried: list[float] = []
        self.said: list[Said] = []
        self.signalled: list[float] = []
        self.largest = 0

    def now_s(self) -> float:
        return (self.clock.now_ns() - DAY.open_ns) / S

    def append(self, event: Event) -> None: ...

    async def write(self, effects: Sequence[Effect]) -> None:
        self.tried.append(self.now_s())
        if self.away_s[0] <= self.now_s() < self.away_s[1]:
            raise self.error
        self.stored += effects

    def offer(self, alert: Alert) -> None:
        if alert.topic == "database":
            self.said.append((self.now_s(), alert.text.split(",")[0]))

    def offer_signals(self, signals: Sequence[Signal]) -> None:
        self.signalled.append(self.now_s())

    async def run(self) -> None: ...

    def close(self) -> None: ...


async def lived(clock: Clock, desk: Desk, minutes: int = 12) -> Desk:
    events = feed(3, minutes=minutes)
    await StreamConsumer(TickQueue(10_000), desk, engine(), desk, desk).run(Paced(clock, events))
    return desk


def test_minutes_wait_for_a_database_that_is_away() -> None:
    calm = virtual(lambda clock: lived(clock, Desk(clock)), DAY.open_ns)
    rough = virtual(lambda clock: lived(clock, Desk(clock, (150.0, 390.0))), DAY.open_ns)
    assert repr(rough.stored) == repr(calm.stored)  # in order, nothing twice, nothing lost
    assert [text for _, text in rough.said] == ["database away", "database back"]
    assert rough.said[0][0] < 150 + 61
    assert 390 <= rough.said[1][0] < 390 + 16
    assert calm.said == []
    assert rough.signalled == calm.signalled  # not a second later
    assert len(calm.signalled) > 5


def test_the_pauses_grow_and_end() -> None:
    desk = virtual(lambda clock: lived(clock, Desk(clock, (150.0, 390.0))), DAY.open_ns)
    tried = [at for at in desk.tried if at >= 150]
    pauses = [b - a for a, b in zip(tried, tried[1:], strict=False) if b <= 390]
    assert pauses[:5] == pytest.approx([0.5, 1, 2, 4, 8], abs=1e-3)
    assert max(pauses) == pytest.approx(15, abs=1e-3)


def test_patience_ends() -> None:
    async def run(clock: Clock) -> float:
        desk = Desk(clock, (150.0, 1e9))
        with pytest.raises(StorageUnavailable, match="gone"):
            await lived(clock, desk)
        assert [text for _, text in desk.said] == ["database away"]
        return desk.now_s() - desk.said[0][0]

    assert 300 <= virtual(run, DAY.open_ns) < 320


def test_other_errors_end_the_run_at_once() -> None:
    async def run(clock: Clock) -> int:
        desk = Desk(clock, (150.0, 1e9), StorageError("refused"))
        with pytest.raises(StorageError, match="refused"):
            await lived(clock, desk)
        return sum(at >= 150 for at in desk.tried)

    assert virtual(run, DAY.open_ns) == 1


def test_decisions_wait_for_a_slow_database_in_the_end() -> None:
    """The bound holds, and a batch larger than it goes through alone."""

    async def run(clock: Clock, most: int) -> tuple[int, list[Effect]]:
        desk = Desk(clock)
        waiting: list[int] = []

        class Slow(Desk):
            async def write(self, effects: Sequence[Effect]) -> None:
                waiting.append(consumer._n_waiting)
                await asyncio.sleep(1)
                await super().write(effects)

        desk = Slow(clock)
        consumer = StreamConsumer(TickQueue(1), desk, engine(), desk, desk, effects_max=most)
        await consumer.run(Paced(None, feed(3, minutes=12)))
        return max(waiting), desk.stored

    tight, loose = (virtual(lambda clock, most=most: run(clock, most), DAY.open_ns) for most in (6, 10_000))
    assert tight[0] <= 6 < loose[0]
    assert repr(tight[1]) == repr(loose[1])
    assert virtual(lambda clock: run(clock, 1), DAY.open_ns)[1]
