from __future__ import annotations

import numpy as np
import pytest

from intraday.domain.arrays import DAY_NS, IST_NS, LABEL, MINUTE_NS, empty
from intraday.model.dataset import join

OPEN = 19_900 * DAY_NS - IST_NS + 555 * MINUTE_NS


def labels_at(keys: list[tuple[int, int]]) -> np.ndarray:
    labels = empty(LABEL, len(keys))
    for k, (minute, inst) in enumerate(keys):
        ts = OPEN + minute * MINUTE_NS
        labels[k] = (ts, inst, (k % 3) - 1, 0, 0.01 * k, -0.01 * k, ts + 6 * MINUTE_NS, ts + 30 * MINUTE_NS, 0.001)
    return labels


def test_rows_meet_by_time_and_instrument_in_order() -> None:
    ts = OPEN + np.array([10, 0, 0, 5]) * MINUTE_NS
    inst = np.array([0, 1, 0, 0], dtype=np.int32)
    x = np.array([[10.0], [0.1], [0.0], [5.0]], dtype=np.float32)
    labels = labels_at([(5, 0), (0, 1), (15, 0), (10, 0)])
    data = join(ts, inst, x, labels, cost=lambda session: session / 1e7, timeframe=5)
    assert data.x[:, 0].tolist() == pytest.approx([0.1, 5.0, 10.0])
    assert data.inst.tolist() == [1, 0, 0]
    assert data.ret_long.tolist() == pytest.approx([0.01, 0.0, 0.03])
    assert data.session.tolist() == [19_900] * 3
    assert data.cost.tolist() == [0.00199] * 3
    assert data.eligible.all()
    assert data.x.dtype == np.float32
    assert data.label.dtype == np.int8


def test_rows_too_late_in_the_session_are_not_eligible() -> None:
    """By instrument: a stock of the closing auction ends earlier."""
    labels = labels_at([(0, 0), (5, 0), (10, 0), (5, 1), (10, 1)])
    x = np.zeros((5, 2), dtype=np.float32)
    latest = {19_900: np.array([OPEN + 5 * MINUTE_NS, OPEN])}
    data = join(labels["ts_ns"], labels["inst"], x, labels, cost=lambda _: 0.0, latest_bars_ns=latest.__getitem__, timeframe=5)
    assert data.eligible[np.lexsort((data.ts_ns, data.inst))].tolist() == [True, True, False, False, False]


def test_a_key_that_occurs_twice_is_a_broken_promise() -> None:
    labels = labels_at([(0, 0), (0, 0)])
    x = np.zeros((1, 2), dtype=np.float32)
    with pytest.raises(AssertionError, match="label occurs twice"):
        join(labels["ts_ns"][:1], labels["inst"][:1], x, labels, cost=lambda _: 0.0, timeframe=5)


def test_nothing_in_common_gives_no_rows() -> None:
    labels = labels_at([(0, 0)])
    data = join(
        labels["ts_ns"] + MINUTE_NS, labels["inst"], np.zeros((1, 2), dtype=np.float32), labels, cost=lambda _: 0.0, timeframe=5
    )
    assert len(data) == 0
    assert data.x.shape == (0, 2)
