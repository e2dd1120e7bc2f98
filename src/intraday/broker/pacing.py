"""How fast the broker is asked: an even pace for each class of calls, shared by every task. No bursts.

The broker counts arrivals in any second, so what matters is when requests leave, measured as late as we can see it, and that N + 1
of them never fit into one second after the network has shifted them. Calls therefore leave 1/N s plus ``MARGIN`` apart: N + 1 calls
span 1 s + ``MARGIN`` s, whatever N is. Nobody gets a turn while the call before is still on its way out, making a connection for
instance, since nobody knows when it will arrive. A call that left late by less than ``SLACK_S`` does not shift those after it, so a
busy event loop costs no throughput: 1/(1 + MARGIN) = 98 % of the limit is used, and ``MARGIN - SLACK_S`` = 15 ms of network jitter
is absorbed. A 429 holds the whole class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from intraday.broker.endpoints import SECOND_NS, Pace
from intraday.domain.clock import Clock
from intraday.domain.errors import RateLimited

MARGIN = 0.02
SLACK_S = 0.005
HOLD_FIRST_S = 2.0  # after a 429; the broker's window is a second, and who keeps asking is blocked for longer
HOLD_MAX_S = 30.0


class Limit(Protocol):
    """Of one class: ``config.settings.EndpointLimit`` is one."""

    @property
    def per_s(self) -> float:
        """Calls a second."""
        ...

    @property
    def max_wait_s(self) -> float:
        """A call that would wait longer for its turn fails."""
        ...


class Limits(Protocol):
    """Of all classes: ``config.settings.RateLimits`` is one."""

    @property
    def quote(self) -> Limit:
        """``/quote``, ``/quote/ohlc`` and ``/quote/ltp`` together."""
        ...

    @property
    def historical(self) -> Limit:
        """Candles."""
        ...

    @property
    def other(self) -> Limit:
        """Every other call together."""
        ...


class Pacer:
    """A token bucket of capacity one, as arithmetic: it neither waits nor knows a clock. Times are monotonic ns."""

    def __init__(self, per_s: float, max_wait_s: float) -> None:
        self.interval_ns = round((1 + MARGIN) / per_s * SECOND_NS)
        self._slack_ns = min(round(SLACK_S * SECOND_NS), self.interval_ns // 4)
        self._max_wait_s = max_wait_s
        self._next_ns: int | None = None

    def wait_ns(self, now_ns: int, ahead: int = 0) -> int:
        """How long until a turn when ``ahead`` others go first. Raises RateLimited when that is longer than ``max_wait_s``."""
        due_ns = now_ns if self._next_ns is None else self._next_ns
        wait_ns = max(0, due_ns - now_ns) + ahead * self.interval_ns
        if wait_ns > self._max_wait_s * SECOND_NS:
            raise RateLimited(
                f"expected a turn within {self._max_wait_s:g} s, but it would come in {wait_ns / SECOND_NS:.1f} s "
                f"({ahead} calls go first): ask for less at once, or raise max_wait_s in rate_limit_config.yaml"
            )
        return wait_ns

    def reserve(self, now_ns: int) -> int:
        """0: it is this call's turn, taken. Otherwise how many ns to wait before asking again. Raises like ``wait_ns``."""
        wait_ns = self.wait_ns(now_ns)
        if wait_ns == 0:
            due_ns = now_ns if self._next_ns is None else self._next_ns
            self._next_ns = max(due_ns, now_ns - self._slack_ns) + self.interval_ns
        return wait_ns

    def sent(self, now_ns: int) -> None:
        """A call that had its turn left only now: a connection had to be made first. The next ones keep their distance to it."""
        self.hold(now_ns - self._slack_ns + self.interval_ns)

    def hold(self, until_ns: int) -> None:
        """No turn before ``until_ns``."""
        self._next_ns = until_ns if self._next_ns is None else max(self._next_ns, until_ns)


class Turn:
    """Leave for one call to go out. Nobody else of its class has one until it is over: use it as a context manager, and bound what
    happens inside."""

    def __init__(self, pacer: Pacer, clock: Clock, give_back: Callable[[], None]) -> None:
        self._pacer = pacer
        self._clock = clock
        self._give_back = give_back
        self._over = False

    def sent(self) -> None:
        """The call leaves right now: over."""
        if not self._over:
            self._pacer.sent(self._clock.monotonic_ns())
            self._end()

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *exc: object) -> None:
        """Over in any case: a call that has not left by now never will."""
        if not self._over:
            self._end()

    def _end(self) -> None:
        self._over = True
        self._give_back()


class Gate:
    """A ``Pacer`` to wait at, first come first served. A waiter that is cancelled leaves the queue and takes no turn."""

    def __init__(self, pacer: Pacer, clock: Clock) -> None:
        self._pacer = pacer
        self._clock = clock
        self._queue = asyncio.Lock()  # held until a turn is over; wakes its waiters in the order they came
        self._waiting = 0
        self._hold_s = HOLD_FIRST_S
        self._held_until_ns = 0

    async def turn(self) -> Turn:
        """Come back when it is this call's turn and the one before has left. RateLimited at once when that would take too long."""
        self._pacer.wait_ns(self._clock.monotonic_ns(), self._waiting)
        self._waiting += 1
        try:
            await self._queue.acquire()
            try:
                while wait_ns := self._pacer.reserve(self._clock.monotonic_ns()):  # noqa: ASYNC110  (nothing signals time)
                    await asyncio.sleep(wait_ns / SECOND_NS)
            except BaseException:
                self._queue.release()
                raise
        finally:
            self._waiting -= 1
        return Turn(self._pacer, self._clock, self._queue.release)

    def refused(self) -> None:
        """The broker said 429: nobody of this class asks for a while, twice as long each time that was not enough."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._held_until_ns:  # it had left before the others were held
            return
        self._held_until_ns = now_ns + round(self._hold_s * SECOND_NS)
        self._hold_s = min(2 * self._hold_s, HOLD_MAX_S)
        self._pacer.hold(self._held_until_ns)

    def answered(self) -> None:
        """The broker let a call pass."""
        self._hold_s = HOLD_FIRST_S


class Pacers:
    """The gates of one API key: make one for the process and hand it to whoever asks the broker. For one event loop."""

    def __init__(self, gates: dict[Pace, Gate]) -> None:
        assert set(gates) == set(Pace), gates
        self._gates = gates

    @classmethod
    def of(cls, limits: Limits, clock: Clock) -> Pacers:
        """Gates with the configured limits; ``limits`` is ``config.settings.RateLimits`` or anything of its shape."""
        chosen = {Pace.QUOTE: limits.quote, Pace.HISTORICAL: limits.historical, Pace.OTHER: limits.other}
        return cls({pace: Gate(Pacer(limit.per_s, limit.max_wait_s), clock) for pace, limit in chosen.items()})

    def gate(self, pace: Pace) -> Gate:
        """Where calls of ``pace`` queue."""
        return self._gates[pace]
