"""Hops 1 and 2 for recorded ticks: frames and timers in the order in which a live session would have had them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator

from intraday.core.candles import minute_ends
from intraday.domain.arrays import MINUTE_NS, Ticks
from intraday.domain.clock import Clock
from intraday.domain.events import Event, Frame, LinkLost, LinkUp, Timer
from intraday.domain.session import Session


def timed_events(session: Session, frames: Iterable[tuple[int, Ticks]], grace_ns: int, outage_ns: int) -> Iterator[Event]:
    """Frames in order of ``now_ns``, with the timers of the session between them.

    A minute's timer fires ``grace_ns`` after its end, before any frame of that instant or later. When nothing at all arrives for
    ``outage_ns`` inside the session the link counts as lost until the next frame: silence of every instrument is an outage, not
    a quiet market. One more timer at the end hands out what came late.
    """
    timers = deque(end_ns + grace_ns for end_ns in minute_ends(session.open_ns, session.close_ns))
    last_ns = session.open_ns
    for now_ns, ticks in frames:
        silent_ns = max(last_ns, session.open_ns) + outage_ns
        lost = silent_ns < min(now_ns, session.close_ns)
        if lost or (timers and timers[0] <= now_ns):
            yield from _between(timers, now_ns, silent_ns if lost else None, outage_ns)
        if lost:
            yield LinkUp(now_ns)
        yield Frame(now_ns, ticks)
        last_ns = now_ns
    silent_ns = max(last_ns, session.open_ns) + outage_ns
    end_ns = max(last_ns, session.close_ns + grace_ns)
    yield from _between(timers, end_ns, silent_ns if silent_ns < session.close_ns else None, outage_ns)
    yield Timer(end_ns + MINUTE_NS)


def _between(timers: deque[int], until_ns: int, silent_ns: int | None, outage_ns: int) -> Iterator[Event]:
    """The timers due by ``until_ns``, with the loss of the link in its place among them."""
    while timers and timers[0] <= until_ns:
        if silent_ns is not None and silent_ns <= timers[0]:
            yield _lost(silent_ns, outage_ns)
            silent_ns = None
        yield Timer(timers.popleft())
    if silent_ns is not None:
        yield _lost(silent_ns, outage_ns)


def _lost(now_ns: int, outage_ns: int) -> LinkLost:
    return LinkLost(now_ns, "nothing received from any instrument", now_ns - outage_ns)


class RecordedSource:
    """Recorded frames as a live feed, at ``speed`` times the pace of the recording (None: as fast as the engine takes them)."""

    def __init__(
        self,
        session: Session,
        frames: Iterable[tuple[int, Ticks]],
        grace_ns: int,
        outage_ns: int,
        clock: Clock,
        speed: float | None = None,
    ) -> None:
        self._session = session
        self._frames = frames
        self._grace_ns = grace_ns
        self._outage_ns = outage_ns
        self._clock = clock
        self._speed = speed

    async def events(self) -> AsyncGenerator[Event, None]:
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
