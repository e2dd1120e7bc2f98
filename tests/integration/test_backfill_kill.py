"""The backfill against the bundled exchange over real sockets, in virtual time: its pace, and being killed at any moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import backfill_child
from backfill_world import SESSIONS, World, fetch, trading_day, wanted
from intraday.broker.backfill import BackfillReport
from intraday.database.bars import BarRepository
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.arrays import BAR, empty, session_number
from intraday.domain.clock import Clock
from intraday.domain.ports import Source
from intraday.domain.session import EPOCH
from pace_cases import virtual

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ALL = (0, 2**63 - 1)
KILLS = 10
WORKERS = 4
Day = tuple[int, date]  # token, day


def assert_equals_the_exchange(database: Database, world: World) -> int:
    """Every candle of the exchange is in the database once, and nothing else. Returns how many."""
    ids = {i.symbol: i.id for i in InstrumentRepository(database).all()}
    total = 0
    for row in world.listing():
        bars = wanted(world, row)
        assert BarRepository(database).read([ids[row.symbol]], *ALL, Source.BROKER).tobytes() == bars.tobytes(), row.symbol
        total += bars.shape[0]
    with database.autocommit() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("ohlcv_1min", "bar_superseded", "bar_versions")
        ]
    assert counts == [total, 0, total]
    return total


def test_the_limit_is_used_and_never_passed(database: Database) -> None:
    world = World(16, date(2025, 1, 1), date(2025, 6, 30))
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
    assert (report.requests, len(times)) == (48, 48)
    assert (busiest, refused) == (3, 0)
    assert (len(times) - 1) / ((times[-1] - times[0]) / 1e9) / 3 >= 0.97
    assert report.seconds < 48 / 3 / 0.97 + 1
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


class Killed:
    """A backfill that is killed again and again; what it said about itself until then.

    Its processes are forks of a server that has imported everything already, so that starting one again takes no time.
    """

    def __init__(self, dsn: str, folder: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # or the server would import nothing, silently
        self._log = folder / "log"
        self._dsn = dsn
        self._world = world
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["backfill_child"])

    def run(self, kill_after: int, spin_s: float) -> bool:
        """Kill it so many events after its start, and a little later; True when it was killed before it was done."""
        ours, theirs = self._context.Pipe(duplex=False)
        child = self._context.Process(target=backfill_child.main, args=(self._dsn, str(self._log), self._world, theirs))
        child.start()
        theirs.close()
        try:
            seen = -1  # the first event says that it starts
            while seen < kill_after:
                ours.recv()
                seen += 1
            until = time.perf_counter() + spin_s
            while time.perf_counter() < until:
                pass
        except EOFError:
            pass  # it is done
        child.kill()
        child.join(60)
        return child.exitcode == -9 and seen == kill_after

    def runs(self) -> list[list[dict[str, Any]]]:
        """Events by run. The log ends with whole lines: each is one write."""
        out: list[list[dict[str, Any]]] = []
        for line in self._log.read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "start":
                out.append([])
            out[-1].append(event)
        return out


def complete_days(database: Database, tokens: dict[int, int]) -> set[Day]:
    fetched = FetchRepository(database, BarRepository(database)).fetched(list(tokens), date(2020, 1, 1), date(2030, 1, 1))
    return {(tokens[f.instrument_id], f.day) for f in fetched if f.complete}


def days_asked(event: dict[str, Any]) -> Iterator[Day]:
    first, last = (EPOCH + timedelta(days=session_number(event[name])) for name in ("start_ns", "end_ns"))
    return ((event["token"], s.day) for s in SESSIONS.between(first, last))


@pytest.mark.parametrize("seed", [20261122])
def test_killed_at_ten_random_points_it_loses_and_repeats_nothing(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    world = World(6, date(2024, 10, 1), date(2025, 6, 30))
    killed = Killed(dsn, tmp_path, world, monkeypatch)
    with Database(dsn) as database:
        stored = InstrumentRepository(database).upsert(world.instruments())
        tokens = {instrument.id: token for instrument, token in world.targets(stored)}
        known: list[set[Day]] = [set()]
        for _ in range(KILLS):
            assert killed.run(rng.randint(1, 8), rng.uniform(0.0, 0.06)), f"seed {seed}: it was done before it was killed"
            known.append(complete_days(database, tokens))
        assert not killed.run(10**9, 0.0)

        runs = killed.runs()
        assert len(runs) == KILLS + 1
        assert runs[-1][-1] == {"event": "end", "busiest": 3, "refused": 0}
        committed: set[Day] = set()
        n_asked = 0
        for events, before in zip(runs, known, strict=True):
            asked = [day for e in events if e["event"] == "ask" for day in days_asked(e)]
            assert not (before | committed) & set(asked), f"seed {seed}: asked again for what was stored"
            assert len(asked) == len(set(asked))
            committed |= {(tokens[e["id"]], date.fromisoformat(d)) for e in events if e["event"] == "stored" for d in e["days"]}
            n_asked += sum(e["event"] == "ask" for e in events)
        assert all(e["unchanged"] == 0 for events in runs for e in events if e["event"] == "stored")
        assert 30 <= n_asked <= 30 + KILLS * WORKERS
        assert complete_days(database, tokens) == {
            (t, s.day) for t in tokens.values() for s in SESSIONS.between(world.first, world.last)
        }
        assert assert_equals_the_exchange(database, world) > 6 * 150 * 350
        again = FetchRepository(database, BarRepository(database))
        assert again.save(stored[0].id, empty(BAR), [], [], 0).inserted == 0
