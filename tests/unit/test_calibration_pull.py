"""Temperatures fitted on few sessions are pulled towards changing nothing, as far as the sessions can't tell."""

from __future__ import annotations

import numpy as np
import pytest

from intraday.domain.arrays import F8, I4
from intraday.model.calibration import fit_temperatures, softmax


def said_and_came(sessions: int, sure: float, seed: int = 1, rows: int = 200) -> tuple[F8, F8, np.ndarray, I4]:
    """Margins that are ``sure`` times too large, the prior, labels and sessions."""
    rng, n = np.random.default_rng(seed), sessions * rows
    margin = np.column_stack([0.8 * rng.standard_normal((n, 2)), np.zeros(n)])[:, [0, 2, 1]]
    p = softmax(margin)
    label = ((rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1) - 1).astype(np.int8)
    return margin * sure, np.zeros(3), label, np.repeat(np.arange(sessions), rows).astype(np.int32)


@pytest.mark.parametrize("sessions", [1, 3])
def test_few_sessions_change_less(sessions: int) -> None:
    margin, prior, label, session = said_and_came(sessions, 1.1)
    alone, pulled = fit_temperatures(margin, prior, label), fit_temperatures(margin, prior, label, session)
    for free, held in zip(alone, pulled, strict=True):
        assert abs(1.0 / held - 1.0) <= abs(1.0 / free - 1.0)
        assert (held - 1.0) * (free - 1.0) >= 0.0  # never beyond 1
    if sessions == 1:
        assert pulled == (1.0, 1.0)  # one session has no spread


def test_what_many_sessions_say_stays() -> None:
    margin, prior, label, session = said_and_came(200, 3.0)
    assert fit_temperatures(margin, prior, label, session) == pytest.approx(fit_temperatures(margin, prior, label), rel=5e-3)
    assert fit_temperatures(margin, prior, label, session) == pytest.approx((3.0, 3.0), rel=0.05)


def test_sessions_that_disagree_count_as_few() -> None:
    """The same rows, once in four sessions that are wrong together and once spread over two hundred."""
    margin, prior, label, _ = said_and_came(200, 1.15)
    wrong = np.argsort(np.abs(margin).sum(axis=1) * (label != margin.argmax(axis=1) - 1))  # mistakes side by side
    together = np.empty(label.size, dtype=np.int32)
    together[wrong] = np.arange(label.size) * 4 // label.size
    spread = np.arange(label.size, dtype=np.int32) % 200
    near, far = (fit_temperatures(margin, prior, label, session) for session in (together, spread))
    assert abs(near[0] - 1.0) < abs(far[0] - 1.0)
