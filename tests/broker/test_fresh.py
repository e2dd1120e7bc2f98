"""Which packets say a price that is as old as they say."""

from __future__ import annotations

import numpy as np
import pytest

from intraday.broker.feed import Fresh
from intraday.domain.arrays import PACKET, PacketKind

EVERY = (PacketKind.LTP, PacketKind.INDEX_QUOTE, PacketKind.INDEX_FULL, PacketKind.QUOTE, PacketKind.FULL)


def packets(*rows):
    """(token, kind, cumulative volume)."""
    out = np.zeros(len(rows), PACKET)
    for i, (token, kind, volume) in enumerate(rows):
        out[i]["token"], out[i]["kind"], out[i]["volume"] = token, kind, volume
    return out


def test_in_full_mode_packets_without_a_time_are_left_out():
    """They come between a subscription and the change of its mode, with a price of any age: it would be a candle of this minute."""
    kept = Fresh(timed=True).of(packets(*((1, kind, 5) for kind in EVERY)))
    assert kept["kind"].tolist() == [PacketKind.INDEX_FULL, PacketKind.FULL]


def test_in_quote_mode_a_price_counts_when_somebody_traded():
    fresh = Fresh(timed=False)
    quote = PacketKind.QUOTE
    first = fresh.of(packets((1, quote, 500), (2, quote, 70), (1, quote, 500), (1, quote, 510)))
    assert first[["token", "volume"]].tolist() == [(1, 510)]
    second = fresh.of(packets((2, quote, 70), (2, quote, 71), (1, quote, 510), (9, PacketKind.INDEX_FULL, 0)))
    assert second[["token", "volume"]].tolist() == [(2, 71), (9, 0)]


def test_in_quote_mode_a_new_day_starts_below_the_old_one():
    fresh = Fresh(timed=False)
    assert len(fresh.of(packets((1, PacketKind.QUOTE, 900)))) == 0  # yesterday's last, shown on connecting
    assert len(fresh.of(packets((1, PacketKind.QUOTE, 30)))) == 1  # today's first trade
    assert len(fresh.of(packets((1, PacketKind.QUOTE, 30)))) == 0


@pytest.mark.parametrize("timed", [True, False])
def test_nothing_stays_nothing(timed: bool):
    assert len(Fresh(timed).of(packets())) == 0
