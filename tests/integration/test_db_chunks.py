"""Reads in pieces: together they are the whole read, and each keeps to the memory it was given."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from bulk_cases import minutes_of, some_bars, some_vectors
from intraday.database.bars import BarRepository
from intraday.database.chunks import MIB, blocks
from intraday.database.features import FeatureRepository
from intraday.database.labels import LabelRepository
from intraday.database.pool import Database
from intraday.domain.arrays import LABEL, Bars, empty
from intraday.domain.ports import FeatureSetRecord, Source

ALWAYS = (0, 4 * 10**18)
ROWS = int(os.environ.get("INTRADAY_CHUNK_ROWS", "225000"))


def joined(pieces: list[Bars]) -> Bars:
    """In order of (ts, database id), which the pieces carry as ``inst``."""
    whole = np.concatenate(pieces)
    return whole[np.lexsort((whole["inst"], whole["ts_ns"]))]


def numbered(ids: list[int], bars: Bars) -> Bars:
    """``inst`` replaced by the database's id."""
    named = bars.copy()
    named["inst"] = np.asarray(ids)[bars["inst"]]
    return named


@pytest.mark.parametrize("source", [None, Source.BROKER])
@pytest.mark.parametrize("row_bytes", [320, 4_000_000])
def test_pieces_are_the_whole_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, source: Source | None, row_bytes: int
) -> None:
    monkeypatch.setattr("intraday.database.bars._READ_BYTES", row_bytes)
    store, ids = BarRepository(database), [41, 7, 300, 8]
    store.write(ids, some_bars(4, minutes_of("2024-01-30", 3)), Source.BROKER, 10**18)
    store.write(ids[:2], some_bars(2, minutes_of("2024-05-31", 2), seed=2), Source.BROKER, 10**18)
    store.write(ids[:2], some_bars(2, minutes_of("2024-01-31", 1), seed=3), Source.IMPORT, 10**18)
    pieces = list(store.chunks(ids, *ALWAYS, mib=64, source=source))
    assert len(pieces) == (1 if row_bytes == 320 else 4 + 4 + 2 + 2)  # instruments of January, February, May, June
    wanted = numbered(ids, store.read(ids, *ALWAYS, source))
    assert joined([numbered(list(some), bars) for some, bars in pieces]).tobytes() == joined([wanted]).tobytes()


def test_the_edges_of_the_range_hold(database: Database) -> None:
    store = BarRepository(database)
    bars = some_bars(1, minutes_of("2024-01-30", 4))
    store.write([5], bars, Source.BROKER, 10**18)
    first, last = int(bars["ts_ns"][10]), int(bars["ts_ns"][-10])
    (piece,) = store.chunks([5], first, last, mib=16)
    assert (piece[1]["ts_ns"][0], piece[1]["ts_ns"][-1]) == (first, last - 60_000_000_000)
    assert list(store.chunks([5], last, last, mib=16)) == []
    assert list(store.chunks([6], *ALWAYS, mib=16)) == []
    assert list(store.chunks([], *ALWAYS, mib=16)) == []


def test_empty_months_cost_no_read(database: Database) -> None:
    store = BarRepository(database)
    for day in ("1996-02-05", "2024-05-06"):
        store.write([5], some_bars(1, minutes_of(day, 1)), Source.BROKER, 10**18)
    found = list(blocks(database, "ohlcv_1min", [5], *ALWAYS, mib=1, row_bytes=MIB // 10))
    assert [str(np.datetime64(b.start_ns, "ns"))[:7] for b in found] == ["1996-02", "2024-05"]


def test_vectors_and_labels_come_in_pieces(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intraday.database.features._KEY_BYTES", 100_000)
    monkeypatch.setattr("intraday.database.labels._READ_BYTES", 400_000)
    features, labels, ids = FeatureRepository(database), LabelRepository(database), [3, 9, 4]
    features.register(FeatureSetRecord("f1", 5, ("a", "b"), "{}"))
    ts, inst, x = some_vectors(3, minutes_of("2024-01-30", 3)[::5], 2)
    features.write("f1", Source.HISTORY, ids, ts, inst, x)
    rows = empty(LABEL, ts.shape[0])
    rows["ts_ns"], rows["inst"], rows["ret_long"] = ts, inst, x[:, 0]
    labels.register("l1", "{}")
    labels.write("l1", ids, rows, *ALWAYS)
    pieces = list(features.chunks("f1", Source.HISTORY, ids, *ALWAYS, mib=1024))
    assert len(pieces) == 6  # of January and February
    assert np.concatenate([p[3] for p in pieces]).nbytes == x.nbytes
    for some, at, which, vectors in pieces:
        whole = np.isin(np.asarray(ids)[inst], some) & (ts >= at[0]) & (ts <= at[-1])
        order = np.lexsort((inst[whole], ts[whole]))
        assert vectors.tobytes() == x[whole][order].tobytes()
        told = labels.read("l1", some, int(at[0]), int(at[-1]) + 1)
        assert (told["ret_long"].astype(np.float32) == vectors[:, 0]).all()
        assert (told["inst"] == which).all()
    assert sum(piece.shape[0] for _, piece in labels.chunks("l1", ids, *ALWAYS, mib=1024, minutes=5)) == ts.shape[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of its memory")
def test_a_long_read_keeps_to_its_memory(database: Database) -> None:
    """A child that reads everything in pieces grows by no more than it was told; one that reads it at once by more."""
    store, days = BarRepository(database), 20
    n_inst = ROWS // (375 * days)
    for month in ("2024-01-01", "2024-03-01"):
        store.write(list(range(1, n_inst + 1)), some_bars(n_inst, minutes_of(month, days)), Source.BROKER, 10**18)
    pieces, whole = (int(_child(database.dsn, how, n_inst)) for how in ("chunks", "read"))
    assert pieces < 16 * MIB + 8 * MIB  # 8: the client's libraries
    assert whole > 2 * pieces


def _child(dsn: str, how: str, n_inst: int) -> str:
    """Bytes by which the child's greatest memory grew while it read."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, how, str(n_inst)],
        env={**os.environ, "CHILD_DSN": dsn},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


_CHILD = """
import os, sys
from intraday.database.bars import BarRepository
from intraday.database.pool import Database

def peak():  # not ru_maxrss: a child inherits its parent's
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

how, ids = sys.argv[1], list(range(1, int(sys.argv[2]) + 1))
with Database(os.environ["CHILD_DSN"]) as database:
    store = BarRepository(database)
    store.read(ids[:1], 0, 1_704_700_000 * 10**9)
    before = peak()
    if how == "read":
        n = store.read(ids, 0, 4 * 10**18).shape[0]
    else:
        n = sum(bars.shape[0] for _, bars in store.chunks(ids, 0, 4 * 10**18, mib=16))
    assert n == 2 * 20 * 375 * len(ids), n
print(peak() - before)
"""
