"""``intraday features show --values`` on stored bars, and what a report says of a user's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intraday.app import load_model, open_system
from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.domain.errors import NotEnoughData
from intraday.domain.ports import Source
from intraday.jobs.features import Request, values
from intraday.jobs.historical import run_historical
from intraday.jobs.own_features import own_features
from job_cases import quiet

pytestmark = pytest.mark.integration


def test_values_of_stored_bars_are_those_of_the_made_up_market(trained: Settings, tmp_path: Path) -> None:
    """The database was filled by the synthetic feed: both ways give the same bars."""
    clock, request = SystemClock(), Request(sessions=4, instruments=30)
    stored = values(trained, "ret_1", request, clock, tmp_path / "ret.svg")
    made = values(trained, "ret_1", Request(sessions=4, instruments=30, simulated=True), clock)
    assert (stored.n, stored.first, stored.last) == (made.n, made.first, made.last)
    assert {row.symbol: row.ts_ns for row in stored.newest} == {row.symbol: row.ts_ns for row in made.newest}
    np.testing.assert_allclose(*([r.value for r in sorted(v.newest, key=lambda r: r.symbol)] for v in (stored, made)), rtol=1e-6)
    assert stored.missing == made.missing and stored.plot is not None and stored.plot.stat().st_size > 500
    one = stored.newest[0].symbol.split(":")[1].lower()
    alone = values(trained, "xs_ret_12", Request(sessions=4, symbols=(one,)), clock)
    assert [row.symbol for row in alone.newest] == [stored.newest[0].symbol], "told of one, compared with all"


def test_without_bars_it_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(NotEnoughData, match="no stored bars .* import some, or use --simulated"):
        values(settings, "rsi_14", Request(), SystemClock())


MINE = """
from intraday.core.expression import *
from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature
FEATURES = [
    Feature("my_trend", "user", close() / ema(close(), 30) - 1, "close / EMA30 - 1", "fraction", "mine"),
    Feature("my_never", "user", log(-close()), "no number", "none", "mine"),
    FunctionFeature("my_twice", lambda bars: bars.close * 2.0, 90, "twice the close", "rupees"),
]
"""


def test_a_report_tells_of_every_feature_of_the_users(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    names = ("sigma", "rsi_14", "my_trend", "my_never", "my_twice")
    model = settings.model.model_copy(update={"features": names, "user_features": tmp_path / "mine.py"})
    settings, clock = settings.model_copy(update={"model": model}), SystemClock()
    done = run_historical(settings, clock, quiet)
    own = {f.name: f for f in done.report.own}
    assert set(own) == {"my_trend", "my_never", "my_twice"} and {f.n for f in own.values()} == {5}
    ranked = sorted(done.report.importance, key=lambda pair: (-pair[1], pair[0]))
    assert {f.rank: f.name for f in own.values()}.items() <= dict(enumerate([name for name, _ in ranked], start=1)).items()
    with open_system(settings, clock) as system:
        record = load_model(system).feature_set
        ids = [i.id for i in system.stores.instruments.all()]
        x = system.stores.features.read(record.id, Source.HISTORY, ids, 0, 2**62)[2]
    share = {name: float(np.isnan(x[:, record.names.index(name)]).mean()) for name in own}
    assert len(x) > 1000 and own["my_never"].missing == share["my_never"] == 1.0
    assert {name: f.missing for name, f in own.items()} == pytest.approx(share) and 0 < share["my_trend"] < share["my_twice"] < 0.3
    page = done.page.read_text(encoding="utf-8")
    assert "Your own features among the 5" in page and "<td>my_never</td>" in page and "100.00 %" in page


def test_a_report_without_any_says_nothing_of_them(trained: Settings) -> None:
    with open_system(trained, SystemClock()) as system:
        assert own_features(system, load_model(system).predictor.artifact) == ()
