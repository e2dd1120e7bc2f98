"""HISTORICAL_MODE on a real database: what is stored is what was computed, and a second run writes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from history_cases import market_of, plan_of
from intraday.core.costs import Costs
from intraday.database.digests import digests
from intraday.database.pool import Database
from intraday.database.stores import Stores as Repositories
from intraday.domain.clock import SystemClock
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Progress, Source
from intraday.domain.session import SessionTable
from intraday.history.pipeline import HistoricalPipeline
from intraday.history.plan import HistoricalPlan, HistoricalResult, Stores

pytestmark = pytest.mark.integration


def silent(what: str, done: int, total: int) -> None:
    """Progress nobody watches."""


def run(
    plan: HistoricalPlan, repositories: Repositories, sessions: SessionTable, who: list[Instrument], progress: Progress = silent
) -> HistoricalResult:
    stores = Stores(repositories.bars, repositories.features, repositories.labels, repositories.models)
    return HistoricalPipeline(plan, stores, sessions, Costs.load(), SystemClock().monotonic_ns, progress).run(who)


@pytest.fixture
def sessions() -> SessionTable:
    return SessionTable.load()


@pytest.fixture
def filled(database: Database, sessions: SessionTable) -> tuple[Repositories, list[Instrument]]:
    instruments, days = market_of(sessions)
    repositories = Repositories(database)
    stored = repositories.instruments.upsert(instruments)
    repositories.bars.write([i.id for i in stored], np.concatenate(days), Source.IMPORT, 1)
    return repositories, stored


def test_a_second_run_writes_nothing(
    tmp_path: Path, database: Database, sessions: SessionTable, filled: tuple[Repositories, list[Instrument]]
) -> None:
    repositories, who = filled
    first = run(plan_of(tmp_path), repositories, sessions, who)
    before = digests(database)
    assert before["features"].rows == {s.name: s for s in first.steps}["store features"].rows > 0
    assert before["labels"].rows == first.trained.rows
    assert repositories.models.get(first.model_id).path == str(first.artifact.path)
    second = run(plan_of(tmp_path), repositories, sessions, who)
    assert second.model_id == first.model_id
    assert digests(database) == before


def test_an_interrupted_run_leaves_whole_blocks(
    tmp_path: Path, database: Database, sessions: SessionTable, filled: tuple[Repositories, list[Instrument]]
) -> None:
    repositories, who = filled

    def stop(what: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan_of(tmp_path / "a"), repositories, sessions, who, stop)
    kept = digests(database)
    assert kept["features"].rows > 0
    assert kept["models"].rows == 0
    completed = run(plan_of(tmp_path / "a"), repositories, sessions, who)
    after = digests(database)
    assert run(plan_of(tmp_path / "b"), repositories, sessions, who).model_id == completed.model_id
    assert after["features"] == digests(database)["features"]
    written = {s.name: s.written for s in completed.steps}["store features"]
    assert written is not None
    assert (written.unchanged, written.inserted) == (kept["features"].rows, after["features"].rows - kept["features"].rows)


def test_a_changed_bar_changes_what_follows_from_it(
    tmp_path: Path, database: Database, sessions: SessionTable, filled: tuple[Repositories, list[Instrument]]
) -> None:
    repositories, who = filled
    first = run(plan_of(tmp_path), repositories, sessions, who)
    before = digests(database)
    day = sessions.get(first.last)
    bars = repositories.bars.read([who[0].id], day.open_ns, day.close_ns)
    bars["close"][-60] *= 1.01
    bars["high"][-60] = max(bars["high"][-60], bars["close"][-60])
    repositories.bars.write([who[0].id], bars, Source.IMPORT, 2)
    second = run(plan_of(tmp_path), repositories, sessions, who)
    assert second.model_id != first.model_id
    assert before["features"].content != digests(database)["features"].content
    revised = {s.name: s.written.revised for s in second.steps if s.written is not None}
    assert 0 < revised["store features"] < 20
    assert repositories.models.get(first.model_id).id == first.model_id
