"""The only place that reads the machine's clock. Everything else is handed a ``Clock``."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time as the shell sees it."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start; never goes back. For durations only."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds since boot or so; never goes back."""
        return time.monotonic_ns()


class ScaledClock:
    """A clock that showed ``start_ns`` when ``base`` showed ``zero_ns`` (monotonic) and runs ``speed`` times as fast."""

    def __init__(self, start_ns: int, speed: float, base: Clock, zero_ns: int | None = None) -> None:
        self._start_ns = start_ns
        self._speed = speed
        self._base = base
        self._zero_ns = base.monotonic_ns() if zero_ns is None else zero_ns

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC, of the scaled time."""
        return self._start_ns + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        """Scaled nanoseconds since the clock was made."""
        return round((self._base.monotonic_ns() - self._zero_ns) * self._speed)


class SimClock:
    """A clock that stands still until it is told to move: replays, simulations, tests."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time it was last set to."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """The same instant; a simulation has one time."""
        return self._now_ns

    def set(self, now_ns: int) -> None:
        """Move to ``now_ns``. It never goes back."""
        assert now_ns >= self._now_ns, (now_ns, self._now_ns)
        self._now_ns = now_ns
