"""Every fault of the exchange's REST side, met by a client that asks for something else than candles."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from fault_cases import REST, TAPE, Row, at_ns, keep, up_to
from intraday.broker.pacing import Pacers
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.domain.broker import Credentials, Secret
from intraday.domain.clock import Clock
from intraday.domain.errors import IntradayError
from intraday.sim.exchange import Exchange
from intraday.sim.scenario import Scenario
from intraday.sim.server import SimServer
from pace_cases import virtual

START = "10:00:00"
KEYS = [row.key for row in TAPE.instruments]
Ask = Callable[[RESTClient], Awaitable[int]]


async def dump(client: RESTClient) -> int:
    """How many instruments of NSE are listed."""
    return (await client.instruments("NSE")).count(b"\n") - 1


async def profile(client: RESTClient) -> int:
    return len((await client.profile()).exchanges)


async def quotes(client: RESTClient) -> int:
    return len(await client.quote(KEYS))


@dataclass(frozen=True)
class Fault:
    """``told``: part of the error that the caller gets; empty: none, the client gets there by itself."""

    name: str
    scenario: str
    ask: Ask
    want: int
    told: str = ""
    over_s: float = 10.0
    recovered_within_s: float = 31.0


N_NSE = sum(row.exchange == "NSE" for row in TAPE.instruments)
N_EXCHANGES = 8
FAULTS = [
    *(Fault(f"{status} on the list of instruments for 10 s", f"from start {status} on other for 10 s", dump, N_NSE)
      for status in (429, 500, 502, 503, 504)),
    Fault("503 on the profile for 5 minutes", "from start 503 on other for 5 min", profile, N_EXCHANGES, "HTTP 503", 300.0, 61.0),
    Fault("Answers after 9 s, for 20 s", "from start slow other 9 s for 20 s", profile, N_EXCHANGES, over_s=20.0),
    Fault("Answers cut off in the middle, for 10 s", "from start truncate other for 10 s", profile, N_EXCHANGES, "expected JSON"),
    Fault("Answers that say they are text/html, for 10 s", 'from start content type "text/html" on other for 10 s', profile,
          N_EXCHANGES, "expected JSON, found text/html"),
    Fault("Connections closed without an answer, for 10 s", "from start no answer on other for 10 s", profile, N_EXCHANGES),
    Fault("No compression", "from start gzip off", dump, N_NSE, over_s=0.0),
    Fault("All keys absent from a quote", "from start absent keys 100 % for 10 s", quotes, 0, over_s=0.0),
    Fault("Market data taken from the API key for 10 s", "from start entitlement off for 10 s", quotes, len(KEYS),
          "no market data"),
    Fault("The access token dies", "after 500 ms expire token", profile, 0, "intraday auth login", 0.0),
]  # fmt: skip


@dataclass
class Found:
    """When the caller was told, what, and when the answer was there, in seconds from the start."""

    told_s: float | None = None
    told: str = ""
    back_s: float | None = None
    n: int = -1


async def meet(fault: Fault, clock: Clock, found: Found) -> None:
    """Ask; after an error ask again once the fault is over."""
    exchange = Exchange.open(TAPE, clock, speed=float("inf"))
    token = exchange.accounts.grant().access_token
    async with SimServer(exchange, scenario=Scenario.parse(fault.scenario)) as server:
        client = RESTClient(
            server.rest_url,
            Credentials("simkey", Secret("simsecret")),
            lambda: Secret(token),
            Pacers.of(RateLimits(), clock),
            clock,
            timeout_s=7.0,
            rng=random.Random(1),
        )
        async with client:
            await asyncio.sleep(1)  # let the fault begin
            while found.back_s is None:
                try:
                    found.n = await fault.ask(client)
                    found.back_s = clock.monotonic_ns() / 1e9
                except IntradayError as error:
                    found.told_s = clock.monotonic_ns() / 1e9 if found.told_s is None else found.told_s
                    found.told = found.told or str(error)
                    if clock.monotonic_ns() / 1e9 > fault.over_s + 100 or fault.over_s == 0:
                        return


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_request_gets_there_or_says_why_not(fault: Fault) -> None:
    found = Found()
    virtual(lambda clock: meet(fault, clock, found), at_ns(START))
    assert fault.told in found.told and bool(fault.told) == bool(found.told), found.told
    recovered_s = None if found.back_s is None or fault.over_s == 0 else up_to(found.back_s - fault.over_s)
    if found.back_s is not None:
        assert found.n == fault.want
        assert recovered_s is None or recovered_s <= fault.recovered_within_s
    detected_s = None if found.told_s is None else up_to(found.told_s - 1)
    keep(Row(REST, fault.name, detected_s, found.told.replace("|", "/"), recovered_s, 0))
