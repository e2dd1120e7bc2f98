"""The official client's parser as the judge of ours: random valid frames, and what both make of them, column by column."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import numpy as np
from kiteconnect import KiteTicker
from numpy.typing import NDArray

from intraday.broker.wire import decode_frame
from intraday.domain.arrays import IST_NS, PACKET, PacketKind

LENGTHS = (8, 28, 32, 44, 184)
SEGMENTS = np.array([*range(1, 13), 0, 255], dtype=np.uint8)  # those that Kite names, and some that it does not
EDGES = np.array([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], dtype=">u4")
KINDS = {8: PacketKind.LTP, 28: PacketKind.INDEX_QUOTE, 32: PacketKind.INDEX_FULL, 44: PacketKind.QUOTE, 184: PacketKind.FULL}
MODES = {8: "ltp", 28: "quote", 32: "full", 44: "quote", 184: "full"}
OHLC = ("open", "high", "low", "close")
COUNTS = {
    "last_qty": "last_traded_quantity",
    "volume": "volume_traded",
    "buy_qty": "total_buy_quantity",
    "sell_qty": "total_sell_quantity",
}
OPEN_INTEREST = {"oi": "oi", "oi_high": "oi_day_high", "oi_low": "oi_day_low"}
IST_S = IST_NS // 1_000_000_000


@contextmanager
def local_zone(name: str) -> Iterator[None]:
    """The host's time zone for a while: the official parser turns seconds into naive local datetimes."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def frame_of(bodies: Sequence[bytes]) -> bytes:
    return struct.pack(">H", len(bodies)) + b"".join(struct.pack(">H", len(body)) + body for body in bodies)


def random_bodies(rng: np.random.Generator, lengths: NDArray[Any]) -> list[bytes]:
    """Packets whose fields are random, one in six at an edge of its range; every kind with every segment."""
    n = lengths.shape[0]
    words = rng.integers(0, 2**32, (n, 46), dtype=np.uint32).astype(">u4")
    edge = rng.random(words.shape, dtype=np.float32) < 1 / 6
    words[edge] = rng.choice(EDGES, int(edge.sum()))
    raw = words.view(np.uint8)
    raw[:, 3] = rng.choice(SEGMENTS, n)
    return [row[:length] for row, length in zip(raw.view("V184")[:, 0].tolist(), lengths.tolist(), strict=True)]


def random_frames(rng: np.random.Generator, n_packets: int) -> Iterator[list[bytes]]:
    """Bodies of frames that hold ``n_packets`` together: single ones, a few as on a usual day, many alike, many mixed."""
    left = n_packets
    while left:
        size = min(left, int(rng.choice([1, rng.integers(2, 9), rng.integers(9, 201), rng.integers(200, 3000)])))
        alike = rng.random() < 0.5
        lengths = np.full(size, rng.choice(LENGTHS)) if alike else rng.choice(LENGTHS, size)
        yield random_bodies(rng, lengths)
        left -= size


def official() -> KiteTicker:
    return KiteTicker("key", "token")


def bodies_of(frame: bytes) -> list[bytes]:
    """The packets of a well-formed frame."""
    bodies, at = [], 2
    while at < len(frame):
        length = int.from_bytes(frame[at : at + 2], "big")
        bodies.append(frame[at + 2 : at + 2 + length])
        at += 2 + length
    return bodies


def check_frame(judge: KiteTicker, bodies: Sequence[bytes]) -> int:
    """Assert that both decoders agree on a frame, in the host's zone IST; returns its number of packets."""
    frame = frame_of(bodies)
    return check_ticks(frame, judge._parse_binary(frame))


def check_ticks(frame: bytes, theirs: Sequence[dict[str, Any]]) -> int:
    """Assert that we decode ``frame`` to the official client's ticks, whose times are IST; returns its number of packets."""
    bodies, ours = bodies_of(frame), decode_frame(frame)
    assert len(theirs) == ours.shape[0] == len(bodies)
    lengths = np.array([len(body) for body in bodies])
    for length in LENGTHS:
        rows = np.flatnonzero(lengths == length)
        if rows.shape[0]:
            check_alike(length, ours[rows], [theirs[i] for i in rows.tolist()], [bodies[i] for i in rows.tolist()])
    return len(bodies)


def check_alike(length: int, ours: NDArray[Any], theirs: Sequence[dict[str, Any]], bodies: Sequence[bytes]) -> None:
    """Every field of PACKET: equal to the official one, to the bytes where the official client ignores them, or 0."""
    seen = {"token", "kind", "divisor", "last_price"}
    scale = ours["divisor"].astype(np.float64)
    assert (ours["kind"] == KINDS[length]).all()
    assert {tick["mode"] for tick in theirs} == {MODES[length]}
    same(ours["token"], theirs, "instrument_token")
    same((ours["token"] & 0xFF) != 9, theirs, "tradable")
    same(ours["last_price"] / scale, theirs, "last_price")
    if length > 8:
        check_prices(ours, theirs, scale)
        seen |= set(OHLC)
    if length in (28, 32):
        assert ours["change"].tolist() == [struct.unpack_from(">i", body, 24)[0] for body in bodies]
        seen.add("change")
    if length in (44, 184):
        for field, name in COUNTS.items():
            same(ours[field], theirs, name)
        same(ours["avg_price"] / scale, theirs, "average_traded_price")
        seen |= {*COUNTS, "avg_price"}
    if length in (32, 184):
        same_second(ours["exchange_s"], theirs, "exchange_timestamp")
        seen.add("exchange_s")
    if length == 184:
        check_full(ours, theirs, scale)
        seen |= {*OPEN_INTEREST, "last_trade_s", "bids", "offers"}
    for name in set(PACKET.names or ()) - seen:
        assert not np.frombuffer(ours[name].tobytes(), np.uint8).any(), f"{name} of a packet of {length} bytes"


def check_prices(ours: NDArray[Any], theirs: Sequence[dict[str, Any]], scale: NDArray[Any]) -> None:
    prices = np.array([itemgetter(*OHLC)(tick["ohlc"]) for tick in theirs])
    for i, name in enumerate(OHLC):
        assert np.array_equal(ours[name] / scale, prices[:, i]), name
    last, close = ours["last_price"] / scale, ours["close"] / scale
    with np.errstate(divide="ignore", invalid="ignore"):
        same(np.where(close == 0, 0, (last - close) * 100 / close), theirs, "change")


def check_full(ours: NDArray[Any], theirs: Sequence[dict[str, Any]], scale: NDArray[Any]) -> None:
    for field, name in OPEN_INTEREST.items():
        same(ours[field], theirs, name)
    same_second(ours["last_trade_s"], theirs, "last_trade_time")
    level = itemgetter("quantity", "price", "orders")
    for field, name in (("bids", "buy"), ("offers", "sell")):
        book = np.array([[level(entry) for entry in tick["depth"][name]] for tick in theirs])
        side = ours[field]
        for i, column in enumerate((side["qty"], side["price"] / scale[:, None], side["orders"])):
            assert np.array_equal(column, book[:, :, i]), (name, i)


def same(ours: NDArray[Any], theirs: Sequence[dict[str, Any]], name: str) -> None:
    assert np.array_equal(ours, [tick[name] for tick in theirs]), name


def same_second(ours: NDArray[Any], theirs: Sequence[dict[str, Any]], name: str) -> None:
    stamps = np.array([tick[name] for tick in theirs], dtype="M8[s]").astype(np.int64) - IST_S
    assert np.array_equal(ours, stamps), name
