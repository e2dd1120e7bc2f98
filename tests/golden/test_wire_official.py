"""A million random packets of every kind and segment decode to what the official Python client makes of them."""

import os
import struct
from datetime import UTC, datetime

import numpy as np
import pytest

from intraday.broker.wire import COLUMNS_FROM, decode_frame
from intraday.domain.arrays import PACKET
from intraday.domain.errors import WireError
from official_packets import (
    LENGTHS,
    SEGMENTS,
    check_alike,
    check_frame,
    frame_of,
    local_zone,
    official,
    random_bodies,
    random_frames,
)

PACKETS = int(os.environ.get("INTRADAY_WIRE_PACKETS", 1_000_000))


@pytest.mark.slow
def test_random_packets() -> None:
    rng, judge = np.random.default_rng(20261122), official()
    with local_zone("Asia/Kolkata"):
        assert sum(check_frame(judge, bodies) for bodies in random_frames(rng, PACKETS)) == PACKETS


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("n", [1, 2, COLUMNS_FROM - 1, COLUMNS_FROM, 300])
def test_every_kind_in_frames_of_every_size(length: int, n: int) -> None:
    with local_zone("Asia/Kolkata"):
        check_frame(official(), random_bodies(np.random.default_rng(n), np.full(n, length)))


def test_every_kind_with_every_segment() -> None:
    frames = random_frames(np.random.default_rng(5), 20_000)
    seen = {(len(body), body[3]) for bodies in frames for body in bodies}
    assert seen == {(length, segment) for length in LENGTHS for segment in SEGMENTS.tolist()}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_the_official_times_are_the_hosts_and_ours_are_not(zone: str) -> None:
    bodies = random_bodies(np.random.default_rng(7), np.full(500, 184))
    with local_zone(zone):
        theirs = official()._parse_binary(frame_of(bodies))
        ours = decode_frame(frame_of(bodies))
        assert [int(tick["exchange_timestamp"].timestamp()) for tick in theirs] == ours["exchange_s"].tolist()
        shown = datetime.fromtimestamp(int(ours["exchange_s"][0]), UTC).replace(tzinfo=None)
        assert (theirs[0]["exchange_timestamp"] == shown) == (zone == "UTC")


def flips(field: str) -> np.ndarray:
    """Rows of a full packet, and the same with one bit of ``field`` changed."""
    rows = decode_frame(frame_of(random_bodies(np.random.default_rng(11), np.full(3, 184)))).copy()
    at, width = (PACKET.fields or {})[field][1], (PACKET.fields or {})[field][0].itemsize
    rows.view(np.uint8).reshape(3, -1)[1, at + width - 1] ^= 1
    return rows


@pytest.mark.parametrize("field", PACKET.names or ())
def test_the_comparison_sees_one_wrong_bit_of_any_field(field: str) -> None:
    bodies = random_bodies(np.random.default_rng(11), np.full(3, 184))
    with local_zone("Asia/Kolkata"):
        theirs = official()._parse_binary(frame_of(bodies))
        check_alike(184, decode_frame(frame_of(bodies)), theirs, bodies)
        with pytest.raises(AssertionError):
            check_alike(184, flips(field), theirs, bodies)


def test_where_the_official_parser_stumbles_ours_refuses() -> None:
    """A count too high raises out of its callback, which closes its link; a cut packet is lost without a word."""
    bodies = random_bodies(np.random.default_rng(13), np.full(3, 184))
    too_many, cut = b"\0\4" + frame_of(bodies)[2:], frame_of(bodies)[:-3]
    with pytest.raises(struct.error):
        official()._parse_binary(too_many)
    assert len(official()._parse_binary(cut)) == 2
    for frame in (too_many, cut):
        with pytest.raises(WireError):
            decode_frame(frame)
