"""Minutes that the live feed missed, fetched as candles while the session goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from loguru import logger

from intraday.broker.backfill import Target
from intraday.broker.candles import check, own_sessions, validators_of
from intraday.broker.repairs import Repaired
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty
from intraday.domain.broker import CandleApi, Interval
from intraday.domain.clock import Clock
from intraday.domain.errors import AuthError, IntradayError, RequestRefused
from intraday.domain.membership import Auction, no_auction
from intraday.domain.session import SessionTable, day_of

FAILURES_MAX = 5  # requests in a row without an answer after which the rest is not asked for


@dataclass(slots=True)
class _Run:
    """One repair under way."""

    queue: deque[int]
    parts: list[Bars] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    failed_in_a_row: int = 0
    error: IntradayError | None = None


class MinuteRepair:
    """``repair`` fits ``KiteFeed``: the pace is the api's, ``workers`` requests are under way at most.

    ``targets``: what is subscribed, by dense row, the most important first. ``auction`` as for the backfill. ``settle_s``: a
    candle is final so long after its end; a repair waits for that.
    """

    def __init__(
        self,
        api: CandleApi,
        targets: Sequence[Target],
        sessions: SessionTable,
        clock: Clock,
        *,
        workers: int = 4,
        settle_s: float = 5.0,
        auction: Auction = no_auction,
    ) -> None:
        self._api = api
        self._targets = targets
        self._clock = clock
        self._workers = workers
        self._settle_ns = round(settle_s * 1e9)
        self._auction = auction
        self._sessions = sessions
        self._validators = validators_of(sessions)

    async def repair(self, start_ns: int, end_ns: int, insts: Sequence[int] = ()) -> Repaired:
        """BAR[n] with ``start_ns <= open`` and ``end <= end_ns`` of these rows (all when empty), ordered by (ts, inst).

        Asked one request an instrument, in the order given. Instruments that the broker does not answer for are named in the
        result and logged, and so are those it refuses, which need not be asked for again; raises its error (BrokerError,
        AuthError) only when there was no answer at all, refusals included. The range lies within one session's day, and its end
        is not in the future.
        """
        await self._settle(end_ns)
        run = _Run(deque(insts or range(len(self._targets))))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._workers, len(run.queue))):
                group.create_task(self._work(run, start_ns, end_ns))
        missing = sorted([*run.failed, *run.queue])
        if missing:
            symbols = ", ".join(self._targets[i][0].symbol for i in missing[:8]) + (", …" if len(missing) > 8 else "")
            logger.warning("missed minutes not repaired", n_instruments=len(missing), symbols=symbols, error=str(run.error))
        if run.error is not None and not run.parts and not run.refused:
            raise run.error
        bars = np.concatenate([empty(BAR), *run.parts])
        reason = "" if run.error is None else str(run.error)
        return Repaired(bars[np.lexsort((bars["inst"], bars["ts_ns"]))], tuple(missing), reason, run.refused)

    async def _settle(self, end_ns: int) -> None:
        """Wait until the last candle is final."""
        left_ns = end_ns + self._settle_ns - self._clock.now_ns()
        assert left_ns <= self._settle_ns, "minutes to come cannot be repaired"
        if left_ns > 0:
            await asyncio.sleep(left_ns / 1e9)

    async def _work(self, run: _Run, start_ns: int, end_ns: int) -> None:
        while run.queue and not isinstance(run.error, AuthError) and run.failed_in_a_row < FAILURES_MAX:
            inst = run.queue.popleft()
            try:
                run.parts.append(await self._fetch(inst, start_ns, end_ns))
                run.failed_in_a_row = 0
            except RequestRefused as error:
                run.refused[inst] = f"{self._targets[inst][0].symbol}: {error}"
                run.failed_in_a_row = 0
            except IntradayError as error:
                run.error = error
                run.failed.append(inst)
                run.failed_in_a_row += 1

    async def _fetch(self, inst: int, start_ns: int, end_ns: int) -> Bars:
        instrument, token = self._targets[inst]
        answer = await self._api.fetch_historical_data(token, Interval.MINUTE, start_ns, end_ns - MINUTE_NS)
        day = day_of(start_ns)
        (hours,) = own_sessions(self._sessions, [instrument], day, day, self._auction)
        rows, found = check(instrument, hours, answer, max(start_ns, hours[0].open_ns), end_ns, self._validators)
        bars = rows[found.accepted]
        bars["inst"] = inst
        return bars
