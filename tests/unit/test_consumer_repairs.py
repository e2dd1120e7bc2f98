"""The engine asks for missing minutes; the consumer passes it on, and what comes back is stored as late."""

from __future__ import annotations

import asyncio

import numpy as np

from engine_cases import DAY, engine, frame, minute, tick
from intraday.domain.arrays import BAR, MINUTE_NS, BarFlag
from intraday.domain.events import Backfilled, LinkLost, LinkUp, RequestBackfill, SaveBars, SaveSignals
from intraday.live.consumer import StreamConsumer, since
from intraday.live.queue import TickQueue

S = 10**9


class Feed:
    """A feed that loses its link for a minute and hands back what it was asked for."""

    def __init__(self) -> None:
        self.wanted: list[RequestBackfill] = []
        self.asked = asyncio.Event()

    def request(self, wanted: RequestBackfill) -> None:
        self.wanted.append(wanted)
        self.asked.set()

    async def events(self):
        yield frame(tick(5, 100.0, 10))
        yield LinkLost(DAY.open_ns + 30 * S, "silent", DAY.open_ns + 5 * S)
        yield minute(1)
        yield LinkUp(DAY.open_ns + 70 * S)
        yield minute(2)
        await self.asked.wait()
        bars = np.zeros(1, BAR)
        bars["ts_ns"], bars["open"], bars["high"], bars["low"], bars["close"] = DAY.open_ns, 100.0, 102.0, 99.0, 101.0
        yield Backfilled(DAY.open_ns + 200 * S, bars)


class Kept:
    """Keeps what is written and logged; alerts nobody."""

    def __init__(self) -> None:
        self.effects = []

    def append(self, event) -> None: ...

    async def write(self, effects) -> None:
        self.effects += effects

    def offer(self, alert) -> None: ...

    def offer_signals(self, signals) -> None: ...

    async def run(self) -> None: ...

    def close(self) -> None: ...


def test_missing_minutes_are_asked_for_and_stored_as_late():
    feed, kept = Feed(), Kept()
    consumer = StreamConsumer(TickQueue(100), kept, engine(), kept, kept, feed)
    counts = asyncio.run(consumer.run(feed))
    assert [(w.start_ns, w.end_ns) for w in feed.wanted] == [(DAY.open_ns, DAY.open_ns + 2 * MINUTE_NS)]
    saved = np.concatenate([e.bars for e in kept.effects if isinstance(e, SaveBars)])
    late = saved[saved["flags"] & BarFlag.LATE != 0]
    assert late["high"].tolist() == [102.0]
    assert (counts.n_backfilled, counts.n_late) == (1, 1)


def test_without_anybody_to_ask_the_gap_stays():
    feed, kept = Feed(), Kept()
    feed.asked.set()
    counts = asyncio.run(StreamConsumer(TickQueue(100), kept, engine(), kept, kept).run(feed))
    assert feed.wanted == []
    assert counts.n_backfilled == 1


def test_a_run_answers_for_what_it_saw():
    """Started within the session: nothing that it makes of the minutes before is kept, not even as late."""
    rows = np.zeros(3, BAR)
    rows["ts_ns"] = DAY.open_ns + np.array([0, 0, 1]) * MINUTE_NS
    rows["flags"] = [0, BarFlag.LATE, 0]
    start_ns = DAY.open_ns + MINUTE_NS
    kept = since(SaveBars(rows, 5), start_ns)
    assert isinstance(kept, SaveBars)
    assert kept.bars["ts_ns"].tolist() == [start_ns]
    assert since(SaveBars(rows[:2], 5), start_ns) is None
    assert since(SaveSignals(DAY.open_ns, ()), start_ns) is None
    assert since(SaveSignals(start_ns, ()), start_ns) is not None
    assert since(SaveSignals(DAY.open_ns, ()), 0) is not None


def test_what_was_fetched_of_the_minutes_before_is_kept():
    feed, kept = Feed(), Kept()
    consumer = StreamConsumer(TickQueue(100), kept, engine(), kept, kept, feed, from_ns=DAY.open_ns + MINUTE_NS)
    asyncio.run(consumer.run(feed))
    saved = np.concatenate([e.bars for e in kept.effects if isinstance(e, SaveBars)])
    assert saved["ts_ns"].tolist() == [DAY.open_ns]
    assert (saved["flags"] & BarFlag.LATE != 0).all()
