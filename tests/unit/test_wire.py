"""Frames made by hand: layouts that no recorded frame has, narrowing to ticks, and frames that contradict themselves."""

import struct

import numpy as np
import pytest

from intraday.broker.wire import declared_packets, decode_frame, to_ticks
from intraday.domain.arrays import PACKET, PacketKind, empty
from intraday.domain.errors import WireError

NIFTY, INFY, USDINR = 256265, 408065, (1234 << 8) | 3
RECV = 1_700_000_000_700_000_000


def frame(*bodies: bytes) -> bytes:
    return struct.pack(">H", len(bodies)) + b"".join(struct.pack(">H", len(b)) + b for b in bodies)


def index_full(stamp: int = 1_700_000_000) -> bytes:
    return struct.pack(">6IiI", NIFTY, 1_950_010, 1_960_000, 1_940_000, 1_945_000, 1_944_000, -6010, stamp)


def quote(token: int = INFY, price: int = 157_370, volume: int = 4_000_000_000) -> bytes:
    return struct.pack(">11I", token, price, 5, 157_000, volume, 11, 12, 1, 2, 3, 4)


@pytest.mark.parametrize("n", [1, 80])
def test_index_order_is_high_low_open_close(n: int) -> None:
    row = decode_frame(frame(*[index_full()] * n))[n - 1]
    assert (row["open"], row["high"], row["low"], row["close"]) == (1_945_000, 1_960_000, 1_940_000, 1_944_000)
    assert (row["change"], row["exchange_s"], row["kind"]) == (-6010, 1_700_000_000, PacketKind.INDEX_FULL)


@pytest.mark.parametrize("n", [1, 80])
def test_index_quote_has_no_stamp(n: int) -> None:
    row = decode_frame(frame(*[index_full()[:28]] * n))[0]
    assert (row["kind"], row["exchange_s"], row["change"]) == (PacketKind.INDEX_QUOTE, 0, -6010)


@pytest.mark.parametrize("n", [0, 100])
def test_unknown_lengths_are_left_out_and_countable(n: int) -> None:
    payload = frame(quote(), b"x" * 60, *[quote()] * n, b"")
    packets = decode_frame(payload)
    assert packets.shape[0] == n + 1
    assert declared_packets(payload) - packets.shape[0] == 2


@pytest.mark.parametrize("payload", [b"\0", b"\x07"])
def test_heartbeat_is_no_packet(payload: bytes) -> None:
    assert decode_frame(payload).shape == (0,)
    assert declared_packets(payload) == 0


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "at least 1 byte"),
        (b"\0\1", "end at packet 0"),
        (frame(quote())[:-1], "only 43 are left"),
        (frame(quote()) + b"\0", "1 bytes left over"),
        (struct.pack(">H", 3) + frame(quote())[2:], "end at packet 1"),
        (b"\0\0\0", "1 bytes left over"),
    ],
)
def test_frames_that_contradict_themselves(payload: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        decode_frame(payload)


def test_ticks_of_an_index_and_a_stock() -> None:
    ticks = to_ticks(decode_frame(frame(index_full(), quote())), {INFY: 3, NIFTY: 0}, RECV)
    assert ticks["inst"].tolist() == [0, 3]
    assert ticks["price"].tolist() == [1_950_010, 157_370]
    assert ticks["volume"].tolist() == [-1, 4_000_000_000]
    assert ticks["event_ns"].tolist() == [1_700_000_000_000_000_000, RECV // 10**9 * 10**9]
    assert ticks["recv_ns"].tolist() == [RECV, RECV]


def test_zero_stamp_stays_zero() -> None:
    assert to_ticks(decode_frame(frame(index_full(0))), {NIFTY: 0}, RECV)["event_ns"].tolist() == [0]


def test_unknown_tokens_and_prices_beyond_paise_are_left_out() -> None:
    packets = decode_frame(frame(quote(token=1), quote(price=2**31), quote(USDINR, 832_512_345), quote(USDINR, 832_500_000)))
    ticks = to_ticks(packets, {INFY: 0, USDINR: 1}, RECV)
    assert ticks["inst"].tolist() == [1]
    assert ticks["price"].tolist() == [8325]  # 83.25 rupees


def test_a_price_is_as_old_as_its_trade() -> None:
    """The order book moved in a new minute; the last trade is of the minute before and must not open the new candle."""
    traded, sent = 1_700_000_039, 1_700_000_041
    body = quote() + struct.pack(">5I", traded, 0, 0, 0, sent) + bytes(120)
    ticks = to_ticks(decode_frame(frame(body)), {INFY: 0}, RECV)
    assert ticks["event_ns"].tolist() == [traded * 10**9]
    never = quote() + struct.pack(">5I", 0, 0, 0, 0, sent) + bytes(120)
    assert to_ticks(decode_frame(frame(never)), {INFY: 0}, RECV)["event_ns"].tolist() == [0]


def test_no_packets_no_ticks() -> None:
    assert to_ticks(empty(PACKET), {}, RECV).shape == (0,)


@pytest.mark.parametrize("length", [8, 28, 32, 44, 184])
def test_frames_of_many_packets_decode_as_their_packets_do(length: int) -> None:
    bodies = [np.random.default_rng(k).bytes(length) for k in range(120)]
    one_by_one = np.concatenate([decode_frame(frame(body)) for body in bodies])
    assert np.array_equal(decode_frame(frame(*bodies)), one_by_one)
    assert np.array_equal(decode_frame(frame(*bodies, quote())), np.concatenate([one_by_one, decode_frame(frame(quote()))]))


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_packets_may_be_written_to(n: int) -> None:
    packets = decode_frame(frame(*[quote()] * n))
    packets["volume"] = 7
    assert packets.shape == (n,)
