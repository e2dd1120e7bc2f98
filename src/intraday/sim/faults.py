"""What can go wrong on the way out: packets doubled, old, broken or lying about volume; frames cut in odd places; connections torn.

Everything random comes from one generator, so one seed is one day of faults.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

from intraday.sim import packets
from intraday.sim.knobs import StreamKnobs

TEXT, BINARY = 1, 2  # WebSocket opcodes
FRAME_MEDIAN = 5
FRAME_SIGMA = 1.2
FRAME_MAX = 200
N_SIZES = 4096
NO_PACKET = 13  # a length that no packet has
REGRESSION = 0.9  # of the true volume
_BIG = struct.Struct(">I")
_SIZED_TOKEN = slice(2, 6)  # behind the packet's length
_SIZED_VOLUME = slice(packets.VOLUME.start + 2, packets.VOLUME.stop + 2)
_SIZED_LENGTHS = (packets.LENGTHS[3] + 2, packets.LENGTHS[4] + 2)  # of what has a volume: quote and full


class Tamper:
    """Turns packets into frames and frames into bytes, with whatever faults the knobs ask for."""

    def __init__(self, knobs: StreamKnobs, rng: Random) -> None:
        self._knobs = knobs
        self._rng = rng
        sizes = [min(FRAME_MAX, max(1, round(rng.lognormvariate(0.0, FRAME_SIGMA) * FRAME_MEDIAN))) for _ in range(N_SIZES)]
        self._sizes = _for_ever(sizes)

    def packets(self, fresh: list[bytes], held: dict[bytes, bytes]) -> list[bytes]:
        """``fresh`` with its faults, all as ``packets.sized``. ``held``: old packets of this link, by token, that wait for a newer
        one to come out behind."""
        knobs = self._knobs
        faulty = knobs.duplicate_share or knobs.stale_share or knobs.volume_reset_share or knobs.volume_regression_share
        if not faulty and not held:
            return fresh
        out: list[bytes] = []
        for packet in fresh:
            out.append(self._lying(packet))
            if self._happens(knobs.duplicate_share):
                out.append(packet)
            old = held.pop(packet[_SIZED_TOKEN], None)
            if old is not None:
                out.append(old)
            elif self._happens(knobs.stale_share):
                held[packet[_SIZED_TOKEN]] = packet
        return out

    def frames(self, of: Sequence[bytes]) -> list[bytes]:
        """The packets as binary messages."""
        size, rest, out = self._knobs.frame_packets, iter(of), []
        while chunk := list(islice(rest, size or next(self._sizes))):
            if self._happens(self._knobs.malformed_share):
                out.append(self._malformed(chunk))
            out.append(packets.frame(chunk))
        return out

    def wire(self, frames: Sequence[bytes]) -> list[bytes]:
        """What is written to the socket, piece by piece: one piece unless frames are to be split."""
        if not self._knobs.split_share:
            return [b"".join(map(message, frames))]
        out: list[bytes] = []
        for frame in frames:
            out += self._split(frame) if self._happens(self._knobs.split_share) else [message(frame)]
        return out

    def _happens(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _lying(self, packet: bytes) -> bytes:
        """A packet with another volume, or as it is."""
        if len(packet) not in _SIZED_LENGTHS:
            return packet
        volume = _BIG.unpack(packet[_SIZED_VOLUME])[0]
        if self._happens(self._knobs.volume_reset_share):
            volume = 0
        elif self._happens(self._knobs.volume_regression_share):
            volume = int(volume * REGRESSION)
        return packet[: _SIZED_VOLUME.start] + _BIG.pack(volume) + packet[_SIZED_VOLUME.stop :]

    def _malformed(self, chunk: Sequence[bytes]) -> bytes:
        """A frame that no honest exchange sends: a length of no packet, a count too high, or a packet that runs past the end."""
        kind = self._rng.randrange(3)
        if kind == 0:
            return packets.frame([*chunk, packets.sized(self._rng.randbytes(NO_PACKET))])
        frame = packets.frame(chunk)
        return struct.pack(">H", len(chunk) + 1) + frame[2:] if kind == 1 else frame[:-3]

    def _split(self, frame: bytes) -> list[bytes]:
        """One message as WebSocket fragments, written in pieces that end anywhere."""
        cuts = sorted(self._rng.sample(range(1, len(frame)), min(3, len(frame) - 1)))
        parts = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
        last = len(parts) - 1
        raw = b"".join(message(part, BINARY if i == 0 else 0, final=i == last) for i, part in enumerate(parts))
        at = self._rng.randrange(1, len(raw))
        return [raw[:at], raw[at:]]


def message(payload: bytes, opcode: int = BINARY, final: bool = True) -> bytes:
    """A WebSocket frame from the server, so without a mask (RFC 6455, 5.2)."""
    first, n = opcode | (0x80 if final else 0), len(payload)
    if n < 126:
        return bytes((first, n)) + payload
    if n < 65_536:
        return struct.pack(">BBH", first, 126, n) + payload
    return struct.pack(">BBQ", first, 127, n) + payload


def reset(transport: asyncio.Transport) -> None:
    """Tear a connection down with RST: no lingering, no farewell."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _for_ever(sizes: Sequence[int]) -> Iterator[int]:
    while True:
        yield from sizes
