"""Honest figures of out-of-sample predictions. The session is the unit of every interval: rows of one day are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intraday.core.kernels.flat import take_while_flat
from intraday.domain.arrays import F8, I4, I8, Mask

BPS = 1e4


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over sessions and its 95 % interval; NaN where there is nothing to average."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows whose probability of one class (-1, 0, 1) lay in ``low <= p < high``: how often it then happened."""

    label: int
    low: float
    high: float
    n: int
    mean_p: float
    frequency: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Out-of-sample figures over all folds. Returns in basis points of the notional; a trade is a signal taken while flat.

    ``skill_*`` are 1 - loss / loss of the walk-forward prior (class frequencies of each fold's training window): above zero is
    better than knowing nothing. Time of day and volatility alone give skill on markets without an edge, so no verdict rests on it.
    ``accuracy`` is the share of signals whose side's label came true, ``hit_rate`` the share of trades that gained gross.
    ``ic`` is the rank correlation, by session, of P(up) - P(down) with the long trade's return.
    """

    rows: int
    sessions: int
    signals: int
    trades: int
    log_loss: float
    log_loss_prior: float
    skill_log_loss: float
    log_loss_gain: Interval  # prior's loss less ours, by session
    brier: float
    brier_prior: float
    skill_brier: float
    accuracy: float
    hit_rate: float
    ic: Interval
    gross_bps_trade: float
    cost_bps_trade: float
    net_bps_trade: float
    gross_bps_session: Interval
    net_bps_session: Interval
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """Predictions on rows no model of their fold had seen, ordered by (ts, inst); every array [n] or [n, 3] (down, hold, up).

    ``raw`` scores, ``p`` calibrated on earlier folds, ``prior`` class frequencies of the fold's training window. ``side`` is the
    signal (+1, -1, 0), ``trade`` is True where it was taken: one position per instrument at a time. ``gross`` is the return of
    that side, ``cost`` the round trip, ``paid`` what of it the side pays (nothing where its trade is not entered), ``expected`` the
    net return expected of the better side. ``close`` is the decision bar's in rupees (NaN where unknown), ``close_ns`` the moment
    of the decision, ``end_ns`` when the end of the side's trade was known (``close_ns`` for hold), ``sigma`` the volatility its
    barriers are scaled with. ``shown`` is the signal of observe mode, ``shown_trade`` which of those would be taken.
    """

    ts_ns: I8
    t1_ns: I8
    session: I4
    inst: I4
    fold: I4
    label: NDArray[np.int8]
    ret_long: F8
    raw: F8
    p: F8
    prior: F8
    side: NDArray[np.int8]
    trade: Mask
    gross: F8
    cost: F8
    paid: F8
    expected: F8
    close_ns: I8
    close: F8
    end_ns: I8
    sigma: F8
    ret_short: F8
    eligible: Mask
    shown: NDArray[np.int8]
    shown_trade: Mask

    def __len__(self) -> int:
        """n, the number of rows."""
        return int(self.ts_ns.shape[0])

    @property
    def entered(self) -> Mask:
        """Trades that were, bool [n]: one that is never entered pays nothing of a cost that is there."""
        out: Mask = self.trade & ((self.paid > 0.0) | (self.cost <= 0.0))
        return out


def take_flat(side: NDArray[np.int8], inst: I4, close_ns: I8, end_ns: I8) -> Mask:
    """Which signals become trades when each instrument has one open at a time; rows in order of ``close_ns``.

    A signal is taken when the end of the last taken one (``end_ns``) was known by the moment it is decided (``close_ns``), which is
    what the live path knows as well.
    """
    taken = np.zeros(side.size, dtype=np.bool_)
    free_ns = np.full(int(inst.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    take_while_flat(side, inst, close_ns, end_ns, free_ns, taken)
    return taken


def session_sums(values: F8, session: I4, sessions: I4) -> F8:
    """Sum of ``values`` in each of ``sessions`` (ascending); 0 where there are none."""
    return np.bincount(np.searchsorted(sessions, session), weights=values, minlength=sessions.size).astype(np.float64)


def session_means(values: F8, session: I4, sessions: I4) -> F8:
    """Mean of ``values`` in each of ``sessions``; NaN where there are none."""
    n = session_sums(np.ones(values.size), session, sessions)
    out: F8 = np.divide(session_sums(values, session, sessions), n, out=np.full(sessions.size, np.nan), where=n > 0)
    return out


def bootstrap_mean(values: F8, rng: np.random.Generator, draws: int = 4000) -> Interval:
    """Mean of one value a session and its 95 % interval: the wider of resampled sessions (bootstrap-t) and Student's t at each end.

    With 15 to 30 sessions the percentile interval is too narrow (4-10 % beyond either end instead of 2.5), the studentised
    bootstrap too with heavy tails or idle sessions (4-6 %), Student's t with a skew (7-9 %). The wider of the two kept within
    0.4-2.3 % below zero in every case tried but a strong negative skew (4-5 %). Efron & Tibshirani 1993, section 12.5. NaN
    values are left out.
    """
    v = values[np.isfinite(values)]
    if v.size < 2:
        return Interval(float(v.mean()) if v.size else float("nan"), float("nan"), float("nan"))
    mean, error = float(v.mean()), float(v.std(ddof=1)) / v.size**0.5
    if error == 0.0:
        return Interval(mean, mean, mean)
    sample = v[rng.integers(0, v.size, size=(draws, v.size))]
    errors = sample.std(axis=1, ddof=1) / v.size**0.5
    usable = errors > 1e-12 * error
    t = (sample.mean(axis=1)[usable] - mean) / errors[usable]
    low, high = np.quantile(t, [0.025, 0.975])
    from scipy.stats import t as student_t  # loaded where it is used: most commands need none of it

    student = float(student_t.ppf(0.975, v.size - 1))
    return Interval(mean, mean - max(float(high), student) * error, mean + max(-float(low), student) * error)


def calibration_bins(p: F8, label: NDArray[np.int8], n_bins: int = 10) -> tuple[CalibrationBin, ...]:
    """Reliability by class in bins of equal width; empty bins are left out."""
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    out: list[CalibrationBin] = []
    for column, name in enumerate((-1, 0, 1)):
        q = p[:, column]
        hit = (label == name).astype(np.float64)
        where = np.clip(np.digitize(q, edges) - 1, 0, n_bins - 1)
        for b in np.unique(where).tolist():
            rows = where == b
            out.append(
                CalibrationBin(
                    name, float(edges[b]), float(edges[b + 1]), int(rows.sum()), float(q[rows].mean()), float(hit[rows].mean())
                ),
            )
    return tuple(out)


def log_losses(p: F8, label: NDArray[np.int8]) -> F8:
    """Minus log of the probability given to what happened, [n] nats."""
    out: F8 = -np.log(np.maximum(p[np.arange(label.size), label.astype(np.int64) + 1], 1e-15))
    return out


def brier_scores(p: F8, label: NDArray[np.int8]) -> F8:
    """Squared distance of the forecast from what happened, summed over the classes, [n]."""
    hit = np.zeros_like(p)
    hit[np.arange(label.size), label.astype(np.int64) + 1] = 1.0
    out: F8 = np.square(p - hit).sum(axis=1)
    return out


def direction_ic(p: F8, ret_long: F8, session: I4, sessions: I4) -> F8:
    """Spearman correlation of P(up) - P(down) with the long trade's return in each session; NaN under 3 rows or without spread."""
    from scipy.stats import rankdata  # loaded where it is used: most commands need none of it

    score = p[:, 2] - p[:, 0]
    out = np.full(sessions.size, np.nan)
    order = np.argsort(session, kind="stable")
    cuts = np.searchsorted(session[order], sessions), np.searchsorted(session[order], sessions, side="right")
    for k, (begin, end) in enumerate(zip(*cuts, strict=True)):
        rows = order[begin:end]
        if rows.size < 3:
            continue
        a, b = rankdata(score[rows]), rankdata(ret_long[rows])
        spread = a.std() * b.std()
        if spread > 0:
            out[k] = float(((a - a.mean()) * (b - b.mean())).mean() / spread)
    return out


def measure(oos: OutOfSample, rng: np.random.Generator) -> Metrics:
    """All figures of ``Metrics`` from out-of-sample rows (at least one)."""
    assert len(oos) > 0
    sessions = np.unique(oos.session)
    loss, loss_prior = log_losses(oos.p, oos.label), log_losses(oos.prior, oos.label)
    brier, brier_prior = brier_scores(oos.p, oos.label), brier_scores(oos.prior, oos.label)
    signal, trade = oos.side != 0, oos.trade
    gross, cost = oos.gross[trade] * BPS, oos.paid[trade] * BPS

    def by_session(values: F8) -> Interval:
        return bootstrap_mean(session_sums(values, oos.session[trade], sessions), rng)

    return Metrics(
        rows=len(oos),
        sessions=int(sessions.size),
        signals=int(signal.sum()),
        trades=int(trade.sum()),
        log_loss=float(loss.mean()),
        log_loss_prior=float(loss_prior.mean()),
        skill_log_loss=_skill(loss, loss_prior),
        log_loss_gain=bootstrap_mean(session_means(loss_prior - loss, oos.session, sessions), rng),
        brier=float(brier.mean()),
        brier_prior=float(brier_prior.mean()),
        skill_brier=_skill(brier, brier_prior),
        accuracy=_mean((oos.label == oos.side)[signal]),
        hit_rate=_mean(gross > 0),
        ic=bootstrap_mean(direction_ic(oos.p, oos.ret_long, oos.session, sessions), rng),
        gross_bps_trade=_mean(gross),
        cost_bps_trade=_mean(cost),
        net_bps_trade=_mean(gross - cost),
        gross_bps_session=by_session(gross),
        net_bps_session=by_session(gross - cost),
        calibration=calibration_bins(oos.p, oos.label),
    )


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.astype(np.float64).mean()) if values.size else float("nan")


def _skill(loss: F8, reference: F8) -> float:
    base = float(reference.mean())
    return 1.0 - float(loss.mean()) / base if base > 0 else float("nan")
