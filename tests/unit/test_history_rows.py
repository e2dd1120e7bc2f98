"""The rows to learn from, read by sessions and mapped from disk."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from history_cases import FIRST, LAST, market_of, plan_of
from intraday.core.anchor import session_of
from intraday.core.costs import Costs
from intraday.core.rules import RULES
from intraday.core.tradability import FlagList, TradeLists
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.clock import SystemClock
from intraday.domain.errors import StorageError
from intraday.domain.membership import Flag, Span
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable
from intraday.history.pipeline import HistoricalPipeline
from intraday.history.plan import HistoricalPlan, Stores
from intraday.history.rows import RowReader
from intraday.history.spool import RowSpool
from intraday.model.dataset import Dataset
from intraday.model.thresholds import taken_sides
from intraday.model.weighting import Weighting
from memory_stores import MemoryBars, MemoryFeatures, MemoryLabels, MemoryModels

SESSIONS, COSTS = SessionTable.load(), Costs.load()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: Any) -> tuple[HistoricalPlan, Stores, list[Any]]:
    """A market whose features and labels are stored."""
    instruments, days = market_of(SESSIONS)
    bars = MemoryBars()
    for day in days:
        bars.write([i.id for i in instruments], day, Source.IMPORT, 1)
    stores = Stores(bars, MemoryFeatures(), MemoryLabels(), MemoryModels())
    plan = plan_of(tmp_path_factory.mktemp("models"))
    plan = replace(plan, labels=replace(plan.labels, target_sigma=1.0, stop_sigma=0.2))  # sides end apart, some are not entered
    HistoricalPipeline(plan, stores, SESSIONS, COSTS, SystemClock().monotonic_ns, lambda *_: None).run(instruments)
    return plan, stores, sorted(instruments, key=lambda i: (i.kind, i.id))


def read(filled: tuple[HistoricalPlan, Stores, list[Any]], folder: Path, **changes: Any) -> tuple[Dataset, str]:
    plan, stores, universe = filled
    with RowSpool(folder) as spool:
        reader = RowReader(replace(plan, **changes), stores, SESSIONS, COSTS, universe, FIRST, LAST, None)
        return reader.read(spool, lambda *_: None), spool.digest


def test_the_cut_into_pieces_changes_no_row(filled: Any, tmp_path: Path) -> None:
    whole, _ = read(filled, tmp_path / "whole")
    pieces, _ = read(filled, tmp_path / "pieces", piece_mib=1)
    assert len(whole) > 5_000
    for f in fields(Dataset):
        a, b = np.asarray(getattr(whole, f.name)), np.asarray(getattr(pieces, f.name))
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, f.name)


def test_rows_are_mapped_and_come_in_order(filled: Any, tmp_path: Path) -> None:
    data, digest = read(filled, tmp_path / "rows")
    assert isinstance(data.x, np.memmap)
    assert not data.x.flags.writeable
    assert (np.lexsort((data.inst, data.ts_ns)) == np.arange(len(data))).all()
    assert digest == read(filled, tmp_path / "again")[1]
    assert set(np.unique(data.inst)) == {0, 1, 2, 3}


def test_prices_and_ends_come_from_the_minutes_of_the_row(filled: Any, tmp_path: Path) -> None:
    plan, stores, universe = filled
    data, _ = read(filled, tmp_path)
    bars = stores.bars.read([i.id for i in universe], 0, 2**62)
    last = {(int(b["ts_ns"]), int(b["inst"])): float(b["close"]) for b in bars}
    some = np.random.default_rng(1).choice(len(data), 300, replace=False)
    for k in some.tolist():
        minutes = [
            (int(data.close_ns[k]) - m * MINUTE_NS, int(data.inst[k])) for m in range(1, 6)
        ]  # the last may be without trades
        assert data.close[k] == next(last[at] for at in minutes if at in last)
    ends = np.maximum(data.end_long_ns, data.end_short_ns)
    assert (np.minimum(data.end_long_ns, data.end_short_ns) > data.entry_ns).all()
    assert (ends == data.t1_ns).all()  # the label is known with the later of its two trades
    assert (data.end_long_ns != data.end_short_ns).any()


def test_simple_rules_say_something_of_both_sides(filled: Any, tmp_path: Path) -> None:
    data, _ = read(filled, tmp_path)
    assert data.rules.shape == (len(data), len(RULES))
    assert all(set(np.unique(data.rules[:, k])) == {-1, 0, 1} for k in range(len(RULES)))


def test_nobody_is_sold_short_who_may_not_be(filled: Any, tmp_path: Path) -> None:
    _, _, universe = filled
    halfway = date(2025, 4, 1)
    barred = FlagList.of([Span(universe[0].id, halfway)], FIRST)
    lists = TradeLists({Flag.ASM: barred})
    data, _ = read(filled, tmp_path, tradable=lambda _: lists)
    late = data.session >= session_of(halfway)
    assert data.may_long.all()
    assert np.array_equal(data.may_short, ~(late & (data.inst == 0)))
    sell = np.full(len(data), -1, np.int8)
    assert not data.allows(sell)[late & (data.inst == 0)].any()
    assert np.array_equal(data.allows(sell)[~late], data.eligible[~late])
    assert not data.allows(np.zeros(len(data), np.int8)).any()


def test_a_trade_that_is_not_entered_costs_nothing(filled: Any, tmp_path: Path) -> None:
    data, _ = read(filled, tmp_path)
    for side, skipped, gross in ((1, data.skip_long, data.ret_long), (-1, data.skip_short, data.ret_short)):
        assert 0 < skipped.sum() < len(data) / 10
        assert (gross[skipped] == 0.0).all()
        taken = taken_sides(np.full(len(data), side, np.int8), np.zeros(len(data)), data)
        assert (taken.paid[skipped] == 0.0).all()
        assert np.array_equal(taken.paid[~skipped], data.cost[~skipped])


def test_charges_are_those_of_the_instrument_and_the_day(filled: Any, tmp_path: Path) -> None:
    plan, _, universe = filled
    data, _ = read(filled, tmp_path)
    for row, instrument in enumerate(universe):
        want = COSTS.round_trip_bps(FIRST, plan.notional, instrument.kind) * 1e-4
        assert data.cost[data.inst == row][0] == pytest.approx(want)


def test_returns_are_attributed_where_rows_weigh_by_them(filled: Any, tmp_path: Path) -> None:
    plan, _, _ = filled
    training = replace(plan.training, weights=Weighting.RETURN_ATTRIBUTION)
    data, _ = read(filled, tmp_path / "a", training=training)
    cut, _ = read(filled, tmp_path / "b", training=training, piece_mib=1)
    assert np.isfinite(data.attribution).all()
    np.testing.assert_array_equal(data.attribution, cut.attribution)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="expected a folder to keep rows in"):
        RowSpool(tmp_path / "file")
