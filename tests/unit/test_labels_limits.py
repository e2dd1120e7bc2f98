"""Circuit limits, halts and the closing auction by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from intraday.core.decision import latest_bar_ns, latest_bars_ns
from intraday.core.fills import Bands, Exit, FillRules, TickSizes, fill_trade
from intraday.core.labels import Barrier, Kind, Labeler, LabelSpec, tally
from intraday.core.panel import Lists, panel_of
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, Labels
from intraday.domain.session import Session, SessionTable

DAY, HALT, AUCTION = date(2026, 1, 6), date(2021, 2, 24), date(2026, 8, 4)
SIGMA = 0.0102 / np.sqrt(12)  # barriers at 98.95 and 101.05, as in test_labels.py
SPEC = LabelSpec()
Row = tuple[float, float, float, float]
FLAT: Row = (100.0, 100.2, 99.8, 100.0)
MISSING: Row = (np.nan,) * 4
TOP: Row = (101.0, 101.0, 101.0, 101.0)
LIMIT_UP = (90.0, 101.0)
TABLE = SessionTable.load()


def bars_of(session: Session, rows: dict[int, Row]) -> Bars:
    made = [(k, rows.get(k, FLAT)) for k in range(session.minutes)]
    pauses = [((a - session.open_ns) // MINUTE_NS, (b - session.open_ns) // MINUTE_NS) for a, b in session.pauses]
    traded = [(k, row) for k, row in made if row[0] == row[0] and not any(a <= k < b for a, b in pauses)]
    return np.array([(session.open_ns + k * MINUTE_NS, 0, 0, *row, 1.0, 1) for k, row in traded], BAR)


def label_at(
    rows: dict[int, Row], decision: int = 0, limits: tuple[float, float] | None = LIMIT_UP, day: date = DAY, spec: LabelSpec = SPEC,
    known: int | None = None, close: float = 100.0,
) -> Labels:  # fmt: skip
    """The label of the decision bar of minutes ``decision .. decision + 4`` after the open."""
    session = TABLE.get(day)
    five = np.array([(session.open_ns + decision * MINUTE_NS, 0, 0, close, close, close, close, 1.0, 1)], BAR)
    bands = None if limits is None else Bands(np.array([session.number], np.int32), *np.array(limits).reshape(2, 1, 1))
    until = None if known is None else session.open_ns + known * MINUTE_NS
    labeler = Labeler(spec, np.array([0.05]), bands=bands)
    minutes, decisions = panel_of(bars_of(session, rows), 1, 1, TABLE), panel_of(five, 1, 5, TABLE)
    return labeler.label(minutes, decisions, np.full((1, 1), SIGMA, np.float32), TABLE, until)


def minute_of(row: Labels, name: str, day: date = DAY) -> int:
    return int((row[name][0] - TABLE.get(day).open_ns) // MINUTE_NS)


@pytest.mark.parametrize(("price", "entered"), [(100.85, False), (100.84, True), (90.15, False), (90.16, True), (101.0, False)])
def test_no_entry_within_three_ticks_of_a_limit(price: float, entered: bool) -> None:
    got = label_at({6: (price, price, price, price)}, close=price)
    assert (got["barrier"][0] & Barrier.SKIPPED == 0) == entered
    if not entered:
        assert (got["label"][0], got["ret_long"][0], got["ret_short"][0], minute_of(got, "t1_ns")) == (0, 0.0, 0.0, 7)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_trade_that_nobody_could_enter_has_no_class(kind: Kind) -> None:
    """Whatever the kind: at the limit by the entry, and rising or falling for an hour after it."""
    for slope in (0.05, -0.05):
        rows = {m: (100.0 + slope * m,) * 4 for m in range(7, 70)} | {6: (101.0,) * 4}
        got = label_at(rows, spec=replace(SPEC, kind=kind), limits=(50.0, 101.0))
        assert Barrier(int(got["barrier"][0])) == Barrier.SKIPPED
        assert (got["label"][0], got["ret_long"][0], got["ret_short"][0], minute_of(got, "t1_ns")) == (0, 0.0, 0.0, 7)
        assert label_at(rows, spec=replace(SPEC, kind=kind), limits=(50.0, 150.0))["label"][0] != 0


def test_how_near_is_a_setting() -> None:
    rows = {6: (100.95,) * 4}
    near = [int(label_at(rows, close=100.95, spec=replace(SPEC, limit_ticks=n))["barrier"][0]) for n in (0, 1)]
    assert [bits & Barrier.SKIPPED for bits in near] == [0, Barrier.SKIPPED]
    assert label_at({6: (101.0,) * 4}, close=100.95, spec=replace(SPEC, limit_ticks=0))["barrier"][0] & Barrier.SKIPPED


def test_unknown_limits_change_nothing() -> None:
    rows = {6: (100.85, 100.9, 100.8, 100.85), 20: (101.0, 101.5, 100.9, 101.2)}
    np.testing.assert_array_equal(label_at(rows, limits=None), label_at(rows, limits=(np.nan, np.nan)))
    other_day = Bands(np.array([TABLE.get(date(2026, 1, 7)).number], np.int32), np.full((1, 1), 90.0), np.full((1, 1), 101.0))
    assert np.isnan(other_day.on(TABLE.get(DAY).number)[1]).all() and other_day.on(TABLE.get(date(2026, 1, 7)).number)[1] == 101.0


def test_a_bar_at_the_limit_fills_nothing() -> None:
    """Barriers at 98.95 and 101.05 around a limit of 101.05: the touch at minute 20 is no fill; the stock comes off it at 23."""
    at, off = (101.05,) * 4, (100.9, 101.0, 100.7, 100.8)
    got = label_at({20: (100.5, 101.05, 100.4, 101.05), 21: at, 22: at, 23: off}, limits=(90.0, 101.05))
    bits = Barrier(int(got["barrier"][0]))
    assert bits == Barrier.LONG_TARGET | Barrier.SHORT_STOP | Barrier.LOCKED and got["label"][0] == 1
    assert got["ret_long"][0] == pytest.approx(0.009) and got["ret_short"][0] == pytest.approx(-0.009)
    assert minute_of(got, "t1_ns") == 24
    free = label_at({20: (100.5, 101.05, 100.4, 101.05), 21: at, 22: at, 23: off}, limits=None)
    assert free["ret_long"][0] == pytest.approx(0.0105) and minute_of(free, "t1_ns") == 21


def test_one_side_can_be_locked_alone() -> None:
    """Both barriers in one bar: the long trade is stopped at 98.95, the short one's stop is the limit and fills nothing."""
    got = label_at({20: (100.0, 101.05, 98.9, 99.5), 21: (99.5, 99.6, 99.4, 99.5)}, limits=(90.0, 101.05))
    assert Barrier(int(got["barrier"][0])) == Barrier.LONG_STOP | Barrier.SHORT_STOP | Barrier.BOTH_IN_BAR | Barrier.LOCKED
    assert (got["ret_long"][0], got["ret_short"][0]) == (pytest.approx(-0.0105), pytest.approx(0.005))


def test_an_open_at_the_limit_fills_nothing_though_the_bar_leaves_it() -> None:
    got = label_at({20: (97.0, 98.0, 97.0, 97.5), 21: (97.6, 97.7, 97.5, 97.6)}, limits=(97.0, 110.0))
    assert got["ret_long"][0] == pytest.approx(-0.024) and Barrier.LOCKED in Barrier(int(got["barrier"][0]))


def test_locked_past_the_horizon_leaves_when_the_stock_does() -> None:
    """At the limit from minute 30 on, some minutes without a trade; the vertical barrier is at 65, the first free open at 90."""
    rows = {k: TOP if k % 9 == 0 else MISSING for k in range(30, 90)}
    rows |= {30: TOP, 90: (100.6, 100.7, 100.5, 100.6)}
    got = label_at(rows)
    bits = Barrier(int(got["barrier"][0]))
    assert bits == Barrier.VERTICAL | Barrier.LOCKED and (got["label"][0], minute_of(got, "t1_ns")) == (0, 91)
    assert got["ret_long"][0] == pytest.approx(0.006) and tally(got)["locked"] == 1
    assert len(label_at(rows, known=90)) == 0 and len(label_at(rows, known=91)) == 1


def test_locked_to_the_end_is_marked_at_the_last_close() -> None:
    got = label_at({k: TOP for k in range(30, 375)})
    assert Barrier(int(got["barrier"][0])) == Barrier.VERTICAL | Barrier.LOCKED
    assert got["ret_long"][0] == pytest.approx(0.01) and minute_of(got, "t1_ns") == 360
    assert len(label_at({k: TOP for k in range(30, 375)}, known=359)) == 0


def test_a_price_beyond_the_limit_shows_that_it_was_moved() -> None:
    got = label_at({20: (100.5, 101.3, 100.4, 101.2)}, limits=(90.0, 101.0))
    assert got["ret_long"][0] == pytest.approx(0.0105) and Barrier.LOCKED not in Barrier(int(got["barrier"][0]))


@pytest.mark.parametrize("side", [1, -1])
def test_fill_trade_knows_limits_too(side: int) -> None:
    session = TABLE.get(DAY)
    at, off = (101.05,) * 4, (100.9, 101.0, 100.7, 100.8)
    bars = bars_of(session, {20: (100.5, 101.05, 100.4, 101.05), 21: at, 23: off, 22: at})
    target, stop = (101.05, 98.95)[::side]
    args = (FillRules(), bars, session, side, session.open_ns + 5 * MINUTE_NS, 60, target, stop)
    fill = fill_trade(*args, limits=(90.0, 101.05))
    assert fill is not None and fill.locked and (fill.exit, fill.how) == (100.9, Exit.TARGET if side > 0 else Exit.STOP)
    near = fill_trade(*args, limits=(90.0, 100.1))
    assert near is not None and near.how is Exit.SKIPPED and near.ret == 0.0


def test_the_halt_of_2021_02_24() -> None:
    """Trading stopped at 11:40 (minute 145) and came back at 15:45 (390); the session ended at 17:00 (465)."""
    assert (TABLE.get(HALT).minutes, TABLE.get(HALT).kind) == (465, "halt")
    before = label_at({}, decision=80, limits=None, day=HALT)  # closed at 85: its hour ends as the halt begins
    assert minute_of(before, "t1_ns", HALT) == 145
    for decision in range(85, 145, 5):  # still open in the halt: nobody knows how they would have come out
        assert len(label_at({}, decision=decision, limits=None, day=HALT)) == 0
    assert len(label_at({140: (100.0, 101.5, 100.0, 101.0)}, decision=100, limits=None, day=HALT)) == 1
    after = label_at({}, decision=390, limits=None, day=HALT)
    assert (minute_of(after, "entry_ns", HALT), minute_of(after, "t1_ns", HALT)) == (396, 450)  # square-off 16:50, five before it


def test_a_short_halt_is_no_short_hole() -> None:
    """Three minutes without a bar are bridged, three minutes of halt are not: who was in the market could not leave."""
    session = TABLE.get(DAY)
    paused = replace(session, pauses=((session.open_ns + 30 * MINUTE_NS, session.open_ns + 33 * MINUTE_NS),))
    bars = bars_of(paused, {})
    args = (FillRules(), bars, session, 1, session.open_ns + 5 * MINUTE_NS, 60, 101.05, 98.95)
    assert fill_trade(*args) is not None
    assert fill_trade(FillRules(), bars, paused, *args[3:]) is None


def auction_labels(day: date, spans: tuple[tuple[int, int, int], ...]) -> Labels:
    """Two stocks with 375 minutes of bars each; what the first has after 15:15 must not matter on its auction days."""
    session = TABLE.get(day)
    rows = np.array([(session.open_ns + k * MINUTE_NS, i, 0, *FLAT, 1.0, 1) for k in range(session.minutes) for i in (0, 1)], BAR)
    five = rows[(rows["ts_ns"] - session.open_ns) // MINUTE_NS % 5 == 0]
    decisions = panel_of(five, 2, 5, TABLE)
    labeler = Labeler(replace(SPEC, square_off_buffer_min=0), np.array([0.05, 0.05]), Lists(auction=spans))
    return labeler.label(panel_of(rows, 2, 1, TABLE), decisions, np.full(decisions.mask.shape, SIGMA, np.float32), TABLE)


def test_no_label_of_an_auction_stock_reaches_past_15_15() -> None:
    number = TABLE.get(AUCTION).number
    got = auction_labels(AUCTION, ((0, number, number + 30),))
    end = {i: int(got["t1_ns"][got["inst"] == i].max() - TABLE.get(AUCTION).open_ns) // MINUTE_NS for i in (0, 1)}
    assert TABLE.get(AUCTION, auction=True).minutes == 360 and end[0] <= 360 and end[1] == 365  # 15:20, the broker's square-off
    for day in (date(2026, 7, 31), date(2026, 9, 30)):  # before the change; a stock that has left the list
        late = auction_labels(day, ((0, number - 400, number + 30),))
        assert late["t1_ns"][late["inst"] == 0].max() == late["t1_ns"][late["inst"] == 1].max()


def test_many_instruments_are_labelled_as_one_is() -> None:
    """More than fit into a core's cache together, some of them auction stocks and so not neighbours."""
    session, n = TABLE.get(AUCTION), 150
    up, down = (100.0, 101.5, 100.0, 101.0), (100.0, 100.1, 98.0, 98.5)
    kinds = [bars_of(session, {20 + j: up, 90 + 2 * j: down}) for j in range(7)]
    every = np.stack([kinds[k % 7] for k in range(n)], axis=1).ravel()
    every["inst"] = np.tile(np.arange(n), session.minutes)
    five = every[(every["ts_ns"] - session.open_ns) // MINUTE_NS % 5 == 0]
    decisions, early = panel_of(five, n, 5, TABLE), {3, 70, 71}
    lists = Lists(auction=tuple((k, session.number, session.number) for k in sorted(early)))
    labeler = Labeler(SPEC, np.full(n, 0.05), lists)
    got = labeler.label(panel_of(every, n, 1, TABLE), decisions, np.full(decisions.mask.shape, SIGMA, np.float32), TABLE)
    assert np.array_equal(np.lexsort((got["inst"], got["ts_ns"])), np.arange(len(got)))
    for k in range(n):
        rows = got[got["inst"] == k]
        rows["inst"] = 0
        np.testing.assert_array_equal(rows, label_alone(kinds[k % 7], session, auction=k in early))


def label_alone(bars: Bars, session: Session, *, auction: bool) -> Labels:
    decisions = panel_of(bars[(bars["ts_ns"] - session.open_ns) // MINUTE_NS % 5 == 0], 1, 5, TABLE)
    lists = Lists(auction=((0, session.number, session.number),) if auction else ())
    sigma = np.full(decisions.mask.shape, SIGMA, np.float32)
    return Labeler(SPEC, np.array([0.05]), lists).label(panel_of(bars, 1, 1, TABLE), decisions, sigma, TABLE)


def test_tick_sizes_are_dated() -> None:
    """A tick of one rupee from the second day on: 1.02 rupees round to a barrier at 102, which nothing reaches."""
    days = [date(2026, 1, 6), date(2026, 1, 7)]
    numbers = [TABLE.get(day).number for day in days]
    sizes = TickSizes(np.array(numbers, np.int32), np.array([[0.05], [1.0]]))
    assert [sizes.on(n)[0] for n in (numbers[0] - 9, *numbers, numbers[1] + 9)] == [0.05, 0.05, 1.0, 1.0]
    bars = np.concatenate([bars_of(TABLE.get(day), {20: (100.0, 101.5, 100.0, 100.0)}) for day in days])
    five = np.array([(TABLE.get(day).open_ns, 0, 0, *FLAT, 1.0, 1) for day in days], BAR)
    panels = panel_of(bars, 1, 1, TABLE), panel_of(five, 1, 5, TABLE)
    got = Labeler(SPEC, sizes).label(*panels, np.full((2, 1), SIGMA, np.float32), TABLE)
    assert got["label"].tolist() == [1, 0]


def test_the_latest_signal_of_an_auction_stock() -> None:
    lists = Lists(auction=((1, TABLE.get(AUCTION).number, TABLE.get(AUCTION).number + 30),))
    for day in (AUCTION, date(2026, 7, 31)):
        got = latest_bars_ns(SPEC, TABLE.get(day), 3, TABLE, lists)
        alone = [latest_bar_ns(SPEC, TABLE.get(day, auction=k == 1 and day == AUCTION)) for k in range(3)]
        assert got.tolist() == alone and (got[1] < got[0]) == (day == AUCTION)


def test_a_muhurat_evening() -> None:
    muhurat = TABLE.get(date(2022, 10, 24))
    assert (muhurat.kind, muhurat.minutes) == ("muhurat", 60)
    got = np.concatenate([label_at({}, decision=d, limits=None, day=muhurat.day) for d in range(0, 60, 5)])
    assert len(got) > 5 and (got["t1_ns"] <= muhurat.square_off_ns - 5 * MINUTE_NS).all()
