"""One connection over a real socket, in virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote, quote_plus

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from feed_cases import HEARTBEAT, TOKEN, Sunk, TinyKite, beat, frame, full
from intraday.broker.answers import cut
from intraday.broker.link import Link, LinkSpec
from intraday.broker.link_events import Deliver, Lost, Mode, Notice, Up
from intraday.broker.ws import WebSocketClient
from intraday.domain.broker import Secret, TokenSource
from intraday.domain.clock import Clock
from intraday.domain.errors import BrokerUnavailable, ConfigError, NotEntitled, NoToken, TokenDead
from pace_cases import START_NS, virtual

START = START_NS / 1e9
Check = Callable[[TinyKite, WebSocketClient, Sunk], Awaitable[None]]


def client(url: str, clock: Clock, sunk: Sunk, token: TokenSource = lambda: Secret(TOKEN)) -> WebSocketClient:
    return WebSocketClient(0, url, "key", token, Link(LinkSpec(lambda _: True), lambda: 0.0), clock, sunk)


def run(seconds: float, kite: TinyKite, check: Check, token: TokenSource = lambda: Secret(TOKEN)) -> Sunk:
    """The client for so long against ``kite``; ``check`` runs beside it."""
    sunk = Sunk()

    async def main(clock: Clock) -> None:
        async with kite.running(), asyncio.TaskGroup() as tasks:
            ws = client(kite.url, clock, sunk, token)
            work = tasks.create_task(ws.run())
            await check(kite, ws, sunk)
            await asyncio.sleep(max(0.0, seconds - (clock.now_ns() / 1e9 - START)))
            work.cancel()

    virtual(main)
    return sunk


async def nothing(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
    return None


def test_it_connects_subscribes_and_delivers() -> None:
    kite = TinyKite()
    one = frame(full(738561, 100, 5, 1))

    async def talk(connection: ServerConnection) -> None:
        await connection.send(one)
        await connection.send('{"type":"message","data":"hello"}')
        await beat(connection)

    kite.talk = talk

    async def check(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
        await ws.want({738561: Mode.FULL})
        await asyncio.sleep(3)
        await ws.want({408065: Mode.QUOTE})
        await ws.unwant([738561])

    sunk = run(10, kite, check)
    assert kite.queries == [f"/?api_key=key&access_token={TOKEN}"]
    assert [c["a"] for c in kite.commands] == ["subscribe", "mode", "subscribe", "mode", "unsubscribe"]
    assert [type(item.what) for item in sunk.items] == [Up, Deliver, Notice]
    assert sunk.of(Deliver)[0].payload == one and sunk.of(Notice)[0].text == "broker: hello"
    assert kite.closes == [1000], "it says goodbye"


def test_a_frozen_server_is_left_after_four_seconds() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        for _ in range(3):
            await connection.send(HEARTBEAT)
            await asyncio.sleep(1)
        connection.transport.pause_reading()  # no pongs any more
        await asyncio.sleep(1000)

    kite.talk = talk
    sunk = run(12, kite, nothing)
    assert [t - START for t in sunk.times(Up)] == pytest.approx([0, 6.5], abs=0.01)
    assert [t - START for t in sunk.times(Lost)] == pytest.approx([6.0], abs=0.01), "2 s and 4 of silence"


def test_a_server_that_pongs_is_there() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        await asyncio.sleep(1000)

    kite.talk = talk
    sunk = run(40, kite, nothing)
    assert [t - START for t in sunk.times(Lost)] == pytest.approx([4.0, 34.5], abs=2.1)
    assert [t - START for t in sunk.times(Up)] == pytest.approx([0.0, 30.5], abs=2.1), "given up after 30 s"


@pytest.mark.parametrize("code", [1000, 1001, 1011])
def test_close_codes_are_named_and_it_comes_back(code: int) -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        await asyncio.sleep(3)
        await connection.close(code, "why")

    kite.talk = talk
    sunk = run(5, kite, nothing)
    assert f"({code}): why" in sunk.of(Lost)[0].reason
    assert len(sunk.of(Up)) == 2


def test_a_reset_is_1006() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        sock = connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.transport.abort()

    kite.talk = talk
    sunk = run(1, kite, nothing)
    assert "(1006)" in sunk.of(Lost)[0].reason


def test_text_that_is_no_utf8_ends_the_connection_not_the_client() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        if len(kite.queries) == 1:
            connection.transport.write(b"\x81\x02\xff\xff")
        await beat(connection)

    kite.talk = talk
    sunk = run(5, kite, nothing)
    assert len(sunk.of(Up)) == 2


def test_nobody_listening_and_nobody_answering() -> None:
    sunk = Sunk()

    async def main(clock: Clock) -> None:
        held: list[asyncio.StreamWriter] = []  # from Python 3.12 on, one that nobody holds is closed
        deaf = await asyncio.start_server(lambda r, w: held.append(w), "127.0.0.1", 0)
        port = deaf.sockets[0].getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(client(f"ws://127.0.0.1:{port}", clock, sunk).run())
            await asyncio.sleep(7.2)
            deaf.close()
            for writer in held:
                writer.close()
            await asyncio.sleep(10)
            work.cancel()

    virtual(main)
    texts = [n.text for n in sunk.of(Notice)]
    assert texts[0] == "cannot reach the broker: no answer in 7 s"
    assert "Connect call failed" in texts[1]


def test_a_dead_token_waits_for_a_new_one() -> None:
    kite = TinyKite()
    kite.refuse = (403, '{"status":"error","message":"Authentication failed."}')
    tokens = ["dead"]

    async def check(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
        await asyncio.sleep(100)
        kite.refuse, tokens[0] = None, "fresh"

    sunk = run(110, kite, check, lambda: Secret(tokens[0]))
    assert len(kite.queries) < 12, "no hammering"
    assert kite.queries[-1].endswith("access_token=fresh") and not any("fresh" in q for q in kite.queries[:-1])
    assert sunk.times(Up)[0] - START <= 105.1
    assert [n.level for n in sunk.of(Notice)] == ["error", "info"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TokenDead("x"), "the access token is dead (403)"),
        (NotEntitled("x"), "no market-data subscription"),
        (BrokerUnavailable("x"), "the access token is dead, or the API key has no market data"),
        (None, "the access token is dead, or the API key has no market data"),
        (TimeoutError(), "the access token is dead, or the API key has no market data"),
    ],
)
def test_rest_says_what_a_403_means(error: Exception | None, words: str) -> None:
    kite, sunk = TinyKite(), Sunk()
    kite.refuse = (403, '{"status":"error","message":"Authentication failed."}')

    async def diagnose() -> None:
        if isinstance(error, TimeoutError):
            await asyncio.sleep(1000)
        if error is not None:
            raise error

    async def main(clock: Clock) -> None:
        async with kite.running(), asyncio.TaskGroup() as tasks:
            link = Link(LinkSpec(lambda _: True), lambda: 0.0)
            ws = WebSocketClient(0, kite.url, "key", lambda: Secret(TOKEN), link, clock, sunk, diagnose=diagnose)
            work = tasks.create_task(ws.run())
            await asyncio.sleep(8)
            work.cancel()

    virtual(main)
    assert words in sunk.of(Notice)[0].text


def test_no_token_at_all_says_so_and_waits() -> None:
    kite = TinyKite()
    tokens: list[str] = []

    def token() -> Secret:
        if not tokens:
            raise NoToken("nobody has logged in: intraday auth login")
        return Secret(tokens[0])

    async def check(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
        await asyncio.sleep(20)
        assert kite.queries == []
        tokens.append("new")

    sunk = run(30, kite, check, token)
    assert sunk.of(Notice)[0].text == "nobody has logged in: intraday auth login"
    assert len(sunk.of(Up)) == 1


def test_429_and_5xx_are_told() -> None:
    kite = TinyKite()
    kite.refuse = (429, "{}")

    async def check(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
        await asyncio.sleep(29)
        assert len(kite.queries) == 1
        kite.refuse = (503, "down")

    sunk = run(40, kite, check)
    assert [n.text.split(":")[0] for n in sunk.of(Notice)] == [
        "the broker allows no further connection for this API key (429)",
        "the broker refused the connection",
    ]


def test_the_token_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "websockets"):
        kite = TinyKite()
        shown: list[str] = []

        async def check(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
            await asyncio.sleep(2)
            shown.append(repr(ws) + repr(vars(ws)) + repr(ws.link))
            kite.refuse = (403, "no")

        kite.talk = lambda connection: connection.close(1011)
        sunk = run(20, kite, check)
        nobody = Sunk()

        async def refused(clock: Clock) -> None:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(client("ws://127.0.0.1:9", clock, nobody).run())
                await asyncio.sleep(3)
                work.cancel()

        virtual(refused)
    client_logs = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets.server")]
    for text in [*client_logs, *shown, repr(sunk.items), repr(nobody.items)]:
        assert TOKEN not in text


ECHO = f"GET /?api_key=key&access_token={TOKEN} by {quote(TOKEN)}"


def test_a_refusal_that_repeats_the_address_is_told_without_the_token() -> None:
    kite = TinyKite()
    kite.refuse = (502, ECHO)
    (notice,) = run(3, kite, nothing).of(Notice)
    assert notice.text.endswith("HTTP 502 GET /?api_key=key&access_token=*** by ***")


def test_close_reasons_and_texts_that_repeat_the_address_are_told_without_the_token() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        await connection.send(HEARTBEAT)
        for kind in ("message", "error"):
            await connection.send(json.dumps({"type": kind, "data": ECHO}))
        await connection.close(1008, ECHO)

    kite.talk = talk
    sunk = run(0.5, kite, nothing)
    told = [*(n.text for n in sunk.of(Notice)), *(lost.reason for lost in sunk.of(Lost))]
    assert len(told) == 3 and all("access_token=*** by ***" in text for text in told)


@pytest.mark.parametrize("token", ["a+b/c=d e", TOKEN])
def test_a_token_is_cut_out_as_it_is_and_as_an_address_has_it(token: str) -> None:
    for text in (token, quote(token, safe=""), quote_plus(token)):
        assert cut(f"x {text} y", (Secret(token),)) == "x *** y"


@pytest.mark.parametrize("location", ["http://portal.invalid/login", "ws://[", "ws://portal.invalid/#x"])
def test_a_network_that_leads_elsewhere_is_unreachable(location: str) -> None:
    class Portal(TinyKite):
        def _gate(self, connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(HTTPStatus.FOUND, "log in first")
            response.headers["Location"] = location
            return response

    told = run(5, Portal(), nothing).of(Notice)
    assert told and all("cannot reach the broker" in n.text and "?" not in n.text.split("(a redirect)")[0] for n in told)


@pytest.mark.parametrize(
    "url", ["http://host", "ws://", "kite.trade", "", "ws://host/?k=hush", "ws://host/#hush", "ws://u:hush@h:x", "ws://[?hush"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="ws_url: expected ws://host") as caught:
        virtual(lambda clock: _make(url, clock))
    assert _nothing_hushed(caught.value)


@pytest.mark.parametrize(
    "proxy", ["foo", "socks5://u:hush@127.0.0.1:1", "http://u:hush@127.0.0.1:x", "http://u:hush@h/?q", "http://["]
)
def test_a_proxy_that_is_none_is_told_at_once_but_not_shown(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConfigError, match=r"the proxy to ws.kite.trade: expected http://host:port") as caught:
        virtual(lambda clock: _make("wss://ws.kite.trade", clock))
    assert _nothing_hushed(caught.value)
    virtual(lambda clock: _make("ws://127.0.0.1:9", clock))


def _nothing_hushed(error: BaseException) -> bool:
    return "hush" not in str(error) and error.__context__ is None


def test_a_proxy_is_used_but_not_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://u:hush@127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    sunk = Sunk()

    async def main(clock: Clock) -> None:
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(client("wss://ws.kite.invalid", clock, sunk).run())
            await asyncio.sleep(2)
            work.cancel()

    virtual(main)
    (notice,) = sunk.of(Notice)
    assert "cannot reach the broker" in notice.text and "127.0.0.1', 1)" in notice.text and "hush" not in notice.text
    assert run(2, TinyKite(), nothing).of(Up)


async def _make(url: str, clock: Clock) -> None:
    client(url, clock, Sunk())


def test_a_send_that_cannot_leave_ends_the_connection() -> None:
    kite = TinyKite()

    async def talk(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await beat(connection)

    kite.talk = talk

    async def check(kite: TinyKite, ws: WebSocketClient, sunk: Sunk) -> None:
        await asyncio.sleep(1)
        await ws.want(dict.fromkeys(range(1_000_000), Mode.FULL))

    sunk = run(12, kite, check)
    assert sunk.of(Lost), "the socket takes no 15 MB that nobody reads"
