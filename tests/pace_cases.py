"""Tests in virtual time: days pass in seconds and every timeout is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from intraday.domain.clock import Clock
from intraday.domain.pace import AS_FAST_AS_POSSIBLE, LoopClock, paced

T = TypeVar("T")
START_NS = 1_788_235_200_000_000_000  # 2026-09-01 09:30 IST


def virtual(main: Callable[[Clock], Awaitable[T]], start_ns: int = START_NS) -> T:
    """Run ``main`` with the clock of a loop that goes as fast as it can; the clock shows ``start_ns`` first."""

    async def run() -> T:
        return await main(LoopClock(asyncio.get_running_loop(), start_ns))

    with asyncio.Runner(loop_factory=paced(AS_FAST_AS_POSSIBLE)) as runner:
        return runner.run(run())
