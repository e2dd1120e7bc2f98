"""Kite's binary WebSocket frames: bytes in, PACKET[n] and TICK[n] out. Pure: no socket, no clock.

Source: Kite Connect v3 documentation, "WebSocket streaming", and what the official clients do where it is silent
(KiteTicker 5.2.2). A frame is ``u16 n`` and n times (``u16 length``, ``length`` bytes), big-endian; the length of a packet says
what it holds. All fields are unsigned, but for an index's price change. Input is hostile until decoded.

Two ways in, same result: ``struct`` for the usual small frame, numpy columns for large ones (a frame of a few packets costs more
to set up in numpy than to decode; one of thousands is decoded ten times faster by columns).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import DEPTH, I8, PACKET, TICK, PacketKind, Packets, Ticks, empty
from intraday.domain.errors import WireError

SECOND_NS = 1_000_000_000
COLUMNS_FROM = 10  # packets a frame: numpy from here on (measured: 44-byte packets cross at 10, 184-byte ones at 9)
PAISE_MAX = 2**31 - 1

_DEPTH_WIRE = np.dtype([("qty", ">u4"), ("price", ">u4"), ("orders", ">u2"), ("pad", ">u2")])


def _layout(*names: str) -> list[tuple[str, str]]:
    return [(name, ">i4" if name == "change" else ">u4") for name in names]


_INDEX = _layout("token", "last_price", "high", "low", "open", "close", "change")
_QUOTE = _layout(
    "token", "last_price", "last_qty", "avg_price", "volume", "buy_qty", "sell_qty", "open", "high", "low", "close",
)  # fmt: skip
_FULL = [*_QUOTE, *_layout("last_trade_s", "oi", "oi_high", "oi_low", "exchange_s")]

# length of a packet -> (kind, its fields on the wire)
_WIRE: Mapping[int, tuple[int, np.dtype[Any]]] = {
    8: (PacketKind.LTP, np.dtype(_layout("token", "last_price"))),
    28: (PacketKind.INDEX_QUOTE, np.dtype(_INDEX)),
    32: (PacketKind.INDEX_FULL, np.dtype([*_INDEX, *_layout("exchange_s")])),
    44: (PacketKind.QUOTE, np.dtype(_QUOTE)),
    184: (PacketKind.FULL, np.dtype([*_FULL, ("bids", _DEPTH_WIRE, 5), ("offers", _DEPTH_WIRE, 5)])),
}
assert all(fields.itemsize == length for length, (_, fields) in _WIRE.items())

_FULL_STRUCT = struct.Struct(">16I" + "IIHxx" * 10)
_STRUCT: Mapping[int, struct.Struct] = {
    8: struct.Struct(">2I"), 28: struct.Struct(">6Ii"), 32: struct.Struct(">6IiI"), 44: struct.Struct(">11I"), 184: _FULL_STRUCT,
}  # fmt: skip

_DIVISOR: Mapping[int, int] = {3: 10_000_000, 6: 10_000, 12: 10_000}  # by segment: CDS, BCD, NCO; 100 elsewhere
_NO_DEPTH = [(0, 0, 0)] * 5


def declared_packets(payload: bytes) -> int:
    """How many packets the frame says it has; ``declared_packets(p) - len(decode_frame(p))`` were of an unknown length."""
    return 0 if len(payload) < 2 else int.from_bytes(payload[:2], "big")


def decode_frame(payload: bytes) -> Packets:
    """Decode one binary frame.

    Returns PACKET[n] in wire order: prices raw with their divisor, times in whole seconds UTC, 0 in every field that ``kind`` does
    not have. n == 0 for a heartbeat (one byte). Packets of a length no packet type has are left out, as the official Python
    client does; see ``declared_packets`` for counting them.
    Raises WireError when the frame contradicts itself: shorter than it says, or with bytes left over.
    """
    if len(payload) == 1:
        return empty(PACKET)
    offsets, lengths = _walk(payload)
    if len(offsets) < COLUMNS_FROM:
        return _by_struct(payload, offsets, lengths)
    return _by_columns(payload, offsets, lengths)


def _walk(payload: bytes) -> tuple[list[int], list[int]]:
    """Offsets and lengths of the packets of known length; WireError unless they fill the frame exactly."""
    size = len(payload)
    if size < 2:
        raise WireError(f"a frame has at least 1 byte, found {size}")
    offsets: list[int] = []
    lengths: list[int] = []
    at, n = 2, int.from_bytes(payload[:2], "big")
    for i in range(n):
        if at + 2 > size:
            raise WireError(f"frame says {n} packets, but its {size} bytes end at packet {i}")
        length = payload[at] << 8 | payload[at + 1]
        at += 2
        if at + length > size:
            raise WireError(f"packet {i} of {n} has {length} bytes, but only {size - at} are left")
        if length in _WIRE:
            offsets.append(at)
            lengths.append(length)
        at += length
    if at != size:
        raise WireError(f"{size - at} bytes left over after {n} packets")
    return offsets, lengths


def _by_struct(payload: bytes, offsets: list[int], lengths: list[int]) -> Packets:
    out = empty(PACKET, len(offsets))
    for i, (at, length) in enumerate(zip(offsets, lengths, strict=True)):
        out[i] = _row(length, _STRUCT[length].unpack_from(payload, at))
    return out


def _row(length: int, v: tuple[int, ...]) -> tuple[Any, ...]:
    """One PACKET row from the integers of a packet, in the order of the dtype."""
    token, last = v[0], v[1]
    head = (token, _WIRE[length][0], _DIVISOR.get(token & 0xFF, 100), last)
    if length == 184:
        levels = [v[k : k + 3] for k in range(16, 46, 3)]
        return (*head, *v[2:11], 0, *v[11:16], levels[:5], levels[5:])
    if length == 44:
        return (*head, *v[2:11], 0, 0, 0, 0, 0, 0, _NO_DEPTH, _NO_DEPTH)
    if length == 8:
        return (*head, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, _NO_DEPTH, _NO_DEPTH)
    high, low, open_, close, change = v[2:7]
    stamp = v[7] if length == 32 else 0
    return (*head, 0, 0, 0, 0, 0, open_, high, low, close, change, 0, 0, 0, 0, stamp, _NO_DEPTH, _NO_DEPTH)


def _by_columns(payload: bytes, offsets: list[int], lengths: list[int]) -> Packets:
    raw = np.frombuffer(payload, dtype=np.uint8)
    out = empty(PACKET, len(offsets))
    at, length = np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64)
    for size, (kind, fields) in _WIRE.items():
        rows = np.flatnonzero(length == size)
        if rows.size:
            body = raw[at[rows, None] + np.arange(size)].view(fields)[:, 0]
            _copy_fields(out, rows, body)
            out["kind"][rows] = kind
    out["divisor"] = _divisors(out["token"])
    return out


def _copy_fields(out: Packets, rows: I8, body: NDArray[Any]) -> None:
    for name in body.dtype.names or ():
        if name in ("bids", "offers"):
            for part in DEPTH.names or ():
                out[name][part][rows] = body[name][part]
        else:
            out[name][rows] = body[name]


def _divisors(token: NDArray[np.uint32]) -> NDArray[np.int32]:
    table = np.full(256, 100, dtype=np.int32)
    for segment, divisor in _DIVISOR.items():
        table[segment] = divisor
    return table.take(token & 0xFF)


def to_ticks(packets: Packets, token_to_inst: Mapping[int, int], recv_ns: int) -> Ticks:
    """Narrow packets to what candles need: TICK[m], m <= n, in wire order.

    ``token_to_inst`` gives the dense row of each subscribed token. Left out (count them as ``len(packets) - len(ticks)``): tokens
    it does not have, and prices that are no whole number of paise or beyond int32 (currency segments; spreads below zero, which
    the wire shows as huge).
    ``price`` is in paise, exactly. ``volume`` is the day's, -1 where the packet has none: indices, and ltp mode, which therefore
    must not be subscribed for instruments with volume. ``event_ns`` is the exchange's time stamp (0 stays 0: the validator's
    to reject); ltp and quote packets carry none, and get ``recv_ns`` rounded down to the second, the stamps' own resolution.
    """
    token = packets["token"].tolist()
    inst = np.array([token_to_inst.get(t, -1) for t in token], dtype=np.int64)
    paise, whole = _paise(packets)
    keep = (inst >= 0) & whole
    kept = packets[keep]
    out = empty(TICK, kept.shape[0])
    out["event_ns"] = _event_ns(kept, recv_ns)
    out["recv_ns"] = recv_ns
    out["inst"] = inst[keep]
    out["price"] = paise[keep]
    has_volume = (kept["kind"] == PacketKind.QUOTE) | (kept["kind"] == PacketKind.FULL)
    out["volume"] = np.where(has_volume, kept["volume"].astype(np.int64), -1)
    return out


def _paise(packets: Packets) -> tuple[I8, NDArray[np.bool_]]:
    raw, per_paisa = packets["last_price"].astype(np.int64), packets["divisor"].astype(np.int64) // 100
    paise = raw // per_paisa
    return paise, (paise * per_paisa == raw) & (paise <= PAISE_MAX)


def _event_ns(packets: Packets, recv_ns: int) -> I8:
    stamped = (packets["kind"] == PacketKind.FULL) | (packets["kind"] == PacketKind.INDEX_FULL)
    stamp: I8 = packets["exchange_s"].astype(np.int64) * SECOND_NS
    return np.where(stamped, stamp, recv_ns - recv_ns % SECOND_NS)
