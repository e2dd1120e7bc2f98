"""Backtest equals live, and what the command says of a trained model, on a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from backtest_cases import check_day
from intraday.app import load_model, open_system
from intraday.app_backtest import build_backtest, build_stage
from intraday.backtest.orders import orders_of_oos
from intraday.backtest.run import fill_orders_of
from intraday.config.settings import Settings
from intraday.domain.arrays import DAY_NS, BarFlag
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.domain.instruments import Kind
from intraday.domain.membership import Flag, Span
from intraday.domain.ports import Source
from intraday.domain.session import midnight_ns
from intraday.jobs.backtest import BacktestPlan, backtest, run_backtest
from intraday.model.artifacts import read_oos
from intraday.model.path import path_of
from job_cases import quiet

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_live_day_backtested_is_the_same_day(lived: Settings) -> None:
    with open_system(lived, SystemClock()) as system:
        (run,) = system.stores.runs.days(source=Source.TICK)
        start_ns = midnight_ns(run.day)
        stored = system.stores.bars.read(run.instrument_ids, start_ns, start_ns + DAY_NS, Source.TICK)
        assert (stored["flags"] & BarFlag.LATE != 0).any(), "a day without late candles proves less"
        assert check_day(system, run) > 0


def test_out_of_sample_fills_are_the_artifacts_trades(trained: Settings) -> None:
    with open_system(trained, SystemClock()) as system:
        model = load_model(system)
        oos, instruments = read_oos(model.predictor.artifact.path), system.universe()
        stage = build_stage(system, model.label, sorted(instruments, key=lambda i: (i.kind, i.id)))
        orders = orders_of_oos(oos, model.label, stage.ticks)
        ids = [int(i.id or 0) for i in stage.instruments]
        found = fill_orders_of(orders, stage.desk, system.stores.bars, ids, [0, model.label.entry_delay_s], quiet)
        fills = found.fills[model.label.entry_delay_s]
        assert len(found.orders) == int(oos.trade.sum()) > 20
        np.testing.assert_array_equal(fills["ret"], oos.gross[oos.trade])
        np.testing.assert_array_equal(fills["known_ns"], oos.end_ns[oos.trade])
        summary = backtest(system, BacktestPlan(), quiet)
        own = next(r for r in summary.delays if r.name == f"{summary.delay_s} s")
        assert summary.chase is not None and summary.chase.beyond + summary.chase.trades == own.trades
        path = path_of(oos)
        assert (summary.sessions, own.trades + own.skipped) == (len(path), int(path.trades.sum()))
        assert own.gross * own.trades == pytest.approx(path.gross.sum() * 1e4)
        assert backtest(system, BacktestPlan(), quiet).days == summary.days and summary.in_sample == 0


def test_days_it_was_trained_on_are_refused_or_marked(trained: Settings) -> None:
    with open_system(trained, SystemClock()) as system:
        last = system.stores.models.latest().trained_to  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="was trained on .* found 1 of these sessions"):
        run_backtest(trained, BacktestPlan(signals="engine", first=last, last=last), SystemClock(), quiet)
    with pytest.raises(NotEnoughData, match="expected some after"):
        run_backtest(trained, BacktestPlan(signals="engine"), SystemClock(), quiet)
    result = run_backtest(trained, BacktestPlan(signals="engine", first=last, last=last, in_sample=True), SystemClock(), quiet)
    assert result.summary.in_sample == 1 and result.summary.notes[0].startswith("IN-SAMPLE: 1 of 1 sessions")
    assert "IN-SAMPLE" in result.page.read_text() and '"in_sample": 1' in result.file.read_text()


def test_a_session_does_not_depend_on_which_came_before(trained: Settings) -> None:
    """The state that goes from one session to the next is the one that a start from the anchor gives."""
    with open_system(trained, SystemClock()) as system:
        model = load_model(system)
        last = system.stores.models.latest().trained_to  # type: ignore[union-attr]
        days = system.sessions.between(last - timedelta(days=6), last)
        assert len(days) >= 3
        together, _ = build_backtest(system, model, reasons=False)
        several = [replace(day, minutes=day.minutes[:0]) for day in together.days(days, quiet)]
        for k in (1, len(days) - 1):
            alone, _ = build_backtest(system, model, reasons=False)
            (one,) = alone.days(days[k : k + 1], quiet)
            assert repr(one.signals) == repr(several[k].signals) and len(one.signals) > 100


def test_a_simple_rule_needs_no_excuse_for_its_days(trained: Settings) -> None:
    with open_system(trained, SystemClock()) as system:
        summary = backtest(system, BacktestPlan(signals="moving_average_cross"), quiet)
    assert summary.sessions == 10 and summary.in_sample == 0 and summary.signals > 10
    assert summary.chase is None, "a rule says no price"
    assert [r.name for r in summary.delays] == ["0 s", "15 s", "30 s", "60 s", "120 s"]
    assert any(note.startswith("shorts assumed") for note in summary.notes) and summary.shorts == "assumed"


def test_who_may_not_be_sold_short_is_in_no_table(trained: Settings) -> None:
    """Everybody under surveillance, no MIS list: a rule gives no shorts, and those that a model gave before are left out."""
    with open_system(trained, SystemClock()) as system:
        both = backtest(system, BacktestPlan(), quiet)
        stocks = [int(i.id or 0) for i in system.universe() if i.kind is Kind.EQUITY]
        spans = [Span(id_, date(2000, 1, 1), None, "stage 1", "test") for id_ in stocks]
        system.stores.members.take_dated("flag", Flag.ASM, spans, "test")
        run, stage = build_backtest(system, load_model(system), reasons=False)
        last = system.stores.models.latest().trained_to  # type: ignore[union-attr]
        days = list(run.rule_days(system.sessions.between(last - timedelta(days=3), last), "moving_average_cross", quiet))
        orders = np.concatenate([day.orders for day in days])
        equity = np.array([i.kind is Kind.EQUITY for i in stage.instruments])[orders["inst"]]
        assert len(orders) > 10 and (orders["side"][equity] > 0).all()
        alone = backtest(system, BacktestPlan(), quiet)
    barred = dict(alone.account.refused)["untradable"]
    assert alone.signals == both.signals and barred > 0
    for rows, before in ((alone.delays, both.delays), (alone.slippage, both.slippage)):
        for row, full in zip(rows, before, strict=True):
            lost = full.trades + full.skipped + full.missed + full.unknown + full.overlapping
            assert row.trades + row.skipped + row.missed + row.unknown + row.overlapping == lost - barred
    assert any(note.startswith("shorts assumed") for note in alone.notes)
