"""Backfill of minute candles against the bundled exchange: how much of the broker's limit is used, and how fast answers are stored.

Real sockets and a real database in virtual time, so that a year of minutes for 200 instruments takes as long as the machine needs
for the work, not the seven minutes of the limit. ``--instruments 200`` is the whole of it; ``--kills 10`` does it a second time,
killed at that many random points. What is stored is compared with the exchange's own candles. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from figures import figure, finish

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the market and the child that is killed are the tests'
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)

from backfill_killed import assert_equals_the_exchange, killed_and_restarted  # noqa: E402
from backfill_world import World, fetch, trading_day  # noqa: E402
from intraday.broker.backfill import BackfillReport  # noqa: E402
from intraday.database import schema  # noqa: E402
from intraday.database.bars import BarRepository  # noqa: E402
from intraday.database.fetches import FetchRepository  # noqa: E402
from intraday.database.instruments import InstrumentRepository  # noqa: E402
from intraday.database.pool import Database, open_database  # noqa: E402
from intraday.domain.arrays import Bars  # noqa: E402
from intraday.domain.broker import Fetched  # noqa: E402
from intraday.domain.clock import Clock  # noqa: E402
from intraday.domain.ports import Gap, WriteReport  # noqa: E402
from pace_cases import virtual  # noqa: E402

FIRST, LAST = date(2024, 7, 1), date(2025, 6, 30)
LIMIT = 3


class TimedStore(FetchRepository):
    """Adds up the time that storing takes."""

    seconds = 0.0

    def save(self, instrument_id: int, bars: Bars, fetched: Sequence[Fetched], gaps: Sequence[Gap], known_ns: int) -> WriteReport:
        start = time.perf_counter()
        try:
            return super().save(instrument_id, bars, fetched, gaps, known_ns)
        finally:
            self.seconds += time.perf_counter() - start


@dataclass(slots=True)
class Measured:
    """One uninterrupted run."""

    report: BackfillReport
    seconds: float
    store_s: float
    times_ns: list[int] = field(repr=False)
    busiest: int
    refused: int

    @property
    def share(self) -> float:
        """Of the limit, from the first request to the last."""
        return (len(self.times_ns) - 1) / ((self.times_ns[-1] - self.times_ns[0]) / 1e9) / LIMIT


def uninterrupted(database: Database, world: World) -> Measured:
    """Fetch everything once."""
    bars = BarRepository(database)
    store = TimedStore(database, bars)
    stored = InstrumentRepository(database).upsert(world.instruments())

    async def main(clock: Clock) -> Measured:
        async with trading_day(world, clock) as (exchange, rest):
            start = time.perf_counter()
            report = await fetch(world, clock, rest, store, bars, world.targets(stored))
            seconds = time.perf_counter() - start
            meter = exchange.limits
            times = meter.times("historical")
            return Measured(report, seconds, store.seconds, times, meter.busiest("historical"), meter.refused("historical"))

    return virtual(main, world.start_ns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=10)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20261122)
    args = parser.parse_args()
    world = World(args.instruments, FIRST, LAST)
    with tempfile.TemporaryDirectory(prefix="bench-backfill-") as folder:
        Path(folder).chmod(0o755)
        with open_database(None, Path(folder) / "a") as database:
            schema.init(database.dsn)
            found = uninterrupted(database, world)
            assert found.report.complete, found.report
            assert assert_equals_the_exchange(database, world) == found.report.bars
    n, requests = found.report.bars, len(found.times_ns)
    print(
        f"{n:,} candles in {requests:,} requests: {found.seconds:.1f} s of work ({found.store_s:.1f} s of it stored), "
        f"{found.report.seconds:.1f} s at the broker's pace; equal to the exchange's",
        file=sys.stderr,
    )
    if args.kills:
        with tempfile.TemporaryDirectory(prefix="bench-backfill-") as folder:
            Path(folder).chmod(0o755)
            with open_database(None, Path(folder) / "b") as database:
                schema.init(database.dsn)
                events_max = max(1, requests * 3 // args.kills)
                again, asked = killed_and_restarted(
                    database, Path(folder), world, kills=args.kills, events_max=events_max, seed=args.seed
                )
        assert again == n, (again, n)
        print(
            f"killed {args.kills} times: the same {again:,} candles in {asked:,} requests, none for what was stored",
            file=sys.stderr,
        )
    per_s = n / found.store_s
    refused = figure("answers 429", found.refused, "answers", "allowed", 1)
    finish(
        [
            figure("backfill, requests/s", found.share * LIMIT, "requests/s", "the limit", LIMIT),
            figure("backfill, most requests in any second", found.busiest, "requests", "the limit", LIMIT, less_is_better=True),
            refused | {"peer_value": 0, "ratio": 1.0 if found.refused == 0 else 0.0},
            figure("backfill, stored", per_s, "rows/s", "what the limit lets through", n / requests * LIMIT),
        ]
    )


if __name__ == "__main__":
    main()
