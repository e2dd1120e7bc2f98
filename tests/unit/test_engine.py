"""The engine, event by event."""

from datetime import date

import numpy as np
import pytest

from engine_cases import DAY, GRACE_NS, engine, frame, frozen, minute, tick
from intraday.core.labels import LabelSpec
from intraday.core.panel import regular_day
from intraday.domain.arrays import BAR, MINUTE_NS, TICK, BarFlag
from intraday.domain.events import (
    Action,
    Alert,
    Backfilled,
    Command,
    CountRejects,
    Frame,
    LinkLost,
    LinkUp,
    RequestBackfill,
    SaveBars,
    SaveFeatures,
    SaveSignals,
    Timer,
)
from intraday.domain.session import SessionTable
from intraday.live.engine import late_bars

OPEN = DAY.open_ns


def kinds(effects):
    return [type(e) for e in effects]


def bars_of(effects):
    return np.concatenate([np.zeros(0, BAR), *(e.bars for e in effects if isinstance(e, SaveBars))])


def test_ticks_say_nothing_until_the_timer():
    it = engine()
    assert it.process(frame(tick(1, 100, 10), tick(30, 101, 20))) == []
    effects = it.process(minute(1))
    assert kinds(effects) == [SaveBars, SaveFeatures, SaveSignals]
    assert effects[0].known_ns == OPEN + MINUTE_NS + GRACE_NS
    assert bars_of(effects)[["ts_ns", "open", "close", "volume", "n_ticks"]].tolist() == [(OPEN, 100.0, 101.0, 20.0, 2)]
    assert effects[1].bar_ns == effects[2].bar_ns == OPEN
    assert it.process(minute(2)) == []


def test_nothing_closes_before_the_grace_has_passed():
    it = engine()
    it.process(frame(tick(1, 100, 10)))
    assert it.process(Timer(OPEN + MINUTE_NS + GRACE_NS - 1)) == []
    assert kinds(it.process(Timer(OPEN + MINUTE_NS + GRACE_NS)))[0] is SaveBars


def test_a_longer_decision_waits_for_its_last_minute():
    it = engine(timeframe=5)
    for k in range(5):
        it.process(frame(tick(60 * k + 5, 100 + k, 10 * k)))
        effects = it.process(minute(k + 1))
        assert kinds(effects) == ([SaveBars] if k < 4 else [SaveBars, SaveFeatures, SaveSignals])
    assert effects[1].bar_ns == OPEN
    assert effects[2].signals[0].price == 104.0


def test_a_timer_that_covers_several_bars_decides_them_in_order():
    it = engine()
    it.process(frame(*(tick(60 * k + 1, 100 + k, 10 * k) for k in range(4))))
    decided = [e.bar_ns for e in it.process(minute(4)) if isinstance(e, SaveFeatures)]
    assert decided == [OPEN + k * MINUTE_NS for k in range(4)]


def test_the_last_minute_closes_at_the_sessions_end():
    it = engine()
    it.process(frame(tick(374 * 60 + 1, 100, 10)))
    effects = it.process(Timer(DAY.close_ns + GRACE_NS + 5 * MINUTE_NS))
    assert bars_of(effects)["ts_ns"].tolist() == [DAY.close_ns - MINUTE_NS]


def test_time_does_not_go_back():
    it = engine()
    it.process(minute(2))
    it.process(Command(OPEN + 2 * MINUTE_NS + GRACE_NS, "same instant"))
    for event in (minute(1), LinkUp(OPEN), Command(0, "x"), Frame(OPEN, np.zeros(0, tick(0, 1).dtype))):
        with pytest.raises(AssertionError, match="back in time"):
            it.process(event)


def test_refused_ticks_are_counted_once_by_reason():
    it = engine()
    it.process(frame(tick(1, 100, 10), tick(2, 0, 11), tick(3, 0, 12), tick(4, 100, 20, inst=77)))
    (rejects,) = (e for e in it.process(minute(1)) if isinstance(e, CountRejects))
    assert sorted(zip(rejects.inst.tolist(), rejects.reason, rejects.n.tolist(), strict=True)) == [
        (0, "bad_price", 2),
        (77, "unknown_instrument", 1),
    ]
    assert not [e for e in it.process(minute(2)) if isinstance(e, CountRejects)]


def test_a_late_minute_is_stored_as_late_and_decides_nothing():
    it = engine()
    it.process(frame(tick(1, 100, 10)))
    it.process(minute(1))
    it.process(frame(tick(20, 100, 10, inst=1, late_s=60)))  # instrument 1 traded in the minute that is closed
    effects = it.process(minute(2))
    assert kinds(effects) == [SaveBars]
    assert bars_of(effects)[["ts_ns", "inst", "flags"]].tolist() == [(OPEN, 1, BarFlag.LATE)]
    assert len(late_bars(bars_of(effects))) == 1


def test_backfilled_bars_are_stored_and_nothing_else_follows():
    it, again = engine(), engine()
    bars = np.zeros(2, BAR)
    bars["ts_ns"], bars["close"] = [OPEN, OPEN + MINUTE_NS], 250.0
    for one in (it, again):
        one.process(frame(tick(1, 100, 10)))
        one.process(minute(1))
    saved, told = it.process(Backfilled(OPEN + 2 * MINUTE_NS, bars))
    assert isinstance(told, Alert) and f"{len(bars)} missed candles" in told.text
    assert isinstance(saved, SaveBars) and saved.known_ns == OPEN + 2 * MINUTE_NS
    assert (saved.bars["flags"] == BarFlag.LATE).all() and (bars["flags"] == 0).all(), "late: nothing decides on them"
    assert (saved.bars["close"] == 250.0).all() and (saved.bars["ts_ns"] == bars["ts_ns"]).all()
    for one in (it, again):  # what is decided later does not know of them
        one.process(frame(tick(130, 101, 20)))
    ours, theirs = it.process(minute(3)), again.process(minute(3))
    assert np.array_equal(ours[1].x, theirs[1].x, equal_nan=True)
    assert frozen(ours[2]) == frozen(theirs[2])


def test_a_lost_link_alerts_and_asks_for_what_was_missed():
    it = engine()
    it.process(frame(tick(61, 100, 10)))
    (lost,) = it.process(LinkLost(OPEN + 90 * 10**9, "silence", OPEN + 62 * 10**9))
    assert isinstance(lost, Alert) and (lost.level, lost.topic) == ("warning", "feed") and "silence" in lost.text
    it.process(LinkLost(OPEN + 130 * 10**9, "still", OPEN + 126 * 10**9))  # the gap begins with the first loss
    request, back = it.process(LinkUp(OPEN + 200 * 10**9))
    assert isinstance(request, RequestBackfill) and isinstance(back, Alert)
    assert (request.start_ns, request.end_ns) == (OPEN + MINUTE_NS, OPEN + 4 * MINUTE_NS)
    assert not request.inst  # everybody
    assert "after 2 min" in back.text and back.level == "info"  # from when it was last heard
    assert it.process(LinkUp(OPEN + 201 * 10**9)) == []


@pytest.mark.parametrize(("seconds", "text"), [(1, "1 s"), (119, "119 s"), (420, "7 min"), (14_487, "4 h 1 min")])
def test_a_loss_is_told_in_a_persons_units(seconds: int, text: str):
    it = engine()
    it.process(LinkLost(OPEN + 10**9, "silence", OPEN + 10**9))
    assert f"feed back after {text};" in it.process(LinkUp(OPEN + (1 + seconds) * 10**9))[1].text


def test_a_part_that_went_before_the_rest_is_asked_for_from_its_own_end():
    it = engine()
    for second in (117, 119, 121):  # of an instrument on a connection that is well
        it.process(frame(tick(second, 100, second, inst=1)))
    it.process(LinkLost(OPEN + 121 * 10**9, "one of two", OPEN + 117 * 10**9))
    it.process(LinkLost(OPEN + 130 * 10**9, "the other", OPEN + 50 * 10**9))  # noticed later, gone earlier
    request, _ = it.process(LinkUp(OPEN + 140 * 10**9))
    assert (request.start_ns, request.end_ns) == (OPEN, OPEN + 3 * MINUTE_NS)


def test_a_minute_that_ended_just_before_the_loss_is_asked_for_too():
    it = engine()
    it.process(LinkLost(OPEN + 66 * 10**9, "its last prices may have been under way", OPEN + 61 * 10**9))
    request, _ = it.process(LinkUp(OPEN + 70 * 10**9))
    assert (request.start_ns, request.end_ns) == (OPEN, OPEN + 2 * MINUTE_NS)


def test_the_minute_in_which_a_part_went_is_partial_though_the_rest_went_on():
    it = engine()
    it.process(frame(tick(116, 100, 10), tick(116, 100, 10, inst=1)))
    it.process(frame(tick(121, 100, 20, inst=1)))
    it.process(LinkLost(OPEN + 121 * 10**9, "one of two", OPEN + 116 * 10**9))
    bars = bars_of(it.process(minute(2)))
    assert bars[bars["inst"] == 0][["ts_ns", "flags"]].tolist() == [(OPEN + MINUTE_NS, BarFlag.PARTIAL)]


@pytest.mark.parametrize("inst", [(), (1, 2)])
def test_a_lost_connection_cuts_only_who_came_over_it(inst: tuple[int, ...]):
    it = engine()
    it.process(frame(tick(1, 100, 1000), tick(1, 100, 1000, inst=1)))
    it.process(minute(1))
    it.process(LinkLost(OPEN + 70 * 10**9, "connection 2 of 3", OPEN + 66 * 10**9, inst))
    request, _ = it.process(LinkUp(OPEN + 72 * 10**9))
    it.process(frame(tick(130, 101, 9000), tick(130, 101, 9000, inst=1)))
    bars = bars_of(it.process(minute(3)))
    cut = (0.0, BarFlag.PARTIAL)
    assert bars[["volume", "flags"]].tolist() == [cut if not inst else (8000.0, 0), cut]
    assert isinstance(request, RequestBackfill) and request.inst == inst


def test_what_is_asked_for_is_of_all_who_were_lost_since():
    it = engine()
    for k, inst in enumerate([(2,), (0, 2)]):
        it.process(LinkLost(OPEN + (70 + k) * 10**9, "a connection", OPEN + 66 * 10**9, inst))
    assert it.process(LinkUp(OPEN + 80 * 10**9))[0].inst == (0, 2)
    it.process(LinkLost(OPEN + 90 * 10**9, "another", OPEN + 86 * 10**9, (1,)))
    assert it.process(LinkUp(OPEN + 95 * 10**9))[0].inst == (1,)


def auction_day():
    """A day with a closing auction of which instrument 0 takes part, and instrument 1 does not."""
    table = SessionTable.load()
    session, early = (table.get(date(2026, 9, 15), auction=auction) for auction in (False, True))
    hours = regular_day(session, 2)
    hours.minutes[0] = early.minutes
    return session, early, hours


def walk(session, first, last, inst):
    """One tick a minute of a random walk, the same for every instrument, received at once."""
    moves = np.random.default_rng(3).integers(-30, 31, 400).cumsum()
    ticks = np.zeros(last - first, TICK)
    ticks["event_ns"] = ticks["recv_ns"] = session.open_ns + (np.arange(first, last) * 60 + 5) * 10**9
    ticks["price"], ticks["volume"] = 10_000 + moves[first:last], np.arange(first, last) * 10
    ticks["inst"] = inst
    return [Frame(int(t["recv_ns"]), ticks[k : k + 1]) for k, t in enumerate(ticks)]


def lived(session, hours, first, last, timeframe=1):
    """Effects of both instruments' walks from one minute to another."""
    it = engine(timeframe, 2, session, hours)
    timers = [Timer(session.open_ns + k * MINUTE_NS + GRACE_NS) for k in range(first + 1, last + 1)]
    told = sorted([*walk(session, first, last, 0), *walk(session, first, last, 1), *timers], key=lambda e: e.now_ns)
    return [effect for event in told for effect in it.process(event)]


def test_auction_stocks_have_their_last_bar_at_a_quarter_past_three():
    session, early, hours = auction_day()
    effects = lived(session, hours, 350, 375, timeframe=5)
    bars = bars_of(effects)
    last = {int(i): int(bars["ts_ns"][bars["inst"] == i].max()) for i in (0, 1)}
    assert last == {0: early.last_minute_ns, 1: session.last_minute_ns}
    decided = {(e.bar_ns, int(i)) for e in effects if isinstance(e, SaveFeatures) for i in e.inst}
    assert {i: max(ns for ns, k in decided if k == i) + 5 * MINUTE_NS for i in (0, 1)} == {0: early.close_ns, 1: session.close_ns}
    rejects = [(int(i), r) for e in effects if isinstance(e, CountRejects) for i, r in zip(e.inst, e.reason, strict=True)]
    assert set(rejects) == {(0, "auction")} and len(rejects) == 15


def test_no_signal_of_an_auction_stock_reaches_into_the_auction():
    """With the same prices and the same hours left to live, one says what the other must not say any more."""
    session, early, hours = auction_day()
    said = {0: [], 1: []}
    for effect in lived(session, hours, 240, 375):
        if isinstance(effect, SaveSignals):
            assert [s.inst for s in effect.signals] == sorted(s.inst for s in effect.signals)
            for signal in effect.signals:
                said[signal.inst].append(signal)
    assert all(s.valid_until_ns <= early.close_ns for s in said[0])
    assert max(s.valid_until_ns for s in said[1]) > early.close_ns
    trades = {i: {s.bar_ns for s in said[i] if s.action is not Action.HOLD} for i in said}
    horizon_ns = LabelSpec(timeframe=1).horizon_min * MINUTE_NS
    assert trades[0] and trades[0] < trades[1]
    assert max(trades[0]) + MINUTE_NS + horizon_ns <= early.square_off_ns < max(trades[1]) + MINUTE_NS + horizon_ns


def test_minutes_around_a_lost_link_say_so():
    it = engine()
    it.process(frame(tick(1, 100, 10)))
    it.process(LinkLost(OPEN + 10 * 10**9, "x", OPEN + 10**9))
    it.process(LinkUp(OPEN + 130 * 10**9))
    it.process(frame(tick(131, 101, 500)))
    bars = bars_of(it.process(minute(3)))
    assert bars[["ts_ns", "flags", "volume"]].tolist() == [
        (OPEN, BarFlag.PARTIAL, 10.0),
        (OPEN + 2 * MINUTE_NS, BarFlag.PARTIAL, 0.0),  # the 490 between may belong to other minutes
    ]
    it.process(frame(tick(185, 101, 510)))
    assert bars_of(it.process(minute(4)))[["flags", "volume"]].tolist() == [(0, 10.0)]


def test_a_command_is_noted():
    assert engine().process(Command(5, "pause", "NSE:INFY")) == [Alert(5, "info", "command", "pause NSE:INFY")]
    assert engine().process(Command(5, "stop"))[0].text == "stop"
