"""Features: instrument-bars a second with 25 features each, the live step, and TA-Lib on the features both have.

One core. The panel is random; speed does not depend on the prices. TA-Lib is called once an instrument and indicator on
contiguous arrays, its most favourable use; both sides do the same indicators, in the same run. The last line is JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import talib
from figures import figure, finish

from intraday.core.anchor import AnchorRule
from intraday.core.features import FeatureCalculator, FeatureSet
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, Panel

BAR_MINUTES = 5
STEPS_A_DAY = 75
TARGET = 2e6
SHARED = ("rsi_14", "macd", "macd_signal", "macd_hist", "bb_pctb_20", "bb_width_20", "atr_pct_14", "plus_di_14", "minus_di_14",
          "adx_14", "stoch_k_14", "stoch_d_14", "ema_dist_9", "ema_dist_50", "mfi_14")  # fmt: skip
OTHERS = ("ret_1", "ret_12", "sigma", "parkinson_20", "vwap_dist", "vol_rel_20", "vol_profile", "range_pos", "gap", "session_pos")


def random_panel(n_steps: int, n_instruments: int, seed: int) -> Panel:
    rng = np.random.default_rng(seed)
    shape = (n_steps, n_instruments)
    close = 500.0 * np.exp(np.cumsum(rng.normal(0, 1e-4, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 5e-4, shape))
    row = np.arange(n_steps)
    return Panel(
        BAR_MINUTES, row.astype(np.int64), (row // STEPS_A_DAY).astype(np.int32), row % STEPS_A_DAY * float(BAR_MINUTES),
        np.full(n_steps, 375.0), open_, np.maximum(open_, close) * 1.0005, np.minimum(open_, close) * 0.9995, close,
        np.floor(rng.lognormal(8, 1, shape)), np.ones(shape, np.bool_),
    )  # fmt: skip


def seconds(call: Callable[[], object], runs: int) -> float:
    """Median."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def batch_seconds(panel: Panel, names: Sequence[str] | None, runs: int) -> float:
    features = FeatureSet.of(BAR_MINUTES, names, default_registry(), AnchorRule())
    volumes = np.ones(panel.n_instruments, np.bool_)
    FeatureCalculator(features, volumes).batch(panel.rows(0, 2))  # compiled, or loaded from the cache
    return seconds(lambda: FeatureCalculator(features, volumes).batch(panel), runs)


def talib_seconds(panel: Panel, runs: int) -> float:
    prices = (panel.high, panel.low, panel.close, panel.volume)
    columns = [[np.ascontiguousarray(x[:, s]) for x in prices] for s in range(panel.n_instruments)]

    def everything() -> None:
        for high, low, close, volume in columns:
            talib.RSI(close, 14)
            talib.MACD(close, 12, 26, 9)
            talib.BBANDS(close, 20, 2.0, 2.0)
            talib.ATR(high, low, close, 14)
            talib.PLUS_DI(high, low, close, 14)
            talib.MINUS_DI(high, low, close, 14)
            talib.ADX(high, low, close, 14)
            talib.STOCHF(high, low, close, 14, 3, 0)
            talib.EMA(close, 9)
            talib.EMA(close, 50)
            talib.MFI(high, low, close, volume, 14)

    return seconds(everything, runs)


def step_microseconds(n_instruments: int, names: Sequence[str] | None) -> float:
    """One decision bar of all instruments, as the engine calls it."""
    panel = random_panel(40, n_instruments, 3)
    features = FeatureSet.of(BAR_MINUTES, names, default_registry(), AnchorRule())
    calculator = FeatureCalculator(features, np.ones(n_instruments, np.bool_))
    calculator.batch(panel)
    bars = np.zeros(n_instruments, BAR)
    bars["inst"] = np.arange(n_instruments)
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = getattr(panel, name)[-1]
    return 1e6 * seconds(lambda: calculator.update(bars, 1, 5.0, 375.0), 201)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--instruments", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    say = sys.stdout.write
    start = time.perf_counter()
    FeatureCalculator(FeatureSet.of(BAR_MINUTES, None, default_registry(), AnchorRule()), np.ones(1, np.bool_)).batch(
        random_panel(2, 1, 0)
    )
    first_call = time.perf_counter() - start
    panel = random_panel(options.steps, options.instruments, 1)
    bars = options.steps * options.instruments
    names = (*SHARED, *OTHERS)
    rate = bars / batch_seconds(panel, names, options.runs)
    every = bars / batch_seconds(panel, None, max(1, options.runs // 2))
    ours, theirs = batch_seconds(panel, SHARED, options.runs), talib_seconds(panel, options.runs)
    steps = {n: round(step_microseconds(n, names), 1) for n in (9, 500, 3000)}
    say(f"first call {first_call:.2f} s (compiles or loads the interpreter)\n")
    say(f"{len(names)} features: {rate / 1e6:.2f} M bars/s, target {TARGET / 1e6:.0f}\n")
    say(f"all {len(default_registry())} features: {every / 1e6:.2f} M bars/s\n")
    say(f"{len(SHARED)} features TA-Lib has too: {1e9 * ours / bars:.0f} ns a bar, TA-Lib {1e9 * theirs / bars:.0f}\n")
    say(f"live step, microseconds by instruments: {steps}\n")
    finish(
        [
            figure(f"{len(names)} features, one core", rate, "bars/s", "target", TARGET),
            figure(f"all {len(default_registry())} features, one core", every, "bars/s", "target", TARGET),
            figure(f"{len(SHARED)} features", bars / ours, "bars/s", "TA-Lib, an instrument at a time", bars / theirs),
            figure("first call", first_call, "s", "limit of a later start", 5.0, less_is_better=True),
        ]
    )


if __name__ == "__main__":
    main()
