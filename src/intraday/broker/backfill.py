"""BackfillManager: what is missing of the broker's minute candles is asked for, judged and stored, request by request.

Every answer is stored in one transaction with the days it settles and the gaps it leaves, so a run that is killed at any moment
asks for nothing again that was complete. The pace is the api's; workers only keep requests under way while others are being stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import numpy as np

from intraday.broker.candles import Judged, judge, own_sessions, untried, validators_of, worth_asking
from intraday.broker.chunks import Chunk, plan, recut
from intraday.domain.arrays import BAR, DAY_NS, IST_NS, MINUTE_NS, Bars, empty
from intraday.domain.broker import SPAN_DAYS, CandleApi, Fetched, FetchStore, Interval
from intraday.domain.clock import Clock
from intraday.domain.errors import AuthError, BrokerError, IntradayError, RequestRefused, SpanTooLong
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Auction, no_auction
from intraday.domain.ports import BarStore, Progress, WriteReport
from intraday.domain.session import SessionTable, day_of, midnight_ns

REFUSED = "refused by the broker"
NO_ANSWER = "no answer from the broker"
FAILURES_MAX = 10  # requests in a row without an answer, their retries included, after which the broker counts as down
EARLIER_NS = 16 * DAY_NS  # stored bars of so long before an answer, some ten sessions, say what is usual
REASON_MAX = 200  # characters of a refusal kept with a gap

Target = tuple[Instrument, int]  # a stored instrument and the broker's token of it today
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a run did. ``error``: why it stopped before the end, None when it did not; what was stored until then is kept.

    ``requests`` that were answered with candles; ``bars`` accepted, of which ``written`` says what was new; ``rejected`` rows in
    quarantine; ``gaps`` stretches without candles, ``gap_minutes`` in all; ``failed`` requests without an answer;
    ``failures`` by instrument; ``seconds`` in all; ``waited_s`` until answers came, the turn included, summed over requests;
    ``flagged`` candles that are odd and kept, by ``core.validate.FlagReason``.
    """

    planned: int
    requests: int
    failed: int
    bars: int
    written: WriteReport
    rejected: int
    gaps: int
    gap_minutes: int
    cap_days: int
    seconds: float
    waited_s: float
    failures: Mapping[str, str]
    error: IntradayError | None = None
    flagged: Mapping[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True when every request was answered or refused for good."""
        return self.error is None and self.failed == 0


@dataclass(slots=True)
class _Run:
    """One run under way."""

    targets: Sequence[Target]
    queue: deque[Chunk]
    before: Mapping[tuple[int, date], Fetched]  # what earlier answers said of (instrument, day)
    asked: Mapping[int, Sequence[int]]  # session numbers by target
    cap_days: int
    planned: int
    requests: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    bars: int = 0
    written: WriteReport = field(default_factory=WriteReport)
    rejected: int = 0
    gaps: int = 0
    gap_minutes: int = 0
    waited_ns: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    odd: Counter[str] = field(default_factory=Counter)
    error: IntradayError | None = None

    def stop(self, error: IntradayError) -> None:
        """End it; the first reason counts, the others follow from it."""
        if self.error is None:
            self.error = error


class BackfillManager:
    """Fetches minute candles. ``workers`` requests are under way at most; a candle is final ``settle_s`` after its end.

    ``auction``: who takes part in the closing auction when; continuous trading then ends earlier. ``in_thread``: store off the
    event loop, so that a large transaction does not delay the next request; not under virtual time, where a thread looks
    infinitely slow.
    """

    def __init__(
        self,
        api: CandleApi,
        store: FetchStore,
        bars: BarStore,
        sessions: SessionTable,
        clock: Clock,
        progress: Progress,
        *,
        workers: int = 4,
        settle_s: float = 20.0,
        auction: Auction = no_auction,
        in_thread: bool = True,
    ) -> None:
        self._api = api
        self._store = store
        self._bars = bars
        self._sessions = sessions
        self._clock = clock
        self._progress = progress
        self._workers = workers
        self._settle_ns = round(settle_s * 1e9)
        self._auction = auction
        self._in_thread = in_thread
        self._validators = validators_of(sessions)

    def plan(self, targets: Sequence[Target], first: date, last: date, *, again: bool = False) -> list[Chunk]:
        """The requests that ``run`` would make, in order; ``again``: for everything, fetched before or not.

        Days after today, and of today before its first final candle, are left out. CalendarError outside the session table.
        """
        return self._plan(targets, self._fetched(targets, first, last), first, last, again=again)

    async def run(self, targets: Sequence[Target], first: date, last: date, *, again: bool = False) -> BackfillReport:
        """Fetch and store what is missing of ``first <= day <= last``, both ends included.

        An instrument the broker refuses, and requests it does not answer, are gaps with that reason and the others go on. A dead
        login, missing entitlement, a blocked address, or a broker that is down end the run: see ``error`` of the report.
        Raises StorageError, with everything stored before it kept; being cancelled keeps it too.
        """
        started_ns = self._clock.monotonic_ns()
        fetched = self._fetched(targets, first, last)
        chunks = self._plan(targets, fetched, first, last, again=again)
        before = {(f.instrument_id, f.day): f for f in fetched}
        asked: dict[int, list[int]] = defaultdict(list)
        for chunk in chunks:
            asked[chunk.target] += [session.number for session in chunk.sessions]
        run = _Run(targets, deque(chunks), before, asked, SPAN_DAYS[Interval.MINUTE], len(chunks))
        self._progress("backfill", 0, run.planned)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._workers, len(chunks))):
                group.create_task(self._work(run))
        if run.error is not None and not isinstance(run.error, AuthError | BrokerError):
            raise run.error
        return BackfillReport(
            run.planned, run.requests, run.failed, run.bars, run.written, run.rejected, run.gaps, run.gap_minutes, run.cap_days,
            (self._clock.monotonic_ns() - started_ns) / 1e9, run.waited_ns / 1e9, run.failures, run.error, dict(run.odd),
        )  # fmt: skip

    async def _work(self, run: _Run) -> None:
        """Take requests until there are none, or somebody met the end."""
        while run.queue and run.error is None:
            try:
                await self._fetch(run, run.queue.popleft())
            except IntradayError as error:
                run.stop(error)
            self._progress("backfill", run.planned - len(run.queue), run.planned)

    async def _fetch(self, run: _Run, chunk: Chunk) -> None:
        instrument, token = run.targets[chunk.target]
        final_ns = self._clock.now_ns() - self._settle_ns  # by the time of asking: the answer may be newer, never older
        end_ns = min(chunk.end_ns, final_ns // MINUTE_NS * MINUTE_NS - MINUTE_NS)
        begun_ns = self._clock.monotonic_ns()
        try:
            answer = await self._api.fetch_historical_data(token, Interval.MINUTE, chunk.start_ns, end_ns)
        except AuthError:
            raise
        except BrokerError as error:
            await self._survive(run, chunk, final_ns, error)
            return
        finally:
            run.waited_ns += self._clock.monotonic_ns() - begun_ns
        run.failed_in_a_row = 0
        await self._keep(run, chunk, answer, final_ns)

    async def _survive(self, run: _Run, chunk: Chunk, final_ns: int, error: BrokerError) -> None:
        """Go on without this answer; raises ``error`` when the broker seems to be down."""
        if isinstance(error, SpanTooLong) and chunk.span_days > 0:
            self._learn(run, chunk, error.days)
            return
        refused = isinstance(error, RequestRefused)
        run.failures[run.targets[chunk.target][0].key] = str(error)
        await self._give_up(run, chunk, final_ns, f"{REFUSED}: {error}"[:REASON_MAX] if refused else NO_ANSWER, whole=refused)
        run.failed += not refused
        run.failed_in_a_row = 0 if refused else run.failed_in_a_row + 1
        if run.failed_in_a_row >= FAILURES_MAX:
            raise error

    def _learn(self, run: _Run, chunk: Chunk, days: int) -> None:
        """Another cap: cut this request and all others anew. It shrinks each time, whatever the broker says, so this ends."""
        run.cap_days = max(min(run.cap_days, days, chunk.span_days - 1), 0)
        before = len(run.queue) + 1
        run.queue = deque(recut([chunk, *run.queue], run.cap_days))
        run.planned += len(run.queue) - before

    async def _keep(self, run: _Run, chunk: Chunk, answer: Bars, final_ns: int) -> None:
        instrument = run.targets[chunk.target][0]
        earlier = await self._offload(lambda: self._earlier(run, chunk))
        asked_ns = final_ns + self._settle_ns
        judged = judge(instrument, chunk.sessions, answer, asked_ns, final_ns, run.before, self._validators, earlier)
        known_ns = self._clock.now_ns()

        def store() -> WriteReport:
            if judged.rejected:
                self._bars.quarantine(judged.rejected)
            return self._store.save(instrument.id, judged.bars, judged.fetched, judged.gaps, known_ns)

        written = await self._offload(store)  # a name of its own: with += other workers' counts would be lost in the wait
        run.written += written
        run.requests += 1
        run.bars += judged.bars.shape[0]
        run.rejected += judged.n_rejected
        _count(run, judged)

    def _earlier(self, run: _Run, chunk: Chunk) -> Bars:
        """Stored bars of the sessions before the request; none of a day this run asks for, or the order of answers would decide."""
        start_ns = midnight_ns(chunk.sessions[0].day)
        bars = self._bars.read([run.targets[chunk.target][0].id], start_ns - EARLIER_NS, start_ns)
        return bars[~np.isin((bars["ts_ns"] + IST_NS) // DAY_NS, run.asked[chunk.target])]

    async def _give_up(self, run: _Run, chunk: Chunk, final_ns: int, reason: str, *, whole: bool) -> None:
        """Nothing came: remember that as gaps. ``whole``: nor will it for the instrument's other requests."""
        instrument = run.targets[chunk.target][0]
        lost = [chunk]
        if whole:
            lost += [c for c in run.queue if c.target == chunk.target]
            run.queue = deque(c for c in run.queue if c.target != chunk.target)
        gaps = tuple(gap for c in lost for gap in untried(instrument.id, c.sessions, run.before, final_ns, reason))
        known_ns = self._clock.now_ns()
        await self._offload(lambda: self._store.save(instrument.id, empty(BAR), (), gaps, known_ns))
        _count(run, Judged(empty(BAR), 0, (), (), gaps))

    async def _offload(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work) if self._in_thread else work()

    def _fetched(self, targets: Sequence[Target], first: date, last: date) -> list[Fetched]:
        ids = [instrument.id for instrument, _ in targets]
        assert all(ids), "instruments are stored before their candles"
        assert len(set(ids)) == len(ids), "an instrument is named once"
        return self._store.fetched(ids, first, last)

    def _plan(self, targets: Sequence[Target], fetched: Sequence[Fetched], first: date, last: date, *, again: bool) -> list[Chunk]:
        now_ns = self._clock.now_ns()
        last = min(last, self._today())
        if first > last:
            return []
        done: dict[int, set[date]] = {instrument.id: set() for instrument, _ in targets}
        for row in fetched:
            if not again and not worth_asking(row, now_ns):
                done[row.instrument_id].add(row.day)
        begun_ns = now_ns - self._settle_ns - MINUTE_NS  # a session that opened later has no final candle yet
        begun = [s.day for s in self._sessions.between(first, last) if s.open_ns <= begun_ns]
        if not begun:
            return []
        hours = own_sessions(self._sessions, (instrument for instrument, _ in targets), begun[0], begun[-1], self._auction)
        return plan(hours, list(done.values()), SPAN_DAYS[Interval.MINUTE])

    def _today(self) -> date:
        return day_of(self._clock.now_ns())


def _count(run: _Run, judged: Judged) -> None:
    run.gaps += len(judged.gaps)
    run.odd.update(reason.value for reason in judged.odd)
    run.gap_minutes += sum(gap.n_minutes for gap in judged.gaps)
