"""What a training hands from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intraday.domain.arrays import F8, I8
from intraday.domain.learning import Trial
from intraday.domain.ports import Progress
from intraday.model.boosting import FitResult
from intraday.model.dataset import Dataset
from intraday.model.folds import FoldFigures
from intraday.model.metrics import OutOfSample
from intraday.model.pool import Fits, Told
from intraday.model.spec import Tuned


@dataclass(frozen=True, slots=True)
class Task:
    """What is being trained: rows without their features, how unique each is, and where fits on the features run."""

    data: Dataset
    unique: F8
    names: tuple[str, ...]
    fits: Fits
    report: Progress

    def told(self, what: str) -> Told:
        """Reports progress of one part."""
        return lambda done, total: self.report(what, done, total)


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk forward, by fold: parameters, fits, rows explained, figures; what was tried to find parameters; what was said."""

    tuned: Sequence[Tuned]
    trials: Sequence[Trial]
    results: Sequence[FitResult]
    explained: Sequence[I8]
    figures: tuple[FoldFigures, ...]
    oos: OutOfSample
