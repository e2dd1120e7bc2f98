"""What the exchange encodes is what the official client reads, and what the official projects recorded comes out again."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from intraday.sim import packets

U32 = st.integers(0, 2**32 - 1)
PRICE = st.integers(0, 2**31 - 1)
LEVEL = st.tuples(U32, PRICE, st.integers(0, 2**16 - 1))
BODIES = ("kiteconnect-mocks/ticker_full.packet", "kiteconnect-mocks/ticker_quote.packet")
FRAMES = (
    "cppkiteconnect/tests/mock_custom/websocket_ticks.bin",
    "kiteconnectjs/test/fullMode_binary.packet",
    "kiteconnectjs/test/ltpMode_binary.packet",
    "kiteconnectjs/test/quoteMode_binary.packet",
)
NAMES = {"last_traded_quantity": "last_qty", "volume_traded": "volume", "total_buy_quantity": "buy_qty",
         "total_sell_quantity": "sell_qty", "oi": "oi", "oi_day_high": "oi_high", "oi_day_low": "oi_low"}  # fmt: skip


@dataclass
class Row:
    last_price: int = 0
    last_qty: int = 0
    avg_price: int = 0
    volume: int = 0
    buy_qty: int = 0
    sell_qty: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    last_trade_s: int = 0
    oi: int = 0
    oi_high: int = 0
    oi_low: int = 0
    exchange_s: int = 0
    bids: list[tuple[int, int, int]] = field(default_factory=list)
    offers: list[tuple[int, int, int]] = field(default_factory=list)


ROWS = st.builds(
    Row, PRICE, U32, PRICE, U32, U32, U32, PRICE, PRICE, PRICE, PRICE, st.integers(1, 2**31 - 1), U32, U32, U32,
    st.integers(1, 2**31 - 1), st.lists(LEVEL, max_size=5), st.lists(LEVEL, max_size=5),
)  # fmt: skip


def official(frame: bytes) -> list[dict[str, Any]]:
    return KiteTicker("key", "token")._parse_binary(frame)


def row_of(tick: dict[str, Any]) -> Row:
    """The official client's reading of a packet, as a quote in paise."""
    row = Row(last_price=round(tick["last_price"] * 100), avg_price=round(tick.get("average_traded_price", 0) * 100))
    for name, ours in NAMES.items():
        setattr(row, ours, tick.get(name, 0))
    for name, price in tick.get("ohlc", {}).items():
        setattr(row, name, round(price * 100))
    for name, ours in (("last_trade_time", "last_trade_s"), ("exchange_timestamp", "exchange_s")):
        if name in tick:
            setattr(row, ours, int(tick[name].timestamp()))
    for name, side in tick.get("depth", {"buy": [], "sell": []}).items():
        levels = [(level["quantity"], round(level["price"] * 100), level["orders"]) for level in side]
        setattr(row, "bids" if name == "buy" else "offers", levels)
    return row


@given(ROWS, st.integers(1, 2**24 - 1), st.sampled_from([1, 2, 4, 5, 7]))
def test_the_official_client_reads_every_field(row: Row, number: int, segment: int) -> None:
    token = number << 8 | segment
    bodies = [packets.encode(token, mode, row) for mode in packets.MODES]
    assert [len(b) for b in bodies] == [8, 44, 184]
    ltp, quote, full = official(packets.frame([packets.sized(b) for b in bodies]))
    assert (ltp["mode"], quote["mode"], full["mode"]) == packets.MODES
    assert ltp["last_price"] == row.last_price / 100
    assert {**vars(row_of(quote))} == vars(row) | {
        "last_trade_s": 0, "exchange_s": 0, "oi": 0, "oi_high": 0, "oi_low": 0, "bids": [], "offers": []
    }  # fmt: skip
    expected = Row(**vars(row))
    expected.bids, expected.offers = list(packets.padded(row.bids)), list(packets.padded(row.offers))
    assert row_of(full) == expected
    assert {t["instrument_token"] for t in (ltp, quote, full)} == {token}


@given(ROWS)
def test_the_official_client_reads_indices(row: Row) -> None:
    token = 1001 << 8 | 9
    bodies = [packets.encode(token, mode, row) for mode in packets.MODES]
    assert [len(b) for b in bodies] == [8, 28, 32]
    ticks = official(packets.frame([packets.sized(b) for b in bodies]))
    assert [t["tradable"] for t in ticks] == [False] * 3
    quote, full = ticks[1:]
    assert quote["ohlc"] == full["ohlc"] == {n: getattr(row, n) / 100 for n in ("open", "high", "low", "close")}
    assert full["exchange_timestamp"].timestamp() == row.exchange_s
    assert struct.unpack(">i", bodies[2][24:28])[0] == row.last_price - row.close


def split(frame: bytes) -> list[bytes]:
    """The bodies in a frame, cut by hand."""
    count, at, out = struct.unpack_from(">H", frame)[0], 2, []
    for _ in range(count):
        length = struct.unpack_from(">H", frame, at)[0]
        out.append(frame[at + 2 : at + 2 + length])
        at += 2 + length
    assert at == len(frame)
    return out


@pytest.mark.parametrize("name", [*BODIES, *FRAMES])
def test_recorded_packets_come_out_again(shared: Path, name: str) -> None:
    raw = (shared / "data" / "kite_fixtures" / name).read_bytes()
    bodies = [base64.b64decode(raw)] if name in BODIES else split(raw)
    for body in bodies:
        tick = official(packets.frame([packets.sized(body)]))[0]
        again = packets.encode(tick["instrument_token"], tick["mode"], row_of(tick))
        assert again == body, (name, tick)


def test_a_frame_counts_what_it_holds() -> None:
    assert packets.frame([]) == b"\0\0"
    assert packets.frame([packets.sized(b"abc"), packets.sized(b"")]) == b"\0\2\0\3abc\0\0"
