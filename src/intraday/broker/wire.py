"""Kite's binary WebSocket frames: bytes in, PACKET[n] and TICK[n] out. Pure: no socket, no clock.

Source: Kite Connect v3 documentation, "WebSocket streaming", and what the official clients do where it is silent
(KiteTicker 5.2.2). A frame is ``u16 n`` and n times (``u16 length``, ``length`` bytes), big-endian; the length of a packet says
what it holds. All fields are unsigned, but for an index's price change. Input is hostile until decoded.

Two ways in, same result. Usually: a PACKET row is a fixed choice and order of its packet's bytes, so ``bytearray.translate`` picks
them, with the packet itself as the table (measured: 0.4 us a packet, where struct and a row of Python integers take 5). Many
packets of one length: numpy columns (0.05 us a packet; sorting a mixed frame by length first would cost more than it gains).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import DEPTH, I8, PACKET, TICK, PacketKind, Packets, Ticks, empty
from intraday.domain.errors import WireError

SECOND_NS = 1_000_000_000
COLUMNS_FROM = 25  # packets of one length: numpy from here on (measured: 184-byte ones cross at 30, 44-byte ones at 20)
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

_DIVISOR: Mapping[int, int] = {3: 10_000_000, 6: 10_000, 12: 10_000}  # by segment: CDS, BCD, NCO; 100 elsewhere
_DIVISORS = np.array([_DIVISOR.get(segment, 100) for segment in range(256)], dtype=np.int32)


def _copy_fields(out: Packets, body: NDArray[Any]) -> None:
    """The fields that the packets have; ``out`` keeps its others."""
    for name in body.dtype.names or ():
        if name in ("bids", "offers"):
            for part in DEPTH.names or ():
                out[name][part] = body[name][part]
        else:
            out[name] = body[name]


def _picker(length: int) -> tuple[bytearray, list[bytes]]:
    """What turns a packet of ``length`` into its PACKET row: ``pick.translate(packet + tail[segment])``.

    ``pick``: for every byte of the row its place in that table of 256 bytes; ``tail``: what the packet itself does not say.
    It is found by decoding a packet whose bytes are their own places, field by field.
    """
    kind, fields = _WIRE[length]
    row = np.full(PACKET.itemsize, length, dtype=np.uint8).view(PACKET)  # fields that the packet has not: the tail's first byte, 0
    _copy_fields(row, np.arange(length, dtype=np.uint8).view(fields))
    row["kind"] = length + 1
    row["divisor"] = np.arange(length + 2, length + 6, dtype=np.uint8).view(np.int32)
    tails = {int(d): (bytes([0, kind]) + d.tobytes()).ljust(256 - length, b"\0") for d in np.unique(_DIVISORS)}
    return bytearray(row.tobytes()), [tails[int(d)] for d in _DIVISORS]


_PICK = {length: _picker(length) for length in _WIRE}
_ALONE = {bytes([0, 1, 0, length]): length for length in _WIRE}  # how a frame of one packet begins


def declared_packets(payload: bytes) -> int:
    """How many packets the frame says it has; ``declared_packets(p) - len(decode_frame(p))`` were of an unknown length."""
    return 0 if len(payload) < 2 else payload[0] << 8 | payload[1]


def decode_frame(payload: bytes) -> Packets:
    """Decode one binary frame.

    Returns PACKET[n] in wire order: prices raw with their divisor, times in whole seconds UTC, 0 in every field that ``kind`` does
    not have. n == 0 for a heartbeat (one byte). Packets of a length no packet type has are left out, as the official Python
    client does; see ``declared_packets`` for counting them.
    Raises WireError when the frame contradicts itself: shorter than it says, or with bytes left over.
    """
    length = _ALONE.get(payload[:4], 0)
    if length and len(payload) == 4 + length:
        return np.ndarray(1, PACKET, _row(payload, 4, length))
    if len(payload) == 1:
        return empty(PACKET)
    if len(payload) < 2:
        raise WireError(f"a frame has at least 1 byte, found {len(payload)}")
    n = payload[0] << 8 | payload[1]
    if n >= COLUMNS_FROM and (length := _common_length(payload, n)):
        return _by_columns(payload, n, length)
    rows = [_row(payload, at, length) for at, length in _walk(payload, n)]
    return np.ndarray(len(rows), PACKET, bytearray().join(rows))


def _row(payload: bytes, at: int, length: int) -> bytearray:
    """The bytes of one PACKET row; its segment is the last byte of its token."""
    pick, tails = _PICK[length]
    return pick.translate(payload[at : at + length] + tails[payload[at + 3]])


def _walk(payload: bytes, n: int) -> list[tuple[int, int]]:
    """Offset and length of the packets of known length; WireError unless all ``n`` fill the frame exactly."""
    size, at = len(payload), 2
    found: list[tuple[int, int]] = []
    for i in range(n):
        if at + 2 > size:
            raise WireError(f"frame says {n} packets, but its {size} bytes end at packet {i}")
        length = payload[at] << 8 | payload[at + 1]
        at += 2
        if at + length > size:
            raise WireError(f"packet {i} of {n} has {length} bytes, but only {size - at} are left")
        if length in _PICK:
            found.append((at, length))
        at += length
    if at != size:
        raise WireError(f"{size - at} bytes left over after {n} packets")
    return found


def _common_length(payload: bytes, n: int) -> int:
    """The length that all ``n`` packets of a frame have, if the frame is of nothing else; 0 otherwise."""
    length = int.from_bytes(payload[2:4], "big")
    if length not in _WIRE or len(payload) != 2 + n * (2 + length):
        return 0
    lengths = np.ndarray(n, ">u2", payload, 2, (2 + length,))
    return length if (lengths == length).all() else 0


def _by_columns(payload: bytes, n: int, length: int) -> Packets:
    kind, fields = _WIRE[length]
    out = empty(PACKET, n)
    _copy_fields(out, np.ndarray(n, fields, payload, 4, (2 + length,)))
    out["kind"] = kind
    out["divisor"] = _DIVISORS[out["token"] & 0xFF]
    return out


def to_ticks(packets: Packets, token_to_inst: Mapping[int, int], recv_ns: int) -> Ticks:
    """Narrow packets to what candles need: TICK[m], m <= n, in wire order.

    ``token_to_inst`` gives the dense row of each subscribed token. Left out (count them as ``len(packets) - len(ticks)``): tokens
    it does not have, and prices that are no whole number of paise or beyond int32 (currency segments; spreads below zero, which
    the wire shows as huge).
    ``price`` is in paise, exactly. ``volume`` is the day's, -1 where the packet has none: indices, and ltp mode, which therefore
    must not be subscribed for instruments with volume. ``event_ns`` is when the price was made: the time of the last trade, or
    an index's time stamp (0 stays 0: the validator's to reject). A full packet's own stamp also moves when only the order book
    did, so the last price of one minute would open the next (docs/adr/0014). ltp and quote packets carry no time at all and get
    ``recv_ns`` rounded down to the second, the stamps' own resolution.
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
    full = packets["kind"] == PacketKind.FULL
    stamp: I8 = np.where(full, packets["last_trade_s"], packets["exchange_s"]).astype(np.int64) * SECOND_NS
    return np.where(full | (packets["kind"] == PacketKind.INDEX_FULL), stamp, recv_ns - recv_ns % SECOND_NS)
