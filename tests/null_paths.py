"""Daily profit and loss without an edge, of the shapes that make tests of it lie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Paths = Callable[[np.random.Generator, int, int], np.ndarray]  # generator, paths, sessions -> [paths, sessions], mean zero


def normal(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
    return rng.standard_normal((n, sessions))


def heavy_tails(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
    return rng.standard_t(3, (n, sessions))


def idle(share: float) -> Paths:
    """Student's t with 4 degrees on the sessions that are not idle."""

    def draw(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
        x = rng.standard_t(4, (n, sessions))
        x[rng.random((n, sessions)) < share] = 0.0
        return x

    return draw


def skewed(sign: float) -> Paths:
    """Exponential: many small ones against rare large ones; ``sign`` +1 gains are the rare ones."""

    def draw(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
        return sign * (rng.exponential(1.0, (n, sessions)) - 1.0)

    return draw


def barriers(trades: float, win: float, loss: float) -> Paths:
    """Sums of a Poisson number of trades that make ``win`` or lose ``loss``."""

    def draw(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
        k = rng.poisson(trades, (n, sessions))
        wins = rng.binomial(k, loss / (win + loss))
        return np.asarray(win * wins - loss * (k - wins))

    return draw


def clustered(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
    """GARCH(1, 1) of persistence 0.95 with Student's t of 5 degrees."""
    e = rng.standard_t(5, (n, sessions)) / np.sqrt(5.0 / 3.0)
    x, variance = np.empty((n, sessions)), np.ones(n)
    for i in range(sessions):
        x[:, i] = np.sqrt(variance) * e[:, i]
        variance = 0.05 + 0.15 * x[:, i] ** 2 + 0.8 * variance
    return x


def autocorrelated(rho: float) -> Paths:
    def draw(rng: np.random.Generator, n: int, sessions: int) -> np.ndarray:
        e = rng.standard_normal((n, sessions + 50))
        for i in range(1, sessions + 50):
            e[:, i] += rho * e[:, i - 1]
        return e[:, 50:]

    return draw


SHAPES: dict[str, Paths] = {
    "normal": normal,
    "Student's t, 3 degrees": heavy_tails,
    "half the sessions idle": idle(0.5),
    "85 % of the sessions idle": idle(0.85),
    "rare large gains": skewed(1.0),
    "rare large losses": skewed(-1.0),
    "3 trades, win 2 lose 1": barriers(3.0, 2.0, 1.0),
    "half a trade, win 2 lose 1": barriers(0.5, 2.0, 1.0),
    "half a trade, win 1 lose 2": barriers(0.5, 1.0, 2.0),
    "clustered volatility": clustered,
    "autocorrelation 0.05": autocorrelated(0.05),
    "autocorrelation 0.1": autocorrelated(0.1),
}
