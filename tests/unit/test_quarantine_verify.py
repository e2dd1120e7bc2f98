"""A day on which an instrument sits out verifies as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine_cases import DAY, N_INST, feed
from intraday.core.panel import Lists
from quarantine_cases import SmallModel, journal, known_checks


@pytest.mark.parametrize("row", range(N_INST))
def test_a_day_on_which_an_instrument_sits_out_verifies(row: int, tmp_path: Path) -> None:
    model = SmallModel()
    reader = journal(tmp_path / "j", feed(3, late=0.0), model, Lists(out=((row, DAY.number, DAY.number),)))
    checks = known_checks(reader, model)
    assert [c.name for c in checks if c.differences] == []
    assert sum(c.n_rows for c in checks) > 300
