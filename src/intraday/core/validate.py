"""CandleValidator: which one-minute bars of a file can be believed, why the others can't, and which minutes are missing.

Pure and vectorised: one instrument at a time, in the order the rows stand in the file. The first reason in the order of
``REASONS`` is the one a row gets. What can't be is rejected, for quarantine; what is only odd is flagged, and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core import suspects
from intraday.domain.arrays import BAR, DAY_NS, F8, I8, IST_NS, MINUTE_NS, Bars, Mask, empty
from intraday.domain.gaps import PADDING, runs
from intraday.domain.session import EPOCH, Segment, SessionTable

UNIT_RATIO = 50.0  # paise for rupees is 100; no split or circuit limit moves a price by 50 from one bar to the next
NO_BARS = empty(BAR)
ZERO_TIME_BEFORE_NS = 365 * DAY_NS  # a stamp in 1970 is a zero, in whatever zone


class RejectReason(StrEnum):
    """Why a bar was not accepted."""

    STALE_ZERO_TIME = "stale_zero_time"
    UNKNOWN_DAY = "unknown_day"
    NOT_ON_MINUTE = "not_on_minute"
    OUT_OF_SESSION = "out_of_session"
    BAD_OHLC = "bad_ohlc"
    NEGATIVE_VOLUME = "negative_volume"
    UNIT_JUMP = "unit_jump"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    NO_TRADE_PADDING = PADDING
    STALE = "stale"
    OUTLIER = "outlier"

    @property
    def description(self) -> str:
        """One line for people."""
        return DESCRIPTIONS[self]


DESCRIPTIONS = {
    RejectReason.STALE_ZERO_TIME: "the time stamp is zero or missing",
    RejectReason.UNKNOWN_DAY: "the day lies outside the session table",
    RejectReason.NOT_ON_MINUTE: "the time stamp is not a full minute",
    RejectReason.OUT_OF_SESSION: "the exchange was closed or paused at that minute",
    RejectReason.BAD_OHLC: "a price is missing or not positive, high is under low, or open or close lies outside them",
    RejectReason.NEGATIVE_VOLUME: "the volume is negative or missing",
    RejectReason.UNIT_JUMP: "the price is over 50 times or under 1/50 of its neighbours: paise for rupees, or another instrument",
    RejectReason.DUPLICATE: "the same row again",
    RejectReason.CONFLICT: "the same minute again with other values; the first one is kept",
    RejectReason.NO_TRADE_PADDING: "volume 0 and flat at the previous close: a minute without trades has no candle",
    RejectReason.STALE: "the same bar for the fourth time in a row (flat: the eleventh), or the third of the session before",
    RejectReason.OUTLIER: "a price over 25 % and 20 robust deviations away from the session's last and the session before's close",
}
REASONS: tuple[RejectReason, ...] = tuple(RejectReason)


class FlagReason(StrEnum):
    """Why an accepted bar is odd. It is stored all the same."""

    REPEATED = "repeated"
    JUMP = "jump"
    CORPORATE_ACTION = "corporate_action"

    @property
    def description(self) -> str:
        """One line for people."""
        return FLAGS[self]


FLAGS = {
    FlagReason.REPEATED: "the same bar as a minute before, though not flat, or flat for the fourth time",
    FlagReason.JUMP: "a return of over 20 robust deviations, by what was known before it, or of over 25 % overnight",
    FlagReason.CORPORATE_ACTION: "a session opens at a simple ratio of the close before, with the rupee turnover it used to have",
}


@dataclass(frozen=True, slots=True)
class Flag:
    """An accepted row that is odd, why, and by how much."""

    row: int
    reason: FlagReason
    detail: str


@dataclass(frozen=True, slots=True)
class Validation:
    """What the validator found in n rows.

    ``code`` int8[n]: 0 = accepted, else ``REASONS[code - 1]``. ``accepted`` int64[k]: row numbers of the accepted rows, ordered by
    time. ``gaps`` int64[g, 2]: runs of minutes without a row, open times ``start_ns <= t < end_ns``, each within one session, from
    the first session with an accepted row to the last. Minutes the file says had no trade (padding) are not gaps. ``flags``: what
    is odd of the accepted rows.
    """

    code: NDArray[np.int8]
    accepted: I8
    gaps: I8
    flags: tuple[Flag, ...] = ()

    def counts(self) -> dict[RejectReason, int]:
        """Rejected rows by reason, only reasons that occurred, in order of ``REASONS``."""
        n = np.bincount(self.code, minlength=len(REASONS) + 1)[1:]
        return {reason: int(k) for reason, k in zip(REASONS, n, strict=True) if k}

    def flagged(self) -> dict[FlagReason, int]:
        """Flags by reason, only reasons that occurred."""
        found = [flag.reason for flag in self.flags]
        return {reason: found.count(reason) for reason in FlagReason if reason in found}

    def rows(self, reason: RejectReason) -> Mask:
        """bool[n]: rows rejected for ``reason``."""
        return np.asarray(self.code == REASONS.index(reason) + 1, dtype=np.bool_)

    def reason(self, row: int) -> RejectReason | None:
        """Why ``row`` was rejected; None when it was accepted."""
        code = int(self.code[row])
        return None if code == 0 else REASONS[code - 1]

    @property
    def judged(self) -> Mask:
        """bool[n]: rows that say something of their minute: accepted, or that it had no trade."""
        return _judged(self.code)

    @property
    def gap_minutes(self) -> int:
        """How many minutes are missing in all."""
        return int((self.gaps[:, 1] - self.gaps[:, 0]).sum() // MINUTE_NS)


class CandleValidator:
    """Checks one-minute bars against a segment's hours in the session table."""

    def __init__(self, sessions: SessionTable, segment: Segment = Segment.EQUITY) -> None:
        self._number, self._open_ns, self._close_ns = sessions.arrays(segment=segment)
        self._early_ns = sessions.arrays(auction=True, segment=segment)[2]
        self._pauses = sessions.pauses()
        self._first = (sessions.first - EPOCH).days
        self._last = (sessions.last - EPOCH).days

    def check(self, bars: Bars, has_volume: bool, before: float | None = None, earlier: Bars = NO_BARS) -> Validation:
        """Judge BAR[n] of one instrument, in file order. ``has_volume`` False (indices): volume is not looked at.

        ``before``: a close that is known to be right, from shortly before the first row; without it, the unit that most rows are in
        counts as the right one. ``earlier``: BAR[k], bars believed before, ascending, all older than ``bars``: what is usual rests
        on them, and nothing is said of them. Without any, nothing in the first sessions is called a jump or a corporate action.
        """
        code = np.zeros(bars.shape[0], dtype=np.int8)
        ts = np.ascontiguousarray(bars["ts_ns"])
        day = (ts + IST_NS) // DAY_NS
        _mark(code, RejectReason.STALE_ZERO_TIME, ts < ZERO_TIME_BEFORE_NS)
        _mark(code, RejectReason.UNKNOWN_DAY, (day < self._first) | (day > self._last))
        _mark(code, RejectReason.NOT_ON_MINUTE, ts % MINUTE_NS != 0)
        _mark(code, RejectReason.OUT_OF_SESSION, ~self.in_session(ts))
        _mark(code, RejectReason.BAD_OHLC, ~_sane_prices(bars))
        if has_volume:
            volume = bars["volume"]
            _mark(code, RejectReason.NEGATIVE_VOLUME, ~((volume >= 0.0) & np.isfinite(volume)))
        _reject_unit_jumps(code, bars, before)
        _reject_repeats(code, bars, ts, has_volume)
        if has_volume:
            _reject_padding(code, bars, ts)
        flags = _suspect(code, bars, ts, has_volume, earlier)
        accepted = _by_time(np.flatnonzero(code == 0), ts)
        seen = np.sort(ts[_judged(code)])
        return Validation(code, accepted, self.gaps(seen), flags)

    def of(self, takes_part: Callable[[date], bool]) -> CandleValidator:
        """For a stock that takes part in the closing auction on some days: its continuous trading ends earlier then."""
        own = copy(self)
        sooner = np.flatnonzero(self._early_ns < self._close_ns)
        days = [EPOCH + timedelta(days=number) for number in self._number[sooner].tolist()]
        own._close_ns = self._close_ns.copy()
        early = sooner[np.array([takes_part(day) for day in days], np.bool_)]
        own._close_ns[early] = self._early_ns[early]
        return own

    def in_session(self, ts_ns: I8) -> Mask:
        """bool[n]: whether each instant lies in continuous trading, pauses excluded."""
        i = np.searchsorted(self._open_ns, ts_ns, side="right") - 1
        inside = (i >= 0) & (ts_ns < self._close_ns[np.maximum(i, 0)])
        for start, end in self._pauses:
            inside &= (ts_ns < start) | (ts_ns >= end)
        return np.asarray(inside, dtype=np.bool_)

    def gaps(self, seen_ns: I8) -> I8:
        """int64[g, 2]: runs of session minutes that are not in ``seen_ns`` (ascending), see ``Validation.gaps``."""
        if seen_ns.size == 0:
            return np.empty((0, 2), dtype=np.int64)
        lo = int(np.searchsorted(self._open_ns, seen_ns[0], side="right")) - 1
        hi = int(np.searchsorted(self._open_ns, seen_ns[-1], side="right"))
        minutes = (self._close_ns[lo:hi] - self._open_ns[lo:hi]) // MINUTE_NS
        start = np.repeat(np.cumsum(minutes) - minutes, minutes)
        grid = np.repeat(self._open_ns[lo:hi], minutes) + (np.arange(start.size) - start) * MINUTE_NS
        at = np.minimum(np.searchsorted(seen_ns, grid), seen_ns.size - 1)
        missing = grid[(seen_ns[at] != grid) & self.in_session(grid)]
        return runs(missing)


def _judged(code: NDArray[np.int8]) -> Mask:
    return np.asarray((code == 0) | (code == REASONS.index(RejectReason.NO_TRADE_PADDING) + 1), dtype=np.bool_)


def _mark(code: NDArray[np.int8], reason: RejectReason, bad: Mask) -> None:
    """Give ``reason`` to the rows of ``bad`` that have none yet."""
    code[bad & (code == 0)] = REASONS.index(reason) + 1


def _by_time(rows: I8, ts: I8) -> I8:
    """``rows`` in order of time, file order among equals."""
    t = ts[rows]
    return rows if np.all(t[1:] >= t[:-1]) else rows[np.argsort(t, kind="stable")]


def _sane_prices(bars: Bars) -> Mask:
    o, h, lo, c = bars["open"], bars["high"], bars["low"], bars["close"]
    # Comparisons with NaN are False, so one missing price is enough to fail.
    return np.asarray((lo > 0.0) & (h < np.inf) & (o >= lo) & (o <= h) & (c >= lo) & (c <= h), dtype=np.bool_)


def _reject_unit_jumps(code: NDArray[np.int8], bars: Bars, before: float | None) -> None:
    """Reject rows in another unit than ``before``, or than most: between neighbours, every jump by 50 moves to another level."""
    _mark(code, RejectReason.UNIT_JUMP, (code == 0) & (bars["high"] > UNIT_RATIO * bars["low"]))
    rows = _by_time(np.flatnonzero(code == 0), bars["ts_ns"])
    known = [] if before is None else [before]
    close = np.concatenate((known, bars["close"][rows]))
    if close.size < 2:
        return
    up = close[1:] > UNIT_RATIO * close[:-1]
    down = close[1:] * UNIT_RATIO < close[:-1]
    if not (up.any() or down.any()):
        return
    level = np.concatenate(([0], np.cumsum(up.astype(np.int64) - down)))
    values, first, n = np.unique(level, return_index=True, return_counts=True)
    # The most frequent level; the earlier one when equally frequent.
    usual = values[np.lexsort((first, -n))[0]] if before is None else 0
    _reject_rows(code, RejectReason.UNIT_JUMP, rows[level[len(known) :] != usual])


def _reject_repeats(code: NDArray[np.int8], bars: Bars, ts: I8, has_volume: bool) -> None:
    """Of rows with the same minute keep the first in file order; the others are duplicates or conflicts."""
    rows = _by_time(np.flatnonzero(code == 0), ts)
    again = np.concatenate(([False], ts[rows[1:]] == ts[rows[:-1]])) if rows.size else np.empty(0, dtype=np.bool_)
    if not again.any():
        return
    first = rows[np.maximum.accumulate(np.where(again, 0, np.arange(rows.size)))]
    fields = ["open", "high", "low", "close"] + (["volume"] if has_volume else [])
    same = np.logical_and.reduce([bars[name][rows] == bars[name][first] for name in fields])
    for reason, bad_rows in ((RejectReason.DUPLICATE, rows[again & same]), (RejectReason.CONFLICT, rows[again & ~same])):
        _reject_rows(code, reason, bad_rows)


def _reject_padding(code: NDArray[np.int8], bars: Bars, ts: I8) -> None:
    """Reject zero-volume rows that are flat at the close before them (or flat at the very start, where nothing stands before)."""
    rows = _by_time(np.flatnonzero(code == 0), ts)
    if rows.size == 0:
        return
    r: NDArray[Any] = bars[rows]
    close: F8 = r["close"]
    before = np.concatenate((close[:1], close[:-1]))
    flat = (r["volume"] == 0.0) & (r["high"] == r["low"]) & (close == before)  # high equals low: so do open and close
    _reject_rows(code, RejectReason.NO_TRADE_PADDING, rows[flat])


def _suspect(code: NDArray[np.int8], bars: Bars, ts: I8, has_volume: bool, earlier: Bars) -> tuple[Flag, ...]:
    """Reject stale rows and outliers; flag what is odd of the rest, by time. ``earlier`` stands before them, row -1 each."""
    rows = _by_time(np.flatnonzero(code == 0), ts)
    if rows.size == 0:
        return ()
    picked = np.concatenate((earlier, bars[rows]))
    rows = np.concatenate((np.full(len(earlier), -1), rows))
    hangs = suspects.stale(picked, has_volume, suspects.sessions_of(picked)) & (rows >= 0)
    _reject_rows(code, RejectReason.STALE, rows[hangs])
    rows, picked = rows[~hangs], picked[~hangs]
    sessions = suspects.sessions_of(picked)
    sigma = suspects.volatility(picked, sessions, suspects.returns(picked, sessions))
    wild = suspects.outliers(picked, sessions, sigma)
    wild = wild[rows[wild] >= 0]
    if wild.size:
        _reject_rows(code, RejectReason.OUTLIER, rows[wild])
        rows, picked, sigma = np.delete(rows, wild), np.delete(picked, wild), np.delete(sigma, wild)
    return tuple(flag for flag in _flags(rows, picked, sigma, has_volume) if flag.row >= 0)


def _flags(rows: I8, bars: Bars, sigma: F8, has_volume: bool) -> tuple[Flag, ...]:
    sessions = suspects.sessions_of(bars)
    moves = suspects.returns(bars, sessions)
    found = [(k, FlagReason.REPEATED, "") for k in np.flatnonzero(suspects.repeats(bars, has_volume)).tolist()]
    found += [(k, FlagReason.JUMP, _deviations(moves[k], sigma[k])) for k in suspects.jumps(moves, sigma).tolist()]
    actions = suspects.actions(bars, sessions) if has_volume else []
    found += [(a.row, FlagReason.CORPORATE_ACTION, a.text) for a in actions]
    told = {a.row for a in actions}
    apart = zip(*suspects.overnight(bars, sessions), strict=True)
    found += [(int(k), FlagReason.JUMP, f"{100.0 * move:+.2f} % overnight") for k, move in apart if int(k) not in told]
    return tuple(Flag(int(rows[k]), reason, told) for k, reason, told in sorted(found))


def _deviations(move: float, sigma: float) -> str:
    return f"{100.0 * np.expm1(move):+.2f} % a minute, {abs(move / sigma):.0f} deviations"


def _reject_rows(code: NDArray[np.int8], reason: RejectReason, rows: I8) -> None:
    bad = np.zeros(code.shape[0], dtype=np.bool_)
    bad[rows] = True
    _mark(code, reason, bad)
