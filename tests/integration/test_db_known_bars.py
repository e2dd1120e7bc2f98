"""Candles as they were known when their minute closed, whatever came later."""

from __future__ import annotations

import numpy as np
import pytest

from database_cases import make_known
from intraday.database.bars import BarRepository
from intraday.database.known_bars import KnownBars
from intraday.database.pool import Database
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, BarFlag, Bars
from intraday.domain.ports import Source

pytestmark = pytest.mark.integration
DAY = GRID_ORIGIN_NS + 7305 * DAY_NS  # 2020-01-03 09:15 IST


def bar(minute: int, close: float, flags: int = 0, inst: int = 0) -> Bars:
    out = np.zeros(1, BAR)
    out["ts_ns"], out["inst"], out["flags"] = DAY + minute * MINUTE_NS, inst, flags
    out["open"] = out["high"] = out["low"] = out["close"] = close
    out["volume"], out["n_ticks"] = 10.0, 1
    return out


def test_what_came_late_was_not_known(database: Database) -> None:
    ids = [41, 7]
    make_known(database, ids)
    store = BarRepository(database)
    first = np.concatenate([bar(0, 100.0), bar(0, 50.0, BarFlag.PARTIAL, 1), bar(1, 101.0)])
    for known_ns, bars, source in (
        (1, first, Source.TICK),
        (2, bar(0, 100.5, BarFlag.LATE), Source.TICK),  # completed after it was handed out
        (3, bar(2, 102.0, BarFlag.LATE), Source.TICK),  # known late only
        (4, bar(3, 103.0), Source.REPLAY),
        (5, bar(1, 999.0), Source.BROKER),  # a better source, days later
    ):
        store.write(ids, bars, source, DAY + known_ns * 10**9)
    end_ns = DAY + DAY_NS
    assert KnownBars(database, Source.TICK).read(ids, DAY, end_ns).tolist() == first.tolist()
    assert KnownBars(database, Source.REPLAY).read(ids, DAY, end_ns)["close"].tolist() == [103.0]
    assert KnownBars(database, Source.TICK).read(ids[::-1], DAY, DAY + MINUTE_NS)["inst"].tolist() == [0, 1]
    best = store.read(ids, DAY, end_ns)
    assert [row["close"] for row in best[best["inst"] == 0]] == [100.5, 999.0, 102.0, 103.0], "the best of now is something else"
