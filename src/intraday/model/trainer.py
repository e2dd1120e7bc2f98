"""Walk-forward training of a LightGBM classifier of triple-barrier labels.

In every fold: boost on the fit window, stop by the early-stop window, calibrate and choose the threshold on rows that lie before
the score window, then score rows nobody has seen. Nothing that is reported was looked at before. The final model is fitted on all
sessions with the folds' median number of rounds; its calibrator and threshold come from all out-of-sample predictions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.decision import DecisionRule
from intraday.core.weights import effective_labels
from intraday.domain.arrays import F4, F8
from intraday.domain.errors import NotEnoughData
from intraday.domain.ports import Progress
from intraday.model.calibration import Calibrator, fit_temperature, log_prior_of
from intraday.model.dataset import Dataset
from intraday.model.metrics import BPS, Metrics, OutOfSample, log_losses, measure
from intraday.model.splits import Fold, SplitSpec, walk_forward
from intraday.model.thresholds import choose_threshold, payoffs, shows_enough, sides_and_trades
from intraday.model.weighting import Weighting, row_weights, uniqueness

if TYPE_CHECKING:
    import lightgbm as lgb

EDGE, NO_EDGE, TOO_LITTLE = "edge", "no tradable edge", "not enough data"


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """How to train. Same data, spec, library versions and machine: the same model, byte for byte."""

    split: SplitSpec = field(default_factory=SplitSpec)
    num_boost_round: int = 400
    early_stopping_rounds: int = 20
    learning_rate: float = 0.1
    num_leaves: int = 15
    min_data_in_leaf: int = 200
    feature_fraction: float = 0.7
    bagging_fraction: float = 0.7
    lambda_l2: float = 10.0
    weights: Weighting = Weighting.UNIQUENESS
    time_decay: float = 1.0  # weight of the oldest row learned from to the newest one's (core.weights.time_decay)
    seed: int = 7
    threads: int = 2
    min_signals_per_session: float = 10.0  # over all instruments; the threshold is lowered until at least this many show
    min_verdict_sessions: int = 15  # out-of-sample sessions below which no verdict on the edge is given
    min_verdict_trades: int = 60

    def parameters(self) -> dict[str, Any]:
        """LightGBM's parameters."""
        return {
            "objective": "multiclass",
            "num_class": 3,
            "metric": "multi_logloss",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


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
    temperature: float
    threshold: float
    log_loss: float
    log_loss_prior: float
    trades: int
    net_bps_trade: float


@dataclass(frozen=True, slots=True)
class Importance:
    """A feature's share of the final model's gain, and how often it was split on."""

    name: str
    gain: float
    splits: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model and everything that is known about it."""

    model_text: str
    feature_names: tuple[str, ...]
    spec: TrainSpec
    rounds: int
    sessions: tuple[int, int]  # first and last session number trained on
    rows: int
    label_counts: tuple[int, int, int]  # down, hold, up
    effective_rows: float  # sum of uniqueness: about how many labels do not overlap on their instrument
    folds: tuple[FoldFigures, ...]
    oos: OutOfSample
    calibrator: Calibrator
    rule: DecisionRule
    cost: float  # round trip of the last session, as a return
    metrics: Metrics
    verdict: str
    reason: str  # why that verdict, in one sentence with its figures
    importance: tuple[Importance, ...]  # largest gain first


class LGBMTrainer:
    """Trains by ``spec``; holds no state between calls."""

    def __init__(self, spec: TrainSpec) -> None:
        self._spec = spec

    def train(self, dataset: Dataset, feature_names: tuple[str, ...], progress: Progress | None = None) -> Trained:
        """Walk forward, then fit on everything.

        ``feature_names`` in the order of ``dataset.x``'s columns. Raises NotEnoughData when the sessions do not allow one fold.
        Peak memory is about twice ``dataset.x`` plus LightGBM's bins.
        """
        assert dataset.x.shape[1] == len(feature_names), (dataset.x.shape, len(feature_names))
        assert np.all(np.diff(dataset.ts_ns) >= 0), "rows must be in order of time"
        report = progress or _silent
        if len(dataset) == 0:
            raise NotEnoughData(
                "no row has both features and a label: import more history, shorten the horizon, or set model.anchor to a day"
            )
        folds = walk_forward(dataset.ts_ns, dataset.t1_ns, dataset.session, self._spec.split)
        unique = uniqueness(dataset)
        parts: list[OutOfSample] = []
        figures: list[FoldFigures] = []
        for k in range(len(folds)):
            report("walk-forward training", k, len(folds) + 1)
            part, figure = self._run_fold(dataset, unique, feature_names, folds[: k + 1], parts)
            parts.append(part)
            figures.append(figure)
        report("walk-forward training", len(folds), len(folds) + 1)
        trained = self._finish(dataset, unique, feature_names, _concatenate(parts), tuple(figures))
        report("walk-forward training", len(folds) + 1, len(folds) + 1)
        return trained

    def _run_fold(
        self, data: Dataset, unique: F8, names: tuple[str, ...], folds: list[Fold], parts: list[OutOfSample]
    ) -> tuple[OutOfSample, FoldFigures]:
        """Fit, calibrate and choose the threshold on the past; score the last of ``folds``. ``parts`` are the earlier ones'."""
        fold = folds[-1]
        booster = self._boost(data, unique, names, fold)
        training = data.rows(np.concatenate([fold.fit, fold.stop]))
        score = data.rows(fold.score)
        seen, past = _known_before(data, folds[:-1], parts, int(score.ts_ns.min()))
        calibrator = Calibrator(_temperature(past), log_prior_of(training.label))
        stop = data.rows(fold.stop)
        stop_p = calibrator.apply(raw_scores(booster, stop.x))
        if past is None:  # the first fold has no out-of-sample rows behind it: its early-stop rows stand in
            seen, seen_p = stop, stop_p
        else:
            seen_p = calibrator.apply_margin(_margin(past))
        rule = self._rule(payoffs(training), seen, seen_p, stop, stop_p)
        part = _out_of_sample(score, len(parts), raw_scores(booster, score.x), calibrator, rule)
        return part, _figures(fold, booster.num_trees() // 3, calibrator, rule, part)

    def _rule(self, rule: DecisionRule, seen: Dataset, seen_p: F8, own: Dataset, own_p: F8) -> DecisionRule:
        """The best threshold on what was ``seen``, capped so that the model's ``own`` forecasts show enough signals."""
        least = self._spec.min_signals_per_session
        best = choose_threshold(rule, seen_p, seen, least)
        return replace(rule, threshold=min(best, shows_enough(rule, own_p, own, least)))

    def _boost(self, data: Dataset, unique: F8, names: tuple[str, ...], fold: Fold) -> lgb.Booster:
        """Fit with early stopping; bins are made from the fit rows alone."""
        import lightgbm as lgb  # loaded where it is used: most commands need none of it

        fit = self._lgb_rows(data, unique, names, fold.fit)
        stop = self._lgb_rows(data, unique, names, fold.stop, fit)
        booster = lgb.train(
            self._spec.parameters(),
            fit,
            num_boost_round=self._spec.num_boost_round,
            valid_sets=[stop],
            callbacks=[lgb.early_stopping(self._spec.early_stopping_rounds, verbose=False)],
        )
        return lgb.Booster(model_str=booster.model_to_string(num_iteration=max(booster.best_iteration, 1)))

    def _lgb_rows(
        self, data: Dataset, unique: F8, names: tuple[str, ...], at: NDArray[Any], like: lgb.Dataset | None = None
    ) -> lgb.Dataset:
        import lightgbm as lgb  # loaded where it is used: most commands need none of it

        weights = row_weights(self._spec.weights, self._spec.time_decay, data, unique, at)
        return lgb.Dataset(
            data.x[at], label=data.label[at] + 1, weight=weights, reference=like, feature_name=list(names), params={"verbosity": -1}
        )

    def _finish(
        self, data: Dataset, unique: F8, names: tuple[str, ...], oos: OutOfSample, figures: tuple[FoldFigures, ...]
    ) -> Trained:
        """Fit the final model on all sessions and sum up."""
        import lightgbm as lgb  # loaded where it is used: most commands need none of it

        spec = self._spec
        rounds = max(1, int(np.median([f.rounds for f in figures])))
        booster = lgb.train(spec.parameters(), self._lgb_rows(data, unique, names, np.arange(len(data))), num_boost_round=rounds)
        calibrator = Calibrator(_temperature(oos), log_prior_of(data.label))
        rule = payoffs(data)
        scored = data.rows(np.isin(data.session, oos.session))
        assert len(scored) == len(oos), "out-of-sample rows are whole sessions"
        rule = replace(
            rule, threshold=choose_threshold(rule, calibrator.apply_margin(_margin(oos)), scored, spec.min_signals_per_session)
        )
        metrics = measure(oos, np.random.default_rng(spec.seed))
        verdict, reason = judge(metrics, spec)
        counts = np.bincount(data.label.astype(np.int64) + 1, minlength=3)
        return Trained(
            model_text=booster.model_to_string(num_iteration=rounds),
            feature_names=names,
            spec=spec,
            rounds=rounds,
            sessions=(int(data.session.min()), int(data.session.max())),
            rows=len(data),
            label_counts=(int(counts[0]), int(counts[1]), int(counts[2])),
            effective_rows=effective_labels(unique),
            folds=figures,
            oos=oos,
            calibrator=calibrator,
            rule=rule,
            cost=float(data.cost[-1]),
            metrics=metrics,
            verdict=verdict,
            reason=reason,
            importance=_importance(booster),
        )


def judge(metrics: Metrics, spec: TrainSpec) -> tuple[str, str]:
    """The verdict and the reason for it.

    "edge" needs the lower end of the 95 % interval of net return a session above zero. One model is judged once here; if many
    were tried and the best kept, this interval is too kind (a trials ledger is a later step).
    """
    m, net = metrics, metrics.net_bps_session
    figures = (
        f"net {net.mean:.1f} bps a session (95 % interval {net.low:.1f} to {net.high:.1f}) over {m.sessions} out-of-sample "
        f"sessions and {m.trades} trades"
    )
    if m.sessions < spec.min_verdict_sessions or m.trades < spec.min_verdict_trades:
        need = f"a verdict needs {spec.min_verdict_sessions} sessions and {spec.min_verdict_trades} trades"
        return TOO_LITTLE, f"{figures}; {need}"
    if net.low > 0.0:
        return EDGE, figures
    return NO_EDGE, figures


def raw_scores(booster: lgb.Booster, x: F4) -> F8:
    """Raw scores [n, 3] on one thread: the same bits for a row alone and in a batch."""
    if x.shape[0] == 0:
        return np.empty((0, 3), dtype=np.float64)
    out: F8 = np.asarray(booster.predict(np.ascontiguousarray(x), raw_score=True, num_threads=1), dtype=np.float64)
    return out


def _known_before(data: Dataset, folds: list[Fold], parts: list[OutOfSample], before_ns: int) -> tuple[Dataset, OutOfSample | None]:
    """Earlier folds' rows whose label was known before ``before_ns``, as data and as predictions; None when there are none."""
    if not parts:
        return data.rows(np.empty(0, dtype=np.int64)), None
    past = _concatenate(parts)
    known = past.t1_ns < before_ns
    rows = np.concatenate([fold.score for fold in folds])[known]
    return data.rows(rows), OutOfSample(*(getattr(past, f.name)[known] for f in fields(past)))


def _temperature(past: OutOfSample | None) -> float:
    if past is None:
        return 1.0
    return fit_temperature(_margin(past), np.log(past.prior), past.label)


def _margin(past: OutOfSample) -> F8:
    """Raw scores less the log prior of the window their model was trained on: what a model says beyond the class frequencies."""
    out: F8 = past.raw - np.log(past.prior)
    return out


def _out_of_sample(score: Dataset, number: int, raw: F8, calibrator: Calibrator, rule: DecisionRule) -> OutOfSample:
    p = calibrator.apply(raw)
    said = sides_and_trades(rule, p, score)
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
        expected=said.expected,
        close_ns=score.close_ns,
        close=score.close,
        end_ns=said.end_ns,
        sigma=score.sigma,
        ret_short=score.ret_short,
        eligible=score.eligible,
    )


def _concatenate(parts: list[OutOfSample]) -> OutOfSample:
    return OutOfSample(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(OutOfSample)))


def _figures(fold: Fold, rounds: int, calibrator: Calibrator, rule: DecisionRule, part: OutOfSample) -> FoldFigures:
    net = (part.gross - part.cost)[part.trade] * BPS
    return FoldFigures(
        fit_sessions=fold.fit_sessions,
        stop_sessions=fold.stop_sessions,
        score_sessions=fold.score_sessions,
        fit_rows=int(fold.fit.size),
        stop_rows=int(fold.stop.size),
        score_rows=int(fold.score.size),
        purged=fold.purged,
        rounds=rounds,
        temperature=calibrator.temperature,
        threshold=rule.threshold,
        log_loss=float(log_losses(part.p, part.label).mean()),
        log_loss_prior=float(log_losses(part.prior, part.label).mean()),
        trades=int(part.trade.sum()),
        net_bps_trade=float(net.mean()) if net.size else float("nan"),
    )


def _importance(booster: lgb.Booster) -> tuple[Importance, ...]:
    gain = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
    splits = booster.feature_importance("split")
    share = gain / gain.sum() if gain.sum() > 0 else gain
    rows = [Importance(n, float(g), int(s)) for n, g, s in zip(booster.feature_name(), share, splits, strict=True)]
    return tuple(sorted(rows, key=lambda r: (-r.gain, r.name)))


def _silent(what: str, done: int, total: int) -> None:
    """No progress wanted."""
