"""A circuit breaker: a broker that is down is asked now and then, not all the time. Pure: the caller says what time it is.

closed -(n failures in a row)-> open -(open_s later)-> half-open -(success)-> closed, -(failure)-> open again
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from intraday.broker.endpoints import SECOND_NS, ist_text
from intraday.domain.errors import BrokerUnavailable


class Circuit(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"  # calls go through
    OPEN = "open"  # no call goes through
    HALF_OPEN = "half-open"  # one call tries, the others wait for what it finds


class CircuitOpen(BrokerUnavailable):
    """Not asked, because the broker has been down. ``wait_ns``: when asking may help."""

    def __init__(self, message: str, wait_ns: int) -> None:
        super().__init__(message)
        self.wait_ns = wait_ns


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens after ``failures`` calls in a row without an answer (or with a 5xx), for ``open_s`` seconds."""

    failures: int = 3
    open_s: float = 10.0


class Breaker:
    """Of one class of calls. ``now_ns``: wall time, since its messages name times of day."""

    def __init__(self, policy: BreakerPolicy, name: str) -> None:
        self._policy = policy
        self._name = name
        self._failures = 0
        self._since_ns = 0  # the first failure of this row
        self._opened_ns = 0
        self._why = ""
        self._probing = False

    def state(self, now_ns: int) -> Circuit:
        """The state at ``now_ns``."""
        if self._failures < self._policy.failures:
            return Circuit.CLOSED
        return Circuit.OPEN if self._left_ns(now_ns) else Circuit.HALF_OPEN

    def admit(self, now_ns: int) -> None:
        """One call wants through; ``succeeded``, ``failed`` or ``abandoned`` has to follow. CircuitOpen when it may not."""
        state = self.state(now_ns)
        if state is Circuit.CLOSED:
            return
        if state is Circuit.OPEN or self._probing:
            wait_ns = self._left_ns(now_ns) or SECOND_NS
            raise CircuitOpen(
                f"expected {self._name} calls to be answered, but {self._failures} in a row have failed since "
                f"{ist_text(self._since_ns)} IST (last: {self._why}): not asked again before {ist_text(now_ns + wait_ns)} IST",
                wait_ns,
            )
        self._probing = True

    def succeeded(self) -> None:
        """The broker answered; even a refusal proves that it is there."""
        self._failures = 0
        self._probing = False

    def failed(self, now_ns: int, why: str) -> None:
        """No answer, or a 5xx. ``why``: in a few words, without secrets."""
        if self._failures == 0:
            self._since_ns = now_ns
        self._failures += 1
        self._opened_ns = now_ns
        self._why = why
        self._probing = False

    def abandoned(self) -> None:
        """The call was cancelled: nothing was learnt."""
        self._probing = False

    def _left_ns(self, now_ns: int) -> int:
        """Until the circuit is half-open; 0 too when the clock was set back, since then nobody knows."""
        passed_ns = now_ns - self._opened_ns
        left_ns = round(self._policy.open_s * SECOND_NS) - passed_ns
        return left_ns if passed_ns >= 0 and left_ns > 0 else 0
