"""What the decision path and HISTORICAL_MODE need from the outside world, as protocols. ``app`` plugs the adapters in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

from intraday.domain.arrays import F4, I4, I8, Bars, Labels
from intraday.domain.events import Alert, Effect, Event, Signal
from intraday.domain.instruments import Instrument


class Source(StrEnum):
    """Who made a bar, a feature vector or a signal; the preferred source of a bar first. Sources never overwrite each other."""

    BROKER = "broker"
    IMPORT = "import"
    TICK = "tick"  # the live feed
    REPLAY = "replay"  # recorded ticks through the live path
    HISTORY = "history"  # batch features of HISTORICAL_MODE


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What an idempotent write did; a second run of the same write has only ``unchanged``."""

    inserted: int = 0
    unchanged: int = 0
    revised: int = 0  # same source, other values: a new version

    def __add__(self, other: WriteReport) -> WriteReport:
        """Sum of two reports."""
        return WriteReport(self.inserted + other.inserted, self.unchanged + other.unchanged, self.revised + other.revised)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that was not stored, with the reason; ``row`` is the row as found, readable by a person."""

    symbol: str
    origin: str  # file and row number, or the feed
    ts_ns: int | None
    reason: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeatureSetRecord:
    """A registered feature set: ``id`` = hash of timeframe, names, parameters and kernel sources."""

    id: str
    timeframe: int
    names: tuple[str, ...]
    definition: str  # JSON: expression, warm-up, family and description by name


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A trained model as the database knows it; the files are the artifact folder's."""

    id: str
    feature_set_id: str
    label_set_id: str
    path: str
    verdict: str  # "edge", "no tradable edge" or "not enough data"
    trained_from: date
    trained_to: date
    manifest: str  # JSON


@dataclass(frozen=True, slots=True)
class RunDay:
    """One session that ran through the engine: what verify needs to find its way back."""

    run_id: str
    source: Source
    day: date
    journal: str  # folder of the journal segments
    feature_set_id: str
    model_id: str
    instrument_ids: tuple[int, ...]
    timeframe: int
    from_ns: int = 0  # the run answers for minutes from then on; what an earlier run stored before it stays


@dataclass(frozen=True, slots=True)
class Gap:
    """Minutes of a session that are missing: open times ``start_ns <= t < end_ns`` of one instrument."""

    instrument_id: int
    start_ns: int
    end_ns: int
    reason: str
    n_minutes: int


class InstrumentStore(Protocol):
    """Instruments, keyed by exchange and symbol."""

    def upsert(self, instruments: Sequence[Instrument]) -> list[Instrument]:
        """Store what is new or changed; return all of them with their ids, in the order given."""
        ...

    def all(self) -> list[Instrument]:
        """Every instrument, ordered by id."""
        ...


class BarStore(Protocol):
    """One-minute bars. ``ids`` maps the dense row ``BAR.inst`` to the database's id by position."""

    def write(self, ids: Sequence[int], bars: Bars, source: Source, known_ns: int) -> WriteReport:
        """Store bars idempotently in one transaction and note what the timeframes lack; keep every superseded version."""
        ...

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int, source: Source | None = None) -> Bars:
        """Bars with ``start_ns <= ts < end_ns``, ordered by (ts, inst). ``source`` None: the best version of each minute;
        otherwise that source's newest version."""
        ...

    def coverage(self) -> list[tuple[int, date, int]]:
        """(instrument id, IST day, number of best bars), ordered."""
        ...

    def has_any(self, start_ns: int, end_ns: int) -> bool:
        """Whether any instrument has a bar with ``start_ns <= ts < end_ns``."""
        ...

    def quarantine(self, rows: Sequence[Quarantined]) -> int:
        """Keep rejected rows; the same row twice is kept once. Returns how many were new."""
        ...


class RollupStore(Protocol):
    """The 5, 15 and 60 minute bars, made from the one-minute bars after a write."""

    def pending(self) -> int:
        """How many noted changes the timeframes do not have yet."""
        ...

    def refresh(self, progress: Progress | None = None) -> int:
        """Bring the timeframes up to date; returns how many months were worked on, 0 when there was nothing to do."""
        ...


class GapStore(Protocol):
    """Missing minutes."""

    def save_gaps(self, gaps: Sequence[Gap]) -> int:
        """Store what is new or changed; returns how many rows that was."""
        ...

    def settle_gaps(self, instrument: Instrument, start_ns: int, end_ns: int, found: Sequence[Gap]) -> int:
        """Make the importer's gaps that begin in ``start_ns <= t < end_ns`` (whole days) those of all files together: what the file
        at hand lacks (``found``) and others lack too. Returns how many rows came or went."""
        ...

    def gaps(self, ids: Sequence[int], start_ns: int, end_ns: int) -> list[Gap]:
        """Gaps that begin in the range, ordered by (instrument, start)."""
        ...


class FeatureStore(Protocol):
    """Feature vectors, float32, and the sets that define them."""

    def register(self, record: FeatureSetRecord) -> None:
        """Store the definition (and its view of named columns) once."""
        ...

    def write(self, set_id: str, source: Source, ids: Sequence[int], ts_ns: I8, inst: I4, x: F4) -> WriteReport:
        """Replace the range of ``ts_ns`` for these ids where anything differs. ``ts_ns`` [n], ``inst`` [n], ``x`` [n, F]."""
        ...

    def read(self, set_id: str, source: Source, ids: Sequence[int], start_ns: int, end_ns: int) -> tuple[I8, I4, F4]:
        """(ts_ns [n], inst [n], x [n, F]) ordered by (ts, inst)."""
        ...


class LabelStore(Protocol):
    """Labels of a label set."""

    def register(self, set_id: str, definition: str) -> None:
        """Store the definition (JSON) once."""
        ...

    def write(self, set_id: str, ids: Sequence[int], labels: Labels, start_ns: int, end_ns: int) -> WriteReport:
        """Make ``start_ns <= ts < end_ns`` of these ids hold exactly ``labels``."""
        ...

    def read(self, set_id: str, ids: Sequence[int], start_ns: int, end_ns: int) -> Labels:
        """LABEL rows ordered by (ts, inst)."""
        ...


class ModelStore(Protocol):
    """Trained models."""

    def save(self, record: ModelRecord) -> None:
        """Store or replace by id."""
        ...

    def latest(self, feature_set_id: str | None = None) -> ModelRecord | None:
        """The newest model, of one feature set if given."""
        ...

    def get(self, model_id: str) -> ModelRecord:
        """By id; raises ArtifactError when unknown."""
        ...


class SignalStore(Protocol):
    """Signals, for people and for verify."""

    def read(self, source: Source, ids: Sequence[int], start_ns: int, end_ns: int, model_id: str | None = None) -> list[Signal]:
        """Ordered by (bar_ns, inst)."""
        ...


class DayStore(Protocol):
    """Whole days of one source, for runs that are authoritative for them."""

    def clear(self, source: Source, start_ns: int, end_ns: int) -> int:
        """Forget what ``source`` stored of the range, of every instrument and model: its bars (a superseded one of another
        source becomes the best again), feature vectors, signals, and which run its days came from. The range is whole days, or
        the rest of one. Returns how many bars, vectors and signals that was."""
        ...


class RunStore(Protocol):
    """Runs of the program, the days they covered, and the audit trail."""

    def start(self, run_id: str, command: str, config: str, started_ns: int) -> None:
        """A run began; ``config`` is JSON without secrets."""
        ...

    def finish(self, run_id: str, status: str, summary: str, finished_ns: int) -> None:
        """It ended: status ok, failed or interrupted; ``summary`` is JSON."""
        ...

    def save_day(self, day: RunDay) -> None:
        """Remember (or replace) which run and journal produced a day of a source."""
        ...

    def days(self, day: date | None = None, source: Source | None = None) -> list[RunDay]:
        """Newest first."""
        ...

    def record(self, now_ns: int, kind: str, detail: Mapping[str, Any]) -> None:
        """One audit event."""
        ...


class EffectWriter(Protocol):
    """The live writer: one transaction per call."""

    async def write(self, effects: Sequence[Effect]) -> None:
        """Store SaveBars, SaveFeatures, SaveSignals, CountRejects and Alerts of one minute, idempotently."""
        ...


class AlertChannel(Protocol):
    """Where alerts go."""

    async def send(self, alert: Alert) -> None:
        """Deliver one alert; raises on failure."""
        ...


class EventSource(Protocol):
    """Hops 1 and 2: whatever turns the world into engine events, in order of ``now_ns``."""

    def events(self) -> AsyncGenerator[Event, None]:
        """Frames, timers and link changes of one session."""
        ...


Progress = Callable[[str, int, int], None]  # (what, done, total): drawn by the CLI, ignored by tests
