"""Trainers that look where they must not, one way each; none but the audit's own tests ever uses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from intraday.model.calibration import Calibrator, fit_temperature
from intraday.model.dataset import Dataset
from intraday.model.folds import threshold_of
from intraday.model.thresholds import payoffs, sides_and_trades
from intraday.model.trainer import LGBMTrainer, Trained


class StopsByTheScoredRows(LGBMTrainer):
    """Boosting ends when the rows that are scored say so."""

    def _fold_job(self, task: Any, fold: Any, tuned: Any, *, inner: bool = False) -> Any:
        return replace(super()._fold_job(task, fold, tuned, inner=inner), stop=self._weighed(task, fold.score))


class TunesByTheScoredRows(LGBMTrainer):
    """Parameters are chosen on all rows, those that are scored among them."""

    def _window(self, task: Any, fold: Any) -> Any:
        return np.arange(len(task.data))


class ThresholdOfTheScoredRows(LGBMTrainer):
    """The threshold is the best one on the rows that are scored."""

    def _decide(self, data: Dataset, scored: Any, parts: Any) -> Any:
        part, figures = super()._decide(data, scored, parts)
        fold = scored[-1].fold
        score, learned = data.rows(fold.score), data.rows(np.concatenate([fold.fit, fold.stop]))
        rule = threshold_of(payoffs(learned), score, part.p, score, part.p, self._spec.min_signals_per_session)
        said = sides_and_trades(rule, part.p, score)
        return replace(part, side=said.side, trade=said.trade, gross=said.gross), figures


class TemperatureOfTheScoredRows(LGBMTrainer):
    """Probabilities are calibrated on the rows that are scored."""

    def _decide(self, data: Dataset, scored: Any, parts: Any) -> Any:
        part, figures = super()._decide(data, scored, parts)
        prior = np.log(part.prior)
        found = Calibrator(fit_temperature(part.raw - prior, prior, part.label), tuple(prior[0]))
        return replace(part, p=found.apply(part.raw)), figures


class PriorOfAllRows(LGBMTrainer):
    """Probabilities are scaled by the share of a class among all rows."""

    def train(self, dataset: Dataset, feature_names: tuple[str, ...], *more: Any) -> Trained:
        trained = super().train(dataset, feature_names, *more)
        share = float((dataset.label == 1).mean())
        return replace(trained, oos=replace(trained.oos, p=trained.oos.p * share))


class _Prepares(LGBMTrainer):
    """Features are prepared before they are split."""

    def train(self, dataset: Dataset, feature_names: tuple[str, ...], *more: Any) -> Trained:
        x = np.ascontiguousarray(self._prepared(dataset), np.float32)
        return super().train(replace(dataset, x=x), feature_names[: x.shape[1]], *more)

    def _prepared(self, data: Dataset) -> Any:
        raise NotImplementedError


class ScalesByAllRows(_Prepares):
    """By mean and deviation of everything."""

    def _prepared(self, data: Dataset) -> Any:
        return (data.x - np.nanmean(data.x, axis=0)) / np.nanstd(data.x, axis=0)


class ScalesByTheWholeDay(_Prepares):
    """Each row by mean and deviation of its session, which is not over yet."""

    def _prepared(self, data: Dataset) -> Any:
        x = data.x.copy()
        for session in np.unique(data.session):
            day = x[data.session == session]
            x[data.session == session] = (day - np.nanmean(day, axis=0)) / np.nanstd(day, axis=0)
        return x


class FillsWithTheMedianOfAllRows(_Prepares):
    """What is missing becomes the median of everything; every seventh value is made to be missing."""

    def _prepared(self, data: Dataset) -> Any:
        x = data.x.copy()
        x[::7] = np.nan
        return np.where(np.isnan(x), np.nanmedian(x, axis=0), x)


class SelectsByAllRows(_Prepares):
    """The feature is kept that tells most of all labels."""

    def _prepared(self, data: Dataset) -> Any:
        told = [abs(np.corrcoef(column, data.label)[0, 1]) for column in np.nan_to_num(data.x).T]
        return data.x[:, [int(np.argmax(told))]]


class EncodesByAllLabels(_Prepares):
    """A column becomes the mean label of its bin, over all rows."""

    def _prepared(self, data: Dataset) -> Any:
        x, bins = data.x.copy(), np.digitize(np.nan_to_num(data.x[:, 1]), [0.25, 0.5, 0.75])
        x[:, 1] = np.array([data.label[bins == k].mean() for k in range(4)])[bins]
        return x


class KnowsTheLabel(_Prepares):
    """Each row's own label is one of its features."""

    def _prepared(self, data: Dataset) -> Any:
        x = data.x.copy()
        x[:, 1] = data.label
        return x
