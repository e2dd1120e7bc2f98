"""A journalled day of four instruments under dated lists, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine_cases import DAY, GRACE_NS, N_INST, Formula, feature_set
from intraday.backtest.known import Check, collect
from intraday.backtest.verify import Verifier
from intraday.core.decision import DecisionRule
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import LabelSpec
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import Day, Lists
from intraday.domain.arrays import F8
from intraday.domain.events import Event
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import Session, SessionTable
from intraday.live.engine import Engine, EngineSpec
from intraday.live.journal import JournalHeader, JournalReader, JournalWriter
from intraday.live.resume import Given, carry_over
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.signal.terms import Terms

SESSIONS = SessionTable.load()
INSTRUMENTS = tuple(
    Instrument(id=i + 1, symbol=f"A{i}", exchange="NSE", kind=Kind.EQUITY if i < N_INST - 1 else Kind.INDEX, tick_size=5)
    for i in range(N_INST)
)


class SmallModel:
    """What ``LoadedModel`` does, with a formula for a model."""

    id = "m" * 16

    def __init__(self, features: FeatureSet | None = None) -> None:
        self.feature_set = features or feature_set(1)

    def calculator(self, instruments: Sequence[Instrument], index: int | None = None) -> FeatureCalculator:
        calculator = FeatureCalculator(self.feature_set, np.array([i.has_volume for i in instruments]), index)
        calculator.forgive()
        return calculator

    def engine(
        self, session: Session, day: Day, calculator: FeatureCalculator, instruments: Sequence[Instrument], cost: F8, grace_ns: int,
        terms: Terms | None = None, given: Given = (),
    ) -> Engine:  # fmt: skip
        n, timeframe = len(instruments), self.feature_set.timeframe
        rule = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), 0.0)
        label = LabelSpec(timeframe=timeframe)
        spec = SignalSpec(rule, cost, label, np.full(n, 0.05), observe=False, model_id=self.id, terms=terms)
        opened = OpenSignals(session, label, spec.tick_rupees)
        carry_over(opened, given, session, day)
        return Engine(
            session,
            day,
            EngineSpec(timeframe, grace_ns, 0, tuple(i.symbol for i in instruments)),
            calculator,
            Formula(),
            SignalGenerator(spec),
            opened,
        )


def journal(folder: Path, events: Sequence[Event], model: SmallModel, lists: Lists, **header: Any) -> JournalReader:
    """The events as a run of that model wrote them down."""
    head = JournalHeader(
        run_id="r", source="replay", day=DAY.day, timeframe=model.feature_set.timeframe, grace_ns=GRACE_NS,
        feature_set_id=model.feature_set.id, model_id=model.id, instruments=INSTRUMENTS, costs=(0.0,) * N_INST,
        warmup=("",) * N_INST, lists=lists, index=None, **header,
    )  # fmt: skip
    writer = JournalWriter(folder, head, model.calculator(INSTRUMENTS).snapshot(), "never")
    for event in events:
        writer.append(event)
    writer.close(events[-1].now_ns)
    return JournalReader(folder)


def known_checks(reader: JournalReader, model: Any) -> list[Check]:
    """What ``intraday verify`` says as known, had the day been stored as the journal's engine makes it."""
    absent: Any = None
    verifier = Verifier(absent, absent, absent, absent, SESSIONS, absent)
    known = verifier._known(reader, model, 0)
    stored, _ = collect(known._engine(reader, np.arange(N_INST)), reader.events(), np.arange(N_INST), model.feature_set.names)
    return list(known.checks(reader, stored))
