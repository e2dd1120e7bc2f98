"""Another telling of a recording holds the same ticks in the same order, and every other event in its place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intraday.backtest.recut import keep_instruments, recut
from intraday.domain.arrays import BAR, TICK
from intraday.domain.events import Backfilled, Command, Frame, LinkLost, LinkUp, Timer

N_INST = 4


def frame(now_ns, n, rng):
    ticks = np.zeros(n, TICK)
    ticks["event_ns"] = now_ns
    ticks["inst"] = rng.integers(-1, N_INST + 2, n)
    ticks["price"] = rng.integers(1, 10**6, n)
    return Frame(now_ns, ticks)


def backfilled(now_ns, n, rng):
    bars = np.zeros(n, BAR)
    bars["inst"], bars["close"] = rng.integers(0, N_INST, n), rng.random(n)
    return Backfilled(now_ns, bars)


@st.composite
def recordings(draw):
    """Any mixture of events; ``now_ns`` never goes back."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    out = []
    now = 1
    for kind in draw(st.lists(st.integers(0, 9), max_size=30)):
        now += int(rng.integers(0, 3))
        n = int(rng.integers(0, 6))
        others = [Timer(now), LinkLost(now, "x", now), LinkUp(now), Command(now, "pause"), backfilled(now, n, rng)]
        out.append(others[kind] if kind < len(others) else frame(now, n, rng))
    return out


def between(events):
    """The ticks before, between and after the other events; and those events."""
    parts, others = [[]], []
    for event in events:
        if isinstance(event, Frame):
            parts[-1].append(event.ticks)
        else:
            others.append(event)
            parts.append([])
    return [np.concatenate([np.zeros(0, TICK), *part]) for part in parts], others


def copies(events):
    return [Frame(e.now_ns, e.ticks.copy()) if isinstance(e, Frame) else e for e in events]


@given(recordings(), st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 10**6]))
def test_recut_moves_no_tick_across_an_event(events, seed, merge_max):
    before = copies(events)
    told = list(recut(iter(events), np.random.default_rng(seed), merge_max))
    parts, others = between(before)
    again, same = between(told)
    assert [id(e) for e in others] == [id(e) for e in same]
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    times = [e.now_ns for e in told]
    assert times == sorted(times)


def test_recut_really_cuts_elsewhere():
    rng = np.random.default_rng(1)
    events = [frame(k, 5, rng) for k in range(20)]
    lengths = [len(e.ticks) for e in recut(events, rng)]
    assert sum(lengths) == 100
    assert set(lengths) - {5}


@given(recordings(), st.lists(st.integers(0, N_INST - 1), min_size=1, unique=True))
def test_only_the_kept_instruments_stay_under_their_new_numbers(events, chosen):
    keep = np.array(sorted(chosen), np.int64)
    before = copies(events)
    told = list(keep_instruments(iter(events), keep, N_INST))
    assert [type(e) for e in told] == [type(e) for e in before]
    for was, now in zip(before, told, strict=True):
        assert was.now_ns == now.now_ns
        rows = {Frame: "ticks", Backfilled: "bars"}.get(type(was))
        if rows is None:
            assert now is was
            continue
        expected = getattr(was, rows)[np.isin(getattr(was, rows)["inst"], keep)].copy()
        expected["inst"] = np.searchsorted(keep, expected["inst"])
        assert getattr(now, rows).tobytes() == expected.tobytes()


@given(recordings())
def test_the_recording_itself_is_left_alone(events):
    """A journal may be told any number of times, each time from the same arrays."""
    before = copies(events)
    list(recut(events, np.random.default_rng(0)))
    list(keep_instruments(events, np.array([1, 3]), N_INST))
    assert between(before)[0][0].tobytes() == between(events)[0][0].tobytes()
    assert all(np.array_equal(a.ticks, b.ticks) for a, b in zip(before, events, strict=True) if isinstance(a, Frame))
