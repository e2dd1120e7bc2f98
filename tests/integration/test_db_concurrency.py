"""Several programs at one database at once: no deadlock, no lost row, nothing twice.

``INTRADAY_CONCURRENCY_S``: how long everything goes on at once (3 seconds unless told).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from concurrency_cases import DAY, IDS, SET, Job, N, deadlocks, live, minute_bars, minute_effects, prepare, programs, stored, whole
from intraday.database import schema, timescale
from intraday.database.bars import BarRepository
from intraday.database.days import DayRepository
from intraday.database.features import FeatureRepository
from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import DAY_NS, MINUTE_NS, Bars
from intraday.domain.events import SaveBars
from intraday.domain.ports import Source

pytestmark = pytest.mark.integration
SECONDS = float(os.environ.get("INTRADAY_CONCURRENCY_S", "3"))


class Crew:
    """Threads that repeat their work until told to stop; what they raised."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.failed: list[str] = []
        self.rounds: dict[str, int] = {}
        self._turn = threading.Condition()
        self._threads: list[threading.Thread] = []

    def repeat(self, name: str, work: Callable[[int], object]) -> None:
        """``work(0)``, ``work(1)``, ... until the end."""

        def run() -> None:
            k = 0
            try:
                while not self.stop.is_set():
                    work(k)
                    k += 1
                    with self._turn:
                        self.rounds[name] = k
                        self._turn.notify_all()
            except BaseException as error:  # noqa: BLE001  told below
                self.failed.append(f"{name}, round {k}: {type(error).__name__}: {error}")
            with self._turn:
                self._turn.notify_all()

        self.rounds[name] = 0
        thread = threading.Thread(target=run, name=name)
        self._threads.append(thread)
        thread.start()

    def one_more(self) -> None:
        """Wait until everybody has begun and ended a round from now on, or failed."""
        with self._turn:
            wanted = {name: k + 2 for name, k in self.rounds.items()}
            assert self._turn.wait_for(lambda: self.failed or all(self.rounds[n] >= k for n, k in wanted.items()), 60)

    def join(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)


@contextmanager
def crew() -> Iterator[Crew]:
    found = Crew()
    try:
        yield found
    finally:
        found.join()
    assert not found.failed


def test_two_programs_write_the_same_minutes(dsn: str) -> None:
    """Four ways: the same source or another, the same values or others; each step of both at the same moment."""
    steps = [
        (Job(0, "tick", 0), Job(0, "tick", 0)),
        (Job(1, "tick", 1), Job(1, "tick", 2)),
        (Job(2, "tick", 0), Job(2, "replay", 0)),
        (Job(3, "tick", 1), Job(3, "replay", 2)),
    ]
    with Database(dsn) as database, programs(dsn, 2) as others:
        prepare(database)
        for step in steps:
            assert others.step(step) == [[], []]
        RollupRepository(database).refresh()
        assert whole(database) == []
        assert deadlocks(database) == 0
        minutes = 7 * N - (N - 2)  # six minutes of all, and the late bars of the one before
        with database.autocommit() as connection:
            rows = connection.execute(
                """SELECT (ts AT TIME ZONE 'UTC')::date - min((ts AT TIME ZONE 'UTC')::date) OVER () AS day, source, version, best
                   FROM bar_versions"""
            ).fetchall()
            count = "SELECT (SELECT count(*) FROM features), (SELECT count(*) FROM signals), (SELECT count(*) FROM alerts)"
            assert connection.execute(count).fetchone() == (6 * N * (1 + 1 + 2 + 2), 6 * N * (1 + 1 + 2 + 2), 6 * 7)
        late = 2 * 5  # said of minutes that were there
        per_day = [[(source, best) for day, source, _, best in rows if day == k] for k in range(4)]
        assert len(per_day[0]) == minutes + late
        assert len(per_day[1]) == 2 * (minutes + late)
        for found in per_day[2:]:
            assert sum(best for _, best in found) == minutes
            assert all(source == "tick" for source, best in found if best)
            assert sum(source == "replay" for source, _ in found) == minutes + late
        best = BarRepository(database).read(IDS, DAY + DAY_NS + 6 * MINUTE_NS, DAY + DAY_NS + 7 * MINUTE_NS)
        assert best["close"].tolist() == minute_bars(DAY + DAY_NS + 6 * MINUTE_NS, 2)["close"].tolist()  # known later


@pytest.mark.asyncio
async def test_two_batches_in_another_order(dsn: str) -> None:
    """Each brings two sets of instruments, one first these, the other first those: nobody waits for one who waits for him."""
    with Database(dsn) as database:
        ab, ba = (LiveWriter(database, IDS, source, SET.id, "r1") for source in (Source.TICK, Source.REPLAY))
        async with ab, ba:
            for k in range(4):
                bars = minute_bars(DAY + k * MINUTE_NS)
                halves = [SaveBars(half, DAY) for half in np.split(bars, 2)]
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(ab.write(halves))
                    tasks.create_task(ba.write(halves[::-1]))
        assert deadlocks(database) == 0
        assert stored(database) == stored(database, Source.REPLAY) == 4 * N


def days_of_bars(days: int) -> Bars:
    """An hour on each of so many days."""
    return np.concatenate([minute_bars(DAY + d * DAY_NS + k * MINUTE_NS) for d in range(days) for k in range(60)])


def test_a_reader_while_chunks_are_compressed_and_dropped(dsn: str) -> None:
    """Whoever reads sees the same rows before, during and after; of what retention drops, all of a chunk or nothing."""
    days = 28
    wanted = days_of_bars(days)
    with Database(dsn) as database, crew() as others:
        store = BarRepository(database)
        store.write(IDS, wanted, Source.IMPORT, 5)
        RollupRepository(database).refresh()
        kept_ns = DAY + 14 * DAY_NS
        kept = wanted[wanted["ts_ns"] >= kept_ns]

        def read(k: int) -> None:
            assert store.read(IDS, kept_ns, 2**62).tobytes() == kept.tobytes()

        def read_old(k: int) -> None:
            per_day = np.unique(store.read(IDS, 0, kept_ns)["ts_ns"] // DAY_NS, return_counts=True)[1]
            assert set(per_day.tolist()) <= {60 * N}

        others.repeat("read", read)
        others.repeat("read what goes", read_old)
        others.one_more()
        with database.autocommit() as connection:
            if timescale.installed(connection):
                for chunk in connection.execute("SELECT show_chunks('ohlcv_1min')::text").fetchall():
                    connection.execute("SELECT compress_chunk(%s::regclass)", chunk)
            connection.execute("SELECT drop_before('bars', to_timestamp(%s))", ((kept_ns - 2 * DAY_NS) / 1e9,))
            left = connection.execute("SELECT count(*) FROM ohlcv_1min WHERE ts < to_timestamp(%s)", (kept_ns / 1e9,)).fetchone()
        assert left is not None
        assert 0 < left[0] < 14 * 60 * N
        others.one_more()


def test_a_migration_during_a_live_run(dsn: str) -> None:
    """The schema goes one revision down and up again, twice, under a writer: it waits or is told, and every minute gets through."""
    days: list[int] = []
    raised: list[str] = []
    with Database(dsn, live_timeout_s=20) as database, crew() as others:
        prepare(database)

        def write(k: int) -> None:
            raised.extend(asyncio.run(live(database, Job(k, "tick", 0, minutes=3))))
            days.append(k)

        others.repeat("live", write)
        below = [revision.id for revision in schema.history(dsn)][-2]
        for _ in range(2):
            schema.migrate(dsn, to=below, lose_data=True)
            schema.migrate(dsn)
    with Database(dsn) as database:
        assert len(days) >= 1
        assert stored(database) == len(days) * (3 * N + 2)
        assert deadlocks(database) == 0
        RollupRepository(database).refresh()
        assert whole(database) == []
    assert all("again" in text or "held for too long" in text for text in raised), raised


class Everything:
    """Who does what in ``test_everything_at_once``; every method is one round of it."""

    def __init__(self, database: Database, seed: int) -> None:
        self._db, self._seed = database, seed
        self._bars, self._features = BarRepository(database), FeatureRepository(database)
        self._days = [DAY - d * DAY_NS for d in range(1, 9)]
        self.live_minutes = 0

    def bring_in(self, k: int) -> None:
        """Half an hour of some instruments, the same days again and again; every third time with other values."""
        whose = np.random.default_rng((self._seed, k)).permutation(N)[: N // 2]
        start, bump = self._days[k % len(self._days)], k if k % 3 == 2 else 0
        bars = np.concatenate([minute_bars(start + m * MINUTE_NS, bump) for m in range(30)])
        self._bars.write(IDS, bars[np.isin(bars["inst"], whose)], Source.IMPORT, DAY + k * 1000)

    def decide(self, k: int) -> None:
        """Five minutes of a live run, without late bars."""

        async def minutes() -> None:
            async with LiveWriter(self._db, IDS, Source.TICK, SET.id, "r1") as writer:
                for m in range(5):
                    bars, _, *rest = minute_effects(DAY + (5 * k + m) * MINUTE_NS)
                    await writer.write([bars, *rest])
                    self.live_minutes += 1

        asyncio.run(minutes())

    def vectors(self, k: int) -> None:
        """Features of half an hour, other ones each time."""
        ts = np.repeat(self._days[k % len(self._days)] + MINUTE_NS * np.arange(30), N)
        x = np.random.default_rng((self._seed, k)).normal(size=(ts.shape[0], 3)).astype(np.float32)
        self._features.write(SET.id, Source.IMPORT, IDS, ts, np.tile(np.arange(N, dtype=np.int32), 30), x)

    def forget(self, k: int) -> None:
        """A replay that begins again: its day is told and cleared."""
        self._bars.write(IDS, minute_bars(DAY + 40 * DAY_NS + k % 30 * MINUTE_NS, k), Source.REPLAY, DAY + k * 1000)
        DayRepository(self._db).clear(Source.REPLAY, DAY + 40 * DAY_NS, DAY + 41 * DAY_NS)

    def refresh(self, k: int) -> None:
        """The timeframes, again and again."""
        RollupRepository(self._db).refresh()


def test_everything_at_once(dsn: str) -> None:
    """Import, a live run, features of the past, refreshes and a cleared day, for some seconds; then every acknowledged row is
    there."""
    over = threading.Event()
    with Database(dsn, connections=6) as database:
        prepare(database)
        work = Everything(database, seed=20_261_122)
        with crew() as others:
            for one in (work.bring_in, work.decide, work.vectors, work.forget, work.refresh):
                others.repeat(one.__name__, one)
            over.wait(SECONDS)
        assert min(others.rounds.values()) > 0, others.rounds
        assert deadlocks(database) == 0
        RollupRepository(database).refresh()
        assert whole(database) == []
        assert stored(database, Source.TICK) == work.live_minutes * N
        assert stored(database, Source.REPLAY) == 0
        ts, _, _ = FeatureRepository(database).read(SET.id, Source.IMPORT, IDS, 0, 2**62)
        assert ts.shape[0] == min(others.rounds["vectors"], 8) * 30 * N
