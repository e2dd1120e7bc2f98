"""Recorded ticks to one-minute candles: the live fold over a whole day, against polars' group_by of the same rows in the same run.

Both give the same candles (checked): open, high, low, close, number of ticks, volume since the tick before the minute. Ours keeps
what a live session needs besides: late ticks, lost links, decision bars. One process, one thread each, in alternating rounds.
Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from datetime import date
from statistics import median

os.environ["POLARS_MAX_THREADS"] = "1"  # read once, when polars is imported

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
from figures import figure, finish  # noqa: E402

from intraday.core.candles import HistoricalAggregator  # noqa: E402
from intraday.core.panel import Day, regular_day  # noqa: E402
from intraday.domain.arrays import MINUTE_NS, TICK, Bars, Ticks  # noqa: E402
from intraday.domain.session import Session, SessionTable  # noqa: E402
from intraday.live.validate import TickValidator  # noqa: E402

GRACE_NS = 1_500_000_000
INSTRUMENTS = 100
ROUNDS = 7
TARGET = 5e6


def random_day(session: Session, n: int) -> Ticks:
    """Ticks of one session in order of arrival: a random walk, a third of a second late, volume growing."""
    rng = np.random.default_rng(1)
    ticks = np.zeros(n, TICK)
    ticks["event_ns"] = np.sort(rng.integers(session.open_ns, session.close_ns, n))
    ticks["recv_ns"] = ticks["event_ns"] + 300_000_000
    ticks["inst"] = rng.integers(0, INSTRUMENTS, n)
    ticks["price"] = 100_000 + rng.integers(-5, 6, n).cumsum()
    ticks["volume"] = np.arange(n)
    return ticks


def checked(session: Session, day: Day, ticks: Ticks) -> Ticks:
    return TickValidator(session, day).check(ticks)


def folded(session: Session, day: Day, ticks: Ticks) -> Bars:
    return HistoricalAggregator(INSTRUMENTS).fold_day(session, day, ticks, GRACE_NS).minutes


def grouped(frame: pl.DataFrame) -> pl.DataFrame:
    """The same with polars, as one would write it."""
    minute = (pl.col("event_ns") // MINUTE_NS * MINUTE_NS).alias("ts_ns")
    bars = frame.group_by(minute, "inst").agg(
        pl.col("price").first().alias("open"), pl.col("price").max().alias("high"), pl.col("price").min().alias("low"),
        pl.col("price").last().alias("close"), pl.col("volume").last().alias("total"), pl.len().alias("n_ticks"),
    )  # fmt: skip
    return bars.sort("ts_ns", "inst").with_columns(volume=pl.col("total") - pl.col("total").shift(1).over("inst").fill_null(0))


def check_equal(bars: Bars, frame: pl.DataFrame) -> None:
    """Nothing is measured that differs."""
    for name in ("ts_ns", "inst", "n_ticks", "volume"):
        np.testing.assert_array_equal(bars[name], frame[name].to_numpy())
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(bars[name], frame[name].to_numpy() / 100.0)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=2_000_000)
    n = parser.parse_args().ticks
    session = SessionTable.load().get(date(2025, 1, 15))
    day = regular_day(session, INSTRUMENTS)
    ticks = random_day(session, n)
    frame = pl.DataFrame({name: np.ascontiguousarray(ticks[name]) for name in ("event_ns", "inst", "price", "volume")})
    check_equal(folded(session, day, checked(session, day, ticks[: n // 10])), grouped(frame[: n // 10]))  # compiles, too
    works = (lambda: folded(session, day, ticks), lambda: checked(session, day, ticks), lambda: grouped(frame))
    rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    fold, check, peer = (n / median(column) for column in zip(*rounds, strict=True))
    both = n / median(a + b for a, b, _ in rounds)
    print(f"{n:,} ticks of {INSTRUMENTS} instruments, M ticks/s: fold {fold / 1e6:.1f}, target {TARGET / 1e6:.0f}")
    print(f"check {check / 1e6:.1f}, check and fold {both / 1e6:.1f}, polars with one thread {peer / 1e6:.1f}")
    finish(
        [
            figure("candles, ticks folded", fold, "ticks/s", "polars group_by, one thread", peer) | {"target": TARGET},
            figure("candles, ticks checked and folded", both, "ticks/s", "polars group_by, one thread", peer),
        ]
    )


if __name__ == "__main__":
    main()
