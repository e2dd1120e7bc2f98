"""The rules of usable ticks one by one, as docs/sessions.md lists them, and the closing auction on the simulated exchange."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from fault_cases import Nothing
from intraday.core.candles import HistoricalAggregator, LiveAggregator, TickReject, closes
from intraday.core.panel import Lists, day_of, regular_day
from intraday.domain.arrays import MINUTE_NS, TICK, BarFlag
from intraday.domain.events import SaveBars
from intraday.domain.session import Segment, SessionTable
from intraday.live.engine import Engine, EngineSpec
from intraday.live.recorded import frames
from intraday.live.sources import timed_events
from intraday.live.validate import TickValidator
from intraday.sim.listing import synthetic_listing
from intraday.sim.market import SyntheticTape

TABLE = SessionTable.load()
HALTED = TABLE.get(date(2021, 2, 24))
DAY = TABLE.get(date(2024, 1, 10))
ONE = regular_day(DAY, 1)
SECOND = 10**9
GRACE_NS = 1_500_000_000
WITH_AUCTION, BEFORE_AUCTION = date(2026, 9, 15), date(2026, 7, 15)


def feed(start_ns, volumes):
    """One tick a second, received when it was made."""
    rows = np.zeros(len(volumes), TICK)
    rows["event_ns"] = rows["recv_ns"] = start_ns + np.arange(len(volumes)) * SECOND
    rows["price"], rows["volume"] = 10_000, volumes
    return rows


def rejected(session, day, ticks):
    """(the reason of each refused tick by its place in order, the places of the others)."""
    validator = TickValidator(session, day)
    reasons, used = {}, []
    for k in range(len(ticks)):
        if len(validator.check(ticks[k : k + 1])):
            used.append(k)
            assert validator.take_rejects(0) is None
        else:
            found = validator.take_rejects(0)
            assert found.n.sum() == 1
            reasons[k] = found.reason[0]
    return reasons, used


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("event_ns", 0, "zero_time"),
        ("event_ns", -1, "zero_time"),
        ("event_ns", 86_400 * SECOND - 1, "zero_time"),  # 1970-01-01 05:30 IST and all of that day
        ("price", 0, "bad_price"),
        ("price", -5, "bad_price"),
        ("event_ns", DAY.close_ns - 86_400 * SECOND - 1, "other_day"),  # the broker's cached packet of yesterday
        ("event_ns", DAY.open_ns + 86_400 * SECOND, "other_day"),
        ("event_ns", DAY.open_ns - 450 * SECOND, "pre_open"),  # the match at about 09:07:30
        ("event_ns", DAY.open_ns - 1, "pre_open"),
        ("event_ns", DAY.close_ns, "out_of_session"),
        ("event_ns", DAY.close_ns + 400 * SECOND, "out_of_session"),
        ("event_ns", DAY.open_ns + 41 * SECOND + 1, "future"),  # received at 31 s, ten are forgiven
        ("event_ns", DAY.open_ns + 29 * SECOND, "out_of_order"),
        ("volume", 99, "volume_regressed"),
        ("inst", 1, "unknown_instrument"),
        ("inst", -1, "unknown_instrument"),
    ],
)
def test_each_rule_alone(field, value, why):
    ticks = feed(DAY.open_ns + 30 * SECOND, [100, 101, 102])
    ticks[1][field] = value
    if why == "out_of_session":
        ticks["recv_ns"] = np.maximum(ticks["recv_ns"], ticks["event_ns"])
    assert rejected(DAY, ONE, ticks) == ({1: why}, [0, 2])


def test_the_last_tick_again_is_refused_and_the_same_price_later_is_not():
    ticks = feed(DAY.open_ns, [100, 100, 100])
    ticks["event_ns"][1] = ticks["event_ns"][0]
    assert rejected(DAY, ONE, ticks) == ({1: "duplicate"}, [0, 2])


def test_every_reason_has_a_name_and_a_number_of_its_own():
    assert sorted(TickReject) == list(range(1, 14))


def test_a_halt_refuses_ticks():
    """24 February 2021: trading stopped before noon and came back in the afternoon."""
    ((start_ns, end_ns),) = HALTED.pauses
    ticks = feed(0, [1, 2, 3, 4])
    ticks["event_ns"] = ticks["recv_ns"] = np.array([start_ns - SECOND, start_ns, end_ns - SECOND, end_ns])
    assert rejected(HALTED, regular_day(HALTED, 1), ticks) == ({1: "halt", 2: "halt"}, [0, 3])


def test_one_wrong_volume_does_not_silence_the_day():
    """After a glitch that could be a trade nine lower volumes are refused; the tenth that agrees with them is believed."""
    volumes = [100, 4_000_000, *range(101, 131)]
    kept = TickValidator(DAY, ONE).check(feed(DAY.open_ns, volumes))["volume"].tolist()
    assert kept == [100, 4_000_000, *range(110, 131)]


def test_a_volume_that_nobody_can_have_traded_is_refused():
    """One packet of the 32-bit field's largest value; without a rule the minute would be handed out with it, and decided on."""
    volumes = [0, 1_000, 4_294_967_295, 1_001, 100_001_002, 1_003]
    assert rejected(DAY, ONE, feed(DAY.open_ns, volumes)) == ({2: "volume_leapt", 4: "volume_leapt"}, [0, 1, 3, 5])
    day = [30_000_000, 600_000_000, 2_000_000_000]  # of a share that trades so many: each is under twenty times the one before
    assert rejected(DAY, ONE, feed(DAY.open_ns, day)) == ({}, [0, 1, 2])


def test_a_leap_that_ten_ticks_agree_on_is_believed():
    volumes = [100, *range(200_000_000, 200_000_012)]
    kept = TickValidator(DAY, ONE).check(feed(DAY.open_ns, volumes))["volume"].tolist()
    assert kept == [100, 200_000_009, 200_000_010, 200_000_011]


@pytest.mark.parametrize("gap_s", [1, 60])
def test_a_volume_told_late_counts_from_where_it_was_told(gap_s):
    ticks = feed(DAY.open_ns, [-1, 9_000, 9_010])
    ticks["event_ns"] = ticks["recv_ns"] = DAY.open_ns + np.array([1, 1 + gap_s, 2 + gap_s]) * SECOND
    bar = HistoricalAggregator(1).fold_day(DAY, ONE, ticks, GRACE_NS).minutes[-1]
    assert (bar["volume"], bar["flags"]) == (10.0, BarFlag.PARTIAL)


def test_a_few_lower_volumes_change_nothing():
    volumes = [100, 90, 91, 101, 92, 102]
    assert TickValidator(DAY, ONE).check(feed(DAY.open_ns, volumes))["volume"].tolist() == [100, 101, 102]


def test_minutes_without_a_trade_have_no_candle_and_the_first_has_the_pre_opens_volume():
    ticks = feed(DAY.open_ns, [500, 520, 560])
    ticks["event_ns"] = ticks["recv_ns"] = DAY.open_ns + np.array([5, 50, 310]) * SECOND
    closed = HistoricalAggregator(1).fold_day(DAY, ONE, ticks, GRACE_NS)
    expected = [(DAY.open_ns, 520.0, 0), (DAY.open_ns + 5 * MINUTE_NS, 40.0, 0)]
    assert closed.minutes[["ts_ns", "volume", "flags"]].tolist() == expected


@pytest.mark.parametrize("late_s", [1, 2_000])
def test_the_first_minute_of_a_late_start_says_so_and_counts_from_its_own_first_tick(late_s):
    """A start after the open is a loss that began at the open."""
    live = LiveAggregator(ONE, 1)
    live.lose_link(DAY.open_ns)
    ticks = feed(DAY.open_ns + late_s * SECOND, [9_000, 9_010])
    live.fold(ticks)
    (bar,) = live.close(DAY.close_ns).minutes
    assert (bar["volume"], bar["flags"]) == (10.0, BarFlag.PARTIAL)


def tape_ticks(tape, tokens, day):
    """What a broker sends of the simulated trades: one packet a trade, a third of a second later, volume cumulative."""
    parts = []
    for inst, token in enumerate(tokens):
        trades = tape.trades(token, day)
        rows = np.zeros(len(trades), TICK)
        rows["event_ns"] = np.array(trades.at_ns) // SECOND * SECOND
        rows["recv_ns"] = rows["event_ns"] + 300_000_000
        rows["inst"], rows["price"] = inst, trades.price
        rows["volume"] = np.cumsum(trades.qty) if any(trades.qty) else -1
        parts.append(rows)
    merged = np.concatenate(parts)
    return merged[np.argsort(merged["recv_ns"], kind="stable")]


@pytest.fixture(scope="module")
def tape():
    return SyntheticTape(synthetic_listing(6, day=WITH_AUCTION), 7, TABLE, 60.0)


def rows_of(tape, *symbols):
    return [next(row for row in tape.instruments if row.symbol == symbol) for symbol in symbols]


def folded(tape, rows, day, segment=Segment.EQUITY):
    """(one-minute bars by instrument, decision bars of the hour, what was refused of each instrument)."""
    session = TABLE.get(day, segment=segment)
    hours = regular_day(session, len(rows))
    hours.minutes[:] = [TABLE.get(day, row.auction, segment).minutes for row in rows]
    validator = TickValidator(session, hours)
    kept = validator.check(tape_ticks(tape, [row.token for row in rows], day)).copy()
    closed = HistoricalAggregator(len(rows)).fold_day(session, hours, kept, GRACE_NS, 60)
    found = validator.take_rejects(0)
    refused = [sorted({r for r, i in zip(found.reason, found.inst, strict=True) if i == k}) for k in range(len(rows))]
    return [closed.minutes[closed.minutes["inst"] == k] for k in range(len(rows))], closed.decisions, refused, closes(hours)


@pytest.mark.parametrize(("day", "n"), [(BEFORE_AUCTION, 375), (WITH_AUCTION, 360)])
def test_closing_auction_stocks_have_360_minutes_since_its_day(tape, day, n):
    """On the simulated exchange: INFY takes part, SYN006 does not. The auction's one print makes no candle."""
    bars, hourly, refused, _ = folded(tape, rows_of(tape, "INFY", "SYN006"), day)
    open_ns = TABLE.get(day).open_ns
    assert [len(b) for b in bars] == [n, 375]
    assert [(int(b["ts_ns"][-1]) - open_ns) // MINUTE_NS for b in bars] == [n - 1, 374]
    assert (bars[0]["ts_ns"] == open_ns + np.arange(n) * MINUTE_NS).all()
    assert ("auction" in refused[0]) == (n == 360) and "auction" not in refused[1]
    for k, last in enumerate((5 if n == 360 else 6, 6)):  # 14:15-15:15 is whole, 15:15-15:30 is a short last bar
        own = hourly[hourly["inst"] == k]
        assert (own["ts_ns"] == open_ns + np.arange(last + 1) * 60 * MINUTE_NS).all()
        assert own["volume"].sum() == bars[k]["volume"].sum()


def mixed(tape):
    """A closing-auction stock, a stock and a future on one day, as the engine sees it."""
    rows = rows_of(tape, "INFY", "SYN006", "INFY26SEPFUT")
    session = TABLE.get(WITH_AUCTION)
    hours = day_of(session, 3, TABLE, Lists(auction=((0, 0, 1 << 30),), futures=(2,)))
    assert hours.minutes.tolist() == [360.0, 375.0, 385.0]
    return session, hours, tape_ticks(tape, [row.token for row in rows], WITH_AUCTION)


def test_each_instrument_keeps_the_hours_of_its_own_segment(tape):
    """Live: ticks of a future count to 15:40, whoever else is subscribed; history makes the same candles."""
    session, hours, ticks = mixed(tape)
    validator = TickValidator(session, hours)
    kept = validator.check(ticks).copy()
    closed = HistoricalAggregator(3).fold_day(session, hours, kept, GRACE_NS)
    assert np.bincount(closed.minutes["inst"]).tolist() == [360, 375, 385]
    found = validator.take_rejects(0)
    assert "auction" in {r for r, i in zip(found.reason, found.inst, strict=True) if i == 0}
    engine = Engine(session, hours, EngineSpec(5, GRACE_NS, 0), Nothing(), Nothing(), Nothing())
    feed = replace(session, close_ns=TABLE.get(WITH_AUCTION, segment=Segment.DERIVATIVES).close_ns)
    effects = [e for event in timed_events(feed, frames(ticks), GRACE_NS, 1 << 60) for e in engine.process(event)]
    saved = [effect.bars for effect in effects if isinstance(effect, SaveBars)]
    assert np.concatenate(saved).tobytes() == closed.minutes.tobytes()


def test_decision_bars_of_one_slot_come_together(tape):
    """The hour from 15:15 ends at 15:30 for a stock and at 15:40 for a future: features compare them, in history at one row."""
    session, hours, ticks = mixed(tape)
    live = LiveAggregator(hours, 60)
    live.fold(TickValidator(session, hours).check(ticks))
    auction, regular, future = closes(hours).tolist()
    last = auction
    assert [int(b["inst"]) for b in live.close(auction).decisions if b["ts_ns"] == last - 60 * MINUTE_NS] == [0, 1, 2]
    assert len(live.close(regular).decisions) == 0
    assert live.close(future).decisions[["ts_ns", "inst"]].tolist() == [(last, 1), (last, 2)]


def test_futures_trade_on_to_twenty_to_four(tape):
    rows = rows_of(tape, "INFY26SEPFUT")
    bars, _, _, _ = folded(tape, rows, WITH_AUCTION, Segment.DERIVATIVES)
    assert len(bars[0]) == 385 and int(bars[0]["ts_ns"][-1]) == TABLE.get(WITH_AUCTION, segment=Segment.DERIVATIVES).last_minute_ns
