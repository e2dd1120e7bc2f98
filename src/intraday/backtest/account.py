"""One account: what the fills would have made of a capital, with whole shares, limits, slippage, dated charges and forced exits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.backtest.fills import End, Fills
from intraday.backtest.orders import Orders
from intraday.backtest.slippage import Slippage, Slipped, slip
from intraday.core.costs import Costs, round_trip_values
from intraday.core.sizing import Sizing
from intraday.domain.arrays import F8, I8, Mask
from intraday.domain.instruments import Kind
from intraday.domain.session import EPOCH

TRADE = np.dtype(
    [
        ("status", "i1"),  # Status
        ("forced", "i1"),  # 1 if the broker squared it off
        ("reduced", "i1"),  # 1 if a limit or the volume let through less than was wanted
        ("quantity", "i8"),  # shares
        ("entry", "f8"),  # rupees a share, after slippage
        ("exit", "f8"),
        ("value", "f8"),  # rupees at the entry
        ("gross", "f8"),  # rupees before slippage and charges
        ("slippage", "f8"),  # rupees it cost
        ("charges", "f8"),  # rupees by the rates of its day
        ("charges_today", "f8"),  # rupees by the newest rates
        ("fee", "f8"),  # rupees for a forced exit
        ("net", "f8"),  # gross less slippage, charges and fee
    ]
)

Trades = NDArray[Any]  # TRADE[n], in order of the orders
Gate = Callable[[int], tuple[Mask, Mask]]  # by session number: who may be bought and who sold short intraday, bool [S] each


class Status(IntEnum):
    """What the account did with an order."""

    TRADED = 0
    OPEN = 1  # an earlier signal of the instrument was still open
    SKIPPED = 2  # the move was over, or a circuit limit near, when it was to be entered
    MISSED = 3  # no bar to enter at in time
    UNKNOWN = 4  # its end is not in the bars
    UNTRADABLE = 5  # not tradable in this direction intraday on that day
    POSITIONS = 6  # as many positions open as may be
    EXPOSURE = 7  # no room for one lot under the limits of exposure
    SHARES = 8  # the risk or the size of a trade allows no lot
    VOLUME = 9  # the minute traded too little for one lot
    BROKE = 10  # the capital was gone
    DIRECTION = 11  # an index without a future: there is nothing to trade


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """Rupees, and limits in multiples of ``capital``, which stays as it is: nothing is compounded. A trade is as large as
    ``core.sizing`` suggests: what loses ``risk_share`` of the capital at the stop, at most ``notional``."""

    capital: float = 500_000.0
    notional: float = 100_000.0
    risk_share: float = 0.005
    positions: int = 10
    exposure: float = 3.0
    per_instrument: float = 1.0
    slippage: Slippage = field(default_factory=Slippage)


@dataclass(frozen=True, slots=True)
class Market:
    """What the account has to know of S instruments: ``kinds``, lots (int64 [S] shares, 0: a direction only, nothing to trade) and
    ticks (rupees) by session number, when the last exit is, and ``gate`` (None: everything may be bought and sold short)."""

    kinds: tuple[Kind, ...]
    lots: Callable[[int], I8]
    ticks: Callable[[int], F8]
    last_exit_ns: Callable[[int, int], int]  # of (session number, dense row)
    gate: Gate | None = None


def run_account(spec: AccountSpec, market: Market, costs: Costs, orders: Orders, fills: Fills) -> Trades:
    """TRADE[n] of the fills, one after the other in order of their entries; at one moment what expects more comes first.

    A position frees its room when its end is known. A quantity that a signal suggests is taken as it is; 0 is not traded.
    """
    out = np.zeros(len(orders), TRADE)
    out["status"] = _before(orders, fills, market.gate)
    lots, ticks = lots_of_orders(orders, market), ticks_of_orders(orders, market)
    out["status"][(out["status"] == Status.TRADED) & (lots == 0)] = Status.DIRECTION
    lots = np.maximum(lots, 1)
    wanted = _wanted(spec, orders, lots)
    out["status"][(out["status"] == Status.TRADED) & (wanted == 0)] = Status.SHARES
    slipped = slip(spec.slippage, orders, fills, wanted, ticks, lots)
    quantity = _admit(spec, orders, fills, slipped.quantity, lots, out)
    final = slip(spec.slippage, orders, fills, quantity, ticks, lots)
    done = out["status"] == Status.TRADED
    out["reduced"] = done & (final.quantity < wanted)
    _money(market, costs, orders, fills, final, done, out)
    return _until_broke(spec, fills, out)


def _before(orders: Orders, fills: Fills, gate: Gate | None) -> NDArray[np.int8]:
    """The status of each order before any limit of the account."""
    status = np.full(len(orders), Status.TRADED, np.int8)
    for how, what in ((End.SKIPPED, Status.SKIPPED), (End.MISSED, Status.MISSED), (End.UNKNOWN, Status.UNKNOWN)):
        status[fills["how"] == how] = what
    status[fills["taken"] == 0] = Status.OPEN
    status[~permitted(orders, gate)] = Status.UNTRADABLE
    return status


def permitted(orders: Orders, gate: Gate | None) -> Mask:
    """Which orders may be traded intraday in their direction on their day, bool [n]; all of them without a ``gate``."""
    out = np.ones(len(orders), np.bool_)
    if gate is None:
        return out
    for number in np.unique(orders["session"]).tolist():
        rows = np.flatnonzero(orders["session"] == number)
        long, short = gate(number)
        inst = orders["inst"][rows]
        out[rows] = np.where(orders["side"][rows] > 0, long[inst], short[inst])
    return out


def _wanted(spec: AccountSpec, orders: Orders, lots: I8) -> I8:
    """Shares of each order: the signal's, or where nobody said what sizing says of its close and stop; without a stop, what the
    notional buys."""
    out, sizing = orders["quantity"].copy(), Sizing(spec.capital, spec.risk_share, spec.notional)
    open_size = np.flatnonzero(out < 0)
    columns = (open_size, lots[open_size], *(orders[name][open_size] for name in ("close", "stop", "cost")))
    for k, lot, price, stop, cost in zip(*(c.tolist() for c in columns), strict=True):
        out[k] = sizing.quantity(price, stop, cost, lot)[0] if isfinite(stop) else int(spec.notional / price) // lot * lot
    return np.asarray(out, np.int64)


def _admit(spec: AccountSpec, orders: Orders, fills: Fills, quantity: I8, lots: I8, out: Trades) -> I8:
    """Quantities int64 [n], in whole lots, that the limits let through; writes the status of those they don't."""
    admitted = np.zeros(len(orders), np.int64)
    room, per_instrument = spec.exposure * spec.capital, spec.per_instrument * spec.capital
    expected = np.nan_to_num(orders["expected"], nan=-np.inf)
    order = np.lexsort((orders["inst"], -expected, fills["entry_ns"]))
    order = order[out["status"][order] == Status.TRADED]
    columns = (order, fills["entry_ns"][order], fills["known_ns"][order], fills["entry"][order], quantity[order], lots[order])
    held: list[tuple[int, float]] = []  # (known_ns, value at the entry): a heap
    for k, entry_ns, known_ns, price, wanted, lot in zip(*(c.tolist() for c in columns), strict=True):
        while held and held[0][0] <= entry_ns:
            room += heapq.heappop(held)[1]
        n = int(min(wanted, room // price, per_instrument // price)) // lot * lot
        refused = _refused(len(held) >= spec.positions, wanted, n)
        if refused is not None:
            out["status"][k] = refused
            continue
        admitted[k] = n
        room -= n * price
        heapq.heappush(held, (known_ns, n * price))
    return admitted


def _refused(full: bool, wanted: int, n: int) -> Status | None:
    if wanted == 0:
        return Status.VOLUME
    if full:
        return Status.POSITIONS
    return Status.EXPOSURE if n <= 0 else None


def _money(market: Market, costs: Costs, orders: Orders, fills: Fills, slipped: Slipped, done: Mask, out: Trades) -> None:
    """Prices and rupees of the trades that are ``done``."""
    n, side, own = slipped.quantity[done], orders["side"][done], out[done]
    own["quantity"], own["entry"], own["exit"] = n, slipped.entry[done], slipped.exit[done]
    paid, got = n * own["entry"], n * own["exit"]
    buy, sell = np.where(side > 0, paid, got), np.where(side > 0, got, paid)
    own["value"], own["gross"] = paid, side * n * (fills["exit"] - fills["entry"])[done]
    own["slippage"] = own["gross"] - (sell - buy)
    kind, session = np.array([k.value for k in market.kinds])[orders["inst"][done]], orders["session"][done]
    for each in np.unique(kind).tolist():
        same = kind == each
        own["charges_today"][same] = round_trip_values(costs.rates(date.max, Kind(each)), buy[same], sell[same])
        for number in np.unique(session[same]).tolist():
            rows = same & (session == number)
            own["charges"][rows] = round_trip_values(costs.rates(_day(number), Kind(each)), buy[rows], sell[rows])
    _square_off(market, costs, orders[done], fills[done], own)
    own["net"] = sell - buy - own["charges"] - own["fee"]
    out[done] = own


def _square_off(market: Market, costs: Costs, orders: Orders, fills: Fills, own: Trades) -> None:
    """What is locked at a circuit limit to the last exit is left to the broker, for a fee."""
    for k in np.flatnonzero((fills["locked"] == 1) & (fills["how"] == End.TIME)).tolist():
        number, inst = int(orders["session"][k]), int(orders["inst"][k])
        if fills["known_ns"][k] >= market.last_exit_ns(number, inst):
            own["forced"][k], own["fee"][k] = 1, costs.square_off_fee(_day(number), market.kinds[inst])


def _until_broke(spec: AccountSpec, fills: Fills, out: Trades) -> Trades:
    """Without the trades entered after the capital was gone by what was known then."""
    done = np.flatnonzero(out["status"] == Status.TRADED)
    ended = done[np.argsort(fills["known_ns"][done], kind="stable")]
    left = spec.capital + np.cumsum(out["net"][ended])
    gone = np.flatnonzero(left <= 0.0)
    if len(gone):
        late = done[fills["entry_ns"][done] >= fills["known_ns"][ended[gone[0]]]]
        out[late] = np.zeros(1, TRADE)
        out["status"][late] = Status.BROKE
    return out


def traded(trades: Trades) -> Mask:
    """bool [n]: which orders became trades of the account."""
    return np.asarray(trades["status"] == Status.TRADED, np.bool_)


def ticks_of_orders(orders: Orders, market: Market) -> F8:
    """Tick sizes in rupees of each order's instrument and session, float64 [n]."""
    out = np.ones(len(orders))
    for number in np.unique(orders["session"]).tolist():
        rows = orders["session"] == number
        out[rows] = market.ticks(number)[orders["inst"][rows]]
    return out


def lots_of_orders(orders: Orders, market: Market) -> I8:
    """Shares that each order comes in whole multiples of, int64 [n]; 0: there is nothing to trade."""
    out = np.zeros(len(orders), np.int64)
    for number in np.unique(orders["session"]).tolist():
        rows = orders["session"] == number
        out[rows] = market.lots(number)[orders["inst"][rows]]
    return out


def _day(number: int) -> date:
    return EPOCH + timedelta(days=number)
