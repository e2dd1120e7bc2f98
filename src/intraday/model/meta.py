"""A second model on top of any primary signal: which of its trades are worth taking.

The primary says the side: a simple rule, the sign of a feature (the user's own rule), or another model's out-of-sample signals. The
meta-model is a binary LightGBM that learns whether such a trade made money after costs (``core.meta_labels``, ``Worth.NET``) from
the same features, on the same folds. A trade is taken where its expected net return reaches a threshold found on the past. Nothing
but the size of the bet, here all or nothing, is the meta-model's: it never turns a side round. Source: López de Prado 2018,
section 3.6.

Of a model as primary only out-of-sample signals and probabilities are used, so nothing in them has seen a row's outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.bootstrap import sequential_bootstrap
from intraday.core.decision import DecisionRule
from intraday.domain.arrays import F4, F8, I8
from intraday.domain.errors import NotEnoughData
from intraday.model.calibrators.logistic import sigmoid
from intraday.model.calibrators.maps import BetaMap, fit_beta
from intraday.model.dataset import Dataset
from intraday.model.folds import outcomes, threshold_of, together
from intraday.model.metrics import OutOfSample
from intraday.model.primary import Primary, Sides, Signals, of_side, signals_of, worth_taking
from intraday.model.splits import Fold, SplitSpec, walk_forward
from intraday.model.thresholds import sides_and_trades
from intraday.model.weighting import uniqueness

AS_IT_IS = BetaMap(1.0, 1.0, 0.0)
NEVER = -1e6  # in units of sigma
MIN_PAST = 200  # scored signals of earlier folds below which probabilities stay as they are


@dataclass(frozen=True, slots=True)
class MetaTrainSpec:
    """How to train. Same data, primary, spec, library versions and machine: the same model, byte for byte.

    ``sequential``: rows count as often as a sequential bootstrap draws them (``core.bootstrap``) instead of by their uniqueness.
    ``min_rows``: signals in a fit window below which a fold is not trained and gives no trades.
    """

    split: SplitSpec = field(default_factory=SplitSpec)
    num_boost_round: int = 200
    early_stopping_rounds: int = 20
    learning_rate: float = 0.05
    num_leaves: int = 7
    min_data_in_leaf: int = 50
    feature_fraction: float = 0.7
    lambda_l2: float = 10.0
    sequential: bool = False
    min_rows: int = 300
    min_signals_per_session: float = 1.0
    seed: int = 7
    threads: int = 1

    def parameters(self) -> dict[str, Any]:
        """LightGBM's parameters."""
        same = ("learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction", "lambda_l2", "seed")
        fixed = {"objective": "binary", "deterministic": True, "force_row_wise": True, "verbosity": -1}
        return fixed | {name: getattr(self, name) for name in same} | {"num_threads": self.threads}


@dataclass(frozen=True, slots=True)
class Bet:
    """What turns log-odds into a decision: their calibration, and the rule for ``of_side``'s classes.

    A trade that is worth taking gives the rule's payoff of its own side's class, one that is not that of hold; the class of the
    other side never comes, and its payoff NEVER keeps the rule from turning a side round.
    """

    calibration: BetaMap
    rule: DecisionRule

    def p(self, side: Sides, score: F8) -> F8:
        """Probabilities float64 [n, 3] of (down, hold, up): ``side`` int8 [n] worth taking or not, by log-odds ``score``."""
        return of_side(side, self.calibration.apply(sigmoid(score)))


@dataclass(frozen=True, slots=True)
class MetaFold:
    """What happened in one fold; sessions as (first, last) session numbers."""

    score_sessions: tuple[int, int]
    fit_rows: int
    stop_rows: int
    signals: int  # of the primary in the scored sessions
    rounds: int
    bet: Bet
    trades: int


@dataclass(frozen=True, slots=True)
class MetaTrained:
    """The scored rows of all folds, as every other model's, and the model fitted on all signals.

    In ``oos`` a row's classes are those of its bet: ``label`` is the side where the trade was worth taking, else 0, also where the
    primary said nothing; ``p`` and ``prior`` likewise. ``side`` is the primary's where the bet is taken.
    """

    primary: str
    spec: MetaTrainSpec
    names: tuple[str, ...]
    oos: OutOfSample
    folds: tuple[MetaFold, ...]
    model_text: str
    rounds: int
    bet: Bet


@dataclass(frozen=True, slots=True)
class _Scored:
    """Signals of one fold's scored sessions, with their scores."""

    of: NDArray[np.int64]  # among all signals
    score: F8


class MetaTrainer:
    """Trains by ``spec``; holds no state between calls."""

    def __init__(self, spec: MetaTrainSpec) -> None:
        self._spec = spec

    def train(self, dataset: Dataset, names: tuple[str, ...], primary: Primary) -> MetaTrained:
        """Walk forward over the folds of ``dataset`` that the primary's own model would have, then fit on all signals.

        Raises NotEnoughData when no fold has ``min_rows`` signals, of both kinds, to learn from. Peak memory is about twice the
        features of the signals.
        """
        assert len(primary.side) == len(dataset) and len(primary.extra) == len(dataset), (len(primary.side), len(dataset))
        spec, signals = self._spec, signals_of(dataset, primary)
        number = np.full(len(dataset), -1)
        number[signals.at] = np.arange(len(signals.at))
        scored, parts, figures = list[_Scored](), list[OutOfSample](), list[MetaFold]()
        for fold in walk_forward(dataset.ts_ns, dataset.t1_ns, dataset.session, spec.split):
            fit, stop, score = (number[at][number[at] >= 0] for at in (fold.fit, fold.stop, fold.score))
            if not self._enough(signals, fit, stop):
                continue
            booster, rounds = self._boost(signals, fit, stop)
            start_ns = int(dataset.ts_ns[fold.score[0]])
            bet = self._bet(signals, scored, fit, _Scored(stop, _raw(booster, signals.x[stop])), start_ns)
            scored.append(_Scored(score, _raw(booster, signals.x[score])))
            parts.append(_out_of_sample(dataset, fold, len(parts), signals, scored[-1], bet, _rate(signals, fit)))
            trades = int(parts[-1].trade.sum())
            figures.append(MetaFold(fold.score_sessions, len(fit), len(stop), len(score), rounds, bet, trades))
        if not parts:
            raise NotEnoughData(
                f"{primary.name}: expected {spec.min_rows} signals to learn from before some fold, worth taking and not, found "
                f"{len(signals.at)} in all: a primary that says more, or more history"
            )
        return self._finish(signals, names + primary.names, primary, scored, parts, figures)

    def _finish(
        self, signals: Signals, names: tuple[str, ...], primary: Primary, scored: Sequence[_Scored],
        parts: Sequence[OutOfSample], figures: Sequence[MetaFold],
    ) -> MetaTrained:  # fmt: skip
        """The final model: all signals, the folds' median of rounds, calibration and threshold from every scored signal."""
        rounds, every = max(1, int(np.median([f.rounds for f in figures]))), np.arange(len(signals.at))
        booster, _ = self._boost(signals, every, None, rounds)
        seen = _Scored(np.concatenate([s.of for s in scored]), np.concatenate([s.score for s in scored]))
        bet = self._threshold(signals, _calibrated(signals, seen, every), seen, seen)
        text = booster.model_to_string(num_iteration=rounds)
        return MetaTrained(primary.name, self._spec, names, together(parts), tuple(figures), text, rounds, bet)

    def _enough(self, signals: Signals, fit: I8, stop: I8) -> bool:
        both = 0.0 < _rate(signals, fit) < 1.0
        return len(fit) >= self._spec.min_rows and len(stop) > 0 and both

    def _boost(self, signals: Signals, fit: I8, stop: I8 | None, rounds: int = 0) -> tuple[Any, int]:
        """The booster and its rounds; ``stop`` None: exactly ``rounds``."""
        import lightgbm as lgb  # loaded where it is used: most commands need none of it

        spec = self._spec
        learned = lgb.Dataset(
            signals.x[fit], label=signals.worth[fit], weight=self._weights(signals, fit), params={"verbosity": -1}
        )
        if stop is None:
            return lgb.train(spec.parameters(), learned, num_boost_round=rounds), rounds
        held = lgb.Dataset(
            signals.x[stop], label=signals.worth[stop], weight=uniqueness(signals.data.rows(stop)), reference=learned
        )
        patience = lgb.early_stopping(spec.early_stopping_rounds, verbose=False)
        found = lgb.train(spec.parameters(), learned, num_boost_round=spec.num_boost_round, valid_sets=[held], callbacks=[patience])
        best = max(found.best_iteration, 1)
        return lgb.Booster(model_str=found.model_to_string(num_iteration=best)), best

    def _weights(self, signals: Signals, at: I8) -> F8:
        rows = signals.data.rows(at)
        if not self._spec.sequential:
            return uniqueness(rows)
        rng, out = np.random.default_rng([self._spec.seed, len(at)]), np.zeros(len(at))
        for inst in np.unique(rows.inst):  # as uniqueness, instrument by instrument
            mine = np.flatnonzero(rows.inst == inst)
            drawn = sequential_bootstrap(rows.entry_ns[mine], rows.t1_ns[mine], len(mine), rng)
            out[mine] = np.bincount(drawn, minlength=len(mine))
        return out

    def _bet(self, signals: Signals, scored: Sequence[_Scored], fit: I8, stop: _Scored, before_ns: int) -> Bet:
        """From signals whose end was known before the scored sessions; the first fold has only its early-stop rows."""
        past = _known(signals, scored, before_ns)
        if past is None:
            return self._threshold(signals, _calibrated(signals, None, fit), stop, stop)
        return self._threshold(signals, _calibrated(signals, past, fit), past, stop)

    def _threshold(self, signals: Signals, bet: Bet, seen: _Scored, own: _Scored) -> Bet:
        """The best threshold on what was seen, capped so that the model's own scores show enough."""
        rows = [(signals.data.rows(one.of), bet.p(signals.side[one.of], one.score)) for one in (seen, own)]
        return replace(bet, rule=threshold_of(bet.rule, *rows[0], *rows[1], self._spec.min_signals_per_session))


def _calibrated(signals: Signals, past: _Scored | None, fit: I8) -> Bet:
    """Probabilities by the past's scores, what won and lost by the signals learned from; no threshold yet."""
    enough = past is not None and len(past.of) >= MIN_PAST
    calibration = fit_beta(sigmoid(past.score), signals.worth[past.of].astype(np.float64)) if past and enough else AS_IT_IS
    won = signals.worth[fit] == 1
    gross, sigma = signals.gross[fit], signals.data.sigma[fit]
    good, bad = _mean(gross[won], sigma[won]), _mean(gross[~won], sigma[~won])
    return Bet(calibration, DecisionRule((NEVER, bad, good), (good, bad, NEVER), float("-inf")))


def _mean(gross: F8, sigma: F8) -> float:
    """In units of sigma; rows of tiny volatility count no more than others (as ``thresholds.payoffs``)."""
    return float(gross.sum() / sigma.sum()) if sigma.sum() > 0 else 0.0


def _known(signals: Signals, scored: Sequence[_Scored], before_ns: int) -> _Scored | None:
    parts = [(one.of, one.score, signals.data.t1_ns[one.of] < before_ns) for one in scored]
    kept = [(of[known], score[known]) for of, score, known in parts]
    return _Scored(*(np.concatenate(column) for column in zip(*kept, strict=True))) if any(len(of) for of, _ in kept) else None


def _rate(signals: Signals, at: I8) -> float:
    return float(signals.worth[at].mean()) if len(at) else float("nan")


def _raw(booster: Any, x: F4) -> F8:
    """Log-odds float64 [n]: the same bits for a row alone and in a batch."""
    if len(x) == 0:
        return np.zeros(0)
    return np.asarray(booster.predict(x, raw_score=True, num_threads=1), dtype=np.float64)


def _out_of_sample(data: Dataset, fold: Fold, number: int, signals: Signals, scored: _Scored, bet: Bet, rate: float) -> OutOfSample:
    """All rows of the fold's scored sessions: the bets taken, and zeros where there was nothing to bet on."""
    rows = outcomes(data).rows(fold.score)
    place = np.searchsorted(fold.score, signals.at[scored.of])
    said, score = np.zeros(len(rows), np.int8), np.zeros(len(rows))
    said[place], score[place] = signals.side[scored.of], scored.score
    p = bet.p(said, score)
    taken, shown = sides_and_trades(bet.rule, p, rows), sides_and_trades(bet.rule.watched(), p, rows)
    return OutOfSample(
        ts_ns=rows.ts_ns, t1_ns=rows.t1_ns, session=rows.session, inst=rows.inst, fold=np.full(len(rows), number, dtype=np.int32),
        label=said * worth_taking(rows, said), ret_long=rows.ret_long, raw=np.log(np.maximum(of_side(said, sigmoid(score)), 1e-15)),
        p=p, prior=of_side(said, np.full(len(rows), rate)), side=taken.side, trade=taken.trade, gross=taken.gross, cost=rows.cost,
        paid=taken.paid, expected=np.where(said == 0, np.nan, taken.expected), close_ns=rows.close_ns, close=rows.close,
        end_ns=taken.end_ns, sigma=rows.sigma, ret_short=rows.ret_short, eligible=rows.eligible,
        shown=shown.side, shown_trade=shown.trade,
    )  # fmt: skip
