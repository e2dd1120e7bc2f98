"""Hops 6 and 7 for a whole session at once: features by the batch kernel and the model's answers, as live has them step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from intraday.core.candles import HistoricalAggregator
from intraday.core.features import FeatureCalculator
from intraday.core.function_features import Failure
from intraday.core.overnight import Overnight
from intraday.core.panel import Day, Lists, day_of, panel_of, within_hours
from intraday.domain.arrays import DAY_NS, F4, F8, Bars, Panel
from intraday.domain.ports import BarStore
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.live.assembly import LoadedModel
from intraday.live.day import DayPlan
from intraday.live.warmup import warm

ReadKnown = Callable[[Sequence[int], int, int], Bars]  # (ids, from, to ns): the minutes as they were known when they closed


@dataclass(frozen=True, slots=True)
class Prepared:
    """One session, ready to be decided on: ``minutes`` BAR[n] on-time ones within each instrument's hours, ordered; ``panel`` of
    the decision bars of who does not sit out; ``x`` float32 [T, S, F], ``p`` float64 [T, S, 3] (NaN without a bar). ``anchored``
    False: the stored bars do not reach the anchor, and there are no features. ``failures``: of the user's own functions."""

    session: Session
    day: Day
    minutes: Bars
    panel: Panel
    x: F4
    p: F8
    anchored: bool
    failures: tuple[Failure, ...]


class Answers:
    """The engine's features and predictor for one prepared session: it looks up what was computed before.

    The engine has to ask for exactly the bars that the answers were made of; anything else is a broken promise.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._of = prepared
        self._at = (0, np.zeros(0, np.int64))  # of the last question

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        """``FeatureCalculator.update``."""
        panel, inst = self._of.panel, bars["inst"].astype(np.int64)
        t = int(np.searchsorted(panel.ts_ns, ts_ns))
        assert t < len(panel) and panel.ts_ns[t] == ts_ns, (ts_ns, self._of.session.day)
        assert len(inst) == np.count_nonzero(panel.mask[t]), (ts_ns, len(inst), int(np.count_nonzero(panel.mask[t])))
        assert np.array_equal(panel.close[t, inst], bars["close"]), (ts_ns, "other bars than the features were made of")
        self._at = (t, inst)
        out: F4 = self._of.x[t, inst]
        return out

    def predict(self, x: F4) -> F8:
        """``ModelPredictor.predict`` of what ``update`` returned last."""
        t, inst = self._at
        assert len(x) == len(inst), (len(x), len(inst))
        out: F8 = self._of.p[t, inst]
        return out

    def take_failures(self) -> Sequence[Failure]:
        """None: they are told once a session (``Prepared.failures``)."""
        return ()


class Preparation:
    """Prepares sessions in ascending order; the state of the features goes from one to the next.

    ``known``: reads the day's minutes as they were when they closed; None: the best version of each. Then every session starts
    from its anchor by the best bars of the days before, as live did that morning.
    """

    def __init__(
        self, model: LoadedModel, bars: BarStore, sessions: SessionTable, plan: DayPlan, known: ReadKnown | None = None,
        threads: int = 1,
    ) -> None:  # fmt: skip
        self._model = model
        self._bars = bars
        self._sessions = sessions
        self._plan = plan
        self._known = known
        self._threads = threads
        self._ids = [i.id for i in plan.instruments]
        self._aggregator = HistoricalAggregator(len(self._ids))
        self._state: _State | None = None

    def prepare(self, session: Session) -> Prepared:
        """The next session; ones in between that were not asked for are made up for."""
        state = self._state_of(session)
        number, n, sessions = session.number, len(self._ids), self._sessions
        lists = state.overnight.sitting(self._plan.lists, number)
        day = day_of(session, n, sessions, lists)._replace(before=state.overnight.before(number))
        minutes = within_hours(self._read(session), n, sessions, lists)
        candles = self._aggregator.aggregate(minutes, self._model.feature_set.timeframe)
        candles = state.overnight.take(lists.playing(candles))
        panel = panel_of(candles, n, self._model.feature_set.timeframe, sessions, lists)
        x = state.calculator.batch(panel)
        failures = tuple(state.calculator.take_failures())
        self._state = state if self._known is None else None
        return Prepared(session, day, minutes, panel, x, self._answers(panel, x), state.anchored, failures)

    def _read(self, session: Session) -> Bars:
        start_ns = midnight_ns(session.day)
        read = self._bars.read if self._known is None else self._known
        return read(self._ids, start_ns, start_ns + DAY_NS)

    def _state_of(self, session: Session) -> _State:
        """What the session before left, or a start from the anchor where that is not the same."""
        anchor = self._model.feature_set.anchor.anchor(session.day, self._sessions).toordinal()
        lists = self._plan.lists.of_state(session.number)
        old = self._state
        if old is not None and (old.anchor, old.following, old.lists) == (anchor, session.number, lists):
            return replace(old, following=self._after(session))
        calculator = self._model.calculator(self._plan.instruments, self._plan.index)
        start = warm(calculator, self._bars, self._ids, session, self._sessions, self._plan.lists)
        return _State(calculator, start.overnight, anchor, lists, self._after(session), start.anchored)

    def _after(self, session: Session) -> int:
        return self._sessions.next(session.day).number

    def _answers(self, panel: Panel, x: F4) -> F8:
        """Probabilities of all decision bars, in as many parts as there are threads: a row's do not depend on the others."""
        out = np.full((*panel.mask.shape, 3), np.nan)
        rows = np.ascontiguousarray(x[panel.mask])
        parts = np.array_split(rows, self._threads)
        if self._threads == 1:
            out[panel.mask] = self._model.predictor.predict(rows)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                out[panel.mask] = np.concatenate(list(pool.map(self._model.predictor.predict, parts)))
        return out


@dataclass(frozen=True, slots=True)
class _State:
    """Features at the end of a session, and of which session they are the start (``following``)."""

    calculator: FeatureCalculator
    overnight: Overnight
    anchor: int
    lists: Lists
    following: int
    anchored: bool
