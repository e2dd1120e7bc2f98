"""How load, timeframes and reading grow with the number of bars, and the picture of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from db_cases import KNOWN_NS, empty, walk
from figures import Figure, figure

from intraday.database.bars import BarRepository
from intraday.database.pool import Database
from intraday.database.rollups import RollupRepository
from intraday.domain.arrays import I8
from intraday.domain.ports import Source

GIB_MIB = 1024.0
CHUNK_MIB = 256  # database.read_chunk_mib as it comes
STEPS = (("load_s", "load"), ("timeframes_s", "timeframes"), ("read_s", "read in pieces"))
_READER = """
import os, sys, time
from intraday.database.bars import BarRepository
from intraday.database.pool import Database

ids = list(range(1, int(sys.argv[1]) + 1))
with Database(os.environ["BENCH_READ_DSN"]) as database:
    BarRepository(database).read(ids[:1], 0, 1)
    start = time.perf_counter()
    n = sum(bars.shape[0] for _, bars in BarRepository(database).chunks(ids, 0, 4 * 10**18, mib=int(sys.argv[2])))
    seconds = time.perf_counter() - start
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
print(n, seconds, peak)
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Seconds for so many bars, and the greatest memory of the process that read them."""

    rows: int
    load_s: float
    timeframes_s: float
    read_s: float
    peak_mib: float

    def figures(self, name: str, first: Point) -> list[Figure]:
        """Speeds against those of the smallest size, and the memory against 1 GiB."""
        what, peer = f"{self.rows / 1e6:.1f} M bars, {name}", f"{first.rows / 1e6:.1f} M bars"
        return [
            *(
                figure(f"{step} {what}", self.rows / getattr(self, field), "rows/s", peer, first.rows / getattr(first, field))
                for field, step in STEPS
            ),
            figure(f"memory of the reader, {what}", self.peak_mib, "MiB", "target", GIB_MIB, less_is_better=True),
        ]


def grow(database: Database, million: float, ts_ns: I8) -> Point:
    """Load about that many bars into the emptied tables, an instrument a call, make the timeframes, read everything in pieces."""
    store, n_inst = BarRepository(database), max(1, round(million * 1e6 / ts_ns.shape[0]))
    _forget(database)
    load_s = 0.0
    for k in range(n_inst):
        bars = walk(1, ts_ns, k)
        start = time.perf_counter()
        store.write([k + 1], bars, Source.IMPORT, KNOWN_NS)
        load_s += time.perf_counter() - start
    start = time.perf_counter()
    RollupRepository(database).refresh()
    timeframes_s = time.perf_counter() - start
    done = subprocess.run(
        [sys.executable, "-c", _READER, str(n_inst), str(CHUNK_MIB)],
        env={**os.environ, "BENCH_READ_DSN": database.dsn},
        check=True,
        capture_output=True,
        text=True,
    )
    n, read_s, peak = done.stdout.split()
    assert int(n) == n_inst * ts_ns.shape[0], (n, n_inst)
    point = Point(int(n), load_s, timeframes_s, float(read_s), float(peak))
    print(point, file=sys.stderr, flush=True)
    return point


def draw(points: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Seconds against rows, both on logarithmic scales, with a straight line of growth in proportion."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure_, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
    for (field, title), ax in zip(STEPS, axes, strict=True):
        for name, one in points.items():
            rows, seconds = np.array([p.rows for p in one]), np.array([getattr(p, field) for p in one])
            (line,) = ax.loglog(rows, seconds, "o-", label=name)
            ax.loglog(rows, seconds[0] * rows / rows[0], ":", color=line.get_color(), linewidth=1)
        ax.set(title=title, xlabel="one-minute bars")
        ax.grid(visible=True, which="both", alpha=0.25)
    axes[0].set_ylabel("seconds")
    axes[0].legend(title="dotted: in proportion to the first")
    figure_.savefig(path, dpi=110)
    plt.close(figure_)


def _forget(database: Database) -> None:
    """No bars and no timeframes."""
    empty(database)
    with database.autocommit() as connection:
        for table in ("ohlcv_5min", "ohlcv_15min", "ohlcv_60min"):
            connection.execute(f"TRUNCATE {table}")
