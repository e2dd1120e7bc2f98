"""How much memory HISTORICAL_MODE takes for features and labels, by the size of its pieces and by the length of the history.

``--sizes`` million one-minute bars of ``--instruments`` instruments are stored on a server of our own; each time a process of its
own runs the product's pipeline over them up to the training: ``--features`` features and the labels of every bar, at one-minute
decisions. Twice: into empty tables, and again over what is there, which it reads back to compare. For several
``database.read_chunk_mib``. Reported is the greatest resident memory of that process, and of the server apart; ``--picture``
draws it. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
from db_cases import KNOWN_NS, databases, minutes, walk
from figures import Figure, figure, finish

from intraday.core.anchor import AnchorRule
from intraday.core.costs import Costs
from intraday.core.feature_set import FeatureSet
from intraday.core.labels import SIGMA, LabelSpec
from intraday.core.registry import default_registry
from intraday.database.pool import Database
from intraday.database.stores import Stores as Repositories
from intraday.domain.clock import SystemClock
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.history.pipeline import HistoricalPipeline
from intraday.history.plan import HistoricalPlan, Stores
from intraday.model.trainer import TrainSpec

DSN = "BENCH_MEMORY_DSN"  # of the server, for the process that is measured
TRAINING = "dataset"  # the pipeline's step after features and labels
SAMPLE_S = 0.25
EMPTIED = "features, labels, feature_sets, label_sets"


@dataclass(frozen=True, slots=True)
class Point:
    """One run over ``bars`` in pieces of ``mib``. ``start_mib``: the process before it began; ``again``: all was stored before."""

    bars: int
    mib: int
    again: bool
    seconds: float
    start_mib: float
    peak_mib: float
    server_mib: float


class Enough(Exception):
    """Features and labels are stored; training is another benchmark's."""


def until_training(what: str, done: int, total: int) -> None:
    """Progress that ends the run where training begins."""
    if what == TRAINING:
        raise Enough


def measured(mib: int, n_features: int) -> dict[str, float]:
    """The run, in this process."""
    sessions, registry = SessionTable.load(), default_registry()
    names = list(dict.fromkeys([SIGMA, *list(registry)[:: max(1, len(registry) // n_features)], *registry]))[:n_features]
    with Database(os.environ[DSN]) as database:
        stores = Repositories(database)
        universe = stores.instruments.all()
        anchor = AnchorRule(min(day for _, day, _ in stores.bars.coverage()).isoformat())  # one segment: the longest state there is
        features, labels = FeatureSet.of(1, names, registry, anchor), LabelSpec(timeframe=1)
        plan = HistoricalPlan(features, labels, TrainSpec(), Path(), piece_mib=mib)
        kept = Stores(stores.bars, stores.features, stores.labels, stores.models)
        run = HistoricalPipeline(plan, kept, sessions, Costs.load(), SystemClock().monotonic_ns, until_training)
        start_mib, start = status_mib("VmRSS"), time.perf_counter()
        try:
            run.run(universe)
        except Enough:
            return {"seconds": time.perf_counter() - start, "start_mib": start_mib, "peak_mib": status_mib("VmHWM")}
    raise AssertionError("the pipeline ended before its training")


def status_mib(field: str, pid: str = "self") -> float:
    """A field of the kernel's word on a process, MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{field}:")) / 1024


def grown(database: Database, ts_ns: np.ndarray, n_instruments: int) -> int:
    """Load these minutes of every instrument; returns how many bars there are."""
    stores = Repositories(database)
    stocks = [Instrument("NSE", f"S{k:04d}") for k in range(n_instruments)]
    ids = [i.id for i in stores.instruments.upsert(stocks)]
    for k, each in enumerate(ids):
        stores.bars.write([each], walk(1, ts_ns, k), Source.IMPORT, KNOWN_NS)
    with database.autocommit() as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT count(*) FROM ohlcv_1min").fetchone()
    assert row is not None
    return int(row[0])


def runs(database: Database, bars: int, mib: int, n_features: int) -> Iterator[Point]:
    """Into empty tables, then over what is there."""
    with database.autocommit() as connection:
        connection.execute(f"TRUNCATE {EMPTIED} CASCADE")
        connection.execute("CHECKPOINT")
    for again in (False, True):
        command = [sys.executable, __file__, "--measure", str(mib), "--features", str(n_features)]
        with server_peak(database) as peak:
            done = subprocess.run(command, env={**os.environ, DSN: database.dsn}, check=True, stdout=subprocess.PIPE, text=True)
        yield Point(bars=bars, mib=mib, again=again, server_mib=peak[0], **json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def server_peak(database: Database) -> Iterator[list[float]]:
    """The greatest sum of the server's processes' own memory while the block runs, shared buffers counted once; sampled."""
    with psycopg.connect(database.dsn) as connection:
        status = Path(f"/proc/{connection.info.backend_pid}/status").read_text(encoding="ascii")
    postmaster = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
    found, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            found[0] = max(found[0], sum(map(_share_mib, [postmaster, *_children(postmaster)])))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _children(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


def _share_mib(pid: str) -> float:
    """Proportional share: what is shared by k processes counts 1/k for each. 0 for one that has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def draw(points: Sequence[Point], path: Path) -> None:
    """Peak memory of the process and of the server against bars, a line for each size of pieces."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure_, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
    for axis, field, title in zip(axes, ("peak_mib", "server_mib"), ("the process", "the database server"), strict=True):
        for mib in sorted({p.mib for p in points}):
            for again, style in ((False, "o-"), (True, "s:")):
                mine = [p for p in points if p.mib == mib and p.again == again]
                label = f"pieces of {mib} MiB" + (", all stored before" if again else "")
                axis.plot([p.bars / 1e6 for p in mine], [getattr(p, field) for p in mine], style, label=label)
        axis.set(xlabel="million bars", ylim=(0, None), title=title)
        axis.grid(visible=True, alpha=0.25)
    axes[0].set_ylabel("peak memory, MiB")
    axes[0].legend(fontsize="small")
    figure_.savefig(path, dpi=110, metadata={"Software": None})


def figures_of(points: Sequence[Point]) -> list[Figure]:
    """Each peak against that of the smallest history with the same pieces."""
    smallest = min(p.bars for p in points)
    first = {(p.mib, p.again): p for p in points if p.bars == smallest}
    return [
        figure(
            f"peak memory, {p.bars / 1e6:.1f} M bars, pieces of {p.mib} MiB" + (", stored before" if p.again else ""),
            p.peak_mib, "MiB", f"{smallest / 1e6:.1f} M bars", first[p.mib, p.again].peak_mib, less_is_better=True,
        )
        for p in points
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1,3,10", help="million bars, ascending")
    parser.add_argument("--chunks", default="64,256", help="MiB of a piece")
    parser.add_argument("--instruments", type=int, default=100)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--folder", help="where the server keeps its files while it runs; about 12 GB for 10 million bars")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        sys.stdout.write(json.dumps(measured(args.measure, args.features)) + "\n")
        return
    points: list[Point] = []
    with databases(args.folder) as servers:
        database, there = servers[0][1], len(minutes(1))
        bars = grown(database, minutes(1), args.instruments)
        list(runs(database, bars, 16, args.features))  # the first start compiles, which takes memory of its own
        for million in sorted(float(size) for size in args.sizes.split(",")):
            ts_ns = minutes(max(2, round(million * 1e6 / args.instruments / 375)))
            bars = grown(database, ts_ns[there:], args.instruments)
            there = len(ts_ns)
            for point in (point for mib in args.chunks.split(",") for point in runs(database, bars, int(mib), args.features)):
                points.append(point)
                sys.stderr.write(f"{point}\n")
    if args.picture:
        draw(points, args.picture)
    finish(figures_of(points))


if __name__ == "__main__":
    main()
