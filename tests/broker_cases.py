"""A broker of minute candles in plain Python, without a network: what the backfill is tried on beside the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from intraday.domain.arrays import BAR, DAY_NS, MINUTE_NS, Bars, empty, session_number
from intraday.domain.broker import Fetched, Interval
from intraday.domain.clock import Clock
from intraday.domain.errors import SpanTooLong
from intraday.domain.ports import Gap, Quarantined, Source, WriteReport
from intraday.domain.session import EPOCH, SessionTable

SESSIONS = SessionTable.load()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    token: int
    start_ns: int
    end_ns: int
    at_ns: int


@dataclass
class PlainBroker:
    """``domain.broker.CandleApi``: every minute of every session has a candle that its minute and token determine.

    ``missing``: minutes without one; ``fault(asked, n)`` may raise for the n-th request; ``cap_days`` as Kite words it.
    """

    clock: Clock
    cap_days: int = 60
    answer_s: float = 0.2
    missing: Collection[int] = ()
    listed: date | None = None
    fault: Callable[[Asked, int], None] = lambda asked, n: None
    extra: Sequence[int] = ()  # open times it answers with although nobody traded then
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    _under_way: int = 0

    async def fetch_historical_data(self, token: int, interval: Interval, start_ns: int, end_ns: int) -> Bars:
        assert interval is Interval.MINUTE
        self.asked.append(asked := Asked(token, start_ns, end_ns, self.clock.now_ns()))
        n = len(self.asked)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await asyncio.sleep(self.answer_s)
        finally:
            self._under_way -= 1
        self.fault(asked, n)
        if (end_ns - start_ns) // DAY_NS > self.cap_days:
            raise SpanTooLong(f"interval exceeds max limit: {self.cap_days} days", self.cap_days)
        return self.candles(token, start_ns, min(end_ns, self.clock.now_ns()))

    def candles(self, token: int, start_ns: int, end_ns: int) -> Bars:
        """BAR rows with ``start_ns <= open <= end_ns``."""
        first, last = (EPOCH + timedelta(days=session_number(t)) for t in (start_ns, end_ns))
        days = [s for s in SESSIONS.between(first, last) if self.listed is None or s.day >= self.listed]
        grid = [np.arange(s.open_ns, s.close_ns, MINUTE_NS) for s in days] + [np.array(sorted(self.extra), dtype=np.int64)]
        ts = np.unique(np.concatenate(grid))
        ts = ts[(ts >= start_ns) & (ts <= end_ns) & ~np.isin(ts, np.array(sorted(self.missing), dtype=np.int64))]
        bars = empty(BAR, ts.shape[0])
        level = 100.0 + token % 97 + (ts // MINUTE_NS % 991) / 50  # its fall from the top is no outlier
        bars["ts_ns"], bars["open"], bars["high"], bars["low"], bars["close"] = ts, level, level + 0.5, level - 0.5, level + 0.1
        bars["volume"] = 1 + ts // MINUTE_NS % 1009
        return bars


class MemoryFetches:
    """``FetchStore`` and what of ``BarStore`` the backfill uses, in memory, with the database's promises."""

    def __init__(self) -> None:
        self.days: dict[tuple[int, date], Fetched] = {}
        self.bars: dict[int, dict[int, bytes]] = {}
        self.held: dict[tuple[int, int, int], Gap] = {}
        self.refused: set[str] = set()

    def save(self, instrument_id: int, bars: Bars, fetched: Sequence[Fetched], gaps: Sequence[Gap], known_ns: int) -> WriteReport:
        held = self.bars.setdefault(instrument_id, {})
        new = {int(ts): row.tobytes() for ts, row in zip(bars["ts_ns"], bars, strict=True)}
        assert len(new) == bars.shape[0]
        report = WriteReport(
            sum(t not in held for t in new),
            sum(held.get(t) == b for t, b in new.items()),
            sum(t in held and held[t] != b for t, b in new.items()),
        )
        held.update(new)
        covered = {row.day: row.until_ns for row in fetched if row.empty_ns is None or row.n_bars == 0}
        for key, gap in list(self.held.items()):
            day = EPOCH + timedelta(days=session_number(gap.start_ns))
            inside = any(g.start_ns <= gap.start_ns < g.end_ns for g in gaps)
            if gap.instrument_id == instrument_id and (gap.start_ns < covered.get(day, 0) or inside):
                del self.held[key]
        self.held |= {(g.instrument_id, g.start_ns, g.end_ns): g for g in gaps}
        self.days |= {(f.instrument_id, f.day): f for f in fetched}
        return report

    def fetched(self, ids: Sequence[int], first: date, last: date) -> list[Fetched]:
        return [f for (i, day), f in sorted(self.days.items()) if i in ids and first <= day <= last]

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int, source: Source | None = None) -> Bars:
        (number,) = ids
        found = sorted((ts, row) for ts, row in self.bars.get(number, {}).items() if start_ns <= ts < end_ns)
        return np.frombuffer(b"".join(row for _, row in found), dtype=BAR).copy()

    def quarantine(self, rows: Sequence[Quarantined]) -> int:
        before = len(self.refused)
        self.refused |= {repr(row) for row in rows}
        return len(self.refused) - before

    def gaps(self) -> list[Gap]:
        return [self.held[key] for key in sorted(self.held)]
