"""A file whose rows lie outside trading hours: by how much its clock is off, and which zone would explain that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from intraday.domain.arrays import I8, MINUTE_NS, Mask

MOSTLY_OUTSIDE = 0.5  # above this share of rows outside trading hours the stamps are wrong, not the rows
SUSPICIOUS = 0.02  # above this share they are wrong if another clock would explain them: 15 minutes are 4 % of a session
SUSPICIOUS_ROWS = 10  # fewer rows outside are odd rows: in a short file a print of the pre-open is a large share
EXPLAINED = 0.1  # so much of what lies outside may stay outside under that other clock
SAMPLE = 4_000  # rows looked at
STEP_MINUTES = 15  # every zone's offset is a multiple
COMMON_ZONES = ("Asia/Kolkata", "UTC", "Asia/Dubai", "Asia/Singapore", "Europe/London", "America/New_York", "America/Chicago")


def clock_is_wrong(ts_ns: I8, outside: int, in_session: Callable[[I8], Mask]) -> bool:
    """Whether the rows outside trading hours (``outside`` of them) are the fault of the file's clock rather than of the rows.

    A clock that is off by two hours leaves most rows inside a session of six, only in the wrong places: so not the share outside
    alone decides, but whether a shift would bring nearly all of them in.
    """
    share = outside / ts_ns.size
    if share > MOSTLY_OUTSIDE:
        return True
    if share < SUSPICIOUS or outside < SUSPICIOUS_ROWS:
        return False
    shift, inside = best_shift(_sample(ts_ns), in_session)
    return shift != 0 and 1.0 - inside <= EXPLAINED * share


def explain_bad_hours(path: Path, ts_ns: I8, zone: str, outside: int, in_session: Callable[[I8], Mask]) -> str:
    """One line: what was expected, how many rows lie outside, the shift in minutes that would fit best, and what to do."""
    sample = _sample(ts_ns)
    shift, share = best_shift(sample, in_session)
    found = f"{path}: expected NSE trading hours (09:15-15:30 Asia/Kolkata), found {outside} of {ts_ns.size} rows outside them"
    fit = f"; a shift of {shift:+d} minutes would fit best ({share:.0%} inside)"
    name = zone_of_shift(int(sample[sample.size // 2]), zone, shift)
    advice = f"; the stamps were read as {zone} and look like {name}: use --tz {name}" if name else ""
    return found + fit + (advice or f"; the stamps were read as {zone}: check --tz, or whether these are NSE bars at all")


def _sample(ts_ns: I8) -> I8:
    return ts_ns[:: max(1, ts_ns.size // SAMPLE)]


def best_shift(ts_ns: I8, in_session: Callable[[I8], Mask]) -> tuple[int, float]:
    """(minutes to add to the stamps so that most lie in a session, the share that then does); the smallest such shift."""
    shifts = sorted(range(-14 * 60, 14 * 60 + 1, STEP_MINUTES), key=abs)
    shares = [float(np.mean(in_session(ts_ns + shift * MINUTE_NS))) for shift in shifts]
    best = int(np.argmax(shares))
    return shifts[best], shares[best]


def zone_of_shift(ts_ns: int, zone: str, shift: int) -> str | None:
    """The common zone whose local times, read as ``zone``, are off by ``shift`` minutes at that instant; None if there is none."""
    read = _offset_minutes(ts_ns, zone)
    return next((name for name in COMMON_ZONES if name != zone and read - _offset_minutes(ts_ns, name) == shift), None)


def _offset_minutes(ts_ns: int, zone: str) -> int:
    offset = datetime.fromtimestamp(ts_ns // 10**9, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    return int(offset.total_seconds() // 60) if offset is not None else 0
