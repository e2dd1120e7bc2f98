"""Fills of a backtest: at the labels' delay the labels' trades, bit for bit; at any other one what the ticks or the bars allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.backtest.fills import End, FillDesk, Fills, entered
from intraday.backtest.orders import Orders, Sides, orders_of_sides
from intraday.backtest.tape import Tape, tape_of
from intraday.core.fills import Exit, TickSizes, fill_trade
from intraday.core.label_sessions import Traded
from intraday.core.labels import LabelSpec
from intraday.core.panel import NO_LISTS
from intraday.core.trade_ends import side_ends
from intraday.domain.arrays import MINUTE_NS, TICK, Labels, Ticks
from intraday.domain.session import Session
from intraday.model.metrics import take_flat
from property.test_label_laws import DAYS, TABLE, Case, cases, label, make_case, specs, with_limits

RUPEES = 0.05


def desk_of(case: Case, spec: LabelSpec) -> FillDesk:
    return FillDesk(spec, Traded.of(np.full(case.minutes.n_instruments, RUPEES), NO_LISTS, case.bands), case.table)


def orders_of(case: Case, spec: LabelSpec, rows: Labels, side: np.ndarray) -> Orders:
    """An order for each of these labels, of the side given."""
    at = np.searchsorted(case.decisions.ts_ns, rows["ts_ns"])
    close = case.decisions.close[at, rows["inst"]]
    nothing = np.zeros(len(rows))
    given_sides = Sides(rows["ts_ns"], rows["inst"], side.astype(np.int8), close, rows["sigma"], nothing, nothing)
    return orders_of_sides(given_sides, spec, TickSizes(np.zeros(1, np.int32), np.full((1, case.minutes.n_instruments), RUPEES)))


def tape(case: Case, session: Session) -> Tape:
    mine = (case.bars["ts_ns"] >= session.open_ns) & (case.bars["ts_ns"] < session.close_ns)
    return tape_of(session, case.bars[mine], np.arange(case.minutes.n_instruments))


def filled(case: Case, spec: LabelSpec, orders: Orders, delay_s: int, ticks: Ticks | None = None) -> Fills:
    desk, parts = desk_of(case, spec), []
    for day in DAYS:
        session = case.table.get(day)
        own = orders[orders["session"] == session.number]
        parts.append(desk.fill(own, tape(case, session), delay_s, ticks))
    return np.concatenate(parts)


@settings(max_examples=25, deadline=None)
@given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), limited=st.booleans())
def test_at_the_labels_delay_the_labels_trades(case: Case, spec: LabelSpec, seed: int, limited: bool) -> None:
    case = with_limits(case, seed) if limited else case
    rows = label(case, spec)
    side = np.where(np.random.default_rng(seed).random(len(rows)) < 0.5, 1, -1)
    orders = orders_of(case, spec, rows, side)
    assert len(orders) == len(rows)
    fills = filled(case, spec, orders, spec.entry_delay_s)
    np.testing.assert_array_equal(fills["ret"], np.where(side > 0, rows["ret_long"], rows["ret_short"]))
    np.testing.assert_array_equal(fills["entry_ns"], rows["entry_ns"])
    assert not fills["estimated"].any()
    traded = Traded.of(np.full(case.minutes.n_instruments, RUPEES), NO_LISTS, case.bands)
    found = side_ends(case.minutes, case.decisions, case.sigma, spec, traded, case.table)
    long, short = found.long, found.short
    at = np.searchsorted(case.decisions.ts_ns, rows["ts_ns"])
    ends = np.where(side > 0, long[at, rows["inst"]], short[at, rows["inst"]])
    np.testing.assert_array_equal(fills["known_ns"], ends)
    skipped = np.where(side > 0, found.skipped_long[at, rows["inst"]], found.skipped_short[at, rows["inst"]])
    np.testing.assert_array_equal(fills["how"] == Exit.SKIPPED, skipped)
    taken = take_flat(orders["side"], orders["inst"], orders["close_ns"], ends)
    np.testing.assert_array_equal(fills["taken"].astype(bool), taken)


@settings(max_examples=15, deadline=None)
@given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), delay_s=st.sampled_from([0, 60, 120, 180]))
def test_whole_minutes_are_simulated_fills(case: Case, spec: LabelSpec, seed: int, delay_s: int) -> None:
    """Every order by ``core.fills.fill_trade``, the one-trade form of the same rules."""
    rows = label(case, spec)
    side = np.where(np.random.default_rng(seed).random(len(rows)) < 0.5, 1, -1)
    orders = orders_of(case, spec, rows, side)
    fills, rules = filled(case, spec, orders, delay_s), replace(spec.rules, entry_delay_s=delay_s)
    for order, fill in list(zip(orders, fills, strict=True))[::9]:
        session = next(case.table.get(day) for day in DAYS if case.table.get(day).number == order["session"])
        own = case.bars[(case.bars["inst"] == order["inst"]) & (case.bars["ts_ns"] >= session.open_ns)]
        own = own[own["ts_ns"] < session.close_ns]
        one = fill_trade(
            rules, own, session, int(order["side"]), int(order["close_ns"]), spec.horizon_min, order["target"], order["stop"]
        )
        if one is None:
            assert fill["how"] in (End.UNKNOWN, End.MISSED)
        else:
            want = (one.how, one.entry_ns, one.known_ns, one.entry, one.exit, one.ret, one.locked)
            got = (fill[n] for n in ("how", "entry_ns", "known_ns", "entry", "exit", "ret", "locked"))
            assert tuple(got) == want


@settings(max_examples=15, deadline=None)
@given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), delay_s=st.sampled_from([15, 30, 45, 75]))
def test_inside_a_minute_the_price_is_between_two_opens(case: Case, spec: LabelSpec, seed: int, delay_s: int) -> None:
    spec = replace(spec, entry_delay_s=60)
    rows = label(case, spec)
    side = np.where(np.random.default_rng(seed).random(len(rows)) < 0.5, 1, -1)
    orders = orders_of(case, spec, rows, side)
    early, fills, late = (filled(case, spec, orders, s) for s in (delay_s // 60 * 60, delay_s, (delay_s // 60 + 1) * 60))
    due_ns = orders["close_ns"] + delay_s * 10**9
    guessed = fills["estimated"] == 1
    np.testing.assert_array_equal(fills["entry_ns"][guessed], due_ns[guessed])
    both = guessed & (early["entry_ns"] == due_ns - due_ns % MINUTE_NS) & (late["entry_ns"] == early["entry_ns"] + MINUTE_NS)
    part = delay_s % 60 / 60
    want = early["entry"] + part * (late["entry"] - early["entry"])
    np.testing.assert_allclose(fills["entry"][both], want[both], rtol=1e-12)
    won = guessed & (fills["how"] == End.TARGET)
    assert (fills["known_ns"][won] > due_ns[won] - due_ns[won] % MINUTE_NS + MINUTE_NS).all(), "a target in the entry's own minute"
    exact = (fills["how"] == End.TARGET) | (fills["how"] == End.STOP)
    assert (fills["entry_ns"][exact] >= due_ns[exact]).all()


@settings(max_examples=10, deadline=None)
@given(case=cases, seed=st.integers(0, 2**32 - 1), delay_s=st.sampled_from([15, 30, 75]))
def test_ticks_tell_the_price_of_the_entry(case: Case, seed: int, delay_s: int) -> None:
    """Four ticks a minute (open, high, low, close, at 0, 20, 40 and 59 s): the entry is the first of them that is not too early."""
    spec = LabelSpec()
    rows = label(case, spec)
    side = np.where(np.random.default_rng(seed).random(len(rows)) < 0.5, 1, -1)
    orders = orders_of(case, spec, rows, side)
    ticks = np.zeros(4 * len(case.bars), TICK)
    for k, (name, second) in enumerate((("open", 0), ("high", 20), ("low", 40), ("close", 59))):
        ticks["event_ns"][k::4] = case.bars["ts_ns"] + second * 10**9
        ticks["price"][k::4] = np.round(case.bars[name] * 100)
        ticks["inst"][k::4] = case.bars["inst"]
    ticks = ticks[np.argsort(ticks["event_ns"], kind="stable")]
    fills = filled(case, spec, orders, delay_s, ticks)
    assert not fills["estimated"].any()
    tick_ns, name = {15: (20, "high"), 30: (40, "low"), 75: (80, "high")}[delay_s]
    for order, fill in zip(orders[::5], fills[::5], strict=True):
        if fill["entry_ns"] == order["close_ns"] + delay_s * 10**9:
            minute_ns = order["close_ns"] + delay_s // 60 * MINUTE_NS
            own = case.bars[(case.bars["inst"] == order["inst"]) & (case.bars["ts_ns"] == minute_ns)]
            assert fill["entry"] == own[name][0], tick_ns


@settings(max_examples=10, deadline=None)
@given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), delay_s=st.sampled_from([0, 15, 60]))
def test_nothing_depends_on_the_other_orders_or_on_what_ran_before(case: Case, spec: LabelSpec, seed: int, delay_s: int) -> None:
    rows = label(case, spec)
    rng = np.random.default_rng(seed)
    orders = orders_of(case, spec, rows, np.where(rng.random(len(rows)) < 0.5, 1, -1))
    whole, keep = filled(case, spec, orders, delay_s), rng.random(len(orders)) < 0.3
    part = filled(case, spec, orders[keep], delay_s)
    names = [name for name in whole.dtype.names or () if name != "taken"]
    assert all(part[name].tobytes() == whole[keep][name].tobytes() for name in names)
    day = case.table.get(DAYS[0])
    one, desk = tape(case, day), desk_of(case, spec)
    own, before = orders[orders["session"] == day.number], one.grid.copy()
    first = desk.fill(own, one, delay_s)
    desk.fill(own, one, 30)
    np.testing.assert_array_equal(one.grid, before)
    assert desk.fill(own, one, delay_s).tobytes() == first.tobytes()


@pytest.mark.parametrize("delay_s", [0, 15, 60, 120])
def test_no_orders_no_fills(delay_s: int) -> None:
    session = DAYS[0]
    case = make_case(1, 3, 0.0, 5, 5)
    one = tape(case, TABLE.get(session))
    nothing = orders_of(case, LabelSpec(), label(case, LabelSpec())[:0], np.zeros(0))
    assert len(desk_of(case, LabelSpec()).fill(nothing, one, delay_s)) == 0 and not entered(np.zeros(0, [("how", "i1")])).any()
