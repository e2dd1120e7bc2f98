"""User features that are plain functions ``f(bars) -> [T, S]``: each value comes from a call on the trailing window.

The rows of the window are the **slot grid**: every decision bar that the sessions of the table could have, one after the other,
with NaN where an instrument did not trade. History and live make every value by the same call on the same rows, so a function
cannot see later bars in either; what it would have seen, called on a whole panel, is for the audit to say (``core.audit``).
"""

from __future__ import annotations

import io
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from intraday.core import arguments
from intraday.core.feature import check_words
from intraday.core.panel import Day
from intraday.domain.arrays import DAY_NS, F4, F8, GRID_ORIGIN_NS, I8, IST_NS, MINUTE_NS, Bars, Mask, Panel
from intraday.domain.errors import ArtifactError, ConfigError, SkewError
from intraday.domain.session import EPOCH, SessionTable, day_of

PRICES = ("open", "high", "low", "close", "volume")
CLOCK = ("minute", "minutes", "weekday", "day")
FIELDS = len(PRICES) + len(CLOCK) + 1  # and whether it is a member
DAY = len(PRICES) + CLOCK.index("day")
LARGEST = float(np.finfo(np.float32).max)
LINE_BYTES = 64  # windows start on a cache line, in history and live: no sum may depend on where an array happens to lie


@dataclass(frozen=True)
class BarWindow:
    """What a function gets: T rows of the slot grid, oldest first, S instruments. Arrays float64 [T, S], read-only.

    ``open high low close`` rupees and ``volume`` shares, NaN where the instrument had no bar (volume: or has none at all);
    ``minute`` from the session's open to the slot's; ``minutes`` length of the instrument's session; ``weekday`` 0 Monday .. 6;
    ``day`` 0 in the newest session, calendar days before it negative; ``member`` bool: compared in cross-sections. Rows before the
    first session are NaN. ``timeframe`` minutes a row; ``index`` column of the market index, None without one.
    """

    timeframe: int
    open: F8
    high: F8
    low: F8
    close: F8
    volume: F8
    minute: F8
    minutes: F8
    weekday: F8
    day: F8
    member: Mask
    index: int | None = None

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # numpy and copy ask for protocols this way
            raise AttributeError(name)
        raise AttributeError(
            f"bars have no {name!r}: a feature is given {', '.join((*PRICES, *CLOCK, 'member'))}, timeframe and index of the bars "
            "up to the decision; no dates, labels or corporate actions"
        )


Function = Callable[[BarWindow], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FunctionFeature:
    """A feature that is a function of the last ``window`` slots. Only the last row of what it returns becomes a value.

    It must not depend on anything but its argument. The first value comes at the ``window``-th slot of the calculation. What is
    infinite or too large for float32 is missing (NaN).
    """

    name: str
    function: Function
    window: int
    formula: str  # for people
    units: str
    family: str = "user"
    source: str = "user"
    needs_volume: bool = False
    undefined: str = ""

    def __post_init__(self) -> None:
        check_words(self.name, self.formula, self.units, self.family, self.source, self.undefined)
        object.__setattr__(self, "window", arguments.whole(f"feature {self.name!r}: window", self.window, "slots"))
        if not callable(self.function):
            raise ConfigError(f"feature {self.name!r}: expected a function second, without brackets, found {self.function!r:.60}")

    @property
    def warmup(self) -> int:
        """Bars before the first value."""
        return self.window - 1

    @property
    def sessions(self) -> int:
        """Sessions before the first value: none beyond the warm-up."""
        return 0

    def evaluate(self, bars: BarWindow) -> F8:
        """float64 [T, S]. ConfigError, which names the feature and the line, when the function fails or returns anything else."""
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of nanmean and its kin where nothing traded
                found = np.asarray(self.function(bars))
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is the user's code: whatever it raises is theirs to mend
            raise ConfigError(f"user feature {self.name!r}: {_where(error)}{type(error).__name__}: {error}") from error
        if found.shape != bars.close.shape or found.dtype.kind not in "fiub":
            raise ConfigError(
                f"user feature {self.name!r}: expected an array of numbers of shape {bars.close.shape} (rows, instruments), as "
                f"bars.close has, found {found.dtype} of shape {found.shape}"
            )
        out = found.astype(np.float64)
        out[~np.isfinite(out)] = np.nan
        return out


@dataclass(frozen=True, slots=True)
class FunctionSet:
    """Function features of one file, in column order, and the sessions that make their slots. ``digest``: of the file's content."""

    features: tuple[FunctionFeature, ...]
    digest: str
    sessions: SessionTable = field(compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in column order."""
        return tuple(f.name for f in self.features)

    @property
    def window(self) -> int:
        """Rows that the longest of them needs."""
        return max((f.window for f in self.features), default=1)

    def chosen(self, names: tuple[str, ...]) -> FunctionSet:
        """The ones named, in that order."""
        by_name = {f.name: f for f in self.features}
        return FunctionSet(tuple(by_name[n] for n in names), self.digest, self.sessions)


class Failure(NamedTuple):
    """A function that failed at the decision bar that opened at ``ts_ns``, and how."""

    name: str
    ts_ns: int
    text: str


class FunctionCalculator:
    """The trailing rows of S instruments and the functions called on them.

    It starts empty: give it bars from the anchor on. Consecutive chunks, one call or step by step, and any empty rows in between
    give the same bits. A function that fails raises ConfigError, unless the calculator is told to ``forgive``.
    """

    def __init__(self, functions: FunctionSet, timeframe: int, n_instruments: int, index: int | None = None) -> None:
        self.functions = functions
        self._timeframe = timeframe
        self._index = index
        self._rows = _aligned(FIELDS, functions.window, n_instruments)
        self._seen = 0  # rows pushed since the start
        self._last_ns = -1
        self._open_ns = 0  # of the session of the last row
        self._failures: list[Failure] | None = None  # None: a failure raises

    def forgive(self) -> None:
        """From now on a function that fails gives NaN at that bar, and ``take_failures`` tells."""
        self._failures = []

    def take_failures(self) -> list[Failure]:
        """What failed since the last call, in order."""
        found = self._failures or []
        if self._failures is not None:
            self._failures = []
        return found

    def batch(self, panel: Panel) -> F4:
        """Advance over the panel. Returns float32 [T, S, F]; NaN without a bar and in warm-up."""
        out = np.full((len(panel), panel.n_instruments, len(self.functions.features)), np.nan, np.float32)
        for t in np.flatnonzero(panel.mask.any(axis=1)):
            mask = panel.mask[t]
            prices = [np.where(mask, getattr(panel, name)[t], np.nan) for name in PRICES]
            self._advance(int(panel.ts_ns[t]), panel.minutes[t], panel.member[t], prices)
            out[t, mask] = self._values()[mask]
        return out

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        """Advance by the decision bar that opened at ``ts_ns``: BAR[b], each instrument at most once. float32 [b, F]."""
        if len(bars) == 0:
            return np.empty((0, len(self.functions.features)), np.float32)
        prices = [np.full(self._rows.shape[2], np.nan) for _ in PRICES]
        for name, row in zip(PRICES, prices, strict=True):
            row[bars["inst"]] = bars[name]
        self._advance(ts_ns, day.minutes, day.member, prices)
        return np.ascontiguousarray(self._values()[bars["inst"]])

    def snapshot(self) -> bytes:
        """The state as npz, with the file's digest and the names."""
        buffer = io.BytesIO()
        clock = np.array([self._seen, self._last_ns, self._open_ns], np.int64)
        np.savez(buffer, digest=np.array(self.functions.digest), names=np.array(self.functions.names), rows=self._rows, clock=clock)
        return buffer.getvalue()

    def restore(self, snapshot: bytes) -> None:
        """Go back to a snapshot. SkewError: of other functions or instruments; ArtifactError: unreadable."""
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as stored:
                found = str(stored["digest"]), tuple(stored["names"].tolist()), stored["rows"].shape
                rows, clock = stored["rows"], stored["clock"].tolist()
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"snapshot of user features: expected npz, found {error}; rebuild it from the anchor") from error
        expected = self.functions.digest, self.functions.names, self._rows.shape
        if found != expected:
            raise SkewError(f"snapshot of user features: expected {expected}, found {found}; rebuild it from the anchor")
        self._rows[:] = rows
        self._seen, self._last_ns, self._open_ns = clock

    def same_state(self, other: FunctionCalculator) -> Mask:
        """bool [S]: which instruments have the same rows here and there, bit for bit (NaN equals NaN)."""
        same = (self._rows == other._rows) | (np.isnan(self._rows) & np.isnan(other._rows))
        return np.asarray(same.all(axis=(0, 1)) & (self._seen == other._seen) & (self._last_ns == other._last_ns), np.bool_)

    def columns(self, keep: I8) -> FunctionCalculator:
        """A calculator of the instruments ``keep``, in that order, with a copy of their rows."""
        index = None if self._index is None else next(iter(np.flatnonzero(keep == self._index).tolist()), None)
        other = FunctionCalculator(self.functions, self._timeframe, len(keep), index)
        other._rows[:] = self._rows[:, :, keep]
        other._seen, other._last_ns, other._open_ns = self._seen, self._last_ns, self._open_ns
        other._failures = None if self._failures is None else []
        return other

    def _advance(self, ts_ns: int, minutes: F8, member: Mask, prices: list[F8]) -> None:
        """Empty rows for the slots in which nothing traded since the last one, then this one."""
        assert ts_ns > self._last_ns, (ts_ns, self._last_ns)
        frame_ns, since_ns = self._timeframe * MINUTE_NS, self._last_ns if self._seen else _midnight(ts_ns)
        if ts_ns - since_ns != frame_ns:
            skipped = slots(self.functions.sessions, frame_ns, since_ns, ts_ns)
            self._skip(skipped, _number(ts_ns), minutes, member)
        self._push(ts_ns, minutes, member, prices)

    def _skip(self, skipped: I8, today: int, minutes: F8, member: Mask) -> None:
        """Of another day than today nothing is known but its hours: the rest of one, or one without any bar."""
        nothing, nobody = np.full(len(minutes), np.nan), np.zeros(len(minutes), np.bool_)
        for ts_ns in skipped[-self._rows.shape[1] :].tolist():  # of more than a window nothing is left
            known = _number(ts_ns) == today
            self._push(ts_ns, minutes if known else nothing, member if known else nobody, [nothing] * len(PRICES))

    def _push(self, ts_ns: int, minutes: F8, member: Mask, prices: list[F8]) -> None:
        rows, number = self._rows, _number(ts_ns)
        if self._seen == 0 or number != _number(self._last_ns):
            rows[DAY] -= 0 if self._seen == 0 else number - _number(self._last_ns)
            self._open_ns = self.functions.sessions.get(EPOCH + timedelta(days=number)).open_ns
        step = rows.shape[2]
        for line in rows.reshape(len(rows), -1):  # in one dimension numpy moves overlapping rows without a copy of them
            line[:-step] = line[step:]
        clock = ((ts_ns - self._open_ns) / MINUTE_NS, minutes, _weekday(number), 0.0, member)
        for row, value in zip(rows[:, -1], (*prices, *clock), strict=True):
            row[:] = value
        self._seen, self._last_ns = self._seen + 1, ts_ns

    def _values(self) -> F4:
        """float32 [S, F] of the newest row."""
        out = np.full((self._rows.shape[2], len(self.functions.features)), np.nan, np.float32)
        for f, feature in enumerate(self.functions.features):
            if self._seen >= feature.window:
                out[:, f] = self._value(feature)
        return out

    def _value(self, feature: FunctionFeature) -> F8:
        """float64 [S] of the newest row."""
        bars = _window(self._rows[:, -feature.window :], self._timeframe, self._index)
        try:
            newest: F8 = feature.evaluate(bars)[-1]
        except ConfigError as error:
            if self._failures is None:
                raise
            self._failures.append(Failure(feature.name, self._last_ns, str(error)))
            return np.full(self._rows.shape[2], np.nan)
        newest[np.abs(newest) > LARGEST] = np.nan
        return newest


def whole(functions: FunctionSet, panel: Panel, index: int | None = None) -> tuple[BarWindow, I8]:
    """All slots of the panel as one window, and the row of the window at which each of its open times stands, int64 [T].

    For the audit alone: what a function makes of this may see the future. The panel holds at least one bar, and no open time twice.
    """
    traded = panel.ts_ns[panel.mask.any(axis=1)]
    sessions, frame_ns = functions.sessions, panel.timeframe * MINUTE_NS
    grid = np.union1d(slots(sessions, frame_ns, _midnight(int(traded[0])), int(traded[-1]) + 1), traded)  # futures trade longer
    at = np.searchsorted(grid, panel.ts_ns)
    rows = np.full((FIELDS, len(grid), panel.n_instruments), np.nan)
    for row, name in zip(rows, PRICES, strict=False):
        row[at] = np.where(panel.mask, getattr(panel, name), np.nan)
    number = (grid + IST_NS) // DAY_NS
    following = np.searchsorted(panel.ts_ns, traded[np.searchsorted(traded, grid)])
    known = panel.session[following] == number
    opened = {n: sessions.get(EPOCH + timedelta(days=n)).open_ns for n in np.unique(number).tolist()}
    rows[5] = ((grid - np.array([opened[n] for n in number.tolist()])) / MINUTE_NS)[:, None]
    rows[6][known] = panel.minutes[following[known]]
    rows[7] = np.array([_weekday(n) for n in number.tolist()])[:, None]
    rows[DAY] = (number - number[-1])[:, None]
    rows[9] = 0.0
    rows[9][known] = panel.member[following[known]]
    return _window(rows, panel.timeframe, index), at


def slots(sessions: SessionTable, frame_ns: int, after_ns: int, before_ns: int) -> I8:
    """Open times of the decision slots with ``after_ns < t < before_ns``, int64, ascending: those of candles (``core.candles``)."""
    days = sessions.between(day_of(after_ns), day_of(before_ns))
    parts = [np.arange(s.open_ns - (s.open_ns - GRID_ORIGIN_NS) % frame_ns, s.close_ns, frame_ns, dtype=np.int64) for s in days]
    found: I8 = np.concatenate([np.empty(0, np.int64), *parts])
    return found[(found > after_ns) & (found < before_ns)]


def _window(rows: F8, timeframe: int, index: int | None) -> BarWindow:
    """Views of float64 [FIELDS, T, S] that nobody can write through."""
    fields = {name: row.view() for name, row in zip((*PRICES, *CLOCK), rows, strict=False)}
    member = rows[-1] > 0.0
    for array in (*fields.values(), member):
        array.setflags(write=False)
    return BarWindow(timeframe=timeframe, **fields, member=member, index=index)


def _aligned(fields: int, rows: int, columns: int) -> F8:
    """float64 [fields, rows, columns] of NaN whose first byte is the first of a cache line."""
    n = fields * rows * columns
    room = np.full(n + LINE_BYTES // 8, np.nan)
    skip = -room.ctypes.data % LINE_BYTES // 8
    return room[skip : skip + n].reshape(fields, rows, columns)


def _number(ts_ns: int) -> int:
    return (ts_ns + IST_NS) // DAY_NS


def _midnight(ts_ns: int) -> int:
    return _number(ts_ns) * DAY_NS - IST_NS


def _weekday(number: int) -> float:
    return float((number + 3) % 7)  # 1970-01-01 was a Thursday


def _where(error: BaseException) -> str:
    """The user's line that failed: the deepest one of the file the function stands in."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    mine = [f for f in frames if f.filename == frames[0].filename]
    return f"{Path(mine[-1].filename).name}, line {mine[-1].lineno}: " if mine else ""
