"""Stored circuit limits and tick sizes, by instrument and day, as labels want them: by dense row and session number. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from intraday.core.fills import Bands, TickSizes, tick_paise
from intraday.domain.instruments import Instrument
from intraday.domain.limits import Limits, TickSize
from intraday.domain.session import EPOCH, SessionTable

BEGINNING = -(1 << 31)  # a session number before every session


@dataclass(frozen=True, slots=True)
class PriceRules:
    """What trades of S instruments keep to, by day. ``late``: of how many sessions of an instrument the limits came too late."""

    ticks: TickSizes
    bands: Bands | None = None
    late: int = 0


def price_rules(instruments: Sequence[Instrument], ticks: Sequence[TickSize], limits: Limits, sessions: SessionTable) -> PriceRules:
    """Those of stored tick sizes and limits; with nothing stored each instrument's own tick, and no limits."""
    bands, late = bands_of(limits, [i.id for i in instruments], sessions)
    return PriceRules(tick_sizes_of(ticks, instruments), bands, late)


def dated(instruments: Sequence[Instrument], ticks: TickSizes, number: int) -> tuple[Instrument, ...]:
    """The instruments with their tick sizes of a session."""
    paise = tick_paise(ticks.on(number))
    return tuple(replace(i, tick_size=int(p)) for i, p in zip(instruments, paise, strict=True))


def bands_of(limits: Limits, ids: Sequence[int], sessions: SessionTable) -> tuple[Bands | None, int]:
    """The limits of these instruments, in their order, and of how many sessions of an instrument they came too late.

    ``limits`` LIMIT[n] of any instruments. Of each session the newest that was known by its open; a later one may have been moved
    there by the very day that is judged, so it is none. None: no limit is known in time.
    """
    mine = limits[np.isin(limits["instrument_id"], ids)]
    numbers, session = np.unique(mine["session"], return_inverse=True)
    found = [sessions.find(EPOCH + timedelta(days=int(n))) for n in numbers]
    opens = np.array([BEGINNING if s is None else s.open_ns for s in found], dtype=np.int64)
    timely = mine["known_ns"] <= opens[session]
    late = len(np.unique(mine[["instrument_id", "session"]])) - len(np.unique(mine[timely][["instrument_id", "session"]]))
    if not timely.any():
        return None, late
    lower, upper = (np.full((len(numbers), len(ids)), np.nan) for _ in range(2))
    order = np.argsort(mine["known_ns"], kind="stable")
    told = order[timely[order]]
    by_id = np.argsort(ids)
    row = by_id[np.searchsorted(ids, mine["instrument_id"][told], sorter=by_id)]
    lower[session[told], row] = mine["lower"][told] / 100.0  # of several the last stays
    upper[session[told], row] = mine["upper"][told] / 100.0
    return Bands(numbers.astype(np.int32), lower, upper), late


def tick_sizes_of(ticks: Sequence[TickSize], instruments: Sequence[Instrument]) -> TickSizes:
    """The tick sizes of these instruments, in their order; one without any in ``ticks`` has its own for all time."""
    row_of = {instrument.id: row for row, instrument in enumerate(instruments)}
    changes = [(_number(t), row_of[t.instrument_id], t.paise) for t in ticks if t.instrument_id in row_of]
    numbers = sorted({BEGINNING, *(number for number, _, _ in changes)})
    rupees = np.full((len(numbers), len(instruments)), np.nan)
    rupees[0] = [i.tick_size / 100.0 for i in instruments]
    for number, row, paise in sorted(changes, key=lambda change: change[0]):
        rupees[numbers.index(number) :, row] = paise / 100.0
    for k in range(1, len(numbers)):
        rupees[k] = np.where(np.isnan(rupees[k]), rupees[k - 1], rupees[k])
    return TickSizes(np.array(numbers, np.int32), rupees)


def _number(tick: TickSize) -> int:
    return BEGINNING if tick.since is None else (tick.since - EPOCH).days
