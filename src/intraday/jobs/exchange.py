"""Whom a job talks to: Kite, or the bundled exchange, which is started on loopback and spoken to as if it were Kite."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from intraday.app_broker import Endpoint, build_rest, build_tokens
from intraday.config.settings import RateLimits, Settings
from intraday.config.trading import SyntheticSettings
from intraday.domain.broker import BrokerSession, Credentials, Secret
from intraday.domain.clock import Clock, ScaledClock
from intraday.domain.errors import BrokerUnavailable, ConfigError
from intraday.domain.pace import paced
from intraday.jobs.sim import SimOptions, planned
from intraday.sim.accounts import API_KEY, API_SECRET
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.server import SimServer

T = TypeVar("T")

OVER_THE_WIRE = ("simulator", "kite")  # values of broker.feed that have a broker behind them
START_S = 30.0  # longest wait for the bundled exchange, real seconds


def run_at(endpoint: Endpoint, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` in an event loop of the endpoint's pace."""
    with asyncio.Runner(loop_factory=paced(endpoint.speed)) as runner:
        return runner.run(main())


@contextmanager
def open_exchange(settings: Settings, limits: RateLimits, clock: Clock, speed: float | None = None) -> Iterator[Endpoint]:
    """The broker of ``broker.feed``, which is simulator or kite; the bundled exchange runs while the block does.

    ``speed``: pace of the bundled exchange, None as configured. Raises ConfigError, BrokerUnavailable; with Kite the token is read
    when it is first needed (NoToken, TokenDead).
    """
    if settings.broker.feed == "simulator":
        with _bundled(settings, limits, clock, speed) as endpoint:
            yield endpoint
    else:
        yield kite(settings, clock)


def kite(settings: Settings, clock: Clock) -> Endpoint:
    """Kite Connect, or what answers at its addresses. ConfigError without an API key, BrokerUnavailable without its clock."""
    broker = settings.broker
    credentials = credentials_of(settings)
    speed = 1.0
    if broker.kite.clock == "simulator":
        clock, speed = _simulated_clock(broker.kite.rest_url, clock)
    tokens = build_tokens(settings, clock)
    name = urlsplit(broker.kite.rest_url).netloc
    made_up = broker.kite.clock == "simulator"
    return Endpoint(name, broker.kite.rest_url, broker.kite.ws_url, credentials, tokens.access_token, clock, speed, made_up=made_up)


def credentials_of(settings: Settings) -> Credentials:
    """API key and secret from the environment; the secret is needed for the login only. Raises ConfigError."""
    key, secret = settings.broker.api_key, settings.broker.api_secret
    if key is None or not key.get_secret_value():
        raise ConfigError(
            "broker.api_key: found nothing; set INTRADAY__BROKER__API_KEY (and INTRADAY__BROKER__API_SECRET) to those of your Kite "
            "Connect app, or use the bundled exchange (broker.feed: simulator)"
        )
    return Credentials(key.get_secret_value(), Secret("" if secret is None else secret.get_secret_value()))


def _simulated_clock(rest_url: str, clock: Clock) -> tuple[Clock, float]:
    """The clock of the simulator at ``rest_url`` and its speed."""
    where = f"{rest_url.rstrip('/')}/sim/clock"
    try:
        answer = httpx.get(where, timeout=5, trust_env=False)
        answer.raise_for_status()
        told = answer.json()
        start_ns, speed = int(told["now_ns"]), float(told["speed"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise BrokerUnavailable(
            f"broker.kite.clock is simulator, but {where} does not tell the time ({type(error).__name__}): start `intraday sim`, "
            "or set broker.kite.clock to system for Kite itself"
        ) from None
    return ScaledClock(start_ns, speed, clock), speed


# ---------------------------------------------------------------------------------------------------------- the bundled one


@contextmanager
def _bundled(settings: Settings, limits: RateLimits, clock: Clock, speed: float | None) -> Iterator[Endpoint]:
    synthetic = settings.broker.simulator.source == "synthetic"
    with planned(settings, SimOptions(speed=speed, port=settings.broker.simulator.port), clock) as plan:
        simulated = ScaledClock(plan.start_ns, plan.speed, clock)

        def serve() -> SimServer:
            return SimServer(Exchange.open(plan.tape, simulated, Knobs(seed=plan.seed), plan.speed), plan.port, plan.scenario)

        with _Background(serve, plan.speed) as server:
            held: list[BrokerSession] = []
            endpoint = Endpoint(
                "the bundled exchange",
                server.rest_url,
                server.ws_url,
                Credentials(API_KEY, Secret(API_SECRET)),
                lambda: held[0].access_token,
                simulated,
                plan.speed,
                own_prices=synthetic,
                made_up=synthetic,
                market=_market(settings.trading.synthetic) if synthetic else "",
                since=settings.trading.synthetic.start_day if synthetic else date.min,
            )
            held.append(run_at(endpoint, lambda: _log_in(endpoint, server.login_url, limits, settings)))
            yield endpoint


def _market(s: SyntheticSettings) -> str:
    """What tells one made-up market from another."""
    return f"seed {s.seed}, {s.instruments} instruments from {s.start_day}, edge {s.edge:g}"


async def _log_in(endpoint: Endpoint, login_url: str, limits: RateLimits, settings: Settings) -> BrokerSession:
    """What a person does in the browser, done by the program: the bundled exchange asks nobody."""
    query = urlencode({"v": "3", "api_key": endpoint.credentials.api_key, "auto": "1"})
    async with httpx.AsyncClient(trust_env=False, timeout=START_S * endpoint.patience) as http:
        answer = await http.get(f"{login_url}?{query}")
    token = parse_qs(urlsplit(answer.headers.get("location", "")).query).get("request_token")
    if not token:
        raise BrokerUnavailable(f"the bundled exchange did not log us in: expected a redirect, found status {answer.status_code}")
    async with build_rest(endpoint, limits, settings) as rest:
        return await rest.exchange(Secret(token[0]))


class _Background:
    """The bundled exchange in a thread and an event loop of its own, from the first line of a ``with`` block to its last."""

    def __init__(self, make: Callable[[], SimServer], speed: float) -> None:
        self._make = make
        self._speed = speed
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._server: SimServer | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> SimServer:
        self._thread.start()
        if not self._ready.wait(START_S) or self._server is None:
            raise BrokerUnavailable(f"the bundled exchange did not start: {self._error or f'nothing heard in {START_S:.0f} s'}")
        return self._server

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=paced(self._speed)) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001  the task's edge: whoever waits is told
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._make() as server:
            self._server = server
            self._ready.set()
            await self._stop.wait()
