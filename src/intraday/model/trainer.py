"""Walk-forward training of a LightGBM classifier of triple-barrier labels.

In every fold: boost on the fit window, stop by the early-stop window, calibrate and choose the threshold on rows that lie before
the score window, then score rows nobody has seen. Nothing that is reported was looked at before. The final model is fitted on all
sessions with the folds' median number of rounds; its calibrator and threshold come from all out-of-sample predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import said_by
from intraday.domain.arrays import I8
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.domain.learning import Trial
from intraday.domain.ports import Progress
from intraday.model.baselines import BaselineResult, run_baselines
from intraday.model.boosting import FitJob, FitResult, Weighed
from intraday.model.cpcv import PathFigures, combinatorial, figures_of
from intraday.model.dataset import Dataset
from intraday.model.explaining import sample_of
from intraday.model.folds import FoldFigures, Scored, decide_fold, outcomes, together
from intraday.model.metrics import OutOfSample
from intraday.model.path import path_of
from intraday.model.pool import Fits, Resources
from intraday.model.spec import TUNED, TrainSpec, Tuned
from intraday.model.splits import Fold, walk_forward
from intraday.model.summary import summary
from intraday.model.trained import Trained
from intraday.model.tuning import Found, Search, inner_folds, inner_loss, tune
from intraday.model.verdict import EDGE, NO_EDGE, TOO_LITTLE
from intraday.model.walk import Task, Walk
from intraday.model.weighting import ClassWeights, class_balanced, row_weights, uniqueness
from intraday.model.work import digest_of_plain

__all__ = ["EDGE", "NO_EDGE", "TOO_LITTLE", "LGBMTrainer", "Resources", "TrainSpec", "Trained"]

NO_ROWS: I8 = np.empty(0, dtype=np.int64)
BOOSTING, TUNING, FINAL, PATHS = "walk-forward training", "tuning", "final model", "cross-validation paths"


class LGBMTrainer:
    """Trains by ``spec``; holds no state between calls. ``resources`` change how long it takes, never the result."""

    def __init__(self, spec: TrainSpec, resources: Resources | None = None) -> None:
        self._spec = spec
        self._resources = resources or Resources()

    def train(
        self,
        dataset: Dataset,
        feature_names: tuple[str, ...],
        progress: Progress | None = None,
        ledger: Callable[[], Sequence[Trial]] = tuple,
        about: Mapping[str, str] | None = None,
    ) -> Trained:
        """Walk forward, then fit on everything.

        ``feature_names`` in the order of ``dataset.x``'s columns; ``dataset.x`` may be memory-mapped and is never copied whole.
        ``ledger`` gives every configuration tried so far on the same data, which the verdict counts; it is asked when all fits are
        done, so one that ended meanwhile counts. ``about``: what makes this
        configuration another one beside the spec and the names (ids of features and labels). Raises NotEnoughData when the
        sessions do not allow one fold.
        """
        assert dataset.x.shape[1] == len(feature_names), (dataset.x.shape, len(feature_names))
        assert np.all(np.diff(dataset.ts_ns) >= 0), "rows must be in order of time"
        if len(dataset) == 0:
            raise NotEnoughData(
                "no row has both features and a label: import more history, shorten the horizon, or set model.anchor to a day"
            )
        folds = walk_forward(dataset.ts_ns, dataset.t1_ns, dataset.session, self._spec.split)
        with Fits(dataset.x, self._spec.threads, self._resources) as fits:
            free = Task(outcomes(dataset), uniqueness(dataset), feature_names, fits, progress or _silent)
            primary = self._primary(dataset, feature_names)
            task = free if primary is None else replace(free, data=free.data.on_top_of(primary))
            walk = self._walk(task, folds)
            final = self._final(task, walk)
            baselines = self._baselines(free, folds, primary)
            crossed = self._paths(task, walk.tuned[-1])
            return summary(self._spec, task, walk, final, baselines, crossed, ledger(), about or {})

    def _primary(self, dataset: Dataset, names: tuple[str, ...]) -> NDArray[np.int8] | None:
        """The sides of the primary, int8 [n]; None: there is none."""
        name = self._spec.primary
        if name is None:
            return None
        if name not in names:
            raise ConfigError(f"model.primary: expected one of the {len(names)} features that are trained on, found {name!r}")
        side = said_by(np.asarray(dataset.x[:, names.index(name)]))
        if not dataset.allows(side).any():
            raise NotEnoughData(f"model.primary: {name} says no side that may be traded on any of {len(dataset):,} rows")
        return side

    def _walk(self, task: Task, folds: list[Fold]) -> Walk:
        """Tune, fit every fold, then decide one after the other, each knowing what came of those before it."""
        tuned, trials = self._tuned(task, folds)
        explained = [sample_of(f.score, self._spec.explained_rows, [self._spec.seed, k]) for k, f in enumerate(folds)]
        order = sorted(range(len(folds)), key=lambda k: -folds[k].sizes[0])  # the longest first: none is left alone at the end
        jobs = (replace(self._fold_job(task, folds[k], tuned[k]), explain=explained[k]) for k in order)
        by_fold = dict(zip(order, task.fits.run(jobs, len(folds), self._spec.num_boost_round, task.told(BOOSTING)), strict=True))
        results = [by_fold[k] for k in range(len(folds))]
        scored, parts, figures = list[Scored](), list[OutOfSample](), list[FoldFigures]()
        for fold, result in zip(folds, results, strict=True):
            scored.append(_scored(fold, result))
            part, figure = self._decide(task.data, scored, parts)
            parts.append(part)
            figures.append(figure)
        return Walk(tuned, trials, results, explained, tuple(figures), together(parts))

    def _tuned(self, task: Task, folds: list[Fold]) -> tuple[list[Tuned], list[Trial]]:
        """The parameters of each fold, and every trial of the searches for them."""
        tuned, trials = list[Tuned](), list[Trial]()
        for k, fold in enumerate(folds):
            if self._spec.tuning.searches(k):
                found = self._search(task, self._window(task, fold), k)
                tuned.append(found.best)
                trials += found.trials
            else:
                tuned.append(tuned[-1] if tuned else {})
        return tuned, trials

    def _window(self, task: Task, fold: Fold) -> I8:
        """The rows that a search may see."""
        return np.concatenate([fold.fit, fold.stop])

    def _search(self, task: Task, at: I8, number: int) -> Found:
        spec = self._spec
        inner = inner_folds(task.data, at, spec.split)

        def losses(asked: Sequence[tuple[Tuned, Fold]]) -> list[float]:
            jobs = (self._fold_job(task, fold, tuned, inner=True) for tuned, fold in asked)
            results = task.fits.run(jobs, len(asked), spec.num_boost_round, lambda done, total: None)
            return [inner_loss(task.data, fold, r.raw) for (_, fold), r in zip(asked, results, strict=True)]

        own = {name: getattr(spec, name) for name in TUNED}
        about = spec.record("verdict", "cpcv", "calibration", "baselines", "explained_rows")
        data = task.data
        rows = (at, data.label[at], data.session[at], data.t1_ns[at], task.unique[at])
        key = digest_of_plain([number, task.fits.digest, about], *rows)
        search = Search(key, spec.tuning.trials, spec.seed + number, own, inner, self._resources.storage)
        return tune(search, losses, task.told(TUNING))

    def _fold_job(self, task: Task, fold: Fold, tuned: Tuned, *, inner: bool = False) -> FitJob:
        """Fit with early stopping; asked for are the early-stop rows (not by a search), then the scored ones."""
        spec = self._spec
        learned, stop = self._weighed(task, fold.fit), self._weighed(task, fold.stop)
        ask = fold.score if inner else np.concatenate([fold.stop, fold.score])
        parameters = spec.parameters(tuned)
        return FitJob(task.names, parameters, spec.num_boost_round, spec.early_stopping_rounds, learned, stop, ask, NO_ROWS)

    def _weighed(self, task: Task, at: I8) -> Weighed:
        label = task.data.label[at]
        weight = row_weights(self._spec.weights, self._spec.time_decay, task.data, task.unique, at)
        if self._spec.class_weights is ClassWeights.BALANCED:
            weight = class_balanced(label, weight)
        return Weighed(at, label, weight)

    def _decide(self, data: Dataset, scored: Sequence[Scored], parts: Sequence[OutOfSample]) -> tuple[OutOfSample, FoldFigures]:
        """The last fold's rows, calibrated and decided; ``parts`` are the earlier ones'."""
        return decide_fold(data, scored, parts, self._spec.min_signals_per_session, self._spec.calibration)

    def _final(self, task: Task, walk: Walk) -> FitResult:
        rounds = max(1, int(np.median([f.rounds for f in walk.figures])))
        everything = self._weighed(task, np.arange(len(task.data)))
        job = FitJob(task.names, self._spec.parameters(walk.tuned[-1]), rounds, 0, everything, None, NO_ROWS, NO_ROWS)
        return task.fits.run([job], 1, rounds, task.told(FINAL))[0]

    def _baselines(self, task: Task, folds: list[Fold], primary: NDArray[np.int8] | None) -> tuple[BaselineResult, ...]:
        spec = self._spec
        if not spec.baselines:
            return ()
        weighed = partial(self._weighed, task)
        alone = None if primary is None or spec.primary is None else (spec.primary, primary)
        return run_baselines(task, folds, weighed, spec.min_signals_per_session, spec.calibration, spec.seed, alone)

    def _paths(self, task: Task, tuned: Tuned) -> PathFigures | None:
        """Every split is calibrated and takes its threshold by its own early-stop rows, as the first fold does."""
        spec, data = self._spec.cpcv, task.data
        if spec.groups == 0:
            return None
        folds = combinatorial(data.ts_ns, data.t1_ns, data.session, self._spec.split, spec)
        jobs = (self._fold_job(task, fold, tuned) for fold in folds)
        results = task.fits.run(jobs, len(folds), self._spec.num_boost_round, task.told(PATHS))
        parts = [path_of(self._decide(data, [_scored(f, r)], [])[0]) for f, r in zip(folds, results, strict=True)]
        return figures_of(parts, spec)


def _scored(fold: Fold, result: FitResult) -> Scored:
    n = fold.sizes[1]
    return Scored(fold, result.rounds, result.raw[:n], result.raw[n:])


def _silent(what: str, done: int, total: int) -> None:
    """No progress wanted."""
