"""Why a stored candle is not the best one: each cause on a minute made by hand, and none without evidence."""

from datetime import date

import numpy as np
import pytest

from intraday.backtest.corrected import Cause, Evidence, explain_candles, explain_rows, keys_of
from intraday.domain.arrays import BAR, MINUTE_NS, TICK, BarFlag
from intraday.domain.events import Frame, Timer
from intraday.domain.session import SessionTable

SESSION = SessionTable.load().get(date(2024, 1, 10))
T = SESSION.open_ns + 10 * MINUTE_NS  # the minute looked at
BEFORE = T - MINUTE_NS
NAN = float("nan")


def ticks(*rows, start=T, inst=0):
    """(second of the minute, rupees, cumulative volume) in order of arrival."""
    out = np.zeros(len(rows), TICK)
    for k, (second, price, volume) in enumerate(rows):
        out[k] = (start + second * 10**9, T + 10**9 * (60 + k), inst, round(price * 100), volume)
    return out


def bars(*rows):
    """(open time, open, high, low, close, volume, flags)."""
    out = np.zeros(len(rows), BAR)
    for k, (ts_ns, o, h, low, c, volume, *flags) in enumerate(rows):
        out[k] = (ts_ns, 0, flags[0] if flags else 0, o, h, low, c, volume, 1)
    return out


def frames(*parts):
    return [Frame(T + k, part) for k, part in enumerate(parts)] + [Timer(T + 2 * MINUTE_NS)]


def causes(received, stored, best, others=None):
    """Cause by minute."""
    found = explain_candles(SESSION, frames(*received), lambda: np.zeros(0, TICK) if others is None else others, stored, best)
    return {d.ts_ns: d.cause for d in found}


PRIOR = ticks((50, 100, 5), start=BEFORE)
PRIOR_BAR = (BEFORE, 100, 100, 100, 100, 5)


def test_equal_candles_need_no_explanation():
    rows = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25))
    assert causes([PRIOR], rows, rows) == {}
    without = bars((T, 100, 102, 100, 102, NAN))
    assert causes([], without, without.copy()) == {}


def test_ticks_out_of_order():
    received = ticks((1, 100, 10), (3, 102, 30), (2, 99, 20))  # the last one was refused live
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25))
    best = bars(PRIOR_BAR, (T, 100, 102, 99, 102, 25))
    assert causes([PRIOR, received], stored, best) == {T: Cause.ARRIVAL_ORDER}


def test_ticks_that_came_in_order_and_were_refused():
    """Nothing came late: the middle tick's volume contradicted the one before. That is not called arrival order."""
    received = ticks((1, 100, 40), (2, 99, 20), (3, 102, 50))
    received["recv_ns"] = received["event_ns"] + 10**8
    prior = PRIOR.copy()
    prior["recv_ns"] = prior["event_ns"] + 10**8
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 45))
    best = bars(PRIOR_BAR, (T, 100, 102, 99, 102, 45))
    assert causes([prior, received], stored, best) == {T: Cause.REFUSED}


def test_without_the_late_tick_the_order_explains_nothing():
    """The same minute, but the tick that would explain it was never received: the claim falls with its evidence."""
    received = ticks((1, 100, 10), (3, 102, 30))
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25))
    best = bars(PRIOR_BAR, (T, 100, 102, 99, 102, 25))
    assert causes([PRIOR, received], stored, best) == {T: Cause.NOT_RECEIVED}


def test_ticks_of_another_days_recording():
    received, others = ticks((1, 100, 10), (3, 102, 30)), ticks((2, 99, 20))
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25))
    best = bars(PRIOR_BAR, (T, 100, 102, 99, 102, 25))
    assert causes([PRIOR, received], stored, best, others) == {T: Cause.OTHER_RECORDING}
    elsewhere = ticks((2, 99, 20), inst=1)
    assert causes([PRIOR, received], stored, best, elsewhere) == {T: Cause.NOT_RECEIVED}


def test_a_lost_link_is_believed_only_where_the_bar_says_so():
    received = ticks((30, 101, 20), (40, 102, 30))
    best = bars((T, 100, 102, 99, 102, 25))
    cut = bars((T, 101, 102, 101, 102, 10, BarFlag.PARTIAL))
    assert causes([received], cut, best) == {T: Cause.PARTIAL}
    whole = bars((T, 101, 102, 101, 102, 10))
    assert causes([received], whole, best) == {T: Cause.NOT_RECEIVED}


def test_a_minute_nobody_saw():
    assert causes([PRIOR], bars(PRIOR_BAR), bars(PRIOR_BAR, (T, 100, 101, 99, 100, 7))) == {T: Cause.NOT_RECEIVED}


def test_a_volume_no_received_tick_gives():
    received = ticks((1, 100, 10), (3, 102, 30))
    stored, best = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25)), bars(PRIOR_BAR, (T, 100, 102, 100, 102, 26))
    assert causes([PRIOR, received], stored, best) == {T: Cause.NOT_RECEIVED}


def test_the_volume_counts_from_another_tick():
    """The best bars lack the minute before, so theirs counts from this minute's first tick."""
    received = ticks((1, 100, 10), (3, 102, 30))
    stored, best = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25)), bars((T, 100, 102, 100, 102, 20))
    assert causes([PRIOR, received], stored, best)[T] == Cause.VOLUME_BASE


def test_the_volume_counts_from_a_minute_that_differs():
    received = ticks((1, 100, 10), (3, 102, 30))
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25))
    best = bars((BEFORE, 100, 100, 99, 99, 7), (T, 100, 102, 100, 102, 23))
    assert causes([PRIOR, received], stored, best) == {BEFORE: Cause.NOT_RECEIVED, T: Cause.NEIGHBOUR}


def test_a_volume_from_nowhere_is_neither_base_nor_neighbour():
    """Same prices, the minute before missing or different: the volume must still follow from something received."""
    received = ticks((1, 100, 10), (3, 102, 30))
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25))
    alone = bars((T, 100, 102, 100, 102, 123_456_789))
    assert causes([PRIOR, received], stored, alone)[T] == Cause.NOT_RECEIVED
    moved = bars((BEFORE, 100, 100, 99, 99, 7), (T, 100, 102, 100, 102, 777_777))
    assert causes([PRIOR, received], stored, moved)[T] == Cause.NOT_RECEIVED


def test_an_equal_neighbour_explains_no_volume():
    received = ticks((1, 100, 10), (3, 102, 30))
    stored, best = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25)), bars(PRIOR_BAR, (T, 100, 102, 100, 102, 23))
    assert causes([PRIOR, received], stored, best)[T] not in (Cause.NEIGHBOUR, Cause.VOLUME_BASE)


@pytest.mark.parametrize("flags", [0, BarFlag.PARTIAL])
def test_what_no_reading_gives_is_unexplained(flags):
    """Every price and the volume were received, only in another order; a partial bar may have missed ticks."""
    received = ticks((1, 100, 10), (2, 101, 20), (3, 102, 30))
    stored = bars(PRIOR_BAR, (T, 100, 102, 100, 102, 25, flags))
    best = bars(PRIOR_BAR, (T, 102, 102, 100, 100, 25))
    assert causes([PRIOR, received], stored, best) == {T: Cause.PARTIAL if flags else Cause.UNEXPLAINED}


def test_a_stored_candle_whose_ticks_the_best_bars_ignore_is_unexplained():
    received = ticks((1, 100, 10))
    assert causes([received], bars((T, 100, 100, 100, 100, 10)), bars()) == {T: Cause.UNEXPLAINED}


def test_an_index_has_no_volume_to_explain():
    received = ticks((1, 100, -1), (3, 102, -1), (2, 99, -1))
    stored, best = bars((T, 100, 102, 100, 102, NAN)), bars((T, 100, 102, 99, 102, NAN))
    assert causes([received], stored, best) == {T: Cause.ARRIVAL_ORDER}
    swapped = bars((T, 102, 102, 99, 100, NAN))
    assert causes([received], stored, swapped) == {T: Cause.UNEXPLAINED}
    unseen = bars((T, 100, 103, 99, 102, NAN))
    assert causes([received], stored, unseen) == {T: Cause.NOT_RECEIVED}


def test_both_sides_are_reported_as_they_are():
    (found,) = explain_candles(SESSION, frames(PRIOR), lambda: np.zeros(0, TICK), bars(), bars((T, 100, 101, 99, 100, 7)))
    assert (found.ts_ns, found.inst, found.stored, found.best) == (T, 0, None, (100, 101, 99, 100, 7))


def evidence(candles=(), late=(), history=()):
    return Evidence(set(candles), set(late), set(history))


def test_rows_are_explained_by_their_instruments_earlier_minutes():
    bar = SESSION.open_ns + 10 * MINUTE_NS  # a five-minute bar; it ends at T + 5
    rows = {(bar, 0)}
    for minute, explained in ((bar - MINUTE_NS, 1), (bar + 4 * MINUTE_NS, 1), (bar + 5 * MINUTE_NS, 0)):
        found = explain_rows(rows, 9, 5, evidence(candles=[(minute, 0)]), set())
        assert (found.n_rows, sum(found.causes.values()), len(found.unexplained)) == (9, explained, 1 - explained)
    assert explain_rows(rows, 9, 5, evidence(candles=[(bar, 1)]), set()).unexplained == ((bar, 0),)
    assert explain_rows(rows, 9, 5, evidence(late=[(bar, 0)]), set()).causes == {"a candle of the day came late": 1}
    assert explain_rows(rows, 9, 5, evidence(history=[0]), set()).causes == {"earlier days were corrected since": 1}
    assert explain_rows(rows, 9, 5, evidence(), rows).causes == {"its features differ": 1}


def test_rows_that_compare_instruments_are_explained_by_those():
    bar = SESSION.open_ns + 10 * MINUTE_NS
    rows, why = {(bar, 0)}, {"an instrument it is compared with differs": 1}
    for given in (evidence(candles=[(bar + 4 * MINUTE_NS, 1)]), evidence(late=[(bar, 1)]), evidence(history=[1])):
        assert explain_rows(rows, 9, 5, given, set(), rows).causes == why
        assert explain_rows(rows, 9, 5, given, set()).unexplained == ((bar, 0),), "a feature of its own differs"
    for nothing in (evidence(), evidence(candles=[(bar + 5 * MINUTE_NS, 1)])):
        assert explain_rows(rows, 9, 5, nothing, set(), rows).unexplained == ((bar, 0),)


def test_keys():
    assert keys_of(bars(PRIOR_BAR, (T, 1, 1, 1, 1, 1))) == {(BEFORE, 0), (T, 0)}


SEEN = ticks((1, 100, 10), (20, 102, 20), (40, 101, 24))
SEEN_BAR = (T, 100, 102, 100, 101, 19)
LATER = ticks((3, 103, 29), start=T + MINUTE_NS)  # 5 shares since the minute's last packet
LATER_BAR = (T + MINUTE_NS, 103, 103, 103, 103, 5)


@pytest.mark.parametrize(
    "best",
    [
        (T, 101, 102, 100, 101, 19),  # another trade before the first packet, at a price that was seen later
        (T, 100, 102, 100, 102, 22),  # another after the last
        (T, 101, 102, 100, 100, 24),  # both, and all their volume
        (T, 100, 102, 100, 101, 14),  # of the first packet's volume some counts to the minute before
    ],
)
def test_trades_between_two_packets(best):
    """A feed of snapshots shows the last of several trades; every price of the broker's candle was seen at some time."""
    stored = bars(PRIOR_BAR, SEEN_BAR, LATER_BAR)
    assert causes([PRIOR, SEEN, LATER], stored, bars(PRIOR_BAR, best, LATER_BAR))[T] == Cause.NOT_RECEIVED


@pytest.mark.parametrize(
    ("received", "best"),
    [
        ([PRIOR, SEEN, LATER], (T, 100, 101, 100, 101, 19)),  # it lacks the 102 that was traded in the minute
        ([PRIOR, SEEN], (T, 100, 102, 100, 102, 19)),  # nothing was traded after the last packet: it closed at 101
        ([ticks((50, 100, 9), start=BEFORE), SEEN, LATER], (T, 102, 102, 100, 101, 15)),  # one share since: that trade was seen
    ],
)
def test_what_no_trade_between_packets_can_have_made(received, best):
    stored = bars(PRIOR_BAR, SEEN_BAR, LATER_BAR)
    assert causes(received, stored, bars(PRIOR_BAR, best, LATER_BAR))[T] == Cause.UNEXPLAINED
