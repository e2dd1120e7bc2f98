"""What a model has to beat, on the same rows, folds, costs and fills: always shown beside it.

Forecasts (the prior, a logistic regression, LightGBM with published parameters) go through the same calibration, threshold and
decision as the model (``folds.decide_fold``); the sides of simple rules are taken as they are, of rows that may be traded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import DecisionRule
from intraday.core.rules import RULES
from intraday.domain.arrays import I8
from intraday.model.boosting import FitJob, FitResult, Weighed
from intraday.model.calibration import METHODS, Calibrator, Method, class_log_weights, log_prior_of, prior_shift
from intraday.model.dataset import Dataset
from intraday.model.folds import Scored, decide_fold, out_of_sample, together
from intraday.model.linear import MOST_ROWS, fit_linear
from intraday.model.metrics import BPS, Interval, OutOfSample, bootstrap_mean, brier_scores, log_losses
from intraday.model.path import DailyPath, path_of
from intraday.model.sampling import spread_over_sessions
from intraday.model.splits import Fold
from intraday.model.thresholds import taken_sides
from intraday.model.walk import Task

PRIOR, LOGISTIC, ALPHA158 = "prior_only", "logistic_regression", "lightgbm_alpha158"
HOLD = "always_hold"
NO_ROWS: I8 = np.empty(0, dtype=np.int64)
NAN = float("nan")
QLIB_ROUNDS, QLIB_PATIENCE = 1_000, 50  # of its LGBModel, qlib/contrib/model/gbdt.py

WeighedOf = Callable[[I8], Weighed]  # rows to learn from, with the labels and weights that the model learns with


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """What one baseline did on all scored rows; returns in basis points. NaN: it makes no forecasts, or no trades.

    ``path``: one row a scored session, to compare with the model's own. ``sharpe``: mean over deviation of the path's net, not
    annualised.
    """

    name: str
    note: str
    path: DailyPath
    trades: int
    gross_bps_trade: float
    cost_bps_trade: float
    net_bps_trade: float
    net_bps_session: Interval
    sharpe: float
    log_loss: float
    brier: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the path as lists; NaN stays NaN, which the writer has to know about."""
        path = {name: getattr(self.path, name).tolist() for name in DailyPath.__slots__}
        return {name: getattr(self, name) for name in self.__slots__} | {
            "path": path,
            "net_bps_session": asdict(self.net_bps_session),
        }


class Forecaster(Protocol):
    """A baseline that says probabilities: raw scores of every fold's early-stop and score rows from its training rows."""

    @property
    def name(self) -> str:
        """Of the baseline."""
        ...

    @property
    def note(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def methods(self) -> Sequence[Method]:
        """Of calibration, to choose among."""
        ...

    def fit_score(self, task: Task, folds: Sequence[Fold], weighed: WeighedOf) -> Iterator[Scored]:
        """One for each fold, in order."""
        ...


@dataclass(frozen=True, slots=True)
class PriorOnly:
    """Says the class frequencies of the training rows, always."""

    name: str = PRIOR
    note: str = "class frequencies of the training window, through the same decision"
    methods: Sequence[Method] = (Method.IDENTITY,)

    def fit_score(self, task: Task, folds: Sequence[Fold], weighed: WeighedOf) -> Iterator[Scored]:
        """The same scores for all rows of a fold."""
        for fold in folds:
            yield _constant(task.data, fold)


@dataclass(frozen=True, slots=True)
class Logistic:
    """``linear.fit_linear``; the prior where a class never came."""

    name: str = LOGISTIC
    note: str = f"multinomial, standardised features, at most {MOST_ROWS:,} rows a fold"
    methods: Sequence[Method] = METHODS

    def fit_score(self, task: Task, folds: Sequence[Fold], weighed: WeighedOf) -> Iterator[Scored]:
        """Fits when asked for."""
        told = task.told(self.name.replace("_", " "))
        for k, fold in enumerate(folds):
            told(k, len(folds))
            yield self._fold(task, fold, weighed)
            told(k + 1, len(folds))

    def _fold(self, task: Task, fold: Fold, weighed: WeighedOf) -> Scored:
        learned, stop = (
            weighed(at[spread_over_sessions(task.data.session[at], most)])
            for at, most in ((fold.fit, MOST_ROWS), (fold.stop, MOST_ROWS // 4))
        )
        found = fit_linear(task.fits.x, learned, stop)
        if found is None:
            return _constant(task.data, fold)
        shift = class_log_weights(learned.label, learned.weight)
        early, late = (prior_shift(found.raw(task.fits.x, at), shift) for at in (fold.stop, fold.score))
        return Scored(fold, 0, early, late)


@dataclass(frozen=True, slots=True)
class Alpha158:
    """LightGBM with the hyper-parameters that qlib publishes for its Alpha158 features, on this set's features and classes.

    Source: microsoft/qlib, examples/benchmarks/LightGBM/workflow_config_lightgbm_Alpha158.yaml. There for a squared loss; its
    ``subsample`` works no more there than here, as LightGBM bags rows only with ``bagging_freq``, which is not set.
    """

    seed: int
    name: str = ALPHA158
    note: str = "LightGBM with qlib's published Alpha158 hyper-parameters"
    methods: Sequence[Method] = METHODS

    def fit_score(self, task: Task, folds: Sequence[Fold], weighed: WeighedOf) -> Iterator[Scored]:
        """All folds' fits run before the first is given."""
        jobs = (self._job(task, fold, weighed) for fold in folds)
        results: list[FitResult] = task.fits.run(jobs, len(folds), QLIB_ROUNDS, task.told(self.name.replace("_", " ")))
        for fold, result in zip(folds, results, strict=True):
            n = fold.sizes[1]
            yield Scored(fold, result.rounds, result.raw[:n], result.raw[n:])

    def _job(self, task: Task, fold: Fold, weighed: WeighedOf) -> FitJob:
        ask = np.concatenate([fold.stop, fold.score])
        return FitJob(
            task.names, self.parameters(), QLIB_ROUNDS, QLIB_PATIENCE, weighed(fold.fit), weighed(fold.stop), ask, NO_ROWS
        )

    def parameters(self) -> Mapping[str, Any]:
        """LightGBM's."""
        return {
            "objective": "multiclass",
            "num_class": 3,
            "metric": "multi_logloss",
            "feature_fraction": 0.8879,
            "learning_rate": 0.2,
            "bagging_fraction": 0.8789,
            "lambda_l1": 205.6999,
            "lambda_l2": 580.9768,
            "max_depth": 8,
            "num_leaves": 210,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }


def run_baselines(
    task: Task,
    folds: Sequence[Fold],
    weighed: WeighedOf,
    least: float,
    methods: Sequence[Method],
    seed: int,
    primary: tuple[str, NDArray[np.int8]] | None = None,
) -> tuple[BaselineResult, ...]:
    """All of them, in the order of a table: nothing, rules, prior, regression, trees.

    ``least`` and ``methods`` as ``folds.decide_fold`` takes them. ``primary``: name and sides int8 [n] of what the model is put on,
    which it has to beat before all. Rules are left out where ``task.data`` has no sides of them.
    """
    data, rng = task.data, np.random.default_rng(seed)
    scored = np.concatenate([fold.score for fold in folds])
    rows = data.rows(scored)
    results = [result_of(HOLD, "no trade at all", said(rows, np.zeros(len(rows), np.int8)), rng)]
    results += [
        result_of(name, "its sides as they come (core/rules.py)", said(rows, rows.rules[:, k]), rng)
        for k, name in enumerate(RULES)
        if k < rows.rules.shape[1]
    ]
    if primary is not None and primary[0] not in [one.name for one in results]:
        results.append(result_of(primary[0], "the primary's sides as they come", said(rows, primary[1][scored]), rng))
    forecasters: tuple[Forecaster, ...] = (PriorOnly(), Logistic(), Alpha158(seed))
    for one in forecasters:
        allowed = [method for method in methods if method in one.methods] or list(one.methods)
        oos = forecast(one.fit_score(task, folds, weighed), data, least, allowed)
        results.append(result_of(one.name, one.note, oos, rng))
    return tuple(results)


def forecast(scored: Iterator[Scored], data: Dataset, least: float, methods: Sequence[Method]) -> OutOfSample:
    """Raw scores of every fold, calibrated and decided as the model's are."""
    seen, parts = list[Scored](), list[OutOfSample]()
    for one in scored:
        seen.append(one)
        part, _ = decide_fold(data, seen, parts, least, methods)
        parts.append(part)
    return together(parts)


def said(rows: Dataset, side: NDArray[np.int8]) -> OutOfSample:
    """Sides of a rule that makes no forecasts, of rows that may be traded, one open signal per instrument at a time."""
    never = DecisionRule((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), float("inf"))
    blank = out_of_sample(rows, 0, np.full((len(rows), 3), NAN), Calibrator(1.0, (0.0, 0.0, 0.0)), never)
    taken = taken_sides(np.where(rows.allows(side), side, 0).astype(np.int8), np.full(len(rows), NAN), rows)
    return replace(
        blank,
        shown=taken.side,
        shown_trade=taken.trade,
        side=taken.side,
        trade=taken.trade,
        gross=taken.gross,
        paid=taken.paid,
        end_ns=taken.end_ns,
        expected=taken.expected,
    )


def result_of(name: str, note: str, oos: OutOfSample, rng: np.random.Generator) -> BaselineResult:
    """The figures of out-of-sample rows; forecasts that are NaN have no losses."""
    path, gross, cost = path_of(oos), oos.gross[oos.trade], oos.paid[oos.trade]
    spread, forecasts = float(path.net.std(ddof=1)) if len(path) > 1 else 0.0, bool(np.isfinite(oos.p).all())
    return BaselineResult(
        name=name,
        note=note,
        path=path,
        trades=int(oos.trade.sum()),
        gross_bps_trade=float(gross.mean()) * BPS if gross.size else NAN,
        cost_bps_trade=float(cost.mean()) * BPS if cost.size else NAN,
        net_bps_trade=float((gross - cost).mean()) * BPS if gross.size else NAN,
        net_bps_session=bootstrap_mean(path.net * BPS, rng),
        sharpe=float(path.net.mean()) / spread if spread > 0.0 else NAN,
        log_loss=float(log_losses(oos.p, oos.label).mean()) if forecasts else NAN,
        brier=float(brier_scores(oos.p, oos.label).mean()) if forecasts else NAN,
    )


def _constant(data: Dataset, fold: Fold) -> Scored:
    """Log class frequencies of all training rows, which is what calibration takes as the prior."""
    prior = np.asarray(log_prior_of(data.label[np.concatenate([fold.fit, fold.stop])]))
    return Scored(fold, 0, np.tile(prior, (fold.sizes[1], 1)), np.tile(prior, (fold.sizes[2], 1)))
