"""Feature vectors by the million: how fast they go in and out, how many bytes a row takes, whether every bit comes back.

``--rows`` rows of 100 float32 features, and a fifth as many one-minute bars, a week at a time through the repositories, into a
database of their own on our embedded server or on the one INTRADAY_BENCH_DSN names; read back, compared bit for bit, compressed
where the server can, read and compared again. In the same run and on the same rows: raw binary COPY into a table with the same key,
and bare ADBC without our work on its answer. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psycopg
from figures import Figure, figure, finish

from intraday.database import schema, timescale
from intraday.database.bars import BarRepository
from intraday.database.copying import Column, copy_rows, ids_literal, time_literal
from intraday.database.features import FeatureRepository
from intraday.database.maintenance import Policy, maintain
from intraday.database.pool import Database, open_database
from intraday.domain.arrays import BAR, DAY_NS, F4, I4, I8, MINUTE_NS, Bars, empty
from intraday.domain.ports import FeatureSetRecord, Source

FEATURES = 100
PER_DAY = 75  # five-minute bars of a session
WEEK_NS = 7 * DAY_NS
FIRST_NS = 1_704_340_800 * 10**9  # Thursday 2024-01-04, 04:00 UTC
SAMPLE = 8  # each week of so many is also given to the peers
RECORD = FeatureSetRecord("bench0features0x", 5, tuple(f"f{k}" for k in range(FEATURES)), "{}")


class Weeks:
    """Rows that can be made again: ``n`` of them in weeks of five sessions of every instrument."""

    def __init__(self, n: int) -> None:
        self.instruments = max(1, min(500, n // (20 * PER_DAY)))
        self.ids = list(range(1, self.instruments + 1))
        per_week = 5 * PER_DAY * self.instruments
        self.count = -(-n // per_week)
        self.rows = self.count * per_week
        self.n_bars = self.rows // 5

    def start_ns(self, week: int) -> int:
        """Before its first row."""
        return FIRST_NS + week * WEEK_NS

    def features(self, week: int) -> tuple[I8, I4, F4]:
        """(ts_ns, inst, x) ordered by (ts, inst): slow walks, whole numbers, missing values, and NaNs of every kind."""
        rng = np.random.default_rng([7, week])
        days = self.start_ns(week) + DAY_NS * np.arange(5, dtype=np.int64)
        ts = (days[:, None] + 5 * MINUTE_NS * np.arange(PER_DAY)).ravel()
        x = rng.standard_normal((ts.shape[0], self.instruments, FEATURES), dtype=np.float32)
        np.cumsum(x[:, :, : FEATURES // 2], axis=0, out=x[:, :, : FEATURES // 2])
        x[:, :, ::7] = np.round(x[:, :, ::7])
        x[:, :, 1::9][rng.random(x[:, :, 1::9].shape, dtype=np.float32) < 0.05] = np.nan
        x[0, 0, :4].view(np.uint32)[:] = (0x7FC00001, 0xFF800000, 0x80000000, 1)
        inst = np.tile(np.arange(self.instruments, dtype=np.int32), ts.shape[0])
        return np.repeat(ts, self.instruments), inst, x.reshape(-1, FEATURES)

    def bars(self, week: int) -> Bars:
        """A fifth as many one-minute bars: one session, of a fifth of the minutes."""
        rng = np.random.default_rng([11, week])
        ts = self.start_ns(week) + MINUTE_NS * np.arange(PER_DAY, dtype=np.int64)
        bars = empty(BAR, ts.shape[0] * self.instruments)
        bars["ts_ns"], bars["inst"] = np.repeat(ts, self.instruments), np.tile(np.arange(self.instruments), ts.shape[0])
        walk = np.exp(np.cumsum(rng.normal(0, 5e-4, (ts.shape[0], self.instruments)), axis=0))
        bars["close"] = np.round(1000 * walk, 1).ravel()
        bars["open"], bars["high"], bars["low"] = bars["close"] - 0.05, bars["close"] + 0.1, bars["close"] - 0.1
        bars["volume"] = rng.integers(1, 5000, bars.shape[0])
        return bars


class Bench:
    """The steps, in the order they are called; times in seconds."""

    def __init__(self, database: Database, weeks: Weeks) -> None:
        self.database, self.weeks = database, weeks
        self.features, self.bars = FeatureRepository(database), BarRepository(database)
        self.sampled = 0

    def load(self) -> tuple[float, float, float]:
        """(all rows through the repository, the sampled weeks through it, the same by raw COPY)."""
        self.features.register(RECORD)
        self.database.arrow("SELECT 1")  # the driver is loaded, the connections are there
        with self.database.autocommit() as connection:
            connection.execute("CREATE TABLE bench_raw (LIKE features INCLUDING ALL)")
        ours = ours_sampled = raw = 0.0
        for week in range(self.weeks.count):
            ts, inst, x = self.weeks.features(week)
            start = time.perf_counter()
            report = self.features.write(RECORD.id, Source.HISTORY, self.weeks.ids, ts, inst, x)
            took = time.perf_counter() - start
            assert report.inserted == ts.shape[0], report
            ours += took
            if week % SAMPLE == 0:
                ours_sampled += took
                self.sampled += ts.shape[0]
                raw += self._raw_copy(ts, inst, x)
            self.bars.write(self.weeks.ids, self.weeks.bars(week), Source.IMPORT, 1)
            _say("stored", week + 1, self.weeks.count)
        return ours, ours_sampled, raw

    def read(self) -> tuple[float, float]:
        """(the sampled weeks through the repository, the same by bare ADBC), both from warm buffers; all weeks are compared."""
        ours = bare = 0.0
        for week in range(self.weeks.count):
            span = self.weeks.start_ns(week), self.weeks.start_ns(week + 1)
            found = self.features.read(RECORD.id, Source.HISTORY, self.weeks.ids, *span)
            made = self.weeks.features(week)
            same = [a.tobytes() == b.tobytes() for a, b in ((made[0], found[0]), (made[1], found[1]), (made[2], found[2]))]
            assert all(same), f"week {week} did not come back bit for bit"
            assert self.bars.read(self.weeks.ids, *span).tobytes() == self.weeks.bars(week).tobytes(), f"bars of week {week}"
            if week % SAMPLE == 0:
                start = time.perf_counter()
                self.features.read(RECORD.id, Source.HISTORY, self.weeks.ids, *span)
                middle = time.perf_counter()
                self._bare(*span)
                ours, bare = ours + middle - start, bare + time.perf_counter() - middle
            _say("read", week + 1, self.weeks.count)
        return ours, bare

    def _bare(self, start_ns: int, end_ns: int) -> None:
        table = self.database.arrow(
            f"SELECT instrument_id, ts, vector FROM features WHERE feature_set_id = '{RECORD.id}' AND source = 'history' "
            f"AND instrument_id = ANY ({ids_literal(self.weeks.ids)}) "
            f"AND ts >= {time_literal(start_ns)} AND ts < {time_literal(end_ns)}"
        )
        assert table.num_rows == 5 * PER_DAY * self.weeks.instruments

    def bytes_per_row(self) -> tuple[float, float]:
        """(features, bars), with their indexes and all else that belongs to them."""
        with self.database.autocommit() as connection:
            size = (
                "SELECT hypertable_size(%s::regclass)"
                if timescale.installed(connection)
                else "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s::regclass)"
            )
            found = [connection.execute(size, (table,)).fetchone() for table in ("features", "ohlcv_1min")]
        return float(found[0][0]) / self.weeks.rows, float(found[1][0]) / self.weeks.n_bars  # type: ignore[index]

    def compress(self) -> tuple[float, int]:
        """(seconds, chunks)."""
        end_ns = self.weeks.start_ns(self.weeks.count + 20)
        start = time.perf_counter()
        report = maintain(self.database, Policy(compress_after_days=1), end_ns, lambda what, done, total: _say(what, done, total))
        return time.perf_counter() - start, report.count("compression")

    def _raw_copy(self, ts: I8, inst: I4, x: F4) -> float:
        columns = [
            Column("instrument_id", "integer", np.asarray(self.weeks.ids)[inst]),
            Column("ts", "timestamptz", ts),
            Column("source", "text", "history"),
            Column("feature_set_id", "text", RECORD.id),
            Column("vector", "bytes", x.view(np.uint8)),
        ]
        with self.database.autocommit() as connection:
            connection.execute("TRUNCATE bench_raw")
        start = time.perf_counter()
        with self.database.transaction() as connection:
            copy_rows(connection, "bench_raw", columns)
        return time.perf_counter() - start


def _say(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"{what} {done}/{total}", file=sys.stderr)


@contextmanager
def opened(dsn: str | None) -> Iterator[Database]:
    """A fresh database on the server of ``dsn``, or on our own; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-features-") as folder:
        if dsn is None:
            with open_database(None, Path(folder)) as database:
                schema.init(database.dsn)
                yield database
            return
        name = f"bench_{secrets.token_hex(6)}"
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            try:
                made = urlsplit(dsn)._replace(path=f"/{name}").geturl()
                schema.init(made)
                with Database(made) as database:
                    yield database
            finally:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def run(database: Database, weeks: Weeks) -> list[Figure]:
    """Everything on one server."""
    bench = Bench(database, weeks)
    load_s, ours_s, raw_s = bench.load()
    plain, bars_plain = bench.bytes_per_row()
    read_s, bare_s = bench.read()
    n, raw = bench.sampled, 4.0 * FEATURES
    found = [
        figure("features stored", n / ours_s, "rows/s", "raw binary COPY", n / raw_s),
        figure("features read", n / read_s, "rows/s", "bare ADBC", n / bare_s),
        figure("features, plain", plain, "bytes/row", "the values alone", raw, less_is_better=True),
        figure("bars, plain", bars_plain, "bytes/row", "their values alone", 52.0, less_is_better=True),
    ]
    print(f"{weeks.rows:,} rows stored in {load_s:.0f} s", file=sys.stderr)
    compress_s, chunks = bench.compress()
    if chunks:
        packed, bars_packed = bench.bytes_per_row()
        read_s, bare_s = bench.read()
        found += [
            figure("features, compressed", packed, "bytes/row", "plain", plain, less_is_better=True),
            figure("bars, compressed", bars_packed, "bytes/row", "plain", bars_plain, less_is_better=True),
            figure("compressed features read", n / read_s, "rows/s", "bare ADBC", n / bare_s),
        ]
        print(f"{chunks} chunks compressed in {compress_s:.0f} s", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*found, figure("peak memory", peak, "MiB", "all vectors at once", weeks.rows * raw / 2**20, less_is_better=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    args = parser.parse_args()
    with opened(os.environ.get("INTRADAY_BENCH_DSN") or None) as database:
        found = run(database, Weeks(args.rows))
    finish(found)


if __name__ == "__main__":
    main()
