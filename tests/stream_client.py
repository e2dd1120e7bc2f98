"""A plain client of the exchange's WebSocket, run as a process of its own: it subscribes, counts, and prints one JSON line.

    python stream_client.py PORT TOKEN SECONDS FIRST_TOKEN,N [FIRST_TOKEN,N ...]

One link for each range of exchange tokens (instrument token = number << 8 | 1). Bytes are counted, not parsed into fields.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys


class Counter(asyncio.Protocol):
    """One link: the upgrade, one subscription, then counting of frames and packets; ``broken`` says what was wrong."""

    def __init__(self, path: str, tokens: list[int]) -> None:
        self._path = path
        self._tokens = tokens
        self._buffer = b""
        self._open = False
        self.counting = False
        self.packets = self.frames = self.beats = self.bytes = 0
        self.seen: set[bytes] = set()
        self.subscribed = asyncio.Event()  # a packet of every token has come
        self.broken = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = self.broken or f"lost: {exc}"

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._open, self._buffer = True, rest
            self._send(json.dumps({"a": "mode", "v": ["full", self._tokens]}).encode())
        self._buffer = self._buffer[self._frames() :]

    def _send(self, payload: bytes) -> None:
        self._transport.write(b"\x81\xff" + struct.pack(">Q", len(payload)) + b"\0\0\0\0" + payload)

    def _frames(self) -> int:
        """Take the whole frames of the buffer; how many bytes that was."""
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while at + 2 <= end:
            length, body = buffer[at + 1], at + 2
            if length == 126 and at + 4 <= end:
                length, body = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            elif length >= 126:
                return at
            if body + length > end:
                return at
            self._count(buffer, body, length)
            at = body + length
        return at

    def _count(self, buffer: bytes, at: int, length: int) -> None:
        if length == 1:
            self.beats += 1
            return
        n = int.from_bytes(buffer[at : at + 2])
        if length != 2 + n * 186:
            self.broken = f"a frame of {n} packets has {length} bytes"
        if not self.counting:
            self.seen.update(buffer[i : i + 4] for i in range(at + 4, at + length, 186))
            if len(self.seen) == len(self._tokens):
                self.subscribed.set()
            return
        self.packets += n
        self.frames += 1
        self.bytes += length


async def main(port: int, token: str, seconds: float, ranges: list[tuple[int, int]]) -> None:
    path = f"/?api_key=simkey&access_token={token}"
    loop = asyncio.get_running_loop()
    links = [Counter(path, [(first + i) << 8 | 1 for i in range(n)]) for first, n in ranges]
    for link in links:
        await loop.create_connection(lambda link=link: link, "127.0.0.1", port)
    async with asyncio.timeout(300):
        for link in links:
            await link.subscribed.wait()
    print("subscribed", flush=True)
    for link in links:
        link.counting = True
    start = loop.time()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over
    took = loop.time() - start
    print(json.dumps({
        "seconds": took, "broken": [link.broken for link in links], "packets": [link.packets for link in links],
        "frames": sum(link.frames for link in links), "bytes": sum(link.bytes for link in links),
    }), flush=True)  # fmt: skip


if __name__ == "__main__":
    pairs = [tuple(int(x) for x in arg.split(",")) for arg in sys.argv[4:]]
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), [(a, b) for a, b in pairs]))
