"""Do forecasts come true as often as they say, and do signals earn what they promise?

Figures of out-of-sample rows. The session is the unit: every interval (95 %) comes from drawing whole sessions with replacement,
since rows of a day are not independent. Skills are 1 - loss / loss of the walk-forward prior, the class frequencies of each fold's
training window.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import CLASSES
from intraday.domain.arrays import F8
from intraday.model.blocks import NAN, NOTHING, Blocks, ratio
from intraday.model.calibration_error import CurveRow, calibration_error, equal_mass
from intraday.model.metrics import BPS, Interval, OutOfSample, brier_scores, log_losses
from intraday.model.recalibration import class_line, joint_slope

BINS, SIGNAL_BINS, DRAWS = 10, 5, 1_000


@dataclass(frozen=True, slots=True)
class ClassReliability:
    """One class (-1 down, 0 hold, 1 up) against the rest. ``slope`` 1 and ``intercept`` 0 are perfect (``recalibration``);

    ``ece`` is the debiased calibration error, ``ece_plain`` the usual one, ``mce`` the worst bin's (``calibration_error``).
    """

    label: int
    frequency: float  # how often it happened
    mean_p: float
    brier: float
    brier_skill: Interval
    log_loss: float
    slope: Interval
    intercept: Interval
    ece: Interval
    ece_plain: float
    mce: Interval
    curve: tuple[CurveRow, ...]


@dataclass(frozen=True, slots=True)
class ExpectedRow:
    """Trades whose expected net return averaged ``expected_bps``, and what they made net, with a 95 % interval."""

    n: int
    expected_bps: float
    realised_bps: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SignalReliability:
    """Signals that were taken: expected against realised net return, in basis points a trade.

    ``gap_bps`` is realised less expected; ``slope`` of the straight line of realised on expected: 1 is perfect, 0 says that a
    higher promise was worth nothing. NaN where there are none, or all promise the same.
    """

    trades: int
    expected_bps: float
    realised_bps: float
    gap_bps: Interval
    slope: Interval
    curve: tuple[ExpectedRow, ...]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of all rows. ``brier`` is summed over the classes; ``slope`` is that of the three classes together; ``ece`` the mean of the
    classes' debiased errors."""

    rows: int
    sessions: int
    log_loss: float
    log_loss_skill: Interval
    brier: float
    brier_skill: Interval
    slope: Interval
    ece: float
    classes: tuple[ClassReliability, ...]  # down, hold, up
    signals: SignalReliability

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN stays NaN, which the writer has to know about."""
        return asdict(self)


def reliability(oos: OutOfSample, rng: np.random.Generator, draws: int = DRAWS) -> Reliability:
    """All figures of out-of-sample rows (at least one). Takes ``draws`` times the number of sessions integers from ``rng``."""
    assert len(oos) > 0
    blocks = Blocks.of(oos.session, draws, rng)
    losses, priors = log_losses(oos.p, oos.label), log_losses(oos.prior, oos.label)
    briers, prior_briers = brier_scores(oos.p, oos.label), brier_scores(oos.prior, oos.label)
    classes = tuple(_of_class(oos, column, blocks) for column in range(len(CLASSES)))
    return Reliability(
        rows=len(oos),
        sessions=blocks.size,
        log_loss=float(losses.mean()),
        log_loss_skill=_skill(losses, priors, blocks),
        brier=float(briers.mean()),
        brier_skill=_skill(briers, prior_briers, blocks),
        slope=joint_slope(oos.p, oos.label, blocks),
        ece=float(np.mean([one.ece.mean for one in classes])),
        classes=classes,
        signals=signal_reliability(oos, blocks),
    )


def signal_reliability(oos: OutOfSample, blocks: Blocks) -> SignalReliability:
    """Of the trades in ``oos`` that were entered; ``blocks`` are those of its rows."""
    at = np.flatnonzero(oos.entered)
    if at.size == 0:
        return SignalReliability(0, NAN, NAN, NOTHING, NOTHING, ())
    taken = Blocks(blocks.at[at], blocks.counts)
    x, y = oos.expected[at] * BPS, (oos.gross - oos.paid)[at] * BPS
    n, sx, sy, sxx, sxy = taken.sums(np.column_stack([np.ones(at.size), x, y, x * x, x * y])).T
    spread = ratio(sxx, n) - ratio(sx, n) ** 2
    spread[spread < 1e-9 * float(np.square(x).mean())] = 0.0  # what rounding leaves of equal promises
    return SignalReliability(
        trades=int(at.size),
        expected_bps=float(x.mean()),
        realised_bps=float(y.mean()),
        gap_bps=taken.interval(ratio(sy - sx, n)),
        slope=taken.interval(ratio(ratio(sxy, n) - ratio(sx, n) * ratio(sy, n), spread)),
        curve=_expected_curve(x, y, taken),
    )


def _of_class(oos: OutOfSample, column: int, blocks: Blocks) -> ClassReliability:
    p, prior = np.ascontiguousarray(oos.p[:, column]), oos.prior[:, column]
    hit = (oos.label == CLASSES[column]).astype(np.float64)
    line, error = class_line(p, hit, blocks), calibration_error(p, hit, blocks, BINS)
    return ClassReliability(
        label=CLASSES[column],
        frequency=float(hit.mean()),
        mean_p=float(p.mean()),
        brier=float(np.square(p - hit).mean()),
        brier_skill=_skill(np.square(p - hit), np.square(prior - hit), blocks),
        log_loss=float(-np.log(np.maximum(np.where(hit > 0, p, 1.0 - p), 1e-15)).mean()),
        slope=line.slope,
        intercept=line.intercept,
        ece=error.ece,
        ece_plain=error.plain,
        mce=error.largest,
        curve=error.curve,
    )


def _skill(loss: F8, reference: F8, blocks: Blocks) -> Interval:
    ours, theirs = blocks.sums(np.column_stack([loss, reference])).T
    return blocks.interval(1.0 - ratio(ours, theirs))


def _expected_curve(x: F8, y: F8, taken: Blocks) -> tuple[ExpectedRow, ...]:
    bins, count = equal_mass(x, SIGNAL_BINS)
    n, said, came = (taken.binned(values, bins, count) for values in (np.ones(x.size), x, y))
    mean = ratio(taken.counts @ came, taken.counts @ n)
    rows: NDArray[np.float64] = n.sum(axis=0)
    found = [taken.interval(mean[:, b]) for b in range(count)]
    return tuple(
        ExpectedRow(int(rows[b]), float(said[:, b].sum() / rows[b]), found[b].mean, found[b].low, found[b].high)
        for b in range(count)
    )
