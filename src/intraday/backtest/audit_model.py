"""The laws of what is learned: folds, weights, the trained pipeline, and a preparation of the user's own.

A scaler, an encoder, an imputer, a threshold or a temperature fitted on rows that are scored later is a leak that no test of
features can see. So the whole training is run again without the later rows, and with others in their place: what it said of the
rows before them must be the same to the last bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.audit.functions import differs, typical
from intraday.core.audit.result import Difference, Finding, Law, finding, not_checked
from intraday.core.user_features import Pipeline
from intraday.core.weights import average_uniqueness
from intraday.domain.arrays import F8, I4, I8, Mask
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.model.dataset import Dataset
from intraday.model.metrics import OutOfSample
from intraday.model.splits import Fold, SplitSpec, walk_forward
from intraday.model.trainer import LGBMTrainer, TrainSpec

FOLDS, MODEL, WEIGHTS, OWN = "folds", "model", "weights", "PIPELINE"
FOLDS_TRAINED = 2
ROUNDS = 25  # of boosting: enough that every step of the pipeline has something to do


@dataclass(frozen=True, slots=True)
class ModelCase:
    """Rows to learn from, ordered by (ts, inst), how and by what, and the user's own preparation of them, if any."""

    data: Dataset
    names: tuple[str, ...]
    spec: TrainSpec
    pipeline: Pipeline | None = None
    trainer: Callable[[TrainSpec], LGBMTrainer] = LGBMTrainer
    split: Callable[[I8, I8, I4, SplitSpec], list[Fold]] = walk_forward
    weigh: Callable[[I8, I8, I4], F8] = average_uniqueness


def model_laws(case: ModelCase, rng: np.random.Generator) -> list[Finding]:
    """Every law; not checked, with the reason, where the rows do not allow one fold."""
    data = case.data
    try:
        folds = case.split(data.ts_ns, data.t1_ns, data.session, case.spec.split)
    except NotEnoughData as error:
        subjects = [(FOLDS, Law.FOLDS), (WEIGHTS, Law.WEIGHTS), (MODEL, Law.TRAINED)]
        subjects += [(OWN, Law.PIPELINE)] if case.pipeline is not None else []
        return [not_checked(subject, law, str(error)) for subject, law in subjects]
    own = [] if case.pipeline is None else [_own_pipeline(case.pipeline, data, folds)]
    return [_disjoint(data, folds), _weights(case, folds), _trained(case, folds, rng), *own]


def _disjoint(data: Dataset, folds: Sequence[Fold]) -> Finding:
    """No label that is learned from, of any instrument, lives while one that is scored does."""
    n, wrong, first = 0, 0, None
    for fold in folds:
        for early, late in ((fold.fit, fold.stop), (fold.fit, fold.score), (fold.stop, fold.score)):
            bad = overlapping(data.ts_ns[early], data.t1_ns[early], data.ts_ns[late], data.t1_ns[late])
            n, wrong = n + len(early), wrong + int(bad.sum())
            if bad.any() and first is None:
                k = int(early[np.flatnonzero(bad)[0]])
                begins = int(data.ts_ns[late].min())
                first = Difference(int(data.inst[k]), int(data.ts_ns[k]), f"t1 {data.t1_ns[k]}", f"t1 before {begins}")
    return finding(FOLDS, Law.FOLDS, n, wrong, first, f"{len(folds)} folds")


def overlapping(start: I8, end: I8, other_start: I8, other_end: I8) -> Mask:
    """bool [n]: which of the closed intervals meet any of the others."""
    order = np.argsort(other_start, kind="stable")
    begins, reached = other_start[order], np.maximum.accumulate(other_end[order])
    before = np.searchsorted(begins, end, side="right")  # others that begin no later than it ends
    return np.asarray((before > 0) & (reached[np.maximum(before - 1, 0)] >= start), np.bool_)


def _weights(case: ModelCase, folds: Sequence[Fold]) -> Finding:
    """Weights of the rows learned from, with and without the rows scored after them."""
    data = case.data
    everything = case.weigh(data.entry_ns, data.t1_ns, data.inst)
    n, wrong, first = 0, 0, None
    for fold in folds:
        known = np.flatnonzero(data.ts_ns < data.ts_ns[fold.score].min())
        alone = np.full(len(data), np.nan)
        alone[known] = case.weigh(data.entry_ns[known], data.t1_ns[known], data.inst[known])
        learned = np.concatenate([fold.fit, fold.stop])
        bad = learned[everything[learned] != alone[learned]]
        n, wrong = n + len(learned), wrong + len(bad)
        if len(bad) and first is None:
            first = _row(data, int(bad[0]), float(everything[bad[0]]), float(alone[bad[0]]))
    return finding(WEIGHTS, Law.WEIGHTS, n, wrong, first)


def _trained(case: ModelCase, folds: Sequence[Fold], rng: np.random.Generator) -> Finding:
    """Forecasts, probabilities and trades of scored rows, without the last scored session and with another one in its place."""
    scored = np.unique(np.concatenate([case.data.session[fold.score] for fold in folds[:FOLDS_TRAINED]]))
    if len(scored) < 2:
        return not_checked(
            MODEL, Law.TRAINED, "needs two scored sessions: import more, or lower model.walk_forward.min_train_sessions"
        )
    data = case.data.rows(case.data.session <= scored[-1])
    before = data.session < scored[-1]
    trainer = case.trainer(replace(case.spec, num_boost_round=min(case.spec.num_boost_round, ROUNDS)))
    whole, *others = (trainer.train(d, case.names).oos for d in (data, data.rows(before), _scrambled(data, ~before, rng)))
    n, wrong, first = 0, 0, None
    for other in others:
        k, bad, at = _compared(whole, other, int(data.ts_ns[before].max()))
        n, wrong, first = n + k, wrong + bad, first or at
    return finding(MODEL, Law.TRAINED, n, wrong, first, f"{min(len(folds), FOLDS_TRAINED)} folds, {ROUNDS} rounds at most")


def _scrambled(data: Dataset, rows: Mask, rng: np.random.Generator) -> Dataset:
    """Other features, labels and returns where ``rows``."""
    x, at = data.x.copy(), np.flatnonzero(rows)
    x[at] = x[rng.permutation(at)] * np.float32(3.0)
    mixed = rng.permutation(at)
    label, long, short = data.label.copy(), data.ret_long.copy(), data.ret_short.copy()
    label[at], long[at], short[at] = -data.label[mixed], 5.0 * data.ret_long[mixed], 5.0 * data.ret_short[mixed]
    return replace(data, x=x, label=label, ret_long=long, ret_short=short)


def _compared(whole: OutOfSample, other: OutOfSample, last_ns: int) -> tuple[int, int, Difference | None]:
    """Rows compared, rows that differ, and the first of them, up to ``last_ns``."""
    a, b = np.flatnonzero(whole.ts_ns <= last_ns), np.flatnonzero(other.ts_ns <= last_ns)
    assert np.array_equal(whole.ts_ns[a], other.ts_ns[b]) and np.array_equal(whole.inst[a], other.inst[b]), "the same rows scored"
    same = np.ones(len(a), np.bool_)
    for name in ("raw", "p", "prior", "side", "trade"):
        ours, theirs = (np.asarray(getattr(o, name)[rows]).reshape(len(rows), -1) for o, rows in ((whole, a), (other, b)))
        same &= (ours == theirs).all(axis=1)
    bad = np.flatnonzero(~same)
    if not len(bad):
        return len(a), 0, None
    k = int(bad[0])
    found, expected = (f"P(up) {float(o.p[rows[k], 2])!r}" for o, rows in ((whole, a), (other, b)))
    return len(a), len(bad), Difference(int(whole.inst[a[k]]), int(whole.ts_ns[a[k]]), found, expected)


def _own_pipeline(pipeline: Pipeline, data: Dataset, folds: Sequence[Fold]) -> Finding:
    """Training rows as prepared alone; scored rows whatever the others and the labels among them are."""
    n, wrong, first, why = 0, 0, None, ""
    for fold in folds:
        rows = np.concatenate([fold.fit, fold.stop, fold.score])
        x, label = data.x[rows], data.label[rows]
        train = np.arange(len(rows)) < len(fold.fit) + len(fold.stop)
        whole = _prepare(pipeline, x, label, train)
        some = train | (np.arange(len(rows)) % 2 == 0)
        for kept, labels, what in (
            (train, label, "fitted on more than the training rows"),
            (some, label, "a scored row depends on other scored rows"),
            (np.ones(len(rows), np.bool_), np.where(train, label, -label), "a scored row depends on its label"),
        ):
            alone = _prepare(pipeline, x[kept], labels[kept].astype(np.int8), train[kept])
            bad = _apart(whole[kept], alone)
            n, wrong = n + int(kept.sum()), wrong + int(bad.any(axis=1).sum())
            if bad.any() and first is None:
                k, g = (int(i) for i in np.argwhere(bad)[0])
                first, why = _row(data, int(rows[kept][k]), float(whole[kept][k, g]), float(alone[k, g])), f"{what}: column {g}"
    return finding(OWN, Law.PIPELINE, n, wrong, first, why)


def _prepare(pipeline: Pipeline, x: NDArray[np.float32], label: NDArray[np.int8], train: Mask) -> F8:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of nanmean and its kin where nothing is there
            found: NDArray[Any] = np.asarray(pipeline(x.copy(), label.copy(), train.copy()))
    except Exception as error:  # noqa: BLE001  it is the user's code: whatever it raises is theirs to mend
        raise ConfigError(f"PIPELINE: {type(error).__name__}: {error}") from error
    if found.ndim != 2 or len(found) != len(x) or found.dtype.kind not in "fiub":
        raise ConfigError(f"PIPELINE: expected numbers of shape ({len(x)}, columns), found {found.dtype} of shape {found.shape}")
    return found.astype(np.float64)


def _apart(found: F8, expected: F8) -> Mask:
    columns: Iterator[Mask] = (differs(f, e, typical(e)) for f, e in zip(found.T, expected.T, strict=True))
    return np.stack(list(columns), axis=1)


def _row(data: Dataset, k: int, found: float, expected: float) -> Difference:
    return Difference(int(data.inst[k]), int(data.ts_ns[k]), found, expected)
