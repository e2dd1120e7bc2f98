"""The synchronous heart: hops 4 to 8. Live, replay, backtest and verify call exactly this.

It reads no clock but ``event.now_ns``, does no IO and keeps no more than one session. A minute closes on the ``Timer`` at its
end plus the configured grace, so nothing depends on how ticks were cut into frames; what arrives later is stored as late and
alters nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from intraday.core.candles import ClosedBars, LiveAggregator, day_end
from intraday.core.function_features import Failure
from intraday.core.open_signals import OpenSignals
from intraday.core.overnight import Rescaled, opened_elsewhere
from intraday.core.panel import Day
from intraday.domain.arrays import F4, F8, MINUTE_NS, BarFlag, Bars
from intraday.domain.events import (
    Alert,
    Backfilled,
    Command,
    Effect,
    Event,
    Frame,
    LinkLost,
    LinkUp,
    RequestBackfill,
    SaveBars,
    SaveFeatures,
    SaveSignals,
    Timer,
)
from intraday.domain.session import Session
from intraday.live.validate import TickValidator
from intraday.signal.one_open import Decider, Explain, SessionSignals
from intraday.signal.policy import clock_text


class Features(Protocol):
    """Hop 6, as ``core.features.FeatureCalculator`` does it."""

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        """Feature vectors [b, F] of the decision bar of b instruments that opened at ``ts_ns``."""
        ...

    def take_failures(self) -> Sequence[Failure]:
        """The user's functions that failed since the last call; their values are NaN."""
        ...


class Predictor(Protocol):
    """Hop 7, as ``model.predictor.ModelPredictor`` does it."""

    def predict(self, x: F4) -> F8:
        """Probabilities [b, 3] of down, hold, up."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """The plain values an engine needs."""

    timeframe: int  # decision timeframe in minutes
    grace_ns: int  # a minute closes this long after its end
    i_sigma: int  # column of the feature matrix that scales stops and targets
    symbols: tuple[str, ...] = ()  # by dense row, for messages


class Engine:
    """One session of the S instruments of ``day``: ``process(event) -> effects``.

    ``session``: the cash market's; ``day`` says how long each instrument trades. ``opened`` follows the signals given, so that an
    instrument has one at a time; None: it may have any number. ``explain`` gives the reasons of BUY and SELL; None: none.
    """

    def __init__(
        self, session: Session, day: Day, spec: EngineSpec, features: Features, predictor: Predictor, decider: Decider,
        opened: OpenSignals | None = None, explain: Explain | None = None,
    ) -> None:  # fmt: skip
        self._session = session
        self._day = day
        self._spec = spec
        self._end_ns = day_end(day)
        self._validator = TickValidator(session, day)
        self._aggregator = LiveAggregator(day, spec.timeframe)
        self._features = features
        self._predictor = predictor
        self._signals = SessionSignals(session, day, spec.timeframe, decider, opened, explain)
        self._now_ns = 0
        self._opened = np.zeros(len(day.minutes), np.bool_)  # who had its first decision bar
        self._failing: set[str] = set()  # the user's functions that failed already
        self._lost_ns: int | None = None  # since when something has been missing
        self._lost_inst: set[int] = set()  # and of whom

    def process(self, event: Event) -> list[Effect]:
        """What follows from one event. Events come in order of ``now_ns``."""
        assert event.now_ns >= self._now_ns, f"events must not go back in time: {event.now_ns} after {self._now_ns}"
        self._now_ns = event.now_ns
        match event:
            case Frame():
                self._aggregator.fold(self._validator.check(event.ticks))
                return []
            case Timer():
                return self._close(event.now_ns)
            case LinkLost():
                return self._lose(event)
            case LinkUp():
                return self._regain(event)
            case Backfilled():
                return self._late(event)
            case Command():
                return [Alert(event.now_ns, "info", "command", f"{event.name} {event.argument}".rstrip())]

    def close_bars(self, minutes: Bars, boundary_ns: int, now_ns: int) -> list[Effect]:
        """What a ``Timer`` does, for a backtest: BAR[n] on-time minutes, ordered, that ended at or before ``boundary_ns``.

        They were closed and stored before; an engine gets either ticks or these.
        """
        assert now_ns >= self._now_ns, f"events must not go back in time: {now_ns} after {self._now_ns}"
        self._now_ns = now_ns
        return self._decide(self._aggregator.take(minutes, boundary_ns), boundary_ns, now_ns)

    def _close(self, now_ns: int) -> list[Effect]:
        """Every minute that ended at least the grace ago."""
        end_ns = now_ns - self._spec.grace_ns
        boundary_ns = min(end_ns - end_ns % MINUTE_NS, self._end_ns)
        if boundary_ns <= self._session.open_ns:
            return []
        closed = self._aggregator.close(boundary_ns)
        effects: list[Effect] = []
        rejects = self._validator.take_rejects(now_ns)
        if rejects is not None:
            effects.append(rejects)
        minutes = closed.minutes if len(closed.late) == 0 else np.concatenate([closed.minutes, closed.late])
        if len(minutes):
            effects.append(SaveBars(minutes, now_ns))
        effects += self._decide(closed, boundary_ns, now_ns)
        return effects

    def _decide(self, closed: ClosedBars, boundary_ns: int, now_ns: int) -> list[Effect]:
        """Features, probabilities and signals of the decision bars that closed, oldest first."""
        effects: list[Effect] = []
        decisions, minutes = closed.decisions, closed.minutes
        for bar_ns in np.unique(decisions["ts_ns"]):
            bars = decisions[decisions["ts_ns"] == bar_ns]
            minutes = self._follow(minutes, int(bar_ns) + self._spec.timeframe * MINUTE_NS)
            effects += self._opens(bars, now_ns)
            if self._day.out is not None:
                bars = bars[~self._day.out[bars["inst"]]]
            if len(bars) == 0:
                continue
            x = self._features.update(bars, int(bar_ns), self._day)
            effects += [*self._failed(now_ns), SaveFeatures(int(bar_ns), bars["inst"].astype(np.int32), x, now_ns)]
            sigma, p = x[:, self._spec.i_sigma], self._predictor.predict(x)
            signals = self._signals.decide(bars, x, sigma, p, now_ns)
            if signals:
                effects.append(SaveSignals(int(bar_ns), signals))
        self._follow(minutes, boundary_ns)
        return effects

    def _follow(self, minutes: Bars, until_ns: int) -> Bars:
        """What is open goes on to ``until_ns``; returns the minutes after that."""
        before = minutes["ts_ns"] < until_ns
        self._signals.follow(minutes[before], until_ns)
        rest: Bars = minutes[~before]
        return rest

    def _opens(self, bars: Bars, now_ns: int) -> list[Effect]:
        """Who opens at another scale than it closed sits out from its first decision bar on."""
        before = self._day.before
        first = bars[~self._opened[bars["inst"]]]
        self._opened[first["inst"]] = True
        strange = np.zeros(0, np.int64) if before is None else np.flatnonzero(opened_elsewhere(first, before))
        if before is None or len(strange) == 0:
            return []
        out = np.zeros(len(before), np.bool_) if self._day.out is None else self._day.out.copy()
        new = strange[~out[strange]]
        out[strange] = True
        self._day = self._day._replace(out=out)
        found = [Rescaled(i, self._day.number, float(first["open"][first["inst"] == i][0] / before[i])) for i in new.tolist()]
        return [Alert(now_ns, "error", "actions", each.text(self._name(each.row))) for each in found]

    def _name(self, row: int) -> str:
        return self._spec.symbols[row] if self._spec.symbols else f"instrument {row}"

    def _failed(self, now_ns: int) -> list[Effect]:
        """One alert for each of the user's functions that fail, however often."""
        alerts: list[Effect] = []
        for failure in self._features.take_failures():
            if failure.name not in self._failing:
                self._failing.add(failure.name)
                text = f"{failure.text} (bar of {clock_text(failure.ts_ns)}); it is missing where it fails, the rest goes on"
                alerts.append(Alert(now_ns, "error", "features", text))
        return alerts

    def _lose(self, event: LinkLost) -> list[Effect]:
        since_ns = min(event.since_ns, event.now_ns)
        self._aggregator.lose_link(since_ns, event.inst)
        self._lost_inst |= set(event.inst or range(len(self._day.minutes)))
        self._lost_ns = since_ns if self._lost_ns is None else min(self._lost_ns, since_ns)
        return [Alert(event.now_ns, "warning", "feed", f"feed lost: {event.reason}")]

    def _regain(self, event: LinkUp) -> list[Effect]:
        if self._lost_ns is None:
            return []
        start_ns = self._lost_ns - self._spec.grace_ns  # what was traded just before may have been under way
        gap_s = (event.now_ns - self._lost_ns) / 1e9
        end_ns = event.now_ns - event.now_ns % MINUTE_NS + MINUTE_NS
        inst = () if len(self._lost_inst) == len(self._day.minutes) else tuple(sorted(self._lost_inst))
        self._lost_ns, self._lost_inst = None, set()
        return [
            RequestBackfill(start_ns - start_ns % MINUTE_NS, end_ns, "feed lost", inst),
            Alert(event.now_ns, "info", "feed", f"feed back after {_span(gap_s)}; what was missed is asked for"),
        ]

    def _late(self, event: Backfilled) -> list[Effect]:
        """Bars that came after their minute: stored, never decided on."""
        n = len(np.unique(event.bars["inst"]))
        text = f"{len(event.bars):,} missed candles of {n:,} instruments are stored, as late ones"
        return [SaveBars(_as_late(event.bars), event.now_ns), Alert(event.now_ns, "info", "feed", text)]


def _span(seconds: float) -> str:
    """``44 s``, ``7 min``, ``4 h 1 min``."""
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _as_late(bars: Bars) -> Bars:
    """Bars that came after their minute: stored, never decided on."""
    rows = bars.copy()
    rows["flags"] |= BarFlag.LATE
    return rows


def late_bars(bars: Bars) -> Bars:
    """The rows that completed or changed a minute after it had been handed out."""
    rows: Bars = bars[(bars["flags"] & BarFlag.LATE) != 0]
    return rows
