"""Laws of the whole decision path, real features included: what has been issued stays as it was, whatever comes later."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_cases import HAS_VOLUME, N_INST, engine, feature_set, feed, frozen
from intraday.backtest.recut import recut
from intraday.core.candles import HistoricalAggregator, sort_bars
from intraday.core.features import FeatureCalculator
from intraday.core.panel import panel_of, regular_day
from intraday.domain.arrays import BAR, MINUTE_NS, BarFlag
from intraday.domain.events import CountRejects, Frame, SaveBars, SaveFeatures, SaveSignals, Timer
from intraday.domain.session import SessionTable
from intraday.live.engine import late_bars

SESSIONS = SessionTable.load()
TIMEFRAMES = st.sampled_from([1, 5])
SEEDS = st.integers(0, 2**32 - 1)


def run(events, timeframe):
    it = engine(timeframe)
    return [effect for event in events for effect in it.process(event)]


def features_of(effects):
    return {
        (e.bar_ns, int(i)): x.tobytes() for e in effects if isinstance(e, SaveFeatures) for i, x in zip(e.inst, e.x, strict=True)
    }


@settings(max_examples=40)
@given(SEEDS, TIMEFRAMES)
def test_what_was_issued_is_not_touched_by_what_follows(seed, timeframe):
    """Not even through a shared array."""
    it = engine(timeframe)
    kept, as_issued = [], []
    for event in feed(seed):
        for effect in it.process(event):
            kept.append(effect)
            as_issued.append(frozen(effect))
    assert [frozen(effect) for effect in kept] == as_issued
    assert any(isinstance(effect, SaveSignals) for effect in kept)


@settings(max_examples=40)
@given(SEEDS, TIMEFRAMES, st.integers(1, 29))
def test_another_future_changes_no_past(seed, timeframe, k):
    """The feed up to a timer, then another feed's rest: every effect up to the timer is the same."""
    events, other = feed(seed), feed(seed + 1)
    timers = [i for i, e in enumerate(events) if isinstance(e, Timer)]
    cut = timers[k]
    rest = [e for e in other if e.now_ns > events[cut].now_ns]
    past = [frozen(e) for e in run(events[: cut + 1], timeframe)]
    for whole in (events, [*events[: cut + 1], *rest]):
        assert [frozen(e) for e in run(whole, timeframe)][: len(past)] == past


@settings(max_examples=40)
@given(SEEDS, TIMEFRAMES)
def test_a_late_minute_alters_no_value_already_issued(seed, timeframe):
    """Features are those of the minutes that were on time, each decision bar is issued once, and later bars come later."""
    effects = run(feed(seed, late=0.15), timeframe)
    minutes = np.concatenate([np.zeros(0, BAR), *(e.bars for e in effects if isinstance(e, SaveBars))])
    on_time = sort_bars(minutes[(minutes["flags"] & BarFlag.LATE) == 0])
    panel = panel_of(HistoricalAggregator(N_INST).aggregate(on_time, timeframe), N_INST, timeframe, SESSIONS)
    x = FeatureCalculator(feature_set(timeframe), HAS_VOLUME).batch(panel)
    t, inst = np.nonzero(panel.mask)
    expected = {(int(panel.ts_ns[a]), int(b)): x[a, b].tobytes() for a, b in zip(t, inst, strict=True)}
    issued = [(e.bar_ns, int(i)) for e in effects if isinstance(e, SaveFeatures) for i in e.inst]
    assert len(set(issued)) == len(issued)
    assert [bar_ns for bar_ns, _ in issued] == sorted(bar_ns for bar_ns, _ in issued)
    assert features_of(effects) == expected


def test_the_feeds_above_do_have_late_minutes_and_trades():
    effects = [e for seed in range(20) for e in run(feed(seed, late=0.15), 1)]
    late = sum(len(late_bars(e.bars)) for e in effects if isinstance(e, SaveBars))
    said = {str(s.action) for e in effects if isinstance(e, SaveSignals) for s in e.signals}
    assert late > 20
    assert said == {"BUY", "SELL", "HOLD"}


@settings(max_examples=40)
@given(SEEDS, SEEDS, TIMEFRAMES)
def test_frames_may_be_cut_anywhere(seed, cuts, timeframe):
    events = feed(seed)
    again = [Frame(e.now_ns, e.ticks.copy()) if isinstance(e, Frame) else e for e in events]
    told = list(recut(again, np.random.default_rng(cuts)))
    assert [frozen(e) for e in run(told, timeframe)] == [frozen(e) for e in run(events, timeframe)]


@settings(max_examples=20)
@given(SEEDS, TIMEFRAMES)
def test_what_an_auction_stock_prints_after_its_close_changes_nothing(seed, timeframe):
    """Every effect but the counts of refused ticks is that of a feed in which the instruments 0 and 1 are silent from 15:15 on."""
    session, early = (SESSIONS.get(date(2026, 8, 10), auction=auction) for auction in (False, True))
    hours = regular_day(session, N_INST)
    hours.minutes[:2] = early.minutes
    events = feed(seed, start_ns=early.close_ns - 20 * MINUTE_NS)
    silent = []
    for event in events:
        if isinstance(event, Frame):
            after = (event.ticks["inst"] < 2) & (event.ticks["event_ns"] >= early.close_ns)
            event = Frame(event.now_ns, event.ticks[~after])
        silent.append(event)
    told = []
    for feed_of in (events, silent):
        it = engine(timeframe, session=session, hours=hours)
        effects = [effect for event in feed_of for effect in it.process(event)]
        told.append([frozen(effect) for effect in effects if not isinstance(effect, CountRejects)])
        bars = np.concatenate([np.zeros(0, BAR), *(e.bars for e in effects if isinstance(e, SaveBars))])
        assert (bars["ts_ns"][bars["inst"] < 2] < early.close_ns).all() and (bars["ts_ns"] < session.close_ns).all()
    assert told[0] == told[1]


@pytest.mark.parametrize("timeframe", [1, 5])
def test_a_late_minute_used_for_a_decision_would_be_seen(timeframe):
    """The law above, on a feed whose late minutes count as if they had been on time."""
    seed = next(s for s in range(50) if any(len(late_bars(e.bars)) for e in run(feed(s, late=0.15), 1) if isinstance(e, SaveBars)))
    events = feed(seed, late=0.15)
    on_time = []
    for event in events:
        if isinstance(event, Frame):
            rows = event.ticks.copy()
            rows["recv_ns"] = rows["event_ns"]
            on_time.append(Frame(int(rows["recv_ns"][0]), rows))
        else:
            on_time.append(event)
    on_time.sort(key=lambda e: e.now_ns)
    assert features_of(run(on_time, timeframe)) != features_of(run(events, timeframe))
