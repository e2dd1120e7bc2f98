"""A run that begins within the session: what it says nothing about, and how what it says is meant."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from engine_cases import DAY, N_INST, feed
from intraday.core.overnight import Overnight
from intraday.core.panel import NO_LISTS
from intraday.core.tradability import everything
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.events import Action, Alert, Event, SaveSignals, Signal
from intraday.domain.ports import Source
from intraday.live.day import DayPlan, DayRunner
from intraday.live.warmup import WarmUp
from intraday.signal.policy import clock_text, signal_text
from intraday.signal.terms import Terms
from quarantine_cases import INSTRUMENTS, SESSIONS, SmallModel, journal, known_checks

AT = DAY.open_ns + 24 * MINUTE_NS
TERMS = Terms(everything(INSTRUMENTS))
LATE = replace(TERMS, from_ns=AT)


def said(folder: Path, events: list[Event], terms: Terms) -> list[Signal]:
    """The signals of a run on these terms, by the header its journal gives back."""
    model = SmallModel()
    header = journal(folder, events, model, NO_LISTS, terms=terms).header
    engine = model.engine(
        DAY, header.hours(SESSIONS), model.calculator(INSTRUMENTS), INSTRUMENTS, np.zeros(N_INST), 0, header.terms, header.given
    )
    return [s for e in events for f in engine.process(e) if isinstance(f, SaveSignals) for s in f.signals]


def test_bars_from_before_the_start_open_nothing(tmp_path: Path) -> None:
    """The ticks of the minutes before are in the feed (a broker's first frame is the last price), and the model speaks of them."""
    events = feed(3, late=0.0)
    whole, late = said(tmp_path / "a", events, TERMS), said(tmp_path / "b", events, LATE)
    rest = [s for s in whole if s.bar_ns >= AT]
    assert [(s.inst, s.bar_ns, s.p_up) for s in late] == [(s.inst, s.bar_ns, s.p_up) for s in rest]
    assert phantoms(rest)
    assert not phantoms(late)


def phantoms(signals: list[Signal]) -> list[Signal]:
    """HOLDs for an open signal that is not among them."""
    opened = {(s.inst, f"open signal since {clock_text(s.bar_ns + MINUTE_NS)}") for s in signals if s.action is not Action.HOLD}
    return [s for s in signals if s.note.startswith("open signal") and (s.inst, s.note) not in opened]


def test_such_a_run_verifies_and_columns_keep_its_start(tmp_path: Path) -> None:
    model, events = SmallModel(), feed(3, late=0.0)
    reader = journal(tmp_path / "a", events, model, NO_LISTS, terms=LATE)
    assert reader.header.terms is not None and reader.header.terms.from_ns == AT
    assert [c.name for c in known_checks(reader, model) if c.differences] == []
    assert LATE.columns(np.array([2, 0])).from_ns == AT


def test_the_terms_of_a_day_know_when_its_run_began() -> None:
    plan = DayPlan("r", Source.TICK, INSTRUMENTS, Path("journal"), 0, 1, "never")
    assert [plan.terms_on(DAY, ns).from_ns for ns in (0, DAY.open_ns, AT)] == [0, 0, AT]


def test_what_it_says_is_for_watching(tmp_path: Path) -> None:
    """The model has proven an edge (``observe`` False), but on features that had the morning."""
    events = feed(3, late=0.0)
    whole, late = said(tmp_path / "a", events, TERMS), said(tmp_path / "b", events, LATE)
    assert late and all(s.observe for s in late) and not any(s.observe for s in whole)
    given = [s for s in late if s.action is not Action.HOLD]
    assert {s.note for s in given} == {"started at 09:39, without the morning"}
    assert signal_text(given[0], "A0").startswith("OBSERVE")


class Kept:
    """Alerts that were offered."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def offer(self, alert: Alert) -> None:
        self.alerts.append(alert)


@pytest.mark.parametrize("from_ns", [0, DAY.open_ns, AT])
def test_one_alert_says_so_at_the_start(from_ns: int) -> None:
    plan, kept, absent = DayPlan("r", Source.TICK, INSTRUMENTS, Path("journal"), 0, 1, "never"), Kept(), cast(Any, None)
    runner = DayRunner(plan, absent, absent, absent, absent, SESSIONS, absent, absent)
    runner._warn(DAY, WarmUp(True, (), Overnight(N_INST)), from_ns, cast(Any, kept))
    late = [a for a in kept.alerts if a.topic == "features"]
    assert [(a.now_ns, a.level) for a in late] == ([(AT, "warning")] if from_ns == AT else [])
    assert all("before 09:39" in a.text and "for watching" in a.text for a in late)


def test_a_run_that_only_watches_says_so_in_its_journal() -> None:
    """What is verified later has to know it, for the ledger has grown by then."""
    plan = DayPlan("r", Source.TICK, INSTRUMENTS, Path("journal"), 0, 1, "never", watch=True)
    terms = plan.terms_on(DAY)
    assert terms.watch
    assert terms.columns(np.array([0], np.int64)).watch
    raw = json.loads(json.dumps(asdict(terms), default=lambda a: a.tolist()))
    assert Terms.of_json(raw).watch
    del raw["watch"]  # a journal of before
    assert not Terms.of_json(raw).watch
