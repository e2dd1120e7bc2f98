"""HISTORICAL_MODE after import: stored one-minute bars become candles, features, labels, a walk-forward model and its artifact.

Work goes piece by piece (all instruments, some sessions of one anchor segment), each stored before the next is read: memory does
not grow with the history, and an interrupted run leaves whole pieces, which the next run finds unchanged. The rows to learn from
are read back the same way and mapped from disk. Run twice on the same bars, it changes no row and gives the same model id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from intraday.core.anchor import Segment
from intraday.core.costs import Costs
from intraday.core.labels import tally
from intraday.domain.arrays import F4, Bars, Labels, Mask, Panel
from intraday.domain.errors import NotEnoughData
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Membership
from intraday.domain.ports import (
    FeatureSetRecord,
    ModelRecord,
    Progress,
    Source,
    WriteReport,
)
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.history.golden import cold_start, golden_instruments, golden_sessions
from intraday.history.members import no_members, unknown_days
from intraday.history.plan import HistoricalPlan, HistoricalResult, Stores
from intraday.history.rows import RowReader
from intraday.history.segment import Piece, SegmentRun, SegmentSpec, pieces
from intraday.history.spool import RowSpool
from intraday.history.steps import StepTimer
from intraday.model.artifacts import Artifact, Lineage, save
from intraday.model.dataset import Dataset
from intraday.model.scratch import scratch
from intraday.model.trainer import LGBMTrainer, Trained
from intraday.model.work import WorkFolder


@dataclass(frozen=True, slots=True)
class _Range:
    """The days a run covers, resolved against what is stored. ``stored``: every day with bars of any
    instrument, of this run or not."""

    first: date
    last: date
    n_sessions: int
    stored: frozenset[date]
    at_end: frozenset[int]  # ids with bars on the last day

    @property
    def start_ns(self) -> int:
        return midnight_ns(self.first)

    @property
    def end_ns(self) -> int:
        return midnight_ns(self.last + timedelta(days=1))


class HistoricalPipeline:
    """Runs the plan on the stores. ``monotonic_ns`` only times the steps."""

    def __init__(
        self,
        plan: HistoricalPlan,
        stores: Stores,
        sessions: SessionTable,
        costs: Costs,
        monotonic_ns: Callable[[], int],
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._stores = stores
        self._sessions = sessions
        self._costs = costs
        self._monotonic_ns = monotonic_ns
        self._progress = progress

    def run(self, instruments: Sequence[Instrument]) -> HistoricalResult:
        """All steps for stored instruments (with ids). NotEnoughData when there are too few bars or sessions for one fold."""
        timer = StepTimer(self._monotonic_ns, ("bars", "features and labels", "store features", "store labels"))
        span, universe = self._span(instruments)
        membership = None if self._plan.membership is None else self._plan.membership(span.first, span.last)
        if membership is not None and not membership.spans:
            raise no_members(membership, span.first, span.last)
        self._register()
        tallies: list[Mapping[str, int]] = []
        warnings = (*self._compute(universe, span, timer, tallies), *unknown_days(membership, span.first))
        with scratch(self._plan.work) as folder, RowSpool(folder) as spool:
            with timer.step("dataset") as step:
                dataset = self._reader(universe, span, membership).read(spool, self._progress)
                step.rows = len(dataset)
            with timer.step("train") as step:
                trained = self._train(dataset, universe, span)
                step.rows = trained.rows
        with timer.step("artifact") as step:
            artifact = self._save(trained, universe, span, membership)
            step.rows = 1
        if self._plan.resources.work is not None:
            WorkFolder(self._plan.resources.work).clear()
        return HistoricalResult(
            model_id=artifact.id,
            verdict=trained.verdict,
            reason=trained.reason,
            artifact=artifact,
            trained=trained,
            first=span.first,
            last=span.last,
            n_sessions=span.n_sessions,
            steps=timer.reports(),
            warnings=warnings,
            labels=_summed(tallies),
        )

    def _span(self, instruments: Sequence[Instrument]) -> tuple[_Range, list[Instrument]]:
        """The days to cover, and the instruments that have bars in them (by kind, then id)."""
        plan, ids = self._plan, {i.id for i in instruments}
        lowest, highest = plan.first or date.min, plan.last or date.max
        coverage = self._stores.bars.coverage() if plan.coverage is None else plan.coverage
        stored = [(i, day) for i, day, n in coverage if n]
        held = [(i, day) for i, day in stored if i in ids and lowest <= day <= highest]
        if not held:
            wanted = f"{plan.first or 'the beginning'} to {plan.last or 'the end'}"
            raise NotEnoughData(f"no stored bars of the {len(ids)} instruments from {wanted}: import some (intraday import)")
        days = {day for _, day in held}
        there, last = {i for i, _ in held}, max(days)
        span = _Range(
            min(days), last, len(days), frozenset(day for _, day in stored), frozenset(i for i, day in held if day == last)
        )
        return span, sorted((i for i in instruments if i.id in there), key=lambda i: (i.kind, i.id))

    def _register(self) -> None:
        features, labels = self._plan.features, self._plan.labels
        self._stores.features.register(self._record())
        self._stores.labels.register(labels.id, labels.definition())
        assert features.timeframe == labels.timeframe, (features.timeframe, labels.timeframe)

    def _record(self) -> FeatureSetRecord:
        features = self._plan.features
        return FeatureSetRecord(features.id, features.timeframe, features.names, features.definition())

    def _compute(
        self, universe: list[Instrument], span: _Range, timer: StepTimer, tallies: list[Mapping[str, int]]
    ) -> tuple[str, ...]:
        """Candles, features and labels of every segment, stored piece by piece; returns the warnings, adds to the tallies."""
        plan, warnings, rescaled, late = self._plan, list[str](), list[str](), 0
        segments = plan.features.anchor.segments(span.first, span.last, self._sessions)
        work = [(segment, self._cuts(segment, len(universe))) for segment in segments]
        done, total = 0, sum(len(cuts) for _, cuts in work)
        for segment, cuts in work:
            spec = self._segment(universe, segment, span)
            late += spec.prices.late
            run = SegmentRun(spec, self._sessions)
            for days in cuts:
                self._progress("candles, features, labels", done, total)
                tallies.append(tally(self._advance(run, universe, days, segment, timer)))
                done += 1
            warnings += _warnings(segment, segment.anchor in span.stored, int(run.no_anchor.sum()))
            rescaled += [found.text(universe[found.row].symbol) for found in run.rescaled]
        self._progress("candles, features, labels", total, total)
        warnings += dict.fromkeys(rescaled)  # each once: the states of two quarters span it
        if late:
            warnings.append(f"{late:,} circuit limits were known only after the open of their session, so labels do without them")
        return tuple(warnings)

    def _cuts(self, segment: Segment, n_instruments: int) -> list[Sequence[Session]]:
        days = self._sessions.between(segment.anchor, segment.last)
        return list(pieces(days, n_instruments, self._plan.features, self._plan.piece_mib))

    def _segment(self, universe: Sequence[Instrument], segment: Segment, span: _Range) -> SegmentSpec:
        plan = self._plan
        prices = plan.prices(universe, segment.first, segment.last)
        return SegmentSpec(
            segment, _has_volume(universe), prices, plan.features, plan.labels,
            plan.lists(universe, segment.anchor, segment.last), plan.index(universe), segment.anchor in span.stored, plan.known_ns,
        )  # fmt: skip

    def _advance(
        self, run: SegmentRun, universe: Sequence[Instrument], days: Sequence[Session], segment: Segment, timer: StepTimer
    ) -> Labels:
        """One piece: read, computed, and what belongs to the segment's own days stored. Returns its labels."""
        with timer.step("bars") as step:
            bars = self._read(universe, midnight_ns(days[0].day), midnight_ns(days[-1].day + timedelta(days=1)))
            step.rows = len(bars)
        with timer.step("features and labels") as step:
            piece = run.advance(bars)
            step.rows = len(piece.ts_ns)
        if days[-1].day >= segment.first:
            self._store([i.id for i in universe], max(segment.first, days[0].day), days[-1].day, piece, timer)
        return piece.labels

    def _read(self, block: Sequence[Instrument], start_ns: int, end_ns: int) -> Bars:
        return self._stores.bars.read([i.id for i in block], start_ns, end_ns, self._plan.source)

    def _store(self, ids: list[int], first: date, last: date, piece: Piece, timer: StepTimer) -> None:
        plan = self._plan
        with timer.step("store features") as step:
            step.written = WriteReport()
            if len(piece.ts_ns):
                step.written = self._stores.features.write(plan.features.id, Source.HISTORY, ids, piece.ts_ns, piece.inst, piece.x)
            step.rows = len(piece.ts_ns)
        with timer.step("store labels") as step:
            first_ns, end_ns = midnight_ns(first), midnight_ns(last + timedelta(days=1))
            step.written = self._stores.labels.write(plan.labels.id, ids, piece.labels, first_ns, end_ns)
            step.rows = len(piece.labels)

    def _reader(self, universe: Sequence[Instrument], span: _Range, membership: Membership | None) -> RowReader:
        return RowReader(self._plan, self._stores, self._sessions, self._costs, universe, span.first, span.last, membership)

    def _train(self, dataset: Dataset, universe: Sequence[Instrument], span: _Range) -> Trained:
        """Train beside everything that was tried before; what is tried now is remembered whatever comes of it."""
        plan = self._plan
        trainer = LGBMTrainer(plan.training, plan.resources)
        about = {"features": plan.features.id, "labels": plan.labels.id, "view": plan.view, "notional": f"{plan.notional:g}"}
        members = hashlib.sha256("\n".join(sorted(i.key for i in universe)).encode()).hexdigest()[:12]
        about |= {"instruments": members, "first": span.first.isoformat()}  # another choice of either is another trial
        trained = trainer.train(dataset, plan.features.names, self._progress, plan.tried, about)
        plan.remember(trained.trials)
        return trained

    def _save(self, trained: Trained, universe: list[Instrument], span: _Range, membership: Membership | None) -> Artifact:
        plan = self._plan
        panel, has_volume, x = self._golden(universe, span)
        lineage = Lineage(
            features=self._record(),
            anchor=plan.features.anchor.text,
            label_set_id=plan.labels.id,
            label_definition=plan.labels.definition(),
            view=plan.view,
            symbols=tuple(i.key for i in universe),
            **({} if membership is None else {"universe": membership.definition}),
        )
        artifact = save(plan.directory, trained, lineage, panel, has_volume, x)
        manifest = (artifact.path / "manifest.json").read_text(encoding="utf-8")
        self._stores.models.save(
            ModelRecord(
                artifact.id, plan.features.id, plan.labels.id, str(artifact.path), trained.verdict, span.first, span.last, manifest
            )
        )
        return artifact

    def _golden(self, universe: list[Instrument], span: _Range) -> tuple[Panel, Mask, F4]:
        """Bars of a few instruments (one without volume among them, if there is any) over the last sessions, and their features."""
        plan = self._plan
        chosen = golden_instruments([i for i in universe if i.id in span.at_end], plan.golden_instruments)
        days = self._sessions.between(span.first, span.last)[-golden_sessions(plan.features) :]
        bars = self._read(chosen, midnight_ns(days[0].day), span.end_ns)
        panel, x = cold_start(bars, _has_volume(chosen), plan.features, self._sessions)
        return panel, _has_volume(chosen), x


def _has_volume(block: Sequence[Instrument]) -> Mask:
    return np.array([i.has_volume for i in block], dtype=np.bool_)


def _summed(tallies: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """``core.labels.tally`` of all pieces together."""
    total: dict[str, int] = {}
    for one in tallies:
        total = {name: total.get(name, 0) + n for name, n in one.items()}
    return total


def _warnings(segment: Segment, anchored: bool, unanchored: int) -> list[str]:
    if not anchored:
        return [
            f"no bars of {segment.anchor} are stored, where the state of {segment.first} to {segment.last} starts: "
            f"features and labels of these days are missing; import from there on, or set model.anchor to auto or to a day you have"
        ]
    if unanchored == 0:
        return []
    return [
        f"{unanchored} instruments have no bars on {segment.anchor}, where the state of {segment.first} to {segment.last} should "
        f"start: it starts at their first stored bar, and importing older bars will change their features; "
        f"model.anchor can name a day that is there"
    ]
