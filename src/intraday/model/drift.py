"""Whether the world still looks as it did where a model was trained: its features, its predictions, its calibration.

Rows of one session say the same thing many times over, and volatility comes in spells: a Kolmogorov-Smirnov test of rows calls
every day another world. So each row only adds to its session's histogram, and p-values come from exchanging blocks of sessions: how
often would sessions drawn at random from all of them be as different from the rest as the later ones are?

Features are many and some always look odd: those count whose population stability index is large *and* whose p-value stands after
Benjamini & Hochberg 1995 (false discovery rate), and only when they are more than a set share of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, F8, I4, I8
from intraday.model.metrics import Interval
from intraday.model.significance.bootstrap import block_length, bootstrap_error, stationary_indices

BINS = 20  # of equal share where the model was trained; the PSI joins them in pairs: deciles
DRAWS = 999
FLOOR = 1e-4  # the least share of a bin in the PSI, whose logarithm knows no zero


@dataclass(frozen=True, slots=True)
class DriftSpec:
    """What counts as drift. ``psi`` 0.2 is the customary "action required"."""

    psi: float = 0.2
    alpha: float = 0.05  # false discovery rate among features, and among the three predictions; level of the calibration's test
    share: float = 0.1  # of the features may move without consequence
    least_sessions: int = 10  # later ones, below which nothing is said
    block: int = 5  # sessions that are exchanged together


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature or prediction: ``psi`` over deciles and missing values, ``ks`` the largest distance of the two distribution
    functions at the training quantiles, ``p_value`` of that distance, and whether all that counts as moved."""

    name: str
    psi: float
    ks: float
    p_value: float
    moved: bool


@dataclass(frozen=True, slots=True)
class Decay:
    """Log-loss gained over the class prior, a mean over sessions: out of sample when trained (``before``), in later sessions
    (``now``), and the change with its interval at twice ``alpha``. ``decayed``: the whole interval is below zero."""

    sessions: int
    before: float
    now: float
    change: Interval
    decayed: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """All of it. ``reasons`` in words, also why there is no drift; ``features`` with the largest PSI first."""

    trained_sessions: int
    later_sessions: int
    features: tuple[Moved, ...]
    share_moved: float
    predictions: tuple[Moved, ...]
    calibration: Decay | None  # None: no later session has labels
    drifted: bool
    reasons: tuple[str, ...]


class Histograms:
    """Counts by session, column and bin; a session may come in pieces. Rows are forgotten once counted."""

    def __init__(self, edges: F8) -> None:
        self._edges = edges
        self._counts: dict[int, I8] = {}

    def add(self, session: int, x: F4 | F8) -> None:
        """Rows [n, F] of a session; NaN counts as missing."""
        n_columns, n_edges = self._edges.shape
        counts = self._counts.setdefault(session, np.zeros((n_columns, n_edges + 2), dtype=np.int64))
        for k in range(n_columns):
            column = x[:, k]
            known = column[~np.isnan(column)]
            counts[k, 0] += column.size - known.size
            counts[k, 1:] += np.bincount(np.searchsorted(self._edges[k], known, side="right"), minlength=n_edges + 1)

    def of(self, sessions: Sequence[int]) -> I8:
        """int64 [T, F, 1 + bins] of these sessions, the missing first; those without rows are zeros."""
        none = np.zeros((self._edges.shape[0], self._edges.shape[1] + 2), dtype=np.int64)
        return np.stack([self._counts.get(number, none) for number in sessions])


def bin_edges(x: F4 | F8, bins: int = BINS) -> F8:
    """Inner edges of bins of equal share, float64 [F, bins - 1], of a sample [n, F]; NaN are left out, an empty column is zeros."""
    out = np.zeros((x.shape[1], bins - 1))
    for k in range(x.shape[1]):
        known = x[:, k][~np.isnan(x[:, k])].astype(np.float64)
        if known.size:
            out[k] = np.quantile(known, np.arange(1, bins) / bins)
    return out


def moved(names: Sequence[str], trained: I8, later: I8, spec: DriftSpec, rng: np.random.Generator) -> tuple[Moved, ...]:
    """Compare counts of two spans, int64 [T, F, 1 + bins] each, sessions in order; in the order of ``names``."""
    psi, ks = _psi(trained.sum(axis=0), later.sum(axis=0)), _distance(trained.sum(axis=0), later.sum(axis=0))
    p = _exchanged(trained, later, ks, spec.block, rng)
    counts = (psi > spec.psi) & discoveries(p, spec.alpha)
    rows = zip(names, psi.tolist(), ks.tolist(), p.tolist(), counts.tolist(), strict=True)
    return tuple(Moved(*row) for row in rows)


def discoveries(p: F8, alpha: float) -> NDArray[np.bool_]:
    """Which of the p-values [F] stand at a false discovery rate of ``alpha``. Benjamini & Hochberg 1995."""
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= alpha * np.arange(1, p.size + 1) / p.size)
    out = np.zeros(p.size, dtype=np.bool_)
    out[order[: below[-1] + 1 if below.size else 0]] = True
    return out


def decay(
    before: F8, now: F8, spec: DriftSpec, rng: np.random.Generator
) -> Decay:  # fmt: skip
    """Compare gains a session (the prior's log-loss less the model's), float64 [T] and [m], in order of time.

    The interval is studentised from resampled blocks of sessions of both (Politis & Romano 1994).
    """
    change, parts = float(now.mean() - before.mean()), []
    error = 0.0
    for values, sign in ((before, -1.0), (now, 1.0)):
        block = block_length(values)
        sample = values[stationary_indices(values.size, block, DRAWS, rng)]
        parts.append((sign * (sample.mean(axis=1) - values.mean()), bootstrap_error(sample, block) ** 2))
        error += float(bootstrap_error(values, block)) ** 2
    t = (parts[0][0] + parts[1][0]) / np.sqrt(np.maximum(parts[0][1] + parts[1][1], 1e-30))
    low, high = np.quantile(t, [spec.alpha, 1.0 - spec.alpha])
    interval = Interval(change, change - float(high) * error**0.5, change - float(low) * error**0.5)
    return Decay(now.size, float(before.mean()), float(now.mean()), interval, interval.high < 0.0)


def judged(
    spans: tuple[int, int], features: Sequence[Moved], predictions: Sequence[Moved], calibration: Decay | None, spec: DriftSpec
) -> Drift:
    """What follows from it. ``spans``: sessions trained on and later ones that were compared."""
    share = sum(f.moved for f in features) / max(1, len(features))
    told = [
        (share > spec.share, _about_features(features, spec)),
        (any(p.moved for p in predictions), _about_predictions(predictions)),
        (calibration is not None and calibration.decayed, _about_calibration(calibration)),
    ]
    drifted = any(bad for bad, _ in told)
    reasons = tuple(words for bad, words in told if bad == drifted)
    by_psi = tuple(sorted(features, key=lambda f: -f.psi))
    return Drift(*spans, by_psi, share, tuple(predictions), calibration, drifted, reasons)


def _psi(trained: I8, later: I8) -> F8:
    """Population stability index of counts [F, 1 + bins], bins joined in pairs: sum of (a - b) ln(a / b) over their shares."""
    a, b = (np.maximum(_shares(_pairs(counts)), FLOOR) for counts in (trained, later))
    out: F8 = ((a - b) * np.log(a / b)).sum(axis=-1)
    return out


def _pairs(counts: I8) -> I8:
    inner = counts[..., 1:]
    return np.concatenate([counts[..., :1], inner.reshape(*inner.shape[:-1], -1, 2).sum(axis=-1)], axis=-1)


def _distance(trained: I8, later: I8) -> F8:
    """Kolmogorov-Smirnov distance on the grid of bins, missing values being the lowest, over the last axis."""
    out: F8 = np.abs(np.cumsum(_shares(trained), axis=-1) - np.cumsum(_shares(later), axis=-1)).max(axis=-1)
    return out


def _shares(counts: I8) -> F8:
    out: F8 = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return out


def _exchanged(trained: I8, later: I8, found: F8, block: int, rng: np.random.Generator) -> F8:
    """Chance of a distance of at least ``found`` [F] when as many blocks as the later ones have are drawn from all blocks."""
    old, new = _blocks(trained, block), _blocks(later, block)
    blocks, p = np.concatenate([old, new]), np.ones(found.size)
    whole = blocks.sum(axis=0)
    for _ in range(DRAWS):
        drawn = blocks[rng.permutation(len(blocks))[: len(new)]].sum(axis=0)
        p += _distance(whole - drawn, drawn) >= found - 1e-12
    out: F8 = p / (1 + DRAWS)
    return out


def _blocks(counts: I8, block: int) -> I8:
    """Sums over blocks of sessions, the last ones whole; what is left at the beginning joins the first."""
    first = counts.shape[0] % block if counts.shape[0] >= block else 0
    starts = np.arange(first, counts.shape[0], block)
    starts[0] = 0
    return np.add.reduceat(counts, starts, axis=0)


def _about_features(features: Sequence[Moved], spec: DriftSpec) -> str:
    worst = sorted((f for f in features if f.moved), key=lambda f: -f.psi)
    named = ", ".join(f"{f.name} (PSI {f.psi:.2f})" for f in worst[:5])
    more = f" and {len(worst) - 5} more" if len(worst) > 5 else ""
    which = f": {named}{more}" if worst else ""
    return f"{len(worst)} of {len(features)} features moved, {spec.share:.0%} may{which}"


def _about_predictions(predictions: Sequence[Moved]) -> str:
    return "predictions: " + ", ".join(f"{p.name} PSI {p.psi:.2f}{' (moved)' if p.moved else ''}" for p in predictions)


def _about_calibration(found: Decay | None) -> str:
    if found is None:
        return "calibration: no later session has labels yet"
    change = found.change
    return (
        f"calibration: log-loss gained over the prior {found.before:.4f} when trained, {found.now:.4f} in {found.sessions} later "
        f"sessions (change {change.mean:+.4f}, {change.low:+.4f} to {change.high:+.4f})"
    )


def gains(session: I4, label: NDArray[np.int8], p: F8, prior: F8) -> tuple[I4, F8]:
    """Sessions in order, and the mean over each one's rows of the prior's log-loss less that of ``p`` (float64 [n, 3])."""
    rows = np.arange(label.size)
    gain = np.log(np.maximum(p[rows, label + 1], 1e-15)) - np.log(np.maximum(prior[rows, label + 1], 1e-15))
    sessions, at = np.unique(session, return_inverse=True)
    return sessions.astype(np.int32), np.bincount(at, weights=gain) / np.bincount(at)
