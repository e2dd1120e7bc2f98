"""Whatever the bytes, a frame is either decoded or refused with WireError."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intraday.broker.wire import declared_packets, decode_frame, to_ticks
from intraday.domain.arrays import PACKET
from intraday.domain.errors import WireError

LENGTHS = (8, 28, 32, 44, 184)
bodies = st.lists(
    st.one_of(*(st.binary(min_size=n, max_size=n) for n in LENGTHS), st.binary(max_size=200)), max_size=70,
)  # fmt: skip


def pack(parts: list[bytes]) -> bytes:
    return struct.pack(">H", len(parts)) + b"".join(struct.pack(">H", len(b)) + b for b in parts)


def accepts(payload: bytes) -> bool:
    try:
        packets = decode_frame(payload)
    except WireError:
        return False
    assert packets.dtype == PACKET
    ticks = to_ticks(packets, {int(t): i for i, t in enumerate(packets["token"][::2])}, 1)
    assert ticks.shape[0] <= packets.shape[0] <= declared_packets(payload)
    assert (ticks["price"] >= 0).all()
    return True


@given(st.binary(max_size=400))
def test_any_bytes(payload: bytes) -> None:
    assert accepts(payload) in (True, False)


@given(bodies)
def test_well_formed_frames_are_accepted(parts: list[bytes]) -> None:
    assert accepts(pack(parts))
    assert decode_frame(pack(parts)).shape[0] == sum(len(b) in LENGTHS for b in parts)


@given(bodies, st.data())
def test_cut_or_lengthened_frames_are_refused(parts: list[bytes], data: st.DataObject) -> None:
    payload = pack(parts)
    cut = data.draw(st.integers(2, max(2, len(payload) - 1)))
    if cut < len(payload):
        assert not accepts(payload[:cut])
    assert not accepts(payload + b"\0")


@given(bodies)
def test_fields_are_what_the_bytes_say(parts: list[bytes]) -> None:
    known = [b for b in parts if len(b) in LENGTHS]
    packets = decode_frame(pack(parts))
    want = np.array([struct.unpack(">2I", b[:8]) for b in known], dtype=np.uint32).reshape(-1, 2)
    assert np.array_equal(np.stack([packets["token"], packets["last_price"]], axis=1), want)
