"""COMPOSITION ROOT, the part that compares: what a stored model makes of any sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np

from intraday.app import System, load_model
from intraday.app_backtest import Stage, build_backtest
from intraday.backtest.run import Backtest, fill_days
from intraday.backtest.tables import path_of_fills
from intraday.domain.errors import ArtifactError, SkewError
from intraday.domain.ports import Progress
from intraday.domain.session import EPOCH
from intraday.live.assembly import LoadedModel
from intraday.model.path import DailyPath

DailyNet = Callable[[str, Sequence[int]], DailyPath]  # of (model's id, session numbers ascending)


def build_daily_net(system: System, progress: Progress) -> DailyNet:
    """A model's trades on stored candles: the engine decides, the labels' own rules fill. The best candles of now, for every model
    the same ones. Raises as ``load_model``."""

    def net(model_id: str, sessions: Sequence[int]) -> DailyPath:
        model, backtest, stage = _built(system, model_id)
        days = [system.sessions.get(EPOCH + timedelta(days=number)) for number in sessions]
        delay_s = model.label.entry_delay_s
        filled = fill_days(backtest.days(days, progress), stage.desk, (delay_s,))
        return path_of_fills(filled.orders, filled.fills[delay_s], np.array(sessions, dtype=np.int32))

    return net


def cannot_run(system: System, model_id: str) -> str:
    """Why the model gives no signals here: no such model, damaged files, features or members other by now. Empty: it does."""
    return str(_broken(system, model_id) or "")


def fits_no_more(system: System, model_id: str) -> bool:
    """Whether a model that cannot run here is whole: settings, lists or the program are others than it was trained with."""
    return isinstance(_broken(system, model_id), SkewError)


def _broken(system: System, model_id: str) -> ArtifactError | None:
    try:
        _built(system, model_id)
    except ArtifactError as error:
        return error
    return None


def _built(system: System, model_id: str) -> tuple[LoadedModel, Backtest, Stage]:
    model = load_model(system, model_id)
    return model, *build_backtest(system, model, reasons=False)
