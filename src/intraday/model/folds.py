"""The sequential pass over the folds: calibrate, choose the threshold, decide. It takes raw scores, whoever made them.

The scores of a fold's rows come from a model fitted on its fit window (``boosting``, or a baseline). What turns them into
probabilities and sides is found here, on rows whose label was known before the fold's score window begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from intraday.core.decision import DecisionRule
from intraday.domain.arrays import F8
from intraday.model.calibration import METHODS, USUAL, Calibrator, Method, fit_calibrator, log_prior_of
from intraday.model.dataset import Dataset
from intraday.model.metrics import BPS, OutOfSample, log_losses
from intraday.model.splits import Fold
from intraday.model.thresholds import choose_threshold, payoffs, promising, shows_enough, sides_and_trades


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model of one fold says: raw scores float64 of the fold's early-stop rows [m, 3] and of its score rows [n, 3]."""

    fold: Fold
    rounds: int
    stop: F8
    score: F8


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """What happened in one fold; sessions as (first, last) session numbers."""

    fit_sessions: tuple[int, int]
    stop_sessions: tuple[int, int]
    score_sessions: tuple[int, int]
    fit_rows: int
    stop_rows: int
    score_rows: int
    purged: int
    rounds: int
    calibration: str  # the method, chosen on the past
    temperature: float
    threshold: float
    log_loss: float
    log_loss_prior: float
    trades: int
    net_bps_trade: float


def decide_fold(
    data: Dataset, scored: Sequence[Scored], parts: Sequence[OutOfSample], least: float, methods: Sequence[Method] = METHODS
) -> tuple[OutOfSample, FoldFigures]:
    """What the last of ``scored`` says of its rows, calibrated and decided by the past; ``parts``: the earlier ones.

    ``least``: signals a session that have to show (``thresholds``); ``methods`` of calibration to choose among. ``data`` may be
    without features (``outcomes``).
    """
    now, fold = scored[-1], scored[-1].fold
    training = data.rows(np.concatenate([fold.fit, fold.stop]))
    stop, score = data.rows(fold.stop), data.rows(fold.score)
    seen, past = _known_before(data, [s.fold for s in scored[:-1]], parts, int(score.ts_ns.min()))
    log_prior = log_prior_of(training.label)
    if past is None:  # the first fold has no out-of-sample rows behind it: its early-stop rows stand in
        calibrator = fit_calibrator(
            now.stop - np.asarray(log_prior), np.asarray(log_prior), stop.label, stop.session, log_prior, simplest(methods)
        )
    else:
        calibrator = calibrator_of(past, log_prior, methods)
    stop_p = calibrator.apply(now.stop)
    if past is None:
        seen, seen_p = stop, stop_p
    else:
        seen_p = calibrator.apply_margin(margin_of(past))
    rule = threshold_of(payoffs(training), seen, seen_p, stop, stop_p, least)
    part = out_of_sample(score, len(parts), now.score, calibrator, rule)
    return part, _figures(now, calibrator, rule, part)


def outcomes(data: Dataset) -> Dataset:
    """The rows without their features, which are large and decide nothing here."""
    return replace(data, x=np.empty((len(data), 0), dtype=np.float32))


def threshold_of(rule: DecisionRule, seen: Dataset, seen_p: F8, own: Dataset, own_p: F8, least: float) -> DecisionRule:
    """``rule`` with the best threshold on what was ``seen``, capped so that the model's ``own`` forecasts show enough signals."""
    best = choose_threshold(rule, seen_p, seen, least)
    return promising(rule, min(best, shows_enough(rule, own_p, own, least)))


def simplest(methods: Sequence[Method]) -> tuple[Method]:
    """What rows that a model was stopped by are enough for: temperatures where ``methods`` has them, else nothing.

    Fewer rounds would have been worse on them, so a richer map would learn their luck.
    """
    return (next((method for method in USUAL if method in methods), Method.IDENTITY),)


def calibrator_of(past: OutOfSample, log_prior: tuple[float, float, float], methods: Sequence[Method]) -> Calibrator:
    """Fitted on out-of-sample rows of the past."""
    return fit_calibrator(margin_of(past), np.log(past.prior), past.label, past.session, log_prior, methods)


def margin_of(past: OutOfSample) -> F8:
    """Raw scores less the log prior of the window their model was trained on: what a model says beyond the class frequencies."""
    out: F8 = past.raw - np.log(past.prior)
    return out


def out_of_sample(score: Dataset, number: int, raw: F8, calibrator: Calibrator, rule: DecisionRule) -> OutOfSample:
    """The rows ``score`` of fold ``number``, with what calibrator and rule make of their raw scores."""
    p = calibrator.apply(raw)
    said, shown = sides_and_trades(rule, p, score), sides_and_trades(rule.watched(), p, score)
    return OutOfSample(
        ts_ns=score.ts_ns,
        t1_ns=score.t1_ns,
        session=score.session,
        inst=score.inst,
        fold=np.full(len(score), number, dtype=np.int32),
        label=score.label,
        ret_long=score.ret_long,
        raw=raw,
        p=p,
        prior=np.tile(np.exp(calibrator.log_prior), (len(score), 1)),
        side=said.side,
        trade=said.trade,
        gross=said.gross,
        cost=score.cost,
        paid=said.paid,
        expected=said.expected,
        close_ns=score.close_ns,
        close=score.close,
        end_ns=said.end_ns,
        sigma=score.sigma,
        ret_short=score.ret_short,
        eligible=score.eligible,
        shown=shown.side,
        shown_trade=shown.trade,
    )


def together(parts: Sequence[OutOfSample]) -> OutOfSample:
    """The rows of all parts, one after the other."""
    return OutOfSample(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(OutOfSample)))


def _known_before(
    data: Dataset, folds: Sequence[Fold], parts: Sequence[OutOfSample], before_ns: int
) -> tuple[Dataset, OutOfSample | None]:
    """Earlier folds' rows whose label was known before ``before_ns``, as data and as predictions; None when there are none."""
    if not parts:
        return data.rows(np.empty(0, dtype=np.int64)), None
    past = together(parts)
    known = past.t1_ns < before_ns
    rows = np.concatenate([fold.score for fold in folds])[known]
    return data.rows(rows), OutOfSample(*(getattr(past, f.name)[known] for f in fields(past)))


def _figures(now: Scored, calibrator: Calibrator, rule: DecisionRule, part: OutOfSample) -> FoldFigures:
    net, fold = (part.gross - part.paid)[part.trade] * BPS, now.fold
    return FoldFigures(
        fit_sessions=fold.fit_sessions,
        stop_sessions=fold.stop_sessions,
        score_sessions=fold.score_sessions,
        fit_rows=fold.sizes[0],
        stop_rows=fold.sizes[1],
        score_rows=fold.sizes[2],
        purged=fold.purged,
        rounds=now.rounds,
        calibration=str(calibrator.method),
        temperature=calibrator.temperature,
        threshold=rule.threshold,
        log_loss=float(log_losses(part.p, part.label).mean()),
        log_loss_prior=float(log_losses(part.prior, part.label).mean()),
        trades=int(part.trade.sum()),
        net_bps_trade=float(net.mean()) if net.size else float("nan"),
    )
