"""Each kind of label, each weighting: train, a live session, verify and audit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from intraday.app import load_model, open_system
from intraday.config.settings import Settings
from intraday.core.labels import Barrier
from intraday.domain.clock import SystemClock
from intraday.domain.events import Action
from intraday.domain.ports import Source
from intraday.jobs.audit import AuditRequest, run_audit
from intraday.jobs.live import run_live
from intraday.jobs.verify import run_verify
from intraday.model.artifacts import read_oos
from job_cases import quiet

pytestmark = [pytest.mark.integration, pytest.mark.slow]
EVER_NS = 2**62


def changed(settings: Settings, labels: dict[str, Any], model: dict[str, Any]) -> Settings:
    trading = settings.trading.model_copy(update={"labels": settings.trading.labels.model_copy(update=labels)})
    model = {"features": ("sigma", "rsi_14", "ret_1"), "min_signals_per_session": 30.0, **model}
    return settings.model_copy(update={"trading": trading, "model": settings.model.model_copy(update=model)})


@pytest.mark.parametrize(
    ("labels", "model"),
    [
        ({"limit_ticks": 5}, {"weights": "return_attribution", "time_decay": 0.5}),
        ({"kind": "fixed_horizon"}, {"weights": "none", "time_decay": -0.2}),
        ({"kind": "trend_scanning", "trend_from_min": 10}, {"weights": "return_attribution"}),
    ],
)
def test_a_kind_from_training_to_audit(settings: Settings, labels: dict[str, Any], model: dict[str, Any]) -> None:
    settings = changed(settings, labels, model)
    clock = SystemClock()
    lived = run_live(settings, clock, quiet)  # trains first
    assert all(c.passed for c in run_verify(settings, None, None, clock, quiet).checks)
    certificate, _ = run_audit(settings, AuditRequest("a tester", instruments=3), clock, quiet)
    assert certificate.passed, [f for f in certificate.findings if f.outcome != "passed"]
    with open_system(settings, clock) as system:
        loaded = load_model(system)
        definition = json.loads(loaded.predictor.artifact.manifest["labels"]["definition"])
        training = loaded.predictor.artifact.manifest["training"]
        assert labels.items() <= definition.items()
        assert training["weights"] == model["weights"]
        ids = [i.id for i in system.stores.instruments.all()]
        rows = system.stores.labels.read(loaded.label.id, ids, 0, EVER_NS)
        signals = system.stores.signals.read(Source.TICK, ids, 0, EVER_NS)
    assert len(rows) > 500
    said = [s for s in signals if s.action is not Action.HOLD]
    assert len(said) > 5, lived
    barriers = loaded.label.has_barriers
    assert all(np.isnan(s.stop) != barriers and np.isnan(s.target) != barriers for s in said)
    if not barriers:
        bits = rows["barrier"]
        assert (bits & ~(Barrier.VERTICAL | Barrier.SKIPPED | Barrier.LOCKED) == 0).all()
        np.testing.assert_allclose(rows["ret_long"], -rows["ret_short"])
    oos = read_oos(loaded.predictor.artifact.path)
    assert oos.trade.sum() > 10
