"""Import of one-minute bars, whole road (Parquet, validation, versions, timeframes, quarantine), against raw binary COPY.

Both in one run, into the same server: ``intraday import`` of generated files, then a COPY of the same rows, prebuilt in COPY's
binary form, into the same table emptied, one transaction a file as the importer has. Each from empty tables and after a checkpoint,
in turns, the median of three rounds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
from figures import figure, finish

from intraday.database import schema
from intraday.database.bars import BarRepository
from intraday.database.copying import Column, encode
from intraday.database.instruments import InstrumentRepository
from intraday.database.pool import open_database
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.clock import SystemClock
from intraday.domain.session import SessionTable
from intraday.history.importing import Importer, ImportOptions

TABLE = "ohlcv_1min"
ROUNDS = 3


def write_files(folder: Path, sessions: SessionTable, n_files: int, n_sessions: int) -> int:
    """One Parquet file an instrument: a random walk on every minute of the sessions. Returns the number of rows."""
    rng = np.random.default_rng(7)
    days = sessions.between(date(2019, 1, 1), date(2025, 12, 31))[:n_sessions]
    ts = np.concatenate([np.arange(s.open_ns, s.close_ns, MINUTE_NS) for s in days])
    for k in range(n_files):
        close = np.round(1000.0 * np.exp(np.cumsum(rng.normal(0.0, 3e-4, ts.size))), 2)
        opens = np.concatenate((close[:1], close[:-1]))
        high, low = np.maximum(opens, close) + 0.05, np.minimum(opens, close) - 0.05
        stamps = pl.Series("ts", ts).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Kolkata").dt.cast_time_unit("us")
        volume = rng.integers(1, 50_000, ts.size)
        frame = pl.DataFrame({"ts": stamps, "open": opens, "high": high, "low": low, "close": close, "volume": volume})
        frame.write_parquet(folder / f"BENCH{k:03d}.parquet")
    return n_files * int(ts.size)


def raw_copy(dsn: str, files: list[Path]) -> float:
    """Seconds to COPY the same rows into the empty table; building the bytes is not counted."""
    total = 0.0
    with psycopg.connect(dsn, autocommit=True) as connection:
        for k, path in enumerate(files):
            frame = pl.read_parquet(path)
            n = frame.height
            columns = [
                Column("instrument_id", "integer", np.full(n, k + 1)),
                Column("ts", "timestamptz", frame["ts"].dt.timestamp("ns").to_numpy()),
                *(Column(name, "double", frame[name].to_numpy()) for name in ("open", "high", "low", "close")),
                Column("volume", "bigint", frame["volume"].to_numpy()),
                Column("n_ticks", "integer", np.zeros(n, dtype=np.int64)),
                Column("version", "integer", np.ones(n, dtype=np.int64)),
                Column("known_at", "timestamptz", np.full(n, 10**18)),
                Column("source", "text", "import"),
                Column("flags", "smallint", np.zeros(n, dtype=np.int64)),
            ]
            payload = [b"PGCOPY\n\xff\r\n\0" + bytes(8), *encode(columns, n), b"\xff\xff"]
            names = ", ".join(c.name for c in columns)
            start = time.perf_counter()
            with connection.transaction(), connection.cursor().copy(f"COPY {TABLE} ({names}) FROM STDIN (FORMAT binary)") as copy:
                for block in payload:
                    copy.write(block)
            total += time.perf_counter() - start
        found = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
        assert found is not None
        assert found[0] == sum(pl.scan_parquet(p).select(pl.len()).collect().item() for p in files)
    return total


def empty(dsn: str) -> None:
    """No bars of any timeframe, and nothing left to write for the server."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE ohlcv_1min, bar_superseded, ohlcv_5min, ohlcv_15min, ohlcv_60min")
        connection.execute("CHECKPOINT")


def timed_import(importer: Importer, folder: Path) -> tuple[float, int, int]:
    """(seconds, rows stored, rows already there)."""
    start = time.perf_counter()
    reports = importer.import_paths([folder], ImportOptions(strict=True))
    return time.perf_counter() - start, sum(r.stored for r in reports), sum(r.unchanged for r in reports)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=180)
    args = parser.parse_args()
    sessions = SessionTable.load()
    with tempfile.TemporaryDirectory(prefix="bench-import-") as temp:
        folder = Path(temp) / "bars"
        folder.mkdir()
        n = write_files(folder, sessions, args.files, args.sessions)
        with open_database(None, Path(temp) / "var") as database:
            schema.init(database.dsn)
            bars = BarRepository(database)
            importer = Importer(InstrumentRepository(database), bars, sessions, SystemClock().now_ns, lambda *_: None, bars)
            rounds = []
            for _ in range(ROUNDS):
                empty(database.dsn)
                first_s, stored, _ = timed_import(importer, folder)
                again_s, none, there = timed_import(importer, folder)
                assert (stored, none, there) == (n, 0, n), (stored, none, there, n)
                empty(database.dsn)
                rounds.append((first_s, again_s, raw_copy(database.dsn, sorted(folder.glob("*.parquet")))))
            first_s, again_s, copy_s = np.median(np.array(rounds), axis=0).tolist()
    print(
        f"{n:,} bars in {args.files} files: import {first_s:.2f} s, again {again_s:.2f} s, raw COPY {copy_s:.2f} s", file=sys.stderr
    )
    peer = "raw binary COPY"
    finish(
        [
            figure("import", n / first_s, "rows/s", peer, n / copy_s),
            figure("import again", n / again_s, "rows/s", peer, n / copy_s),
        ]
    )


if __name__ == "__main__":
    main()
