"""The halt of 2021-02-24 and the Muhurat evening of 2021-11-04 on the real index: import, features, labels, live, late bars."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine_cases import GRACE_NS, feature_set
from intraday.core.candles import HistoricalAggregator
from intraday.core.features import FeatureCalculator
from intraday.core.fills import last_exit_ns
from intraday.core.labels import Labeler
from intraday.core.panel import panel_of, regular_day
from intraday.core.validate import CandleValidator
from intraday.domain.arrays import BAR, MINUTE_NS, TICK, BarFlag, Bars, Ticks
from intraday.domain.events import Action, Backfilled, Effect, Event, SaveBars, SaveFeatures, SaveSignals
from intraday.domain.session import Session, SessionTable, midnight_ns
from intraday.live.engine import Engine, EngineSpec
from intraday.live.recorded import frames
from intraday.live.sources import timed_events
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.sim.recorded import from_bars
from special_days import BUY, LABEL, TIMEFRAME, Up

TABLE = SessionTable.load()
VOLUMELESS = np.zeros(1, np.bool_)
# the day, rows of the file outside the session, minutes the file has of it, of those it could have
HALT, MUHURAT = date(2021, 2, 24), date(2021, 11, 4)
DAYS = [(HALT, ["09:07", "15:37", "17:00", "17:01"], 128, 220), (MUHURAT, ["18:07", "19:15", "19:17"], 60, 60)]


def clock(day: date, ns: int) -> str:
    minute = (ns - midnight_ns(day)) // MINUTE_NS
    return f"{minute // 60:02d}:{minute % 60:02d}"


def rows_of(shared: Path, first: date, last: date) -> Bars:
    """Every row of the file from ``first`` to ``last``."""
    frame = pl.read_parquet(shared / "data" / "bars" / "nse_index_2021_2023" / "NIFTY50.parquet")
    frame = frame.filter(pl.col("ts").dt.date().is_between(first, last)).unique("ts").sort("ts")
    rows = np.zeros(len(frame), BAR)
    rows["ts_ns"] = frame["ts"].dt.epoch("us").to_numpy() * 1000
    for name in ("open", "high", "low", "close"):
        rows[name] = frame[name].to_numpy()
    rows["volume"] = np.nan
    return rows


def believed(shared: Path, day: date) -> Bars:
    """What the importer keeps of the day and the ten sessions before it."""
    first = day
    for _ in range(10):
        first = TABLE.previous(first).day
    rows = rows_of(shared, first, day)
    return rows[CandleValidator(TABLE).check(rows, False).accepted]


def ticks_of(bars: Bars) -> Ticks:
    """Ticks whose candles are these bars, received a third of a second later."""
    trades = from_bars(bars, 0)
    ticks = np.zeros(len(trades), TICK)
    ticks["event_ns"], ticks["price"], ticks["volume"] = trades.at_ns, trades.price, -1
    ticks["recv_ns"] = ticks["event_ns"] + 300_000_000
    return ticks


def lived(past: Bars, events: list[Event], session: Session) -> list[Effect]:
    """The events through an engine that is warm from ``past``."""
    calculator = FeatureCalculator(feature_set(TIMEFRAME), VOLUMELESS)
    calculator.batch(panel_of(HistoricalAggregator(1).aggregate(past, TIMEFRAME), 1, TIMEFRAME, TABLE))
    decider = SignalGenerator(SignalSpec(BUY, np.zeros(1), LABEL, np.full(1, 0.05), observe=False, model_id="m" * 16))
    engine = Engine(session, regular_day(session, 1), EngineSpec(TIMEFRAME, GRACE_NS, 0), calculator, Up(), decider)
    return [effect for event in events for effect in engine.process(event)]


@pytest.mark.parametrize(("day", "outside", "n", "most"), DAYS)
def test_the_importer_keeps_the_minutes_of_the_session(shared: Path, day: date, outside: list[str], n: int, most: int) -> None:
    rows = rows_of(shared, day, day)
    found = CandleValidator(TABLE).check(rows, False)
    assert [clock(day, ns) for ns in rows["ts_ns"][found.code > 0].tolist()] == outside
    assert {str(reason) for reason in found.counts()} == {"out_of_session"}
    session = TABLE.get(day)
    assert len(found.accepted) == n and session.minutes - sum((b - a) // MINUTE_NS for a, b in session.pauses) == most
    assert n + found.gap_minutes == most


@pytest.mark.parametrize("day", [row[0] for row in DAYS])
def test_live_features_labels_and_signals_keep_to_the_session(shared: Path, day: date) -> None:
    session, bars = TABLE.get(day), believed(shared, day)
    past, today = bars[bars["ts_ns"] < session.open_ns], bars[bars["ts_ns"] >= session.open_ns]
    feed = list(timed_events(session, frames(ticks_of(today)), GRACE_NS, 1 << 60))
    effects = lived(past, feed, session)
    saved = np.concatenate([effect.bars for effect in effects if isinstance(effect, SaveBars)])
    for name in ("ts_ns", "open", "high", "low", "close", "flags"):
        assert np.array_equal(saved[name], today[name]), name

    panel = panel_of(HistoricalAggregator(1).aggregate(bars, TIMEFRAME), 1, TIMEFRAME, TABLE)
    x = FeatureCalculator(feature_set(TIMEFRAME), VOLUMELESS).batch(panel)[panel.session == session.number, 0]
    issued = [effect for effect in effects if isinstance(effect, SaveFeatures)]
    assert np.concatenate([effect.x for effect in issued]).tobytes() == x.tobytes(), "live is history, bit for bit"
    assert np.isfinite(x[:, 0]).all()

    limit = last_exit_ns(LABEL.rules, session)
    signals = [s for effect in effects if isinstance(effect, SaveSignals) for s in effect.signals]
    bought = [s for s in signals if s.action is Action.BUY]
    assert all(s.bar_ns + (TIMEFRAME + LABEL.horizon_min) * MINUTE_NS <= limit for s in bought) and len(bought) >= 5
    assert all(s.valid_until_ns <= session.close_ns for s in signals)
    minutes, sigma = panel_of(bars, 1, 1, TABLE), np.full((len(panel), 1), 5e-4, np.float32)
    labels = Labeler(LABEL, np.full(1, 0.05)).label(minutes, panel, sigma, TABLE)
    labels = labels[labels["ts_ns"] >= session.open_ns]
    assert len(labels) >= 5 and (labels["t1_ns"] <= limit).all()

    late = today[len(today) // 2 - 7 : len(today) // 2 - 2].copy()
    late["close"] *= 1.01
    extra = Backfilled(int(late["ts_ns"][-1]) + 90 * 10**9, late)
    again = lived(past, sorted([*feed, extra], key=lambda event: event.now_ns), session)
    (kept,) = [effect.bars for effect in again if isinstance(effect, SaveBars) and (effect.bars["flags"] & BarFlag.LATE).any()]
    assert np.array_equal(kept["ts_ns"], late["ts_ns"]) and (kept["flags"] & BarFlag.LATE).all()
    assert [repr(e) for e in again if isinstance(e, SaveSignals)] == [repr(e) for e in effects if isinstance(e, SaveSignals)]
    assert [e.x.tobytes() for e in again if isinstance(e, SaveFeatures)] == [e.x.tobytes() for e in issued]
