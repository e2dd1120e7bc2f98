"""A user's function that fails costs its own values, live; in history it is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine_cases import DAY, HAS_VOLUME, N_INST, feed, frame, minute, tick
from intraday.core.anchor import AnchorRule
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.function_features import BarWindow, FunctionFeature, FunctionSet
from intraday.core.panel import NO_LISTS, panel_of, regular_day
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR
from intraday.domain.errors import ConfigError
from intraday.domain.events import Alert, Effect, SaveBars, SaveFeatures
from intraday.domain.session import SessionTable
from quarantine_cases import INSTRUMENTS, SmallModel, journal, known_checks


def fragile(bars: BarWindow) -> NDArray[np.float64]:
    if 100.35 < np.nanmax(bars.close[-1]) < 100.75:
        raise ValueError("rare")
    return bars.close * 2.0


def leaves(bars: BarWindow) -> NDArray[np.float64]:
    raise SystemExit(3)


def feature_set(function: object = fragile) -> FeatureSet:
    own = FunctionSet((FunctionFeature("own", function, 1, "", ""),), "d", SessionTable.load())  # type: ignore[arg-type]
    return FeatureSet.of(1, ("sigma", "ret_1", "own"), default_registry(), AnchorRule(), own, "x")


def day_of_ticks(features: FeatureSet) -> list[Effect]:
    model = SmallModel(features)
    engine = model.engine(
        DAY, regular_day(DAY, N_INST), model.calculator(INSTRUMENTS), INSTRUMENTS, np.zeros(N_INST), 1_500_000_000
    )
    effects: list[Effect] = []
    for m in range(10):
        effects += engine.process(frame(tick(m * 60 + 5, 100 + m * 0.1, 1000 * (m + 1))))
        effects += engine.process(minute(m + 1))
    return effects


def test_candles_and_other_features_go_on() -> None:
    effects = day_of_ticks(feature_set())
    assert sum(len(e.bars) for e in effects if isinstance(e, SaveBars)) == 10
    x = np.concatenate([e.x for e in effects if isinstance(e, SaveFeatures)])
    assert np.flatnonzero(np.isnan(x[:, 2])).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(np.isnan(x[:, 1])).tolist() == [0]
    assert x[8, 2] == np.float32(2 * 100.8)


def test_one_alert_names_feature_minute_and_error() -> None:
    (alert,) = [e for e in day_of_ticks(feature_set()) if isinstance(e, Alert)]
    assert alert.level == "error"
    for word in ("'own'", "09:19", "test_failing_features.py, line", "ValueError: rare"):
        assert word in alert.text


def test_a_function_cannot_end_the_program() -> None:
    effects = day_of_ticks(feature_set(leaves))
    assert sum(len(e.bars) for e in effects if isinstance(e, SaveBars)) == 10


def test_history_says_what_failed() -> None:
    bars = np.zeros(8, BAR)
    bars["ts_ns"] = DAY.open_ns + np.arange(8) * 60_000_000_000
    bars["close"] = 100.0 + 0.1 * np.arange(8)
    panel = panel_of(bars, N_INST, 1, SessionTable.load())
    with pytest.raises(ConfigError, match="'own'.*ValueError: rare"):
        FeatureCalculator(feature_set(), HAS_VOLUME).batch(panel)


def test_a_day_on_which_one_failed_verifies(tmp_path: Path) -> None:
    model, events = SmallModel(feature_set()), feed(3, late=0.0)
    reader = journal(tmp_path / "j", events, model, NO_LISTS)
    engine = model.engine(
        DAY, regular_day(DAY, N_INST), model.calculator(INSTRUMENTS), INSTRUMENTS, np.zeros(N_INST), 1_500_000_000
    )
    assert "rare" in str([engine.process(event) for event in events])
    checks = known_checks(reader, model)
    assert [c.name for c in checks if c.differences] == []
