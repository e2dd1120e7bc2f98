"""One fit of LightGBM: a job that says what to learn from and what to say something about, and its result.

A job holds row numbers of a feature matrix that lies elsewhere, perhaps on disk, so it can travel to another process. Rows go into
LightGBM in chunks; it keeps only their bins. Bins are made from the fit rows alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, F8, I8
from intraday.model.calibration import class_log_weights

if TYPE_CHECKING:
    import lightgbm as lgb

CHUNK = 65_536  # rows predicted or explained at a time
CLASSES = 3

Rounds = Callable[[int], None]  # how many rounds are done


@dataclass(frozen=True, slots=True)
class Weighed:
    """Rows to learn from: numbers ascending int64 [n], labels int8 [n] (-1, 0, 1), weights float64 [n] or None (all the same)."""

    at: I8
    label: NDArray[np.int8]
    weight: F8 | None

    def __len__(self) -> int:
        """n, the number of rows."""
        return int(self.at.shape[0])


@dataclass(frozen=True, slots=True)
class FitJob:
    """What to fit. ``parameters`` are LightGBM's without its threads.

    ``stop`` decides when to end (after ``patience`` rounds without a better loss); None: all ``rounds``. ``ask``: rows whose raw
    scores are wanted; ``explain``: rows whose contributions are. The scores of the model that comes out are those of a model whose
    rows all weigh the same, class by class (``_shifted``).
    """

    names: tuple[str, ...]
    parameters: Mapping[str, Any]
    rounds: int
    patience: int
    fit: Weighed
    stop: Weighed | None
    ask: I8
    explain: I8


@dataclass(frozen=True, slots=True)
class FitResult:
    """``raw`` float64 [ask, 3]; ``gain`` float64 and ``splits`` int64 [F] over all trees.

    ``toward_up`` float32 [explain, F]: what each feature adds to the score of up less that of down; ``size`` float64 [3, F]: the
    mean over the explained rows of the absolute contribution to each class (down, hold, up). Source: Lundberg et al. 2018
    (TreeSHAP), LightGBM's ``pred_contrib``.
    """

    text: str
    rounds: int
    raw: F8
    gain: F8
    splits: I8
    toward_up: F4
    size: F8


def fit(x: F4, job: FitJob, threads: int, told: Rounds) -> FitResult:
    """Run the job on float32 ``x`` [n, F], which may be memory-mapped. The result does not depend on ``threads``."""
    booster = _shifted(_boosted(x, job, threads, told), class_log_weights(job.fit.label, job.fit.weight))
    toward_up, size = _explained(booster, x, job.explain, len(job.names), threads)
    return FitResult(
        text=booster.model_to_string(),
        rounds=booster.num_trees() // CLASSES,
        raw=_asked(booster, x, job.ask, threads),
        gain=np.asarray(booster.feature_importance("gain"), dtype=np.float64),
        splits=np.asarray(booster.feature_importance("split"), dtype=np.int64),
        toward_up=toward_up,
        size=size,
    )


def raw_scores(booster: lgb.Booster, x: F4, threads: int = 1) -> F8:
    """Raw scores [n, 3]: the same bits for a row alone and in a batch, on any number of threads."""
    if x.shape[0] == 0:
        return np.empty((0, CLASSES), dtype=np.float64)
    out: F8 = np.asarray(booster.predict(np.ascontiguousarray(x), raw_score=True, num_threads=threads), dtype=np.float64)
    return out


def _boosted(x: F4, job: FitJob, threads: int, told: Rounds) -> lgb.Booster:
    import lightgbm as lgb  # loaded where it is used: most commands need none of it

    learned = _rows(x, job, job.fit, threads)
    callbacks: list[Callable[..., Any]] = [lambda env: told(env.iteration + 1)]
    stop = [] if job.stop is None else [_rows(x, job, job.stop, threads, learned)]
    if stop:
        callbacks.append(lgb.early_stopping(job.patience, verbose=False))
    booster = lgb.train(
        dict(job.parameters) | {"num_threads": threads}, learned, num_boost_round=job.rounds, valid_sets=stop, callbacks=callbacks
    )
    best = max(booster.best_iteration, 1) if stop else job.rounds
    return lgb.Booster(model_str=_without_threads(booster.model_to_string(num_iteration=best)))


def _rows(x: F4, job: FitJob, rows: Weighed, threads: int, like: lgb.Dataset | None = None) -> lgb.Dataset:
    """LightGBM's binned rows; those of ``stop`` in the bins of the rows ``like``."""
    import lightgbm as lgb  # loaded where it is used: most commands need none of it

    from intraday.model.row_sequence import RowSequence

    return lgb.Dataset(
        RowSequence(x, rows.at), label=rows.label.astype(np.float32) + 1, weight=rows.weight, reference=like,
        feature_name=list(job.names), params={"verbosity": -1, "num_threads": threads}, free_raw_data=True,
    )  # fmt: skip


def _without_threads(text: str) -> str:
    """The model's text without the one parameter that is the machine's."""
    return re.sub(r"\[num_threads: -?\d+\]\n", "", text)


def _shifted(booster: lgb.Booster, log_weights: tuple[float, float, float]) -> lgb.Booster:
    """The model with ``calibration.prior_shift`` in the leaves of the first tree of each class, where nobody can forget it."""
    if log_weights == (0.0, 0.0, 0.0):
        return booster
    import lightgbm as lgb  # loaded where it is used: most commands need none of it

    leaves = [tree["num_leaves"] for tree in booster.dump_model(num_iteration=1)["tree_info"]]
    for tree, shift in enumerate(log_weights):
        for leaf in range(leaves[tree]):
            booster.set_leaf_output(tree, leaf, booster.get_leaf_output(tree, leaf) - shift)
    return lgb.Booster(model_str=_without_threads(booster.model_to_string()))


def _asked(booster: lgb.Booster, x: F4, at: I8, threads: int) -> F8:
    from intraday.model.row_sequence import release

    out = np.empty((len(at), CLASSES), dtype=np.float64)
    for k in range(0, len(at), CHUNK):
        out[k : k + CHUNK] = raw_scores(booster, x[at[k : k + CHUNK]], threads)
        release(x)
    return out


def _explained(booster: lgb.Booster, x: F4, at: I8, n_features: int, threads: int) -> tuple[F4, F8]:
    if len(at) == 0:
        return np.empty((0, n_features), dtype=np.float32), np.full((CLASSES, n_features), np.nan)
    rows = np.ascontiguousarray(x[at])
    found = np.asarray(booster.predict(rows, pred_contrib=True, num_threads=threads), dtype=np.float64)
    added = found.reshape(len(at), CLASSES, n_features + 1)[:, :, :-1]  # the last one is the expected score
    return (added[:, 2] - added[:, 0]).astype(np.float32), np.asarray(np.abs(added).mean(axis=0), dtype=np.float64)
