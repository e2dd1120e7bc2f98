"""A run that begins within the session knows what an earlier one left open, and its journal verifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from engine_cases import DAY, N_INST, feed
from intraday.core.labels import LabelSpec
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import NO_LISTS, Lists, day_of, regular_day
from intraday.core.tradability import everything
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty
from intraday.domain.events import Action, SaveSignals, Signal
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.live.day import DayPlan, DayRunner
from intraday.live.resume import carry_over, still_open
from intraday.signal.terms import Terms
from memory_stores import MemoryBars
from quarantine_cases import INSTRUMENTS, SESSIONS, SmallModel, journal, known_checks

TABLE = SessionTable.load()
SESSION = TABLE.get(date(2026, 1, 6))
SPEC = LabelSpec(horizon_min=30)
HOURS = regular_day(SESSION, 4)
AT = SESSION.open_ns


def signal(inst: int, minute: int, action: Action = Action.BUY) -> Signal:
    """Of the five-minute bar that opens in that minute: stop and target a rupee away."""
    ts, side = AT + minute * MINUTE_NS, 1 if action is Action.BUY else -1
    return Signal(inst, ts, ts, action, 0.5, 0.2, 0.3, 0.5, 100.0, 100.0 - side, 100.0 + side, ts, True, "m")


def quiet(n: int = 4, last: int = 20, skip: range = range(0)) -> Bars:
    """Minutes at 100 rupees up to ``last``, none in ``skip``."""
    rows = [k for k in range(last) if k not in skip]
    bars = empty(BAR, n * len(rows))
    bars["ts_ns"], bars["inst"] = AT + np.repeat(rows, n) * MINUTE_NS, np.tile(np.arange(n), len(rows))
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    return bars


def opened() -> OpenSignals:
    return OpenSignals(SESSION, SPEC, np.full(4, 0.05))


def left(signals: list[Signal], bars: Bars, until: int) -> dict[int, int]:
    """Minute of the decision by instrument."""
    found = still_open(opened(), signals, bars, SESSION, HOURS, 5, AT + until * MINUTE_NS)
    return {row: (ns - AT) // MINUTE_NS for row, ns in found}


def test_what_was_open_by_the_stored_minutes_stays_open() -> None:
    bars = quiet()
    touched = (bars["inst"] == 1) & (bars["ts_ns"] == AT + 8 * MINUTE_NS)
    bars["high"][touched] = 101.0
    said = [signal(0, 0), signal(1, 0), signal(2, 0, Action.HOLD), signal(3, 10, Action.SELL)]
    assert left(said, bars, 20) == {0: 5, 3: 15}
    assert left(said, bars, 15) == {0: 5, 3: 15}  # given at that very moment
    assert left(said, quiet(last=40), 36) == {3: 15}  # the first one's time is over


def test_a_later_signal_of_a_free_instrument_counts_and_one_beside_an_open_one_does_not() -> None:
    bars = quiet()
    bars["low"][(bars["inst"] == 0) & (bars["ts_ns"] == AT + 7 * MINUTE_NS)] = 99.0
    assert left([signal(0, 0), signal(0, 5), signal(1, 0), signal(1, 5)], bars, 20) == {0: 10, 1: 5}


def test_missed_minutes_leave_it_open() -> None:
    bars = quiet(skip=range(7, 18))
    bars["high"][bars["ts_ns"] >= AT + 18 * MINUTE_NS] = 101.0
    assert left([signal(0, 0)], bars, 20) == {0: 5}


def test_carried_ones_are_over_with_their_time() -> None:
    run = opened()
    carry_over(run, ((1, AT + 5 * MINUTE_NS), (2, AT + 10 * MINUTE_NS)), SESSION, HOURS)
    bars = quiet(last=60)
    bars["high"], bars["low"] = 150.0, 50.0
    ended = {}
    for k in range(20, 60):
        run.follow(bars[bars["ts_ns"] == AT + (k - 1) * MINUTE_NS], AT + k * MINUTE_NS)
        for row in np.flatnonzero(run.since(np.arange(4)) == 0).tolist():
            ended.setdefault(row, k)
    assert ended == {0: 20, 1: 35, 2: 40, 3: 20}
    run.carry(np.array([0]), np.array([AT + 30 * MINUTE_NS]), SESSION)
    run.follow(empty(BAR), AT + 61 * MINUTE_NS)  # not a minute after it: time alone
    assert run.since(np.arange(4)).tolist() == [0, 0, 0, 0]


def test_closing_auction_stocks_by_their_own_hours() -> None:
    day = date(2026, 8, 10)
    session = TABLE.get(day)
    hours = day_of(session, 2, TABLE, Lists(auction=((0, 0, 1 << 30),)))
    late = session.open_ns + 345 * MINUTE_NS  # 15:00, an hour's horizon is cut by the end of trading
    run = OpenSignals(session, LabelSpec(), np.full(2, 0.05))
    carry_over(run, ((0, late), (1, late)), session, hours)
    free = {}
    for k in range(346, session.minutes + 1):
        run.follow(empty(BAR), session.open_ns + k * MINUTE_NS)
        for row in np.flatnonzero(run.since(np.arange(2)) == 0).tolist():
            free.setdefault(row, k)
    assert free[0] < free[1]


def test_such_a_run_verifies(tmp_path: Path) -> None:
    model, events = SmallModel(), feed(3, late=0.0)
    terms = Terms(everything(INSTRUMENTS), None, 0, (np.full(N_INST, 1.0), np.full(N_INST, 1e6)))
    given = ((0, DAY.open_ns), (1, DAY.open_ns))
    plain = journal(tmp_path / "a", events, model, NO_LISTS)
    resumed = journal(tmp_path / "b", events, model, NO_LISTS, terms=terms, given=given)
    assert resumed.header.given == given and resumed.header.terms is not None
    for reader in (plain, resumed):
        checks = known_checks(reader, model)
        assert [c.name for c in checks if c.differences] == [] and sum(c.n_rows for c in checks) > 300
    actions = []
    for header in (plain.header, resumed.header):
        engine = model.engine(
            DAY, header.hours(SESSIONS), model.calculator(INSTRUMENTS), INSTRUMENTS, np.zeros(N_INST), 0, header.terms, header.given
        )
        said = [s for e in events for f in engine.process(e) if isinstance(f, SaveSignals) for s in f.signals]
        actions.append({inst: sum(s.action is not Action.HOLD for s in said if s.inst == inst) for inst in range(N_INST)})
    assert actions[0][0] > 0 and actions[1][0] == actions[1][1] == 0 and actions[0][2] == actions[1][2]


class KeptSignals:
    """Signals of one source, as the database gives them back."""

    def __init__(self, signals: list[Signal]) -> None:
        self._signals = signals

    def read(self, source: Source, ids: Sequence[int], start_ns: int, end_ns: int, model_id: str | None = None) -> list[Signal]:
        found = [s for s in self._signals if start_ns <= s.bar_ns < end_ns and source is Source.TICK]
        return [s for s in found if model_id in (None, s.model_id)]


def test_a_day_that_goes_on_reads_what_was_stored() -> None:
    instruments, absent = tuple(Instrument("NSE", f"A{k}", id=k + 7) for k in range(4)), cast(Any, None)
    bars = MemoryBars()
    bars.write([i.id for i in instruments], quiet(last=12), Source.TICK, AT)
    model = cast(Any, SimpleNamespace(id="m", feature_set=SimpleNamespace(timeframe=5), opened=lambda *_: opened()))
    plan = DayPlan("r", Source.TICK, instruments, Path("journal"), 0, 1, "never")
    stored = KeptSignals([signal(0, 0), signal(1, 5), replace(signal(2, 0), model_id="other")])  # restarted with another model
    runner = DayRunner(plan, model, bars, absent, absent, TABLE, absent, absent, stored)
    minute = MINUTE_NS
    found = runner._given(SESSION, HOURS, AT + 12 * minute, None)
    assert found == ((0, AT + 5 * minute), (1, AT + 10 * minute), (2, AT + 5 * minute))
    assert runner._given(SESSION, HOURS, 0, None) == ()  # the whole day is this run's
    assert DayRunner(plan, model, bars, absent, absent, TABLE, absent, absent)._given(SESSION, HOURS, AT + minute, None) == ()
