"""Drift of a model on this system: stored features of its training's last sessions against those of every later session.

Features of later sessions are history's where it ran over them, otherwise those that live computed. Labels of later sessions are
there once history ran over them; without them calibration is not judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from intraday.app import System
from intraday.domain.arrays import DAY_NS, F4, F8, I4, I8, IST_NS
from intraday.domain.errors import NotEnoughData
from intraday.domain.ports import FeatureSetRecord, Progress, Source
from intraday.domain.session import EPOCH, Session, day_of, midnight_ns
from intraday.live.assembly import LoadedModel
from intraday.model.artifacts import read_oos
from intraday.model.drift import Decay, Drift, DriftSpec, Histograms, Moved, bin_edges, decay, gains, judged, moved
from intraday.model.metrics import OutOfSample

TRAINED_SESSIONS = 120  # at the most, the last ones: what the model saw last is what it should still look like
EDGES_EVERY = 4  # sessions that the bins are made from
EDGES_ROWS = 5_000  # of each of them
CLASSES = ("P(down)", "P(hold)", "P(up)")


@dataclass(frozen=True, slots=True)
class TooFew:
    """Too few sessions with features since the model was trained to say anything."""

    found: int
    wanted: int

    @property
    def words(self) -> str:
        """For people and for the audit trail."""
        return f"{self.found} sessions with features since the model was trained, {self.wanted} are needed to say anything"


@dataclass(frozen=True, slots=True)
class _Day:
    """Rows of one session, ordered by (ts, inst): features, or what was predicted from them."""

    number: int
    ts_ns: I8
    inst: I4
    x: F4


@dataclass(frozen=True, slots=True)
class _Found:
    """Of the later sessions: their features by bin, predictions, and the gain of those that have labels."""

    numbers: list[int]
    predicted: list[tuple[int, F8]]
    gains: list[float]


class DriftMeter:
    """Measures one model's drift. The same rows give the same answer."""

    def __init__(self, system: System, model: LoadedModel, spec: DriftSpec, progress: Progress) -> None:
        self._system = system
        self._model = model
        self._spec = spec
        self._progress = progress
        self._manifest = model.predictor.artifact.manifest
        wanted = set(self._manifest["data"]["symbols"])
        self._sets = _alike(system, model.predictor.artifact.features)
        self._ids = [int(i.id or 0) for i in system.stores.instruments.all() if i.key in wanted]

    def measure(self) -> Drift | TooFew:
        """Read one session after the other, and judge. NotEnoughData when the training's own features are gone."""
        oos, trained, rng = read_oos(Path(self._model.predictor.artifact.path)), self._trained(), np.random.default_rng(0)
        histograms = Histograms(self._edges(trained))
        found = self._later(oos, histograms)
        if len(found.numbers) < self._spec.least_sessions:
            return TooFew(len(found.numbers), self._spec.least_sessions)
        before = []
        for day in self._days("drift: sessions trained on", trained):
            histograms.add(day.number, day.x)
            before.append(day.number)
        names = self._model.feature_set.names
        features = moved(names, histograms.of(before), histograms.of(found.numbers), self._spec, rng)
        predictions = self._predictions(oos, found.predicted, rng)
        return judged(
            (len(before), len(found.numbers)), features, predictions, self._calibration(oos, found.gains, rng), self._spec
        )

    def _trained(self) -> list[Session]:
        data, sessions = self._manifest["data"], self._system.sessions
        first, last = (EPOCH + timedelta(days=int(data[name])) for name in ("first_session", "last_session"))
        return sessions.between(first, last)[-TRAINED_SESSIONS:]

    def _edges(self, trained: Sequence[Session]) -> F8:
        days = self._days("drift: bins", trained[::EDGES_EVERY])
        sample = [day.x[:: max(1, len(day.x) // EDGES_ROWS)] for day in days]
        if not sample:
            raise NotEnoughData(
                f"expected the features that {self._model.id} was trained on, found none: retention dropped them; run `intraday "
                "historical` over those days, or `intraday retrain` without --if-drifted"
            )
        return bin_edges(np.concatenate(sample))

    def _later(self, oos: OutOfSample, histograms: Histograms) -> _Found:
        """Every session that is over and was not trained on."""
        now_ns, sessions = self._system.clock.now_ns(), self._system.sessions
        first = EPOCH + timedelta(days=int(self._manifest["data"]["last_session"]) + 1)
        over = [s for s in sessions.between(first, min(day_of(now_ns), sessions.last)) if s.close_ns <= now_ns]
        times, found = np.unique((oos.ts_ns + IST_NS) % DAY_NS), _Found([], [], [])
        for day in self._days("drift: later sessions", over):
            histograms.add(day.number, day.x)
            found.numbers.append(day.number)
            keep = np.isin((day.ts_ns + IST_NS) % DAY_NS, times)  # the bars a day at which it was scored when trained
            p = self._model.predictor.predict(day.x[keep])
            found.predicted.append((day.number, p))
            found.gains.extend(self._gain(day.number, day.ts_ns[keep], day.inst[keep], p))
        return found

    def _predictions(self, oos: OutOfSample, predicted: Sequence[tuple[int, F8]], rng: np.random.Generator) -> tuple[Moved, ...]:
        """Against the predictions out of sample when it was trained: those on its own rows would look surer than they are."""
        histograms, scored = Histograms(bin_edges(oos.p)), np.unique(oos.session).tolist()
        for number in scored:
            histograms.add(number, oos.p[oos.session == number])
        for number, p in predicted:
            histograms.add(number, p)
        return moved(CLASSES, histograms.of(scored), histograms.of([number for number, _ in predicted]), self._spec, rng)

    def _gain(self, number: int, ts_ns: I8, inst: I4, p: F8) -> list[float]:
        """Log-loss gained over the class prior on the session's labels, nothing without any."""
        start_ns, n = midnight_ns(EPOCH + timedelta(days=number)), len(self._ids)
        labels = self._system.stores.labels.read(self._manifest["labels"]["id"], self._ids, start_ns, start_ns + DAY_NS)
        _, at, of = np.intersect1d(ts_ns * n + inst, labels["ts_ns"] * n + labels["inst"], return_indices=True)
        if not at.size:
            return []
        counts = self._manifest["data"]["label_counts"]
        prior = np.array([counts["down"], counts["hold"], counts["up"]]) / sum(counts.values())
        session = np.full(at.size, number, np.int32)
        return [float(gain) for gain in gains(session, labels["label"][of], p[at], np.tile(prior, (at.size, 1)))[1]]

    def _calibration(self, oos: OutOfSample, now: Sequence[float], rng: np.random.Generator) -> Decay | None:
        _, before = gains(oos.session, oos.label, oos.p, oos.prior)
        return decay(before, np.array(now), self._spec, rng) if len(now) >= self._spec.least_sessions else None

    def _days(self, what: str, sessions: Sequence[Session]) -> Iterator[_Day]:
        """Those that have features, in order."""
        for done, session in enumerate(sessions):
            self._progress(what, done, len(sessions))
            found = self._day(session)
            if found is not None:
                yield found
        self._progress(what, len(sessions), len(sessions))

    def _day(self, session: Session) -> _Day | None:
        """History's features, else live's; of the model's own set, else of one that differs only in its anchor or code."""
        start_ns, stored = midnight_ns(session.day), self._system.stores.features
        for source, set_id in product((Source.HISTORY, Source.TICK), self._sets):
            ts_ns, inst, x = stored.read(set_id, source, self._ids, start_ns, start_ns + DAY_NS)
            if len(ts_ns):
                return _Day(session.number, ts_ns, inst, x)
        return None


def _alike(system: System, own: FeatureSetRecord) -> list[str]:
    """Ids of the sets with the same features over the same universe, the model's own first. A program that is newer, or a history
    that is longer, gives the same features another id."""

    def meant(record: FeatureSetRecord) -> tuple[Any, ...]:
        known = json.loads(record.definition)
        return record.timeframe, record.names, *(known.get(part) for part in ("features", "functions", "universe"))

    return [own.id, *(r.id for r in system.stores.features.sets() if r.id != own.id and meant(r) == meant(own))]
