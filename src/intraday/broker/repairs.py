"""Minutes that the feed missed, asked for again: settled first, retried, bounded, and reported when they could not be had."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from intraday.domain.arrays import IST_NS, MINUTE_NS, Bars
from intraday.domain.clock import Clock
from intraday.domain.errors import AuthError, BrokerError
from intraday.domain.events import Alert, RequestBackfill
from intraday.domain.session import Session

SECOND_NS = 1_000_000_000
REFUSED_MAX = 8  # refusals named in an alert
LATER = "`intraday backfill` fetches them later"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What could be had: ``bars`` BAR[n], the instruments (dense rows) of which nobody knows, and why, and those that the broker
    refused, each with its symbol and the refusal: another attempt is of no use."""

    bars: Bars
    missing: tuple[int, ...] = ()
    reason: str = ""
    refused: Mapping[int, str] = field(default_factory=dict)


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
    slice_max: int = 50  # instruments asked for at a time; what comes of them is handed on before the next ones
    timeout_ns: int = 600 * SECOND_NS  # of one slice, which takes 17 s at 3 requests a second
    close_ns: int = 600 * SECOND_NS  # so long after the close (or the start, if that is later) it is enough,
    close_each_ns: int = 400_000_000  # and so much longer for each instrument: 3 requests a second take 340 ms
    slow_ns: int = 60 * SECOND_NS  # a first attempt that takes longer is reported
    requests_max: int = 100  # waiting; more are refused, and reported


class Repairs:
    """Requests in, bars out, in order of the requests; those that touch and have settled become one.

    ``insts``: all dense rows, for a request that names none. ``done`` is called with bars whenever some came, and with None when
    a request is over. An attempt asks for those instruments only that the one before did not get. After the close the time is
    bounded by the number of instruments (``RepairSpec``); what is missing then is reported and left to the backfill.
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
        self._bound_ns = spec.close_ns + spec.close_each_ns * len(insts)  # of the time after the close
        self._until_ns = max(session.close_ns, clock.now_ns()) + self._bound_ns
        self._refused: set[int] = set()  # those that were reported

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
                insts, reason = await self._attempt(wanted, insts, n)
                if not insts:
                    return
                if self._left_ns() <= 0:
                    self._report("error", wanted, f"{_of(insts, n)}not fetched in {self._late()}; {LATER}")
                    return
                if attempt == 0:
                    self._report("warning", wanted, f"{_of(insts, n)}cannot be fetched yet: {reason}; trying again")
                timer.cancel()
        finally:
            timer.cancel()
        failed = f"could not be fetched in {self._spec.attempts} attempts: {reason}; {LATER}"
        self._report("error", wanted, _of(insts, n) + failed)

    async def _attempt(self, wanted: RequestBackfill, insts: tuple[int, ...], n: int) -> tuple[tuple[int, ...], str]:
        """Hand on what comes, slice by slice; the instruments still missing, and why. A slice without an answer ends it."""
        missing: list[int] = []
        refused: dict[int, str] = {}
        reason = ""
        for at in range(0, len(insts), self._spec.slice_max):
            try:
                found = await self._slice(wanted, insts[at : at + self._spec.slice_max])
            except (BrokerError, AuthError, TimeoutError) as error:
                missing += insts[at:]
                reason = str(error)
                break
            missing += found.missing
            refused |= found.refused
            reason = found.reason or reason
        self._refusals(wanted, refused, n)
        return tuple(missing), reason

    async def _slice(self, wanted: RequestBackfill, insts: tuple[int, ...]) -> Repaired:
        """Ask for these and hand on what comes. Raises BrokerError, AuthError, TimeoutError without any answer."""
        seconds = max(min(self._spec.timeout_ns, self._left_ns()), 0) / 1e9
        try:
            async with asyncio.timeout(seconds):
                found = await self._repair(wanted.start_ns, wanted.end_ns, insts)
        except TimeoutError:
            raise TimeoutError(f"no answer in {seconds:.0f} s") from None
        bars = found.bars
        inside: Bars = bars[(bars["ts_ns"] >= wanted.start_ns) & (bars["ts_ns"] < wanted.end_ns)]
        if len(inside):
            self._done(inside)
        return found

    def _left_ns(self) -> int:
        """Until nobody waits any longer."""
        return self._until_ns - self._clock.now_ns()

    def _late(self) -> str:
        return f"the {self._bound_ns / 1e9:.0f} s after the close"

    def _refusals(self, wanted: RequestBackfill, refused: Mapping[int, str], n: int) -> None:
        """Tell of those instruments that were not told of before."""
        new = [text for inst, text in refused.items() if inst not in self._refused]
        self._refused |= refused.keys()
        if new:
            named = "; ".join(new[:REFUSED_MAX]) + ("; …" if len(new) > REFUSED_MAX else "")
            self._report("warning", wanted, f"of {len(new)} of {n} instruments refused by the broker, left out: {named}")

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
