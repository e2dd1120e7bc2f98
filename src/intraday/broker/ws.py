"""The shell of one WebSocket connection: does what ``link.Link`` says, with the ``websockets`` library, and decides nothing.

The access token goes into the address of the upgrade, because Kite wants it there (KITE_SPEC 8.1); so neither the address nor the
library's own log is ever shown, and the token is cut out of whatever the other side says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, SecurityError

from intraday.broker.address import proxy_of
from intraday.broker.answers import cut
from intraday.broker.link import Link
from intraday.broker.link_events import (
    Binary,
    Close,
    Closed,
    Connect,
    Deliver,
    Input,
    Lost,
    Mode,
    NeedToken,
    Notice,
    Opened,
    Output,
    Pong,
    Refused,
    Send,
    SendPing,
    Text,
    Tick,
    TokenRead,
    Unreachable,
    Unwant,
    Up,
    Wait,
    Want,
)
from intraday.domain.broker import Secret, TokenSource
from intraday.domain.clock import Clock
from intraday.domain.errors import AuthError, IntradayError, NotEntitled, TokenDead

MESSAGE_MAX = 16 * 2**20  # bytes; the largest frame possible (65535 packets of 184 bytes) has 12 MB
MESSAGES_MAX = 512  # received and not yet taken; then the socket is read no further
CLOSE_TIMEOUT_S = 1.0
HEADERS = {"X-Kite-Version": "3"}
Diagnose = Callable[[], Awaitable[object]]  # asks REST for a price; raises TokenDead or NotEntitled if that is how it is


class Received(NamedTuple):
    """What came of connection number ``connection`` at ``now_ns``."""

    connection: int
    now_ns: int
    what: Deliver | Notice | Lost | Up


class Sink(Protocol):
    """Where a connection leaves what it received."""

    async def put(self, item: Received) -> None:
        """Wait for room, then add: frames."""
        ...

    def post(self, item: Received) -> None:
        """Add at once: the rest, which is rare and must not get lost."""
        ...


class WebSocketClient:
    """One connection, for ever. ``run`` it in a task; ``Link`` holds its state and counts.

    ``url``: ``ws://`` or ``wss://``, without a query. ConfigError when it is not, or when the environment's proxy is none.
    """

    def __init__(
        self,
        number: int,
        url: str,
        api_key: str,
        token: TokenSource,
        link: Link,
        clock: Clock,
        sink: Sink,
        connect_timeout_s: float = 7.0,
        diagnose: Diagnose | None = None,
    ) -> None:
        self._number = number
        self._url = url
        self._proxy = proxy_of(url)
        self._api_key = api_key
        self._token = token
        self._clock = clock
        self._sink = sink
        self._timeout_s = connect_timeout_s
        self._diagnose = diagnose
        self._used: Secret | None = None
        self._ws: ClientConnection | None = None
        self._connecting = False
        self._wait_ns = 0
        self.link = link

    async def run(self) -> None:
        """Connect, listen, reconnect; until cancelled."""
        try:
            await self._feed(Tick())
            while True:
                if self._connecting:
                    await self._connect()
                elif self._ws is not None:
                    await self._listen(self._ws)
                else:
                    await self._pause()
                    await self._feed(Tick())
        finally:
            if self._ws is not None:
                await _say_goodbye(self._ws)

    async def want(self, modes: Mapping[int, Mode]) -> None:
        """Subscribe, now and after every reconnect."""
        await self._feed(Want(modes))

    async def unwant(self, tokens: Iterable[int]) -> None:
        """Unsubscribe."""
        await self._feed(Unwant(tokens))

    async def _connect(self) -> None:
        self._connecting = False
        try:
            self._used = self._token()
        except AuthError as error:
            await self._feed(Refused(0, str(error)))
            return
        thing: Input
        try:
            self._ws = await self._open(self._used)
            thing = Opened()
        except InvalidStatus as error:
            thing = await self._refusal(error.response.status_code, bytes(error.response.body or b"").decode("utf-8", "replace"))
        except TimeoutError:
            thing = Unreachable(f"no answer in {self._timeout_s:g} s")
        except (InvalidURI, SecurityError):
            thing = Unreachable("it leads elsewhere (a redirect); is a login page of the network in between?")
        except (OSError, EOFError, InvalidHandshake, ValueError) as error:  # ValueError: a host that is no name
            thing = Unreachable(self._cut(str(error)) or type(error).__name__)
        await self._feed(thing)

    def _cut(self, text: str) -> str:
        """A stranger's text without the token: what refuses an address may repeat it."""
        return cut(text, () if self._used is None else (self._used,))

    async def _refusal(self, status: int, body: str) -> Refused:
        """With what REST says of the token: the words of a 403 are the same for a dead one and one without market data."""
        if status == 403 and self._diagnose is not None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._diagnose()
            except (TokenDead, NotEntitled) as error:
                return Refused(status, type(error).__name__)
            except (IntradayError, TimeoutError):
                pass  # no answer either: then nothing more is known
        return Refused(status, self._cut(body))

    async def _open(self, token: Secret) -> ClientConnection:
        query = urlencode({"api_key": self._api_key, "access_token": token.reveal()})
        return await connect(
            f"{self._url}?{query}",
            compression=None,
            additional_headers=HEADERS,
            logger=_silent_logger(),
            proxy=self._proxy,
            open_timeout=self._timeout_s,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the link decides about pings
            max_size=MESSAGE_MAX,
            max_queue=MESSAGES_MAX,
        )

    async def _listen(self, ws: ClientConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(self._watch())
            await self._read(ws)
            watcher.cancel()
        self._ws = None

    async def _read(self, ws: ClientConnection) -> None:
        """Hand on what comes, until the connection ends. While there is more, the loop is not given back: what arrived together
        is found together by whoever drains the sink."""
        try:
            while True:
                message = await ws.recv()
                await self._feed(Binary(message) if isinstance(message, bytes) else Text(self._cut(message)))
        except ConnectionClosed as error:
            closed = error.rcvd
        await self._feed(Closed(1006, "") if closed is None else Closed(closed.code, self._cut(closed.reason)))

    async def _watch(self) -> None:
        while True:
            await self._pause()
            await self._feed(Tick())

    async def _pause(self) -> None:
        """Until the time that the link named last; a Tick that comes early does no harm."""
        await asyncio.sleep(max(0, self._wait_ns - self._clock.now_ns()) / 1e9)

    async def _feed(self, thing: Input) -> None:
        now_ns = self._clock.now_ns()
        for output in self.link.handle(now_ns, thing):
            await self._do(now_ns, output)

    async def _do(self, now_ns: int, output: Output) -> None:
        match output:
            case Deliver():
                await self._sink.put(Received(self._number, now_ns, output))
            case Notice() | Lost() | Up():
                self._sink.post(Received(self._number, now_ns, output))
            case Wait():
                self._wait_ns = output.until_ns
            case Connect():
                self._connecting = True
            case NeedToken():
                await self._feed(TokenRead(self._token_changed()))
            case _:
                await self._act(output)

    async def _act(self, output: Send | SendPing | Close) -> None:
        """On the open connection. That it just ended is for the reader to say."""
        ws = self._ws
        if ws is None:
            return
        if isinstance(output, Close):
            ws.transport.abort()
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                if isinstance(output, Send):
                    await ws.send(output.text)
                else:
                    (await ws.ping()).add_done_callback(self._pong)  # type: ignore[attr-defined]
        except ConnectionClosed:
            return
        except TimeoutError:
            ws.transport.abort()

    def _pong(self, answer: asyncio.Future[float]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self.link.handle(self._clock.now_ns(), Pong())

    def _token_changed(self) -> bool:
        try:
            return self._token() != self._used
        except AuthError:
            return False


async def _say_goodbye(ws: ClientConnection) -> None:
    """Close properly, unless the other side does not even read."""
    try:
        async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
            await ws.close()
    except TimeoutError:
        ws.transport.abort()


def _silent_logger() -> logging.Logger:
    """The library logs the request line, and with it the token, at DEBUG; a logger outside the tree hears nothing."""
    logger = logging.Logger("intraday.broker.ws", logging.CRITICAL + 1)
    logger.disabled = True
    return logger
