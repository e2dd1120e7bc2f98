from __future__ import annotations

import asyncio

import pytest

from intraday.domain.clock import ScaledClock, SimClock, SystemClock
from intraday.domain.pace import AS_FAST_AS_POSSIBLE, LoopClock, paced

START_NS = 1_800_000_000_000_000_000


def run(speed, main):
    with asyncio.Runner(loop_factory=paced(speed)) as runner:
        return runner.run(main())


def test_a_day_of_sleeping_takes_no_time_and_is_exact():
    async def main():
        clock = LoopClock(asyncio.get_running_loop(), START_NS)
        for _ in range(24):
            await asyncio.sleep(3600)
        return clock.now_ns(), clock.monotonic_ns()

    real = SystemClock()
    began = real.monotonic_ns()
    now_ns, passed_ns = run(AS_FAST_AS_POSSIBLE, main)
    assert passed_ns == 86_400 * 10**9
    assert now_ns == START_NS + passed_ns
    assert real.monotonic_ns() - began < 30 * 10**9  # against a day


def test_timers_fire_in_order_whatever_the_pace():
    async def main():
        order = []

        async def wait(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        async with asyncio.TaskGroup() as tasks:
            for seconds in (5, 1, 3, 2, 4):
                tasks.create_task(wait(seconds))
        return order

    assert run(AS_FAST_AS_POSSIBLE, main) == run(100.0, main) == [1, 2, 3, 4, 5]


def test_time_stands_still_while_a_socket_has_something_to_say():
    """Two ends over loopback: each answer takes the second that the server sleeps, and nothing more."""

    async def main():
        loop = asyncio.get_running_loop()

        async def serve(reader, writer):
            while line := await reader.readline():
                await asyncio.sleep(1)
                writer.write(line)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        began = loop.time()
        for _ in range(50):
            writer.write(b"x" * 60_000 + b"\n")
            await _line(reader)
        took = loop.time() - began
        writer.close()
        await writer.wait_closed()
        server.close()
        await asyncio.sleep(1)
        return took

    assert run(AS_FAST_AS_POSSIBLE, main) == pytest.approx(50, abs=0.5)


async def _line(reader):
    seen = b""
    while not seen.endswith(b"\n"):
        seen += await reader.read(65536)
    return seen


def test_a_timeout_is_in_the_loops_time():
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await asyncio.Event().wait()
        return loop.time() - began

    assert run(AS_FAST_AS_POSSIBLE, main) == pytest.approx(7)
    assert 7 <= run(1000.0, main) < 60


def test_a_finite_pace_waits_for_real():
    async def main():
        await asyncio.sleep(10)

    clock = SystemClock()
    began = clock.monotonic_ns()
    run(100.0, main)
    assert (clock.monotonic_ns() - began) / 1e9 >= 0.1


def test_a_pace_is_positive():
    with pytest.raises(AssertionError):
        paced(0)


def test_a_scaled_clock_runs_at_its_speed_from_where_it_started():
    base = SimClock(5_000)
    clock = ScaledClock(START_NS, 60.0, base)
    assert (clock.now_ns(), clock.monotonic_ns()) == (START_NS, 0)
    base.set(6_000)
    assert (clock.now_ns(), clock.monotonic_ns()) == (START_NS + 60_000, 60_000)


def test_two_scaled_clocks_with_one_zero_show_the_same():
    base = SimClock(5_000)
    first = ScaledClock(START_NS, 60.0, base)
    base.set(9_000)
    second = ScaledClock(START_NS, 60.0, base, zero_ns=5_000)
    assert first.now_ns() == second.now_ns()
