"""The 5, 15 and 60 minute bars during a session: made from stored minutes now and then, beside the live path, not in its way."""

from __future__ import annotations

import asyncio

from loguru import logger

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.errors import StorageError
from intraday.domain.ports import RollupStore

_EVERY_NS = 5 * MINUTE_NS  # the shortest of them


class TimeframeLoop:
    """Refreshes them once in five minutes of exchange time, in a thread; one that takes longer makes the next ones one.

    Nobody waits for it, and its failure is a log line: what was not done is noted in the database and done by the next, or by the
    end of the job.
    """

    def __init__(self, rollups: RollupStore) -> None:
        self._rollups = rollups
        self._due = asyncio.Event()
        self._period = -1
        self._closed = False

    def stored(self, now_ns: int) -> None:
        """Minutes were stored at ``now_ns``, exchange time. Never waits."""
        period = now_ns // _EVERY_NS
        if self._period not in (-1, period):
            self._due.set()
        self._period = period

    def close(self) -> None:
        """Let ``run`` end, after the refresh that is under way."""
        self._closed = True
        self._due.set()

    async def run(self) -> None:
        """Until closed."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._closed:
                return
            try:
                await asyncio.to_thread(self._rollups.refresh)
            except StorageError as error:
                logger.warning("timeframes not refreshed, the next time does it", error=str(error))
