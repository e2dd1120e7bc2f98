"""The exchange as a server and as a command: where it answers, how it ends, what it says when it cannot start."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from intraday.cli.common import Session
from intraday.cli.root import root as command_line
from intraday.cli.sim import FASTEST, _Drawn, _speed
from intraday.config.settings import Settings, SimulatorSettings
from intraday.domain.clock import SystemClock
from intraday.domain.errors import CalendarError, ConfigError
from intraday.jobs.sim import SimOptions, SimReady, SimStatus, run_sim
from intraday.sim.scenario import Action, Scenario, random_scenario
from intraday.sim.server import SimServer
from sim_cases import SESSIONS
from stream_cases import DAY, STOCKS, Sim, at, passes, simulate

pytestmark = pytest.mark.integration
runner = CliRunner()


# ------------------------------------------------------------------------------------------------------------------ the server


def test_rest_and_stream_share_a_port_of_the_loopback_interface() -> None:
    async def main(sim: Sim) -> None:
        server = sim.server
        port = server.rest_url.rsplit(":", 1)[1]
        assert server.rest_url == f"http://127.0.0.1:{port}"
        assert server.ws_url == f"ws://127.0.0.1:{port}"
        assert server.login_url == f"http://127.0.0.1:{port}/connect/login"
        async with httpx.AsyncClient(base_url=server.rest_url, trust_env=False) as http, sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            ticks = await client.read(5)
            key = sim.exchange.by_token[STOCKS[0]].key
            header = {"Authorization": f"token simkey:{sim.token}"}
            quote = (await http.get("/quote", params={"i": key}, headers=header)).json()["data"][key]
            last = [t for t in ticks if t["instrument_token"] == STOCKS[0]][-1]
            assert quote["ohlc"] == last["ohlc"]
            assert quote["volume"] >= last["volume_traded"] > 0
            assert (await http.get("/sim/clock")).json()["day"] == str(DAY)

    simulate(main)


def test_what_goes_wrong_inside_the_block_comes_out_as_it_is() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client():
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        simulate(main)


def test_a_failing_scenario_ends_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> None:
        raise OSError("log is full")

    async def main(sim: Sim) -> None:
        await passes(3600)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main, scenario=Scenario.parse("after 5 s drop link"), log=broken)
    assert caught.group_contains(OSError, match="log is full")


def test_links_end_with_the_server() -> None:
    async def main(sim: Sim) -> None:
        async with SimServer(sim.exchange) as other:
            client = await connect(sim.url().replace(sim.server.ws_url, other.ws_url))
            await client.send(json.dumps({"a": "subscribe", "v": STOCKS}))
            await client.recv()
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(5):
                while True:
                    await client.recv()

    simulate(main)


def test_a_port_that_is_taken_is_named() -> None:
    async def main(sim: Sim) -> None:
        port = int(sim.server.rest_url.rsplit(":", 1)[1])
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1: Address already in use; choose another one, or 0"):
            async with SimServer(sim.exchange, port):
                pass

    simulate(main)


def test_a_random_day_of_faults_leaves_a_healthy_exchange() -> None:
    async def main(sim: Sim) -> None:
        sim.exchange.knobs.stream.publish_every_s = 1.0
        await passes((at("15:20:00") - sim.clock.now_ns()) / 1e9)
        knobs = sim.exchange.knobs
        assert not knobs.frozen
        assert not knobs.stream.silent
        assert knobs.stream.refuse_upgrade is None
        assert all(f.status is None and f.delay_s == 0 and not f.drop and not f.truncate for f in knobs.rest_faults.values())
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            assert await client.read(3)

    log: list[str] = []
    scenario = random_scenario(5, SESSIONS.get(DAY))
    simulate(main, "09:00:00", scenario=scenario, log=log.append)
    assert [line for line in log if not line.startswith("over: ")] == [a.text for a in by_time(scenario.actions)]


def by_time(actions: tuple[Action, ...]) -> list[Action]:
    return sorted(actions, key=lambda a: -1 if a.relative else a.at_ns)


# -------------------------------------------------------------------------------------------------------------------- the job


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A standard input that a parent holds; calling it is the parent's end."""
    read_end, write_end = os.pipe()
    held = [write_end]
    with os.fdopen(read_end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield lambda: os.close(held.pop())
        if held:
            os.close(held.pop())


def settings(tmp_path: Path, **simulator: Any) -> Settings:
    given = {"system": {"data_dir": str(tmp_path / "var")}, "broker": {"simulator": {"port": 0, **simulator}}}
    return Settings.model_validate({**given, "trading": {"synthetic": {"sessions": 5}}})


def run(
    given: Settings, options: SimOptions, parent: Callable[[], None], seconds: int = 1
) -> tuple[SimReady, list[SimStatus], SimStatus]:
    readies: list[SimReady] = []
    statuses: list[SimStatus] = []

    def status(found: SimStatus) -> None:
        statuses.append(found)
        if len(statuses) == seconds:
            parent()

    last = run_sim(given, options, SystemClock(), lambda *_: None, readies.append, status, lambda _: None)
    return readies[0], statuses, last


def test_the_job_opens_what_is_configured_and_ends_with_its_parent(tmp_path: Path, parent: Callable[[], None]) -> None:
    given = settings(tmp_path, speed=600, start="10:30")
    ready, statuses, last = run(given, SimOptions(port=0, with_parent=True), parent)
    assert (ready.day, ready.speed, ready.api_key, ready.api_secret) == (date(2025, 1, 8), 600, "simkey", "simsecret")
    assert 0 <= ready.now_ns - (at("10:30:00") - (DAY - ready.day).days * 86_400 * 10**9) < 600 * 10**9
    assert 500e9 < statuses[0].now_ns - ready.now_ns < 5000e9
    assert last.now_ns >= statuses[0].now_ns
    assert (last.links, last.tokens, last.packets, last.requests) == (0, 0, 0, 0)


def test_options_come_before_the_configuration(tmp_path: Path, parent: Callable[[], None]) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("from start freeze\n", encoding="utf-8")
    options = SimOptions(day=date(2026, 8, 5), start="15:10:30", speed=10.0, port=0, seed=3, instruments=4, preload=True,
                         scenario=path, with_parent=True)  # fmt: skip
    ready, _, _ = run(settings(tmp_path), options, parent)
    assert (ready.day, ready.speed) == (DAY, 10.0)
    assert 0 <= ready.now_ns - at("15:10:30") < 10 * 10**9
    assert ready.instruments >= 4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (SimOptions(day=date(2039, 1, 1)), CalendarError, "2039-01-01: the session table covers"),
        (SimOptions(scenario=Path("none.txt")), ConfigError, "scenario none.txt: expected a text file, No such file"),
    ],
)
def test_what_cannot_be_opened_is_told(options: SimOptions, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        run(settings(tmp_path), options, lambda: None)


def test_without_a_pipe_there_is_no_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with path.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(ConfigError, match="--with-parent: expected a pipe"):
            run(settings(tmp_path), SimOptions(port=0, with_parent=True), lambda: None)


# ---------------------------------------------------------------------------------------------------------------- the command


def test_the_command_as_a_child(root: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(root / "src"), "INTRADAY__SYSTEM__DATA_DIR": str(tmp_path / "var")}
    command = [
        sys.executable,
        "-m",
        "intraday",
        "sim",
        "--json",
        "--with-parent",
        "--port",
        "0",
        "--day",
        "2026-08-05",
        "--at",
        "10:00",
    ]
    with subprocess.Popen(
        [*command, "--config", str(root / "config" / "config.yaml")],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        told = json.loads(child.stdout.readline())
        assert set(told) >= {"rest_url", "ws_url", "login_url", "day", "now_ns", "speed", "api_key", "api_secret"}
        page = httpx.get(told["login_url"], params={"api_key": told["api_key"], "v": "3"}, trust_env=False)
        assert page.status_code == 200
        clock = httpx.get(told["rest_url"] + "/sim/clock", trust_env=False).json()
        assert clock["speed"] == told["speed"] == 60
        assert clock["day"] == told["day"] == "2026-08-05"
        child.stdin.close()
        assert child.wait(20) == 0
        assert child.stdout.read() == ""


def test_people_are_told_where_to_go(tmp_path: Path, parent: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def soon(*args: Any) -> SimStatus:
        told = args[4]
        root = "http://127.0.0.1:8150"
        login = f"{root}/connect/login"
        told(SimReady(root, "ws://127.0.0.1:8150", login, DAY, at("09:00:00"), 60.0, "simkey", "simsecret", "SIM001", 20))
        return SimStatus(at("10:00:00"), 1, 20, 500, 12.3, 7, 1)

    monkeypatch.setattr("intraday.jobs.sim.run_sim", soon)
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(tmp_path / "var"))
    result = runner.invoke(command_line, ["sim"])
    assert result.exit_code == 0
    for text in ("2026-08-05 09:00:00 IST, 20 instruments, 60 times real time", 'KiteTicker("simkey", access_token, root="ws://127',
                 "INTRADAY__BROKER__KITE__CLOCK=simulator"):  # fmt: skip
        assert text in result.stdout
    assert (
        "10:00:00 IST · 1 link · 20 instruments · 500 packets · 12 packets/s · 7 requests · 1 times 429 · closed" in result.stderr
    )


def test_on_a_terminal_one_line_says_how_it_goes() -> None:
    current = Session(Path("config.yaml"), as_json=False, verbose=False)
    current.err = Console(file=StringIO(), force_terminal=True, width=200)
    drawn = _Drawn(current)
    drawn.update(SimStatus(at("10:00:00"), 0, 0, 0, 0.0, 0, 0))  # before there is a line
    with drawn.line():
        drawn.update(SimStatus(at("10:00:01"), 2, 40, 500, 12.3, 7, 1))
    written = current.err.file.getvalue()  # type: ignore[attr-defined]
    assert "2026-08-05 10:00:01 IST · 2 links · 40 instruments · 500 packets · 12 packets/s · 7 requests · 1 times 429" in written
    assert "10:00:00" not in written


@pytest.mark.parametrize(
    "args",
    [["--speed", "0"], ["--speed", "fast"], ["--speed", "20000"], ["--at", "25:00"], ["--port", "70000"], ["--source", "moon"],
     ["--instruments", "1"], ["--day", "tomorrow"]],
)  # fmt: skip
def test_wrong_usage_of_sim_exits_with_2(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRADAY__SYSTEM__DATA_DIR", str(tmp_path / "var"))
    assert runner.invoke(command_line, ["sim", *args]).exit_code == 2


def test_max_is_as_fast_as_the_settings_allow() -> None:
    assert _speed("max") == FASTEST
    assert SimulatorSettings(speed=FASTEST)
