"""The WebSocket of the exchange: who is connected, what they subscribed, and the snapshots they are sent.

Delivery follows KITE_SPEC 8: conflated snapshots when a field of the subscribed mode changed, one cached packet right after a
subscription, a byte of heartbeat when there is nothing else, text for errors and messages, HTTP statuses in place of a refused
upgrade. Packets are encoded once for each token and mode and shared by all links; bytes are written to the transport directly,
many frames at a time, so that 9 000 instruments at two packets a second stay cheap.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMsgType, web

from intraday.sim import packets
from intraday.sim.exchange import Exchange
from intraday.sim.faults import TEXT, Tamper, message, reset
from intraday.sim.links import Counts, Link, Subscriptions
from intraday.sim.paths import seeded

HEARTBEAT = message(b"\x00")
LOAD_AT_ONCE = 20  # instruments of a subscription between two turns of the loop: the first use of one costs milliseconds
STEP_MIN_S = 0.004  # real seconds between two publications, at whatever pace
CLOSE_WAIT_S = 2.0  # for the client's half of a close
TEXT_MAX = 4 * 1024 * 1024
DEFAULT_MODE = "quote"


class Stream:
    """All links of an exchange. ``handle`` takes upgrades, ``run`` publishes; both live in one event loop. ``scenario.Links``."""

    def __init__(self, exchange: Exchange) -> None:
        self.links: list[Link] = []
        self.counts = Counts()
        self._exchange = exchange
        self._knobs = exchange.knobs.stream
        self._tamper = Tamper(self._knobs, seeded(f"stream {exchange.knobs.seed}"))
        self._subscriptions = Subscriptions()
        self._dirty: set[int] = set()
        self._due_ns: dict[int, int] = {}
        self._checked_ns = 0
        self._arrived = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """An upgrade: a link until it ends, or the HTTP status that refuses it."""
        key, token = request.query.get("api_key", ""), request.query.get("access_token", "")
        refusal = self._refusal(key, token)
        if refusal is not None:
            self.counts.refused += 1
            return refusal
        ws = web.WebSocketResponse(compress=False, timeout=CLOSE_WAIT_S, max_msg_size=TEXT_MAX)
        await ws.prepare(request)
        assert request.transport is not None
        self.counts.links += 1
        link = Link(self.counts.links, key, token, ws, request.transport, sent_ns=self._exchange.clock.now_ns())
        self.links.append(link)
        self._arrived.set()
        try:
            async for received in ws:
                if received.type is WSMsgType.TEXT:
                    await self._command(link, received.data)
        finally:
            self._leave(link)
        return ws

    async def run(self) -> None:
        """Publish for ever; sleeps while nobody is connected."""
        pace = self._exchange.speed if self._exchange.speed != float("inf") else 0.0
        clock, next_ns = self._exchange.clock, 0
        while True:
            if not self.links:
                self._arrived.clear()
                await self._arrived.wait()
            self.step()
            now_ns = clock.now_ns()
            next_ns = max(now_ns, next_ns + round(max(self._knobs.publish_every_s, STEP_MIN_S * pace) * 1e9))
            await asyncio.sleep((next_ns - now_ns) / 1e9)

    def step(self) -> None:
        """One publication: what changed since the last one, to everyone who wants it."""
        now_ns = self._exchange.clock.now_ns()
        self._reconcile(now_ns)
        if self._exchange.knobs.frozen:
            return
        self._advance(now_ns)
        if self._knobs.silent:
            return
        self._gather(now_ns)
        for link in self.links[:]:
            self._flush(link, now_ns)

    # ----------------------------------------------------------------------------------------------- what can be made to happen

    def drop(self, link: int | None) -> None:
        """Close TCP without a WebSocket close (1006 at the client)."""
        for one in self._chosen(link):
            one.transport.close()

    def reset(self, link: int | None) -> None:
        """Close TCP with a reset."""
        for one in self._chosen(link):
            reset(one.transport)

    async def close(self, code: int, link: int | None) -> None:
        """A WebSocket close with this code; 1006 cannot be sent and means ``drop``. Waits for the client, at most 2 s each."""
        if code == 1006:
            self.drop(link)
            return
        for one in self._chosen(link):
            await one.ws.close(code=code)

    def half_open(self, until_ns: int, link: int | None) -> None:
        """Read and write nothing until then; the connection stays. Such a link does not count for the cap."""
        for one in self._chosen(link):
            one.stuck_until_ns = until_ns
        self._reconcile(self._exchange.clock.now_ns())

    def say(self, kind: str, text: str) -> None:
        """A text message of this type (error, message) to every link."""
        for link in self.links:
            self._tell(link, kind, text)

    def burst(self, n: int) -> None:
        """One frame of ``n`` packets (at most 65 535) to every link that subscribed anything, whatever changed."""
        now_ns = self._exchange.clock.now_ns()
        for link in self.links:
            bodies = [packets.sized(body) for token, mode in link.modes.items() if (body := self._encode(token, mode, now_ns))]
            if bodies and not link.paused:
                many = (bodies * -(-n // len(bodies)))[: min(n, 65_535)]
                self._write(link, [packets.frame(many)], len(many), now_ns)

    # ------------------------------------------------------------------------------------------------------- links and commands

    def _refusal(self, key: str, token: str) -> web.Response | None:
        """Why this upgrade is not taken, as the HTTP answer; None if it is."""
        code = self._knobs.refuse_upgrade
        if code is None and not self._exchange.accounts.may_stream(key, token):
            code = 403
        if code is None and sum(1 for one in self.links if one.api_key == key and not one.stuck_until_ns) >= self._knobs.link_cap:
            code = 429
        if code is None:
            return None
        text = {403: "Authentication failed.", 429: "Too many requests"}[code]
        return web.json_response({"status": "error", "message": text}, status=code)

    def _leave(self, link: Link) -> None:
        self.links.remove(link)
        self._subscriptions.remove(link, list(link.modes))

    def _chosen(self, number: int | None) -> list[Link]:
        """The link of this place in order of arrival, or all."""
        return self.links[:] if number is None else self.links[number - 1 : number]

    def _reconcile(self, now_ns: int) -> None:
        """Stop or resume reading where that is due; once a second, let go of links whose token died."""
        for link in self.links[:]:
            if link.stuck_until_ns and link.stuck_until_ns <= now_ns:
                link.stuck_until_ns = 0
            paused = bool(link.stuck_until_ns) or self._exchange.knobs.frozen
            if paused != link.paused and not link.transport.is_closing():
                link.paused = paused
                (link.transport.pause_reading if paused else link.transport.resume_reading)()
        if self._exchange.knobs.frozen or now_ns - self._checked_ns < 10**9:
            return
        self._checked_ns = now_ns
        for link in self.links[:]:
            if not self._exchange.accounts.may_stream(link.api_key, link.access_token) and not link.transport.is_closing():
                self.counts.torn += 1
                link.transport.close()

    async def _command(self, link: Link, text: str) -> None:
        """subscribe, unsubscribe, mode; what cannot be read is answered with an error text, and the link stays."""
        try:
            command = json.loads(text)
            action, value = command["a"], command["v"]
            mode, tokens = (value[0], value[1]) if action == "mode" else (DEFAULT_MODE, value)
            tokens = [int(token) for token in tokens]
        except (ValueError, KeyError, TypeError, IndexError):
            self._tell(link, "error", "Invalid message")
            return
        if action == "unsubscribe":
            self._subscriptions.remove(link, tokens)
        elif action in ("subscribe", "mode") and mode in packets.MODES:
            await self._subscribe(link, tokens, mode)
        else:
            self._tell(link, "error", "Invalid message")

    async def _subscribe(self, link: Link, tokens: Sequence[int], mode: str) -> None:
        """Take the tokens into ``mode``, up to the cap, and send what is cached of each."""
        new = dict.fromkeys(token for token in tokens if token not in link.modes)
        over = list(new)[max(0, self._knobs.token_cap - len(link.modes)) :]
        if over:
            cap = self._knobs.token_cap
            self._tell(link, "error", f"Subscription limit of {cap} instruments exceeded, {len(over)} ignored")
        refused = set(over)
        wanted = [token for token in dict.fromkeys(tokens) if token not in refused and link.modes.get(token) != mode]
        for i in range(0, len(wanted), LOAD_AT_ONCE):
            chunk = wanted[i : i + LOAD_AT_ONCE]
            self._subscriptions.add(link, chunk, mode)
            self._send_cached(link, chunk, mode)
            await asyncio.sleep(0)
            if link.transport.is_closing():
                return

    def _send_cached(self, link: Link, tokens: Sequence[int], mode: str) -> None:
        """One packet of each token, as the exchange's cache of last values has it."""
        now_ns = self._exchange.clock.now_ns()
        for token in tokens:
            body = self._encode(token, mode, now_ns)
            if body is None:
                continue
            self._subscriptions.last[mode].setdefault(token, body)
            if self._knobs.cached_yesterday and (old := self._exchange.book.yesterday(token)) is not None:
                body = packets.encode(token, mode, old)
            link.outbox.append(packets.sized(body))
        if not self._knobs.silent:
            self._flush(link, now_ns)

    # --------------------------------------------------------------------------------------------------------------- publishing

    def _advance(self, now_ns: int) -> None:
        """Note what changed, of what anybody watches."""
        book = self._exchange.book
        book.empty_depth_after_close, book.updates_per_s = self._knobs.empty_depth_after_close, self._exchange.knobs.updates_per_s
        watchers = self._subscriptions.watchers
        self._dirty.update(token for token in book.advance(now_ns) if token in watchers)

    def _gather(self, now_ns: int) -> None:
        """A packet of each changed token into the outboxes of its watchers, unless one went out a moment ago."""
        due, later = self._due_ns, now_ns + round((self._knobs.conflate_s - self._knobs.publish_every_s / 2) * 1e9)
        watchers, last = self._subscriptions.watchers, self._subscriptions.last
        ready = [token for token in self._dirty if due.get(token, 0) <= now_ns]
        self._dirty.difference_update(ready)
        for token in ready:
            sent = False
            for mode, links in watchers.get(token, {}).items():
                body = self._encode(token, mode, now_ns)
                if body is None or last[mode].get(token) == body:
                    continue
                last[mode][token], sent = body, True
                packet = packets.sized(body)
                for link in links:
                    link.outbox.append(packet)
            if sent:
                due[token] = later

    def _encode(self, token: int, mode: str, now_ns: int) -> bytes | None:
        """The body of a token's packet now; None for an unknown token."""
        quote = self._exchange.book.quote(token, now_ns)
        return None if quote is None else packets.encode(token, mode, quote)

    def _flush(self, link: Link, now_ns: int) -> None:
        """Write the outbox, or a heartbeat when there was nothing for a while. A half-open link loses it, a frozen one keeps it."""
        if self._exchange.knobs.frozen:
            return
        fresh, link.outbox = link.outbox, []
        if link.paused or link.transport.is_closing() or link.ws.closed:
            return
        if fresh:
            out = self._tamper.packets(fresh, link.held)
            self._write(link, self._tamper.frames(out), len(out), now_ns)
        elif now_ns - link.sent_ns >= self._knobs.heartbeat_s * 1e9:
            link.transport.write(HEARTBEAT)
            link.sent_ns = now_ns

    def _write(self, link: Link, frames: Sequence[bytes], n_packets: int, now_ns: int) -> None:
        """Frames to the socket; a client that leaves too much unread is dropped."""
        for piece in self._tamper.wire(frames):
            link.transport.write(piece)
            self.counts.bytes += len(piece)
        self.counts.packets += n_packets
        self.counts.frames += len(frames)
        link.sent_ns = now_ns
        if link.transport.get_write_buffer_size() > self._knobs.buffer_bytes:
            self.counts.slow += 1
            link.transport.abort()

    def _tell(self, link: Link, kind: str, text: str) -> None:
        body: dict[str, Any] = {"type": kind, "data": text}
        if not link.paused and not link.transport.is_closing():
            link.transport.write(message(json.dumps(body).encode(), TEXT))
