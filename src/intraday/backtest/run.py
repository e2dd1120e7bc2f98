"""A backtest: stored candles through the engine's own decision path, or signals given before, and fills at every human delay.

Sessions go one after the other; while one is decided on, the next one's features and answers are made beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from intraday.backtest.fills import FILL, FillDesk, Fills
from intraday.backtest.orders import ORDER, Orders, Sides, orders_of_sides, orders_of_signals
from intraday.backtest.sessions import Answers, Preparation, Prepared
from intraday.backtest.tape import tape_of
from intraday.core.candles import day_end, minute_ends
from intraday.core.decision import latest_bars_ns
from intraday.core.fills import FOREVER_NS, TickSizes
from intraday.core.labels import SIGMA
from intraday.core.panel import within_hours
from intraday.core.rules import RULES, rule_sides
from intraday.domain.arrays import DAY_NS, MINUTE_NS, Bars, Mask, Ticks, empty
from intraday.domain.events import SaveSignals, Signal
from intraday.domain.ports import BarStore, Progress
from intraday.domain.session import EPOCH, Session, SessionTable, midnight_ns
from intraday.live.assembly import LoadedModel
from intraday.live.day import DayPlan
from intraday.live.engine import Engine

DELAYS_S = (0, 15, 30, 60, 120)  # what a person may need between a decision and the entry

ReadTicks = Callable[[Session], Ticks | None]  # a session's usable recorded ticks in order of time, None: none are recorded


@dataclass(frozen=True, slots=True)
class Filled:
    """Orders of some sessions, ordered by (ts, inst), and their fills by delay in seconds; ``exact`` of the sessions had ticks."""

    orders: Orders
    fills: dict[int, Fills]
    exact: int = 0

    def only(self, keep: Mask) -> Filled:
        """Of these orders alone; ``keep`` bool [n]."""
        return Filled(self.orders[keep], {s: fills[keep] for s, fills in self.fills.items()}, self.exact)


@dataclass(frozen=True, slots=True)
class DayOfSignals:
    """One session that was decided on: all signals in order of (bar, instrument), its minutes, and the round trips [S]."""

    session: Session
    signals: Sequence[Signal]
    orders: Orders
    minutes: Bars
    anchored: bool


class Backtest:
    """Sessions of one plan with one model: what ``live.day.DayRunner`` does with a feed, from stored candles."""

    def __init__(
        self, model: LoadedModel, plan: DayPlan, preparation: Preparation, sessions: SessionTable, *, reasons: bool = True
    ) -> None:
        """``reasons`` False: signals come without them, which decides nothing and saves most of the time."""
        self._reasons = reasons
        self._model = model
        self._plan = plan
        self._preparation = preparation
        self._sessions = sessions

    def days(self, days: Sequence[Session], progress: Progress) -> Iterator[DayOfSignals]:
        """Each of ``days`` (ascending) through the engine."""
        for done, prepared in enumerate(self._prepared(days)):
            progress("backtest", done, len(days))
            yield self._decided(prepared)
        progress("backtest", len(days), len(days))

    def rule_days(self, days: Sequence[Session], rule: str, progress: Progress) -> Iterator[DayOfSignals]:
        """The same for a simple rule of ``core.rules``: its sides at the model's barriers, on bars that may give a signal and of
        who may be traded in that direction."""
        for done, prepared in enumerate(self._prepared(days)):
            progress("backtest", done, len(days))
            yield DayOfSignals(prepared.session, (), self._of_rule(prepared, rule), prepared.minutes, prepared.anchored)
        progress("backtest", len(days), len(days))

    def _prepared(self, days: Sequence[Session]) -> Iterator[Prepared]:
        """In order, one ahead."""
        with ThreadPoolExecutor(1) as beside:
            ahead = [beside.submit(self._preparation.prepare, day) for day in days[:1]]
            for following in [*days[1:], None]:
                if not ahead:
                    return
                prepared = ahead.pop().result()
                if following is not None:
                    ahead.append(beside.submit(self._preparation.prepare, following))
                yield prepared

    def _decided(self, prepared: Prepared) -> DayOfSignals:
        session, plan = prepared.session, self._plan
        cost, answers = self._model.cost(session, plan.instruments), Answers(prepared)
        terms = plan.terms_on(session)
        terms = terms if self._reasons else replace(terms, reasons=0)
        instruments = plan.instruments_on(session)
        engine = self._model.engine(
            session, prepared.day, answers, instruments, cost, plan.grace_ns, predictor=answers, terms=terms
        )
        signals = list(signals_of(engine, prepared, plan.grace_ns))
        orders = orders_of_signals(signals, self._model.label, cost)
        return DayOfSignals(session, signals, orders, prepared.minutes, prepared.anchored)

    def _of_rule(self, prepared: Prepared, rule: str) -> Orders:
        panel, session, n = prepared.panel, prepared.session, len(self._plan.instruments)
        named = np.ones(n, np.bool_) if prepared.day.decided is None else prepared.day.decided
        latest = latest_bars_ns(self._model.label, session, n, self._sessions, self._plan.lists)
        may = panel.mask & named & (panel.ts_ns[:, None] <= latest)
        given, tradable = rule_sides(panel)[:, :, RULES.index(rule)], self._plan.terms_on(session).tradable
        side = np.where(may & np.where(given > 0, tradable.long, tradable.short), given, 0)
        t, inst = np.nonzero(side)
        sigma = prepared.x[t, inst, self._model.feature_set.column(SIGMA)].astype(np.float64)
        cost = self._model.cost(session, self._plan.instruments)
        sides = Sides(
            panel.ts_ns[t], inst.astype(np.int32), side[t, inst].astype(np.int8), panel.close[t, inst],
            np.where(sigma > 0.0, sigma, np.nan), cost[inst], np.full(len(t), np.nan),
        )  # fmt: skip
        return orders_of_sides(sides, self._model.label, ticks_of(self._plan))


def signals_of(engine: Engine, prepared: Prepared, grace_ns: int) -> Iterator[Signal]:
    """What the engine says to the session's minutes, closed one after the other as its clock closes them live."""
    minutes, start = prepared.minutes, 0
    for boundary_ns in minute_ends(prepared.session.open_ns, day_end(prepared.day)):
        stop = start + int(np.searchsorted(minutes["ts_ns"][start:], boundary_ns - MINUTE_NS, side="right"))
        for effect in engine.close_bars(minutes[start:stop], boundary_ns, boundary_ns + grace_ns):
            if isinstance(effect, SaveSignals):
                yield from effect.signals
        start = stop


def fill_days(days: Iterable[DayOfSignals], desk: FillDesk, delays_s: Sequence[int], ticks: ReadTicks | None = None) -> Filled:
    """The orders of each session at every delay. Trades still open where the stored minutes end have no known end."""
    found = _Found(delays_s)
    for day in days:
        known_ns = int(day.minutes["ts_ns"].max(initial=0)) + MINUTE_NS
        found.add(desk, day.session, day.orders, day.minutes, known_ns, None if ticks is None else ticks(day.session))
    return found.together()


def fill_orders_of(
    orders: Orders, desk: FillDesk, bars: BarStore, ids: Sequence[int], delays_s: Sequence[int], progress: Progress,
    ticks: ReadTicks | None = None,
) -> Filled:  # fmt: skip
    """Orders of any sessions on the best stored minutes; every session of theirs is over."""
    found, numbers = _Found(delays_s), np.unique(orders["session"])
    for done, number in enumerate(numbers.tolist()):
        progress("fills", done, len(numbers))
        own = orders[orders["session"] == number]
        keep = np.unique(own["inst"]).astype(np.int64)
        session = desk.sessions.get(EPOCH + timedelta(days=number))
        start_ns = midnight_ns(session.day)
        minutes = bars.read([ids[k] for k in keep], start_ns, start_ns + DAY_NS)
        minutes["inst"] = keep[minutes["inst"]]
        minutes = within_hours(minutes, desk.traded.n, desk.sessions, desk.traded.lists)
        found.add(desk, session, own, minutes, FOREVER_NS, None if ticks is None else ticks(session))
    progress("fills", len(numbers), len(numbers))
    return found.together()


def ticks_of(plan: DayPlan) -> TickSizes:
    """The plan's tick sizes by session: dated ones, or the instruments' own at all times."""
    own = np.array([[i.tick_size / 100.0 for i in plan.instruments]])
    return plan.ticks or TickSizes(np.zeros(1, np.int32), own)


class _Found:
    """Orders and fills of the sessions so far."""

    def __init__(self, delays_s: Sequence[int]) -> None:
        self._delays_s = tuple(delays_s)
        self._orders: list[Orders] = [empty(ORDER)]
        self._fills: dict[int, list[Fills]] = {s: [empty(FILL)] for s in delays_s}
        self._exact = 0

    def add(self, desk: FillDesk, session: Session, orders: Orders, minutes: Bars, known_ns: int, ticks: Ticks | None) -> None:
        """One session. Of several signals of an instrument only those are orders that found it free at the labels' delay: nobody is
        told of the others."""
        if len(orders) == 0:
            return
        tape = tape_of(session, minutes, np.unique(orders["inst"]).astype(np.int64), known_ns)
        orders = orders[desk.fill(orders, tape, desk.label.entry_delay_s)["taken"] == 1]
        self._orders.append(orders)
        self._exact += ticks is not None
        for delay_s in self._delays_s:
            self._fills[delay_s].append(desk.fill(orders, tape, delay_s, ticks))

    def together(self) -> Filled:
        """All of them."""
        return Filled(np.concatenate(self._orders), {s: np.concatenate(parts) for s, parts in self._fills.items()}, self._exact)
