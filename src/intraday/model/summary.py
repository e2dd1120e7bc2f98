"""Everything that is known about a trained model, put together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from intraday.core.decision import DecisionRule
from intraday.core.weights import effective_labels
from intraday.domain.arrays import F8
from intraday.domain.learning import Trial, TrialKind
from intraday.model.baselines import BaselineResult
from intraday.model.boosting import FitResult
from intraday.model.calibration import Calibrator, log_prior_of
from intraday.model.cpcv import PathFigures
from intraday.model.dataset import Dataset
from intraday.model.explaining import explained_of
from intraday.model.folds import calibrator_of, margin_of
from intraday.model.metrics import OutOfSample, measure
from intraday.model.path import DailyPath, path_of, shown_path_of
from intraday.model.reliability import reliability
from intraday.model.significance.effective import effective_trades
from intraday.model.significance.sharpe import sharpe_ratio
from intraday.model.spec import TrainSpec
from intraday.model.thresholds import choose_threshold, payoffs, promising
from intraday.model.trained import Importance, Trained
from intraday.model.verdict import Verdict, judge
from intraday.model.walk import Task, Walk


def summary(
    spec: TrainSpec,
    task: Task,
    walk: Walk,
    final: FitResult,
    baselines: tuple[BaselineResult, ...],
    crossed: PathFigures | None,
    ledger: Sequence[Trial],
    about: Mapping[str, str],
) -> Trained:
    """Calibrator and threshold of the final model come from all out-of-sample rows; the verdict counts the trials in ``ledger``."""
    data, oos = task.data, walk.oos
    calibrator = calibrator_of(oos, log_prior_of(data.label), spec.calibration)
    own = _configuration(spec, task.names, about, path_of(oos))
    down, hold, up = np.bincount(data.label.astype(np.int64) + 1, minlength=3).tolist()
    return Trained(
        model_text=final.text,
        feature_names=task.names,
        spec=spec,
        rounds=final.rounds,
        parameters=json.dumps(spec.parameters(walk.tuned[-1]), sort_keys=True),
        sessions=(int(data.session.min()), int(data.session.max())),
        rows=len(data),
        label_counts=(down, hold, up),
        effective_rows=effective_labels(task.unique),
        folds=walk.figures,
        oos=oos,
        calibrator=calibrator,
        rule=_rule(data, oos, calibrator, spec.min_signals_per_session),
        cost=float(data.cost[-1]),
        metrics=measure(oos, np.random.default_rng(spec.seed)),
        reliability=reliability(oos, np.random.default_rng(spec.seed)),
        baselines=baselines,
        judged=_judged(oos, [*(t for t in ledger if t.id != own.id), own], spec),
        importance=_importance(task.names, final),
        gain_by_fold=np.stack([_shares(r.gain) for r in walk.results]),
        trials=(*walk.trials, own),
        paths=crossed,
        explained=explained_of(task.fits.x, walk.explained, walk.results, task.names),
    )


def _rule(data: Dataset, oos: OutOfSample, calibrator: Calibrator, least: float) -> DecisionRule:
    rule, scored = payoffs(data), data.rows(np.isin(data.session, oos.session))
    assert len(scored) == len(oos), "out-of-sample rows are whole sessions"
    return promising(rule, choose_threshold(rule, calibrator.apply_margin(margin_of(oos)), scored, least))


def _judged(oos: OutOfSample, ledger: Sequence[Trial], spec: TrainSpec) -> Verdict:
    taken = oos.trade
    independent = effective_trades((oos.gross - oos.paid)[taken], oos.session[taken])
    return judge(path_of(oos), ledger, spec.verdict, independent, shown_path_of(oos))


def _configuration(spec: TrainSpec, names: tuple[str, ...], about: Mapping[str, str], path: DailyPath) -> Trial:
    """This training as a row of the ledger; whoever stores it fills in scope, run, model and time."""
    said = spec.record("explained_rows", "baselines", "cpcv", "verdict")
    parameters = json.dumps({"spec": said, "features": names, **about}, sort_keys=True)
    return Trial(
        id=hashlib.sha256(parameters.encode()).hexdigest()[:16],
        scope="",
        kind=TrialKind.CONFIGURATION,
        created_ns=0,
        run_id="",
        model_id="",
        parameters=parameters,
        value=sharpe_ratio(path.net).value,
        state="complete",
        session=path.session,
        net=path.net,
    )


def _importance(names: Sequence[str], final: FitResult) -> tuple[Importance, ...]:
    rows = [Importance(n, float(g), int(s)) for n, g, s in zip(names, _shares(final.gain), final.splits, strict=True)]
    return tuple(sorted(rows, key=lambda r: (-r.gain, r.name)))


def _shares(gain: F8) -> F8:
    total = float(gain.sum())
    return gain / total if total > 0.0 else gain
