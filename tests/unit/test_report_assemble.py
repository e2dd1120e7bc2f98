"""From an artifact's manifest and predictions to the parts of a report."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from intraday.domain.arrays import BAR, DAY_NS, IST_NS, MINUTE_NS, Panel, empty
from intraday.domain.events import Action, Signal
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.ports import FeatureSetRecord
from intraday.domain.session import SessionTable
from intraday.model.artifacts import Artifact, Lineage, read_oos, save
from intraday.model.metrics import OutOfSample
from intraday.model.splits import SplitSpec
from intraday.model.trainer import LGBMTrainer, TrainSpec
from intraday.report.assemble import busiest, candles_of, coverage_of, header_of, model_parts, signal_rows
from intraday.report.html import page
from intraday.report.inputs import ReportInput
from model_cases import NAMES, dataset

DAY = date(2021, 6, 11)
SESSION = (DAY - date(1970, 1, 1)).days
OPEN_NS = SESSION * DAY_NS - IST_NS + 555 * MINUTE_NS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, OutOfSample]:
    spec = TrainSpec(split=SplitSpec(min_train=8, test=4), num_boost_round=10, threads=1)
    model = LGBMTrainer(spec).train(dataset(sessions=20), NAMES)
    lineage = Lineage(
        FeatureSetRecord("f", 10, NAMES, "{}"), "previous_quarter", "l", "{}", "best version", tuple(f"NSE:{c}" for c in "ABCDEF")
    )
    one, yes = np.zeros((1, 1)), np.ones((1, 1), np.bool_)
    panel = Panel(
        10, np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1), one, yes, one, one, one, one, one, yes
    )  # fmt: skip
    artifact = save(tmp_path_factory.mktemp("m"), model, lineage, panel, np.ones(1, np.bool_), np.zeros((1, 1, 4), np.float32))
    return artifact, read_oos(artifact.path)


def signal(inst: int = 0, action: Action = Action.BUY, minute: int = 0, day: int = 0) -> Signal:
    bar = OPEN_NS + minute * MINUTE_NS + day * DAY_NS
    decided = bar + 5 * MINUTE_NS + 1
    return Signal(inst, bar, decided, action, 0.5, 0.2, 0.3, 0.5, 100.0, 99.0, 101.0, bar + 10**12, True, "m")


def test_the_equity_curve_is_the_trades_by_session(trained: tuple[Artifact, OutOfSample]) -> None:
    _, oos = trained
    equity = model_parts(*trained).equity
    taken: dict[int, list[tuple[float, float]]] = {int(s): [] for s in oos.session}
    for session, trade, gross, cost in zip(oos.session, oos.trade, oos.gross, oos.cost, strict=True):
        if trade:
            taken[int(session)].append((gross * 1e4, cost * 1e4))
    assert [d.toordinal() - date(1970, 1, 1).toordinal() for d in equity.days] == sorted(taken)
    assert equity.n_trades.tolist() == [len(taken[k]) for k in sorted(taken)]
    total, curve = 0.0, [0.0]
    for k in sorted(taken):
        total += sum(g - c for g, c in taken[k])
        curve.append(total)
    assert np.allclose(equity.net, curve[1:])
    assert np.isclose(equity.drawdown, max(max(curve[: i + 1]) - curve[i] for i in range(len(curve))))
    assert np.isclose(equity.gross[-1], sum(g for rows in taken.values() for g, _ in rows))


def test_confusion_counts_every_row_once(trained: tuple[Artifact, OutOfSample]) -> None:
    _, oos = trained
    counts = model_parts(*trained).confusion.counts
    assert counts.sum() == len(oos)
    assert counts[0, 2] == int(((oos.label == -1) & (oos.side == 1)).sum())


def test_folds_carry_dates_and_figures(trained: tuple[Artifact, OutOfSample]) -> None:
    artifact, oos = trained
    folds = model_parts(*trained).folds
    assert [f.number for f in folds] == [1, 2, 3]
    assert folds[0].fit_to < folds[0].test_from <= folds[0].test_to < folds[1].test_from
    assert sum(f.n_test for f in folds) == len(oos)
    assert folds[1].log_loss == artifact.manifest["folds"][1]["log_loss"]


def test_figures_come_from_the_manifest(trained: tuple[Artifact, OutOfSample]) -> None:
    artifact, _ = trained
    figures = {f.name: f for f in model_parts(*trained).figures}
    metrics = artifact.manifest["metrics"]
    assert figures["Net a session"].low == metrics["net_bps_session"]["low"]
    assert figures["Hit rate"].value == 100 * metrics["hit_rate"]
    assert figures["Trades"].value == metrics["trades"]
    assert "better" in figures["Log-loss"].note


def test_missing_figures_become_nan(trained: tuple[Artifact, OutOfSample]) -> None:
    artifact, oos = trained
    hollow = {"mean": None, "low": None, "high": None}
    metrics: dict[str, Any] = dict(artifact.manifest["metrics"]) | {
        "net_bps_session": hollow,
        "net_bps_trade": None,
        "hit_rate": None,
    }
    bare = dataclasses.replace(artifact, manifest={**artifact.manifest, "metrics": metrics | {"calibration": []}})
    parts = model_parts(bare, dataclasses.replace(oos, trade=np.zeros(len(oos), np.bool_)))
    figures = {f.name: f for f in parts.figures}
    assert np.isnan([figures["Net a session"].value, figures["Net a trade"].value, figures["Hit rate"].value]).all()
    assert parts.equity.drawdown == 0.0
    values = {f.name: getattr(parts, f.name) for f in dataclasses.fields(parts)}
    assert "Equity after costs" in page(ReportInput(header_of(bare, "t", 0, "m", "s", 20), **values))


def test_the_header_names_the_model_and_its_days(trained: tuple[Artifact, OutOfSample]) -> None:
    artifact, _ = trained
    header = header_of(artifact, "t", 0, "m", "s", 20)
    assert (header.model_id, header.verdict, header.n_instruments, header.timeframe) == (artifact.id, artifact.verdict, 6, 10)
    assert header.last_day is not None and header.first_day is not None
    assert header.last_day - header.first_day == timedelta(days=19)


def test_signals_are_sorted_and_holds_counted() -> None:
    signals = [signal(1, minute=10), signal(0, Action.HOLD), signal(1, Action.SELL), signal(0)]
    rows, n_hold = signal_rows(signals, ["A", "B"])
    assert [(r.symbol, r.action) for r in rows] == [("A", "BUY"), ("B", "SELL"), ("B", "BUY")]
    assert n_hold == 1


@pytest.mark.parametrize(
    ("signals", "chosen"),
    [
        ([], None),
        ([signal(2, Action.HOLD)], (2, DAY)),
        ([signal(0, Action.HOLD), signal(0, Action.HOLD), signal(1)], (1, DAY)),
        ([signal(1), signal(0)], (0, DAY)),
        ([signal(1, day=3), signal(1, day=3), signal(0), signal(1)], (1, DAY + timedelta(days=3))),
    ],
)
def test_the_busiest_instrument_and_day(signals: list[Signal], chosen: tuple[int, date] | None) -> None:
    assert busiest(signals) == chosen


def test_candles_are_of_one_instrument_and_ist_day() -> None:
    bars = empty(BAR, 4)
    bars["ts_ns"] = [OPEN_NS + 5 * MINUTE_NS, OPEN_NS, OPEN_NS, OPEN_NS - DAY_NS]
    bars["inst"] = [1, 1, 0, 1]
    bars["close"] = [3.0, 2.0, 1.0, 0.0]
    candles = candles_of(bars, 1, "B", DAY, 5, [signal(1), signal(1, Action.HOLD), signal(0), signal(1, day=1)])
    assert candles.close.tolist() == [2.0, 3.0]
    assert [s.symbol for s in candles.signals] == ["B"]


def test_coverage_counts_minutes_of_sessions() -> None:
    sessions = SessionTable.load()
    instruments = [Instrument("NSE", "A", id=7), Instrument("NSE", "B", id=8)]
    a, b = coverage_of([(7, DAY, 300), (7, date(2021, 11, 4), 60), (9, DAY, 1)], instruments, sessions)
    assert (a.symbol, a.n_sessions, a.n_bars, a.n_expected) == ("A", 2, 360, 375 + 60)
    assert (b.n_sessions, b.n_bars, b.n_expected) == (0, 0, 0)


def test_coverage_counts_the_minutes_of_each_instruments_own_hours() -> None:
    """The first day of the closing auction, and the halt of 2021-02-24."""
    sessions, since = SessionTable.load(), date(2026, 8, 3)
    instruments = [Instrument("NSE", "A", id=7), Instrument("NSE", "B", id=8), Instrument("NFO", "AFUT", Kind.FUTURE, id=9)]
    stored = [(i.id, day, 1) for i in instruments for day in (since, date(2021, 2, 24))]
    found = coverage_of(stored, instruments, sessions, lambda number, day: number == 7)
    assert [row.n_expected for row in found] == [360 + 220, 375 + 220, 385 + 220]
