"""Who is compared with whom, from a dated list to signals: the index is beside the members, and an edited list is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from intraday.app import open_system
from intraday.config.settings import Settings
from intraday.domain.arrays import DAY_NS
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, SkewError
from intraday.domain.membership import Span
from intraday.domain.ports import Source
from intraday.domain.session import midnight_ns
from intraday.jobs.historical import fill_synthetic, run_historical
from intraday.jobs.live import run_live
from intraday.jobs.verify import run_verify
from job_cases import market_of, quiet, settings_on

pytestmark = [pytest.mark.integration, pytest.mark.slow]
NAMES = ("sigma", "xs_ret_12", "beta_60", "ret_3")
START = date(2010, 1, 4)


def with_universe(settings: Settings, universe: str, index: str | None = None) -> Settings:
    model = settings.model.model_copy(update={"features": NAMES, "index": index})
    return settings.model_copy(update={"trading": settings.trading.model_copy(update={"universe": universe}), "model": model})


def test_an_index_beside_a_dated_list_and_a_list_that_was_edited(dsn: str, tmp_path: Path) -> None:
    settings = settings_on(dsn, tmp_path / "var")
    listed = with_universe(settings, "index:X", "NSE:SYNIDX")
    with open_system(listed, SystemClock()) as system:
        fill_synthetic(system, market_of(settings), range(10), quiet)
        ids = {i.symbol: i.id for i in system.stores.instruments.all()}
        spans = [Span(ids[name], START) for name in ("SYN01", "SYN02", "SYN03")]
        system.stores.members.take_dated("universe", "X", spans, "x.csv")
        assert {i.symbol for i in system.universe()} == {"SYN01", "SYN02", "SYN03", "SYNIDX"}
        assert {i.symbol for i in system.universe(date(2024, 6, 3))} == {"SYN01", "SYN02", "SYN03", "SYNIDX"}
    with (
        open_system(with_universe(settings, "index:X", "NSE:NIFTY 50"), SystemClock()) as system,
        pytest.raises(ConfigError, match="model.index: NSE:NIFTY 50 is not stored, found NSE:SYNIDX"),
    ):
        system.universe()
    trained = run_historical(listed, SystemClock(), quiet).summary
    live = run_live(listed, SystemClock(), quiet).summary
    with open_system(listed, SystemClock()) as system:
        start_ns = midnight_ns(date.fromisoformat(str(live["days"][0])))
        set_id = system.stores.models.get(trained["model_id"]).feature_set_id
        range_ns = (start_ns, start_ns + DAY_NS)
        _, inst, x = system.stores.features.read(set_id, Source.TICK, list(ids.values()), *range_ns)
        signals = system.stores.signals.read(Source.TICK, list(ids.values()), *range_ns)
        beta = x[:, NAMES.index("beta_60")]
        stock = np.array(list(ids))[inst] != "SYNIDX"
        assert np.isfinite(beta[stock]).mean() > 0.5, "the market index was not heard"
        named = {list(ids)[signal.inst] for signal in signals}
        assert named == {"SYN01", "SYN02", "SYN03"}, "signals are of members alone"
    result = run_verify(listed, None, None, SystemClock(), quiet)
    assert all(check.passed for check in result.checks), result.differences[:5]
    with open_system(listed, SystemClock()) as system:
        system.stores.members.take_dated("universe", "X", [*spans, Span(ids["SYN04"], START)], "y.csv")
    with pytest.raises(SkewError, match="the list was changed since"):
        run_live(listed, SystemClock(), quiet)
