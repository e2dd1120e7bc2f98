"""Quotes of the simulator: what each field says, when anything changes, and that thousands of instruments fit."""

from __future__ import annotations

from datetime import date
from time import process_time

import pytest

from intraday.sim.book import QuoteBook
from intraday.sim.listing import SimInstrument
from intraday.sim.market import SyntheticTape
from intraday.sim.snapshot import NO_DEPTH, Quote
from intraday.sim.tape import Trades
from sim_cases import DAY, HOLIDAY, INFY, NIFTY, SESSIONS, at, row_of, tape_of

TAPE = tape_of()
STOCK, THIN, FUTURE, INDEX = (row_of(TAPE, s) for s in ("INFY", "SYN006", "INFY26SEPFUT", "NIFTY 50"))
STEP_NS = 100_000_000
FRIDAY, SATURDAY, MONDAY = date(2026, 9, 11), date(2026, 9, 12), date(2026, 9, 15)


def book_of(day: date = DAY, rate: float = 2.0, tape: SyntheticTape = TAPE) -> QuoteBook:
    return QuoteBook(tape, day, 5, rate)


def quote_at(row: SimInstrument, text: str, day: date = DAY, book: QuoteBook | None = None) -> Quote:
    found = (book or book_of(day)).quote(row.token, at(day, text))
    assert found is not None
    return found


def so_far(row: SimInstrument, text: str, day: date = DAY) -> Trades:
    trades = TAPE.trades(row.token, day)
    return trades[: trades.until(at(day, text))]


def traded(q: Quote) -> tuple[int, ...]:
    """The fields that trades decide."""
    return (
        q.last_price, q.last_qty, q.avg_price, q.volume, q.open, q.high, q.low, q.close, q.last_trade_s, q.oi, q.oi_high, q.oi_low
    )  # fmt: skip


@pytest.mark.parametrize("row", [STOCK, THIN, FUTURE], ids=lambda r: r.symbol)
@pytest.mark.parametrize("text", ["09:10", "11:00", "15:14:59", "15:36", "18:00"])
def test_a_book_opened_at_any_time_has_the_day_so_far(row: SimInstrument, text: str) -> None:
    q, trades = quote_at(row, text), so_far(row, text)
    assert (q.open, q.high, q.low) == (trades[0].price, max(trades.price), min(trades.price))
    assert (q.last_price, q.last_qty, q.last_trade_s) == (trades[-1].price, trades[-1].qty, trades[-1].at_ns // 10**9)
    assert q.volume == sum(trades.qty)
    assert q.avg_price == sum(t.price * t.qty for t in trades) // q.volume
    assert q.close == TAPE.previous_close(row.token, DAY)


@pytest.mark.parametrize("row", [STOCK, FUTURE, INDEX], ids=lambda r: r.symbol)
def test_it_does_not_matter_how_the_book_came_to_a_time(row: SimInstrument) -> None:
    slow = book_of()
    slow.watch([row.token], at(DAY, "08:00"))
    for now_ns in range(at(DAY, "08:59"), at(DAY, "09:40"), 10 * STEP_NS):
        slow.advance(now_ns)
    assert traded(quote_at(row, "09:40", book=slow)) == traded(quote_at(row, "09:40"))


def test_before_the_first_trade_it_is_the_last_sessions() -> None:
    early = quote_at(STOCK, "08:30", DAY)
    yesterday = quote_at(STOCK, "18:00", FRIDAY)  # the Monday is a holiday
    assert SESSIONS.previous(DAY).day == FRIDAY
    assert traded(early) == traded(yesterday)
    assert early.exchange_s == early.last_trade_s < at(DAY, "00:00") // 10**9
    assert early.bids == early.offers == list(NO_DEPTH)
    assert traded(early) == traded(book_of().yesterday(STOCK.token) or Quote(0))
    assert traded(quote_at(STOCK, "12:00", HOLIDAY)) == traded(quote_at(STOCK, "18:00", date(2026, 10, 1)))


def test_before_the_open_orders_move_and_one_match_trades() -> None:
    book = book_of()
    first = quote_at(STOCK, "08:59", book=book)
    assert book.advance(at(DAY, "08:59:59")) == []
    volume, seen = first.volume, set()
    for now_ns in range(at(DAY, "09:00"), at(DAY, "09:08"), STEP_NS):
        if book.advance(now_ns):
            seen.add((first.buy_qty, first.sell_qty))
    assert len(seen) > 500
    assert first.volume == volume and first.close == TAPE.previous_close(INFY, DAY)
    assert first.exchange_s > first.last_trade_s
    for now_ns in range(at(DAY, "09:08"), at(DAY, "09:15"), STEP_NS):
        book.advance(now_ns)
    match = TAPE.trades(INFY, DAY)[0]
    assert traded(first)[:7] == (match.price, match.qty, match.price, match.qty, match.price, match.price, match.price)


def changes(row: SimInstrument, start: str, end: str, rate: float = 2.0) -> list[int]:
    """When the instrument was reported as changed, ns."""
    book = book_of(rate=rate)
    book.watch([row.token], at(DAY, start))
    book.advance(at(DAY, start))
    return [now for now in range(at(DAY, start) + STEP_NS, at(DAY, end), STEP_NS) if book.advance(now)]


def test_a_stock_changes_about_twice_a_second() -> None:
    assert len(changes(THIN, "10:00", "10:05")) == pytest.approx(600, rel=0.05)
    assert len(changes(THIN, "10:00", "10:05", rate=0.5)) == pytest.approx(160, rel=0.15)
    quiet = changes(THIN, "10:00", "10:05", rate=0.0)
    trades = [t for t in TAPE.trades(THIN.token, DAY).at_ns if at(DAY, "10:00") < t <= at(DAY, "10:05") - STEP_NS]
    assert 0 < len(quiet) <= len(trades)


def test_it_is_told_when_it_trades_and_not_before() -> None:
    book = book_of(rate=0.0)
    book.watch([THIN.token], at(DAY, "10:00"))
    trade_ns = next(t for t in TAPE.trades(THIN.token, DAY).at_ns if t > at(DAY, "10:00"))
    assert book.advance(trade_ns - trade_ns % STEP_NS) == []
    assert book.advance(trade_ns - trade_ns % STEP_NS + STEP_NS) == [THIN.token]
    assert book.advance(trade_ns - trade_ns % STEP_NS + STEP_NS) == []


def test_a_quote_read_between_two_steps_is_still_reported() -> None:
    book = book_of(rate=0.0)
    book.watch([THIN.token], at(DAY, "10:00"))
    trade_ns = next(t for t in TAPE.trades(THIN.token, DAY).at_ns if t > at(DAY, "10:00"))
    found = book.quote(THIN.token, trade_ns)
    assert found is not None and found.last_trade_s == trade_ns // 10**9
    assert book.advance(trade_ns) == [THIN.token]


def test_depth_alone_moves_only_the_exchanges_time() -> None:
    book = book_of()
    q = quote_at(THIN, "10:00", book=book)
    moved = 0
    for now_ns in range(at(DAY, "10:00"), at(DAY, "10:02"), STEP_NS):
        before, depth, last_s = traded(q), (tuple(q.bids), tuple(q.offers), q.buy_qty, q.sell_qty), q.exchange_s
        if book.advance(now_ns) and traded(q) == before:
            assert (tuple(q.bids), tuple(q.offers), q.buy_qty, q.sell_qty) != depth
            assert q.exchange_s == now_ns // 10**9 >= last_s
            moved += 1
    assert moved > 100


def test_depth_is_sorted_best_first_and_does_not_cross() -> None:
    book = book_of()
    q = quote_at(STOCK, "09:20", book=book)
    for now_ns in range(at(DAY, "09:20"), at(DAY, "09:30"), STEP_NS):
        book.advance(now_ns)
        bids, offers = [p for _, p, _ in q.bids], [p for _, p, _ in q.offers]
        assert bids == sorted(bids, reverse=True) and offers == sorted(offers) and bids[0] < offers[0]
        assert q.last_price in (bids[0], offers[0]) or q.last_price - bids[0] <= 3 * STOCK.tick_paise
        assert all(qty > 0 and 0 < orders < 65_536 and price % STOCK.tick_paise == 0 for qty, price, orders in q.bids + q.offers)
        assert q.buy_qty > 0 and q.sell_qty > 0


def test_after_the_close_comes_one_packet_with_an_empty_depth() -> None:
    times = changes(THIN, "15:29", "16:30")
    assert len([t for t in times if t >= at(DAY, "15:30:01")]) == 1
    assert at(DAY, "15:30:01") <= times[-1] <= at(DAY, "15:30:03")
    book = book_of()
    q = quote_at(THIN, "15:29", book=book)
    book.advance(at(DAY, "16:00"))
    assert q.bids == q.offers == list(NO_DEPTH) and (q.buy_qty, q.sell_qty) == (0, 0)


@pytest.mark.parametrize("row", [STOCK, THIN, FUTURE], ids=lambda r: r.symbol)
def test_a_book_opened_in_the_evening_is_as_the_close_left_it_and_stays_so(row: SimInstrument) -> None:
    evening, watched = book_of(), book_of()
    q = quote_at(row, "18:00", book=evening)
    for text in ("15:00", "15:30:03", "15:36", "15:41", "17:59"):
        quote_at(row, text, book=watched)
        watched.advance(at(DAY, text))
    assert q.exchange_s == quote_at(row, "18:00", book=watched).exchange_s < at(DAY, "15:41") // 10**9
    assert [*q.bids, *q.offers] == [*NO_DEPTH, *NO_DEPTH]
    assert evening.advance(at(DAY, "18:01")) == []


def test_the_knob_keeps_the_depth_after_the_close() -> None:
    book = book_of()
    book.empty_depth_after_close = False
    q = quote_at(THIN, "15:29:59", book=book)
    for now_ns in range(at(DAY, "15:29:59"), at(DAY, "15:31"), STEP_NS):
        book.advance(now_ns)
    assert q.bids[0][0] > 0


def test_the_closing_auction_is_quiet_then_takes_orders_then_prints() -> None:
    times = changes(STOCK, "15:14", "15:45")
    assert not [t for t in times if at(DAY, "15:15:01") < t < at(DAY, "15:20")]
    assert len([t for t in times if at(DAY, "15:20") <= t < at(DAY, "15:30")]) > 1_000
    late = [t for t in times if t > at(DAY, "15:30:01")]
    print_ns = TAPE.trades(INFY, DAY)[-1].at_ns
    assert len(late) == 2 and print_ns <= late[1] <= print_ns + STEP_NS
    assert quote_at(STOCK, "15:40").volume == sum(TAPE.trades(INFY, DAY).qty)


def test_the_index_has_prices_and_a_time_only() -> None:
    q = quote_at(INDEX, "11:00")
    trades = so_far(INDEX, "11:00")
    assert (q.last_price, q.open, q.high, q.low) == (trades[-1].price, trades[0].price, max(trades.price), min(trades.price))
    assert (q.volume, q.last_qty, q.avg_price, q.last_trade_s, q.oi) == (0, 0, 0, 0, 0)
    assert q.exchange_s == trades[-1].at_ns // 10**9
    assert q.bids == list(NO_DEPTH)
    times = changes(INDEX, "10:00", "10:05")
    assert 100 < len(times) <= 160


def test_open_interest_of_futures_has_the_days_extremes() -> None:
    q = quote_at(FUTURE, "12:00")
    assert 0 < q.oi_low <= q.oi <= q.oi_high
    assert q.oi_low < q.oi_high


def test_unknown_tokens_are_none() -> None:
    book = book_of()
    assert book.quote(1, at(DAY, "10:00")) is None
    assert book.yesterday(1) is None
    book.watch([1], at(DAY, "10:00"))
    assert book.advance(at(DAY, "10:01")) == []


def test_the_book_goes_on_into_the_next_days() -> None:
    book = book_of(FRIDAY)
    q = quote_at(STOCK, "15:00", FRIDAY, book)
    book.advance(at(FRIDAY, "16:00"))
    friday = traded(q)
    assert book.advance(at(SATURDAY, "12:00")) == []
    assert traded(q) == friday and book.day == SATURDAY
    book.advance(at(MONDAY, "08:00"))
    assert traded(q) == friday == traded(book.yesterday(INFY) or Quote(0))
    for now_ns in range(at(MONDAY, "08:59"), at(MONDAY, "09:30"), 10 * STEP_NS):
        book.advance(now_ns)
    assert traded(q) == traded(quote_at(STOCK, "09:29:59", MONDAY))


def test_outside_the_session_table_nothing_trades() -> None:
    last = date(2027, 12, 31)
    book = book_of(last)
    q = quote_at(STOCK, "18:00", last, book)
    kept = traded(q)
    assert book.advance(at(date(2028, 1, 4), "10:00")) == []
    assert traded(q) == kept
    assert book_of(date(2010, 1, 1)).quote(INFY, at(date(2010, 1, 1), "10:00")) == Quote(INFY)


def test_the_same_calls_give_the_same_quotes() -> None:
    def run() -> list[object]:
        book = book_of()
        book.watch([INFY, NIFTY, THIN.token], at(DAY, "10:00"))
        steps = range(at(DAY, "10:00"), at(DAY, "10:00:20"), STEP_NS)
        return [(sorted(book.advance(now_ns)), str(book.quote(INFY, now_ns))) for now_ns in steps]

    assert run() == run()


def test_a_leap_in_time_takes_everything_in_between() -> None:
    book = book_of()
    book.watch([INFY, NIFTY], at(DAY, "09:30"))
    assert set(book.advance(at(DAY, "14:00"))) == {INFY, NIFTY}
    assert traded(quote_at(STOCK, "14:00", book=book)) == traded(quote_at(STOCK, "14:00"))
    assert len(changes(STOCK, "14:00", "14:01")) > 60


def test_three_thousand_instruments_need_a_small_part_of_a_core() -> None:
    tape = tape_of(3_000, rate=0.2)
    tokens = [row.token for row in tape.instruments if row.segment == "NSE"]
    book = QuoteBook(tape, DAY, 5, 2.0)
    book.watch(tokens, at(DAY, "10:00"))
    began, n = process_time(), 0
    for now_ns in range(at(DAY, "10:00"), at(DAY, "10:00:05"), STEP_NS):
        n += len(book.advance(now_ns))
    share = (process_time() - began) / 5
    assert 27_000 < n < 31_000
    assert share < 0.4  # 0.033 measured on a quiet machine; 9 000 have to stay under 0.4
