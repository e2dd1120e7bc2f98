"""Weights and the sequential bootstrap by hand, and against the definitions written out."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from intraday.core.bootstrap import draw_probabilities, sequential_bootstrap
from intraday.core.panel import panel_of
from intraday.core.weights import (
    attributed_returns,
    average_uniqueness,
    concurrency,
    effective_labels,
    time_decay,
)
from intraday.domain.arrays import BAR, LABEL, MINUTE_NS, Labels, Panel
from intraday.domain.session import SessionTable

I8 = np.int64


def lives(seed: int, n: int = 60, span: int = 200, longest: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    start = np.sort(rng.integers(0, span, n)).astype(I8)
    return start, start + rng.integers(1, longest, n), rng.integers(0, 3, n).astype(np.int32)


def brute_uniqueness(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Instant by instant."""
    alive = {t: sum(a <= t < b for a, b in zip(start, end, strict=True)) for t in range(int(end.max()))}
    return np.array([np.mean([1 / alive[t] for t in range(a, b)]) for a, b in zip(start, end, strict=True)])


def test_uniqueness_by_hand() -> None:
    start, end = np.array([0, 5, 20], I8), np.array([10, 15, 30], I8)
    np.testing.assert_allclose(average_uniqueness(start, end), [0.75, 0.75, 1.0])
    np.testing.assert_array_equal(average_uniqueness(start, end, np.array([0, 1, 0], np.int32)), [1.0, 1.0, 1.0])
    assert average_uniqueness(np.array([3], I8), np.array([3], I8))[0] == 1.0
    assert len(average_uniqueness(np.empty(0, I8), np.empty(0, I8))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_uniqueness_is_what_it_says(seed: int) -> None:
    start, end, group = lives(seed)
    np.testing.assert_allclose(average_uniqueness(start, end), brute_uniqueness(start, end), rtol=1e-12)
    got = average_uniqueness(start, end, group)
    for g in range(3):
        mine = group == g
        np.testing.assert_allclose(got[mine], brute_uniqueness(start[mine], end[mine]), rtol=1e-12)


def test_uniqueness_has_the_same_bits_with_more_history() -> None:
    start, end, group = lives(1)
    later = np.concatenate([start, start + 1000]), np.concatenate([end, end + 1000]), np.concatenate([group, group])
    np.testing.assert_array_equal(average_uniqueness(*later)[len(start) :], average_uniqueness(start, end, group))


def test_concurrency_counts_the_living() -> None:
    start, end, _ = lives(2)
    at = np.arange(0, 230)
    expected = [((start <= t) & (t < end)).sum() for t in at]
    np.testing.assert_array_equal(concurrency(start, end, at), expected)


def minutes_of(closes: list[float]) -> tuple[Panel, int]:
    table = SessionTable.load()
    open_ns = table.get(date(2026, 1, 6)).open_ns
    rows = np.zeros(len(closes) - 1, BAR)
    rows["ts_ns"] = open_ns + np.arange(len(rows)) * MINUTE_NS
    rows["open"], rows["close"] = closes[:-1], closes[1:]
    rows["high"], rows["low"] = np.maximum(rows["open"], rows["close"]), np.minimum(rows["open"], rows["close"])
    return panel_of(rows, 1, 1, table), open_ns


def label_rows(open_ns: int, spans: list[tuple[int, int]]) -> Labels:
    rows = np.zeros(len(spans), LABEL)
    rows["entry_ns"] = [open_ns + a * MINUTE_NS for a, _ in spans]
    rows["t1_ns"] = [open_ns + b * MINUTE_NS for _, b in spans]
    return rows


def attributed(labels: Labels, minutes: Panel) -> np.ndarray:
    return attributed_returns(labels["entry_ns"], labels["t1_ns"], labels["inst"], minutes)


def test_return_attribution_by_hand() -> None:
    minutes, open_ns = minutes_of([100.0, 101.0, 103.0, 99.0, 99.0, 104.0])
    move = np.diff(np.log([100.0, 101.0, 103.0, 99.0, 99.0, 104.0]))
    labels = label_rows(open_ns, [(0, 2), (1, 4), (4, 5)])
    raw = np.abs([move[0] + move[1] / 2, move[1] / 2 + move[2] + move[3], move[4]])
    np.testing.assert_allclose(attributed(labels, minutes), raw, rtol=1e-12)
    alone = label_rows(open_ns, [(1, 3)])
    assert attributed(alone, minutes)[0] == pytest.approx(abs(move[1] + move[2]))
    still, at = minutes_of([100.0] * 6)
    assert (attributed(label_rows(at, [(0, 2), (2, 4)]), still) == 0.0).all()


def test_time_decay_by_hand() -> None:
    u = np.array([0.5, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(time_decay(u, 1.0), 1.0)
    np.testing.assert_allclose(time_decay(u, 0.0), np.cumsum(u) / 4.0)
    np.testing.assert_allclose(time_decay(u, 0.5), 0.5 + 0.5 * np.cumsum(u) / 4.0)
    np.testing.assert_allclose(time_decay(u, -0.5), [0.0, 0.0, 0.0, 1.0])
    assert len(time_decay(np.empty(0), 0.5)) == 0


def test_effective_sizes() -> None:
    assert effective_labels(np.array([0.5, 0.25, 0.25])) == 1.0


def test_the_book_s_example() -> None:
    """López de Prado 2018, section 4.5.3: lives [0, 3), [2, 4), [4, 6); after drawing the second, 5/14, 3/14 and 6/14."""
    start, end = np.array([0, 2, 4], I8), np.array([3, 4, 6], I8)
    np.testing.assert_allclose(draw_probabilities(start, end, np.empty(0, I8)), np.full(3, 1 / 3))
    np.testing.assert_allclose(draw_probabilities(start, end, np.array([1], I8)), [5 / 14, 3 / 14, 6 / 14])


def slow_bootstrap(start: np.ndarray, end: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Every label and every instant again for each draw."""
    order = np.lexsort((end, start))
    drawn = np.zeros(int(end.max()), I8)
    got = []
    for x in u:
        unique = np.array([np.mean(1.0 / (drawn[start[i] : end[i]] + 1)) for i in order])
        got.append(order[min(int(np.searchsorted(np.cumsum(unique), x * unique.sum(), side="right")), len(order) - 1)])
        drawn[start[got[-1]] : end[got[-1]]] += 1
    return np.array(got)


@pytest.mark.parametrize("n", [1, 7, 60, 1300])
def test_draws_are_the_slow_ones(n: int) -> None:
    start, end, _ = lives(3, n, span=3 * n + 5)
    mixed = np.random.default_rng(5).permutation(n)
    got = sequential_bootstrap(start[mixed], end[mixed], min(n, 80), np.random.default_rng(9))
    slow = slow_bootstrap(start[mixed], end[mixed], np.random.default_rng(9).random(min(n, 80)))
    assert list(zip(start[mixed][got], end[mixed][got], strict=True)) == list(
        zip(start[mixed][slow], end[mixed][slow], strict=True)
    )


def test_draws_follow_the_seed_and_overlap_less() -> None:
    start, end, _ = lives(4, 300, span=600)
    one, two = (sequential_bootstrap(start, end, 300, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, two)

    def overlap(rows: np.ndarray) -> float:
        return float(average_uniqueness(start[rows], end[rows]).mean())

    plain = [overlap(np.random.default_rng(k).integers(0, 300, 100)) for k in range(10)]
    ours = [overlap(sequential_bootstrap(start, end, 100, np.random.default_rng(k))) for k in range(10)]
    assert np.mean(ours) > np.mean(plain) + 0.02
