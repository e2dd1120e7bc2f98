"""Candles of the simulator: a second, slower way to the same numbers, and what is served when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.session import midnight_ns
from intraday.sim.candles import INTERVALS, Candle, History, candles_of, day_candle, longer, minute_candles
from intraday.sim.knobs import CandleKnobs
from intraday.sim.listing import SimInstrument
from intraday.sim.tape import Trade, Trades, open_interest, trading_hours
from sim_cases import BEFORE_AUCTIONS, DAY, HOLIDAY, INFY, NIFTY, SESSIONS, at, row_of, tape_of

TAPE = tape_of()
STOCK, THIN, FUTURE, INDEX = (row_of(TAPE, s) for s in ("INFY", "SYN006", "INFY26SEPFUT", "NIFTY 50"))
LATER = date(2026, 9, 20)


def naive(trades: Sequence[Trade], start_ns: int, end_ns: int) -> Candle | None:
    """The candle of the trades in a span, in the most obvious way."""
    inside = [t for t in trades if start_ns <= t.at_ns < end_ns]
    if not inside:
        return None
    prices = [t.price for t in inside]
    return Candle(start_ns, prices[0], max(prices), min(prices), prices[-1], sum(t.qty for t in inside))


@pytest.mark.parametrize("row", [STOCK, THIN, INDEX], ids=lambda r: r.symbol)
@pytest.mark.parametrize("day", [DAY, BEFORE_AUCTIONS], ids=str)
def test_minutes_are_what_their_trades_say(row: SimInstrument, day: date) -> None:
    trades, session = TAPE.trades(row.token, day), trading_hours(SESSIONS, row, day)
    assert session is not None
    found = candles_of(TAPE, row, day)
    wanted = [naive(trades, t, t + MINUTE_NS) for t in range(session.open_ns, session.close_ns, MINUTE_NS)]
    before = sum(t.qty for t in trades if t.at_ns < session.open_ns)
    assert found[0] == next(c for c in wanted if c)._replace(volume=found[0].volume)
    assert found[0].volume == next(c for c in wanted if c).volume + before
    assert found[1:] == [c for c in wanted if c][1:]


def test_volumes_add_up_to_the_day_but_for_the_auction() -> None:
    trades = TAPE.trades(INFY, DAY)
    print_qty = trades[-1].qty
    assert sum(c.volume for c in candles_of(TAPE, STOCK, DAY)) == sum(trades.qty) - print_qty
    assert sum(c.volume for c in candles_of(TAPE, STOCK, DAY, auction=True)) == sum(trades.qty)


def test_the_auctions_print_is_a_candle_only_if_wanted() -> None:
    usual, more = candles_of(TAPE, STOCK, DAY), candles_of(TAPE, STOCK, DAY, auction=True)
    assert usual[-1].start_ns < at(DAY, "15:15")
    assert more[:-1] == usual
    assert at(DAY, "15:30") <= more[-1].start_ns < at(DAY, "15:35")
    assert candles_of(TAPE, THIN, DAY, auction=True) == candles_of(TAPE, THIN, DAY)


def test_longer_candles_lie_on_the_grid_from_quarter_past_nine() -> None:
    minutes = candles_of(TAPE, STOCK, BEFORE_AUCTIONS)
    for length, starts in ((60, ["09:15", "10:15", "11:15", "12:15", "13:15", "14:15", "15:15"]), (240, ["09:15", "13:15"])):
        found = longer(minutes, length)
        assert [c.start_ns for c in found] == [at(BEFORE_AUCTIONS, text) for text in starts]
        for candle in found:
            part = [c for c in minutes if candle.start_ns <= c.start_ns < candle.start_ns + length * MINUTE_NS]
            assert candle == Candle(
                candle.start_ns, part[0].open, max(c.high for c in part), min(c.low for c in part), part[-1].close,
                sum(c.volume for c in part),
            )  # fmt: skip
    muhurat = candles_of(TAPE, STOCK, date(2024, 11, 1), 60)
    assert [c.start_ns for c in muhurat] == [at(date(2024, 11, 1), "17:15"), at(date(2024, 11, 1), "18:15")]


def test_days_have_all_trades_and_open_with_the_match() -> None:
    trades = TAPE.trades(INFY, DAY)
    found = day_candle(trades, DAY)
    assert found is not None
    assert (found.start_ns, found.open, found.close) == (midnight_ns(DAY), trades[0].price, trades[-1].price)
    assert found == naive(trades, midnight_ns(DAY), midnight_ns(DAY) + 10**15)
    assert day_candle(Trades(), DAY) is None


def test_a_day_without_trades_has_no_candles() -> None:
    assert candles_of(TAPE, STOCK, HOLIDAY) == []
    session = SESSIONS.get(DAY)
    assert minute_candles([], session) == []
    assert minute_candles([Trade(session.open_ns - 1, 100, 5)], session) == []
    assert minute_candles([Trade(session.open_ns - 1, 100, 5), Trade(session.open_ns, 90, 1)], session) == [
        Candle(session.open_ns, 90, 90, 90, 90, 6)
    ]


def test_minutes_of_futures_have_open_interest() -> None:
    found = candles_of(TAPE, FUTURE, DAY)
    assert found and all(c.oi == open_interest(FUTURE, c.start_ns) > 0 for c in found)
    assert found[-1].start_ns > at(DAY, "15:30")
    hour = candles_of(TAPE, FUTURE, DAY, 60)[0]
    assert hour.oi == [c for c in found if c.start_ns < at(DAY, "10:15")][-1].oi


async def served(
    now: str, start: str, end: str, name: str = "minute", knobs: CandleKnobs | None = None, row: SimInstrument = STOCK
) -> list[Candle]:
    history = History(TAPE, knobs or CandleKnobs())
    return await history.candles(row, name, at(DAY, start), at(DAY, end), at(DAY, now))


async def test_both_ends_are_included() -> None:
    found = await served("15:40", "09:15", "09:20", row=INDEX)
    assert [c.start_ns for c in found] == [at(DAY, f"09:{m}") for m in range(15, 21)]
    assert await served("15:40", "09:15:01", "09:15:59", row=INDEX) == []
    assert [c.start_ns for c in await served("15:40", "09:20", "09:31", "5minute", row=INDEX)] == [
        at(DAY, text) for text in ("09:20", "09:25", "09:30")
    ]


async def test_a_closed_minute_is_there_three_seconds_later() -> None:
    minute = at(DAY, "10:00")
    early = [c.start_ns for c in await served("10:01:02", "09:15", "10:30", row=INDEX)]
    assert minute not in early and minute - MINUTE_NS in early
    whole = {c.start_ns: c for c in candles_of(TAPE, INDEX, DAY)}
    published = {c.start_ns: c for c in await served("10:01:03", "09:15", "10:30", row=INDEX)}
    assert published[minute] == whole[minute]


async def test_the_running_minute_is_partial_while_the_one_before_is_not_yet_there() -> None:
    slow = CandleKnobs(publish_delay_s=40)
    whole = {c.start_ns: c for c in candles_of(TAPE, INDEX, DAY)}
    minute = at(DAY, "10:00")
    early = {c.start_ns: c for c in await served("10:01:39", "09:15", "10:30", knobs=slow, row=INDEX)}
    assert minute not in early and early[minute - MINUTE_NS] == whole[minute - MINUTE_NS]
    assert early[minute + MINUTE_NS] == naive(TAPE.trades(NIFTY, DAY), minute + MINUTE_NS, at(DAY, "10:01:39") + 1)
    assert early[minute + MINUTE_NS] != whole[minute + MINUTE_NS]
    published = {c.start_ns: c for c in await served("10:01:40", "09:15", "10:30", knobs=slow, row=INDEX)}
    assert published[minute] == whole[minute]
    assert max(published) == minute + MINUTE_NS


async def test_longer_candles_are_built_of_what_is_there() -> None:
    slow = CandleKnobs(publish_delay_s=40)
    (running,) = await served("10:01:39", "10:00", "10:30", "5minute", slow, INDEX)
    (minute,) = await served("10:01:39", "10:01", "10:30", "minute", slow, INDEX)
    assert running == minute._replace(start_ns=at(DAY, "10:00"))
    (day,) = await served("10:01:39", "00:00", "10:30", "day", slow, INDEX)
    assert day == day_candle([t for t in TAPE.trades(NIFTY, DAY) if t.at_ns <= at(DAY, "10:01:39")], DAY)


async def test_nothing_of_the_future_is_served() -> None:
    found = await served("10:30", "00:00", "23:59")
    assert max(c.start_ns for c in found) <= at(DAY, "10:30")
    assert await served("09:00", "00:00", "23:59") == []
    assert await served("09:00", "10:00", "11:00") == []


async def test_a_longer_delay_hides_more_minutes() -> None:
    found = await served("10:30:10", "09:15", "15:30", knobs=CandleKnobs(publish_delay_s=150), row=INDEX)
    assert [c.start_ns for c in found[-2:]] == [at(DAY, "10:26"), at(DAY, "10:30")]


async def test_a_late_revision_changes_the_volume_a_minute_after_publication() -> None:
    knobs = CandleKnobs(late_revision_share=0.5)
    whole = {c.start_ns: c for c in candles_of(TAPE, STOCK, DAY)}
    found = await served("10:30:00", "09:15", "10:28", knobs=knobs)
    assert [c.start_ns for c in found] == [t for t in whole if t <= at(DAY, "10:28")]
    changed = [c.start_ns for c in found if c != whole[c.start_ns]]
    assert changed == [] or min(changed) >= at(DAY, "10:27")
    revised = 0
    for minute in (c for c in whole if c < at(DAY, "12:00")):
        history = History(TAPE, knobs)
        (young,) = await history.candles(STOCK, "minute", minute, minute, minute + MINUTE_NS + 62 * 10**9)
        (old,) = await history.candles(STOCK, "minute", minute, minute, minute + MINUTE_NS + 63 * 10**9)
        assert old == whole[minute]
        assert young in (old, old._replace(volume=old.volume * 9 // 10))
        revised += young != old
    assert 0.3 < revised / len([c for c in whole if c < at(DAY, "12:00")]) < 0.7


async def test_weeks_are_named_by_their_monday() -> None:
    history = History(TAPE, CandleKnobs())
    now_ns = at(date(2026, 9, 28), "09:00")
    days = await history.candles(STOCK, "day", at(date(2026, 9, 7), "00:00"), at(date(2026, 9, 20), "00:00"), now_ns)
    weeks = await history.candles(STOCK, "week", at(date(2026, 9, 7), "00:00"), at(date(2026, 9, 20), "00:00"), now_ns)
    assert [c.start_ns for c in weeks] == [midnight_ns(date(2026, 9, 7)), midnight_ns(date(2026, 9, 14))]
    assert sum(c.volume for c in weeks) == sum(c.volume for c in days)
    assert weeks[0].close == [c for c in days if c.start_ns < midnight_ns(date(2026, 9, 14))][-1].close
    middle = await history.candles(STOCK, "week", at(date(2026, 9, 9), "00:00"), at(date(2026, 9, 20), "00:00"), now_ns)
    assert middle == weeks[1:]


async def test_days_outside_the_table_and_minutes_before_2015_are_empty() -> None:
    history = History(TAPE, CandleKnobs())
    old = [at(date(2009, 1, 1), "00:00"), at(date(2009, 12, 31), "00:00"), at(DAY, "10:00")]
    assert await history.candles(STOCK, "day", *old) == []
    january = [at(date(2015, 1, 5), "00:00"), at(date(2015, 1, 9), "23:59"), at(DAY, "10:00")]
    assert await history.candles(STOCK, "minute", *january) == []
    assert len(await history.candles(STOCK, "day", *january)) == 5


async def test_a_past_day_is_served_as_it_was_made() -> None:
    history = History(TAPE, CandleKnobs())
    for name, interval in INTERVALS.items():
        if interval.minutes > 0:
            found = await history.candles(THIN, name, at(DAY, "00:00"), at(DAY, "23:59"), at(LATER, "10:00"))
            assert found == candles_of(TAPE, THIN, DAY, interval.minutes), name
