"""Walk-forward training of a LightGBM classifier of triple-barrier labels.

In every fold: boost on the fit window, stop by the early-stop window, calibrate and choose the threshold on rows that lie before
the score window, then score rows nobody has seen. Nothing that is reported was looked at before. The final model is fitted on all
sessions with the folds' median number of rounds; its calibrator and threshold come from all out-of-sample predictions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from intraday.core.weights import effective_labels
from intraday.domain.arrays import F8, I8
from intraday.domain.errors import NotEnoughData
from intraday.domain.ports import Progress
from intraday.model.boosting import FitJob, FitResult, Weighed, fit, raw_scores
from intraday.model.calibration import log_prior_of
from intraday.model.dataset import Dataset
from intraday.model.folds import (
    FoldFigures,
    Scored,
    calibrator_of,
    decide_fold,
    margin_of,
    outcomes,
    together,
)
from intraday.model.metrics import Metrics, OutOfSample, measure
from intraday.model.spec import TrainSpec
from intraday.model.splits import Fold, walk_forward
from intraday.model.thresholds import choose_threshold, payoffs
from intraday.model.trained import Importance, Trained
from intraday.model.weighting import ClassWeights, class_balanced, row_weights, uniqueness

if TYPE_CHECKING:
    from collections.abc import Sequence

EDGE, NO_EDGE, TOO_LITTLE = "edge", "no tradable edge", "not enough data"
NO_ROWS: I8 = np.empty(0, dtype=np.int64)

__all__ = ["EDGE", "NO_EDGE", "TOO_LITTLE", "FoldFigures", "LGBMTrainer", "TrainSpec", "Trained", "judge", "raw_scores"]


class LGBMTrainer:
    """Trains by ``spec``; holds no state between calls."""

    def __init__(self, spec: TrainSpec) -> None:
        self._spec = spec

    def train(self, dataset: Dataset, feature_names: tuple[str, ...], progress: Progress | None = None) -> Trained:
        """Walk forward, then fit on everything.

        ``feature_names`` in the order of ``dataset.x``'s columns. Raises NotEnoughData when the sessions do not allow one fold.
        """
        assert dataset.x.shape[1] == len(feature_names), (dataset.x.shape, len(feature_names))
        assert np.all(np.diff(dataset.ts_ns) >= 0), "rows must be in order of time"
        report = progress or _silent
        if len(dataset) == 0:
            raise NotEnoughData(
                "no row has both features and a label: import more history, shorten the horizon, or set model.anchor to a day"
            )
        folds = walk_forward(dataset.ts_ns, dataset.t1_ns, dataset.session, self._spec.split)
        unique = uniqueness(dataset)
        rows = outcomes(dataset)
        scored: list[Scored] = []
        parts: list[OutOfSample] = []
        figures: list[FoldFigures] = []
        for k, fold in enumerate(folds):
            report("walk-forward training", k, len(folds) + 1)
            scored.append(
                _scored(fold, fit(dataset.x, self._fold_job(rows, unique, feature_names, fold), self._spec.threads, _none))
            )
            part, figure = self._decide(rows, scored, parts)
            parts.append(part)
            figures.append(figure)
        report("walk-forward training", len(folds), len(folds) + 1)
        rounds = max(1, int(np.median([f.rounds for f in figures])))
        final = fit(dataset.x, self._final_job(rows, unique, feature_names, rounds), self._spec.threads, _none)
        trained = self._finish(rows, unique, feature_names, together(parts), tuple(figures), final)
        report("walk-forward training", len(folds) + 1, len(folds) + 1)
        return trained

    def _fold_job(self, data: Dataset, unique: F8, names: tuple[str, ...], fold: Fold) -> FitJob:
        """Fit with early stopping, and say something of the early-stop and of the scored rows, in this order."""
        spec = self._spec
        learned, stop = (self._weighed(data, unique, at) for at in (fold.fit, fold.stop))
        ask = np.concatenate([fold.stop, fold.score])
        return FitJob(names, spec.parameters(), spec.num_boost_round, spec.early_stopping_rounds, learned, stop, ask, NO_ROWS)

    def _final_job(self, data: Dataset, unique: F8, names: tuple[str, ...], rounds: int) -> FitJob:
        everything = self._weighed(data, unique, np.arange(len(data)))
        return FitJob(names, self._spec.parameters(), rounds, 0, everything, None, NO_ROWS, NO_ROWS)

    def _weighed(self, data: Dataset, unique: F8, at: I8) -> Weighed:
        label = data.label[at]
        weight = row_weights(self._spec.weights, self._spec.time_decay, data, unique, at)
        if self._spec.class_weights is ClassWeights.BALANCED:
            weight = class_balanced(label, weight)
        return Weighed(at, label, weight)

    def _decide(self, data: Dataset, scored: list[Scored], parts: list[OutOfSample]) -> tuple[OutOfSample, FoldFigures]:
        """The last fold's rows, calibrated and decided; ``parts`` are the earlier ones'."""
        return decide_fold(data, scored, parts, self._spec.min_signals_per_session)

    def _finish(
        self,
        data: Dataset,
        unique: F8,
        names: tuple[str, ...],
        oos: OutOfSample,
        figures: tuple[FoldFigures, ...],
        final: FitResult,
    ) -> Trained:
        """Sum up."""
        spec = self._spec
        calibrator = calibrator_of(oos, log_prior_of(data.label))
        rule = payoffs(data)
        scored = data.rows(np.isin(data.session, oos.session))
        assert len(scored) == len(oos), "out-of-sample rows are whole sessions"
        least = spec.min_signals_per_session
        rule = replace(rule, threshold=choose_threshold(rule, calibrator.apply_margin(margin_of(oos)), scored, least))
        metrics = measure(oos, np.random.default_rng(spec.seed))
        verdict, reason = judge(metrics, spec)
        counts = np.bincount(data.label.astype(np.int64) + 1, minlength=3)
        return Trained(
            model_text=final.text,
            feature_names=names,
            spec=spec,
            rounds=final.rounds,
            sessions=(int(data.session.min()), int(data.session.max())),
            rows=len(data),
            label_counts=(int(counts[0]), int(counts[1]), int(counts[2])),
            effective_rows=effective_labels(unique),
            folds=figures,
            oos=oos,
            calibrator=calibrator,
            rule=rule,
            cost=float(data.cost[-1]),
            metrics=metrics,
            verdict=verdict,
            reason=reason,
            importance=_importance(names, final),
        )


def judge(metrics: Metrics, spec: TrainSpec) -> tuple[str, str]:
    """The verdict and the reason for it.

    "edge" needs the lower end of the 95 % interval of net return a session above zero. One model is judged once here; if many
    were tried and the best kept, this interval is too kind (a trials ledger is a later step).
    """
    m, net = metrics, metrics.net_bps_session
    figures = (
        f"net {net.mean:.1f} bps a session (95 % interval {net.low:.1f} to {net.high:.1f}) over {m.sessions} out-of-sample "
        f"sessions and {m.trades} trades"
    )
    if m.sessions < spec.min_verdict_sessions or m.trades < spec.min_verdict_trades:
        need = f"a verdict needs {spec.min_verdict_sessions} sessions and {spec.min_verdict_trades} trades"
        return TOO_LITTLE, f"{figures}; {need}"
    if net.low > 0.0:
        return EDGE, figures
    return NO_EDGE, figures


def _scored(fold: Fold, result: FitResult) -> Scored:
    n = len(fold.stop)
    return Scored(fold, result.rounds, result.raw[:n], result.raw[n:])


def _importance(names: Sequence[str], final: FitResult) -> tuple[Importance, ...]:
    share = final.gain / final.gain.sum() if final.gain.sum() > 0 else final.gain
    rows = [Importance(n, float(g), int(s)) for n, g, s in zip(names, share, final.splits, strict=True)]
    return tuple(sorted(rows, key=lambda r: (-r.gain, r.name)))


def _silent(what: str, done: int, total: int) -> None:
    """No progress wanted."""


def _none(rounds: int) -> None:
    """Nobody counts rounds."""
