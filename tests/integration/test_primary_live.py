"""A model on top of a rule, the user's own or a simple one: trained, issued live, verified, and backtested as it was live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest_cases import check_day
from intraday.app import load_model, open_system
from intraday.core.decision import said_by
from intraday.domain.arrays import DAY_NS
from intraday.domain.clock import SystemClock
from intraday.domain.ports import Source
from intraday.domain.session import midnight_ns
from intraday.jobs.historical import run_historical
from intraday.jobs.live import run_live
from intraday.jobs.models import show
from intraday.jobs.verify import run_verify
from intraday.model.artifacts import read_oos
from intraday.signal.generator import AGAINST
from job_cases import quiet, settings_on

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FEATURES = ("sigma", "ret_3", "session_pos", "rsi_14")
OWN = """
import numpy as np

from intraday.core.expression import close, lag
from intraday.core.function_features import FunctionFeature


def fade(bars):
    move = bars.close / bars.close[0] - 1.0
    return np.where(np.abs(move) > 0.0005, -np.sign(move), 0.0)


FEATURES = [FunctionFeature("my_fade", fade, 4, "against a move of more than 5 bps in three bars", "-1, 0, 1")]
"""


@pytest.mark.parametrize("primary", ["my_fade", "moving_average_cross"])
def test_a_model_on_top_of_a_rule_says_its_sides_alone(dsn: str, tmp_path: Path, primary: str) -> None:
    base, mine = settings_on(dsn, tmp_path / "var"), tmp_path / "mine.py"
    mine.write_text(OWN)
    own = {"user_features": mine, "features": FEATURES, "primary": primary}
    settings = base.model_copy(update={"model": base.model.model_copy(update=own)})
    trained = run_historical(settings, SystemClock(), quiet)
    assert dict(trained.report.facts)["On top of"] == f"{primary}: only its sides are said"
    run_live(settings, SystemClock(), quiet)
    result = run_verify(settings, None, None, SystemClock(), quiet)
    assert all(check.passed for check in result.checks), result.differences[:5]
    with open_system(settings, SystemClock()) as system:
        model = load_model(system)
        assert model.predictor.artifact.primary == primary and read_oos(model.predictor.artifact.path).shown.any()
        (run,) = system.stores.runs.days(source=Source.TICK)
        check_day(system, run)
        start_ns = midnight_ns(run.day)
        span = run.instrument_ids, start_ns, start_ns + DAY_NS
        signals = system.stores.signals.read(Source.TICK, *span, run.model_id)
        ts, inst, x = system.stores.features.read(run.feature_set_id, Source.TICK, *span)
        said = said_by(x[:, model.feature_set.column(primary)])
        of = dict(zip(zip(ts.tolist(), inst.tolist(), strict=True), said.tolist(), strict=True))
        sides = [{"BUY": 1, "SELL": -1}.get(str(s.action), 0) for s in signals]
        given = [(side, of[s.bar_ns, s.inst]) for side, s in zip(sides, signals, strict=True) if side]
        assert given and all(side == told for side, told in given)
        assert any(s.note == AGAINST for s in signals), "nothing was held back: the test shows nothing"
        assert np.unique(said).tolist() == [-1, 0, 1]
    page = show(settings, SystemClock(), run.model_id)
    assert page.primary == primary
