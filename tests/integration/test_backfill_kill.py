"""The backfill against the bundled exchange over real sockets, in virtual time: its pace, and being killed at any moment."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path

import pytest

from backfill_killed import WORKERS, assert_equals_the_exchange, killed_and_restarted
from backfill_world import SESSIONS, World, fetch, trading_day
from intraday.broker.backfill import BackfillReport
from intraday.database.bars import BarRepository
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.clock import Clock
from pace_cases import virtual

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ALL = (0, 2**63 - 1)


def test_the_limit_is_used_and_never_passed(database: Database) -> None:
    world = World(15, date(2025, 4, 1), date(2025, 6, 30))
    bars = BarRepository(database)
    store = FetchRepository(database, bars)
    stored = InstrumentRepository(database).upsert(world.instruments())

    async def main(clock: Clock) -> tuple[BackfillReport, list[int], int, int]:
        async with trading_day(world, clock) as (exchange, rest):
            report = await fetch(world, clock, rest, store, bars, world.targets(stored))
            meter = exchange.limits
            return report, meter.times("historical"), meter.busiest("historical"), meter.refused("historical")

    report, times, busiest, refused = virtual(main, world.start_ns)
    assert report.complete
    assert (report.requests, len(times)) == (30, 30)
    assert (busiest, refused) == (3, 0)
    assert (len(times) - 1) / ((times[-1] - times[0]) / 1e9) / 3 >= 0.97
    assert report.seconds < 30 / 3 / 0.97 + 1
    assert assert_equals_the_exchange(database, world) == report.bars


def test_a_market_of_its_own_making_comes_back_trade_by_trade(database: Database) -> None:
    """Thin instruments, an index and a listing within the range: what the exchange's own candles say is what is stored."""
    world = World(5, date(2025, 4, 1), date(2025, 6, 30), trades_per_minute=2.0)
    bars = BarRepository(database)
    store = FetchRepository(database, bars)
    stored = InstrumentRepository(database).upsert(world.instruments())

    async def main(clock: Clock) -> BackfillReport:
        async with trading_day(world, clock) as (_, rest):
            return await fetch(world, clock, rest, store, bars, world.targets(stored))

    report = virtual(main, world.start_ns)
    assert report.complete
    assert assert_equals_the_exchange(database, world) == report.bars
    missing = sum(gap.n_minutes for gap in bars.gaps([i.id for i in stored], *ALL))
    n_minutes = sum(s.minutes for s in SESSIONS.between(world.first, world.last))
    assert report.bars + missing == 5 * n_minutes


def test_killed_at_ten_random_points_it_loses_and_repeats_nothing(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # or the server that forks would import nothing, silently
    world = World(6, date(2024, 10, 1), date(2025, 6, 30))
    with Database(dsn) as database:
        candles, n_asked = killed_and_restarted(database, tmp_path, world, kills=10, events_max=8, seed=20261122)
    assert candles > 6 * 150 * 350
    assert 30 <= n_asked <= 30 + 10 * WORKERS
