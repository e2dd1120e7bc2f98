"""The WebSocket of the exchange over real loopback sockets in virtual time; the official client's parser reads the frames."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from intraday.domain.session import midnight_ns
from stream_cases import DAY, INDEX, SECOND, STOCKS, Sim, at, passes, simulate

pytestmark = pytest.mark.integration


# -------------------------------------------------------------------------------------------------------------- subscriptions


def test_subscribing_gives_one_cached_packet_each_in_quote_mode() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("subscribe", [INDEX, *STOCKS, 999 << 8 | 1])
            ticks = await client.read(0.05)
            assert Counter(t["instrument_token"] for t in ticks) == Counter([INDEX, *STOCKS])
            assert {t["mode"] for t in ticks} == {"quote"}
            await client.send("mode", ["full", STOCKS[:2]])
            await client.send("mode", ["ltp", [INDEX]])
            ticks = [t for t in await client.read(0.05) if t["mode"] != "quote"]
            assert sorted((t["instrument_token"], t["mode"]) for t in ticks) == sorted(
                [(INDEX, "ltp"), *((s, "full") for s in STOCKS[:2])]
            )

    simulate(main)


def test_mode_subscribes_what_was_not_subscribed() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            assert Counter(t["instrument_token"] for t in await client.read(0.05)) == Counter(STOCKS)

    simulate(main)


def test_snapshots_are_conflated_and_come_only_when_their_mode_changed() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            await client.send("mode", ["ltp", [INDEX, STOCKS[3]]])
            ticks = await client.read(120)
            for token in (*STOCKS, INDEX):
                mine = [t for t in ticks if t["instrument_token"] == token]
                assert len(mine) <= 2 * 120 + 2
                assert all(a != b for a, b in zip(mine[1:], mine[2:], strict=False))
            full = [t for t in ticks if t["instrument_token"] == STOCKS[0]]
            assert len(full) > 120  # about two a second
            assert [t["volume_traded"] for t in full] == sorted(t["volume_traded"] for t in full)
            assert [t["exchange_timestamp"] for t in full] == sorted(t["exchange_timestamp"] for t in full)
            busy = Counter(t["exchange_timestamp"] for t in full[1:])
            assert max(busy.values()) <= 3

    simulate(main)


def test_a_new_link_takes_nothing_away_from_the_others() -> None:
    """What the newcomer is given from the cache may not have gone out to the others yet."""

    async def main(sim: Sim) -> list[tuple[int, float]]:
        async with sim.client() as client:
            await client.send("mode", ["ltp", STOCKS])
            reading = asyncio.ensure_future(client.read(40))
            for _ in range(newcomers):
                await passes(1.03)
                async with sim.client() as other:
                    await other.send("mode", ["ltp", STOCKS])
                    await other.read(0.1)
            return [(t["instrument_token"], t["last_price"]) for t in await reading][len(STOCKS) :]

    newcomers = 0
    alone = simulate(main)
    newcomers = 30
    assert simulate(main) == alone
    assert len(alone) > 20


def test_two_links_get_the_same_packets() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as one, sim.client() as other:
            for client in (one, other):
                await client.send("mode", ["full", STOCKS])
            await asyncio.gather(one.read(0.05), other.read(0.05))
            a, b = await asyncio.gather(one.read(30), other.read(30))
            assert a == b
            assert len(a) > 100

    simulate(main)


def test_unsubscribed_is_silent_and_heartbeats_fill_the_silence() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("subscribe", STOCKS)
            await client.read(5)
            await client.send("unsubscribe", [*STOCKS, 12345])
            await client.read(0.2)
            client.beats.clear()
            assert await client.read(30) == []
            assert 28 <= len(client.beats) <= 31
            gaps = [b - a for a, b in zip(client.beats, client.beats[1:], strict=False)]
            assert all(0.99 * SECOND <= gap <= 1.11 * SECOND for gap in gaps)

    simulate(main)


UNREADABLE = ("{", "[]", '{"a": "subscribe"}', '{"a": "mode", "v": ["loud", [1]]}', '{"a": "x", "v": [1]}',
              '{"a": "subscribe", "v": "abc"}', '{"a": "mode", "v": []}', '{"a": "mode", "v": [[], [1]]}')  # fmt: skip


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_message_that_cannot_be_read_is_answered_and_the_link_stays(text: str) -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.ws.send(text)
            await client.read(0.05)
            assert client.texts == [{"type": "error", "data": "Invalid message"}]
            await client.send("subscribe", STOCKS)
            assert len(await client.read(0.05)) == len(STOCKS)

    simulate(main)


def test_tokens_over_the_cap_are_refused_in_a_text_and_the_link_stays() -> None:
    async def main(sim: Sim) -> None:
        sim.exchange.knobs.stream.token_cap = 3
        async with sim.client() as client:
            await client.send("subscribe", STOCKS[:2])
            await client.send("mode", ["full", STOCKS])
            ticks = await client.read(0.05)
            assert client.texts == [{"type": "error", "data": "Subscription limit of 3 instruments exceeded, 5 ignored"}]
            assert {t["instrument_token"] for t in ticks if t["mode"] == "full"} == set(STOCKS[:3])
            await client.send("unsubscribe", STOCKS[:1])
            await client.send("subscribe", STOCKS[5:6])
            assert STOCKS[5] in {t["instrument_token"] for t in await client.read(0.05)}
            assert len(client.texts) == 1

    simulate(main)


# -------------------------------------------------------------------------------------------------------------------- upgrades


async def refusal(sim: Sim, token: str | None = None) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(sim.url(token)):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"{}")


def test_upgrades_are_refused_as_http_answers() -> None:
    denied = (403, {"status": "error", "message": "Authentication failed."})
    many = (429, {"status": "error", "message": "Too many requests"})

    async def main(sim: Sim) -> None:
        knobs = sim.exchange.knobs
        assert await refusal(sim, "wrong") == denied
        for refused in (403, 429):
            knobs.stream.refuse_upgrade = refused
            assert (await refusal(sim))[0] == refused
        knobs.stream.refuse_upgrade = None
        knobs.auth.entitled = False
        assert await refusal(sim) == denied
        knobs.auth.entitled = True
        async with sim.client(), sim.client(), sim.client():
            assert await refusal(sim) == many
        async with sim.client():
            pass
        assert sim.server.stream.counts.refused == 5

    simulate(main)


def test_of_five_upgrades_at_once_three_are_taken() -> None:
    async def main(sim: Sim) -> None:
        made = await asyncio.gather(*(connect(sim.url()) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(one, InvalidStatus) for one in made) == 2
        assert len(sim.server.stream.links) == 3

    simulate(main)


def test_the_root_is_no_page_and_the_feed_answers_under_ws_too() -> None:
    async def main(sim: Sim) -> None:
        async with httpx.AsyncClient(base_url=sim.server.rest_url, trust_env=False) as http:
            answer = await http.get("/")
            assert answer.status_code == 404
            assert answer.json()["status"] == "error"
        async with connect(sim.url().replace("?", "/ws?")) as ws:
            await ws.send(json.dumps({"a": "subscribe", "v": STOCKS[:1]}))
            assert len(await ws.recv()) == 2 + 2 + 44

    simulate(main)


def test_a_dead_token_ends_its_links_and_refuses_new_ones() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("subscribe", STOCKS)
            await passes(10)
            sim.exchange.knobs.auth.expire_at_ns = sim.clock.now_ns()
            closed = await client.until_closed(3)
            assert closed.rcvd is None  # 1006
            assert (await refusal(sim))[0] == 403
        assert sim.server.stream.counts.torn == 1

    simulate(main)


# ------------------------------------------------------------------------------------------------------------- the day's hours


def test_before_the_open_the_cache_is_yesterdays_and_one_match_comes() -> None:
    async def main(sim: Sim) -> None:
        sim.exchange.knobs.stream.publish_every_s = 1.0
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS[:1]])
            ticks = await client.read(15 * 60 - 5)
            assert ticks[0]["last_trade_time"].timestamp() * SECOND < midnight_ns(DAY)
            volumes = list(
                dict.fromkeys(t["volume_traded"] for t in ticks if t["last_trade_time"].timestamp() * SECOND > at("09:00:00"))
            )
            assert len(volumes) == 1  # the match

    simulate(main, "09:00:01")


def test_after_the_close_the_depth_is_empty_and_then_it_is_quiet() -> None:
    async def main(sim: Sim) -> None:
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS])
            ticks = await client.read(120)
            for stock in STOCKS:
                last = [t for t in ticks if t["instrument_token"] == stock][-1]
                assert all(level["quantity"] == 0 for side in last["depth"].values() for level in side)
            client.beats.clear()
            assert await client.read(30) == []
            assert 28 <= len(client.beats) <= 31

    simulate(main, "15:44:00")


def test_the_day_goes_on_while_nobody_is_connected() -> None:
    async def main(sim: Sim) -> None:
        await passes(3600)
        async with sim.client() as client:
            await client.send("mode", ["full", STOCKS[:1]])
            ticks = await client.read(0.05)
            assert abs(ticks[0]["exchange_timestamp"].timestamp() * SECOND - at("11:00:00")) < 60 * SECOND

    simulate(main)
