"""The exchange on a port of the loopback interface: REST and WebSocket together, as ``kiteconnect`` needs them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiohttp import web

from intraday.domain.errors import ConfigError
from intraday.sim.exchange import Exchange
from intraday.sim.rest import LINE_BYTES, routes
from intraday.sim.scenario import Scenario
from intraday.sim.stream import Stream

HOST = "127.0.0.1"
THAW_POLL_S = 0.25  # how often a request that came in a freeze looks again
SHUTDOWN_S = 1.0  # for answers under way when the server ends

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SimServer:
    """``async with SimServer(exchange) as server``: it listens, publishes and runs its scenario until the block ends.

    ``port`` 0: any free one; ConfigError when it is taken. ``scenario``: faults at their times of the exchange's clock; ``log``
    gets a line for each.
    """

    def __init__(
        self, exchange: Exchange, port: int = 0, scenario: Scenario | None = None, log: Callable[[str], object] | None = None
    ) -> None:
        self.exchange = exchange
        self.stream = Stream(exchange)
        self._scenario = scenario
        self._log = log
        self._wanted_port = port
        self._port = 0
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S, max_line_size=LINE_BYTES)
        self._tasks = asyncio.TaskGroup()
        self._work: list[asyncio.Task[None]] = []

    @property
    def rest_url(self) -> str:
        """Root of the REST API."""
        return f"http://{HOST}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Root of the WebSocket feed."""
        return f"ws://{HOST}:{self._port}"

    @property
    def login_url(self) -> str:
        """The page a user logs in on."""
        return f"{self.rest_url}/connect/login"

    async def __aenter__(self) -> SimServer:
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._wanted_port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(
                f"port {self._wanted_port} of {HOST}: {reason}; choose another one, or 0 for any that is free"
            ) from None
        self._port = int(self._runner.addresses[0][1])
        await self._tasks.__aenter__()
        self._work.append(self._tasks.create_task(self.stream.run()))
        if self._scenario is not None:
            e = self.exchange
            run = self._scenario.run(e.knobs, self.stream, e.clock, e.day, self._log)
            self._work.append(self._tasks.create_task(run))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._work:
            task.cancel()
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)  # perhaps by the group: one of its tasks failed
        try:
            await self._tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        finally:
            self.stream.drop(None)
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate])
        app.add_routes(routes(self.exchange))
        return app

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing is answered while the exchange is frozen; an upgrade is the stream's."""
        thawed = not self.exchange.knobs.frozen
        while not thawed:
            await asyncio.sleep(THAW_POLL_S)  # one more turn after the thaw: links notice first that their clients are gone
            thawed = not self.exchange.knobs.frozen
        if request.transport is None:
            return web.Response()  # whoever asked has gone: nobody gets this
        if request.path in ("/", "/ws") and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.stream.handle(request)
        return await handler(request)
