"""Where recursive state starts, so that it does not matter how much history happens to be loaded.

An EMA of 200 bars needs thousands of bars before two different starts agree in the last bit. So every calculation starts empty
at the first bar of the anchor session, which depends on the day alone: batch, a cold start and a restored snapshot then agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from intraday.domain.arrays import Mask, Panel
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.domain.session import SessionTable

PREVIOUS_QUARTER = "previous_quarter"
AUTO = "auto"
AUTO_DAYS = 365  # with less history than this, a quarter's anchor would leave much of it without features
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Segment:
    """Sessions ``first .. last`` (days, inclusive) whose state starts at the session ``anchor``."""

    anchor: date
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class AnchorRule:
    """``previous_quarter``: the first session of the calendar quarter before the day's. A date: the first session from it on."""

    text: str = PREVIOUS_QUARTER

    def __post_init__(self) -> None:
        if self.text != PREVIOUS_QUARTER:
            _parse(self.text)

    def anchor(self, day: date, sessions: SessionTable) -> date:
        """Day of the anchor session of ``day``.

        NotEnoughData when a fixed anchor lies after ``day``; CalendarError outside the session table.
        """
        start = _quarter_before(day) if self.text == PREVIOUS_QUARTER else _parse(self.text)
        found = sessions.find(start) or sessions.next(start)
        if found.day > day:
            raise NotEnoughData(f"model.anchor: state starts at {found.day}, later than {day}; use an earlier anchor")
        return found.day

    def segments(self, first: date, last: date, sessions: SessionTable) -> list[Segment]:
        """Split ``first .. last`` into pieces with one anchor each, in order; days before a fixed anchor belong to none."""
        if self.text != PREVIOUS_QUARTER:
            first = max(first, self.anchor(last, sessions))
            return [Segment(self.anchor(last, sessions), first, last)]
        return [Segment(self.anchor(a, sessions), a, b) for a, b in _quarters(first, last)]


def resolve_anchor(text: str, days: Sequence[date]) -> AnchorRule:
    """The rule a training run uses. ``auto``: ``previous_quarter`` when the stored ``days`` span a year, otherwise their first day.

    What ``auto`` resolves to becomes part of the feature set, so a model keeps its anchor when older history is loaded later.
    """
    if text != AUTO:
        return AnchorRule(text)
    if not days or (max(days) - min(days)).days >= AUTO_DAYS:
        return AnchorRule()
    return AnchorRule(min(days).isoformat())


def from_anchor(panel: Panel, anchor: date) -> Panel:
    """The part of the panel from the anchor session on; older history changes nothing, so it is not looked at."""
    return panel.rows(int(np.searchsorted(panel.session, session_of(anchor))), len(panel))


def reaches(panel: Panel, anchor: date) -> Mask:
    """bool [S]: whether the instrument has a bar in the anchor session.

    False means its state starts at its first stored bar: right for a new listing, and worth a warning, since importing older
    bars would change its features.
    """
    rows = panel.session == session_of(anchor)
    return np.asarray(panel.mask[rows].any(axis=0), np.bool_)


def session_of(day: date) -> int:
    """Days since 1970-01-01: the session key in arrays."""
    return (day - EPOCH).days


def _parse(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"model.anchor: expected {PREVIOUS_QUARTER} or YYYY-MM-DD, found {text!r}") from error


def _quarter(day: date) -> date:
    return date(day.year, 3 * ((day.month - 1) // 3) + 1, 1)


def _quarter_before(day: date) -> date:
    return _quarter(_quarter(day) - timedelta(days=1))


def _quarters(first: date, last: date) -> Iterator[tuple[date, date]]:
    while first <= last:
        following = _quarter(_quarter(first) + timedelta(days=100))
        yield first, min(last, following - timedelta(days=1))
        first = following
