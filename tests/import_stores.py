"""InstrumentStore, BarStore and GapStore in memory, versions and a full disk included: the ports' promises in few lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty, session_number
from intraday.domain.errors import StorageFull
from intraday.domain.gaps import NOT_IN_FILE, PADDING, runs
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Gap, Quarantined, Source, WriteReport

FIELDS = ["open", "high", "low", "close", "volume"]


class MemoryInstruments:
    """Instruments by key, ids from 1."""

    def __init__(self) -> None:
        self.by_key: dict[str, Instrument] = {}

    def upsert(self, instruments: Sequence[Instrument]) -> list[Instrument]:
        for wanted in instruments:
            known = self.by_key.get(wanted.key)
            self.by_key[wanted.key] = replace(wanted, id=known.id if known else len(self.by_key) + 1)
        return [self.by_key[wanted.key] for wanted in instruments]

    def all(self) -> list[Instrument]:
        return sorted(self.by_key.values(), key=lambda instrument: instrument.id)


class MemoryBars:
    """Bars by (id, source, minute); every version ever written is in ``versions``. ``room``: rows until the disk is full."""

    def __init__(self, room: int | None = None) -> None:
        self.best: dict[tuple[int, Source], dict[int, tuple[float, ...]]] = {}
        self.versions: list[tuple[int, Source, int, int]] = []
        self.quarantined: dict[tuple[str, str], Quarantined] = {}
        self.missing: dict[tuple[int, int, int], Gap] = {}
        self.room = room

    def write(self, ids: Sequence[int], bars: Bars, source: Source, known_ns: int) -> WriteReport:
        if self.room is not None and bars.shape[0] > self.room:
            raise StorageFull("no room left on the database's disk")
        counts = [0, 0, 0]
        for bar in bars:
            minutes = self.best.setdefault((ids[int(bar["inst"])], source), {})
            ts, values = int(bar["ts_ns"]), tuple(float(bar[name]) for name in FIELDS)
            old = minutes.get(ts)
            kind = 0 if old is None else 1 if np.array_equal(old, values, equal_nan=True) else 2
            counts[kind] += 1
            if kind != 1:
                minutes[ts] = values
                self.versions.append((ids[int(bar["inst"])], source, ts, known_ns))
        return WriteReport(*counts)

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int, source: Source | None = None) -> Bars:
        assert source is not None, "this double keeps sources apart"
        rows = sorted(
            (ts, i, values)
            for i, instrument_id in enumerate(ids)
            for ts, values in self.best.get((instrument_id, source), {}).items()
            if start_ns <= ts < end_ns
        )
        bars = empty(BAR, len(rows))
        for k, (ts, i, values) in enumerate(rows):
            bars[k]["ts_ns"], bars[k]["inst"] = ts, i
            for name, value in zip(FIELDS, values, strict=True):
                bars[k][name] = value
        return bars

    def coverage(self) -> list[tuple[int, date, int]]:
        counts: dict[tuple[int, int], int] = {}
        for (instrument_id, _), minutes in self.best.items():
            for ts in minutes:
                key = (instrument_id, session_number(ts))
                counts[key] = counts.get(key, 0) + 1
        return [(i, date(1970, 1, 1) + timedelta(days=day), n) for (i, day), n in sorted(counts.items())]

    def quarantine(self, rows: Sequence[Quarantined]) -> int:
        before = len(self.quarantined)
        self.quarantined |= {(row.origin, row.reason): row for row in rows}
        return len(self.quarantined) - before

    def save_gaps(self, gaps: Sequence[Gap]) -> int:
        new = {(g.instrument_id, g.start_ns, g.end_ns): g for g in gaps}
        n = sum(self.missing.get(key) != gap for key, gap in new.items())
        self.missing |= new
        return n

    def settle_gaps(self, instrument: Instrument, start_ns: int, end_ns: int, found: Sequence[Gap]) -> int:
        old = {(g.start_ns, g.end_ns) for g in self.gaps([instrument.id], start_ns, end_ns)}
        quiet = {row.ts_ns for row in self.quarantined.values() if row.symbol == instrument.symbol and row.reason == PADDING}
        have = quiet | set(self.best.get((instrument.id, Source.IMPORT), {}))
        spans = old | {(g.start_ns, g.end_ns) for g in found}
        missing = {t for a, b in spans for t in range(a, b, MINUTE_NS)} - have
        left = {(a, b): NOT_IN_FILE for a, b in runs(np.array(sorted(missing), dtype=np.int64)).tolist()}
        for a, b in old:
            del self.missing[instrument.id, a, b]
        for (a, b), reason in left.items():
            self.missing[instrument.id, a, b] = Gap(instrument.id, a, b, reason, (b - a) // MINUTE_NS)
        return len(old ^ left.keys())

    def gaps(self, ids: Sequence[int], start_ns: int, end_ns: int) -> list[Gap]:
        return [gap for key, gap in sorted(self.missing.items()) if key[0] in ids and start_ns <= key[1] < end_ns]
