"""The audit's laws have teeth: each catches what it is there for, and says where it was first seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pytest

from intraday.backtest.audit_live import TickDay, tick_day
from intraday.backtest.audit_model import ModelCase, model_laws, overlapping
from intraday.core.anchor import AnchorRule
from intraday.core.audit.adjusted import AdjustedCase, adjusted_law
from intraday.core.audit.certificate import Certificate
from intraday.core.audit.labels import LabelCase, label_laws
from intraday.core.audit.laws import Group, feature_laws
from intraday.core.audit.result import Difference, Finding, Law, Outcome, finding, merged, not_checked
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import Labeler, LabelSpec
from intraday.core.panel import Day, Lists, day_of, panel_of
from intraday.core.registry import default_registry
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.weights import average_uniqueness
from intraday.domain.arrays import DAY_NS, F4, I8, MINUTE_NS, Bars, Labels, Panel
from intraday.domain.session import SessionTable
from intraday.model.dataset import Dataset, join
from intraday.model.splits import Fold, SplitSpec, walk_forward
from intraday.model.trainer import LGBMTrainer, Trained, TrainSpec
from intraday.report.audit_page import MEANING, page, subjects

SESSIONS = SessionTable.load()
N, TIMEFRAME = 4, 5
DAYS = SESSIONS.between(date(2021, 3, 1), date(2021, 3, 9))


@pytest.fixture(scope="module")
def bars() -> Bars:
    market = SyntheticMarket(SyntheticSpec(instruments=N, seed=5), DAYS)
    return np.concatenate([market.bars(i) for i in range(len(DAYS))])


def decisions(bars: Bars) -> Panel:
    return panel_of(HistoricalAggregator(N).aggregate(bars, TIMEFRAME), N, TIMEFRAME, SESSIONS)


def features(*names: str) -> FeatureSet:
    return FeatureSet.of(TIMEFRAME, names, default_registry(), AnchorRule())


class Planted:
    """A real calculator, then one thing done wrong to what it says of a chunk."""

    def __init__(self, spoil: Callable[[Panel | None, F4], F4], step: Callable[[F4], F4] = lambda x: x) -> None:
        self._real = FeatureCalculator(features("ret_3"), np.ones(N, np.bool_))
        self._spoil, self._step = spoil, step

    def batch(self, panel: Panel) -> F4:
        return self._spoil(panel, self._real.batch(panel))

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        return self._step(self._real.update(bars, ts_ns, day))

    def columns(self, keep: I8) -> Planted:
        raise NotImplementedError


def shifted(panel: Panel | None, x: F4) -> F4:
    return np.concatenate([x[1:], x[-1:]])


def scaled(panel: Panel | None, x: F4) -> F4:
    there = x[np.isfinite(x)]
    return (x - there.mean()) / there.std() if there.size else x


def started_anew(panel: Panel | None, x: F4) -> F4:
    return np.where(np.arange(len(x))[:, None, None] == 0, np.float32(0.0), x)


def filled(panel: Panel | None, x: F4) -> F4:
    return np.nan_to_num(x)


def failed(findings: list[Finding]) -> set[Law]:
    return {f.law for f in findings if f.outcome is Outcome.FAILED}


@pytest.mark.parametrize(
    ("make", "laws"),
    [
        (partial(Planted, lambda _, x: x), set()),
        (partial(Planted, shifted), {Law.PREFIX, Law.FUTURE, Law.CHUNKS, Law.STEPS, Law.LATE, Law.WARMUP}),
        (partial(Planted, scaled), {Law.PREFIX, Law.FUTURE, Law.CHUNKS, Law.STEPS, Law.LATE}),
        (partial(Planted, started_anew), {Law.CHUNKS, Law.WARMUP}),
        (partial(Planted, lambda _, x: x, lambda x: x + np.float32(1e-9)), {Law.STEPS, Law.LATE}),
        (partial(Planted, filled), {Law.WARMUP, Law.STEPS, Law.LATE}),
    ],
    ids=["honest", "shift(-1)", "whole-sample scaler", "forgets at every chunk", "another step", "fills what is missing"],
)
def test_each_law_of_features_catches_its_fault(bars: Bars, make: Callable[[], Any], laws: set[Law]) -> None:
    panel = decisions(bars[(bars["inst"] != 1) | (bars["ts_ns"] // MINUTE_NS % 7 > 0) | (bars["ts_ns"] // MINUTE_NS % 2 > 0)])
    gone = np.zeros(panel.mask.shape, np.bool_)
    gone[::9, 1] = True
    holed = replace(panel, mask=panel.mask & ~gone)
    _, found = feature_laws(Group(features("ret_3").features, make), holed, np.random.default_rng(2))
    assert failed(found) == laws
    assert {f.law for f in found} == {Law.PREFIX, Law.FUTURE, Law.CHUNKS, Law.STEPS, Law.WARMUP, Law.LATE}
    for f in found:
        assert f.subject == "ret_3"
        assert f.n > 100
        assert (f.first is not None) == (f.outcome is Outcome.FAILED) == (f.n_different > 0)


def test_the_first_row_that_differs_is_told(bars: Bars) -> None:
    panel = decisions(bars)

    def one_cell(whole: Panel | None, x: F4) -> F4:
        if len(x) == len(panel):
            x[40, 2] += np.float32(1.0)
            x[41, 0] += np.float32(1.0)
        return x

    values, found = feature_laws(Group(features("ret_3").features, partial(Planted, one_cell)), panel, np.random.default_rng(2))
    prefix = next(f for f in found if f.law is Law.PREFIX)
    assert prefix.first is not None
    assert (prefix.first.inst, prefix.first.ts_ns) == (2, int(panel.ts_ns[40]))
    assert prefix.first.found == values[40, 2, 0] == pytest.approx(float(prefix.first.expected) + 1.0)


def test_a_feature_that_says_nothing_is_not_passed(bars: Bars) -> None:
    panel = decisions(bars).rows(0, 60)
    one = features("ema_dist_200")
    make = partial(FeatureCalculator, one, np.ones(N, np.bool_))
    _, found = feature_laws(Group(one.features, make), panel, np.random.default_rng(1))
    assert {f.outcome for f in found} == {Outcome.NOT_CHECKED}
    silent = partial(Planted, lambda _, x: np.full(x.shape, np.nan, np.float32), lambda x: np.full(x.shape, np.nan, np.float32))
    _, found = feature_laws(Group(features("ret_3").features, silent, own=True), panel, np.random.default_rng(1))
    (wrong,) = (f for f in found if f.outcome is Outcome.FAILED)
    assert (wrong.law, wrong.detail) == (Law.WARMUP, "it never gives a value: every one is NaN")


def test_a_later_action_in_the_bars_is_caught(bars: Bars) -> None:
    panel, one = decisions(bars), features("ema_dist_9", "ret_3")
    make = partial(FeatureCalculator, one, np.ones(N, np.bool_))
    group = Group(one.features, make)
    case = AdjustedCase(bars, panel, decisions)
    assert failed(list(adjusted_law(case, group, make().batch(panel)))) == set()
    restated = bars.copy()
    restated["close"][bars["ts_ns"] < DAYS[2].open_ns] *= 0.5  # by a split of the third day, known on the first
    assert failed(list(adjusted_law(case, group, make().batch(decisions(restated))))) == {Law.ADJUSTED}


def test_live_that_computes_otherwise_is_caught_on_a_day_of_ticks(bars: Bars) -> None:
    """The last session comes as ticks, with a feed's faults; history has the candles made of them."""
    market, before = SyntheticMarket(SyntheticSpec(instruments=N, seed=5), DAYS), bars[bars["ts_ns"] < DAYS[-1].open_ns]
    case = TickDay(DAYS[-1], day_of(DAYS[-1], N, SESSIONS), market.ticks(len(DAYS) - 1), 1_500_000_000)
    group = Group(features("ret_3").features, partial(FeatureCalculator, features("ret_3"), np.ones(N, np.bool_)))
    (found,) = tick_day(case, group, before, decisions)
    assert (found.outcome, found.law, found.n) == (Outcome.PASSED, Law.LIVE, 75 * N)
    other = Group(group.features, partial(Planted, lambda _, x: x, lambda x: x * np.float32(1.0001)))
    (found,) = tick_day(case, other, before, decisions)
    assert found.outcome is Outcome.FAILED
    assert found.first is not None
    assert found.first.ts_ns == DAYS[-1].open_ns


# --------------------------------------------------------------------------------------------------------------- labels


class Wrong:
    """A labeler with one fault."""

    def __init__(self, fault: Callable[[Labels, int | None], Labels]) -> None:
        self._real = Labeler(LabelSpec(horizon_min=30), np.full(N, 0.05))
        self._fault = fault

    def label(self, m: Panel, d: Panel, sigma: F4, sessions: SessionTable, known_ns: int | None = None) -> Labels:
        return self._fault(self._real.label(m, d, sigma, sessions, known_ns).copy(), known_ns)


def honest(rows: Labels, known_ns: int | None) -> Labels:
    return rows


def tail_is_down(rows: Labels, known_ns: int | None) -> Labels:
    """As ``shift(-N)`` compared does it: what has no outcome yet is called down."""
    extra = rows[-3:].copy()
    extra["ts_ns"] += 10**9
    extra["label"], extra["t1_ns"] = -1, (extra["t1_ns"] if known_ns is None else known_ns + 1)
    return np.concatenate([rows, extra]) if known_ns is not None else rows


def scaled_by_all(rows: Labels, known_ns: int | None) -> Labels:
    rows["ret_long"] /= np.abs(rows["ret_long"]).mean()
    return rows


def too_soon(rows: Labels, known_ns: int | None) -> Labels:
    rows["entry_ns"][7] = rows["ts_ns"][7]
    return rows


def overnight(rows: Labels, known_ns: int | None) -> Labels:
    rows["t1_ns"][7] += 20 * 3600 * 10**9
    return rows


def after_square_off(rows: Labels, known_ns: int | None) -> Labels:
    """Held to the end of trading, when the broker has long squared it off."""
    rows["t1_ns"][7] = rows["ts_ns"][7] // DAY_NS * DAY_NS + 10 * 3600 * 10**9  # 15:30
    return rows


def other_sigma(rows: Labels, known_ns: int | None) -> Labels:
    rows["sigma"] = rows["sigma"].mean()
    return rows


def label_case(bars: Bars, fault: Callable[[Labels, int | None], Labels]) -> LabelCase:
    panel, sigma = decisions(bars), partial(FeatureCalculator, features("sigma"), np.ones(N, np.bool_))
    minutes = panel_of(bars, N, 1, SESSIONS)
    made: Any = Wrong(fault)
    return LabelCase(
        LabelSpec(horizon_min=30), made, minutes, panel, np.ascontiguousarray(sigma().batch(panel)[:, :, 0]),
        lambda t: sigma().batch(panel.rows(0, t + 1))[t, :, 0], SESSIONS, Lists(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "laws"),
    [
        (honest, set()),
        (tail_is_down, {Law.LABEL_TAIL}),
        (scaled_by_all, {Law.LABEL_PREFIX}),
        (too_soon, {Law.LABEL_TIMES}),
        (overnight, {Law.LABEL_TIMES}),
        (after_square_off, {Law.LABEL_TIMES}),
        (other_sigma, {Law.SIGMA, Law.LABEL_PREFIX}),
    ],
)
def test_each_law_of_labels_catches_its_fault(bars: Bars, fault: Callable[[Labels, int | None], Labels], laws: set[Law]) -> None:
    case = label_case(bars, fault)
    labels = case.labels()
    assert len(labels) > 1000
    found = label_laws(case, labels, np.random.default_rng(3))
    assert failed(found) == laws
    assert {f.law for f in found} == {Law.LABEL_PREFIX, Law.LABEL_TAIL, Law.LABEL_TIMES, Law.SIGMA}
    assert all(f.first is not None for f in found if f.outcome is Outcome.FAILED)


# ------------------------------------------------------------------------------------------------------ folds and model

SPEC = TrainSpec(SplitSpec(min_train=3, test=1), num_boost_round=4, min_data_in_leaf=20, threads=1)


def dataset(bars: Bars) -> Dataset:
    case = label_case(bars, honest)
    t, inst = np.nonzero(case.decisions.mask)
    x = FeatureCalculator(features("ret_3", "session_pos"), np.ones(N, np.bool_)).batch(case.decisions)[t, inst]
    return join(case.decisions.ts_ns[t], inst.astype(np.int32), x, case.labels(), lambda _: 1e-3, timeframe=5)


class Leaky(LGBMTrainer):
    """Probabilities are calibrated on all rows, those that are scored among them."""

    def train(self, dataset: Dataset, feature_names: tuple[str, ...], progress: Any = None) -> Trained:
        trained = super().train(dataset, feature_names, progress)
        share = float((dataset.label == 1).mean())
        return replace(trained, oos=replace(trained.oos, p=trained.oos.p * share))


def models(data: Dataset, **more: Any) -> list[Finding]:
    return model_laws(ModelCase(data, ("ret_3", "session_pos"), SPEC, **more), np.random.default_rng(1))


def test_the_model_passes_and_a_calibration_on_scored_rows_does_not(bars: Bars) -> None:
    data = dataset(bars)
    found = models(data)
    assert {f.law: f.outcome for f in found} == dict.fromkeys((Law.FOLDS, Law.WEIGHTS, Law.TRAINED), Outcome.PASSED)
    assert failed(models(data, trainer=Leaky)) == {Law.TRAINED}


def test_a_label_that_reaches_into_the_scored_rows_is_found_whatever_its_instrument(bars: Bars) -> None:
    """Folds cut by rows, as a gap of rows does in a pooled frame, are not disjoint in time; and weights see the scored labels."""
    data = dataset(bars)

    def by_rows(*args: Any) -> list[Fold]:
        first, *rest = walk_forward(*args)
        begin = first.score[0]
        return [first.with_rows(np.arange(begin - 40, begin - 20), np.arange(begin - 20, begin), first.score), *rest]

    late = replace(data, t1_ns=data.t1_ns + 3 * 3600 * 10**9 * (np.arange(len(data)) % 3 == 0), inst=data.inst)
    found = {f.law: f for f in models(late, split=by_rows)}
    assert found[Law.FOLDS].outcome is Outcome.FAILED
    assert found[Law.FOLDS].first is not None


def test_weights_scaled_by_all_rows_are_caught(bars: Bars) -> None:
    def scaled_weights(entry_ns: Any, t1_ns: Any, inst: Any) -> Any:
        weight = average_uniqueness(entry_ns, t1_ns, inst)
        return weight / weight.mean()

    assert failed(models(dataset(bars), weigh=scaled_weights)) == {Law.WEIGHTS}


def test_too_few_sessions_are_not_checked(bars: Bars) -> None:
    data = dataset(bars)
    found = models(data.rows(data.session < DAYS[3].number), pipeline=lambda: lambda x, label, train: x)
    assert [f.outcome for f in found] == [Outcome.NOT_CHECKED] * 3 + [Outcome.PASSED]
    assert all("walk-forward needs at least 5 sessions" in f.detail for f in found[:3])


def test_overlapping_agrees_with_every_pair() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        a, b = (rng.integers(0, 60, (n, 1)) + np.array([[0, 0]]) for n in (9, 7))
        a[:, 1] += rng.integers(0, 9, 9)
        b[:, 1] += rng.integers(0, 9, 7)
        expected = [any(s <= v and u <= e for u, v in b.tolist()) for s, e in a.tolist()]
        assert overlapping(a[:, 0], a[:, 1], b[:, 0], b[:, 1]).tolist() == expected


# --------------------------------------------------------------------------------------------------------- certificate


def certificate(*findings: Finding) -> Certificate:
    return Certificate("A <b>tester</b>", 1_600_000_000_000_000_000, [("Source", "made up")], ["NSE:INFY"], findings)


def test_the_certificate_counts_and_signs() -> None:
    wrong = finding("mine", Law.PREFIX, 9, 2, Difference(0, DAYS[0].open_ns, 1.5, float("nan")), "looks ahead")
    silent = not_checked("a recorded day", Law.LIVE, "no day")
    good = certificate(finding("ret_3", Law.PREFIX, 9, 0), silent)
    bad = certificate(finding("ret_3", Law.PREFIX, 9, 0), wrong, silent)
    assert (good.passed, bad.passed) == (True, False)
    assert [(c.law, c.passed, c.failed, c.not_checked) for c in bad.by_law()] == [(Law.PREFIX, 1, 1, 0), (Law.LIVE, 0, 0, 1)]
    assert good.digest != bad.digest == certificate(*bad.findings).digest
    assert replace(good, who="B").digest != good.digest
    text = page(bad)
    assert "A &lt;b&gt;tester&lt;/b&gt;" in text
    assert "<b>mine</b>" in text
    assert "2021-03-01 09:15" in text
    assert "no day" in text
    assert "http" not in text
    assert subjects(bad)[1] == [("ret_3", ["passed", ""]), ("mine", ["failed", ""]), ("a recorded day", ["", "not checked"])]


def test_findings_of_one_law_are_added_up_and_the_failure_is_kept() -> None:
    passed, at = finding("mine", Law.LATE, 5, 0), Difference(1, 7, 1.0, 2.0)
    failed_one = finding("mine", Law.LATE, 9, 2, at, "looks ahead")
    both = Finding("mine", Law.LATE, Outcome.FAILED, 14, 2, at, "looks ahead")
    assert merged([passed, failed_one]) == merged([failed_one, passed]) == [both]
    silent, other = not_checked("mine", Law.LATE, "too short"), finding("yours", Law.LATE, 3, 0)
    assert merged([silent, other, passed]) == [replace(passed, detail="too short"), other]


def test_every_law_is_explained() -> None:
    assert set(MEANING) == set(Law)
