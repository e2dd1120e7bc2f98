"""CandleValidator: which one-minute bars of a file can be believed, why the others can't, and which minutes are missing.

Pure and vectorised: one instrument at a time, in the order the rows stand in the file. The first reason in the order of
``REASONS`` is the one a row gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import DAY_NS, F8, I8, IST_NS, MINUTE_NS, Bars, Mask
from intraday.domain.gaps import PADDING, runs
from intraday.domain.session import EPOCH, SessionTable

UNIT_RATIO = 50.0  # paise for rupees is 100; no split or circuit limit moves a price by 50 from one bar to the next
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
}
REASONS: tuple[RejectReason, ...] = tuple(RejectReason)


@dataclass(frozen=True, slots=True)
class Validation:
    """What the validator found in n rows.

    ``code`` int8[n]: 0 = accepted, else ``REASONS[code - 1]``. ``accepted`` int64[k]: row numbers of the accepted rows, ordered by
    time. ``gaps`` int64[g, 2]: runs of minutes without a row, open times ``start_ns <= t < end_ns``, each within one session, from
    the first session with an accepted row to the last. Minutes the file says had no trade (padding) are not gaps.
    """

    code: NDArray[np.int8]
    accepted: I8
    gaps: I8

    def counts(self) -> dict[RejectReason, int]:
        """Rejected rows by reason, only reasons that occurred, in order of ``REASONS``."""
        n = np.bincount(self.code, minlength=len(REASONS) + 1)[1:]
        return {reason: int(k) for reason, k in zip(REASONS, n, strict=True) if k}

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
    """Checks one-minute bars against the session table. ``auction``: hours of closing-auction stocks."""

    def __init__(self, sessions: SessionTable, auction: bool = False) -> None:
        self._number, self._open_ns, self._close_ns = sessions.arrays(auction)
        self._pauses = sessions.pauses()
        self._first = (sessions.first - EPOCH).days
        self._last = (sessions.last - EPOCH).days

    def check(self, bars: Bars, has_volume: bool) -> Validation:
        """Judge BAR[n] of one instrument, in file order. ``has_volume`` False (indices): volume is not looked at."""
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
        _reject_unit_jumps(code, bars)
        _reject_repeats(code, bars, ts, has_volume)
        if has_volume:
            _reject_padding(code, bars, ts)
        accepted = _by_time(np.flatnonzero(code == 0), ts)
        seen = np.sort(ts[_judged(code)])
        return Validation(code, accepted, self.gaps(seen))

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


def _reject_unit_jumps(code: NDArray[np.int8], bars: Bars) -> None:
    """Reject rows in another unit than most: between neighbours in time, every jump by 50 moves to another level of units."""
    _mark(code, RejectReason.UNIT_JUMP, (code == 0) & (bars["high"] > UNIT_RATIO * bars["low"]))
    rows = _by_time(np.flatnonzero(code == 0), bars["ts_ns"])
    if rows.size < 2:
        return
    close = bars["close"][rows]
    up = close[1:] > UNIT_RATIO * close[:-1]
    down = close[1:] * UNIT_RATIO < close[:-1]
    if not (up.any() or down.any()):
        return
    level = np.concatenate(([0], np.cumsum(up.astype(np.int64) - down)))
    values, first, n = np.unique(level, return_index=True, return_counts=True)
    usual = values[np.lexsort((first, -n))[0]]  # the most frequent level; the earlier one when equally frequent
    bad = np.zeros(code.shape[0], dtype=np.bool_)
    bad[rows[level != usual]] = True
    _mark(code, RejectReason.UNIT_JUMP, bad)


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
        bad = np.zeros(code.shape[0], dtype=np.bool_)
        bad[bad_rows] = True
        _mark(code, reason, bad)


def _reject_padding(code: NDArray[np.int8], bars: Bars, ts: I8) -> None:
    """Reject zero-volume rows that are flat at the close before them (or flat at the very start, where nothing stands before)."""
    rows = _by_time(np.flatnonzero(code == 0), ts)
    if rows.size == 0:
        return
    r: NDArray[Any] = bars[rows]
    close: F8 = r["close"]
    before = np.concatenate((close[:1], close[:-1]))
    flat = (r["volume"] == 0.0) & (r["high"] == r["low"]) & (close == before)  # high equals low: so do open and close
    bad = np.zeros(code.shape[0], dtype=np.bool_)
    bad[rows[flat]] = True
    _mark(code, RejectReason.NO_TRADE_PADDING, bad)
