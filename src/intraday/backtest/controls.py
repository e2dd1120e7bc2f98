"""Controls: the training pipeline on markets where the answer is known.

A null market has no edge, so what its stitched path made at zero cost and slippage is luck, and the test behind "edge" should say
so in 95 of 100. The real cost decides nothing there; the net verdict is shown beside it. In a planted market the edge is known in
multiples of the cost; twenty configurations are tried, and the best has to pass the same test, net of cost and deflated by all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from intraday.backtest.control_markets import DRIFT, ControlMarket, control_market, oracle
from intraday.backtest.control_rows import Recipe, at_cost, mirrored, shifted_features, shuffled_rows, shuffled_sessions
from intraday.core.null_markets.sizes import NULL_SIZE, MarketSize
from intraday.domain.arrays import F8, I8
from intraday.domain.learning import Trial, TrialKind
from intraday.model.boosting import FitJob, Weighed, fit
from intraday.model.calibration import METHODS, Method
from intraday.model.dataset import Dataset
from intraday.model.folds import Scored, decide_fold, outcomes, together
from intraday.model.metrics import BPS, OutOfSample
from intraday.model.path import DailyPath, path_of
from intraday.model.significance.edge import edge_test
from intraday.model.significance.sharpe import sharpe_ratio
from intraday.model.spec import TrainSpec
from intraday.model.splits import SplitSpec, walk_forward
from intraday.model.verdict import VerdictSpec, judge, trials_of
from intraday.model.weighting import Weighting, row_weights, uniqueness

LEVEL: Final = 0.05  # of the test
BOOSTERS: Final = ((3, 0.05, 50), (3, 0.08, 50), (4, 0.05, 50), (4, 0.05, 100), (4, 0.08, 100))
"""Leaves, learning rate and least rows of a leaf; each with every one of SHOWN they are the twenty configurations tried.

Chosen on eight pilot markets, whose seeds no control has: larger trees follow the noise of rows whose sigma is large.
"""
SHOWN: Final = (0.5, 1.0, 1.5, 2.0)  # signals a session that have to show


class Control(StrEnum):
    """What was done so that nothing (or exactly one thing) can be found."""

    MARTINGALE = "simulated martingales"
    FLIPPED = "real bars with flipped signs"
    SESSIONS = "outcomes of other sessions"
    ROWS = "outcomes of other rows"
    SHIFTED = "features of other sessions"
    PLANTED = "planted edge"
    SHIPPED = "planted edge, the settings as shipped"


@dataclass(frozen=True, slots=True)
class NullResult:
    """One null market: ``p_value`` of the test on the gross path at zero cost, ``word`` the verdict at the real cost.

    ``gross_bps`` a session, of ``trades`` over ``sessions`` that were scored; ``rows`` in all.
    """

    control: str
    number: int
    p_value: float
    word: str
    gross_bps: float
    trades: int
    sessions: int
    rows: int


@dataclass(frozen=True, slots=True)
class PlantedResult:
    """One planted market: ``found`` is whether the best of ``trials`` configurations passes the test net of cost.

    ``word``: the verdict, which needs 60 sessions. ``variance`` of the trials' Sharpe ratios; ``net_bps`` a session and ``trades``
    in all of the best one; ``oracle_bps`` gross a trade of who knows every planted bar.
    """

    multiple: int
    sessions: int
    number: int
    found: bool
    p_value: float
    word: str
    trials: int
    variance: float
    sharpe: float
    net_bps: float
    trades: int
    oracle_bps: float
    rows: int


def control_spec(size: MarketSize) -> TrainSpec:
    """A small model, and three to five folds on the sessions of ``size``."""
    split = SplitSpec(min_train=size.train - 1, test=max(5, -(-size.test // 5)), embargo=1)
    return TrainSpec(
        split=split, num_boost_round=80, early_stopping_rounds=10, num_leaves=7, min_data_in_leaf=100, threads=1,
        min_signals_per_session=4.0,
    )  # fmt: skip


def walked(data: Dataset, names: tuple[str, ...], spec: TrainSpec) -> list[Scored]:
    """The raw scores of every fold, as ``LGBMTrainer`` makes them."""
    folds, unique = walk_forward(data.ts_ns, data.t1_ns, data.session, spec.split), uniqueness(data)

    def weighed(at: I8) -> Weighed:
        return Weighed(at, data.label[at], row_weights(spec.weights, spec.time_decay, data, unique, at))

    out = []
    for fold in folds:
        ask = np.concatenate([fold.stop, fold.score])
        job = FitJob(
            names, spec.parameters(), spec.num_boost_round, spec.early_stopping_rounds, weighed(fold.fit), weighed(fold.stop), ask,
            np.empty(0, dtype=np.int64),
        )  # fmt: skip
        said = fit(data.x, job, spec.threads, lambda _: None)
        out.append(Scored(fold, said.rounds, said.raw[: len(fold.stop)], said.raw[len(fold.stop) :]))
    return out


def decided(data: Dataset, scored: Sequence[Scored], least: float, methods: Sequence[Method] = METHODS) -> OutOfSample:
    """Those scores calibrated and decided fold by fold, with at least ``least`` signals a session."""
    rows, parts = outcomes(data), list[OutOfSample]()
    for k in range(len(scored)):
        parts.append(decide_fold(rows, scored[: k + 1], parts, least, methods)[0])
    return together(parts)


def null_result(control: Control, number: int, data: Dataset, names: tuple[str, ...], spec: TrainSpec) -> NullResult:
    """``data`` at its real cost. The cost is taken out of the decisions as well as of the path before the test looks."""
    scored = walked(data, names, spec)
    free = path_of(decided(at_cost(data, 0.0), scored, spec.min_signals_per_session))
    net = path_of(decided(data, scored, spec.min_signals_per_session))
    return NullResult(
        control=control,
        number=number,
        p_value=edge_test(free.gross),
        word=judge(net, ()).word,
        gross_bps=float(free.gross.mean()) * BPS,
        trades=int(free.trades.sum()),
        sessions=len(free),
        rows=len(data),
    )


def simulated_null(of: Recipe, number: int, size: MarketSize = NULL_SIZE) -> NullResult:
    """Simulated martingale ``number``."""
    market = control_market(of, size, (1, number), planted=False)
    return null_result(Control.MARTINGALE, number, market.data, market.names, control_spec(size))


def broken_null(of: Recipe, control: Control, number: int, size: MarketSize = NULL_SIZE) -> NullResult:
    """A market with an edge of three times the cost, whose outcomes (or features) are then those of others."""
    market = control_market(of, size, (2, number), DRIFT[3])
    data = disconnected(market.data, control, np.random.default_rng([3, number]))
    return null_result(control, number, data, market.names, control_spec(size))


def disconnected(data: Dataset, control: Control, rng: np.random.Generator) -> Dataset:
    """``data`` with nothing to find: shuffled outcomes or shifted features, and the sample's drift mirrored away."""
    if control is Control.SHIFTED:
        n = len(np.unique(data.session))
        return mirrored(shifted_features(data, int(rng.integers(1, n))), rng)
    assert control in (Control.SESSIONS, Control.ROWS), control
    shuffle = shuffled_sessions if control is Control.SESSIONS else shuffled_rows
    return mirrored(shuffle(data, rng), rng)


def planted_result(of: Recipe, size: MarketSize, multiple: int, number: int, *, shipped: bool = False) -> PlantedResult:
    """Planted market ``number`` of a cell: all configurations tried, the best judged net of cost by all of them.

    ``shipped``: one configuration is tried, that of who changes no setting; nothing is deflated.
    """
    market = control_market(of, size, (5, multiple, size.test, number), DRIFT[multiple])
    paths = [shipped_path(market, size)] if shipped else list(configurations(market, size))
    ledger = [_trial(k, path) for k, path in enumerate(paths)]
    n_trials, variance = trials_of(ledger)
    best = max(paths, key=lambda path: _sharpe(path.net))
    p_value, said = edge_test(best.net, n_trials, variance), oracle(market)
    return PlantedResult(
        multiple=multiple,
        sessions=len(best),
        number=number,
        found=p_value <= LEVEL,
        p_value=p_value,
        word=judge(best, ledger, VerdictSpec()).word,
        trials=n_trials,
        variance=variance,
        sharpe=_sharpe(best.net),
        net_bps=float(best.net.mean()) * BPS,
        trades=int(best.trades.sum()),
        oracle_bps=float(said.gross[said.trade].mean()) * BPS,
        rows=len(market.data),
    )


def configurations(market: ControlMarket, size: MarketSize) -> Iterator[DailyPath]:
    """The test path of each configuration; those of one booster share its fits.

    Rows weigh the same and leaves are not shrunk: both cost an edge that two rows in a hundred carry more than they cost luck.
    Calibration is by temperature alone, which takes a tenth of the time of choosing.
    """
    plain = replace(control_spec(size), weights=Weighting.NONE, lambda_l2=0.0, feature_fraction=1.0, num_boost_round=60)
    for leaves, rate, least_rows in BOOSTERS:
        spec = replace(plain, num_leaves=leaves, learning_rate=rate, min_data_in_leaf=least_rows)
        scored = walked(market.data, market.names, spec)
        for least in SHOWN:
            yield path_of(decided(market.data, scored, least, (Method.TEMPERATURE,)))


def shipped_path(market: ControlMarket, size: MarketSize) -> DailyPath:
    """The test path of ``TrainSpec``'s own defaults, but for the folds, which go by the market's size."""
    spec = TrainSpec(split=control_spec(size).split, threads=1)
    return path_of(decided(market.data, walked(market.data, market.names, spec), spec.min_signals_per_session, spec.calibration))


def _trial(k: int, path: DailyPath) -> Trial:
    return Trial(str(k), "control", TrialKind.CONFIGURATION, 0, "", "", "", float("nan"), "complete", path.session, path.net)


def _sharpe(net: F8) -> float:
    """Of a session; below every other where it is not defined."""
    ratio = sharpe_ratio(net)
    return ratio.value if ratio.defined else float("-inf")
