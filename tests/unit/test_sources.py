"""Recorded frames become the timeline a live session would have had."""

import asyncio
from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.domain.arrays import MINUTE_NS, TICK
from intraday.domain.clock import SimClock
from intraday.domain.events import Frame, LinkLost, LinkUp, Timer
from intraday.domain.session import SessionTable
from intraday.live.queue import TickQueue
from intraday.live.sources import RecordedSource, timed_events

DAY = SessionTable.load().get(date(2024, 1, 10))
GRACE, OUTAGE = 1_500_000_000, 60 * 10**9
NO_TICKS = np.zeros(0, TICK)


def timeline(*seconds):
    """Events for frames so many seconds after the open."""
    return list(timed_events(DAY, [(DAY.open_ns + int(s * 1e9), NO_TICKS) for s in seconds], GRACE, OUTAGE))


def after_open(event):
    return (event.now_ns - DAY.open_ns) / 1e9


def test_every_minute_has_its_timer_and_one_more_comes_last():
    timers = [e for e in timeline(*range(0, 22_500, 30)) if isinstance(e, Timer)]
    assert [after_open(t) for t in timers[:-1]] == [60.0 * (i + 1) + 1.5 for i in range(375)]
    assert timers[-1].now_ns > timers[-2].now_ns


def test_a_timer_comes_before_the_frame_of_its_instant():
    events = [e for e in timeline(59, 60, 61.5, 62) if not isinstance(e, LinkLost)][:6]
    assert [(type(e), after_open(e)) for e in events[:5]] == [(Frame, 59), (Frame, 60), (Timer, 61.5), (Frame, 61.5), (Frame, 62)]


def test_silence_is_a_lost_link_in_its_place():
    events = timeline(10, 20, 200, 210)
    names = [(type(e).__name__, after_open(e)) for e in events if after_open(e) <= 210]
    assert names == [
        ("Frame", 10), ("Frame", 20), ("Timer", 61.5), ("LinkLost", 80), ("Timer", 121.5), ("Timer", 181.5),
        ("LinkUp", 200), ("Frame", 200), ("Frame", 210),
    ]  # fmt: skip


def test_a_late_start_and_an_early_end_are_outages_too():
    events = timeline(300, 305)
    assert after_open(next(e for e in events if isinstance(e, LinkLost))) == 60
    assert [after_open(e) for e in events if isinstance(e, LinkLost)] == [60, 365]
    assert [after_open(e) for e in events if isinstance(e, LinkUp)] == [300]


def test_silence_outside_the_session_is_none():
    early = timed_events(DAY, [(DAY.open_ns - 900 * 10**9, NO_TICKS), (DAY.open_ns + 10**9, NO_TICKS)], GRACE, OUTAGE)
    first = next(e for e in early if not isinstance(e, Frame))
    assert after_open(first) == 61, "nothing is expected before the open"
    late = list(timed_events(DAY, [(DAY.close_ns - 10**9, NO_TICKS), (DAY.close_ns + 900 * 10**9, NO_TICKS)], GRACE, OUTAGE))
    assert [type(e) for e in late if after_open(e) > 22_490] == [LinkUp, Frame, Timer, Frame, Timer]


@given(st.lists(st.integers(-1_000, 24_000), max_size=60))
@settings(max_examples=200, deadline=None)
def test_time_never_goes_back_and_no_frame_is_lost(seconds):
    events = timeline(*sorted(seconds))
    times = [e.now_ns for e in events]
    assert times == sorted(times)
    assert sum(isinstance(e, Frame) for e in events) == len(seconds)
    assert sum(isinstance(e, Timer) for e in events) == 376
    links = [type(e) for e in events if isinstance(e, LinkLost | LinkUp)]
    assert all(a is not b for a, b in zip(links, links[1:], strict=False)), "lost and up take turns"


def test_the_queue_is_bounded_and_keeps_order():
    async def run():
        queue, got = TickQueue(4), []

        async def produce():
            for i in range(100):
                await queue.put(Timer(i))
            queue.close()

        async def consume():
            while events := await queue.drain():
                got.extend(e.now_ns for e in events)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(produce())
            tasks.create_task(consume())
        return queue.depth_max, got

    depth, got = asyncio.run(run())
    assert depth == 4 and got == list(range(100))


def test_a_recorded_source_tells_the_timeline():
    frames = [(DAY.open_ns + i * MINUTE_NS // 2, NO_TICKS) for i in range(4)]

    async def run():
        source = RecordedSource(DAY, frames, GRACE, OUTAGE, SimClock())
        return [e async for e in source.events()]

    assert [(type(e), e.now_ns) for e in asyncio.run(run())] == [
        (type(e), e.now_ns) for e in timed_events(DAY, frames, GRACE, OUTAGE)
    ]
