"""A day that ran through the live path, and the same day from its stored candles, row for row."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from intraday.app import System, load_model
from intraday.app_backtest import build_backtest
from intraday.backtest.fills import End
from intraday.backtest.run import DELAYS_S, DayOfSignals, Filled, fill_days
from intraday.core.candles import LiveAggregator, day_end
from intraday.core.fills import fill_trade
from intraday.domain.arrays import DAY_NS, MINUTE_NS, Bars
from intraday.domain.events import Action, Frame, LinkLost, Signal, Timer
from intraday.domain.ports import RunDay
from intraday.domain.session import midnight_ns
from intraday.live.journal import JournalReader
from intraday.live.validate import TickValidator
from job_cases import quiet


def stored_signals(system: System, run: RunDay) -> list[Signal]:
    start_ns = midnight_ns(run.day)
    return system.stores.signals.read(run.source, run.instrument_ids, start_ns, start_ns + DAY_NS, run.model_id)


def backtested(system: System, run: RunDay) -> tuple[DayOfSignals, Filled, tuple[int, ...]]:
    """The run's day from its own stored candles; and the ids that dense rows stand for."""
    backtest, stage = build_backtest(system, load_model(system, run.model_id), run.source)
    (day,) = backtest.days([system.sessions.get(run.day)], quiet)
    delays = sorted({*DELAYS_S, stage.desk.label.entry_delay_s})
    return day, fill_days([day], stage.desk, delays), tuple(int(i.id or 0) for i in stage.instruments)


def journal_minutes(system: System, run: RunDay) -> Bars:
    """The on-time minutes of the journal, by the aggregator alone: nothing of the backtest or the database."""
    journal = JournalReader(Path(run.journal))
    session, day = system.sessions.get(run.day), journal.header.hours(system.sessions)
    validator, aggregator, parts = TickValidator(session, day), LiveAggregator(day, journal.header.timeframe), []
    for event in journal.events():
        if isinstance(event, Frame):
            aggregator.fold(validator.check(event.ticks))
        elif isinstance(event, LinkLost):
            aggregator.lose_link(min(event.since_ns, event.now_ns), event.inst)
        elif isinstance(event, Timer):
            until_ns = event.now_ns - journal.header.grace_ns
            parts.append(aggregator.close(min(until_ns - until_ns % MINUTE_NS, day_end(day))).minutes)
    return np.concatenate(parts)


def check_day(system: System, run: RunDay) -> int:
    """Signals and fills of the run against the backtest's; returns how many BUYs and SELLs there were."""
    live, (day, filled, ids) = stored_signals(system, run), backtested(system, run)
    assert ids == tuple(run.instrument_ids)
    assert len(live) == len(day.signals) > 100
    for stored, again in zip(live, day.signals, strict=True):
        for field in fields(Signal):
            a, b = getattr(stored, field.name), getattr(again, field.name)
            assert a == b or (a != a and b != b), (field.name, stored, again)
    assert day.minutes.tobytes() == journal_minutes(system, run).tobytes()
    label = load_model(system, run.model_id).label
    told = [s for s in live if s.action is not Action.HOLD]
    assert told, "a day without a signal proves nothing"
    fills = filled.fills[label.entry_delay_s]
    assert len(told) == len(fills)
    session, last_ns = system.sessions.get(run.day), int(day.minutes["ts_ns"].max()) + MINUTE_NS
    for signal, fill in zip(told, fills, strict=True):
        own = day.minutes[day.minutes["inst"] == signal.inst]
        side, closed_ns = (1 if signal.action is Action.BUY else -1), signal.bar_ns + label.timeframe * MINUTE_NS
        one = fill_trade(label.rules, own, session, side, closed_ns, label.horizon_min, signal.target, signal.stop, last_ns)
        if one is None:
            assert fill["how"] in (End.UNKNOWN, End.MISSED)
        else:
            want = (one.how, one.entry_ns, one.known_ns, one.entry, one.exit, one.ret)
            assert tuple(fill[n] for n in ("how", "entry_ns", "known_ns", "entry", "exit", "ret")) == want
    return len(told)
