"""The client against a server on a socket, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpcore
import httpx
import pytest
from aiohttp import web

from intraday.broker.calls import _when_sent
from intraday.broker.endpoints import SECOND_NS, Pace
from intraday.broker.pacing import Pacers
from intraday.broker.retry import RetryPolicy
from intraday.config.settings import RateLimits
from intraday.domain.clock import Clock
from intraday.domain.errors import BrokerUnavailable
from pace_cases import virtual
from rest_cases import client, fetch, row

pytestmark = pytest.mark.integration


class SlowHandshake(httpcore.AnyIOBackend):
    """A network on which a connection takes so many seconds to make."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        await asyncio.sleep(self._seconds)
        return await super().connect_tcp(*args, **kwargs)


async def serve(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


def test_over_a_socket_the_server_sees_the_limit_kept_and_used() -> None:
    """Four workers, 3 a second, answers that take 0.2 to 0.9 s: as counted where they arrive."""
    arrived: list[int] = []

    async def main(clock: Clock) -> int:
        async def answer(request: web.Request) -> web.StreamResponse:
            arrived.append(clock.monotonic_ns())
            await asyncio.sleep(0.2 + 0.7 * (len(arrived) * 37 % 100) / 100)
            return web.json_response({"status": "success", "data": {"candles": [row(15), row(16)]}})

        async def work() -> int:
            return sum([len(await fetch(api)) for _ in range(75)])

        runner, root = await serve(answer)
        async with client(clock, None, root) as api, asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for _ in range(4)]
        await runner.cleanup()
        return sum(task.result() for task in tasks)

    assert virtual(main) == 600
    windows = [b - a for a, b in zip(arrived, arrived[3:], strict=False)]
    assert len(arrived) == 300 and min(windows) > SECOND_NS
    assert 0.97 <= 299 / 3 / ((arrived[-1] - arrived[0]) / SECOND_NS) <= 1


@pytest.mark.parametrize("handshake_s", [0.09, 0.9])
def test_connections_that_have_to_be_made_first_do_not_break_the_limit(handshake_s: float) -> None:
    """The first calls arrive late by a handshake, the ones on their warm connections do not."""
    arrived: list[int] = []

    async def main(clock: Clock) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            arrived.append(clock.monotonic_ns())
            await asyncio.sleep(0.9)
            return web.json_response({"status": "success", "data": {"candles": []}})

        async def work() -> None:
            for _ in range(3):
                await fetch(api)

        runner, root = await serve(answer)
        transport = httpx.AsyncHTTPTransport()
        transport._pool = httpcore.AsyncConnectionPool(network_backend=SlowHandshake(handshake_s))
        async with client(clock, None, root, transport=transport) as api, asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(work())
        await runner.cleanup()

    virtual(main)
    assert len(arrived) == 12
    assert min(b - a for a, b in zip(arrived, arrived[3:], strict=False)) > SECOND_NS


def test_asking_a_proxy_to_connect_is_not_the_call_itself() -> None:
    async def main(clock: Clock) -> list[bool]:
        gate = Pacers.of(RateLimits(), clock).gate(Pace.HISTORICAL)
        with await gate.turn() as turn:
            trace, over = _when_sent(turn), []
            for method in (b"CONNECT", b"GET"):
                await trace("http11.send_request_headers.started", {"request": httpcore.Request(method, "http://x/")})
                over.append(not gate._queue.locked())
        return over

    assert virtual(main) == [False, True]


def test_over_a_socket_a_server_that_hangs_up_is_asked_again() -> None:
    arrived: list[int] = []

    async def main(clock: Clock) -> int:
        async def answer(request: web.Request) -> web.StreamResponse:
            arrived.append(clock.monotonic_ns())
            if len(arrived) == 1:
                assert request.transport is not None
                request.transport.abort()
            if len(arrived) == 2:  # half an answer
                response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"data": {"candles')
                assert request.transport is not None
                request.transport.close()
                return response
            return web.json_response({"status": "success", "data": {"candles": [row(15)]}})

        runner, root = await serve(answer)
        async with client(clock, None, root) as api:
            n = len(await fetch(api))
        await runner.cleanup()
        return n

    assert virtual(main) == 1
    assert len(arrived) == 3


def test_over_a_socket_nobody_there_is_unavailable() -> None:
    async def main(clock: Clock) -> None:
        async with client(clock, None, "http://127.0.0.1:1", retry=RetryPolicy(attempts=2)) as api:
            await fetch(api)

    with pytest.raises(BrokerUnavailable, match=r"no working connection \(ConnectError .*\(asked 2 times\)"):
        virtual(main)
