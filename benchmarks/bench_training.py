"""From a triple-barrier training set to a fitted, calibrated and judged model: 5 million rows of 100 features.

Five folds of 200 rounds of 63 leaves and three classes, none stopped early, and a final model of as many rounds as were best in
them, as training does it; in two processes. The set is made up (a little of two features decides the label) and lies on disk in the
form that HISTORICAL_MODE reads it from the database into. Time and memory are held against the limits; progress and time left are
on screen. Without the baselines. ``--rows`` makes it smaller. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from figures import figure, finish
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from intraday.core.rules import RULES
from intraday.domain.arrays import DAY_NS, MINUTE_NS
from intraday.history.spool import RowSpool
from intraday.model.dataset import Dataset
from intraday.model.spec import TrainSpec
from intraday.model.splits import SplitSpec
from intraday.model.trainer import LGBMTrainer, Resources

ROWS, FEATURES, BARS, SESSIONS = 5_000_000, 100, 75, 340
ROUNDS, LEAVES, THREADS = 200, 63, 2
LIMIT_S, LIMIT_MIB = 45 * 60.0, 8 * 1024.0


def sessions_of(rows: int, rng: np.random.Generator) -> Iterator[Dataset]:
    """A session of as many instruments as it takes, each with 75 five-minute bars."""
    n_inst = -(-rows // (SESSIONS * BARS))
    n = n_inst * BARS
    first = int(datetime(2022, 1, 3, 3, 45, tzinfo=UTC).timestamp()) * 10**9
    bar, inst = np.repeat(np.arange(BARS), n_inst), np.tile(np.arange(n_inst, dtype=np.int32), BARS)
    for k in range(SESSIONS):
        x = rng.standard_normal((n, FEATURES), dtype=np.float32)
        x[rng.random(n) < 0.02, 5] = np.nan
        score = 0.15 * x[:, 0] - 0.1 * x[:, 1] + rng.standard_normal(n)
        label = (np.digitize(score, [-0.6, 0.6]) - 1).astype(np.int8)
        ts = first + k * DAY_NS + bar * 5 * MINUTE_NS
        ends = np.minimum(ts + rng.integers(11, 66, n) * MINUTE_NS, first + k * DAY_NS + 375 * MINUTE_NS)
        gross = 0.004 * label + 0.002 * rng.standard_normal(n)
        yield Dataset(
            x=x, label=label, ret_long=gross, ret_short=-gross, sigma=np.full(n, 0.0015), cost=np.full(n, 8.3e-4), ts_ns=ts,
            entry_ns=ts + 6 * MINUTE_NS, t1_ns=ends, session=np.full(n, first // DAY_NS + k, np.int32), inst=inst,
            eligible=bar < 60, attribution=np.full(n, np.nan), close_ns=ts + 5 * MINUTE_NS, close=np.full(n, 100.0),
            end_long_ns=ends, end_short_ns=ends, may_long=np.ones(n, np.bool_), may_short=np.ones(n, np.bool_),
        skip_long=np.zeros(n, np.bool_), skip_short=np.zeros(n, np.bool_),
            rules=np.sign(rng.integers(-60, 61, (n, len(RULES))) // 60).astype(np.int8),
        )  # fmt: skip


class Peak(threading.Thread):
    """Largest resident memory of this process and its children together, looked at five times a second. MiB.

    Pages of mapped files are the system's and not counted: it drops them when it needs to.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    info = process.memory_info()
                except psutil.Error:
                    continue
                total += info.rss - info.shared
            self.mib = max(self.mib, total / 2**20)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="where the set lies meanwhile (3 GB)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        measure(options.rows, options.workers, folder)
    finally:
        shutil.rmtree(folder)


def measure(rows: int, workers: int, folder: Path) -> None:
    with RowSpool(folder / "rows") as spool:
        for part in sessions_of(rows, np.random.default_rng(1)):
            spool.append(part)
        data = spool.rows()
    names = tuple(f"f{k}" for k in range(FEATURES))
    split = SplitSpec(min_train=SESSIONS // 2, test=-(-(SESSIONS // 2 - 1) // 5))
    spec = TrainSpec(
        split=split, num_boost_round=ROUNDS, early_stopping_rounds=ROUNDS, num_leaves=LEAVES, threads=THREADS, explained_rows=200
    )
    peak, began = Peak(), time.perf_counter()
    peak.start()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeRemainingColumn(), refresh_per_second=1) as bar:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        trained = LGBMTrainer(spec, Resources(workers, folder / "work")).train(data, names, told)
    took, mib = time.perf_counter() - began, peak.stop()
    sizes = {f.name: getattr(data, f.name).nbytes >> 20 for f in fields(Dataset)}
    print(
        f"{len(data):,} rows, {sum(sizes.values()):,} MiB on disk; {len(trained.folds)} folds, verdict {trained.verdict}",
        file=sys.stderr,
    )
    share = len(data) / ROWS
    finish([
        figure(f"training of {len(data):,} rows x {FEATURES} features", took, "s", "limit", LIMIT_S * share, less_is_better=True),
        figure("its peak memory", mib, "MiB", "limit", LIMIT_MIB, less_is_better=True),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
