"""Whatever is written through the repositories, in whatever order, the check finds nothing. One seed is one history."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from check_cases import HALT, KNOWN_NS, PLAIN, SESSIONS, session_bars, told
from intraday.core.validate import CandleValidator
from intraday.database.pool import Database
from intraday.database.stores import Stores
from intraday.domain.arrays import DAY_NS, MINUTE_NS, Bars
from intraday.domain.broker import Fetched
from intraday.domain.gaps import NO_CANDLE, NOT_IN_FILE, expected_minutes, runs
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import FeatureSetRecord, Gap, Source
from intraday.domain.session import day_of, midnight_ns

pytestmark = pytest.mark.integration
DAYS = (HALT, PLAIN)


@dataclass
class Writers:
    """Importer, backfill, live and history, each with some of the minutes of a day of one instrument."""

    stores: Stores
    rng: np.random.Generator
    instruments: list[Instrument] = field(default_factory=list)
    now_ns: int = KNOWN_NS

    def step(self) -> None:
        self.now_ns += MINUTE_NS
        (self.imported, self.fetched, self.ticked, self.replayed, self.forgotten, self.featured, self.rolled)[
            int(self.rng.choice(7, p=[0.25, 0.2, 0.15, 0.1, 0.1, 0.1, 0.1]))
        ]()

    def imported(self) -> None:
        """As the importer does it: minutes of its files that are stored already stay."""
        one, bars = self._some()
        known = self.stores.bars.read([one.id], 0, 2**62, Source.IMPORT)["ts_ns"]
        new = bars[~np.isin(bars["ts_ns"], known)]
        self.stores.bars.write([one.id], new, Source.IMPORT, self.now_ns)
        lacks = CandleValidator(SESSIONS).gaps(bars["ts_ns"])
        start = midnight_ns(day_of(int(bars["ts_ns"][0])))
        gaps = [Gap(one.id, a, b, NOT_IN_FILE, (b - a) // MINUTE_NS) for a, b in lacks.tolist()]
        self.stores.bars.settle_gaps(one, start, start + DAY_NS, gaps)

    def fetched(self) -> None:
        one, bars = self._some()
        day = day_of(int(bars["ts_ns"][0]))
        lacks = np.setdiff1d(expected_minutes([SESSIONS.get(day)]), self._of_broker(one, bars))
        gaps = [Gap(one.id, a, b, NO_CANDLE, (b - a) // MINUTE_NS) for a, b in runs(lacks).tolist()]
        row = Fetched(one.id, day, SESSIONS.get(day).close_ns, len(bars), True)
        self.stores.fetches.save(one.id, bars, [row], gaps, self.now_ns)

    def ticked(self) -> None:
        one, bars = self._some()
        self.stores.bars.write([one.id], bars, Source.TICK, self.now_ns)

    def replayed(self) -> None:
        one, bars = self._some()
        self.stores.bars.write([one.id], bars, Source.REPLAY, self.now_ns)

    def forgotten(self) -> None:
        start = midnight_ns(DAYS[int(self.rng.integers(2))])
        self.stores.days.clear(Source.REPLAY, start, start + DAY_NS)

    def featured(self) -> None:
        """Of bars that no replay made: those may be forgotten."""
        one = self.instruments[int(self.rng.integers(len(self.instruments)))]
        for source in (Source.BROKER, Source.IMPORT, Source.TICK):
            bars = self.stores.bars.read([one.id], 0, 2**62, source)
            if bars.size:
                ts = np.unique(bars["ts_ns"] - (bars["ts_ns"] - SESSIONS.get(HALT).open_ns) % (5 * MINUTE_NS))
                x = self.rng.random((ts.size, 2)).astype(np.float32)
                self.stores.features.write("set", Source.HISTORY, [one.id], ts, np.zeros(ts.size, dtype=np.int32), x)

    def rolled(self) -> None:
        self.stores.rollups.refresh()

    def _some(self) -> tuple[Instrument, Bars]:
        k = int(self.rng.integers(len(self.instruments)))
        day = session_bars(DAYS[int(self.rng.integers(2))], len(self.instruments))
        mine = day[day["inst"] == k].copy()
        mine["inst"] = 0
        mine["close"] -= 0.05 * self.rng.integers(0, 2, mine.size)
        start = int(self.rng.integers(0, mine.size - 20))
        keep = self.rng.random(mine.size) < self.rng.choice([0.2, 0.97])
        keep[start : start + 20] = self.rng.random() < 0.5
        keep[-1] = True
        return self.instruments[k], mine[keep]

    def _of_broker(self, one: Instrument, bars: Bars) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        start = midnight_ns(day_of(int(bars["ts_ns"][0])))
        known = self.stores.bars.read([one.id], start, start + DAY_NS, Source.BROKER)["ts_ns"]
        return np.union1d(known, bars["ts_ns"])


@pytest.mark.parametrize("seed", [1, 2])
def test_random_writes_keep_the_check_silent(database: Database, seed: int) -> None:
    stores = Stores(database)
    writers = Writers(stores, np.random.default_rng(seed))
    writers.instruments = stores.instruments.upsert([Instrument("NSE", "AAA"), Instrument("NSE", "NIFTY", Kind.INDEX)])
    stores.features.register(FeatureSetRecord("set", 5, ("a", "b"), "{}"))
    for _ in range(3):
        for _ in range(8):
            writers.step()
        assert set(told(database)) <= {"timeframes_behind"}
    stores.rollups.refresh()
    assert told(database) == {}
