"""Frames recorded by the official projects decode to what the official Python client makes of them."""

import base64
import json
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intraday.broker.wire import decode_frame
from intraday.domain.arrays import PacketKind
from official_packets import check_ticks, local_zone, official

IST = timezone(timedelta(hours=5, minutes=30))
MODES = {PacketKind.LTP: "ltp", PacketKind.QUOTE: "quote", PacketKind.FULL: "full"}
FRAMES = (
    "cppkiteconnect/tests/mock_custom/websocket_ticks.bin",
    "kiteconnectjs/test/fullMode_binary.packet",
    "kiteconnectjs/test/ltpMode_binary.packet",
    "kiteconnectjs/test/quoteMode_binary.packet",
    "phpkiteconnect/tests/fullMode_binary.packet",
    "phpkiteconnect/tests/ltpMode_binary.packet",
    "phpkiteconnect/tests/quoteMode_binary.packet",
)
BODIES = (
    "kiteconnect-mocks/ticker_full.packet",
    "kiteconnect-mocks/ticker_quote.packet",
    "phpkiteconnect/tests/mock_responses/ticker_full.packet",
    "phpkiteconnect/tests/mock_responses/ticker_quote.packet",
)
FIELDS = {
    "last_traded_quantity": "last_qty", "volume_traded": "volume", "total_buy_quantity": "buy_qty",
    "total_sell_quantity": "sell_qty", "oi": "oi", "oi_day_high": "oi_high", "oi_day_low": "oi_low",
}  # fmt: skip
TIMES = {"last_trade_time": "last_trade_s", "exchange_timestamp": "exchange_s"}


@pytest.fixture
def fixtures(shared: Path) -> Path:
    return shared / "data" / "kite_fixtures"


def frame_of(folder: Path, name: str) -> bytes:
    raw = (folder / name).read_bytes()
    if name in FRAMES:
        return raw
    body = base64.b64decode(raw)
    return struct.pack(">HH", 1, len(body)) + body


def as_official(row: np.void) -> dict[str, Any]:
    """A PACKET row in the official client's words, without ``change``, which it derives."""
    mode = MODES[int(row["kind"])]
    price = {name: int(row[name]) / int(row["divisor"]) for name in ("last_price", "avg_price", "open", "high", "low", "close")}
    out: dict[str, Any] = {"tradable": True, "mode": mode, "instrument_token": int(row["token"]), "last_price": price["last_price"]}
    if mode == "ltp":
        return out
    out["average_traded_price"] = price["avg_price"]
    out["ohlc"] = {name: price[name] for name in ("open", "high", "low", "close")}
    full_only = ("oi", "oi_day_high", "oi_day_low")
    out |= {theirs: int(row[ours]) for theirs, ours in FIELDS.items() if mode == "full" or theirs not in full_only}
    if mode == "full":
        out |= {theirs: datetime.fromtimestamp(int(row[ours]), IST).strftime("%Y-%m-%d %H:%M:%S") for theirs, ours in TIMES.items()}
        out["depth"] = {"buy": levels(row["bids"], row), "sell": levels(row["offers"], row)}
    return out


def levels(side: np.ndarray, row: np.void) -> list[dict[str, Any]]:
    return [{"quantity": int(x["qty"]), "price": int(x["price"]) / int(row["divisor"]), "orders": int(x["orders"])} for x in side]


@pytest.mark.parametrize("name", [*FRAMES, *BODIES])
def test_decodes_as_the_official_client(fixtures: Path, name: str) -> None:
    expected = json.loads((fixtures / "expected_pykiteconnect_parse.json").read_text())[name]
    for packet in expected:
        packet.pop("change", None)
    assert [as_official(row) for row in decode_frame(frame_of(fixtures, name))] == expected


def test_large_frames_of_the_same_packets_decode_alike(fixtures: Path) -> None:
    bodies = [frame_of(fixtures, name)[2:] for name in FRAMES[1:4]]
    small = np.concatenate([decode_frame(struct.pack(">H", 1) + body) for body in bodies])
    large = decode_frame(struct.pack(">H", 300) + b"".join(bodies) * 100)
    assert np.array_equal(large, np.tile(small, 100))


@pytest.mark.parametrize("name", [*FRAMES, *BODIES])
def test_decodes_as_the_installed_official_client(fixtures: Path, name: str) -> None:
    frame = frame_of(fixtures, name)
    with local_zone("Asia/Kolkata"):
        assert check_ticks(frame, official()._parse_binary(frame)) > 0


def test_no_recorded_packet_is_left_out(fixtures: Path) -> None:
    found = {str(path.relative_to(fixtures)) for pattern in ("*.packet", "*.bin") for path in fixtures.rglob(pattern)}
    assert found == {*FRAMES, *BODIES}
