"""Fits in other processes, and fits that are kept: the same model, and after a kill -9 nothing is fitted twice."""

from __future__ import annotations

import os
import select
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from intraday.domain.errors import StorageError
from intraday.model import pool
from intraday.model.boosting import FitJob, FitResult, Weighed
from intraday.model.cpcv import CpcvSpec
from intraday.model.pool import Fits, Resources
from intraday.model.splits import SplitSpec
from intraday.model.trainer import LGBMTrainer, Trained, TrainSpec
from intraday.model.tuning import TuningSpec
from intraday.model.work import WorkFolder, digest_of, key_of
from model_cases import NAMES, dataset
from training_child import child

SPEC = TrainSpec(
    split=SplitSpec(min_train=10, test=3), num_boost_round=4, early_stopping_rounds=4, min_data_in_leaf=50, threads=1,
    tuning=TuningSpec(trials=2), cpcv=CpcvSpec(3, 1), explained_rows=20,
)  # fmt: skip
FITS = 2 * 2 + 3 + 1 + 3  # two trials of two inner folds, folds, the final model, splits of the cross-validation

CHILD = """
import sys
from pathlib import Path
from intraday.model.pool import Resources
from intraday.model.trainer import LGBMTrainer
from model_cases import NAMES, dataset
from test_training_resumed import SPEC

def told(what, done, total):
    if what == "walk-forward training" and done > SPEC.num_boost_round:
        print("second fold", flush=True)
        sys.stdin.read()

LGBMTrainer(SPEC, Resources(work=Path(sys.argv[1]))).train(dataset(sessions=18), NAMES, told)
"""

ENDLESS = """
import sys
from intraday.model import pool
from test_training_resumed import endless
from model_cases import dataset

pool.SMALL = 0
with pool.Fits(dataset(sessions=3).x, 1, pool.Resources(workers=2)) as fits:
    def told(done, total):
        if done > 0:
            print(*fits._processes._processes, flush=True)
            sys.stdin.read()
    fits.run([endless(), endless()], 2, endless().rounds, told)
"""


def endless() -> FitJob:
    data, none = dataset(sessions=3), np.empty(0, np.int64)
    rows = Weighed(np.arange(len(data)), data.label, None)
    return FitJob(NAMES, SPEC.parameters(), 10_000_000, 0, rows, None, none, none)


def train(resources: Resources | None = None, spec: TrainSpec = SPEC) -> Trained:
    return LGBMTrainer(spec, resources).train(dataset(sessions=18), NAMES)


def bits(trained: Trained) -> bytes:
    said = b"".join(np.ascontiguousarray(getattr(trained.oos, f.name)).tobytes() for f in fields(trained.oos))
    assert trained.explained is not None
    rest = (trained.trials, trained.paths, trained.folds, trained.rule, trained.calibrator, trained.judged.reason)
    return said + trained.model_text.encode() + trained.explained.toward_up.tobytes() + repr(rest).encode()


@pytest.fixture(scope="module")
def alone() -> Trained:
    return train()


def test_processes_give_the_bits_of_one(alone: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SMALL", 0)
    told: list[tuple[str, int, int]] = []
    work = tmp_path / "work"
    found = LGBMTrainer(SPEC, Resources(workers=2, work=work)).train(
        dataset(sessions=18), NAMES, lambda what, done, total: told.append((what, done, total))
    )
    assert bits(found) == bits(alone)
    assert len(list(work.glob("*.fit"))) == FITS
    last = {what: (done, total) for what, done, total in told}
    assert set(last) == {"tuning", "walk-forward training", "final model", "cross-validation paths"}
    assert all(done == total for done, total in last.values())


def test_a_killed_training_goes_on_where_it_was(alone: Trained, tmp_path: Path) -> None:
    with child(CHILD, str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "second fold\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.fit")}
    assert 4 < len(before) < FITS
    assert bits(train(Resources(work=tmp_path))) == bits(alone)
    after = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.fit")}
    assert len(after) == FITS
    assert {name: after[name] for name in before} == before, "a finished fit was made again"


def test_what_is_damaged_is_fitted_again(alone: Trained, tmp_path: Path) -> None:
    train(Resources(work=tmp_path))
    whole = {file: file.read_bytes() for file in sorted(tmp_path.glob("*.fit"))}
    for k, (file, content) in enumerate(whole.items()):
        cut = len(content) * (k + 1) // (len(whole) + 1)
        file.write_bytes(content[:cut] if k % 2 else content[:cut] + bytes([content[cut] ^ 1]) + content[cut + 1 :])
    assert bits(train(Resources(work=tmp_path))) == bits(alone)
    assert {file: file.read_bytes() for file in whole} == whole
    WorkFolder(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


def test_the_key_holds_everything_a_fit_depends_on() -> None:
    at, label, weight = np.arange(6), np.array([0, 1, -1, 0, 1, -1], np.int8), np.linspace(0.5, 1.0, 6)
    rows = Weighed(at, label, weight)
    job = FitJob(("a",), {"num_leaves": 3}, 5, 2, rows, rows, at, at[:0])
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    digest = digest_of(x)
    other = [
        replace(job, names=("b",)),
        replace(job, parameters={"num_leaves": 4}),
        replace(job, rounds=6),
        replace(job, patience=3),
        replace(job, fit=replace(rows, at=at + 1)),
        replace(job, fit=replace(rows, label=label[::-1])),
        replace(job, fit=replace(rows, weight=weight * 2)),
        replace(job, fit=replace(rows, weight=None)),
        replace(job, stop=None),
        replace(job, stop=replace(rows, weight=None)),
        replace(job, ask=at[1:]),
        replace(job, ask=at[:0], explain=at),
        replace(job, explain=at[:2]),
    ]
    keys = [key_of(job, digest), key_of(job, digest_of(x + 1)), key_of(job, digest_of(x.reshape(3, 4)))]
    keys += [key_of(one, digest) for one in other]
    assert len(set(keys)) == len(keys)
    assert key_of(job, digest) == key_of(replace(job, ask=at.copy()), digest_of(x.copy()))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nothing = np.empty(0)
    result = FitResult("text", 1, nothing, nothing, np.empty(0, np.int64), np.empty((0, 0), np.float32), nothing)
    with pytest.raises(StorageError, match="could not be kept"):
        WorkFolder(tmp_path / "file" / "work").put("k", result)


@pytest.mark.slow
def test_a_worker_that_dies_is_no_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed as the system kills what takes too much memory."""
    monkeypatch.setattr(pool, "SMALL", 0)
    with Fits(dataset(sessions=3).x, 1, Resources(workers=2)) as fits:

        def kill(done: int, total: int) -> None:
            if done > 0:
                for worker in list(fits._processes._processes):
                    os.kill(worker, signal.SIGKILL)

        with pytest.raises(StorageError, match="want of memory: lower model.workers"):
            fits.run([endless(), endless()], 2, endless().rounds, kill)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="waits for processes that are not its children")
def test_workers_end_with_a_parent_that_is_killed() -> None:
    with child(ENDLESS) as process:
        assert process.stdout is not None
        workers = [os.pidfd_open(int(pid)) for pid in process.stdout.readline().split()]
        os.kill(process.pid, signal.SIGKILL)
    assert len(workers) == 2
    for worker in workers:
        ended, _, _ = select.select([worker], [], [], 60.0)
        os.close(worker)
        assert ended, "it fits on for nobody"


def test_features_that_are_mapped_are_not_copied(tmp_path: Path) -> None:
    """The whole of a file is mapped again as it is; a part of it, or an array in memory, gets a file while it is needed."""
    x = dataset(sessions=3).x
    offset = 128
    (tmp_path / "x").write_bytes(bytes(offset) + x.tobytes())
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="r", offset=offset, shape=x.shape)
    with Fits(mapped, 1, Resources(workers=2)) as fits:
        assert Path(fits._mapped.path) == tmp_path / "x"
        assert fits._mapped.open().tobytes() == x.tobytes()
    for other in (mapped[5:], mapped[:, :2], x, np.asfortranarray(x)):
        with Fits(other, 1, Resources(workers=2)) as fits:
            path = Path(fits._mapped.path)
            assert path != tmp_path / "x"
            assert fits._mapped.open().tobytes() == other.tobytes()
        assert not path.exists()
