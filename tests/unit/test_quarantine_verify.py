"""A day on which an instrument sits out verifies as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine_cases import DAY, GRACE_NS, N_INST, feed
from intraday.core.panel import NO_LISTS, Lists, regular_day
from intraday.domain.events import Alert, Event, SaveBars, SaveFeatures, SaveSignals
from quarantine_cases import INSTRUMENTS, SmallModel, journal, known_checks


@pytest.mark.parametrize("row", range(N_INST))
def test_a_day_on_which_an_instrument_sits_out_verifies(row: int, tmp_path: Path) -> None:
    model = SmallModel()
    reader = journal(tmp_path / "j", feed(3, late=0.0), model, Lists(out=((row, DAY.number, DAY.number),)))
    checks = known_checks(reader, model)
    assert [c.name for c in checks if c.differences] == []
    assert sum(c.n_rows for c in checks) > 300


def halved_day() -> tuple[list[Event], tuple[float, ...]]:
    """Everybody trades at about 100, and instrument 1 closed at 200."""
    return feed(3, late=0.0), (100.0, 200.0, float("nan"), float("nan"))


def test_who_opens_at_another_scale_sits_out_from_its_first_bar() -> None:
    events, closes = halved_day()
    model = SmallModel()
    hours = regular_day(DAY, N_INST)._replace(before=np.array(closes))
    engine = model.engine(DAY, hours, model.calculator(INSTRUMENTS), INSTRUMENTS, np.zeros(N_INST), GRACE_NS)
    effects = [effect for event in events for effect in engine.process(event)]
    bars = np.concatenate([e.bars["inst"] for e in effects if isinstance(e, SaveBars)])
    decided = np.concatenate([e.inst for e in effects if isinstance(e, SaveFeatures)])
    assert set(bars.tolist()) == {0, 1, 2, 3} and set(decided.tolist()) == {0, 2, 3}
    assert not [s for e in effects if isinstance(e, SaveSignals) for s in e.signals if s.inst == 1]
    (alert,) = [e for e in effects if isinstance(e, Alert) and e.topic == "actions"]
    assert alert.level == "error" and "A1 opened on 2024-01-10 at 0.5" in alert.text
    assert "intraday adjust add A1 --ex 2024-01-10" in alert.text


def test_such_a_day_verifies(tmp_path: Path) -> None:
    events, closes = halved_day()
    model = SmallModel()
    checks = known_checks(journal(tmp_path / "j", events, model, NO_LISTS, closes=closes), model)
    assert [c.name for c in checks if c.differences] == []
