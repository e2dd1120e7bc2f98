"""The exchange's own meter: how many requests of which class came when, and which were too many. Source: KITE_SPEC, section 4."""

from __future__ import annotations

from array import array

from intraday.domain.clock import Clock
from intraday.sim.knobs import REST_CLASSES, RestClass

LIMITS: dict[RestClass, int] = {"quote": 1, "historical": 3, "other": 10}  # requests in any one second, for each API key
WINDOW_NS = 10**9


class Meter:
    """A sliding window of one second for each API key and class. What is refused does not count against the window."""

    def __init__(self, clock: Clock, limits: dict[RestClass, int] | None = None) -> None:
        self._clock = clock
        self._limits = limits or LIMITS
        self._accepted: dict[tuple[str, RestClass], array[int]] = {}
        self._asked: dict[RestClass, array[int]] = {name: array("q") for name in REST_CLASSES}
        self._refused: dict[RestClass, int] = dict.fromkeys(REST_CLASSES, 0)

    def admit(self, api_key: str, name: RestClass) -> bool:
        """Count a request; False when it is one too many."""
        now_ns = self._clock.now_ns()
        self._asked[name].append(now_ns)
        times = self._accepted.setdefault((api_key, name), array("q"))
        cap = self._limits[name]
        if len(times) >= cap and times[-cap] > now_ns - WINDOW_NS:
            self._refused[name] += 1
            return False
        times.append(now_ns)
        return True

    def times(self, name: RestClass) -> list[int]:
        """When every request of a class came, the refused ones too; ns UTC, ascending."""
        return self._asked[name].tolist()

    def refused(self, name: RestClass) -> int:
        """How many requests of a class were answered 429."""
        return self._refused[name]

    def busiest(self, name: RestClass) -> int:
        """The most requests of a class within any one second, the refused ones too."""
        times, first, most = self._asked[name], 0, 0
        for i, at_ns in enumerate(times):
            while times[first] <= at_ns - WINDOW_NS:
                first += 1
            most = max(most, i - first + 1)
        return most
