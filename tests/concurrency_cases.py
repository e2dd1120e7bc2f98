"""What several programs write at once, and what must be true of the database afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np

from intraday.database.bars import BarRepository
from intraday.database.features import FeatureRepository
from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Database
from intraday.database.runs import RunRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, BarFlag, Bars, empty
from intraday.domain.errors import StorageError
from intraday.domain.events import Action, Alert, Effect, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.ports import FeatureSetRecord, Source

DAY = GRID_ORIGIN_NS + 9100 * DAY_NS
N = 40
IDS = tuple(range(101, 101 + N))
SET = FeatureSetRecord("abc123", 1, ("a", "b", "c"), "{}")
TRIES = 50


class Job(NamedTuple):
    """``minutes`` minutes of a day from DAY, as a source says them. ``bump`` changes the values and when they became known."""

    day: int
    source: str
    bump: int
    minutes: int = 6


def minute_bars(at_ns: int, bump: int = 0, n: int = N) -> Bars:
    """One minute of the first ``n`` instruments; the values follow from time, instrument and ``bump``."""
    bars = empty(BAR, n)
    bars["ts_ns"], bars["inst"] = at_ns, np.arange(n)
    close = 100.0 + np.arange(n) + (at_ns // MINUTE_NS % 997) / 100 + bump
    bars["open"], bars["high"], bars["low"], bars["close"] = close - 0.05, close + 0.1, close - 0.1, close
    bars["volume"] = np.where(np.arange(n) % 7 == 0, np.nan, at_ns // MINUTE_NS % 1000 + np.arange(n))
    bars["n_ticks"] = 3
    return bars


def minute_effects(at_ns: int, bump: int = 0) -> list[Effect]:
    """Bars, a late one of the minute before, vectors and signals, in an order of instruments that differs from bump to bump."""
    now = at_ns + MINUTE_NS + bump * 1_000_000
    order = np.random.default_rng(bump).permutation(N).astype(np.int32)
    late = minute_bars(at_ns - MINUTE_NS, bump)[:2]
    late["close"] += 0.01
    late["flags"] = BarFlag.LATE
    x = np.outer(order, [1, 2, 3]).astype(np.float32) + bump
    signals = [
        Signal(int(i), at_ns, now, Action.HOLD, 0.5, 0.2, 0.5, 0.3, 100.0 + bump, float("nan"), float("nan"), now, False, "m1")
        for i in order
    ]
    saved = [SaveBars(minute_bars(at_ns, bump)[order], now), SaveBars(late, now + 1000)]
    return [*saved, SaveFeatures(at_ns, order, x, now), SaveSignals(at_ns, signals), Alert(now, "info", "test", f"{at_ns} {bump}")]


def prepare(database: Database) -> None:
    """What rows of a run refer to."""
    FeatureRepository(database).register(SET)
    RunRepository(database).start("r1", "live", "{}", DAY)


async def live(database: Database, job: Job) -> list[str]:
    """Write a job's minutes, each until it is acknowledged; what was raised on the way."""
    raised: list[str] = []
    async with LiveWriter(database, IDS, Source(job.source), SET.id, "r1") as writer:
        for k in range(1, job.minutes + 1):
            for _ in range(TRIES):
                try:
                    await writer.write(minute_effects(DAY + job.day * DAY_NS + k * MINUTE_NS, job.bump))
                    break
                except StorageError as error:
                    raised.append(f"{type(error).__name__}: {error}")
            else:
                raise AssertionError(f"minute {k} was refused {TRIES} times: {raised[-1]}")
    return raised


def deadlocks(database: Database) -> int:
    """How many the server has seen in this database."""
    with database.autocommit() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def whole(database: Database) -> list[str]:
    """What is wrong with versions, best minutes and timeframes, in words; nothing is."""
    return [name for name, query in _WRONG.items() if _count(database, query)]


def _count(database: Database, query: str) -> int:
    with database.autocommit() as connection:
        row = connection.execute(cast("Any", f"SELECT count(*) FROM ({query}) AS wrong")).fetchone()
    assert row is not None
    return int(row[0])


_BUCKETS = """
SELECT instrument_id, date_bin('{0} minutes', ts, '2000-01-03 03:45+00') AS ts, (array_agg(open ORDER BY ts))[1] AS open,
       max(high) AS high, min(low) AS low, (array_agg(close ORDER BY ts))[count(*)] AS close, sum(volume)::bigint AS volume,
       sum(n_ticks)::bigint AS n_ticks, count(*) AS n_minutes, bit_or(flags) AS flags
FROM ohlcv_1min GROUP BY 1, 2"""
_STORED = "SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, n_minutes::bigint, flags FROM ohlcv_{0}min"
_WRONG = {
    "a version is there twice": "SELECT 1 FROM bar_versions GROUP BY instrument_id, ts, source, version HAVING count(*) > 1",
    "versions of a source are not 1, 2, 3": """
        SELECT 1 FROM bar_versions GROUP BY instrument_id, ts, source HAVING max(version) <> count(*) OR min(version) <> 1""",
    "a minute has no best": """
        SELECT instrument_id, ts FROM bar_superseded EXCEPT SELECT instrument_id, ts FROM ohlcv_1min""",
    "the best is not the best": """
        SELECT 1 FROM ohlcv_1min b JOIN bar_superseded s USING (instrument_id, ts)
        WHERE s.source < b.source OR (s.source = b.source AND s.known_at > b.known_at)""",
    **{
        f"timeframe {minutes} differs from its minutes": (
            f"({_BUCKETS.format(minutes)} EXCEPT {_STORED.format(minutes)}) "
            f"UNION ALL ({_STORED.format(minutes)} EXCEPT {_BUCKETS.format(minutes)})"
        )
        for minutes in (5, 15, 60)
    },
}


class Programs:
    """Other programs that write, each step of all of them at the same moment."""

    def __init__(self, children: Sequence[subprocess.Popen[str]]) -> None:
        self._children = children

    def step(self, jobs: Sequence[Job]) -> list[list[str]]:
        """One job a program, at once; what each met on the way."""
        for child, job in zip(self._children, jobs, strict=True):
            assert child.stdin is not None
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()
        answers = [child.stdout.readline() for child in self._children if child.stdout is not None]
        return [json.loads(answer) for answer in answers]


@contextmanager
def programs(dsn: str, n: int) -> Iterator[Programs]:
    """``n`` of them, connected and waiting."""
    command = [sys.executable, "-c", "import sys, concurrency_cases as c; c.program(sys.argv[1])", dsn]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()) for _ in range(n)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        yield Programs(children)
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def program(dsn: str) -> None:
    """The other program: a job a line, done when it comes; its answer a line."""
    with Database(dsn) as database:
        with database.autocommit():
            pass
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            found = asyncio.run(live(database, Job(*json.loads(line))))
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


def stored(database: Database, source: Source | None = None) -> int:
    """Best minutes (None) or a source's newest."""
    return int(BarRepository(database).read(IDS, 0, 2**62, source).shape[0])
