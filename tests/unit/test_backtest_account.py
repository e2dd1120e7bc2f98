"""The account by hand: a few orders, their fills, and what limits, slippage, charges and the broker make of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from intraday.backtest.account import AccountSpec, Market, Status, run_account, traded
from intraday.backtest.fills import FILL, End, Fills
from intraday.backtest.orders import ORDER, Orders, Sides, orders_of_sides
from intraday.backtest.run import Filled
from intraday.backtest.slippage import Model, Slippage, slip
from intraday.backtest.tables import account_row, by_hour, chase_row, cost_rows, day_rows, delay_rows, path_of_fills, slippage_rows
from intraday.backtest.tape import estimated_spread, tape_of
from intraday.core.costs import Costs
from intraday.core.fills import TickSizes
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import BAR, MINUTE_NS
from intraday.domain.instruments import Kind
from intraday.domain.session import SessionTable
from intraday.model.metrics import Interval

TABLE, COSTS = SessionTable.load(), Costs.load()
DAY = TABLE.get(date(2024, 1, 10))
NEXT = TABLE.get(date(2024, 1, 11))
LAST_NS = DAY.square_off_ns - 5 * MINUTE_NS
NO_SLIP = AccountSpec(capital=100_000.0, notional=50_000.0, risk_share=1.0, slippage=Slippage(Model.NONE))


def market(n: int = 3, tick: float = 0.05, gate: Any = None) -> Market:
    return Market((Kind.EQUITY,) * n, lots(1, n), lambda number: np.full(n, tick), lambda number, inst: LAST_NS, gate)


def lots(each: int, n: int = 3) -> Any:
    return lambda number: np.full(n, each)


def order(minute: int, inst: int, side: int, close: float = 100.0, **more: Any) -> dict[str, Any]:
    """A decision whose bar closes ``minute`` minutes after the open."""
    close_ns = DAY.open_ns + minute * MINUTE_NS
    given = {
        "ts_ns": close_ns - 5 * MINUTE_NS, "close_ns": close_ns, "session": DAY.number, "inst": inst, "side": side, "close": close,
        "sigma": 0.001, "target": close * (1 + 0.01 * side), "stop": close * (1 - 0.01 * side), "expected": np.nan, "cost": 0.001,
        "quantity": -1, "chase": np.nan,
    }  # fmt: skip
    return given | more


def fill(minute: int, until: int, entry: float, left: float, side: int, how: End = End.TARGET, **more: Any) -> dict[str, Any]:
    """Entered at the open of a minute, known to be over at another."""
    given = {
        "how": how, "entry_ns": DAY.open_ns + minute * MINUTE_NS, "known_ns": DAY.open_ns + until * MINUTE_NS, "entry": entry,
        "exit": left, "ret": side * (left / entry - 1.0), "entry_volume": 1e6, "exit_volume": 1e6, "spread": 0.0, "taken": 1,
    }  # fmt: skip
    return given | more


def rows(dtype: Any, given: list[dict[str, Any]]) -> Any:
    out = np.zeros(len(given), dtype)
    for k, row in enumerate(given):
        for name, value in row.items():
            out[name][k] = value
    return out


def two(**spec: Any) -> tuple[Orders, Fills]:
    """A buy of 0 at 100 that makes 2 rupees, and a short of 1 at 200 that loses 1."""
    orders = rows(ORDER, [order(10, 0, 1), order(10, 1, -1, 200.0)])
    return orders, rows(FILL, [fill(11, 20, 100.0, 102.0, 1), fill(11, 30, 200.0, 201.0, -1, End.STOP)])


def test_shares_money_and_charges_by_hand() -> None:
    orders, fills = two()
    trades = run_account(NO_SLIP, market(), COSTS, orders, fills)
    assert trades["quantity"].tolist() == [500, 250] and trades["value"].tolist() == [50_000.0, 50_000.0]
    assert trades["gross"].tolist() == [1000.0, -250.0] and not trades["slippage"].any() and not trades["fee"].any()
    long = COSTS.round_trip(DAY.day, 50_000.0, 51_000.0).total
    short = COSTS.round_trip(DAY.day, 50_250.0, 50_000.0).total  # bought back for more than it was sold for
    assert trades["charges"].tolist() == pytest.approx([long, short])
    np.testing.assert_allclose(trades["net"], [1000.0 - long, -250.0 - short])
    now = [COSTS.round_trip(date.max, 50_000.0, 51_000.0).total, COSTS.round_trip(date.max, 50_250.0, 50_000.0).total]
    assert trades["charges_today"].tolist() == pytest.approx(now) and now != pytest.approx([long, short])


def test_the_size_is_what_the_stop_may_lose() -> None:
    """0.1 % of a lakh is 100 rupees; the stop is 1 rupee away and the round trip 10 paise: 90 shares."""
    orders, fills = two()
    trades = run_account(replace(NO_SLIP, risk_share=0.001), market(), COSTS, orders, fills)
    assert trades["quantity"].tolist() == [90, 45]
    suggested = orders.copy()
    suggested["quantity"] = 7
    assert run_account(NO_SLIP, market(), COSTS, suggested, fills)["quantity"].tolist() == [7, 7]


def test_what_live_sizes_at_nothing_is_not_traded() -> None:
    orders, fills = two()
    orders["quantity"] = [0, -1]
    trades = run_account(NO_SLIP, market(), COSTS, orders, fills)
    assert trades["quantity"].tolist() == [0, 250] and trades["status"].tolist() == [Status.SHARES, Status.TRADED]


def test_an_index_without_a_future_stays_out_of_the_account() -> None:
    orders, fills = two()
    for quantity in (-1, 0):  # the account's size, and what live suggests
        orders["quantity"][0] = quantity
        trades = run_account(NO_SLIP, replace(market(), lots=lambda number: np.array([0, 1, 1])), COSTS, orders, fills)
        assert trades["status"].tolist() == [Status.DIRECTION, Status.TRADED] and trades["net"][0] == 0.0


def test_orders_that_nobody_sized_say_so() -> None:
    one = np.ones(1)
    sides = Sides(one.astype(np.int64), np.zeros(1, np.int32), one.astype(np.int8), 100 * one, 0.001 * one, 0.001 * one, 0.01 * one)
    orders = orders_of_sides(sides, LabelSpec(), TickSizes(np.zeros(1, np.int32), np.full((1, 1), 0.05)))
    assert orders["quantity"].tolist() == [-1]


def test_lots_are_whole_and_without_a_stop_the_notional_counts() -> None:
    orders, fills = two()
    orders["target"], orders["stop"] = [np.inf, -np.inf], [-np.inf, np.inf]
    trades = run_account(NO_SLIP, replace(market(), lots=lambda number: np.array([75, 300, 1])), COSTS, orders, fills)
    assert trades["quantity"].tolist() == [450, 0]
    assert trades["status"].tolist() == [Status.TRADED, Status.SHARES]


@pytest.mark.parametrize(
    ("change", "statuses"),
    [
        ({"positions": 1}, [Status.TRADED, Status.POSITIONS]),
        ({"exposure": 0.5}, [Status.TRADED, Status.EXPOSURE]),
        ({"exposure": 0.0001, "per_instrument": 20.0}, [Status.EXPOSURE, Status.EXPOSURE]),
    ],
)
def test_limits_refuse(change: dict[str, float], statuses: list[Status]) -> None:
    orders, fills = two()
    assert run_account(replace(NO_SLIP, **change), market(), COSTS, orders, fills)["status"].tolist() == statuses


def test_what_expects_more_comes_first() -> None:
    orders, fills = two()
    orders["expected"] = [0.001, 0.002]
    trades = run_account(replace(NO_SLIP, positions=1), market(), COSTS, orders, fills)
    assert trades["status"].tolist() == [Status.POSITIONS, Status.TRADED]


def test_room_is_free_when_the_end_is_known_not_a_moment_earlier() -> None:
    for start, want in ((19, Status.POSITIONS), (20, Status.TRADED)):
        orders = rows(ORDER, [order(10, 0, 1), order(start - 1, 1, 1)])
        fills = rows(FILL, [fill(11, 20, 100.0, 102.0, 1), fill(start, 40, 100.0, 99.0, 1, End.STOP)])
        trades = run_account(replace(NO_SLIP, positions=1), market(), COSTS, orders, fills)
        assert trades["status"].tolist() == [Status.TRADED, want]


def test_a_limit_of_exposure_lets_a_part_through_and_says_so() -> None:
    orders, fills = two()
    trades = run_account(replace(NO_SLIP, exposure=0.8, per_instrument=0.4), market(), COSTS, orders, fills)
    assert trades["quantity"].tolist() == [400, 200] and trades["reduced"].tolist() == [1, 1]


def test_limits_and_volume_break_no_lot() -> None:
    """0.8 of a lakh in all and 0.4 for one is room for 400 shares at 100 rupees and 200 at 200."""
    orders, fills = two()
    tight = replace(NO_SLIP, exposure=0.8, per_instrument=0.4)
    for lot, left in ((150, [300, 150]), (250, [250, 0])):
        trades = run_account(tight, replace(market(), lots=lots(lot)), COSTS, orders, fills)
        assert trades["quantity"].tolist() == left
    assert trades["status"].tolist() == [Status.TRADED, Status.EXPOSURE]
    fills["entry_volume"] = [2_400.0, 1_400.0]  # a tenth of it: 240 and 140 shares
    thin = replace(NO_SLIP, slippage=Slippage(Model.VOLUME, spread_share=0.0, impact_bps=0.0, most_share=0.1))
    trades = run_account(thin, replace(market(), lots=lots(150)), COSTS, orders, fills)
    assert trades["quantity"].tolist() == [150, 0] and trades["status"].tolist() == [Status.TRADED, Status.VOLUME]


def test_what_was_not_entered_costs_nothing_and_has_its_reason() -> None:
    hows = [End.SKIPPED, End.MISSED, End.UNKNOWN, End.TARGET]
    orders = rows(ORDER, [order(10 + k, k, 1) for k in range(4)])
    fills = rows(FILL, [fill(11, 20, 100.0, 101.0, 1, how, taken=int(how is not End.TARGET)) for how in hows])
    trades = run_account(NO_SLIP, market(4), COSTS, orders, fills)
    assert trades["status"].tolist() == [Status.SKIPPED, Status.MISSED, Status.UNKNOWN, Status.OPEN]
    assert not trades["net"].any() and not traded(trades).any()


def test_who_may_not_be_sold_short_is_not() -> None:
    orders, fills = two()
    nobody = (np.ones(3, np.bool_), np.zeros(3, np.bool_))
    trades = run_account(NO_SLIP, market(gate=lambda number: nobody), COSTS, orders, fills)
    assert trades["status"].tolist() == [Status.TRADED, Status.UNTRADABLE]


def test_a_position_that_is_locked_to_the_end_is_squared_off_for_a_fee() -> None:
    last = (LAST_NS - DAY.open_ns) // MINUTE_NS
    orders = rows(ORDER, [order(10, 0, 1), order(10, 1, 1)])
    fills = rows(FILL, [fill(11, last, 100.0, 95.0, 1, End.TIME, locked=1), fill(11, last, 100.0, 95.0, 1, End.TIME)])
    trades = run_account(NO_SLIP, market(), COSTS, orders, fills)
    fee = COSTS.square_off_fee(DAY.day)
    assert fee == pytest.approx(59.0) and trades["forced"].tolist() == [1, 0] and trades["fee"].tolist() == [fee, 0.0]
    assert trades["net"][1] - trades["net"][0] == pytest.approx(fee)


def test_without_capital_nothing_more_is_traded() -> None:
    orders = rows(ORDER, [order(10, 0, 1), order(15, 1, 1), order(40, 2, 1)])
    lost = fill(11, 20, 100.0, 10.0, 1, End.STOP)
    fills = rows(FILL, [lost, fill(16, 50, 100.0, 101.0, 1), fill(41, 60, 100.0, 101.0, 1)])
    trades = run_account(replace(NO_SLIP, capital=40_000.0, exposure=20.0, per_instrument=20.0), market(), COSTS, orders, fills)
    assert trades["status"].tolist() == [Status.TRADED, Status.TRADED, Status.BROKE], "what was open before stays"
    assert trades["net"][2] == 0.0


def test_slippage_by_hand() -> None:
    orders, fills = two()
    fills["spread"], fills["entry_volume"], fills["exit_volume"] = [0.002, 0.0], [400.0, np.nan], [10_000.0, np.nan]
    wanted, ticks, whole = np.array([100, 100]), np.full(2, 0.05), np.ones(2, np.int64)

    def prices(slippage: Slippage) -> tuple[list[int], list[float], list[float]]:
        found = slip(slippage, orders, fills, wanted, ticks, whole)
        return found.quantity.tolist(), found.entry.tolist(), found.exit.tolist()

    assert prices(Slippage(Model.NONE)) == ([100, 100], [100.0, 200.0], [102.0, 201.0])
    quantity, entry, left = prices(Slippage(Model.FIXED, bps=10.0))
    np.testing.assert_allclose([entry, left], [[100.1, 199.8], [101.898, 201.201]])
    quantity, entry, left = prices(Slippage(Model.SPREAD, spread_share=0.5))  # of 1: at least a tick of 0.05 / 200
    np.testing.assert_allclose([entry, left], [[100.1, 200 - 0.025], [102 * 0.999, 201 * (1 + 0.000125)]])
    quantity, entry, left = prices(Slippage(Model.VOLUME, spread_share=0.0, impact_bps=10.0, most_share=0.1))
    assert quantity == [40, 100], "a tenth of 400; unknown volume limits nothing"
    np.testing.assert_allclose(entry, [100 * (1 + 0.001 * np.sqrt(0.1)), 200.0])
    np.testing.assert_allclose(left, [102 * (1 - 0.001 * np.sqrt(40 / 10_000)), 201.0])


def test_slippage_costs_the_account_what_it_says() -> None:
    orders, fills = two()
    spec = replace(NO_SLIP, slippage=Slippage(Model.FIXED, bps=10.0))
    trades = run_account(spec, market(), COSTS, orders, fills)
    np.testing.assert_allclose(trades["slippage"], [500 * 0.202, 250 * 0.401])
    np.testing.assert_allclose(trades["net"], trades["gross"] - trades["slippage"] - trades["charges"])


def test_tables_by_hand() -> None:
    orders, fills = two()
    orders, fills = np.concatenate([orders, orders]), np.concatenate([fills, fills])
    fills["taken"][2:], sessions = 0, np.array([DAY.number, NEXT.number], np.int32)
    filled = Filled(orders, {60: fills})
    trades = run_account(NO_SLIP, market(), COSTS, orders, fills)

    def mean(values: Any) -> Interval:
        return Interval(float(values.mean()), 0.0, 0.0)

    (row,) = delay_rows(filled, sessions, mean)
    assert (row.name, row.trades, row.overlapping, row.hit) == ("60 s", 2, 2, 0.5)
    assert (row.gross, row.cost, row.net) == pytest.approx((75.0, 10.0, 65.0)) and row.session.mean == pytest.approx(65.0)
    path = path_of_fills(orders, fills, sessions)
    assert path.trades.tolist() == [2, 0] and path.net.tolist() == pytest.approx([0.013, 0.0])
    plain, fixed = slippage_rows(
        filled, 60, [Slippage(Model.NONE), Slippage(Model.FIXED, bps=1.0)], 50_000.0, market(), sessions, mean
    )
    assert (plain.gross, plain.cost, plain.net) == (row.gross, row.cost, row.net) and fixed.cost == pytest.approx(12.0, abs=0.03)
    days = day_rows(orders, trades, path, NO_SLIP.capital)
    net = float(trades["net"].sum())
    assert [d.day for d in days] == ["2024-01-10", "2024-01-11"] and days[0].equity == days[1].equity == 100_000.0 + net
    assert [d.net_bps for d in days] == pytest.approx([130.0, 0.0]) and days[0].gross_bps == pytest.approx(150.0)
    account = account_row(orders, fills, trades, days, NO_SLIP.capital, TABLE, sessions)
    assert (account.trades, account.refused, account.positions_peak) == (2, (("open", 2),), 2)
    assert account.exposure_peak == 100_000.0 and account.exposure == pytest.approx(50_000 * (9 + 19) / 750)
    assert account.turnover == 50_000 + 51_000 + 50_000 + 50_250 and account.drawdown == 0.0
    parts = cost_rows(orders, trades, market(), COSTS)
    assert sum(c.dated for c in parts) == pytest.approx(account.charges)
    assert sum(c.today for c in parts) == pytest.approx(account.charges_today)
    (hour,) = by_hour(orders, fills, trades)
    assert (hour.name, hour.trades, hour.total, hour.net_inr) == ("09:00", 2, pytest.approx(130.0), pytest.approx(net))


def test_entries_beyond_the_price_not_to_chase_are_counted_and_taken_out() -> None:
    """The buy at 100 made 200 bps, the short at 200 lost 50; each costs 10."""
    orders, fills = two()
    sessions = np.array([DAY.number, NEXT.number], np.int32)

    def mean(values: Any) -> Interval:
        return Interval(float(values.mean()), 0.0, 0.0)

    assert chase_row(orders, fills, sessions, mean) is None, "no signal says a price"
    for chase, beyond, net in (
        ([100.0, 200.0], 0, 65.0),  # at the price is not beyond it
        ([99.95, np.nan], 1, -60.0),
        ([100.0, 200.05], 1, 190.0),
        ([100.05, 199.95], 0, 65.0),
    ):
        orders["chase"] = chase
        row = chase_row(orders, fills, sessions, mean)
        assert row is not None and (row.beyond, row.trades) == (beyond, 2 - beyond)
        assert row.net == pytest.approx(net) and row.session.mean == pytest.approx(net * row.trades / 2)
    orders["chase"], fills["taken"] = [99.95, np.nan], 0
    row = chase_row(orders, fills, sessions, mean)
    assert row is not None and (row.beyond, row.trades) == (0, 0), "what was not traded was not chased"


def test_orders_have_the_price_that_live_tells() -> None:
    """Exit expected of the buy: 100 * 1.011; of that 0.1 % goes for costs, and 100.99 is down to 100.95 on the grid."""
    one = np.ones(2)
    side, expected = np.array([1, 1], np.int8), np.array([0.01, np.nan])
    sides = Sides(one.astype(np.int64), np.arange(2, dtype=np.int32), side, 100 * one, 0.001 * one, 0.001 * one, expected)
    orders = orders_of_sides(sides, LabelSpec(), TickSizes(np.zeros(1, np.int32), np.full((1, 2), 0.05)))
    np.testing.assert_array_equal(orders["chase"], [100.95, np.nan])


def test_the_spread_of_bars_that_bounce() -> None:
    """A price that stands still, traded at bid or ask at random: the estimate finds the spread within a tenth."""
    rng = np.random.default_rng(5)
    n, half = 375, 0.0005
    bounces = 1.0 + half * rng.choice([-1.0, 1.0], (n, 20))
    bars = np.zeros(n, BAR)
    bars["ts_ns"] = DAY.open_ns + np.arange(n) * MINUTE_NS
    for name, values in (("open", bounces[:, 0]), ("high", bounces.max(1)), ("low", bounces.min(1)), ("close", bounces[:, -1])):
        bars[name] = 100.0 * values
    tape = tape_of(DAY, bars, np.array([0]))
    assert tape.spread[0] == pytest.approx(2 * half, rel=0.1)
    assert np.isnan(estimated_spread(np.full((1, 4, 375), np.nan))[0])
