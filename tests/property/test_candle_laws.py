"""Laws of the candle kernels: how ticks are cut, what else is in the panel and what comes later must not matter."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.backtest.recut import keep_instruments
from intraday.backtest.slowfold import slow_candles
from intraday.core.candles import HistoricalAggregator, LiveAggregator, closes
from intraday.core.panel import regular_day
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.synthetic_ticks import CLEAN
from intraday.domain.arrays import BAR, MINUTE_NS, TICK
from intraday.domain.events import Frame, LinkLost, LinkUp, Timer
from intraday.domain.session import SessionTable
from intraday.live.validate import TickValidator

SESSIONS = SessionTable.load()
DAY = SESSIONS.get(date(2026, 8, 10))
AUCTION = SESSIONS.get(DAY.day, auction=True)  # the hours of instrument 1
GRACE_NS = 1_500_000_000
N_INST = 3


def hours(n):
    """The day of ``n`` instruments, the second of which takes part in the closing auction."""
    day = regular_day(DAY, n)
    day.minutes[1] = AUCTION.minutes
    return day


HOURS = hours(N_INST)


@st.composite
def feeds(draw):
    """A few minutes of a messy feed: events in order of now_ns, stamps around it, every kind of bad tick."""
    n = draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    start = draw(st.sampled_from([DAY.open_ns, AUCTION.close_ns - 4 * MINUTE_NS, DAY.close_ns - 4 * MINUTE_NS]))
    recv = np.sort(start + rng.integers(-5 * 10**9, 5 * MINUTE_NS, n))
    ticks = np.zeros(n, TICK)
    ticks["recv_ns"] = recv
    ticks["event_ns"] = (recv - rng.choice([0, 0, 10**8, 10**9, 3 * 10**9, 70 * 10**9], n)) // 10**9 * 10**9
    odd = rng.random(n)
    ticks["event_ns"][odd < 0.03] = 0
    ticks["event_ns"][(odd >= 0.03) & (odd < 0.06)] -= 86_400 * 10**9
    ticks["event_ns"][(odd >= 0.06) & (odd < 0.09)] += 40 * 10**9
    ticks["inst"] = rng.integers(0, N_INST, n)
    ticks["inst"][odd > 0.98] = N_INST + 4
    ticks["price"] = rng.integers(9_990, 10_010, n)
    ticks["price"][(odd > 0.95) & (odd < 0.97)] = 0
    volume = np.cumsum(rng.integers(0, 50, n)) - rng.choice([0, 0, 0, 200], n)
    glitch = draw(st.sampled_from([0, 4_000_000, 4_000_000_000]))  # from which the instrument must recover
    volume[n // 4 :][: draw(st.sampled_from([1, n]))] += glitch  # or believe it
    ticks["volume"] = np.where(ticks["inst"] == 2, -1, np.maximum(volume, 0))
    ticks["volume"][: draw(st.sampled_from([0, n // 3]))] = -1  # not told yet
    events = [
        Timer(end + GRACE_NS)
        for end in range(DAY.open_ns + MINUTE_NS, DAY.close_ns + 1, MINUTE_NS)
        if abs(end - start) < 7 * MINUTE_NS
    ]
    for _ in range(draw(st.integers(0, 3))):  # the link may go again before the minute it came back in was handed out
        lost = int(recv[rng.integers(0, n)]) + int(rng.choice([0, 30 * 10**9]))
        gone = tuple(range(N_INST))[: int(rng.integers(0, N_INST))]  # of nobody means of everybody
        events += [LinkLost(lost, "test", lost - int(rng.choice([0, 4, 70])) * 10**9, gone), LinkUp(lost + 10**9)]
    frames = [Frame(int(t["recv_ns"]), ticks[i : i + 1]) for i, t in enumerate(ticks)]
    timeline = sorted(events + frames, key=lambda e: e.now_ns)
    return [*timeline, Timer(max(timeline[-1].now_ns, DAY.close_ns) + 10**10)]


def run(events, keep=None, timeframe=5):
    """(minutes and late ones in order of issue, decision bars) as the engine makes them."""
    day = HOURS if keep is None else HOURS._replace(minutes=HOURS.minutes[keep], member=HOURS.member[keep])
    validator, live = TickValidator(DAY, day), LiveAggregator(day, timeframe)
    minutes, decisions = [], []
    for event in events if keep is None else keep_instruments(events, keep, N_INST):
        if isinstance(event, Frame):
            live.fold(validator.check(event.ticks))
        elif isinstance(event, LinkLost):
            live.lose_link(min(event.since_ns, event.now_ns), event.inst)
        elif isinstance(event, Timer):
            end = event.now_ns - GRACE_NS
            boundary = min(end - end % MINUTE_NS, DAY.close_ns)
            if boundary > DAY.open_ns:
                closed = live.close(boundary)
                minutes.append(np.sort(np.concatenate([closed.minutes, closed.late]), order=["ts_ns", "inst", "n_ticks"]))
                decisions.append(closed.decisions)
    return np.concatenate([np.zeros(0, BAR), *minutes]), np.concatenate([np.zeros(0, BAR), *decisions])


def same(a, b):
    """Bit for bit, NaN included."""
    return a.tobytes() == b.tobytes()


def cut(events, seed):
    """The same feed with frames merged and split at random between other events."""
    rng = np.random.default_rng(seed)
    out, held = [], []

    def release():
        if held:
            ticks = np.concatenate([f.ticks for f in held])
            cuts = np.sort(rng.integers(0, len(ticks) + 1, rng.integers(0, 4)))
            out.extend(Frame(held[-1].now_ns, part) for part in np.split(ticks, cuts))
            held.clear()

    for event in events:
        if isinstance(event, Frame):
            held.append(event)
        else:
            release()
            out.append(event)
    release()
    return out


@given(feeds(), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_frames_may_be_cut_anywhere(events, seed):
    """Chunk invariance, bit for bit, candles and decision bars."""
    whole, parts = run(events), run(cut(events, seed))
    assert same(whole[0], parts[0]) and same(whole[1], parts[1])


@given(feeds())
@settings(max_examples=100, deadline=None)
def test_other_instruments_do_not_matter(events):
    """Each instrument alone gives the candles it has among others."""
    whole = run(events)
    for i in range(N_INST):
        alone = run(events, keep=np.array([i]))
        for mine, all_ in zip(alone, whole, strict=True):
            mine = mine.copy()
            mine["inst"] = i
            assert same(mine, all_[all_["inst"] == i])


@given(feeds(), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_the_future_changes_no_past(events, k):
    """Candles handed out by the first k events are a prefix of those of the whole day."""
    part, whole = run(events[:k]), run(events)
    for head, all_ in zip(part, whole, strict=True):
        assert same(head, all_[: len(head)])


@given(feeds())
@settings(max_examples=150, deadline=None)
def test_the_slow_fold_agrees(events):
    """A second, plain-Python statement of the rules gives the same candles."""
    fast = [
        (
            b["ts_ns"],
            b["inst"],
            (b["open"], b["high"], b["low"], b["close"], None if np.isnan(b["volume"]) else b["volume"], b["flags"], b["n_ticks"]),
        )
        for b in run(events)[0]
    ]
    slow = sorted(slow_candles(DAY, closes(HOURS).tolist(), events, GRACE_NS), key=lambda c: (c[0], c[1], c[2][6]))
    assert sorted(fast, key=lambda c: (c[0], c[1], c[2][6])) == slow


@pytest.mark.parametrize("day", [date(2024, 1, 10), date(2024, 3, 2), date(2021, 11, 4), date(2021, 2, 24)])
def test_clean_ticks_fold_to_the_bars_of_the_same_path(day):
    """The synthetic market makes bars without our kernel; folding its clean ticks must give them back, special sessions too."""
    session = SESSIONS.get(day)
    market = SyntheticMarket(SyntheticSpec(instruments=6, seed=3), [session])
    ticks = market.ticks(0, CLEAN)
    validator = TickValidator(session, regular_day(session, 6))
    closed = HistoricalAggregator(6).fold_day(session, regular_day(session, 6), validator.check(ticks), GRACE_NS)
    rejects = validator.take_rejects(0)
    assert rejects is None, list(zip(rejects.reason, rejects.n, strict=True))
    assert len(closed.late) == 0
    expected = market.bars(0)
    for name in BAR.names:
        if name != "flags":
            np.testing.assert_array_equal(closed.minutes[name], expected[name], err_msg=name)


def test_longer_bars_of_a_live_day_equal_those_of_history():
    """Decision bars closed by timers are the bars that HistoricalAggregator makes of the same minutes, for every timeframe."""
    market = SyntheticMarket(SyntheticSpec(instruments=5, seed=4), [DAY])
    ticks = market.ticks(0)
    for timeframe in (1, 5, 15, 60):
        day = hours(5)
        closed = HistoricalAggregator(5).fold_day(DAY, day, TickValidator(DAY, day).check(ticks).copy(), GRACE_NS, timeframe)
        assert same(closed.decisions, HistoricalAggregator(5).aggregate(closed.minutes, timeframe))
        last = {int(i): int(closed.minutes["ts_ns"][closed.minutes["inst"] == i].max()) for i in range(5)}
        assert last == {i: AUCTION.last_minute_ns if i == 1 else DAY.last_minute_ns for i in range(5)}
