"""A live minute in the database: bars, feature vectors and signals of all instruments in one durable transaction, against 150 ms.

A whole session, minute after minute without a pause, while the 5, 15 and 60 minute bars are refreshed beside it as in a live run.
Then the last minute once more (nothing may change), and as another source would say it (the slow road through ``store_bars``). On
our own server and in a new database of each server that INTRADAY_BENCH_DSN names: of a superuser, and in the environment since
others can read a command line. ``--load`` starts programs that keep processors busy. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import psycopg
from figures import Figure, figure, finish

from intraday.database import schema, timescale
from intraday.database.embedded import EmbeddedServer
from intraday.database.features import FeatureRepository
from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.database.runs import RunRepository
from intraday.domain.arrays import BAR, DAY_NS, GRID_ORIGIN_NS, MINUTE_NS, empty
from intraday.domain.events import Action, Alert, Effect, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.ports import FeatureSetRecord, Source

LIMIT_MS = 150.0
DAY = GRID_ORIGIN_NS + 9800 * DAY_NS
PART = 75  # minutes; the first and the last of a session are compared


class Minutes:
    """What one minute after another brings, made up from a seed."""

    def __init__(self, instruments: int, features: int) -> None:
        self._n, self._width = instruments, features
        self._rng = np.random.default_rng(7)
        self._close = self._rng.uniform(50, 5000, instruments)

    def effects(self, k: int) -> list[Effect]:
        """Everything of minute ``k``, a decision bar."""
        n, at, rng = self._n, DAY + k * MINUTE_NS, self._rng
        now = at + MINUTE_NS + 1_500_000_000
        bars = empty(BAR, n)
        bars["ts_ns"], bars["inst"] = at, np.arange(n)
        bars["open"] = np.round(self._close, 2)
        self._close *= np.exp(rng.normal(0, 5e-4, n))
        bars["close"] = np.round(self._close, 2)
        bars["high"], bars["low"] = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])
        bars["volume"], bars["n_ticks"] = rng.integers(0, 100_000, n), 50
        bars["volume"][:5] = np.nan  # indices
        x = rng.normal(size=(n, self._width)).astype(np.float32)
        signals = [self._signal(i, at, now, float(p)) for i, p in enumerate(bars["close"])]
        features = SaveFeatures(at, np.arange(n, dtype=np.int32), x, now)
        return [SaveBars(bars, now), features, SaveSignals(at, signals), Alert(now, "info", "signal", f"minute {k}")]

    def _signal(self, inst: int, at: int, now: int, price: float) -> Signal:
        hold = inst % 10 > 0
        level = float("nan") if hold else price
        action = Action.HOLD if hold else Action.BUY
        return Signal(inst, at, now, action, 0.5, 0.2, 0.5, 0.3, price, level, level, now + 9 * MINUTE_NS, False, "model")


class Took(NamedTuple):
    """Milliseconds."""

    minutes: list[float]  # each one's write
    crowded: list[float]  # of these, those that ran beside a refresh of the timeframes
    refreshes: list[float]
    again: float  # the last minute once more
    other: float  # the first minute as another source says it, with other values


async def session(database: Database, instruments: int, features: int, minutes: int) -> Took:
    """One session. A refresh begins after every fifth minute, and the next minute does not wait for it: in life it comes a minute
    later, here at once."""
    made = Minutes(instruments, features)
    ids = range(1, instruments + 1)
    RunRepository(database).start("run", "bench", "{}", DAY)
    FeatureRepository(database).register(FeatureSetRecord("set", 1, tuple(f"f{k}" for k in range(features)), "{}"))
    took = Took([], [], [], 0.0, 0.0)
    async with LiveWriter(database, ids, Source.TICK, "set", "run") as writer:
        for k in range(minutes):
            effects = made.effects(k)
            if k % 5 or k == 0:
                took.minutes.append(await _timed(writer, effects))
                continue
            async with asyncio.TaskGroup() as tasks:
                refresh = tasks.create_task(asyncio.to_thread(_refresh, database))
                took.minutes.append(await _timed(writer, effects))
            took.crowded.append(took.minutes[-1])
            took.refreshes.append(refresh.result())
        again = min([await _timed(writer, effects) for _ in range(3)])
    async with LiveWriter(database, ids, Source.REPLAY, "set", "run") as writer:
        other = min([await _timed(writer, made.effects(k)) for k in range(3)])
    return took._replace(again=again, other=other)


async def _timed(writer: LiveWriter, effects: list[Effect]) -> float:
    start = time.perf_counter()
    await writer.write(effects)
    return (time.perf_counter() - start) * 1e3


def _refresh(database: Database) -> float:
    start = time.perf_counter()
    RollupRepository(database).refresh()
    return (time.perf_counter() - start) * 1e3


@contextmanager
def server(dsn: str | None) -> Iterator[tuple[str, str]]:
    """(name, DSN of an empty database) on our own server or the given one; nothing of it stays."""
    if dsn is None:
        with tempfile.TemporaryDirectory(prefix="intraday-bench-") as folder:
            Path(folder).chmod(0o755)
            with EmbeddedServer(Path(folder)) as own:
                yield "embedded", own.dsn
        return
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        found = urlsplit(dsn)._replace(path=f"/{name}").geturl()
        schema.init(found)
        with psycopg.connect(found) as connection:
            kind = "timescaledb" if timescale.installed(connection) else "postgresql"
        try:
            yield kind, found
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def measure(dsn: str | None, instruments: int, features: int, minutes: int) -> list[Figure]:
    """One server's figures."""
    with server(dsn) as (name, at):
        schema.init(at)
        with Database(at, statement_timeout_s=300) as database:
            took = asyncio.run(session(database, instruments, features, minutes))
            with database.autocommit() as connection:
                version = connection.execute("SHOW server_version").fetchone()
                stored = connection.execute("SELECT (SELECT count(*) FROM ohlcv_1min), (SELECT count(*) FROM features)").fetchone()
    assert stored == (instruments * minutes, instruments * (minutes + 3)), stored
    p50, p99 = np.percentile(took.minutes, [50, 99])
    first, last = np.median(took.minutes[1 : PART + 1]), np.median(took.minutes[-PART:])
    print(
        f"{name} ({version[0] if version else ''}): {instruments} instruments, {features} features, {minutes} minutes: "
        f"median {p50:.0f} ms, 99 % {p99:.0f} ms, slowest {max(took.minutes):.0f} ms, first minute {took.minutes[0]:.0f} ms; "
        f"beside a refresh {np.median(took.crowded):.0f} ms, the refresh {np.median(took.refreshes):.0f} ms; last {PART} minutes "
        f"{last / first:.2f} times the first; once more {took.again:.0f} ms, another source {took.other:.0f} ms"
    )
    limit, early = "limit of a live minute", f"median of the first {PART} minutes"
    return [
        figure(f"db_live_minute_{name}", float(p50), "ms", limit, LIMIT_MS, less_is_better=True),
        figure(f"db_live_minute_p99_{name}", float(p99), "ms", limit, LIMIT_MS, less_is_better=True),
        figure(f"db_live_minute_again_{name}", took.again, "ms", limit, LIMIT_MS, less_is_better=True),
        figure(f"db_live_minute_growth_{name}", float(last), "ms", early, float(first), less_is_better=True),
    ]  # fmt: skip


@contextmanager
def busy(n: int) -> Iterator[None]:
    """``n`` programs that count."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instruments", type=int, default=3000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=375)
    named = os.environ.get("INTRADAY_BENCH_DSN", "").split()
    parser.add_argument("--load", type=int, default=0, help="busy programs beside it")
    given = parser.parse_args()
    with busy(given.load):
        measured = [measure(dsn, given.instruments, given.features, given.minutes) for dsn in [None, *named]]
    finish([one for figures in measured for one in figures])


if __name__ == "__main__":
    main()
