"""The laws of what is learned: folds, weights, the trained pipeline, and a preparation of the user's own.

A scaler, an encoder, an imputer, a threshold or a temperature fitted on rows that are scored is a leak that no test of features can
see. So the whole training is run again with other outcomes on the rows that are scored, and without or with other rows after a
moment of a scored session: what it says of the rows that had not yet happened must be the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intraday.backtest.audit_pipeline import pipeline_law, plain_split, rotate
from intraday.core.audit.result import Difference, Finding, Law, finding, not_checked
from intraday.core.user_features import Pipeline
from intraday.core.weights import average_uniqueness
from intraday.domain.arrays import F8, I4, I8, Mask
from intraday.domain.errors import NotEnoughData
from intraday.model.cpcv import CpcvSpec
from intraday.model.dataset import Dataset
from intraday.model.metrics import OutOfSample
from intraday.model.splits import Fold, SplitSpec, walk_forward
from intraday.model.trainer import LGBMTrainer, TrainSpec

FOLDS, MODEL, WEIGHTS = "folds", "model", "weights"
FOLDS_TRAINED = 2
ROUNDS = 25  # of boosting: enough that every step of the pipeline has something to do
TRIALS = 4  # of a search for parameters: one batch
SIGNALS = 1.0  # a session, at the most: enough thresholds are left for the outcomes to choose among
PLAIN = "on a plain split of the sessions, too few for the configured folds"
SAID = {"raw": "the score", "prior": "the prior", "p": "the probability", "side": "the signal", "trade": "the trade"}
"""What training says of a row it has not seen, in the order it is made."""


@dataclass(frozen=True, slots=True)
class ModelCase:
    """Rows to learn from, ordered by (ts, inst), how and by what.

    ``pipeline`` makes the user's own preparation of them anew, without anything it remembers of earlier calls; None: there is none.
    """

    data: Dataset
    names: tuple[str, ...]
    spec: TrainSpec
    pipeline: Callable[[], Pipeline] | None = None
    trainer: Callable[[TrainSpec], LGBMTrainer] = LGBMTrainer
    split: Callable[[I8, I8, I4, SplitSpec], list[Fold]] = walk_forward
    weigh: Callable[[I8, I8, I4], F8] = average_uniqueness


def model_laws(case: ModelCase, rng: np.random.Generator) -> list[Finding]:
    """Every law; not checked, with the reason, where the rows do not allow one fold.

    The user's pipeline needs no fold of the training: with too few sessions for one it is checked on a plain split of them.
    """
    data = case.data
    try:
        folds = case.split(data.ts_ns, data.t1_ns, data.session, case.spec.split)
    except NotEnoughData as error:
        subjects = ((FOLDS, Law.FOLDS), (WEIGHTS, Law.WEIGHTS), (MODEL, Law.TRAINED))
        own = [] if case.pipeline is None else [pipeline_law(case.pipeline, data, plain_split(data), rng, PLAIN)]
        return [*(not_checked(subject, law, str(error)) for subject, law in subjects), *own]
    own = [] if case.pipeline is None else [pipeline_law(case.pipeline, data, folds, rng)]
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
    """Forecasts, probabilities and trades of each fold, trained up to its end, and again with what nobody knew then changed."""
    spec = _quick(case.spec)
    n, wrong, first, why = 0, 0, None, ""
    for fold in folds[:FOLDS_TRAINED]:
        data = case.data.rows(case.data.session <= fold.score_sessions[1])
        whole = case.trainer(spec).train(data, case.names).oos
        for what, other, until_ns in _otherwise(data, data.session >= fold.score_sessions[0], rng):
            k, bad, at, where = _compared(whole, case.trainer(spec).train(other, case.names).oos, until_ns)
            if at is not None and first is None:
                first, why = at, f"{what}: {where} of a scored row"
            n, wrong = n + k, wrong + bad
    return finding(MODEL, Law.TRAINED, n, wrong, first, why or f"{len(folds[:FOLDS_TRAINED])} folds, {ROUNDS} rounds at most")


def _quick(spec: TrainSpec) -> TrainSpec:
    """Every step that says something of a scored row, in as little time as shows a leak; what only stands beside it is left out."""
    return replace(
        spec,
        num_boost_round=min(spec.num_boost_round, ROUNDS),
        min_signals_per_session=min(spec.min_signals_per_session, SIGNALS),
        tuning=replace(spec.tuning, trials=min(spec.tuning.trials, TRIALS)),
        baselines=False,
        cpcv=CpcvSpec(),
        explained_rows=0,
    )


def _otherwise(data: Dataset, scored: Mask, rng: np.random.Generator) -> Iterator[tuple[str, Dataset, int]]:
    """What is changed, the rows with that change, and the last moment (ns) whose rows must not notice.

    Outcomes of every scored row; and everything from the middle of the last scored session on.
    """
    end_ns = int(data.ts_ns[-1])
    yield "it knows outcomes of scored rows", _rotated(data, scored, rng), end_ns
    yield "it knows outcomes of scored rows", _following(data, scored), end_ns
    times = np.unique(data.ts_ns[data.session == data.session[-1]])
    if len(times) > 1:
        cut_ns = int(times[len(times) // 2])
        before = data.ts_ns < cut_ns
        yield "it knows that there are rows later in the day", data.rows(before), cut_ns - 1
        yield "it knows rows from later in the day", _scrambled(data, ~before, rng), cut_ns - 1


def _rotated(data: Dataset, rows: Mask, rng: np.random.Generator) -> Dataset:
    """Each other label, and another row's returns five times as large, where ``rows``."""
    at = np.flatnonzero(rows)
    mixed = rng.permutation(at)
    label, long, short = data.label.copy(), data.ret_long.copy(), data.ret_short.copy()
    label[at], long[at], short[at] = rotate(data.label[at]), 5.0 * data.ret_long[mixed], 5.0 * data.ret_short[mixed]
    return replace(data, label=label, ret_long=long, ret_short=short)


def _following(data: Dataset, rows: Mask) -> Dataset:
    """Outcomes where ``rows`` that follow the feature which tells least of them: whoever chooses by them chooses it then."""
    at = np.flatnonzero(rows)
    x = np.nan_to_num(data.x.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    x -= x.mean(axis=0)
    size = np.sqrt((x * x).sum(axis=0))
    told = np.abs(x.T @ (data.label - data.label.mean())) / np.where(size > 0.0, size, 1.0)
    least = int(np.argmin(np.where(size > 0.0, told, np.inf)))
    rank = np.argsort(np.argsort(x[at, least], kind="stable"), kind="stable")
    label, long, short = data.label.copy(), data.ret_long.copy(), data.ret_short.copy()
    label[at] = 3 * rank // len(at) - 1
    long[at], short[at] = 0.01 * label[at], -0.01 * label[at]
    return replace(data, label=label, ret_long=long, ret_short=short)


def _scrambled(data: Dataset, rows: Mask, rng: np.random.Generator) -> Dataset:
    """Other features, labels and returns where ``rows``."""
    x, at = data.x.copy(), np.flatnonzero(rows)
    x[at] = x[rng.permutation(at)] * np.float32(3.0)
    return _rotated(replace(data, x=x), rows, rng)


def _compared(whole: OutOfSample, other: OutOfSample, last_ns: int) -> tuple[int, int, Difference | None, str]:
    """Rows compared, rows that differ up to ``last_ns``, what differs that is made first, and the first row of that."""
    a, b = np.flatnonzero(whole.ts_ns <= last_ns), np.flatnonzero(other.ts_ns <= last_ns)
    assert np.array_equal(whole.ts_ns[a], other.ts_ns[b]) and np.array_equal(whole.inst[a], other.inst[b]), "the same rows scored"
    pairs = {
        told: [np.asarray(getattr(o, name)[rows], np.float64).reshape(len(rows), -1) for o, rows in ((whole, a), (other, b))]
        for name, told in SAID.items()
    }
    different = {told: ours != theirs for told, (ours, theirs) in pairs.items()}
    bad = np.logical_or.reduce([d.any(axis=1) for d in different.values()])
    if not bad.any():
        return len(a), 0, None, ""
    told = next(name for name, d in different.items() if d.any())
    k = int(np.flatnonzero(different[told].any(axis=1))[0])
    column = int(np.flatnonzero(different[told][k])[0])
    found, expected = (float(values[k, column]) for values in pairs[told])
    return len(a), int(bad.sum()), Difference(int(whole.inst[a[k]]), int(whole.ts_ns[a[k]]), found, expected), told


def _row(data: Dataset, k: int, found: float, expected: float) -> Difference:
    return Difference(int(data.inst[k]), int(data.ts_ns[k]), found, expected)
