"""How often the test behind "edge" fires on paths without one: the table of docs/significance.md.

PYTHONPATH=src:tests python scripts/edge_test_sizes.py [paths]
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import kstest, t

from intraday.model.significance.edge import edge_test
from intraday.model.significance.sharpe import probabilistic, sharpe_ratio
from null_paths import SHAPES, normal

SESSIONS = (60, 130, 250)


def shapes(n: int) -> None:
    """Size at 5 % of PSR(0), Student's t and our test, and the distance of our p-values from uniform."""
    print("| shape | T | PSR | Student | ours | KS |\n|---|---|---|---|---|---|")
    for name, draw in SHAPES.items():
        for sessions in SESSIONS:
            paths = draw(np.random.default_rng(sessions), n, sessions)
            ratios = [sharpe_ratio(path) for path in paths]
            psr = np.mean([probabilistic(s) >= 0.95 for s in ratios])
            student = np.mean([s.defined and s.value * sessions**0.5 >= t.isf(0.05, sessions - 1) for s in ratios])
            ours = np.array([edge_test(path) for path in paths])
            distance = kstest(ours, "uniform").statistic
            print(f"| {name} | {sessions} | {psr:.1%} | {student:.1%} | {np.mean(ours <= 0.05):.1%} | {distance:.3f} |", flush=True)


def trials(n: int, sessions: int = 130) -> None:
    """Size at 5 % when the best of N trials of pairwise correlation rho is judged, N and V as the ledger has them."""
    print("\n| N | rho | N = 1 | N, V |\n|---|---|---|---|")
    for count in (2, 5, 20, 100):
        for rho in (0.0, 0.5, 0.9):
            rng = np.random.default_rng(count)
            alone, deflated = [], []
            for _ in range(n):
                paths = rho**0.5 * normal(rng, 1, sessions) + (1 - rho) ** 0.5 * normal(rng, count, sessions)
                values = np.array([sharpe_ratio(path).value for path in paths])
                best = paths[int(values.argmax())]
                alone.append(edge_test(best))
                deflated.append(edge_test(best, count, float(values.var(ddof=1)) if count > 1 else 0.0))
            print(
                f"| {count} | {rho} | {np.mean(np.array(alone) <= 0.05):.1%} | {np.mean(np.array(deflated) <= 0.05):.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    shapes(number)
    trials(max(number // 10, 100))
