"""Event loops with a pace: a simulated day at 60 times its speed, or as fast as the machine can.

The pace lives in the loop, so nothing that runs in it knows: ``asyncio.sleep``, timeouts, pings and back-offs of our code and of
every library are all in the loop's time, and ``LoopClock`` is the clock that belongs to it. At speed 1 it is an ordinary loop.
"""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from intraday.domain.clock import Clock, SystemClock

AS_FAST_AS_POSSIBLE = float("inf")
PATIENCE_S = 0.0002  # real wait for a socket before an idle loop's time jumps: loopback needs less than this


class _PacedSelector(selectors.BaseSelector):
    """A selector whose timeouts are in the loop's time; it keeps that time."""

    def __init__(self, speed: float, clock: Clock) -> None:
        self._selector = selectors.DefaultSelector()
        self._speed = speed
        self._clock = clock
        self._start_ns = clock.monotonic_ns()
        self._jumped_s = 0.0

    def time(self) -> float:
        """Seconds of the loop's time."""
        if self._speed == AS_FAST_AS_POSSIBLE:
            return self._jumped_s
        return (self._clock.monotonic_ns() - self._start_ns) * self._speed / 1e9

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._selector.select(timeout)
        if self._speed != AS_FAST_AS_POSSIBLE:
            return self._selector.select(timeout / self._speed)
        ready = self._selector.select(0) or self._soon()
        if not ready:
            self._jumped_s += timeout
        return ready

    def _soon(self) -> list[tuple[selectors.SelectorKey, int]]:
        """What becomes ready within PATIENCE_S. epoll itself would round that up to a whole millisecond."""
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:  # select and poll have no descriptor of their own
            return self._selector.select(PATIENCE_S)
        return self._selector.select(0) if select.select([fileno()], [], [], PATIENCE_S)[0] else []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def close(self) -> None:
        self._selector.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()


class PacedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time runs at ``speed`` times real time.

    ``AS_FAST_AS_POSSIBLE``: time stands still while anything is ready to run or to be read, and jumps to the next timer when
    nothing is. Then everything that is waited for has to live in this loop or answer within a fraction of a millisecond:
    a thread or a server elsewhere would look infinitely slow. Use a finite speed with a database.
    """

    def __init__(self, speed: float = 1.0, clock: Clock | None = None) -> None:
        self._paced = _PacedSelector(speed, clock or SystemClock())
        self.speed = speed
        super().__init__(self._paced)

    def time(self) -> float:
        """Seconds of the loop's time, from an arbitrary start."""
        return self._paced.time()


class LoopClock:
    """``domain.clock.Clock`` of a loop: ``start_ns`` is what it showed when it was made, then it runs at the loop's pace."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ns: int) -> None:
        self._time = loop.time
        self._start_ns = start_ns
        self._zero = loop.time()

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        return self._start_ns + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the loop's time since this clock was made."""
        return round((self._time() - self._zero) * 1e9)


def paced(speed: float) -> Callable[[], PacedLoop]:
    """For ``asyncio.Runner(loop_factory=...)``. ``speed`` > 0; ``AS_FAST_AS_POSSIBLE`` for virtual time."""
    assert speed > 0, speed
    return lambda: PacedLoop(speed)
