"""What can go wrong on the exchange's WebSocket, each once, over real loopback sockets in virtual time."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from statistics import median
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from intraday.sim.faults import TEXT, message
from intraday.sim.scenario import Scenario
from stream_cases import SECOND, STOCKS, Sim, at, simulate

pytestmark = pytest.mark.integration


def scenario(text: str) -> dict[str, Any]:
    return {"scenario": Scenario.parse(text)}


@pytest.mark.parametrize(
    ("action", "code"),
    [("drop link", None), ("reset link", None), ("close 1006", None), ("close 1000", 1000), ("close 1011", 1011)],
)
def test_links_end_as_they_were_told_to(action: str, code: int | None) -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("subscribe", STOCKS)
            closed = await client.until_closed()
            assert 0 <= sim.clock.now_ns() - at("10:00:10") < 0.1 * SECOND
            assert (closed.rcvd.code if closed.rcvd else None) == code
            if action == "reset link":
                assert isinstance(closed.__cause__, ConnectionResetError)
        async with sim.client() as again:
            await again.send("subscribe", STOCKS)
            assert await again.read(1)

    simulate(main, **scenario(f"at 10:00:10 {action}"))


def test_one_link_of_several_is_dropped() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as one, sim.client() as two:
            await two.until_closed()
            assert 0 <= sim.clock.now_ns() - at("10:00:10") < 0.1 * SECOND
            await one.send("subscribe", STOCKS)
            assert await one.read(1)

    simulate(main, **scenario("at 10:00:10 drop link 2\nat 10:00:11 drop link 7"))


def test_silence_is_silent_but_answers_pings() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            await client.read(10.5)
            client.frames.clear()
            client.beats.clear()
            async with asyncio.timeout(1):
                await (await client.ws.ping())
            assert await client.read(28) == []
            assert client.beats == []
            assert len({t["instrument_token"] for t in await client.read(3)}) == len(STOCKS)

    simulate(main, **scenario("at 10:00:10 silence for 30 s"))


def test_a_frozen_exchange_answers_nothing_and_then_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client, httpx.AsyncClient(base_url=sim.server.rest_url, trust_env=False) as http:
            await client.send("mode", ["full", STOCKS])
            await client.read(10.5)
            pong = await client.ws.ping()
            await client.read(1)
            assert not pong.done()
            with pytest.raises(httpx.ReadTimeout):
                await http.get("/sim/clock", timeout=7.0)
            with pytest.raises(TimeoutError):
                await connect(sim.url(), open_timeout=7.0)
            client.frames.clear()
            client.beats.clear()
            assert await client.read(10) == []
            assert client.beats == []
            ticks = await client.read(10)
            assert pong.done()
            assert len({t["instrument_token"] for t in ticks}) == len(STOCKS)
            assert (await http.get("/sim/clock", timeout=7.0)).status_code == 200

    simulate(main, **scenario("at 10:00:10 freeze for 30 s"))
    assert [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []  # of those who gave up meanwhile


def test_a_half_open_link_hears_and_says_nothing_while_new_ones_work() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as stuck:
            await stuck.send("mode", ["full", STOCKS])
            await stuck.read(10.5)
            pong = await stuck.ws.ping()
            stuck.frames.clear()
            stuck.beats.clear()
            async with sim.client() as a, sim.client() as b, sim.client():  # it does not count as one of the three
                await a.send("mode", ["full", STOCKS])
                assert await a.read(5)
                await b.read(2)
                assert b.beats
            assert await stuck.read(10) == []
            assert not pong.done()
            assert not stuck.beats
            await stuck.read(25)
            assert pong.done()

    simulate(main, **scenario("at 10:00:10 half-open 1 for 30 s"))


def test_texts_are_sent_as_they_are() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.read(20)
            assert client.texts == [{"type": "message", "data": "lunch # now"}, {"type": "error", "data": "oh"}]

    simulate(main, **scenario('at 10:00:10 message "lunch # now"\nat 10:00:11 error "oh"'))


async def full_stream(sim: Sim, seconds: float = 60) -> list[dict[str, Any]]:
    async with sim.client() as client:
        await client.send("mode", ["full", STOCKS])
        return await client.read(seconds)


def test_duplicates_and_stale_packets_have_their_share() -> None:
    async def main(sim: Sim) -> list[int]:
        knobs, out = sim.exchange.knobs.stream, []
        for knobs.duplicate_share, knobs.stale_share in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)):
            ticks = await full_stream(sim)
            by_token = [[t for t in ticks if t["instrument_token"] == s][1:] for s in STOCKS]
            twice = sum(a == b for mine in by_token for a, b in zip(mine, mine[1:], strict=False))
            back = sum(a["exchange_timestamp"] > b["exchange_timestamp"] for m in by_token for a, b in zip(m, m[1:], strict=False))
            out.append(round(100 * twice / len(ticks)))
            out.append(round(100 * back / len(ticks)))
        return out

    none, no_step, twice, no_step_either, _, back = simulate(main)
    assert (none, no_step, no_step_either) == (0, 0, 0)
    assert 25 <= twice <= 42  # half of the packets: a third of what comes
    assert 8 <= back <= 34


def test_volumes_lie_in_their_share_only() -> None:
    async def main(sim: Sim) -> None:
        knobs = sim.exchange.knobs.stream
        knobs.volume_reset_share = 0.3
        ticks = await full_stream(sim)
        assert 0.2 < sum(t["volume_traded"] == 0 for t in ticks) / len(ticks) < 0.4
        knobs.volume_reset_share, knobs.volume_regression_share = 0.0, 0.3
        ticks = await full_stream(sim)
        for stock in STOCKS:
            volumes = [t["volume_traded"] for t in ticks if t["instrument_token"] == stock]
            assert any(b == int(a * 0.9) for a, b in zip(volumes, volumes[1:], strict=False))
            assert 0 not in volumes

    simulate(main)


@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_messages_of_every_length_are_framed_as_the_standard_says(n: int) -> None:
    client = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
    client.receive_data(message(b"x" * n) + message(b"y" * n, TEXT))
    frames = client.events_received()
    assert [(f.opcode, bytes(f.data)) for f in frames] == [(Opcode.BINARY, b"x" * n), (Opcode.TEXT, b"y" * n)]  # type: ignore[union-attr]


def test_split_frames_arrive_whole() -> None:
    async def main(sim: Sim) -> tuple[list[Any], int]:
        sim.exchange.knobs.stream.split_share = 0.0 if plain else 1.0
        return await full_stream(sim, 20), sim.server.stream.counts.bytes

    plain = True
    ticks, size = simulate(main)
    plain = False
    split_ticks, split_size = simulate(main)
    assert Counter(map(str, split_ticks)) == Counter(map(str, ticks))
    assert split_size > size


def test_malformed_frames_are_added_to_the_good_ones() -> None:
    async def main(sim: Sim) -> tuple[int, int]:
        sim.exchange.knobs.stream.malformed_share = 0.5
        good = bad = 0
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            await client.ws.recv()
            async with asyncio.timeout(30):
                while good + bad < 200:
                    frame = await client.ws.recv()
                    if len(frame) == 1:
                        continue
                    count, rest = int.from_bytes(frame[:2]), len(frame) - 2
                    good, bad = (good + 1, bad) if rest == count * 186 else (good, bad + 1)
        return good, bad

    good, bad = simulate(main)
    assert 0.2 < bad / (good + bad) < 0.45


def test_frames_hold_one_to_two_hundred_packets_with_median_five() -> None:
    async def main(sim: Sim) -> None:
        tamper = sim.server.stream._tamper
        sizes = [int.from_bytes(frame[:2]) for frame in tamper.frames([b"\0\1x"] * 50_000)]
        assert sum(sizes) == 50_000
        assert (min(sizes), median(sizes)) == (1, 5)
        assert 100 < max(sizes) <= 200
        sim.exchange.knobs.stream.frame_packets = 1
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            await client.read(5)
            assert {len(frame) for _, frame in client.frames} == {2 + 186}
            sim.exchange.knobs.stream.frame_packets = 1000
            await client.send("mode", ["quote", STOCKS])
            await client.read(0.05)
            assert client.frames[-1][1][:2] == len(STOCKS).to_bytes(2)

    simulate(main)


def test_a_burst_is_one_frame() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client, sim.client() as idle:
            await client.send("mode", ["full", STOCKS])
            await asyncio.gather(client.read(15), idle.read(15))
            assert max(len(frame) for _, frame in client.frames) == 2 + 1000 * 186
            assert idle.frames == []

    simulate(main, **scenario("at 10:00:10 burst 1000"))


def test_the_first_packet_may_be_yesterdays() -> None:
    async def main(sim: Sim) -> None:
        sim.exchange.knobs.stream.cached_yesterday = True
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS[:1]])
            first, *rest = await client.read(20)
            assert first["exchange_timestamp"].timestamp() * SECOND < at("09:00:00") - 12 * 3600 * SECOND
            assert all(t["exchange_timestamp"].timestamp() * SECOND >= at("09:00:00") for t in rest)
            assert rest

    simulate(main)


def test_a_client_that_does_not_read_is_dropped() -> None:
    async def main(sim: Sim) -> None:
        sim.exchange.knobs.stream.buffer_bytes = 100_000
        loop = asyncio.get_running_loop()
        raw = socket.create_connection(("127.0.0.1", int(sim.server.ws_url.rsplit(":", 1)[1])))
        raw.setblocking(False)
        await loop.sock_sendall(
            raw,
            f"GET /?api_key=simkey&access_token={sim.token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n".encode(),
        )
        command = json.dumps({"a": "mode", "v": ["full", STOCKS]}).encode()
        await loop.sock_sendall(raw, b"\x81" + bytes([0x80 | 126]) + len(command).to_bytes(2) + b"\0\0\0\0" + command)
        async with sim.client() as healthy:
            await healthy.send("mode", ["full", STOCKS])
            for _ in range(100):
                sim.server.stream.burst(1000)
                await healthy.read(1)
                if sim.server.stream.counts.slow:
                    break
            assert sim.server.stream.counts.slow == 1
            assert [link.number for link in sim.server.stream.links] == [2]
        raw.close()

    simulate(main)


def test_one_seed_is_one_stream_of_bytes() -> None:
    text = "from start duplicate 10 %\nfrom start stale 10 %\nfrom start malformed 5 %\nfrom start split 5 %"

    async def main(sim: Sim) -> list[bytes]:
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            got: list[bytes] = []
            while sim.clock.now_ns() < at("10:00:30"):
                received = await client.ws.recv()
                assert isinstance(received, bytes)
                got.append(received)
            return got

    one, other = simulate(main, **scenario(text)), simulate(main, **scenario(text))
    assert one == other
    assert len(one) > 100
