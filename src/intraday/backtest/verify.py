"""``intraday verify``: does what is stored of a day follow from what was received, and from what is known today?

*As known*: the journal through the engine again, in several ways, must give the stored candles, features and signals: zero
differences.
*As corrected*: the day from the best bars; every difference must have a cause that the evidence supports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from intraday.backtest.compare import Difference, Rows, compare, feature_rows, newest, no_features, signal_rows
from intraday.backtest.corrected import CandleDifference, Cause, Evidence, RowDifferences, explain_candles, explain_rows, keys_of
from intraday.backtest.known import Check, KnownVerifier, Rowset
from intraday.core.candles import HistoricalAggregator, day_end
from intraday.core.features import FeatureCalculator
from intraday.core.labels import SIGMA
from intraday.core.overnight import Overnight
from intraday.core.panel import Lists, kept_of, panel_of, within_hours
from intraday.domain.arrays import DAY_NS, I8, MINUTE_NS, TICK, Bars, Ticks, empty
from intraday.domain.errors import JournalError, SkewError, VerifyError
from intraday.domain.events import Frame, Signal, Timer
from intraday.domain.ports import BarStore, FeatureStore, RunDay, RunStore, SignalStore, Source
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.live.assembly import LoadedModel
from intraday.live.engine import Engine, late_bars
from intraday.live.journal import JournalReader
from intraday.live.warmup import warm
from intraday.signal.one_open import SessionSignals

NEARBY_DAYS = 10  # how far away a recording may hold ticks of the day: files were named after the wrong day, not the wrong month
LoadModel = Callable[[str], LoadedModel]  # by model id; SkewError when this program computes other features


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What verify found. ``symbols`` names the dense rows."""

    run: RunDay
    symbols: tuple[str, ...]
    checks: tuple[Check, ...]
    candles: tuple[CandleDifference, ...]
    n_best: int  # best bars of the day
    n_other: int  # of them from a source other than the run's: with none, the day is compared with itself
    features: RowDifferences
    signals: RowDifferences

    @property
    def n_known(self) -> int:
        """Differences as known; must be zero."""
        return sum(len(c.differences) for c in self.checks)

    @property
    def n_unexplained(self) -> int:
        """Differences as corrected without a cause; must be zero."""
        return self.causes[Cause.UNEXPLAINED] + len(self.features.unexplained) + len(self.signals.unexplained)

    @property
    def causes(self) -> Counter[Cause]:
        """Candle differences by cause."""
        return Counter(c.cause for c in self.candles)


class Verifier:
    """Verifies stored days of one database."""

    def __init__(
        self, bars: BarStore, features: FeatureStore, signals: SignalStore, runs: RunStore, sessions: SessionTable, load: LoadModel
    ) -> None:
        self._bars = bars
        self._features = features
        self._signals = signals
        self._runs = runs
        self._sessions = sessions
        self._load = load

    def verify(self, run: RunDay) -> VerifyReport:
        """Both parts for one stored day. Raises JournalError for a damaged journal, ArtifactError for a missing model."""
        journal = JournalReader(Path(run.journal))
        if journal.header.run_id != run.run_id:
            raise JournalError(f"{run.journal}: expected the journal of run {run.run_id}, found that of {journal.header.run_id}")
        try:
            model = self._load(run.model_id)
            stored = self._stored(run, model)
            checks = tuple(self._known(journal, model, run.from_ns).checks(journal, stored))
        except SkewError as error:
            return _skewed(run, journal, str(error))
        return self._corrected(run, journal, model, stored, checks)

    def _known(self, journal: JournalReader, model: LoadedModel, from_ns: int) -> KnownVerifier:
        """Raises SkewError when the journal was made by other feature code."""

        def calculator(reader: JournalReader) -> FeatureCalculator:
            fresh = model.calculator(reader.header.instruments, reader.header.index)
            fresh.restore(reader.state)
            return fresh

        def engine(reader: JournalReader, keep: I8) -> Engine:
            header = reader.header
            kept = [header.instruments[i] for i in keep]
            state, cost = calculator(reader).columns(keep), np.array(header.costs)[keep]
            session = self._sessions.get(header.day)
            day = header.hours(self._sessions)
            day = kept_of(day, keep)
            terms = None if header.terms is None else header.terms.columns(keep)
            given = tuple((k, ns) for k, i in enumerate(keep.tolist()) for row, ns in header.given if row == i)
            return model.engine(session, day, state, kept, cost, header.grace_ns, terms=terms, given=given)

        return KnownVerifier(engine, calculator, self._sessions, model.feature_set.names, from_ns)

    def _stored(self, run: RunDay, model: LoadedModel) -> Rowset:
        start_ns, end_ns = _span(self._sessions.get(run.day))
        names = model.feature_set.names
        ids = run.instrument_ids
        features = feature_rows(*self._features.read(run.feature_set_id, run.source, ids, start_ns, end_ns), names)
        signals = self._signals.read(run.source, ids, start_ns, end_ns, run.model_id)
        return Rowset(self._bars.read(ids, start_ns, end_ns, run.source), features, newest(signal_rows(signals)))

    def _corrected(
        self, run: RunDay, journal: JournalReader, model: LoadedModel, stored: Rowset, checks: tuple[Check, ...]
    ) -> VerifyReport:
        session = self._sessions.get(run.day)
        lists = journal.header.lists
        best = self._read(run, lists)
        calculator, start, history, overnight = self._start(run, journal, model)
        again = self._again(run, journal, model, calculator, best, overnight).since(run.from_ns)
        late = keys_of(late_bars(stored.bars)) | _unseen(best, run.from_ns)
        stored, best = stored.since(run.from_ns), best[best["ts_ns"] >= run.from_ns]
        candles = explain_candles(session, journal.events(), partial(self._other_recordings, run), stored.bars, best)
        evidence = Evidence({(c.ts_ns, c.inst) for c in candles}, late, history)
        told = _heard(run, stored)
        moved, own = (told(keys) for keys in _moved(stored.features, again.features, model.feature_set.comparing))
        features = explain_rows(moved, len(stored.features), run.timeframe, evidence, set(), moved - own)
        changed = told(_keys_of_differences(stored.signals, again.signals))
        signals = explain_rows(changed, len(stored.signals), run.timeframe, evidence, _after(moved, changed))
        shown = told({(c.ts_ns, c.inst) for c in candles})
        candles = [c for c in candles if (c.ts_ns, c.inst) in shown]
        n_best = len(told(set(zip(best["ts_ns"].tolist(), best["inst"].tolist(), strict=True))))
        return VerifyReport(
            run, _symbols(journal), (*checks, start), tuple(candles), n_best, len(told(self._others(run, lists))), features, signals
        )

    def _others(self, run: RunDay, lists: Lists) -> set[tuple[int, int]]:
        """Minutes of the day, (ts_ns, dense row), that a source preferred to the run's has."""
        preferred = list(Source)[: list(Source).index(run.source)]
        keys = [keys_of(self._read(run, lists, source)) for source in preferred]
        return set[tuple[int, int]]().union(*keys)

    def _read(self, run: RunDay, lists: Lists, source: Source | None = None) -> Bars:
        """The day's minutes within each instrument's own hours, as the run knew them; ``source`` None: the best."""
        bars = self._bars.read(run.instrument_ids, *_span(self._sessions.get(run.day)), source)
        return within_hours(bars, len(run.instrument_ids), self._sessions, lists)

    def _start(
        self, run: RunDay, journal: JournalReader, model: LoadedModel
    ) -> tuple[FeatureCalculator, Check, set[int], Overnight]:
        """Features at the session's start from today's bars; whether equal bars gave the state the run started from; the
        instruments whose bars before the session have changed since; and what its opens are to be compared with."""
        header = journal.header
        calculator, then = (model.calculator(header.instruments, header.index) for _ in range(2))
        now = warm(calculator, self._bars, run.instrument_ids, self._sessions.get(run.day), self._sessions, header.lists)
        then.restore(journal.state)
        same_bars = np.array([a == b for a, b in zip(now.digests, header.warmup, strict=True)], np.bool_)
        moved = ~calculator.same_state(then)
        name = "the state it started from"
        wrong = [Difference("state", name, int(i), 0, "features", "other", "equal") for i in np.flatnonzero(moved & same_bars)]
        changed = set(np.flatnonzero(moved & ~same_bars).tolist())
        return calculator, Check(name, len(same_bars), tuple(wrong)), changed, now.overnight

    def _again(
        self,
        run: RunDay,
        journal: JournalReader,
        model: LoadedModel,
        calculator: FeatureCalculator,
        best: Bars,
        overnight: Overnight,
    ) -> Rowset:
        """Features and signals of the day from the best bars, ``calculator`` being at the session's start."""
        header, session = journal.header, self._sessions.get(run.day)
        n = len(header.instruments)
        decisions = overnight.take(header.lists.playing(HistoricalAggregator(n).aggregate(best, run.timeframe)))
        names = model.feature_set.names
        if len(decisions) == 0:
            return Rowset(best, no_features(names), signal_rows([]))
        panel = panel_of(decisions, n, run.timeframe, self._sessions, header.lists)
        x = calculator.batch(panel)
        i_sigma = model.feature_set.column(SIGMA)
        signals: list[Signal] = []
        hours, terms = header.hours(self._sessions), header.terms
        decider, opened = (
            model.decider(np.array(header.costs), header.instruments, terms),
            model.opened(session, header.instruments, terms),
        )
        given = SessionSignals(session, hours, run.timeframe, decider, opened, model.explain(terms))
        end_ns, followed_ns = day_end(hours), 0
        # A decision is as late as its timer was: on a live feed that is a little after the end of the grace.
        timers = np.array([e.now_ns for e in journal.events() if isinstance(e, Timer)], np.int64)
        for t, ts_ns in enumerate(panel.ts_ns):
            bars = decisions[decisions["ts_ns"] == ts_ns]
            rows = x[t, bars["inst"]]
            due_ns = min(int(ts_ns) + run.timeframe * MINUTE_NS, end_ns) + header.grace_ns
            i_timer = int(np.searchsorted(timers, due_ns))
            now_ns = int(timers[i_timer]) if i_timer < len(timers) else due_ns
            until_ns = int(ts_ns) + run.timeframe * MINUTE_NS
            given.follow(best[(best["ts_ns"] >= followed_ns) & (best["ts_ns"] < until_ns)], until_ns)
            followed_ns, p = until_ns, model.predictor.predict(rows)
            signals += given.decide(bars, rows, rows[:, i_sigma], p, now_ns)
        t_row, inst = np.nonzero(panel.mask)
        features = feature_rows(panel.ts_ns[t_row], inst.astype(np.int32), x[t_row, inst], names)
        return Rowset(best, features, newest(signal_rows(signals)))

    def _other_recordings(self, run: RunDay) -> Ticks:
        """Ticks of this session that stand in the newest journals of other days of the same source, in this run's dense rows."""
        start_ns = midnight_ns(run.day)
        seen: set[object] = {run.day}
        parts: list[Ticks] = [empty(TICK)]
        for other in self._runs.days(source=run.source):
            if other.day in seen or abs((other.day - run.day).days) > NEARBY_DAYS or not Path(other.journal).is_dir():
                continue
            seen.add(other.day)
            rows = {i: run.instrument_ids.index(d) for i, d in enumerate(other.instrument_ids) if d in run.instrument_ids}
            with suppress(JournalError):  # it may be evidence; that it cannot be read is its own day's business
                for event in JournalReader(Path(other.journal)).events():
                    if isinstance(event, Frame):
                        stray = (event.ticks["event_ns"] >= start_ns) & (event.ticks["event_ns"] < start_ns + DAY_NS)
                        parts += [_renumbered(event.ticks[stray], rows)] if stray.any() else []
        return np.concatenate(parts)


def _heard(run: RunDay, stored: Rowset) -> Callable[[set[tuple[int, int]]], set[tuple[int, int]]]:
    """Which (time, dense row) count. Of a replay, those of the instruments that were recorded: the others of the universe are there
    to be compared with, and nobody played them. Live hears everybody, so what is not there was lost."""
    if run.source is not Source.REPLAY:
        return lambda keys: keys
    heard = set(np.unique(stored.bars["inst"]).tolist())
    return lambda keys: {key for key in keys if key[1] in heard}


def require(runs: Sequence[RunDay], day: object) -> RunDay:
    """The newest of ``runs``; VerifyError with what to do when there is none."""
    if not runs:
        raise VerifyError(
            f"{day}: nothing was replayed or run live on that day; expected a journalled day (intraday replay --from {day})"
        )
    return runs[0]


def _symbols(journal: JournalReader) -> tuple[str, ...]:
    return tuple(i.symbol for i in journal.header.instruments)


def _span(session: Session) -> tuple[int, int]:
    start_ns = midnight_ns(session.day)
    return start_ns, start_ns + DAY_NS


def _unseen(best: Bars, from_ns: int) -> set[tuple[int, int]]:
    """Minutes before a run that started within the session: it decided without them."""
    return keys_of(best[best["ts_ns"] < from_ns])


def _moved(stored: Rows, again: Rows, comparing: AbstractSet[str]) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """(rows that differ, those of them in which a feature differs that looks at no other instrument)."""
    found = [(d.ts_ns, d.inst, d.field) for d in compare("", "", stored, again)]
    return {(ts, i) for ts, i, _ in found}, {(ts, i) for ts, i, field in found if field not in comparing}


def _after(moved: set[tuple[int, int]], changed: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of ``changed`` at or after a row of ``moved`` of the same instrument: what was given then decides what may be given."""
    first = {inst: ts_ns for ts_ns, inst in sorted(moved, reverse=True)}
    return {(ts_ns, inst) for ts_ns, inst in changed if first.get(inst, ts_ns + 1) <= ts_ns}


def _keys_of_differences(stored: Rows, again: Rows) -> set[tuple[int, int]]:
    return {(d.ts_ns, d.inst) for d in compare("", "", stored, again)}


def _renumbered(ticks: Ticks, rows: dict[int, int]) -> Ticks:
    out = ticks[np.isin(ticks["inst"], list(rows))].copy()
    out["inst"] = [rows[i] for i in out["inst"].tolist()]
    return out


def _skewed(run: RunDay, journal: JournalReader, text: str) -> VerifyReport:
    """The program computes other features than the run did: one difference that stands for all."""
    found = Difference("feature", "the same program", -1, 0, "feature set", run.feature_set_id, text)
    nothing = RowDifferences(0, {}, ())
    return VerifyReport(run, _symbols(journal), (Check("the same program", 1, (found,)),), (), 0, 0, nothing, nothing)
