"""Whole days of random faults against stubborn plain clients: the exchange never breaks, and is whole again afterwards."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from intraday.sim.scenario import random_scenario
from sim_cases import SESSIONS
from stream_cases import DAY, STOCKS, Sim, at, passes, simulate

pytestmark = [pytest.mark.integration, pytest.mark.slow]
END = "15:16:00"


async def watch(sim: Sim, seen: Counter[str]) -> None:
    """Connect, subscribe, read; after 5 silent seconds or any end, again a second later."""
    while sim.clock.now_ns() < at(END):
        try:
            async with connect(sim.url(), compression=None, ping_interval=None, open_timeout=7, close_timeout=1) as ws:
                seen["connected"] += 1
                await ws.send(json.dumps({"a": "mode", "v": ["full", STOCKS]}))
                while sim.clock.now_ns() < at(END):
                    async with asyncio.timeout(5):
                        received = await ws.recv()
                    seen["text" if isinstance(received, str) else "beat" if len(received) == 1 else "frame"] += 1
        except (OSError, WebSocketException, TimeoutError) as error:
            seen[type(error).__name__] += 1
        await passes(1)


async def ask(sim: Sim, seen: Counter[str]) -> None:
    """A quote and a candle request every fifteen seconds, with the official client's patience."""
    header = {"Authorization": f"token simkey:{sim.token}"}
    span = {"from": f"{DAY} 09:15:00", "to": f"{DAY} 09:30:00"}
    async with httpx.AsyncClient(base_url=sim.server.rest_url, trust_env=False, timeout=7, headers=header) as http:
        while sim.clock.now_ns() < at(END):
            for path, params in (("/quote/ltp", {"i": "NSE:INFY"}), (f"/instruments/historical/{STOCKS[0]}/minute", span)):
                try:
                    seen[str((await http.get(path, params=params)).status_code)] += 1
                except httpx.HTTPError as error:
                    seen[type(error).__name__] += 1
            await passes(15)


@pytest.mark.parametrize("seed", range(2))
def test_a_day_of_faults_from_one_seed(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    scenario = random_scenario(seed, SESSIONS.get(DAY))
    print(scenario.text)  # shown when it fails

    async def main(sim: Sim) -> Counter[str]:
        knobs, seen = sim.exchange.knobs, Counter[str]()
        knobs.stream.publish_every_s, knobs.stream.heartbeat_s, knobs.updates_per_s = 2.0, 2.0, 0.2  # fewer turns of the loop
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(sim, seen))
            group.create_task(ask(sim, seen))
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            assert len({t["instrument_token"] for t in await client.read(3)}) == len(STOCKS)
        return seen

    seen = simulate(main, "09:14:00", scenario=scenario)
    assert seen["connected"] > 1, seen
    assert seen["frame"] > 5_000, seen
    assert seen["200"] > 2_400, seen
    assert seen["200"] < sum(n for what, n in seen.items() if what.isdigit() or "Timeout" in what or "Error" in what), seen
    assert [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []
