"""Since 2026-08-03 a stock with derivatives ends at 15:15; a Muhurat evening; the halt of 2021-02-24: from the exchange to signals.

Fetched as history and followed live over real sockets, on the bundled exchange; real prices of the last two days are in
``tests/golden/test_labels_real.py`` and ``tests/golden/test_special_days_real.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import pytest

from engine_cases import HAS_VOLUME, feature_set
from intraday.core.candles import HistoricalAggregator, sort_bars
from intraday.core.decision import latest_bar_ns
from intraday.core.features import FeatureCalculator
from intraday.core.fills import last_exit_ns
from intraday.core.labels import Labeler
from intraday.core.panel import panel_of
from intraday.domain.arrays import MINUTE_NS, BarFlag, Bars
from intraday.domain.events import Action, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.session import Session
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.signal.one_open import SessionSignals
from special_days import BUY, LABEL, LISTS, SESSIONS, TIMEFRAME, Lived, Past, Up, World, fetched, lived

STOCK, OTHER, FUTURE, INDEX = range(4)  # closing-auction stock, another one


@dataclass(frozen=True)
class Case:
    """How many minutes each of the first three has, when their last one opens, and from when on the day is followed live."""

    day: date
    minutes: tuple[int, int, int]
    last: tuple[str, str, str]
    start: str = ""


CASES = [
    Case(date(2026, 7, 31), (375, 375, 375), ("15:29", "15:29", "15:29")),
    Case(date(2026, 8, 3), (360, 375, 385), ("15:14", "15:29", "15:39"), "14:35"),
    Case(date(2021, 11, 4), (60, 60, 60), ("19:14", "19:14", "19:14"), "18:10"),
    Case(date(2021, 2, 24), (220, 220, 220), ("16:59", "16:59", "16:59"), "15:40"),  # 09:15-11:40 and 15:45-17:00
]
LIVE = [case for case in CASES if case.start]


def named(cases: Sequence[Case]) -> list[str]:
    return [str(case.day) for case in cases]


def own_session(day: date, inst: int) -> Session:
    """By whose hours a row may be traded."""
    return SESSIONS.get(day, auction=inst == STOCK)


@cache
def world_of(day: date) -> World:
    return World.of(day)


@cache
def past_of(day: date) -> Past:
    """Three sessions before the day, and the day."""
    first = day
    for _ in range(3):
        first = SESSIONS.previous(first).day
    return fetched(world_of(day), first, day)


@cache
def before(day: date) -> Past:
    """The sessions before it alone."""
    past = past_of(day)
    return Past(past.report, past.store, past.bars, past.days[:-1])


@cache
def live_of(case: Case) -> Lived:
    return lived(world_of(case.day), before(case.day), case.start)


def of_day(bars: Bars, world: World) -> dict[int, list[int]]:
    """Open times of the day's bars, by row."""
    day = bars[(bars["ts_ns"] >= world.at("00:00")) & (bars["ts_ns"] <= world.at("23:59"))]
    return {i: sorted(set(day["ts_ns"][day["inst"] == i].tolist())) for i in range(4)}


# ------------------------------------------------------------------------------------------------------------------- history


@pytest.mark.parametrize("case", CASES, ids=named(CASES))
def test_history_has_the_minutes_of_the_day(case: Case) -> None:
    world, past = world_of(case.day), past_of(case.day)
    stored = of_day(past.bars.read([1, 2, 3, 4], 0, 1 << 62), world)
    assert stored == world.minutes()
    assert tuple(len(stored[i]) for i in (STOCK, OTHER, FUTURE)) == case.minutes
    assert tuple(stored[i][-1] for i in (STOCK, OTHER, FUTURE)) == tuple(world.at(text) for text in case.last)
    assert (past.report.rejected, past.report.failed) == (0, 0)


@pytest.mark.parametrize("case", CASES, ids=named(CASES))
def test_no_label_reaches_past_the_last_exit_of_its_own_hours(case: Case) -> None:
    past, number = past_of(case.day), SESSIONS.get(case.day).number
    bars = past.bars.read([1, 2, 3, 4], 0, 1 << 62)
    minutes = panel_of(bars, 4, 1, SESSIONS, LISTS)
    decisions = panel_of(HistoricalAggregator(4).aggregate(bars, TIMEFRAME), 4, TIMEFRAME, SESSIONS, LISTS)
    x = FeatureCalculator(feature_set(TIMEFRAME), HAS_VOLUME).batch(decisions)
    assert np.isfinite(x[decisions.session == number][:, :2]).any(axis=0).all(), "the day has features"
    sigma = np.full(decisions.mask.shape, 0.001, np.float32)
    labels = Labeler(LABEL, np.full(4, 0.05), LISTS).label(minutes, decisions, sigma, SESSIONS)
    session = SESSIONS.get(case.day)
    labels = labels[labels["ts_ns"] >= session.open_ns]
    for inst in range(4):
        own, hours = labels[labels["inst"] == inst], own_session(case.day, inst)
        assert len(own) > 3
        assert own["t1_ns"].max() <= last_exit_ns(LABEL.rules, hours) <= hours.close_ns - 10 * MINUTE_NS
        assert own["t1_ns"].max() >= last_exit_ns(LABEL.rules, hours) - 5 * MINUTE_NS, "and it uses the day up"
        for start_ns, end_ns in hours.pauses:
            assert not ((own["entry_ns"] < end_ns) & (own["t1_ns"] > start_ns)).any()


# ---------------------------------------------------------------------------------------------------------------------- live


def signals_of(live: Lived) -> list[Signal]:
    return [signal for effect in live.effects if isinstance(effect, SaveSignals) for signal in effect.signals]


@pytest.mark.parametrize("case", LIVE, ids=named(LIVE))
def test_live_has_the_minutes_of_the_day(case: Case) -> None:
    """What was before the start came as late candles of the broker, what came after the minute's cut-off too; all is there."""
    world, live = world_of(case.day), live_of(case)
    bars = np.concatenate([effect.bars for effect in live.effects if isinstance(effect, SaveBars)])
    assert of_day(bars, world) == world.minutes()
    stored = of_day(bars, world)
    assert tuple(len(stored[i]) for i in (STOCK, OTHER, FUTURE)) == case.minutes
    assert tuple(stored[i][-1] for i in (STOCK, OTHER, FUTURE)) == tuple(world.at(text) for text in case.last)
    on_time = bars[(bars["flags"] & BarFlag.LATE) == 0]
    assert on_time["ts_ns"].min() >= world.at(case.start)
    told = [alert.text for alert in live.alerts if alert.level != "info"]
    assert told == [], "nothing of the auction, the halt or the evening is an alarm"


@pytest.mark.parametrize("case", LIVE, ids=named(LIVE))
def test_no_signal_reaches_past_the_last_exit_of_its_own_hours(case: Case) -> None:
    """The model says BUY always: the clock alone ends it, for each instrument at its own time."""
    signals = signals_of(live_of(case))
    for inst in range(4):
        hours, own = own_session(case.day, inst), [s for s in signals if s.inst == inst]
        bought = [s for s in own if s.action is Action.BUY]
        assert all(s.valid_until_ns <= hours.close_ns for s in own)
        for s in bought:
            end_ns = s.bar_ns + (TIMEFRAME + LABEL.horizon_min) * MINUTE_NS
            assert s.decided_ns < s.valid_until_ns and end_ns <= last_exit_ns(LABEL.rules, hours) < hours.close_ns
        assert bought[-1].bar_ns == latest_bar_ns(LABEL, hours), "up to the last one that fits"
        assert {s.action for s in own if s.bar_ns > bought[-1].bar_ns} <= {Action.HOLD}
    if case.day == date(2026, 8, 3):
        limit = world_of(case.day).at("15:15")
        assert all(s.valid_until_ns <= limit and s.bar_ns < limit for s in signals if s.inst == STOCK)
        assert any(s.bar_ns >= limit for s in signals if s.inst == FUTURE)


@pytest.mark.parametrize("case", LIVE, ids=named(LIVE))
def test_late_bars_changed_nothing_that_was_issued(case: Case) -> None:
    """Features and signals again, in batch and from the on-time minutes alone: bit for bit those that were issued."""
    world, live = world_of(case.day), live_of(case)
    saved = np.concatenate([effect.bars for effect in live.effects if isinstance(effect, SaveBars)])
    assert (saved["flags"] & BarFlag.LATE).any() == (case.day != date(2021, 11, 4)), "the evening is lived from before its open"
    made = np.concatenate(live.made)
    within_grace_ns = world.at(case.start) - MINUTE_NS
    assert made["ts_ns"].min() >= within_grace_ns, "the last price of a minute that was over is no minute to decide on"
    decisions = HistoricalAggregator(4).aggregate(sort_bars(made), TIMEFRAME)
    panel = panel_of(decisions, 4, TIMEFRAME, SESSIONS, LISTS)
    x = before(case.day).calculator().batch(panel)
    issued = {
        (e.bar_ns, int(i)): row.tobytes()
        for e in live.effects
        if isinstance(e, SaveFeatures)
        for i, row in zip(e.inst, e.x, strict=True)
    }
    since = [t for t, ts_ns in enumerate(panel.ts_ns) if ts_ns >= world.at(case.start)]
    assert issued == {(int(panel.ts_ns[t]), int(i)): x[t, i].tobytes() for t in since for i in np.flatnonzero(panel.mask[t])}
    decider = SignalGenerator(SignalSpec(BUY, np.zeros(4), LABEL, np.full(4, 0.05), observe=False, model_id="m" * 16))
    given = SessionSignals(world.session, world.hours(), TIMEFRAME, decider)
    again: list[Signal] = []
    told = {s.bar_ns: s.decided_ns for s in signals_of(live)}
    for t in since:
        ts_ns = int(panel.ts_ns[t])
        rows = decisions[decisions["ts_ns"] == ts_ns]
        values = x[t, rows["inst"]]
        again += given.decide(rows, values, values[:, 0], Up().predict(values), told[ts_ns])
    assert repr(again) == repr(signals_of(live))
