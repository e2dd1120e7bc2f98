"""An engine with real features and decisions and a small fixed formula for a model, and messy feeds for it."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from intraday.core.anchor import AnchorRule
from intraday.core.decision import DecisionRule
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.labels import LabelSpec
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import Day, regular_day
from intraday.core.registry import default_registry
from intraday.domain.arrays import F4, F8, MINUTE_NS, TICK
from intraday.domain.events import Event, Frame, LinkLost, LinkUp, Timer
from intraday.domain.session import Session, SessionTable
from intraday.live.engine import Engine, EngineSpec
from intraday.signal.generator import SignalGenerator, SignalSpec

DAY = SessionTable.load().get(date(2024, 1, 10))
GRACE_NS = 1_500_000_000
N_INST = 4  # the last one is an index
HAS_VOLUME = np.array([True, True, True, False])
NAMES = ("sigma", "ret_1", "rsi_14", "vwap_dist", "session_pos")


class Formula:
    """Probabilities from the features by a fixed formula; no row looks at another."""

    def predict(self, x: F4) -> F8:
        score = np.nan_to_num(x.astype(np.float64))[:, 1] * 800.0
        odds = np.stack([np.exp(-score), np.ones(len(x)), np.exp(score)], axis=1)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float64)


def feature_set(timeframe: int) -> FeatureSet:
    return FeatureSet.of(timeframe, NAMES, default_registry(), AnchorRule())


def engine(timeframe: int = 1, n: int = N_INST, session: Session = DAY, hours: Day | None = None) -> Engine:
    """A cold engine for the first ``n`` instruments, which trade for the whole session unless ``hours`` says otherwise."""
    hours = hours or regular_day(session, n)
    label = LabelSpec(timeframe=timeframe)
    rule = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), 0.0)
    spec = SignalSpec(rule, np.full(n, 0.0), label, np.full(n, 0.05), observe=False, model_id="m" * 16)
    calculator = FeatureCalculator(feature_set(timeframe), HAS_VOLUME[:n])
    opened = OpenSignals(session, label, spec.tick_rupees)
    return Engine(session, hours, EngineSpec(timeframe, GRACE_NS, 0), calculator, Formula(), SignalGenerator(spec), opened)


def tick(second: float, price: float, volume: int = -1, inst: int = 0, late_s: float = 0.0) -> np.void:
    """One TICK ``second`` after the open, received ``late_s`` later."""
    row = np.zeros(1, TICK)
    event_ns = DAY.open_ns + int(second * 1e9)
    row[0] = (event_ns, event_ns + int(late_s * 1e9), inst, round(price * 100), volume)
    return row[0]


def frame(*ticks: np.void) -> Frame:
    """Ticks in one frame, received with the last of them."""
    rows = np.array([t.item() for t in ticks], TICK)
    return Frame(int(rows["recv_ns"].max()), rows)


def minute(k: int) -> Timer:
    """The timer that closes the session's ``k``-th minute (from 1)."""
    return Timer(DAY.open_ns + k * MINUTE_NS + GRACE_NS)


def feed(seed: int, minutes: int = 30, n: int = 400, late: float = 0.05, start_ns: int = DAY.open_ns) -> list[Event]:
    """A messy feed in order of ``now_ns``: thin instruments, a share ``late`` over a minute late, an outage in half of them."""
    rng = np.random.default_rng(seed)
    event_ns = np.sort(start_ns + rng.integers(0, minutes * MINUTE_NS, n))
    rows = np.zeros(n, TICK)
    rows["event_ns"] = event_ns
    rows["recv_ns"] = event_ns + np.where(rng.random(n) < late, rng.integers(60, 200, n), 0) * 10**9
    rows["inst"] = rng.choice(N_INST, n, p=[0.6, 0.25, 0.05, 0.1])
    rows["price"] = 10_000 + np.cumsum(rng.integers(-8, 9, n))
    rows["volume"] = np.where(rows["inst"] == N_INST - 1, -1, np.cumsum(rng.integers(0, 50, n)))
    events: list[Event] = [Frame(int(r["recv_ns"]), rows[i : i + 1]) for i, r in enumerate(rows)]
    events += [Timer(start_ns + k * MINUTE_NS + GRACE_NS) for k in range(1, minutes + 5)]
    if rng.random() < 0.5:
        lost = int(start_ns + rng.integers(1, minutes) * MINUTE_NS)
        gone = tuple(sorted(rng.permutation(N_INST)[: int(rng.integers(0, N_INST))].tolist()))  # nobody: everybody
        events += [LinkLost(lost, "test", lost - int(rng.integers(0, 90)) * 10**9, gone), LinkUp(lost + 40 * 10**9)]
    return sorted(events, key=lambda e: e.now_ns)


def frozen(effect: Any) -> Any:
    """Everything an effect says, as plain values that nothing can change any more."""
    return type(effect).__name__, tuple(
        value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for value in (getattr(effect, name) for name in effect.__slots__)
    )
