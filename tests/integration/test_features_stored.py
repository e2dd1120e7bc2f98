"""``intraday features show --values`` on stored bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intraday.config.settings import Settings
from intraday.domain.clock import SystemClock
from intraday.domain.errors import NotEnoughData
from intraday.jobs.features import Request, values

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
