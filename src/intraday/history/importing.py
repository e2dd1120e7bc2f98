"""``intraday import``: bar files into the database, row by row accounted for.

A file is read, given an instrument, validated against the session table and stored in one transaction, or not at all. What was
rejected goes to quarantine with its reason. Importing the same files again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from intraday.core.validate import NO_BARS, ZERO_TIME_BEFORE_NS, CandleValidator, FlagReason, RejectReason, Validation
from intraday.domain.arrays import DAY_NS, I8, IST_NS, MINUTE_NS, Bars
from intraday.domain.errors import InputError
from intraday.domain.gaps import NOT_IN_FILE
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Auction, no_auction
from intraday.domain.ports import BarStore, Gap, GapStore, InstrumentStore, Progress, Quarantined, Source, WriteReport
from intraday.domain.session import Segment, SessionTable, day_of, midnight_ns
from intraday.history.manifest import BarFile, discover, is_index_name
from intraday.history.readers import RawBars, ReadOptions, read_bars
from intraday.history.timezone import clock_is_wrong, explain_bad_hours

DIFFERS = "differs_from_stored"
BEFORE_NS = 16 * DAY_NS  # imported bars of so long before a file, some ten sessions, say what is usual
ODD_MAX = 20  # flags described in a report; all are counted
BEFORE_RETENTION = "before_retention"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user may say about the files.

    ``symbol``, ``kind``, ``exchange``: of all files, where file and manifest say nothing. ``replace``: a row that differs from one
    imported earlier becomes its new version; otherwise the stored one stays and the row goes to quarantine, so that importing
    overlapping files in any order, any number of times, ends the same. ``strict``: stop at the first file that fails. ``kept_ns``:
    rows before it are rejected: retention dropped what was there.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    symbol: str | None = None
    kind: Kind | None = None
    exchange: str = "NSE"
    manifest: Path | None = None
    replace: bool = False
    strict: bool = False
    kept_ns: int = 0


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file: ``rows == stored + unchanged + revised + sum(rejected)`` unless ``error`` is set."""

    path: str
    symbol: str = ""
    exchange: str = ""
    kind: str = ""
    kind_reason: str = ""
    rows: int = 0
    stored: int = 0
    unchanged: int = 0  # already there with the same values
    revised: int = 0  # a new version of a stored row (only with ``replace``)
    rejected: Mapping[str, int] = field(default_factory=dict)  # rows by reason
    flagged: Mapping[str, int] = field(default_factory=dict)  # stored rows that are odd, by core.validate.FlagReason
    odd: tuple[str, ...] = ()  # the first of them in words, repeats left out
    rounded: int = 0  # volumes that were no whole number of shares (files adjusted for splits), rounded to one
    gap_minutes: int = 0
    gap_ranges: int = 0
    first_ns: int | None = None  # open times of the first and last accepted bar
    last_ns: int | None = None
    seconds: float = 0.0
    error: str | None = None
    instrument_id: int = 0

    @property
    def n_rejected(self) -> int:
        """Rows rejected for any reason."""
        return sum(self.rejected.values())


@dataclass(slots=True)
class _Run:
    """What one call of ``import_paths`` knows: its options, and the stored instruments by key."""

    options: ImportOptions
    known: dict[str, Instrument]


class Importer:
    """Imports bar files through the ports. ``now_ns`` is the shell's clock: it dates new versions and times the work.

    ``gaps``: where the minutes a file leaves open are remembered; without it they are only counted in the report. ``auction``: who
    takes part in the closing auction when; continuous trading then ends earlier.
    """

    def __init__(
        self,
        instruments: InstrumentStore,
        bars: BarStore,
        sessions: SessionTable,
        now_ns: Callable[[], int],
        progress: Progress,
        gaps: GapStore | None = None,
        auction: Auction = no_auction,
    ) -> None:
        self._instruments = instruments
        self._bars = bars
        self._sessions = sessions
        self._validators = {segment: CandleValidator(sessions, segment=segment) for segment in Segment}
        self._now_ns = now_ns
        self._progress = progress
        self._gaps = gaps
        self._auction = auction

    def import_paths(self, paths: Sequence[Path], options: ImportOptions) -> list[FileReport]:
        """Import files and folders; one report a file, in order.

        InputError when a path holds no bar files, or (``strict``) at the first file that cannot be used; otherwise such a file's
        report has ``error`` set and the others go on. StorageError ends the run: the file at hand is rolled back, those before it
        are stored.
        """
        files = discover(paths, options.manifest).files
        known = {instrument.key: instrument for instrument in self._instruments.all()}
        run = _Run(options, known)
        reports = []
        for i, file in enumerate(files):
            self._progress("import", i, len(files))
            reports.append(self._import_or_report(file, run))
        self._progress("import", len(files), len(files))
        return reports

    def _import_or_report(self, file: BarFile, run: _Run) -> FileReport:
        started_ns = self._now_ns()
        try:
            report = self._import(file, run)
        except InputError as error:
            if run.options.strict:
                raise
            report = FileReport(str(file.path), error=str(error))
        return replace(report, seconds=(self._now_ns() - started_ns) / 1e9)

    def _import(self, file: BarFile, run: _Run) -> FileReport:
        raw = read_bars(file.path, run.options.read)
        wanted, kind_reason = identify(file, raw, run.options)
        instrument = _settle(wanted, run, explicit=bool(file.listing or run.options.kind), path=file.path)
        rounded = whole_volumes(raw.bars)
        found = self._validate(file.path, raw, instrument)
        if not instrument.id:
            instrument = run.known[instrument.key] = self._instruments.upsert([instrument])[0]
        kept = raw.bars["ts_ns"][found.accepted] >= run.options.kept_ns
        accepted = found.accepted[kept]
        rows, unchanged, differing = self._against_stored(instrument, raw.bars, accepted, run.options.replace)
        written = WriteReport()
        if rows.size:
            written = self._bars.write([instrument.id], raw.bars[rows], Source.IMPORT, self._now_ns())
        refused = {int(row): DIFFERS for row in differing} | {int(row): BEFORE_RETENTION for row in found.accepted[~kept]}
        self._quarantine(file.path, instrument, raw.bars, found, refused)
        self._save_gaps(instrument, raw.bars, found, run.options.kept_ns)
        report = _report(file.path, instrument, kind_reason, raw.bars, found, accepted, written, unchanged, refused)
        return replace(report, rounded=rounded, flagged={r.value: n for r, n in found.flagged().items()}, odd=_odd(raw.bars, found))

    def _validate(self, path: Path, raw: RawBars, instrument: Instrument) -> Validation:
        if not instrument.has_volume:
            raw.bars["volume"] = np.nan
        elif not raw.has_volume_column:
            raise InputError(
                f"{path}: expected a volume column; map one with --map volume=NAME, or say --kind index if it has none"
            )
        everybody = self._validators[instrument.segment]
        validator = everybody.of(partial(self._auction, instrument.id))
        earlier = self._earlier(instrument, raw.bars)
        found = validator.check(raw.bars, instrument.has_volume, _last_close(earlier), earlier)
        outside = int(np.count_nonzero(found.rows(RejectReason.OUT_OF_SESSION) & ~everybody.in_session(raw.bars["ts_ns"])))
        if outside and clock_is_wrong(raw.bars["ts_ns"], outside, everybody.in_session):
            raise InputError(explain_bad_hours(path, raw.bars["ts_ns"], raw.zone, outside, everybody.in_session))
        unknown = found.counts().get(RejectReason.UNKNOWN_DAY, 0)
        if unknown == raw.bars.shape[0]:
            raise InputError(
                f"{path}: expected days between {self._sessions.first} and {self._sessions.last}, found none; "
                "check --tz, --time-format and the ts column"
            )
        return found

    def _earlier(self, instrument: Instrument, bars: Bars) -> Bars:
        """What was imported of the days before the first row: it says what is usual, and which unit prices are in."""
        ts = bars["ts_ns"][bars["ts_ns"] >= ZERO_TIME_BEFORE_NS]
        if not instrument.id or ts.size == 0:
            return NO_BARS
        first_ns = int(ts.min())
        return self._bars.read([instrument.id], first_ns - BEFORE_NS, first_ns, Source.IMPORT)

    def _against_stored(self, instrument: Instrument, bars: Bars, rows: I8, replace_stored: bool) -> tuple[I8, int, I8]:
        """(rows to write, number already there with the same values, rows that differ from what is stored and stay out)."""
        if rows.size == 0:
            return rows, 0, rows
        ts = bars["ts_ns"][rows]
        stored = self._bars.read([instrument.id], int(ts[0]), int(ts[-1]) + MINUTE_NS, Source.IMPORT)
        at = np.minimum(np.searchsorted(stored["ts_ns"], ts), max(stored.shape[0] - 1, 0))
        there = stored["ts_ns"][at] == ts if stored.shape[0] else np.zeros(rows.size, dtype=np.bool_)
        same = there.copy()
        for name in ("open", "high", "low", "close") + (("volume",) if instrument.has_volume else ()):
            same[there] &= stored[name][at[there]] == bars[name][rows[there]]
        differs = there & ~same
        if replace_stored:
            return rows[~same], int(same.sum()), rows[:0]
        return rows[~there], int(same.sum()), rows[differs]

    def _save_gaps(self, instrument: Instrument, bars: Bars, found: Validation, kept_ns: int) -> None:
        ts = bars["ts_ns"][found.judged]
        ts = ts[ts >= kept_ns]
        if self._gaps is not None and ts.size:
            start_ns = max(midnight_ns(day_of(int(ts.min()))), kept_ns)
            end_ns = midnight_ns(day_of(int(ts.max()))) + DAY_NS
            spans = [(a, b) for a, b in found.gaps.tolist() if a >= start_ns]
            gaps = [Gap(instrument.id, a, b, NOT_IN_FILE, (b - a) // MINUTE_NS) for a, b in spans]
            self._gaps.settle_gaps(instrument, start_ns, end_ns, gaps)

    def _quarantine(self, path: Path, instrument: Instrument, bars: Bars, found: Validation, refused: Mapping[int, str]) -> None:
        reasons = {int(row): str(found.reason(int(row))) for row in np.flatnonzero(found.code)} | dict(refused)
        if reasons:
            origin = path.resolve()
            self._bars.quarantine([_quarantined(f"{origin}:{row + 1}", instrument, bars, row, why) for row, why in reasons.items()])


def _last_close(bars: Bars) -> float | None:
    return float(bars["close"][-1]) if bars.shape[0] else None


def whole_volumes(bars: Bars) -> int:
    """Round volumes to whole shares in place, as the database keeps them; returns how many were not whole."""
    whole = np.rint(bars["volume"])
    n = int(np.count_nonzero(np.isfinite(bars["volume"]) & (whole != bars["volume"])))
    bars["volume"] = whole
    return n


def identify(file: BarFile, raw: RawBars, options: ImportOptions) -> tuple[Instrument, str]:
    """The instrument a file holds, not yet stored, and why its kind was taken."""
    listing = file.listing
    given = options.symbol
    if raw.symbol and given and raw.symbol != given:
        raise InputError(f"{file.path}: expected symbol {given} (--symbol), found {raw.symbol} in the file; leave --symbol out")
    symbol = raw.symbol or given or (listing.symbol if listing else file.path.stem)
    exchange = listing.exchange if listing and listing.exchange else options.exchange
    if listing:
        kind, why = listing.kind, "manifest"
    elif options.kind:
        kind, why = options.kind, "option"
    elif is_index_name(symbol):
        kind, why = Kind.INDEX, "assumed: an index by its name"
    elif raw.has_volume_column and not np.nan_to_num(raw.bars["volume"]).any():
        kind, why = Kind.INDEX, "assumed: the whole volume column is zero"
    else:
        kind, why = Kind.EQUITY, "assumed: it has volume"
    return Instrument(exchange, symbol, kind), why


def _settle(wanted: Instrument, run: _Run, explicit: bool, path: Path) -> Instrument:
    """The stored instrument of that key if there is one; what was stored wins over what was assumed, not over what was said."""
    stored = run.known.get(wanted.key)
    if stored is None:
        return wanted
    if explicit and stored.kind is not wanted.kind:
        raise InputError(
            f"{path}: expected {wanted.key} to be of kind {stored.kind}, as stored; found {wanted.kind}; "
            "use another symbol or the stored kind"
        )
    return stored


def _quarantined(origin: str, instrument: Instrument, bars: Bars, row: int, reason: str) -> Quarantined:
    bar = bars[row]
    values = {name: float(bar[name]) for name in ("open", "high", "low", "close", "volume")}
    ts_ns = int(bar["ts_ns"])
    return Quarantined(instrument.symbol, origin, ts_ns or None, reason, {k: None if np.isnan(v) else v for k, v in values.items()})


def _odd(bars: Bars, found: Validation) -> tuple[str, ...]:
    told = [flag for flag in found.flags if flag.reason is not FlagReason.REPEATED][:ODD_MAX]
    minutes = [np.datetime64(int(bars["ts_ns"][flag.row]) + IST_NS, "ns").astype("datetime64[m]") for flag in told]
    return tuple(f"{str(at).replace('T', ' ')} {flag.reason.value}: {flag.detail}" for at, flag in zip(minutes, told, strict=True))


def _report(
    path: Path,
    instrument: Instrument,
    why: str,
    bars: Bars,
    found: Validation,
    accepted: I8,
    written: WriteReport,
    unchanged: int,
    refused: Mapping[int, str],
) -> FileReport:
    rejected = {reason.value: n for reason, n in found.counts().items()} | Counter(refused.values())
    ts = bars["ts_ns"][accepted]
    return FileReport(
        path=str(path),
        symbol=instrument.symbol,
        exchange=instrument.exchange,
        kind=instrument.kind.value,
        kind_reason=why,
        rows=bars.shape[0],
        stored=written.inserted,
        unchanged=written.unchanged + unchanged,
        revised=written.revised,
        rejected=rejected,
        gap_minutes=found.gap_minutes,
        gap_ranges=found.gaps.shape[0],
        first_ns=int(ts[0]) if ts.size else None,
        last_ns=int(ts[-1]) if ts.size else None,
        instrument_id=instrument.id,
    )
