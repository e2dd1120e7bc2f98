"""The database in bulk: writing against raw binary COPY, reading against bare ADBC, one day of one instrument against 10 ms.

Each pair in one run, in turns, the median of the rounds; on our own server and, where INTRADAY_BENCH_DSN names another one, on
that too. ``--growth 1,10,50`` (million bars) measures instead how load, timeframes and a read in pieces grow, the peak of a reading
process's memory included, and draws it. The last line is JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from db_cases import KNOWN_NS, copy_form, databases, empty, minutes, walk
from db_growth import draw, grow
from figures import Figure, figure, finish

from intraday.database.bar_rows import SELECT
from intraday.database.bars import BarRepository
from intraday.database.features import FeatureRepository
from intraday.database.labels import LabelRepository
from intraday.database.partitions import range_condition
from intraday.database.pool import Database
from intraday.domain.arrays import DAY_NS, I8, LABEL, Bars
from intraday.domain.ports import FeatureSetRecord, Source, WriteReport

SESSIONS = 267  # 100 125 minutes
STEP = 5  # minutes between feature vectors
DAY_MS = 10.0
LABELS = "instrument_id, ts, entry_ts, t1, ret_long, ret_short, sigma, label, barrier"


def in_turns(rounds: int, **works: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each; who goes first changes. Each goes once before: the first reader after a load finds nothing cached."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for k in range(rounds):
        for name in list(works)[:: 1 if k % 2 else -1]:
            start = time.perf_counter()
            works[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(found)) for name, found in seconds.items()}


def raw_copy(database: Database, forms: Sequence[tuple[str, list[bytes]]]) -> float:
    """Seconds to COPY prepared bytes, a transaction for each instrument."""
    start = time.perf_counter()
    for statement, form in forms:
        with database.transaction() as connection, connection.cursor().copy(statement) as copy:
            for part in form:
                copy.write(part)
    return time.perf_counter() - start


def write(database: Database, files: Sequence[Bars]) -> tuple[float, WriteReport]:
    """(seconds, report) to write each instrument's bars, a call for each."""
    store, report = BarRepository(database), WriteReport()
    start = time.perf_counter()
    for k, bars in enumerate(files):
        report += store.write([k + 1], bars, Source.IMPORT, KNOWN_NS)
    return time.perf_counter() - start, report


def writing(name: str, database: Database, files: Sequence[Bars], rounds: int) -> list[Figure]:
    """Load of a range nobody has, and the same again, against COPY into the same table emptied."""
    n, forms = sum(map(len, files)), [copy_form(k + 1, bars) for k, bars in enumerate(files)]
    write(database, files)  # makes the partitions
    found = []
    for _ in range(rounds):
        empty(database)
        copy_s = raw_copy(database, forms)
        empty(database)
        load_s, first = write(database, files)
        again_s, second = write(database, files)
        assert (first, second) == (WriteReport(n, 0, 0), WriteReport(0, n, 0)), (first, second)
        found.append((copy_s, load_s, again_s))
    copy_s, load_s, again_s = np.median(np.array(found), axis=0).tolist()
    return [
        figure(f"load, {name}", n / load_s, "rows/s", "raw binary COPY", n / copy_s),
        figure(f"load again, {name}", n / again_s, "rows/s", "target", 150_000),
    ]


def reading(name: str, database: Database, ids: list[int], ts_ns: I8, features: int, rounds: int) -> list[Figure]:
    """Everything there is, against ADBC fetching the same query."""
    bars, vectors, labels = BarRepository(database), FeatureRepository(database), LabelRepository(database)
    span = (int(ts_ns[0]), int(ts_ns[-1]) + 1)
    where = range_condition(ids, *span)
    derive(database, ids, ts_ns[::STEP], features)
    n_bars, n_rows = len(ids) * ts_ns.shape[0], len(ids) * ts_ns[::STEP].shape[0]

    def bare(*queries: str) -> None:
        for query in queries:
            database.arrow(query)

    ours = in_turns(
        rounds,
        bars=lambda: bars.read(ids, *span),
        bare=lambda: bare(f"SELECT {SELECT} FROM ohlcv_1min WHERE {where}"),
    )
    rows = in_turns(
        rounds,
        rows=lambda: (vectors.read("bench", Source.HISTORY, ids, *span), labels.read("bench", ids, *span)),
        bare=lambda: bare(
            f"SELECT instrument_id, ts, vector FROM features WHERE feature_set_id = 'bench' AND source = 'history' AND {where}",
            f"SELECT {LABELS} FROM labels WHERE label_set_id = 'bench' AND {where}",
        ),
    )
    return [
        figure(f"read bars, {name}", n_bars / ours["bars"], "rows/s", "bare ADBC", n_bars / ours["bare"]),
        figure(f"read vectors and labels, {name}", n_rows / rows["rows"], "rows/s", "bare ADBC", n_rows / rows["bare"]),
        one_day(name, database, ids, ts_ns),
    ]


def derive(database: Database, ids: list[int], ts_ns: I8, width: int) -> None:
    """Random vectors and labels of every instrument and time."""
    vectors, labels, rng = FeatureRepository(database), LabelRepository(database), np.random.default_rng(7)
    vectors.register(FeatureSetRecord("bench", STEP, tuple(f"f{k}" for k in range(width)), "{}"))
    labels.register("bench", "{}")
    n = ts_ns.shape[0]
    for one in ids:
        x = rng.normal(size=(n, width)).astype(np.float32)
        vectors.write("bench", Source.HISTORY, [one], ts_ns, np.zeros(n, dtype=np.int32), x)
        rows = np.zeros(n, dtype=LABEL)
        rows["ts_ns"], rows["entry_ns"], rows["t1_ns"], rows["ret_long"] = ts_ns, ts_ns, ts_ns, x[:, 0]
        labels.write("bench", [one], rows, int(ts_ns[0]), int(ts_ns[-1]) + 1)


def one_day(name: str, database: Database, ids: list[int], ts_ns: I8) -> Figure:
    """Bars and vectors of one session of one instrument, another pair each time."""
    bars, vectors, rng = BarRepository(database), FeatureRepository(database), np.random.default_rng(7)
    found: list[float] = []
    for _ in range(200):
        start = int(rng.choice(ts_ns)) // DAY_NS * DAY_NS
        where: Any = ([int(rng.choice(ids))], start, start + DAY_NS)
        begun = time.perf_counter()
        got, x = bars.read(*where), vectors.read("bench", Source.HISTORY, *where)[2]
        found.append(time.perf_counter() - begun)
        assert got.shape[0] >= STEP * x.shape[0] - STEP > 0, (got.shape, x.shape)
    return figure(f"one day of one instrument, {name}", 1000 * float(np.median(found)), "ms", "target", DAY_MS, less_is_better=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=20, help="of 100 125 minutes each")
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", default="", help="sizes in million bars, with commas: measure growth instead")
    parser.add_argument("--picture", type=Path, help="where to draw the growth")
    parser.add_argument("--folder", help="where our own server's data goes; a temporary folder otherwise")
    args = parser.parse_args()
    figures: list[Figure] = []
    with databases(args.folder) as found:
        if args.growth:
            sizes = [float(size) for size in args.growth.split(",")]
            points = {name: [grow(database, size, minutes(SESSIONS)) for size in sizes] for name, database in found}
            figures = [row for name, one in points.items() for point in one for row in point.figures(name, one[0])]
            if args.picture is not None:
                draw(points, args.picture)
        else:
            ts_ns = minutes(SESSIONS)
            files = [walk(1, ts_ns, seed) for seed in range(args.instruments)]
            ids = list(range(1, args.instruments + 1))
            for name, database in found:
                figures += writing(name, database, files, args.rounds)
                figures += reading(name, database, ids, ts_ns, args.features, args.rounds)
    for row in figures:
        print(f"{row['name']}: {row['value']} {row['unit']}, {row['peer']} {row['peer_value']}: {row['ratio']}", file=sys.stderr)
    finish(figures)


if __name__ == "__main__":
    main()
