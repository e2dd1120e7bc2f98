"""Hop 3: the bounded queue between whoever listens and the engine."""

from __future__ import annotations

import asyncio
from collections import deque

from intraday.domain.events import Event


class TickQueue:
    """Events in order, at most ``capacity`` of them; a full queue makes the producer wait.

    Draining hands over everything there is, so that a burst costs one switch of task, not one an event.
    """

    def __init__(self, capacity: int) -> None:
        assert capacity > 0, capacity
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._space = asyncio.Event()
        self._closed = False
        self.depth_max = 0

    async def put(self, event: Event) -> None:
        """Append; waits while the queue is full."""
        while len(self._events) >= self._capacity:
            self._space.clear()
            await self._space.wait()
        self._events.append(event)
        self.depth_max = max(self.depth_max, len(self._events))
        self._ready.set()

    def close(self) -> None:
        """No event comes after this."""
        self._closed = True
        self._ready.set()

    async def drain(self) -> list[Event]:
        """Everything queued, oldest first; waits for something. Empty once closed and drained."""
        while not self._events and not self._closed:
            self._ready.clear()
            await self._ready.wait()
        events = list(self._events)
        self._events.clear()
        self._space.set()
        return events
