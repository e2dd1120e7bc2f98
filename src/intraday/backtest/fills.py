"""Orders to fills at any human delay, by the rules of ``core/fills.py``: at the labels' own delay the very trades of the labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.backtest.orders import Orders
from intraday.backtest.tape import Tape
from intraday.core.fills import SECOND_NS, Exit, clock_of, limit_margin
from intraday.core.kernels import barrier as kernel
from intraday.core.kernels.delayed import MISSED, fill_orders
from intraday.core.label_sessions import Traded
from intraday.core.labels import LabelSpec
from intraday.domain.arrays import F8, I8, MINUTE_NS, Mask, Ticks, empty
from intraday.domain.session import SessionTable
from intraday.model.metrics import take_flat

FILL = np.dtype(
    [
        ("how", "i1"),  # End
        ("estimated", "i1"),  # 1 if the entry's price is between two known ones
        ("both", "i1"),  # 1 if stop and target were in one minute: the stop was taken
        ("locked", "i1"),  # 1 if it was locked at a circuit limit when it was due to end
        ("entry_ns", "i8"),  # 0: not entered
        ("known_ns", "i8"),  # when its end was known; unknown ones: when it was over at the latest
        ("entry", "f8"),  # rupees, before slippage
        ("exit", "f8"),
        ("ret", "f8"),  # gross return of the side; 0 where nothing was entered
        ("entry_volume", "f8"),  # shares traded in the minute of the entry, NaN unknown
        ("exit_volume", "f8"),
        ("spread", "f8"),  # the session's estimated spread as a share of the price, NaN unknown
        ("taken", "i1"),  # 1 if no earlier trade of the instrument was open when it was decided
    ]
)

Fills = NDArray[Any]  # FILL[n], in order of the orders


class End(IntEnum):
    """What became of an order."""

    UNKNOWN = kernel.UNKNOWN  # a hole or a halt hides the end
    TARGET = Exit.TARGET
    STOP = Exit.STOP
    TIME = Exit.VERTICAL
    SKIPPED = Exit.SKIPPED  # at or beyond a barrier, or near a circuit limit, when it was to be entered
    MISSED = MISSED  # no bar to enter at in time


@dataclass(frozen=True, slots=True)
class FillDesk:
    """Fills orders of S instruments; ``traded`` as labels have it (ticks, closing auction, circuit limits)."""

    label: LabelSpec
    traded: Traded
    sessions: SessionTable

    def fill(self, orders: Orders, tape: Tape, delay_s: int, ticks: Ticks | None = None) -> Fills:
        """FILL[n] of the orders of the tape's session, ordered by (ts, inst), entered ``delay_s`` after their decisions.

        At the labels' own delay these are the labels' trades. Else a whole minute's delay is entered at a bar's open; inside a
        minute at the price between two opens (estimated), or, where ``ticks`` (TICK[m] of the session, by time) has one of the
        instrument from then on in that minute, at its price.
        """
        rules = replace(self.label.rules, entry_delay_s=delay_s)
        out, inst = empty(FILL, len(orders)), orders["inst"].astype(np.int64)
        clock, last = self._clock(orders, tape, delay_s)
        lower, upper = self._limits(tape.session.number)
        margin = limit_margin(rules, self.traded.ticks.on(tape.session.number))
        due_ns = orders["close_ns"] + delay_s * SECOND_NS
        into = (due_ns - tape.session.open_ns) % MINUTE_NS
        if delay_s == self.label.entry_delay_s:  # the labels wait for the next bar
            into[:] = 0
        told = _told(ticks, inst, due_ns) if ticks is not None and into.any() else np.full((3, len(orders)), np.nan)
        at = tape.rows(inst)
        fill_orders(
            tape.grid, at, np.ascontiguousarray(orders["side"]), np.ascontiguousarray(orders["target"]),
            np.ascontiguousarray(orders["stop"]), clock, last, into, told,
            rules.max_wait_min, lower[inst], upper[inst], margin[inst], tape.session.open_ns, out,
        )  # fmt: skip
        return _complete(out, orders, tape, at)

    def _clock(self, orders: Orders, tape: Tape, delay_s: int) -> tuple[I8, I8]:
        """``fills.clock_of`` of every order by the hours of its own instrument: rows [4, n] and the last row of each."""
        rules, day = replace(self.label.rules, entry_delay_s=delay_s), tape.session.day
        early = self.traded.lists.auction_on(tape.session.number, self.traded.n)[orders["inst"]]
        rows, last = np.zeros((4, len(orders)), np.int64), np.zeros(len(orders), np.int64)
        for auction in (False, True):
            which = early == auction
            session = self.sessions.get(day, auction)
            closed = np.minimum(orders["close_ns"][which], session.close_ns)
            clock = clock_of(rules, session, closed, self.label.horizon_min, tape.known_ns)
            rows[:, which], last[which] = clock.rows, clock.last
        return rows, last

    def _limits(self, number: int) -> tuple[F8, F8]:
        bands, n = self.traded.bands, self.traded.n
        return (np.full(n, np.nan), np.full(n, np.nan)) if bands is None else bands.on(number)


def entered(fills: Fills) -> Mask:
    """bool [n]: which were entered and their end is known."""
    return np.isin(fills["how"], (End.TARGET, End.STOP, End.TIME))


def _complete(out: Fills, orders: Orders, tape: Tape, at: I8) -> Fills:
    """With volumes and spreads, and which orders found their instrument without an open trade."""
    out["spread"] = tape.spread[at]
    done = entered(out)
    for name, ns, back in (("entry_volume", "entry_ns", 0), ("exit_volume", "known_ns", 1)):
        row = np.where(done, (out[ns] - tape.session.open_ns) // MINUTE_NS - back, 0)
        out[name] = np.where(done, tape.volume[at, row], np.nan)
    out["taken"] = take_flat(orders["side"], orders["inst"], orders["close_ns"], out["known_ns"])
    return out


def _told(ticks: Ticks, inst: I8, due_ns: I8) -> F8:
    """float64 [3, n]: price of the first tick from ``due_ns`` on in the same minute, and the highest and lowest of that minute from
    then on, rupees; NaN without one. ``ticks`` usable ones in order of time."""
    out = np.full((3, len(inst)), np.nan)
    for row in np.unique(inst).tolist():
        own = ticks[ticks["inst"] == row]
        price = own["price"] / 100.0
        for k in np.flatnonzero(inst == row).tolist():
            end_ns = due_ns[k] - due_ns[k] % MINUTE_NS + MINUTE_NS
            first, stop = np.searchsorted(own["event_ns"], [due_ns[k], end_ns]).tolist()
            if first < stop:
                out[:, k] = price[first], price[first:stop].max(), price[first:stop].min()
    return out
