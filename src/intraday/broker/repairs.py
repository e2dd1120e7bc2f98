"""Minutes that the feed missed, asked for again: settled first, retried, bounded, and reported when they could not be had."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from intraday.domain.arrays import IST_NS, MINUTE_NS, Bars
from intraday.domain.clock import Clock
from intraday.domain.errors import AuthError, BrokerError
from intraday.domain.events import Alert, RequestBackfill
from intraday.domain.session import Session

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Repaired:
    """What could be had: ``bars`` BAR[n], and the instruments (dense rows) of which nobody knows, and why."""

    bars: Bars
    missing: tuple[int, ...] = ()
    reason: str = ""


# One-minute bars of open times ``start_ns <= t < end_ns`` of these instruments (dense rows). Raises BrokerError, AuthError when
# none of them was answered.
Repair = Callable[[int, int, Sequence[int]], Awaitable[Repaired]]
Tell = Callable[[Alert], None]  # what a person should read; never waits, never raises


@dataclass(frozen=True, slots=True)
class RepairSpec:
    """``settle_ns``: a candle is asked for so long after its end, because the broker publishes it late."""

    settle_ns: int = 20 * SECOND_NS
    attempts: int = 6
    first_ns: int = 5 * SECOND_NS  # wait after the first failure; doubles each time
    max_ns: int = 60 * SECOND_NS
    timeout_ns: int = 1800 * SECOND_NS  # of one attempt: 3000 instruments at 3 requests a second take 1000 s
    slow_ns: int = 60 * SECOND_NS  # a first attempt that takes longer is reported
    requests_max: int = 100  # waiting; more are refused, and reported


class Repairs:
    """Requests in, bars out, in order of the requests; those that touch and have settled become one.

    ``insts``: all dense rows, for a request that names none. ``done`` is called with bars whenever some came, and with None when
    a request is over. An attempt asks for those instruments only that the one before did not get.
    """

    def __init__(
        self,
        session: Session,
        insts: Sequence[int],
        repair: Repair,
        clock: Clock,
        spec: RepairSpec,
        tell: Tell,
        done: Callable[[Bars | None], None],
    ) -> None:
        self._session = session
        self._insts = insts
        self._repair = repair
        self._clock = clock
        self._spec = spec
        self._tell = tell
        self._done = done
        self._waiting: deque[RequestBackfill] = deque()
        self._arrived = asyncio.Event()
        self._working = False

    @property
    def busy(self) -> bool:
        """Something is waiting or under way."""
        return self._working or bool(self._waiting)

    def request(self, wanted: RequestBackfill) -> None:
        """Ask for minutes; those outside the session do not exist and are left out. Never waits."""
        start_ns, end_ns = max(wanted.start_ns, self._session.open_ns), min(wanted.end_ns, self._session.close_ns)
        if start_ns >= end_ns:
            return
        wanted = replace(wanted, start_ns=start_ns, end_ns=end_ns)
        if len(self._waiting) >= self._spec.requests_max:
            self._report("error", wanted, f"not asked for: {len(self._waiting)} requests are waiting already")
            return
        self._waiting.append(wanted)
        self._arrived.set()

    async def run(self) -> None:
        """Work; until cancelled."""
        while True:
            self._arrived.clear()
            if not self._waiting:
                await self._arrived.wait()
            self._working = True
            await self._settle(self._waiting[0])
            wanted = self._merge(self._waiting.popleft())
            await self._fetch(wanted)
            self._working = False
            self._done(None)

    async def _settle(self, wanted: RequestBackfill) -> None:
        wait_ns = wanted.end_ns + self._spec.settle_ns - self._clock.now_ns()
        if wait_ns > 0:
            await asyncio.sleep(wait_ns / 1e9)

    def _merge(self, wanted: RequestBackfill) -> RequestBackfill:
        """With whatever else waits for the same instruments, touches it and has settled."""
        settled_ns = self._clock.now_ns() - self._spec.settle_ns
        rest: deque[RequestBackfill] = deque()
        for other in self._waiting:
            touches = other.start_ns <= wanted.end_ns and wanted.start_ns <= other.end_ns
            if other.inst == wanted.inst and touches and other.end_ns <= settled_ns:
                first_ns, last_ns = min(wanted.start_ns, other.start_ns), max(wanted.end_ns, other.end_ns)
                wanted = replace(wanted, start_ns=first_ns, end_ns=last_ns)
            else:
                rest.append(other)
        self._waiting = rest
        return wanted

    async def _fetch(self, wanted: RequestBackfill) -> None:
        slow = f"still not fetched after {self._spec.slow_ns / 1e9:.0f} s; going on"
        timer = asyncio.get_running_loop().call_later(self._spec.slow_ns / 1e9, self._report, "warning", wanted, slow)
        insts = tuple(wanted.inst or self._insts)
        n, reason = len(insts), ""
        try:
            for attempt in range(self._spec.attempts):
                if attempt:
                    await asyncio.sleep(min(self._spec.max_ns, self._spec.first_ns << (attempt - 1)) / 1e9)
                insts, reason = await self._attempt(wanted, insts)
                if not insts:
                    return
                if attempt == 0:
                    self._report("warning", wanted, f"{_of(insts, n)}cannot be fetched yet: {reason}; trying again")
                timer.cancel()
        finally:
            timer.cancel()
        failed = f"could not be fetched in {self._spec.attempts} attempts: {reason}; `intraday backfill` fetches them later"
        self._report("error", wanted, _of(insts, n) + failed)

    async def _attempt(self, wanted: RequestBackfill, insts: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Hand on what comes; the instruments that are still missing, and why."""
        try:
            async with asyncio.timeout(self._spec.timeout_ns / 1e9):
                found = await self._repair(wanted.start_ns, wanted.end_ns, insts)
        except (BrokerError, AuthError) as error:
            return insts, str(error)
        except TimeoutError:
            return insts, f"no answer in {self._spec.timeout_ns / 1e9:.0f} s"
        bars = found.bars
        inside: Bars = bars[(bars["ts_ns"] >= wanted.start_ns) & (bars["ts_ns"] < wanted.end_ns)]
        if len(inside):
            self._done(inside)
        return found.missing, found.reason

    def _report(self, level: str, wanted: RequestBackfill, text: str) -> None:
        first, last = ist(wanted.start_ns), ist(wanted.end_ns - MINUTE_NS)
        minutes = f"missed minute {first}" if first == last else f"missed minutes {first} to {last}"
        self._tell(Alert(self._clock.now_ns(), level, "feed", f"{minutes} {text}"))


def _of(missing: Sequence[int], n: int) -> str:
    return f"of {len(missing)} of {n} instruments " if len(missing) < n else ""


def ist(ts_ns: int) -> str:
    """HH:MM of the day, IST."""
    minute = (ts_ns + IST_NS) // MINUTE_NS % 1440
    return f"{minute // 60:02d}:{minute % 60:02d}"
