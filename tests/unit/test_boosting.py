"""One fit: the same bits whatever the chunks and threads, and scores that class weights do not bend."""

from __future__ import annotations

import os
import subprocess
import sys

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from intraday.model import boosting
from intraday.model.boosting import FitJob, FitResult, Weighed, fit
from intraday.model.calibration import softmax
from intraday.model.row_sequence import RowSequence
from intraday.model.spec import TrainSpec
from intraday.model.weighting import class_balanced

NAMES = ("a", "b", "c", "d", "e")
N, FIT, STOP = 24_000, 14_000, 18_000
PARAMETERS = TrainSpec(num_leaves=7, min_data_in_leaf=40).parameters()


def rows(seed: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Labels of which 5 % are down, 80 % hold and 15 % up, moved by the first feature; some values are missing, some are zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, len(NAMES))).astype(np.float32)
    x[rng.random(N) < 0.1, 1] = np.nan
    x[rng.random(N) < 0.3, 2] = 0.0
    odds = np.exp(np.stack([np.log(0.05) - x[:, 0], np.full(N, np.log(0.8)), np.log(0.15) + 0.7 * x[:, 0]], axis=1))
    chance = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    return x, ((rng.random(N)[:, None] > chance).sum(axis=1) - 1).clip(-1, 1).astype(np.int8)


def job(label: NDArray[np.int8], weight: NDArray[np.float64] | None = None, explain: int = 0, rounds: int = 40) -> FitJob:
    fit_at, stop_at = np.arange(0, FIT), np.arange(FIT, STOP)

    def weighed(at: NDArray[np.int64]) -> Weighed:
        return Weighed(at, label[at], None if weight is None else weight[at])

    ask = np.arange(FIT, N)
    return FitJob(NAMES, PARAMETERS, rounds, 10, weighed(fit_at), weighed(stop_at), ask, ask[:explain])


def run(x: NDArray[np.float32], what: FitJob, threads: int = 1) -> FitResult:
    return fit(x, what, threads, lambda rounds: None)


def same(a: FitResult, b: FitResult) -> bool:
    return a.text == b.text and a.raw.tobytes() == b.raw.tobytes() and a.toward_up.tobytes() == b.toward_up.tobytes()


def test_chunks_threads_and_a_file_in_between_change_no_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    x, label = rows()
    whole = run(x, job(label, explain=50))
    assert same(run(x, job(label, explain=50), threads=2), whole)
    mapped = np.memmap(f"{tmp_path}/x", dtype=np.float32, mode="w+", shape=x.shape)
    mapped[:] = x
    monkeypatch.setattr(RowSequence, "batch_size", 777)
    monkeypatch.setattr(boosting, "CHUNK", 1_001)
    assert same(run(mapped, job(label, explain=50)), whole)


def test_rows_in_chunks_are_binned_as_one_matrix_is() -> None:
    """LightGBM's own way, everything in memory, gives the same trees."""
    x, label = rows()
    ours = run(x, job(label))
    fit_rows = lgb.Dataset(x[:FIT], label=label[:FIT] + 1, feature_name=list(NAMES), params={"verbosity": -1})
    stop = lgb.Dataset(x[FIT:STOP], label=label[FIT:STOP] + 1, reference=fit_rows, params={"verbosity": -1})
    theirs = lgb.train(
        PARAMETERS | {"num_threads": 1}, fit_rows, num_boost_round=40, valid_sets=[stop],
        callbacks=[lgb.early_stopping(10, verbose=False)],
    )  # fmt: skip
    assert ours.rounds == theirs.best_iteration
    want = theirs.predict(x[FIT:], raw_score=True, num_iteration=theirs.best_iteration)
    assert ours.raw.tobytes() == np.asarray(want, dtype=np.float64).tobytes()


def test_bins_know_the_fit_rows_alone() -> None:
    """Outliers that only later rows have move no bin of the model."""
    x, label = rows()
    changed = x.copy()
    changed[STOP:] *= 1000.0
    assert run(changed, job(label)).text == run(x, job(label)).text


@pytest.mark.parametrize("balanced", [False, True])
def test_class_weights_do_not_reach_the_scores(balanced: bool) -> None:
    """Weighted, the mean forecast of each class is still how often it happens; and as close to the truth as unweighted."""
    x, label = rows()
    weight = class_balanced(label, None) if balanced else np.where(label == 0, 1.0, 7.0)
    found = softmax(run(x, job(label, weight)).raw)[STOP - FIT :]
    plain = softmax(run(x, job(label)).raw)[STOP - FIT :]
    happened = np.bincount(label[STOP:] + 1, minlength=3) / (N - STOP)
    assert found.mean(axis=0) == pytest.approx(happened, abs=0.03)
    assert np.abs(found - plain).mean() < 0.03
    shifted_back = softmax(np.log(found) + np.log([7.0, 1.0, 7.0]))
    assert np.abs(shifted_back - plain).mean() > 0.2  # what an uncorrected model would have said


def test_contributions_add_up_to_the_scores_and_say_who_moved_them() -> None:
    x, label = rows()
    found = run(x, job(label, explain=400))
    assert found.toward_up.shape == (400, 5)
    assert np.argmax(found.size.mean(axis=0)) == 0
    assert np.corrcoef(found.toward_up[:, 0], x[FIT : FIT + 400, 0])[0, 1] > 0.8
    margin = found.raw[:400, 2] - found.raw[:400, 0]
    assert np.ptp(margin - found.toward_up.sum(axis=1)) < 1e-4  # they differ by the expected score alone
    assert found.gain.argmax() == found.splits.argmax() == 0


def test_rounds_are_told_and_kept_without_early_stopping() -> None:
    x, label = rows()
    seen: list[int] = []
    what = job(label, rounds=7)
    found = fit(x, FitJob(NAMES, PARAMETERS, 7, 0, what.fit, None, what.ask[:0], what.ask[:0]), 1, seen.append)
    assert (seen, found.rounds, found.raw.shape) == ([1, 2, 3, 4, 5, 6, 7], 7, (0, 3))
    assert "num_threads" not in found.text


def test_balanced_weights_keep_their_sum_and_make_the_classes_equal() -> None:
    label, weight = np.array([-1, 0, 0, 0, 1, 1], np.int8), np.array([1.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    found = class_balanced(label, weight)
    assert found.sum() == pytest.approx(weight.sum())
    assert [found[label == k].sum() for k in (-1, 0, 1)] == pytest.approx([3.0, 3.0, 3.0])
    assert class_balanced(np.zeros(3, np.int8), None).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    """Set before OpenMP is loaded, which reads it once."""
    script = "import os, sys, intraday.model.boosting; print(os.environ['OMP_WAIT_POLICY'], 'lightgbm' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | given
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [found, "False"]
