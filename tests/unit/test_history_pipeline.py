"""HISTORICAL_MODE end to end on a small made-up market, with stores in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from history_cases import ANCHORS, FIRST, LAST, market_of, plan_of
from intraday.core.anchor import Segment
from intraday.core.costs import Costs
from intraday.core.price_rules import PriceRules, tick_sizes_of
from intraday.domain.arrays import Bars
from intraday.domain.clock import SystemClock
from intraday.domain.errors import NotEnoughData
from intraday.domain.instruments import Instrument
from intraday.domain.membership import EPOCH, Membership, Span
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.domain.universe import Universe
from intraday.history.pipeline import HistoricalPipeline
from intraday.history.plan import HistoricalPlan, HistoricalResult, Stores
from intraday.history.segment import SegmentRun, SegmentSpec, pieces
from intraday.history.steps import StepTimer
from intraday.model.artifacts import read_oos
from intraday.model.pool import Resources
from intraday.model.predictor import ModelPredictor
from intraday.model.trainer import LGBMTrainer
from memory_stores import MemoryBars, MemoryFeatures, MemoryLabels, MemoryModels


@pytest.fixture(scope="module")
def sessions() -> SessionTable:
    return SessionTable.load()


@pytest.fixture(scope="module")
def market(sessions: SessionTable) -> tuple[list[Instrument], list[Bars]]:
    return market_of(sessions)


@pytest.fixture
def stores(market: tuple[list[Instrument], list[Bars]]) -> Stores:
    return stores_of(market[0], market[1])


def stores_of(instruments: list[Instrument], days: list[Bars]) -> Stores:
    bars = MemoryBars()
    for day in days:
        bars.write([i.id for i in instruments], day, Source.IMPORT, 1)
    return Stores(bars, MemoryFeatures(), MemoryLabels(), MemoryModels())


def pipeline(plan: HistoricalPlan, stores: Stores, sessions: SessionTable, progress: Any = lambda *_: None) -> HistoricalPipeline:
    return HistoricalPipeline(plan, stores, sessions, Costs.load(), SystemClock().monotonic_ns, progress)


def rows_of(stores: Stores) -> dict[str, Any]:
    return {
        "features": dict(stores.features.rows),  # type: ignore[attr-defined]
        "labels": dict(stores.labels.rows),  # type: ignore[attr-defined]
        "models": dict(stores.models.records),  # type: ignore[attr-defined]
    }


def writes(result: HistoricalResult) -> dict[str, tuple[int, int, int]]:
    return {s.name: (s.written.inserted, s.written.unchanged, s.written.revised) for s in result.steps if s.written is not None}


def test_end_to_end(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    plan = plan_of(tmp_path)
    result = pipeline(plan, stores, sessions).run(market[0])
    assert (result.first, result.last, result.n_sessions) == (FIRST, LAST, len(market[1]) - len(ANCHORS))
    names = [s.name for s in result.steps]
    assert set(names) == {"bars", "features and labels", "store features", "store labels", "dataset", "train", "artifact"}
    steps = {s.name: s for s in result.steps}
    decision_bars = len(rows_of(stores)["features"])
    assert steps["store features"].rows == decision_bars > 0
    assert steps["dataset"].rows == result.trained.rows == len(rows_of(stores)["labels"])
    record = stores.models.get(result.model_id)
    assert (record.verdict, record.path) == (result.verdict, str(result.artifact.path))
    assert record.manifest == (result.artifact.path / "manifest.json").read_text()
    assert result.artifact.manifest["data"]["symbols"] == ["NSE:SYN03", "NSE:SYN02", "NSE:SYN01", "NSE:SYNIDX"]
    assert len(read_oos(result.artifact.path)) == result.trained.metrics.rows
    assert result.summary()["model_id"] == result.model_id


def test_the_artifact_loads_against_the_same_features(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    plan = plan_of(tmp_path)
    result = pipeline(plan, stores, sessions).run(market[0])
    golden = result.artifact.golden
    assert golden.x.shape[1] == 4
    assert golden.has_volume.tolist() == [False, True, True, True]
    assert np.isfinite(golden.x).any(axis=(0, 1)).all()

    def recompute(panel: Any, has_volume: Any) -> Any:
        from intraday.core.features import FeatureCalculator

        return FeatureCalculator(plan.features, has_volume).batch(panel)

    assert ModelPredictor.load(result.artifact.path, recompute, result.artifact.features).warnings == ()


def test_a_second_run_changes_nothing(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    first = pipeline(plan_of(tmp_path), stores, sessions).run(market[0])
    before = rows_of(stores)
    second = pipeline(plan_of(tmp_path), stores, sessions).run(list(reversed(market[0])))
    assert second.model_id == first.model_id
    assert rows_of(stores) == before
    assert all(inserted == revised == 0 for inserted, _, revised in writes(second).values())
    assert [p.name for p in tmp_path.iterdir()] == [first.model_id]


@pytest.mark.parametrize("mib", [1, 4])
def test_pieces_change_no_bit(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable, mib: int) -> None:
    whole = pipeline(plan_of(tmp_path), stores, sessions).run(market[0])
    again = pipeline(plan_of(tmp_path, piece_mib=mib), stores, sessions).run(market[0])
    assert again.model_id == whole.model_id
    assert all(inserted == revised == 0 for inserted, _, revised in writes(again).values())


def test_more_instruments_make_shorter_pieces(tmp_path: Path, sessions: SessionTable) -> None:
    days, features = sessions.between(FIRST, LAST), plan_of(tmp_path).features
    lengths = {n: [len(cut) for cut in pieces(days, n, features, 2)] for n in (1, 4, 500)}
    assert lengths[1] == [len(days)]
    assert 1 < max(lengths[4]) < len(days) == sum(lengths[4])
    assert set(lengths[500]) == {1}


def test_an_interrupted_run_is_completed_by_the_next(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("candles") and done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline(plan_of(tmp_path, piece_mib=1), stores, sessions, stop).run(market[0])
    kept = rows_of(stores)
    assert 0 < len(kept["features"])
    assert kept["models"] == {}
    assert list(tmp_path.iterdir()) == []
    result = pipeline(plan_of(tmp_path), stores, sessions).run(market[0])
    assert writes(result)["store features"][1] == len(kept["features"])
    assert rows_of(stores)["features"].items() >= kept["features"].items()


def test_days_can_be_narrowed(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    plan = plan_of(tmp_path, first=date(2025, 3, 24), last=date(2025, 4, 15))
    result = pipeline(plan, stores, sessions).run(market[0])
    assert (result.first, result.last) == (date(2025, 3, 24), date(2025, 4, 15))
    stamps = [key[2] for key in rows_of(stores)["features"]]
    assert sessions.get(result.first).open_ns <= min(stamps) and max(stamps) < sessions.get(result.last).close_ns


def test_without_the_anchor_session_features_are_missing_and_said(tmp_path: Path, market: Any, sessions: SessionTable) -> None:
    late = stores_of(market[0], market[1][1:])  # nothing of October
    result = pipeline(plan_of(tmp_path), late, sessions).run(market[0])
    assert len(result.warnings) == 1
    assert "no bars of 2024-10-01 are stored" in result.warnings[0]
    vectors = {key: np.frombuffer(row, "<f4") for key, row in rows_of(late)["features"].items()}
    april = sessions.get(date(2025, 4, 1)).open_ns
    assert all(np.isnan(v).all() == (key[2] < april) for key, v in vectors.items())
    assert min(key[1] for key in rows_of(late)["labels"]) >= april


def test_an_instrument_without_its_anchor_session_is_said(tmp_path: Path, market: Any, sessions: SessionTable) -> None:
    october, january, *rest = market[1]
    stores = stores_of(market[0], [october, january[january["inst"] != 2], *rest])
    result = pipeline(plan_of(tmp_path), stores, sessions).run(market[0])
    assert len(result.warnings) == 1
    assert "1 instruments have no bars on 2025-01-01" in result.warnings[0]


def test_no_warning_when_every_anchor_is_there(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    assert pipeline(plan_of(tmp_path), stores, sessions).run(market[0]).warnings == ()


def test_finished_fits_are_forgotten_once_the_model_is_stored(
    tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable
) -> None:
    work = tmp_path / "fits"
    plan = plan_of(tmp_path / "models", resources=Resources(1, work), work=tmp_path)
    kept: list[int] = []
    pipeline(plan, stores, sessions, lambda *_: kept.append(len(list(work.glob("*"))))).run(market[0])
    assert max(kept) > 0
    assert list(work.iterdir()) == []
    assert {p.name for p in tmp_path.iterdir()} == {"fits", "models"}  # and so are the rows


def test_nothing_stored(tmp_path: Path, market: Any, sessions: SessionTable) -> None:
    empty = Stores(MemoryBars(), MemoryFeatures(), MemoryLabels(), MemoryModels())
    with pytest.raises(NotEnoughData, match="no stored bars of the 4 instruments from 2025-03-20 to the end"):
        pipeline(plan_of(tmp_path), empty, sessions).run(market[0])


def test_too_few_sessions_for_a_fold(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    with pytest.raises(NotEnoughData):
        pipeline(plan_of(tmp_path, last=date(2025, 3, 25)), stores, sessions).run(market[0])


def test_progress_reaches_its_total_in_every_step(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    note = lambda what, done, total: seen.setdefault(what, []).append((done, total))  # noqa: E731
    pipeline(plan_of(tmp_path), stores, sessions, note).run(market[0])
    assert set(seen) == {"candles, features, labels", "dataset", "walk-forward training", "final model"}
    assert all(calls[-1][0] == calls[-1][1] and calls == sorted(calls) for calls in seen.values())


def test_no_bars_in_a_piece_is_no_rows(tmp_path: Path, market: Any, sessions: SessionTable) -> None:
    plan = plan_of(tmp_path)
    segment = Segment(FIRST, FIRST, LAST)
    spec = SegmentSpec(segment, np.array([True]), PriceRules(tick_sizes_of((), market[0][:1])), plan.features, plan.labels)
    run = SegmentRun(spec, sessions)
    piece = run.advance(market[1][0][:0])
    assert len(piece.ts_ns) == len(piece.labels) == 0
    assert piece.x.shape == (0, len(plan.features.names))


def test_nested_steps_count_only_for_themselves() -> None:
    ticks = iter([0, 10, 40, 100])
    timer = StepTimer(lambda: next(ticks) * 10**9)
    with timer.step("outer"), timer.step("inner") as step:
        step.rows = 5
    assert [(r.name, r.rows, r.seconds) for r in timer.reports()] == [("outer", 0, 70.0), ("inner", 5, 30.0)]


# --------------------------------------------------------------------------------------------------- dated universes


def membership_of(*spans: Span, known_from: date = FIRST) -> Callable[[date, date], Membership | None]:
    return Universe("index:SMALL", frozenset(s.instrument_id for s in spans), spans, known_from).between


def rows_learned_from(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the trainer is given, run by run."""
    seen: list[Any] = []
    train = LGBMTrainer.train

    def spy(self: Any, dataset: Any, *rest: Any) -> Any:
        seen.append(dataset)
        return train(self, dataset, *rest)

    monkeypatch.setattr(LGBMTrainer, "train", spy)
    return seen


def test_a_stock_that_left_the_index_is_not_learned_from_any_more(
    tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = rows_learned_from(monkeypatch)
    leaver, comer, stayer, never = (i.id for i in market[0])
    left, came = date(2025, 4, 4), date(2025, 4, 7)
    spans = (Span(leaver, FIRST, left), Span(comer, came, None), Span(stayer, FIRST, None))
    undated = pipeline(plan_of(tmp_path), stores, sessions).run(market[0])
    result = pipeline(plan_of(tmp_path, membership=membership_of(*spans)), stores, sessions).run(market[0])
    whole, members = seen
    universe = sorted(market[0], key=lambda i: (i.kind, i.id))
    ids = np.array([i.id for i in universe])
    days = {
        number: {EPOCH + timedelta(days=int(n)) for n in members.session[ids[members.inst] == number]} for number in ids.tolist()
    }
    table = [s.day for s in sessions.between(FIRST, LAST)]
    assert days[leaver] == {d for d in table if d < left}
    assert days[comer] == {d for d in table if d >= came}
    assert days[stayer] == set(table)
    assert days[never] == set()
    # Those rows are the same rows as without a list: their features know the days before and after.
    keep = np.array(
        [spans_hold(spans, ids[i], EPOCH + timedelta(days=int(n))) for i, n in zip(whole.inst, whole.session, strict=True)]
    )
    assert np.array_equal(members.x, whole.x[keep], equal_nan=True)
    assert np.array_equal(members.ts_ns, whole.ts_ns[keep])
    data = result.artifact.manifest["data"]
    assert data["universe"].startswith("index:SMALL, dated members ")
    assert undated.artifact.manifest["data"]["universe"] == "all symbols on every day"
    assert (result.warnings, result.model_id == undated.model_id) == ((), False)


def spans_hold(spans: Sequence[Span], number: int, day: date) -> bool:
    return any(s.instrument_id == number and s.on(day) for s in spans)


def test_days_before_the_first_list_are_said(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable) -> None:
    known = date(2025, 3, 24)
    spans = [Span(i.id, known, None) for i in market[0]]
    result = pipeline(plan_of(tmp_path, membership=membership_of(*spans, known_from=known)), stores, sessions).run(market[0])
    assert len(result.warnings) == 1
    assert "members are known from 2025-03-24 on, bars from 2025-03-20: what is before is not learned from" in result.warnings[0]


@pytest.mark.parametrize("span", [Span(99, FIRST), Span(20, date(2025, 5, 1)), Span(20, date(2025, 3, 22), date(2025, 3, 24))])
def test_nobody_was_a_member(tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable, span: Span) -> None:
    """An instrument without bars, a time after the bars, a weekend."""
    with pytest.raises(NotEnoughData, match="index:SMALL.*no stored decision bar from 2025-03-20 to 2025-04-21 is one of a member"):
        pipeline(plan_of(tmp_path, membership=membership_of(span)), stores, sessions).run(market[0])
    assert (span.start == date(2025, 5, 1)) == (rows_of(stores)["features"] == {}), "found out before the work, where it can be"


def test_coverage_that_was_asked_already_is_not_asked_again(
    tmp_path: Path, market: Any, stores: Stores, sessions: SessionTable
) -> None:
    with pytest.raises(NotEnoughData, match="no stored bars"):
        pipeline(replace(plan_of(tmp_path), coverage=()), stores, sessions).run(market[0])
