"""From orders, fills and trades to the tables people read. Pure and deterministic; intervals by a passed-in generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np

from intraday.backtest.account import Market, Status, Trades, lots_of_orders, ticks_of_orders, traded
from intraday.backtest.fills import End, Fills, entered
from intraday.backtest.orders import Orders
from intraday.backtest.run import Filled
from intraday.backtest.slippage import Slippage, returns, slip
from intraday.backtest.summary import AccountRow, ChaseRow, CostRow, DayRow, GroupRow, ScenarioRow
from intraday.core.costs import Charges, Costs
from intraday.domain.arrays import DAY_NS, F8, I4, IST_NS, Mask
from intraday.domain.session import EPOCH, SessionTable
from intraday.model.metrics import BPS, Interval, session_sums
from intraday.model.path import DailyPath

IntervalOf = Callable[[F8], Interval]  # of one value a session


def path_of_fills(orders: Orders, fills: Fills, sessions: I4) -> DailyPath:
    """What the fills made, session by session, as the verdict counts it: on one trade's notional, at the dated round trip, without
    slippage. ``sessions`` int32 [T] ascending: all that were backtested. What was not entered has no cost."""
    done = _done(fills)
    at = orders["session"][done]
    ones = np.ones(int(done.sum()))
    return DailyPath(
        sessions,
        session_sums(fills["ret"][done], at, sessions),
        session_sums(orders["cost"][done], at, sessions),
        session_sums(ones, at, sessions).astype(np.int64),
    )


def delay_rows(filled: Filled, sessions: I4, interval: IntervalOf) -> tuple[ScenarioRow, ...]:
    """One row a delay, ascending."""
    rows = []
    for delay_s, fills in sorted(filled.fills.items()):
        row = scenario(f"{delay_s} s", filled.orders, fills, fills["ret"], sessions, interval)
        rows.append(row)
    return tuple(rows)


def slippage_rows(
    filled: Filled, delay_s: int, models: Sequence[Slippage], notional: float, market: Market, sessions: I4, interval: IntervalOf
) -> tuple[ScenarioRow, ...]:
    """One row a slippage model, at one delay: trades of ``notional`` rupees, in whole lots and at least one."""
    orders, fills = filled.orders, filled.fills[delay_s]
    ticks, lots = ticks_of_orders(orders, market), np.maximum(lots_of_orders(orders, market), 1)
    one = np.where(fills["entry"] > 0.0, fills["entry"], np.inf) * lots
    wanted = np.maximum(np.floor(notional / one), 1.0).astype(np.int64) * lots
    rows = []
    for model in models:
        slipped = slip(model, orders, fills, wanted, ticks, lots)
        full = fills.copy()
        full["how"][_done(fills) & (slipped.quantity == 0)] = End.MISSED  # the minute traded too little
        ret = returns(orders, full, slipped, _done(full))
        rows.append(scenario(_title(model), orders, full, ret, sessions, interval))
    return tuple(rows)


def scenario(name: str, orders: Orders, fills: Fills, ret: F8, sessions: I4, interval: IntervalOf) -> ScenarioRow:
    """One row. ``ret`` float64 [n]: what the trades made after slippage; gross is before it, cost is charges and slippage."""
    done, free = _done(fills), fills["taken"] == 1
    gross, net = fills["ret"][done] * BPS, (ret - orders["cost"])[done] * BPS
    return ScenarioRow(
        name=name,
        trades=int(done.sum()),
        skipped=int((free & (fills["how"] == End.SKIPPED)).sum()),
        missed=int((free & (fills["how"] == End.MISSED)).sum()),
        unknown=int((free & (fills["how"] == End.UNKNOWN)).sum()),
        overlapping=int((~free).sum()),
        gross=_mean(gross),
        cost=_mean(gross - net),
        net=_mean(net),
        hit=_mean((gross > 0.0).astype(np.float64)),
        session=interval(session_sums(net, orders["session"][done], sessions)),
        estimated=int((done & (fills["estimated"] == 1)).sum()),
    )


def chase_row(orders: Orders, fills: Fills, sessions: I4, interval: IntervalOf) -> ChaseRow | None:
    """What the trades made without those entered beyond the price not to chase; None where no order has one."""
    if np.isnan(orders["chase"]).all():
        return None
    done = _done(fills)
    beyond = done & (orders["side"] * (fills["entry"] - orders["chase"]) > 0.0)
    left = done & ~beyond
    net = (fills["ret"] - orders["cost"])[left] * BPS
    by_session = session_sums(net, orders["session"][left], sessions)
    return ChaseRow(int(beyond.sum()), int(left.sum()), _mean(net), interval(by_session))


def groups(names: Sequence[str], key: I4, orders: Orders, fills: Fills, trades: Trades) -> tuple[GroupRow, ...]:
    """One row for each of ``names`` that has trades; ``key`` int32 [n] says which name an order is of."""
    done, rows = _done(fills), []
    for k in np.unique(key[done]).tolist():
        own = done & (key == k)
        gross, cost = fills["ret"][own] * BPS, orders["cost"][own] * BPS
        money = float(trades["net"][(key == k) & traded(trades)].sum())
        hit = _mean((gross > 0.0).astype(np.float64))
        rows.append(
            GroupRow(
                names[k], int(own.sum()), hit, _mean(gross), _mean(cost), _mean(gross - cost), float((gross - cost).sum()), money
            )
        )
    return tuple(rows)


def by_hour(orders: Orders, fills: Fills, trades: Trades) -> tuple[GroupRow, ...]:
    """By the IST hour of the decision: ``09:00`` and so on."""
    hour = ((orders["close_ns"] + IST_NS) % DAY_NS // (DAY_NS // 24)).astype(np.int32)
    return groups([f"{h:02d}:00" for h in range(24)], hour, orders, fills, trades)


def day_rows(orders: Orders, trades: Trades, path: DailyPath, capital: float) -> tuple[DayRow, ...]:
    """One row a session of ``path`` (``path_of_fills``), with the equity at its end."""
    sessions = path.session
    done = traded(trades)
    at = orders["session"][done]
    gross, slippage, charges, fees, net = (
        session_sums(trades[name][done], at, sessions) for name in ("gross", "slippage", "charges", "fee", "net")
    )
    count, equity = session_sums(np.ones(int(done.sum())), at, sessions), capital + np.cumsum(net)
    columns = (sessions, count, gross, slippage, charges, fees, net, equity, path.gross * BPS, path.net * BPS)
    return tuple(
        DayRow(_day(number).isoformat(), int(n), *values) for number, n, *values in zip(*(c.tolist() for c in columns), strict=True)
    )


def account_row(
    orders: Orders, fills: Fills, trades: Trades, days: Sequence[DayRow], capital: float, table: SessionTable, sessions: I4
) -> AccountRow:
    """The account's totals."""
    done = traded(trades)
    own, fill = trades[done], fills[done]
    sums = {name: float(own[name].sum()) for name in ("gross", "slippage", "charges", "charges_today", "fee", "net")}
    mean, peak, most = _exposure(fill["entry_ns"], fill["known_ns"], own["value"], table, sessions)
    reasons = ((status, int((trades["status"] == status).sum())) for status in Status if status is not Status.TRADED)
    equity = np.array([capital, *(row.equity for row in days)])
    return AccountRow(
        capital=capital,
        trades=int(done.sum()),
        gross=sums["gross"],
        slippage=sums["slippage"],
        charges=sums["charges"],
        charges_today=sums["charges_today"],
        fees=sums["fee"],
        net=sums["net"],
        net_today=sums["net"] + sums["charges"] - sums["charges_today"],
        drawdown=float((np.maximum.accumulate(equity) - equity).max()),
        turnover=float((own["value"] + own["quantity"] * own["exit"]).sum()),
        exposure=mean,
        exposure_peak=peak,
        positions_peak=most,
        forced=int(own["forced"].sum()),
        reduced=int(own["reduced"].sum()),
        refused=tuple((status.name.lower(), n) for status, n in reasons if n),
    )


def cost_rows(orders: Orders, trades: Trades, market: Market, costs: Costs) -> tuple[CostRow, ...]:
    """The charges of all trades by their parts, at the rates of each day and at the newest."""
    parts = ("brokerage", "stt", "exchange", "ipft", "sebi", "stamp", "gst")
    sums = {name: [0.0, 0.0] for name in parts}
    for k in np.flatnonzero(traded(trades)).tolist():
        trade, kind = trades[k], market.kinds[orders["inst"][k]]
        n, side = int(trade["quantity"]), int(orders["side"][k])
        entry, left = n * float(trade["entry"]), n * float(trade["exit"])
        buy, sell = (entry, left) if side > 0 else (left, entry)
        for column, day in enumerate((_day(int(orders["session"][k])), date.max)):
            found: Charges = costs.round_trip(day, buy, sell, kind)
            for name in parts:
                sums[name][column] += getattr(found, name)
    return tuple(CostRow(name, dated, today) for name, (dated, today) in sums.items())


def _exposure(start_ns: F8, end_ns: F8, value: F8, table: SessionTable, sessions: I4) -> tuple[float, float, int]:
    """Mean value of open positions over the sessions' trading time, the most at one moment, and the most positions at one."""
    if len(value) == 0:
        return 0.0, 0.0, 0
    length = sum(s.close_ns - s.open_ns for s in (table.get(_day(int(n))) for n in sessions))
    times = np.concatenate([end_ns, start_ns])  # who leaves at a moment has left when another enters
    change = np.concatenate([-value, value])
    order = np.argsort(times, kind="stable")
    held, n = np.cumsum(change[order]), np.cumsum(np.sign(change[order]))
    return float((value * (end_ns - start_ns)).sum() / length), float(held.max()), int(n.max())


def _done(fills: Fills) -> Mask:
    """Trades: entered, their end known, the instrument free."""
    return np.asarray(entered(fills) & (fills["taken"] == 1), np.bool_)


def _title(model: Slippage) -> str:
    match model.model:
        case "none":
            return "none"
        case "fixed":
            return f"fixed, {model.bps:g} bps a side"
        case "spread":
            return f"{model.spread_share:g} of the spread a side"
        case _:
            return f"{model.spread_share:g} of the spread, and {model.impact_bps:g} bps impact"


def _mean(values: F8) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _day(number: int) -> date:
    return EPOCH + timedelta(days=number)
