"""Hops 1 and 2 for recorded ticks: frames and timers in the order in which a live session would have had them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

from intraday.core.candles import minute_ends
from intraday.domain.arrays import MINUTE_NS, Ticks
from intraday.domain.clock import Clock
from intraday.domain.events import Event, Frame, LinkLost, LinkUp, Timer
from intraday.domain.session import Session


def timed_events(session: Session, frames: Iterable[tuple[int, Ticks]], grace_ns: int, outage_ns: int) -> Iterator[Event]:
    """Frames in order of ``now_ns``, with the timers of the session between them.

    A minute's timer fires ``grace_ns`` after its end, before any frame of that instant or later. When nothing at all arrives for
    ``outage_ns`` inside the session the link counts as lost until the next frame: silence of every instrument is an outage, not a quiet
    market. One more timer at the end hands out what came late.
    """
    timers = [end_ns + grace_ns for end_ns in minute_ends(session)]
    i_timer = 0
    last_ns = session.open_ns
    for now_ns, ticks in frames:
        due_ns = max(last_ns, session.open_ns) + outage_ns
        lost = due_ns < min(now_ns, session.close_ns)
        while i_timer < len(timers) and timers[i_timer] <= now_ns:
            if lost and due_ns <= timers[i_timer]:
                yield LinkLost(due_ns, f"nothing received for {outage_ns / 1e9:.0f} s")
                lost, due_ns = False, -1
            yield Timer(timers[i_timer])
            i_timer += 1
        if lost:
            yield LinkLost(due_ns, f"nothing received for {outage_ns / 1e9:.0f} s")
            due_ns = -1
        if due_ns < 0:
            yield LinkUp(now_ns)
        yield Frame(now_ns, ticks)
        last_ns = now_ns
    for timer_ns in timers[i_timer:]:
        yield Timer(timer_ns)
    yield Timer(max(last_ns, timers[-1]) + MINUTE_NS)


class RecordedSource:
    """Recorded frames as a live feed, at ``speed`` times the pace of the recording (None: as fast as the engine takes them)."""

    def __init__(
        self, session: Session, frames: Iterable[tuple[int, Ticks]], grace_ns: int, outage_ns: int, clock: Clock, speed: float | None = None
    ) -> None:
        self._session = session
        self._frames = frames
        self._grace_ns = grace_ns
        self._outage_ns = outage_ns
        self._clock = clock
        self._speed = speed

    async def events(self) -> AsyncIterator[Event]:
        """Frames, timers and link changes of the session."""
        start_ns = self._clock.monotonic_ns()
        first_ns: int | None = None
        for event in timed_events(self._session, self._frames, self._grace_ns, self._outage_ns):
            if self._speed is not None:
                first_ns = event.now_ns if first_ns is None else first_ns
                due_ns = start_ns + (event.now_ns - first_ns) / self._speed
                wait_s = (due_ns - self._clock.monotonic_ns()) / 1e9
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
            yield event
