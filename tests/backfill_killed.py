"""A backfill that is killed again and again, and what the database has to hold afterwards."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import backfill_child
from backfill_world import SESSIONS, World, wanted
from intraday.database.bars import BarRepository
from intraday.database.fetches import FetchRepository
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import Database
from intraday.domain.arrays import session_number
from intraday.domain.ports import Source
from intraday.domain.session import EPOCH

ALL = (0, 2**63 - 1)
WORKERS = 4
Day = tuple[int, date]  # token, day


def killed_and_restarted(
    database: Database, folder: Path, world: World, *, kills: int, events_max: int, seed: int
) -> tuple[int, int]:
    """Kill the world's backfill so often, each time after up to ``events_max`` events and a little more, then let it end.

    Asserts that nothing stored was asked for again, and that the database equals the exchange. Returns the number of candles and of
    requests made. PYTHONPATH of the environment has to lead to the tests.
    """
    rng = random.Random(seed)
    killed = Killed(database.dsn, folder, world)
    stored = InstrumentRepository(database).upsert(world.instruments())
    tokens = {instrument.id: token for instrument, token in world.targets(stored)}
    known: list[set[Day]] = [set()]
    for _ in range(kills):
        assert killed.run(rng.randint(1, events_max), rng.uniform(0.0, 0.06)), f"seed {seed}: it was done before it was killed"
        known.append(complete_days(database, tokens))
    assert not killed.run(10**9, 0.0)

    runs = killed.runs()
    assert len(runs) == kills + 1, len(runs)
    assert (runs[-1][-1]["event"], runs[-1][-1]["refused"]) == ("end", 0), runs[-1][-1]
    assert runs[-1][-1]["busiest"] <= 3, runs[-1][-1]
    committed: set[Day] = set()
    for events, before in zip(runs, known, strict=True):
        asked = [day for e in events if e["event"] == "ask" for day in days_asked(e)]
        assert not (before | committed) & set(asked), f"seed {seed}: asked again for what was stored"
        assert len(asked) == len(set(asked)), f"seed {seed}: asked twice in one run"
        committed |= {(tokens[e["id"]], date.fromisoformat(d)) for e in events if e["event"] == "stored" for d in e["days"]}
    assert all(e["unchanged"] == 0 for events in runs for e in events if e["event"] == "stored"), "stored twice"
    everything = {(token, s.day) for token in tokens.values() for s in SESSIONS.between(world.first, world.last)}
    assert complete_days(database, tokens) == everything
    return assert_equals_the_exchange(database, world), sum(e["event"] == "ask" for events in runs for e in events)


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


class Killed:
    """A backfill that is killed again and again; what it said about itself until then.

    Its processes are forks of a server that has imported everything already, so that starting one again takes no time.
    """

    def __init__(self, dsn: str, folder: Path, world: World) -> None:
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
    """Days not worth asking for at once: complete ones, and those that had no candle just now."""
    fetched = FetchRepository(database, BarRepository(database)).fetched(list(tokens), date(2020, 1, 1), date(2030, 1, 1))
    return {(tokens[f.instrument_id], f.day) for f in fetched if f.complete or f.empty_ns is not None}


def days_asked(event: dict[str, Any]) -> Iterator[Day]:
    first, last = (EPOCH + timedelta(days=session_number(event[name])) for name in ("start_ns", "end_ns"))
    return ((event["token"], s.day) for s in SESSIONS.between(first, last))
