"""The search for LightGBM's parameters, strictly inside one training window.

The window is split once more, walk-forward and purged; a trial's value is the mean over these inner folds of its log-loss less
that of the prior. Trials are asked for in batches of a fixed size, so that the folds of a batch can be fitted at the same time and
the search is the same whatever the machine; after each inner fold those worse than the median so far are pruned. The sampler is the
tree-structured Parzen estimator (Bergstra et al. 2011), seeded. A search that was interrupted is gone through again from the start:
what was fitted is found in the work folder, or in the stored study.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from intraday.domain.arrays import I8
from intraday.domain.errors import NotEnoughData, StorageError
from intraday.domain.learning import Trial, TrialKind
from intraday.model.calibration import log_prior_of, softmax
from intraday.model.dataset import Dataset
from intraday.model.metrics import log_losses
from intraday.model.splits import Fold, Scheme, SplitSpec, walk_forward

if TYPE_CHECKING:
    import optuna

BATCH = 4  # trials asked for at a time
INNER_FOLDS = 3
LOSSES = "losses"  # of a trial, by inner fold
STARTUP = 8  # trials drawn at random, and complete ones before anything is pruned, at the least

Losses = Callable[[Sequence[tuple[Mapping[str, Any], Fold]]], list[float]]  # of each pair of parameters and inner fold, to minimise


@dataclass(frozen=True, slots=True)
class TuningSpec:
    """``trials`` 0: no search. ``refit_every`` 0: one search, in the first fold's training window, whose parameters serve every
    fold and the final model; r: another in every r-th fold's, and the final model takes those of the last one."""

    trials: int = 0
    refit_every: int = 0

    def searches(self, fold: int) -> bool:
        """Whether fold number ``fold`` begins with a search."""
        return self.trials > 0 and (fold == 0 or (self.refit_every > 0 and fold % self.refit_every == 0))


@dataclass(frozen=True, slots=True)
class Search:
    """One search. ``own``: the parameters the user gave, tried first. ``key`` names it: whatever its result depends on."""

    key: str
    trials: int
    seed: int
    own: Mapping[str, Any]
    folds: Sequence[Fold] = field(repr=False)
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The best parameters, and everything that was tried."""

    best: Mapping[str, Any]
    trials: tuple[Trial, ...]


def inner_folds(data: Dataset, at: I8, split: SplitSpec) -> list[Fold]:
    """Folds inside the training rows ``at`` (ascending) of ``data``, as row numbers of ``data``; about INNER_FOLDS of them.

    Half of the window's sessions train the first one. Raises NotEnoughData.
    """
    n = int(np.unique(data.session[at]).size)
    first = max(2 + split.embargo, n // 2)
    spec = SplitSpec(
        Scheme.EXPANDING, first, max(1, -(-(n - first - split.embargo) // INNER_FOLDS)), split.embargo, split.stop_share
    )
    try:
        folds = walk_forward(data.ts_ns[at], data.t1_ns[at], data.session[at], spec)
    except NotEnoughData as error:
        raise NotEnoughData(
            f"a training window of {n} sessions is too short to tune in: raise model.walk_forward.min_train_sessions or set "
            "model.tuning.trials to 0"
        ) from error
    return [f.with_rows(at[f.fit], at[f.stop], at[f.score]) for f in folds]


def inner_loss(data: Dataset, fold: Fold, raw: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Mean log-loss of raw scores [n, 3] on the fold's scored rows, less that of the class frequencies it was fitted on."""
    label = data.label[fold.score]
    prior = np.exp(np.asarray(log_prior_of(data.label[np.concatenate([fold.fit, fold.stop])])))
    return float(log_losses(softmax(raw), label).mean() - log_losses(np.tile(prior, (label.size, 1)), label).mean())


def tune(search: Search, losses: Losses, told: Callable[[int, int], None]) -> Found:
    """Search. ``losses`` fits and scores; ``told(done, total)`` counts trials."""
    study, stored = _study(search.seed), _Stored(search)
    study.enqueue_trial(dict(search.own))
    while len(study.trials) < search.trials:
        told(len(study.trials), search.trials)
        batch = [study.ask(_space()) for _ in range(min(BATCH, search.trials - len(study.trials)))]
        _evaluate(study, batch, search, stored, losses)
    told(search.trials, search.trials)
    return Found(_plain(study.best_params), tuple(_trial(search, t) for t in study.get_trials(deepcopy=False)))


def _evaluate(study: optuna.Study, batch: list[optuna.Trial], search: Search, stored: _Stored, losses: Losses) -> None:
    """Fold by fold, the trials that are left of the batch together; then each is told its end, in order."""
    import optuna  # loaded where it is used: most commands need none of it

    seen = {t.number: stored.losses(t) for t in batch}
    left = list(batch)
    for step, fold in enumerate(search.folds):
        missing = [t for t in left if len(seen[t.number]) <= step]
        for trial, loss in zip(missing, losses([(_plain(t.params), fold) for t in missing]), strict=True):
            seen[trial.number].append(loss)
        for trial in left:
            trial.report(float(np.mean(seen[trial.number][: step + 1])), step)
        left = [t for t in left if step + 1 == len(search.folds) or not t.should_prune()]
    for trial in batch:
        done = trial in left
        trial.set_user_attr(LOSSES, seen[trial.number])
        value = float(np.mean(seen[trial.number])) if done else None
        stored.add(study.tell(trial, value, optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.PRUNED))


class _Stored:
    """The study in Optuna's storage, if there is one: a copy of the one that is gone through, and what an earlier run left."""

    def __init__(self, search: Search) -> None:
        import optuna  # loaded where it is used: most commands need none of it

        self._study: optuna.Study | None = None
        self._known: list[optuna.trial.FrozenTrial] = []
        if search.storage is None:
            return
        try:
            self._study = optuna.create_study(storage=search.storage, study_name=search.key, load_if_exists=True)
            self._known = self._study.get_trials()
        except Exception as error:  # SQLAlchemy and its drivers have dozens
            raise _lost(error) from error

    def losses(self, trial: optuna.Trial) -> list[float]:
        """What the inner folds of the same trial gave in an earlier run, in order; empty where there was none."""
        if trial.number >= len(self._known) or self._known[trial.number].params != trial.params:
            return []
        return list(self._known[trial.number].user_attrs[LOSSES])

    def add(self, trial: optuna.trial.FrozenTrial) -> None:
        """Store a finished trial, unless it is stored."""
        if self._study is None or trial.number < len(self._known):
            return
        try:
            self._study.add_trial(trial)
        except Exception as error:  # as above
            raise _lost(error) from error


def _lost(error: Exception) -> StorageError:
    return StorageError(
        f"the tuning study could not be kept in the database ({type(error).__name__}): see intraday check, run again"
    )


def _study(seed: int) -> optuna.Study:
    import optuna  # loaded where it is used: most commands need none of it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP // 2),
    )


def _space() -> dict[str, optuna.distributions.BaseDistribution]:
    """What may be chosen. Source of the ranges: LightGBM's documentation, "Parameters tuning", widened."""
    from optuna.distributions import FloatDistribution, IntDistribution  # loaded where it is used

    return {
        "learning_rate": FloatDistribution(0.01, 0.3, log=True),
        "num_leaves": IntDistribution(4, 128, log=True),
        "min_data_in_leaf": IntDistribution(20, 2000, log=True),
        "feature_fraction": FloatDistribution(0.3, 1.0),
        "bagging_fraction": FloatDistribution(0.4, 1.0),
        "lambda_l2": FloatDistribution(0.01, 300.0, log=True),
    }


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(params.items()))


def _trial(search: Search, trial: optuna.trial.FrozenTrial) -> Trial:
    """For the ledger; whoever stores it fills in scope, run and time."""
    losses = trial.user_attrs[LOSSES]
    return Trial(
        id=hashlib.sha256(f"{search.key} {trial.number}".encode()).hexdigest()[:16],
        scope="",
        kind=TrialKind.TUNING,
        created_ns=0,
        run_id="",
        model_id="",
        parameters=json.dumps(_plain(trial.params), sort_keys=True),
        value=float(np.mean(losses)),
        state=trial.state.name.lower(),
        session=np.empty(0, dtype=np.int32),
        net=np.empty(0),
        note=f"search {search.key[:16]}, trial {trial.number}, {len(losses)} of {len(search.folds)} inner folds",
    )
