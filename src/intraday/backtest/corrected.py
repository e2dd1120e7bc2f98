"""*As corrected*: the day from the best bars known today, and why each stored row differs.

A difference is explained only by evidence: the minute's candle is made again from everything the journal received, in other
readings than the live one, until one of them gives the best bar. What no reading gives is ``unexplained``, and verify fails.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from intraday.backtest.compare import Rows, changed_minutes
from intraday.core.fills import FOREVER_NS
from intraday.domain.arrays import I8, MINUTE_NS, BarFlag, Bars, Ticks
from intraday.domain.events import Event, Frame
from intraday.domain.session import Session

Minute = tuple[int, int]  # (open time ns, inst)


class Cause(StrEnum):
    """Why a stored candle is not the best candle."""

    ARRIVAL_ORDER = "arrival_order"  # the received ticks in order of their stamps give the best bar: some came late
    REFUSED = "refused"  # they do, and came in order, but some were refused: their day's volume contradicted a tick before
    OTHER_RECORDING = "other_recording"  # with the ticks that other days' recordings hold of this minute, they do
    PARTIAL = "partial"  # the link was lost in or before the minute, and the stored bar says so (flag PARTIAL)
    NOT_RECEIVED = "not_received"  # the best bar has a price or a volume that no received tick gives: trades between two packets
    VOLUME_BASE = "volume_base"  # same prices; the volume counts from another tick because the minute before is missing on one side
    NEIGHBOUR = "neighbour"  # same prices; the volume counts from the end of a minute before that differs itself
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class CandleDifference:
    """One minute whose stored candle is not the best candle; None where a side has none."""

    ts_ns: int
    inst: int
    stored: tuple[float, ...] | None  # open, high, low, close, volume
    best: tuple[float, ...] | None
    cause: Cause


def explain_candles(
    session: Session, events: Iterable[Event], others: Callable[[], Ticks], stored: Bars, best: Bars
) -> list[CandleDifference]:
    """Every minute whose stored candle differs from the best one, with its cause.

    ``stored`` and ``best``: BAR rows of the session with one row a (ts, inst). ``others`` finds TICK rows of this session in
    the journals of other days.
    """
    changed = {(int(t), int(i)) for t, i in changed_minutes(stored, best).tolist()}
    if not changed:
        return []
    sides = (_by_minute(stored), _by_minute(best))
    received = _ticks_near(events, changed)
    more = _group(others(), changed)
    partial = keys_of(stored[(stored["flags"] & BarFlag.PARTIAL) != 0])
    out = []
    for key in sorted(changed):
        reading = _Reading(session, key, received, more)
        cause = reading.cause(*sides, changed)
        if cause in (Cause.NOT_RECEIVED, Cause.UNEXPLAINED) and key in partial:
            cause = Cause.PARTIAL
        out.append(CandleDifference(*key, sides[0].get(key), sides[1].get(key), cause))
    return out


class _Reading:
    """Other readings of one minute's ticks."""

    def __init__(self, session: Session, key: Minute, received: Mapping[Minute, Ticks], more: Mapping[Minute, Ticks]) -> None:
        self._session = session
        self._key = key
        self._before = (key[0] - MINUTE_NS, key[1])
        self._after = (key[0] + MINUTE_NS, key[1])
        self._received = received
        self._more = more

    def cause(
        self, stored: Mapping[Minute, tuple[float, ...]], best: Mapping[Minute, tuple[float, ...]], changed: set[Minute]
    ) -> Cause:
        """The first explanation that holds."""
        mine, theirs = stored.get(self._key), best.get(self._key)
        if self._explained(theirs, with_more=False):
            return Cause.ARRIVAL_ORDER if self._disordered() else Cause.REFUSED
        if self._key in self._more and self._explained(theirs, with_more=True):
            return Cause.OTHER_RECORDING
        if mine is not None and theirs is not None and _same(mine[:4], theirs[:4]):
            if self._before not in stored or self._before not in best:
                if self._volume_from(theirs, 0):
                    return Cause.VOLUME_BASE
            elif self._before in changed and self._volume_from(theirs, best[self._before][4] - stored[self._before][4]):
                return Cause.NEIGHBOUR
        if theirs is not None and (self._unseen(theirs) or self._between_packets(theirs)):
            return Cause.NOT_RECEIVED
        return Cause.UNEXPLAINED

    def _explained(self, theirs: tuple[float, ...] | None, with_more: bool) -> bool:
        """Whether the minute's ticks, sorted by their stamps, give the best bar: with the volume of any tick before as its base."""
        ticks = self._sorted(self._key, with_more)
        if theirs is None or len(ticks) == 0:
            return False
        price = ticks["price"] / 100.0
        if not _same((price[0], price.max(), price.min(), price[-1]), theirs[:4]):
            return False
        ends = np.array([ticks["volume"][-1], ticks["volume"].max()])
        return bool(np.isnan(theirs[4]) or _gives(theirs[4], ends, self._bases(ticks, with_more)))

    def _disordered(self) -> bool:
        """Whether a tick of the minute came after its end, or behind a younger one of it or of the minute before."""
        parts = [self._received[key] for key in (self._before, self._key) if key in self._received]
        ticks = np.concatenate(parts)
        ticks = ticks[np.argsort(ticks["recv_ns"], kind="stable")]
        late = self._received[self._key]["recv_ns"] >= self._key[0] + MINUTE_NS
        return bool(late.any() or (np.diff(ticks["event_ns"]) < 0).any())

    def _volume_from(self, theirs: tuple[float, ...], moved: float) -> bool:
        """Whether the best volume counts from a received base, ``moved`` by what the minute before has more there."""
        ticks = self._sorted(self._key, with_more=False)
        if len(ticks) == 0 or np.isnan(theirs[4]) or np.isnan(moved):
            return False
        first = np.array([0, ticks["volume"][0]], np.int64)
        bases = np.concatenate([first, self._bases(ticks, with_more=False) + int(moved)])
        return _gives(theirs[4], ticks["volume"], bases)

    def _bases(self, ticks: Ticks, with_more: bool) -> I8:
        """Where the volume of a minute with ``ticks`` may count from: the end of the minute before, zero, or its first tick."""
        before = self._sorted(self._before, with_more)["volume"]
        return np.array([0, ticks["volume"][0]] if len(before) == 0 else [before[-1], before.max()], np.int64)

    def _sorted(self, key: Minute, with_more: bool) -> Ticks:
        parts = [p[key] for p in ((self._received, self._more) if with_more else (self._received,)) if key in p]
        if not parts:
            return np.zeros(0, dtype=[("price", "i4"), ("volume", "i8")])
        ticks = np.concatenate(parts)
        return ticks[np.argsort(ticks["event_ns"], kind="stable")]

    def _unseen(self, theirs: tuple[float, ...]) -> bool:
        """Whether the best bar holds a price, or a volume, that the received ticks cannot give."""
        ticks = self._sorted(self._key, with_more=False)
        if len(ticks) == 0:
            return True
        seen = set((ticks["price"] / 100.0).tolist())
        if any(p not in seen for p in theirs[:4]):
            return True
        return not np.isnan(theirs[4]) and not _gives(theirs[4], ticks["volume"], self._bases(ticks, with_more=False))

    def _between_packets(self, theirs: tuple[float, ...]) -> bool:
        """Whether trades between two received packets may have made the best bar, though each of its prices was seen as well.

        A feed of snapshots shows the last of several trades. Those before the first packet of the minute may have opened it, those
        after its last packet may have closed it, and both may count to either minute; what was seen in the minute was in it.
        """
        ticks, before, after = (self._sorted(key, with_more=False) for key in (self._key, self._before, self._after))
        if len(ticks) == 0 or len(before) == 0 or np.isnan(theirs[4]):
            return False
        price, volume = ticks["price"] / 100.0, ticks["volume"]
        start, end = int(before["volume"][-1]), int(after["volume"][0]) if len(after) else int(volume[-1])
        # Of two shares one may be another trade's.
        opened_unseen, closed_unseen = int(volume[0]) - start >= 2, end > int(volume[-1])
        return bool(
            (theirs[0] == price[0] or opened_unseen)
            and (theirs[3] == price[-1] or closed_unseen)
            and theirs[1] >= price.max()
            and theirs[2] <= price.min()
            and int(volume[-1]) - int(volume[0]) <= theirs[4] <= end - start
        )


def _gives(volume: float, ends: I8, bases: I8) -> bool:
    """Whether one of the cumulative volumes ``ends`` less one of ``bases`` is ``volume``."""
    return bool(np.isin(ends - int(volume), bases).any())


def _ticks_near(events: Iterable[Event], changed: set[Minute]) -> dict[Minute, Ticks]:
    wanted = changed | {(t + step, i) for t, i in changed for step in (-MINUTE_NS, MINUTE_NS)}
    minutes = np.unique(np.array([t for t, _ in wanted], np.int64))
    parts = []
    for event in events:
        if isinstance(event, Frame):
            t = event.ticks
            near = np.isin(t["event_ns"] - t["event_ns"] % MINUTE_NS, minutes) & (t["price"] > 0)
            if near.any():
                parts.append(t[near])
    return _group(np.concatenate(parts), wanted) if parts else {}


def _group(ticks: Ticks, wanted: set[Minute]) -> dict[Minute, Ticks]:
    """The ticks of each wanted minute, in order of arrival."""
    if len(ticks) == 0:
        return {}
    minute = ticks["event_ns"] - ticks["event_ns"] % MINUTE_NS
    order = np.lexsort((np.arange(len(ticks)), ticks["inst"], minute))
    keys = np.stack([minute[order], ticks["inst"][order]])
    starts = np.flatnonzero(np.r_[True, (np.diff(keys, axis=1) != 0).any(axis=0)])
    groups = np.split(ticks[order], starts[1:])
    named = {(int(keys[0, a]), int(keys[1, a])): g for a, g in zip(starts, groups, strict=True)}
    return {k: v for k, v in named.items() if k in wanted}


def _by_minute(bars: Bars) -> dict[Minute, tuple[float, ...]]:
    rows = bars[["ts_ns", "inst", "open", "high", "low", "close", "volume"]].tolist()
    return {(r[0], r[1]): r[2:] for r in rows}


def _same(a: Iterable[float], b: Iterable[float]) -> bool:
    return all(x == y for x, y in zip(a, b, strict=True))


@dataclass(frozen=True, slots=True)
class RowDifferences:
    """Feature or signal rows that differ, by what explains them."""

    n_rows: int
    causes: Mapping[str, int]
    unexplained: tuple[Minute, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What may explain a feature or signal row: minutes whose candle differs, minutes that were late (the decision was made without
    them), and instruments whose state at the session's start is not what it was then."""

    candles: set[Minute]
    late: set[Minute]
    history: set[int]


def explain_rows(
    differing: set[Minute],
    n_rows: int,
    timeframe: int,
    evidence: Evidence,
    elsewhere: set[Minute],
    compared: AbstractSet[Minute] = frozenset(),
) -> RowDifferences:
    """Why feature (or signal) rows differ: by the ``Evidence`` up to the end of their bar.

    ``elsewhere``: rows explained already (a signal differs because its features do). ``compared``: rows that differ in nothing but
    features that look at other instruments; whatever explains any instrument's row by then explains theirs.
    """
    first, first_late = _first(evidence.candles), _first(evidence.late)
    anyone = min((-1 if evidence.history else FOREVER_NS, *first.values(), *first_late.values()))
    causes: Counter[str] = Counter()
    unexplained = []
    for ts_ns, inst in sorted(differing):
        end_ns = ts_ns + timeframe * MINUTE_NS
        if (ts_ns, inst) in elsewhere:
            causes["its features differ"] += 1
        elif first[inst] < end_ns:
            causes["a candle of the day differs"] += 1
        elif first_late[inst] < end_ns:
            causes["a candle of the day came late"] += 1
        elif inst in evidence.history:
            causes["earlier days were corrected since"] += 1
        elif (ts_ns, inst) in compared and anyone < end_ns:
            causes["an instrument it is compared with differs"] += 1
        else:
            unexplained.append((ts_ns, inst))
    return RowDifferences(n_rows, dict(causes), tuple(unexplained))


def _first(minutes: set[Minute]) -> dict[int, int]:
    """The first minute of each instrument; the end of time for the others."""
    first: dict[int, int] = defaultdict(lambda: FOREVER_NS)
    for ts_ns, inst in minutes:
        first[inst] = min(first[inst], ts_ns)
    return first


def keys_of(rows: Rows) -> set[Minute]:
    """(ts_ns, inst) of rows."""
    return set(zip(rows["ts_ns"].tolist(), rows["inst"].tolist(), strict=True))
