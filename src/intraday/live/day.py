"""One session through the engine: warm up, open a journal, run the feed, remember the run. Replay and live do exactly this."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from intraday.core.features import FeatureCalculator
from intraday.core.fills import Bands, TickSizes
from intraday.core.panel import NO_LISTS, Day, Lists
from intraday.core.price_rules import dated
from intraday.core.sizing import Sizing
from intraday.core.tradability import TradeLists
from intraday.domain.arrays import DAY_NS
from intraday.domain.errors import StorageError
from intraday.domain.events import Alert
from intraday.domain.instruments import Instrument
from intraday.domain.ports import BarStore, DayStore, EffectWriter, EventSource, RollupStore, RunDay, RunStore, SignalStore, Source
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.live.assembly import LoadedModel
from intraday.live.consumer import PATIENCE_S, Alerts, Repairs, SessionCounts, StreamConsumer
from intraday.live.journal import JournalHeader, JournalWriter
from intraday.live.queue import TickQueue
from intraday.live.resume import Given, still_open
from intraday.live.timeframes import TimeframeLoop
from intraday.live.warmup import WarmUp, warm
from intraday.signal.policy import clock_text
from intraday.signal.terms import Terms
from intraday.state.system import StateTrail, SystemState

OpenWriter = Callable[[RunDay], AbstractAsyncContextManager[EffectWriter]]


@dataclass(frozen=True, slots=True)
class DayPlan:
    """The plain values of a run. ``instruments`` are stored ones, in order of dense rows."""

    run_id: str
    source: Source
    instruments: tuple[Instrument, ...]
    journal_root: Path
    grace_ns: int
    queue_max: int
    fsync: str
    lists: Lists = NO_LISTS
    index: int | None = None  # dense row of the market index
    ticks: TickSizes | None = None  # dated; None: the instruments' own, on every day
    tradable: TradeLists = TradeLists()  # who may be traded intraday, by date
    sizing: Sizing | None = None  # of suggested quantities; None: none are suggested
    reasons: int = 0  # features named with each BUY and SELL
    bands: Bands | None = None  # circuit limits by session
    watch: bool = False  # signals are to be watched only: what was an edge when trained is none today

    def instruments_on(self, session: Session) -> tuple[Instrument, ...]:
        """With the tick sizes of that day: prices of its signals are rounded to them."""
        return self.instruments if self.ticks is None else dated(self.instruments, self.ticks, session.number)

    def terms_on(self, session: Session, from_ns: int = 0) -> Terms:
        """On what its signals are given that day; ``from_ns``: by a run that began then, where that is within the session."""
        limits = None if self.bands is None else self.bands.on(session.number)
        began_ns = from_ns if from_ns > session.open_ns else 0
        return Terms(self.tradable.on(session.day, self.instruments), self.sizing, self.reasons, limits, began_ns, self.watch)


@dataclass(frozen=True, slots=True)
class DayResult:
    """What one session gave."""

    run: RunDay
    counts: SessionCounts
    anchored: bool  # False: the stored bars do not reach the anchor, so the day has no features


class DayRunner:
    """Runs sessions of one plan with one model."""

    def __init__(
        self,
        plan: DayPlan,
        model: LoadedModel,
        bars: BarStore,
        days: DayStore,
        runs: RunStore,
        sessions: SessionTable,
        open_writer: OpenWriter,
        now_ns: Callable[[], int],
        signals: SignalStore | None = None,
    ) -> None:
        self._plan = plan
        self._model = model
        self._bars = bars
        self._days = days
        self._runs = runs
        self._sessions = sessions
        self._open_writer = open_writer
        self._now_ns = now_ns
        self._signals = signals  # None: nothing is known of earlier runs of a session

    @property
    def plan(self) -> DayPlan:
        """What it runs with: a backtest of the same days takes the same."""
        return self._plan

    async def run(
        self,
        session: Session,
        feed: EventSource,
        alerts: Alerts,
        repairs: Repairs | None = None,
        from_ns: int = 0,
        rollups: RollupStore | None = None,
    ) -> DayResult:
        """One session from its first event to its last effect. What an earlier run of the same source stored of it is replaced.

        ``from_ns``: the feed cannot tell what was before; a run that starts within the session answers for the minutes from then
        on, and what an earlier run stored before stays. ``rollups``: whose timeframes follow the day while it lasts.

        Every change of state is an audit row. On a failure or an interruption the journal is kept as far as it got, and every
        minute written so far is whole.
        """
        run = self._run_day(session, from_ns)
        trail = StateTrail(lambda previous, to: self._audit(run, previous, to))
        try:
            trail.move(SystemState.WARMING)
            calculator, start = self._warm(session)
            self._warn(session, start, from_ns, alerts)
            trail.move(SystemState.LIVE)
            counts = await self._through(session, run, calculator, start, feed, alerts, repairs, rollups)
        except BaseException as error:
            with suppress(StorageError):  # it may be the database that is gone
                trail.move(SystemState.FAILED if isinstance(error, Exception) else SystemState.STOPPING)
            raise
        self._runs.save_day(run)
        trail.move(SystemState.CLOSED)
        return DayResult(run, counts, start.anchored)

    async def _through(
        self,
        session: Session,
        run: RunDay,
        calculator: FeatureCalculator,
        start: WarmUp,
        feed: EventSource,
        alerts: Alerts,
        repairs: Repairs | None,
        rollups: RollupStore | None,
    ) -> SessionCounts:
        """The feed through journal, engine and database; the journal is closed only when all of it went through."""
        plan, start_ns = self._plan, midnight_ns(session.day)
        self._days.clear(plan.source, max(start_ns, run.from_ns), start_ns + DAY_NS)
        cost = self._model.cost(session, plan.instruments)
        header = self._header(session, tuple(cost.tolist()), start, run.from_ns)
        day, instruments = header.hours(self._sessions), plan.instruments_on(session)
        header = replace(header, given=self._given(session, day, run.from_ns, header.terms))
        engine = self._model.engine(
            session, day, calculator, instruments, cost, plan.grace_ns, terms=header.terms, given=header.given
        )
        journal = JournalWriter(Path(run.journal), header, calculator.snapshot(), plan.fsync)
        try:
            async with self._open_writer(run) as writer:
                timeframes = None if rollups is None else TimeframeLoop(rollups)
                queue = TickQueue(plan.queue_max)
                # Recorded ticks can be sent again: nobody waits long for a database then.
                patience_s = 5.0 if repairs is None else PATIENCE_S
                consumer = StreamConsumer(
                    queue, journal, engine, writer, alerts, repairs, run.from_ns, timeframes, patience_s=patience_s
                )
                counts = await consumer.run(feed)
        except BaseException:
            journal.abandon()
            raise
        journal.close(consumer.now_ns)
        return counts

    def _given(self, session: Session, day: Day, from_ns: int, terms: Terms | None) -> Given:
        """What earlier runs of the session left open, whichever their models: by their stops and targets and the horizon now."""
        if self._signals is None or from_ns <= session.open_ns:
            return ()
        plan, timeframe = self._plan, self._model.feature_set.timeframe
        ids = [i.id for i in plan.instruments]
        signals = self._signals.read(plan.source, ids, session.open_ns, from_ns)
        minutes = self._bars.read(ids, session.open_ns, from_ns, plan.source)
        opened = self._model.opened(session, plan.instruments_on(session), terms)
        return still_open(opened, signals, minutes, session, day, timeframe, from_ns)

    def _warn(self, session: Session, start: WarmUp, from_ns: int, alerts: Alerts) -> None:
        """What is wrong with the day from its start on."""
        if not start.anchored:
            alerts.offer(self._no_anchor(session))
        if from_ns > session.open_ns:
            alerts.offer(_late_start(from_ns))
        for found in start.overnight.found:
            alerts.offer(Alert(session.open_ns, "warning", "actions", found.text(self._plan.instruments[found.row].symbol)))
        if caveat := self._sessions.caveat(session.day):
            alerts.offer(Alert(session.open_ns, "warning", "session", f"{session.day}: {caveat}"))

    def _audit(self, run: RunDay, previous: SystemState, to: SystemState) -> None:
        detail = {"run": run.run_id, "source": run.source, "day": run.day.isoformat(), "from": previous, "to": to}
        self._runs.record(self._now_ns(), "state", detail)

    def _no_anchor(self, session: Session) -> Alert:
        anchor = self._model.feature_set.anchor.anchor(session.day, self._sessions)
        text = f"no bars of {anchor}, the anchor: no features for {session.day}; import from there on or set model.anchor"
        return Alert(session.open_ns, "warning", "features", text)

    def _warm(self, session: Session) -> tuple[FeatureCalculator, WarmUp]:
        plan = self._plan
        calculator = self._model.calculator(plan.instruments, plan.index)
        ids = [i.id for i in plan.instruments]
        return calculator, warm(calculator, self._bars, ids, session, self._sessions, plan.lists)

    def _run_day(self, session: Session, from_ns: int) -> RunDay:
        plan = self._plan
        folder = plan.journal_root / plan.source / session.day.isoformat() / plan.run_id
        return RunDay(
            run_id=plan.run_id,
            source=plan.source,
            day=session.day,
            journal=str(folder),
            feature_set_id=self._model.feature_set.id,
            model_id=self._model.id,
            instrument_ids=tuple(i.id for i in plan.instruments),
            timeframe=self._model.feature_set.timeframe,
            from_ns=from_ns,
        )

    def _header(self, session: Session, costs: tuple[float, ...], start: WarmUp, from_ns: int) -> JournalHeader:
        plan = self._plan
        return JournalHeader(
            run_id=plan.run_id,
            source=plan.source,
            day=session.day,
            timeframe=self._model.feature_set.timeframe,
            grace_ns=plan.grace_ns,
            feature_set_id=self._model.feature_set.id,
            model_id=self._model.id,
            instruments=plan.instruments_on(session),
            costs=costs,
            warmup=start.digests,
            lists=start.overnight.sitting(plan.lists, session.number),
            index=plan.index,
            closes=tuple(start.overnight.before(session.number).tolist()),
            terms=plan.terms_on(session, from_ns),
        )


def _late_start(from_ns: int) -> Alert:
    missed = f"features of today miss what was traded before {clock_text(from_ns)} and differ from training"
    return Alert(from_ns, "warning", "features", f"{missed}; signals until the close are for watching")
