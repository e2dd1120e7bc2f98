"""Damaged frames: each is decoded as its bytes say or refused with WireError, in memory that its size allows."""

import os
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from intraday.broker.wire import decode_frame
from intraday.domain.arrays import PACKET
from intraday.domain.errors import WireError
from official_packets import LENGTHS, frame_of, random_bodies

FRAMES = int(os.environ.get("INTRADAY_FUZZ_FRAMES", 200_000))  # make fuzz: a million
BYTES_MAX = PACKET.itemsize / 10  # of rows for each byte of frame: the smallest packet is 2 + 8 bytes
Rng = np.random.Generator
Mutation = Callable[[bytearray, Rng, list[bytes]], bytearray]


def flip(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    for at in rng.integers(0, len(frame), 3).tolist():
        frame[at] ^= 1 << (at * 7 + len(frame)) % 8
    return frame


def header(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    """Damage where it matters most: the count and the first lengths."""
    frame[int(rng.integers(0, min(4, len(frame))))] = int(rng.integers(0, 256))
    return frame


def truncate(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    return frame[: int(rng.integers(0, len(frame)))]


def lengthen(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    return frame + rng.bytes(int(rng.integers(1, 50)))


def splice(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    other = pool[int(rng.integers(0, len(pool)))]
    return frame[: int(rng.integers(0, len(frame)))] + other[int(rng.integers(0, len(other))) :]


def lie_about_the_count(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    said = int.from_bytes(frame[:2], "big")
    lie = (said - 1, said + 1, 0, 0xFFFF, int(rng.integers(0, 0x10000)))[int(rng.integers(0, 5))]
    frame[:2] = struct.pack(">H", lie & 0xFFFF)
    return frame


def lie_about_a_length(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    starts = [at - 2 for at, _ in walk(bytes(frame)) or []]
    if starts:
        at = starts[int(rng.integers(0, len(starts)))]
        frame[at : at + 2] = struct.pack(">H", (*LENGTHS, 0, 0xFFFF, int(rng.integers(0, 400)))[int(rng.integers(0, 8))])
    return frame


def drop_a_packet(frame: bytearray, rng: Rng, pool: list[bytes]) -> bytearray:
    """Whole packets gone or unknown, everything else in order: these decode."""
    bodies = [bytes(frame[at : at + length]) for at, length in walk(bytes(frame)) or []]
    if bodies:
        bodies[int(rng.integers(0, len(bodies)))] = rng.bytes(int(rng.integers(0, 200)))
    return bytearray(frame_of(bodies))


MUTATIONS: tuple[Mutation, ...] = (
    flip, header, truncate, lengthen, splice, lie_about_the_count, lie_about_a_length, drop_a_packet,
)  # fmt: skip


def walk(frame: bytes) -> list[tuple[int, int]] | None:
    """Offset and length of every packet, or None where the frame contradicts itself: the documentation, in plain Python."""
    if len(frame) == 1:
        return []
    if not frame:
        return None
    found, at = [], 2
    for _ in range(int.from_bytes(frame[:2], "big")):
        length = int.from_bytes(frame[at : at + 2], "big")
        if len(frame) < at + 2 + length:
            return None
        found.append((at + 2, length))
        at += 2 + length
    return found if at == len(frame) else None


def base_frames(rng: Rng) -> list[bytes]:
    """Frames to damage: most of 1 to 12 packets as on a usual day, one in twenty of hundreds."""
    sizes = rng.integers(1, 13, 4000)
    usual = [frame_of(random_bodies(rng, rng.choice(LENGTHS, size))) for size in sizes.tolist()]
    alike = [frame_of(random_bodies(rng, np.full(size, rng.choice(LENGTHS)))) for size in rng.integers(20, 300, 200).tolist()]
    return usual + alike


def mutants(rng: Rng, n: int) -> Iterator[bytes]:
    """Frames of ``base_frames``, each damaged once, twice or three times."""
    pool = base_frames(rng)
    times = rng.choice([1, 2, 3], n, p=[0.7, 0.2, 0.1]).tolist()
    which, how = rng.integers(0, len(pool), n).tolist(), rng.integers(0, len(MUTATIONS), (n, 3)).tolist()
    for i, several, mutations in zip(which, times, how, strict=True):
        frame = bytearray(pool[i])
        for j in mutations[:several]:
            frame = MUTATIONS[j](frame, rng, pool) if frame else frame
        yield bytes(frame)


def check(frame: bytes) -> str:
    want = walk(frame)
    try:
        packets = decode_frame(frame)
    except WireError:
        assert want is None, frame.hex()
        return "refused"
    assert want is not None, frame.hex()
    known = [(at, length) for at, length in want if length in LENGTHS]
    assert packets.dtype == PACKET
    assert packets.shape == (len(known),)
    assert packets.nbytes <= BYTES_MAX * len(frame)
    assert packets.tobytes() == b"".join(decode_frame(frame_of([frame[at : at + length]])).tobytes() for at, length in known)
    return "decoded"


@pytest.mark.slow
def test_mutated_frames() -> None:
    seen = Counter(check(frame) for frame in mutants(np.random.default_rng(3), FRAMES))
    assert sum(seen.values()) == FRAMES
    assert min(seen["refused"], seen["decoded"]) > FRAMES // 20, seen


@pytest.mark.parametrize(
    ("frame", "n"),
    [
        (b"\xff\xff" + b"\0\0" * 0xFFFF, 0),
        (b"\xff\xff" + b"\0\x08token123" * 0xFFFF, 0xFFFF),
        (b"\xff\xff" + b"\0\x08token123" * 0xFFFE, None),
        (b"\xff\xff\0", None),
        (b"\xff\xff\xff\xff" + b"x" * 0xFFFE, None),
    ],
)
def test_memory_is_bounded_by_the_bytes_that_came(frame: bytes, n: int | None) -> None:
    tracemalloc.start()
    try:
        check(frame) if n is None else decode_frame(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BYTES_MAX * len(frame) * 1.2 + 10_000
    if n is not None:
        assert decode_frame(frame).shape == (n,)
