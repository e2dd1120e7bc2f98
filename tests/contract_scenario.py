"""One seeded story that calls every public method of every store, on whatever server it is told.

``shuffled`` hands every array over in another order, which must not change any answer.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from contract_cases import Recorder
from contract_keeping import tell_keeping
from contract_reference import (
    DAYS,
    OTHER_SET,
    SESSIONS,
    SET,
    tell_corporate,
    tell_learning,
    tell_limits,
    tell_lists,
    tell_memberships,
    tell_models,
    tell_origin,
    tell_reference,
    tell_runs,
)
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import BAR, LABEL, MINUTE_NS, Bars, Labels, empty
from intraday.domain.broker import Fetched
from intraday.domain.events import Action, Alert, CountRejects, RequestBackfill, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.instruments import Instrument
from intraday.domain.ports import FeatureSetRecord, Gap, Quarantined, RunDay, Source
from intraday.domain.session import midnight_ns

EVER = (-(2**62), 2**62)


def nothing(what: str, done: int, total: int) -> None:
    """No progress wanted."""


class Scenario:
    """The story, in chapters that build on one another. ``folder`` is for its files: the same one for the same transcript."""

    def __init__(self, database: Database, folder: Path, *, shuffled: bool = False) -> None:
        self.stores = Recorder(Stores(database))
        self._database = database
        self._folder = folder
        self._rng = np.random.default_rng(20_260_725)
        self._shuffle = np.random.default_rng(1) if shuffled else None
        self.ids: tuple[int, ...] = ()

    async def tell(self) -> None:
        """All of it."""
        self.ids = tell_reference(self.stores)
        tell_lists(self.stores, self.ids)
        tell_memberships(self.stores, self.ids, self._folder)
        self.minutes()
        self.fetches()
        tell_corporate(self.stores, self.ids)
        tell_limits(self.stores, self.ids)
        self.vectors()
        self.labels()
        tell_models(self.stores)
        tell_learning(self.stores)
        tell_runs(self.stores, self.ids)
        await self.live()
        tell_origin(self.stores)
        self.forgetting()
        self.timeframes()
        tell_keeping(self.stores, self._database, self.ids, self.mixed(self.bars(DAYS[4])[:90]))

    # --------------------------------------------------------------------------------------------------- made-up rows

    def mixed(self, rows: Any) -> Any:
        """In the order given, or in another one."""
        return rows if self._shuffle is None else rows[self._shuffle.permutation(rows.shape[0])]

    def bars(self, day: date, share: float = 0.8) -> Bars:
        """A session of every instrument; the second has no volume, and minutes without trades have no bar."""
        session = SESSIONS.get(day)
        minutes = np.arange(session.open_ns, session.close_ns, MINUTE_NS)
        bars = empty(BAR, minutes.shape[0] * len(self.ids))
        bars["ts_ns"] = np.repeat(minutes, len(self.ids))
        bars["inst"] = np.tile(np.arange(len(self.ids)), minutes.shape[0])
        bars = bars[self._rng.random(bars.shape[0]) < share]
        n = bars.shape[0]
        bars["close"] = np.round(100 + self._rng.normal(size=n).cumsum(), 2)
        bars["open"] = bars["close"] + self._rng.normal(size=n)  # not on the tick grid: every bit counts
        bars["high"], bars["low"] = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])
        bars["volume"] = np.where(bars["inst"] == 1, np.nan, self._rng.integers(0, 2**40, n))
        bars["n_ticks"], bars["flags"] = self._rng.integers(0, 2**20, n), self._rng.integers(0, 4, n)
        return bars

    # ------------------------------------------------------------------------------------------------------- chapters

    def minutes(self) -> None:
        """Every rule of versions: new, the same, revised, a better source, a worse one, older knowledge; and refused rows."""
        s, rollups = self.stores.bars, self.stores.rollups
        known = midnight_ns(date(2024, 4, 1)) + 1_234
        for day in DAYS:
            bars = self.bars(day)
            s.write(self.ids, self.mixed(bars), Source.IMPORT, known)
            s.write(self.ids, self.mixed(bars), Source.IMPORT, known + 10_000)
            other = bars[self._rng.random(bars.shape[0]) < 0.1]
            other["close"] += 0.05
            for source, later in ((Source.IMPORT, 20_000), (Source.TICK, 0), (Source.BROKER, 5_000), (Source.IMPORT, -30_000)):
                s.write(self.ids, self.mixed(other), source, known + later)
                other["high"] += 1
        rollups.pending()
        rollups.refresh(nothing)
        rollups.refresh()
        s.write(self.ids, self.bars(DAYS[0])[:0], Source.REPLAY, known)
        for source in (None, *Source):
            s.read(self.ids, *EVER, source)
        s.read(self.ids[::-1], midnight_ns(DAYS[2]), midnight_ns(DAYS[3]))
        s.read(self.ids[:1], 0, 0)
        s.chunks(self.ids, *EVER, 1)
        s.chunks(self.ids[::-1], midnight_ns(DAYS[2]), midnight_ns(DAYS[3]), 100, Source.IMPORT)
        s.coverage()
        s.has_any(*EVER)
        s.has_any(0, 1)
        refused = [Quarantined("INFY", "a.csv:3", None, "no time", {"close": float("nan"), "day": DAYS[0]})]
        refused += [Quarantined("TCS", "a.csv:4", midnight_ns(DAYS[0]), "high < low", {"high": 1.5, "größe": "é"})]
        s.quarantine(refused)
        s.quarantine([*refused, Quarantined("TCS", "a.csv:5", 1, "again", {})])
        starts = [SESSIONS.get(day).open_ns for day in DAYS]
        gaps = [Gap(self.ids[k % 3], at, at + (k + 1) * MINUTE_NS, "feed lost", k + 1) for k, at in enumerate(starts)]
        s.save_gaps(gaps)
        s.save_gaps([*gaps[1:], Gap(self.ids[0], gaps[0].start_ns, gaps[0].end_ns, "never asked", 4)])
        s.save_gaps([])
        holes = [Gap(self.ids[2], starts[3], starts[3] + 9 * MINUTE_NS, "not in the file", 9)]
        s.settle_gaps(Instrument("NSE", "TCS", id=self.ids[2]), midnight_ns(DAYS[3]), midnight_ns(DAYS[3] + timedelta(1)), holes)
        s.gaps(self.ids, *EVER)
        s.gaps(self.ids[:1], midnight_ns(DAYS[0]), midnight_ns(DAYS[3]))

    def fetches(self) -> None:
        """What a broker was asked for: a day with bars, an empty one, one asked again."""
        s, day = self.stores.fetches, DAYS[4]
        session, number = SESSIONS.get(day), self.ids[2]
        bars = self.bars(day)
        bars = bars[bars["inst"] == 0]
        end = session.close_ns
        gaps = [Gap(number, end - 9 * MINUTE_NS, end, "the broker has none", 9)]
        s.save(number, self.mixed(bars), [Fetched(number, day, end, bars.shape[0], True)], gaps, end + 1_000)
        s.save(number, bars[:0], [Fetched(number, DAYS[5], end, 0, False, end)], [], end + 2_000)
        s.save(number, bars[:20], [Fetched(number, day, end, 20, True)], [], end + 3_000)
        s.fetched(self.ids, date(2000, 1, 1), date(2030, 1, 1))
        self.stores.bars.gaps(self.ids, *EVER)

    def vectors(self) -> None:
        """Feature sets and their float32, every kind of them."""
        s = self.stores.features
        for record in (
            SET,
            SET,
            OTHER_SET,
            FeatureSetRecord(SET.id, 15, SET.names, "{}"),
            FeatureSetRecord("a;b", 5, ("x",), "{}"),
        ):
            s.register(record)
        s.sets()
        for k, day in enumerate(DAYS[2:4]):
            open_ns = SESSIONS.get(day).open_ns
            ts, inst = np.repeat(open_ns + 5 * MINUTE_NS * np.arange(40), 3), np.tile(np.arange(3, dtype=np.int32), 40)
            x = self._rng.integers(0, 2**32, (120, 3), dtype=np.uint32).view(np.float32)
            x[np.isnan(x)] = np.nan
            order = self.mixed(np.arange(120))
            for source in (Source.HISTORY, Source.TICK):
                s.write(SET.id, source, self.ids, ts[order], inst[order], x[order])
            s.write(SET.id, Source.HISTORY, self.ids, ts[order], inst[order], x[order])
            s.write(SET.id, Source.HISTORY, self.ids, ts[:60], inst[:60], x[:60] + np.float32(k))
        s.write(SET.id, Source.HISTORY, self.ids, ts[:0], inst[:0], x[:0])
        for source in Source:
            s.read(SET.id, source, self.ids, *EVER)
        s.read(OTHER_SET.id, Source.HISTORY, self.ids, *EVER)
        s.read("unknown", Source.HISTORY, self.ids, *EVER)
        s.chunks(SET.id, Source.HISTORY, self.ids, *EVER, 1)

    def labels(self) -> None:
        """A label set replaced by range."""
        s = self.stores.labels
        for text in ('{"horizon": 60}', '{"horizon": 60}', '{"horizon": 30}'):
            s.register("tb1", text)
        for day in DAYS[2:4]:
            labels, start = self._labels(day), midnight_ns(day)
            end = start + 24 * 60 * MINUTE_NS
            s.write("tb1", self.ids, self.mixed(labels), start, end)
            s.write("tb1", self.ids, self.mixed(labels), start, end)
            fewer = labels[:-3]
            fewer["ret_long"][:2] = [np.nan, -0.0]
            s.write("tb1", self.ids, self.mixed(fewer), start, end)
        s.read("tb1", self.ids, *EVER)
        s.read("tb1", self.ids[1:], midnight_ns(DAYS[3]), EVER[1])
        s.read("none", self.ids, *EVER)
        s.chunks("tb1", self.ids, *EVER, 1)

    def _labels(self, day: date) -> Labels:
        labels = empty(LABEL, 90)
        labels["ts_ns"] = np.repeat(SESSIONS.get(day).open_ns + 5 * MINUTE_NS * np.arange(30), 3)
        labels["inst"] = np.tile(np.arange(3), 30)
        labels["entry_ns"] = labels["ts_ns"] + 6 * MINUTE_NS
        labels["t1_ns"] = labels["entry_ns"] + MINUTE_NS * self._rng.integers(1, 60, 90)
        labels["label"], labels["barrier"] = self._rng.integers(-1, 2, 90), self._rng.integers(0, 8, 90)
        for name in ("ret_long", "ret_short", "sigma"):
            labels[name] = self._rng.normal(size=90)
        return labels

    async def live(self) -> None:
        """Minutes through the live writer, some of them twice, as after an interruption; two sources."""
        await self._minutes_of(RunDay("run-1", Source.TICK, DAYS[4], "journal/tick/run-1", SET.id, "m1", self.ids, 5))
        await self._minutes_of(RunDay("run-2", Source.REPLAY, DAYS[3], "journal/replay/run-2", SET.id, "m1", self.ids[::-1], 5))
        s, open_ns = self.stores.signals, SESSIONS.get(DAYS[4]).open_ns
        s.read(Source.TICK, self.ids, *EVER)
        s.read(Source.TICK, self.ids[::-1], open_ns, open_ns + MINUTE_NS, "m1")
        s.read(Source.REPLAY, self.ids, *EVER)

    async def _minutes_of(self, day: RunDay) -> None:
        writer = self.stores.writer(day)
        minutes, open_ns = self.bars(day.day), SESSIONS.get(day.day).open_ns
        for k in (0, 1, 2, 2, 3, 1):
            now, at = open_ns + (k + 1) * MINUTE_NS + 1_500_000_123, open_ns + k * MINUTE_NS
            bars = self.mixed(minutes[minutes["ts_ns"] == at])
            x = np.array([[k, np.nan, -0.0], [k + 0.5, 1e-40, np.inf]], dtype=np.float32)
            signals = [self._signal(0, at, Action.BUY), self._signal(2, at, Action.HOLD)]
            who, when = np.array([0, 99, -1], np.int32), np.array([at, at, -5])
            rejects = CountRejects(now, who, when, ("late", "late", "unknown"), np.array([3, 4, 5]))
            await writer.write(
                [SaveBars(bars, now), SaveFeatures(at, np.array([2, 0], np.int32), x, now), SaveSignals(at, signals), rejects]
                + [Alert(now, "info", "signal", f"minute {k}", signals[0]), RequestBackfill(at, at + 1, "test")]
            )
        await writer.write([])
        await writer.close()

    def _signal(self, inst: int, at: int, action: Action) -> Signal:
        level = float("nan") if action is Action.HOLD else 100.05
        return Signal(
            inst, at, at + 123_456_789, action, 0.51, 0.1 + 0.2, 0.29, 0.41, 101.5, level, level, at + 9 * MINUTE_NS, True, "m1"
        )

    def forgetting(self) -> None:
        """A run's day cleared, then the rest of a day."""
        s, start = self.stores.days, midnight_ns(DAYS[4])
        end = start + 24 * 60 * MINUTE_NS
        for source, first in (
            (Source.REPLAY, start),
            (Source.TICK, start + 600 * MINUTE_NS),
            (Source.TICK, start),
            (Source.BROKER, start),
        ):
            s.clear(source, first, end)
            self.stores.bars.read(self.ids, start, end)

    def timeframes(self) -> None:
        """All of them brought up to date: the tables at the end show them."""
        s = self.stores.rollups
        s.pending()
        s.refresh()
        s.pending()
