"""Features: the whole set at a minute's close, over a panel, and at the first start; and TA-Lib on the features both have.

One core. Prices are random walks; a bar in twenty is missing, as the speed of windows depends on gaps, except against TA-Lib, which
cannot skip. TA-Lib is called once an instrument and indicator on contiguous arrays, its most favourable use; both sides do the same
indicators, in the same run. ``--image`` draws the growth in instruments and in days. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import talib
from figures import figure, finish

from intraday.core.anchor import AnchorRule
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import Day
from intraday.core.registry import default_registry
from intraday.domain.arrays import BAR, DAY_NS, F8, IST_NS, MINUTE_NS, Bars, Panel

BAR_MINUTES = 5
STEPS_A_DAY = 75
FIRST_DAY = 19_723  # 2024-01-01
GAPS = 0.05
FIELDS = ("open", "high", "low", "close", "volume")
EMA, SMA = talib.MA_Type.EMA, talib.MA_Type.SMA
LIMIT_MS = {500: 4.0, 3000: 8.0}
CLASSIC = ("rsi_14", "macd", "macd_signal", "macd_hist", "bb_pctb_20", "bb_width_20", "atr_pct_14", "plus_di_14", "minus_di_14",
           "adx_14", "stoch_k_14", "stoch_d_14", "ema_dist_9", "ema_dist_50", "mfi_14")  # fmt: skip
SHARED = (*CLASSIC, "rsi_5", "roc_20", "mom_atr_10", "ppo_21_50", "apo_12_26", "trix_15", "cmo_14", "ultosc", "bop_14", "body",
          "aroon_down_25", "aroon_up_25", "aroon_osc_25", "dx_14", "ema_dist_200", "ema_9_21", "dema_dist_20", "tema_dist_20",
          "wma_dist_20", "kama_dist_10", "linreg_slope_14", "linreg_dist_14", "linreg_angle_14", "donchian_up_20",
          "donchian_down_20", "donchian_width_20", "keltner_20", "trange_rel_14", "stoch_rsi_14", "willr_60", "cci_14")  # fmt: skip
"""All that tests/golden/test_features_talib.py holds against TA-Lib."""


def random_panel(n_steps: int, n_instruments: int, seed: int, gaps: float = GAPS) -> Panel:
    rng = np.random.default_rng(seed)
    shape = (n_steps, n_instruments)
    close = 500.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 5e-4, shape))
    day, slot = np.divmod(np.arange(n_steps), STEPS_A_DAY)
    ts_ns = (FIRST_DAY + day) * DAY_NS - IST_NS + 555 * MINUTE_NS + slot * BAR_MINUTES * MINUTE_NS
    mask = rng.random(shape) >= gaps
    prices = (
        open_,
        np.maximum(open_, close) * 1.0005,
        np.minimum(open_, close) * 0.9995,
        close,
        np.floor(rng.lognormal(8, 1, shape)),
    )
    columns = [np.where(mask, x, np.nan) for x in prices]
    minute = slot * float(BAR_MINUTES)
    return Panel(
        BAR_MINUTES, ts_ns.astype(np.int64), (FIRST_DAY + day).astype(np.int32), minute, np.full(shape, 375.0),
        np.ones(shape, np.bool_),
        *columns, mask,
    )  # fmt: skip


REGISTRY = default_registry()


def calculator(names: Sequence[str] | None, n_instruments: int, threads: int = 1) -> FeatureCalculator:
    features = FeatureSet.of(BAR_MINUTES, names, REGISTRY, AnchorRule())
    return FeatureCalculator(features, np.ones(n_instruments, np.bool_), 0, threads)


def seconds(call: Callable[[], object], runs: int) -> float:
    """Median."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def batch_seconds(panel: Panel, names: Sequence[str] | None, runs: int, threads: int = 1) -> float:
    ours = calculator(names, panel.n_instruments, threads)
    ours.batch(panel.rows(0, 2))  # compiled, or loaded from the cache
    return seconds(lambda: ours.batch(panel), runs)


class Prices(NamedTuple):
    """Of one instrument, contiguous [T] each."""

    o: F8
    h: F8
    low: F8
    c: F8
    v: F8


def classic(p: Prices) -> None:
    talib.RSI(p.c, 14)
    talib.MACD(p.c, 12, 26, 9)
    talib.BBANDS(p.c, 20, 2.0, 2.0)
    talib.ATR(p.h, p.low, p.c, 14)
    talib.PLUS_DI(p.h, p.low, p.c, 14)
    talib.MINUS_DI(p.h, p.low, p.c, 14)
    talib.ADX(p.h, p.low, p.c, 14)
    talib.STOCHF(p.h, p.low, p.c, 14, 3, SMA)
    talib.EMA(p.c, 9)
    talib.EMA(p.c, 50)
    talib.MFI(p.h, p.low, p.c, p.v, 14)


def everything(p: Prices) -> None:
    """Each call once, though several of our features come from one of them."""
    classic(p)
    talib.RSI(p.c, 5)
    talib.ROCP(p.c, 20)
    talib.MOM(p.c, 10)
    talib.PPO(p.c, 21, 50, EMA)
    talib.APO(p.c, 12, 26, EMA)
    talib.TRIX(p.c, 15)
    talib.CMOU(p.c, 14)
    talib.ULTOSC(p.h, p.low, p.c, 7, 14, 28)
    talib.SMA(talib.BOP(p.o, p.h, p.low, p.c), 14)
    talib.AROON(p.h, p.low, 25)
    talib.AROONOSC(p.h, p.low, 25)
    talib.DX(p.h, p.low, p.c, 14)
    for period in (21, 200):
        talib.EMA(p.c, period)
    talib.DEMA(p.c, 20)
    talib.TEMA(p.c, 20)
    talib.WMA(p.c, 20)
    talib.KAMA(p.c, 10)
    talib.LINEARREG_SLOPE(p.c, 14)
    talib.LINEARREG(p.c, 14)
    talib.DONCHIAN(p.h, p.low, 20)
    talib.KC(p.h, p.low, p.c, 20, 10, 2.0)
    talib.TRANGE(p.h, p.low, p.c)
    talib.STOCHRSI(p.c, 14, 14, 3, SMA)
    talib.WILLR(p.h, p.low, p.c, 60)
    talib.CCI(p.h, p.low, p.c, 14)


def talib_seconds(panel: Panel, runs: int, calls: Callable[[Prices], None]) -> float:
    prices = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    columns = [Prices(*(np.ascontiguousarray(x[:, s]) for x in prices)) for s in range(panel.n_instruments)]

    def each() -> None:
        for own in columns:
            calls(own)

    return seconds(each, runs)


def step_ms(n_instruments: int, names: Sequence[str] | None, n_steps: int = 75, threads: int = 1) -> tuple[float, float]:
    """Median and longest decision bar of all instruments, as the engine calls it, once every window is full."""
    before = 2 * STEPS_A_DAY
    panel = random_panel(before + n_steps, n_instruments, 3)
    ours = calculator(names, n_instruments, threads)
    ours.batch(panel.rows(0, before))
    taken = []
    for t in range(before, len(panel)):
        opened = int(panel.ts_ns[t] - panel.minute[t] * MINUTE_NS)
        bars, day = bars_at(panel, t), Day(int(panel.session[t]), opened, panel.minutes[t], panel.member[t])
        start = time.perf_counter()
        ours.update(bars, int(panel.ts_ns[t]), day)
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken)), 1e3 * max(taken)


def bars_at(panel: Panel, t: int) -> Bars:
    inst = np.flatnonzero(panel.mask[t])
    bars = np.zeros(len(inst), BAR)
    bars["ts_ns"], bars["inst"] = panel.ts_ns[t], inst
    for name in FIELDS:
        bars[name] = getattr(panel, name)[t, inst]
    return bars


START = """
import time
start = time.perf_counter()
import numpy as np
from bench_features import calculator, random_panel
calculator(None, 2).batch(random_panel(2, 2, 0))
print(time.perf_counter() - start)
"""


def start_seconds() -> tuple[float, float]:
    """A new process from import to its first values, all features: with an empty kernel cache, and with the one it left."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"INTRADAY_CACHE_DIR": folder}

        def once() -> float:
            done = subprocess.run(  # noqa: S603  # our own code
                [sys.executable, "-c", START], env=env, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
            )
            return float(done.stdout.split()[-1])

        return once(), once()


def peak_growth_mb(panel: Panel, chunk: int) -> float:
    """What the process's peak grows by over the panel worked ``chunk`` steps at a time, the panel itself apart."""
    ours = calculator(None, panel.n_instruments)
    ours.batch(panel.rows(0, chunk))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for first in range(chunk, len(panel), chunk):
        ours.batch(panel.rows(first, min(first + chunk, len(panel))))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0


def draw_growth(path: Path, runs: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes, days = [125, 250, 500, 1000, 2000, 3000], [1, 2, 4, 8, 16, 32]
    live = [step_ms(n, None, 31)[0] for n in sizes]
    batch = [batch_seconds(random_panel(2 * STEPS_A_DAY, n, 5), None, runs) for n in sizes]
    long = [batch_seconds(random_panel(d * STEPS_A_DAY, 128, 5), None, runs) for d in days]
    figure_, axes = plt.subplots(1, 3, figsize=(12, 3.4), constrained_layout=True)
    panels = (("instruments", sizes, live, "ms a decision bar, live"), ("instruments", sizes, batch, "s for 2 days"),
              ("days", days, long, "s for 128 instruments"))  # fmt: skip
    for axis, (what, x, y, label) in zip(axes, panels, strict=True):
        axis.plot(x, y, "o-", color="#1f5f8b")
        axis.plot(x, np.array(x) * y[-1] / x[-1], "--", color="#999999", linewidth=1, label="in proportion")
        axis.set(xlabel=what, ylabel=label, xlim=(0, None), ylim=(0, None))
        axis.legend(frameon=False)
    figure_.suptitle(f"All {len(REGISTRY)} features, one core, 5-minute bars")
    figure_.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--instruments", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--image", type=Path)
    options = parser.parse_args()
    say, n_all = sys.stdout.write, len(REGISTRY)
    panel = random_panel(options.steps, options.instruments, 1)
    bars = options.steps * options.instruments
    every = batch_seconds(panel, None, options.runs)
    wide = random_panel(2 * STEPS_A_DAY, 1024, 1)  # two blocks of instruments, one for each thread
    one, two = (batch_seconds(wide, None, options.runs, threads) for threads in (1, 2))
    straight = random_panel(options.steps, options.instruments, 1, gaps=0.0)
    shared_sets = {
        len(names): (batch_seconds(straight, names, options.runs), talib_seconds(straight, options.runs, calls))
        for names, calls in ((SHARED, everything), (CLASSIC, classic))
    }
    steps = {n: step_ms(n, None) for n in LIMIT_MS}
    shared = step_ms(max(LIMIT_MS), None, threads=2)
    grown = peak_growth_mb(panel, STEPS_A_DAY)
    cold, warm = start_seconds()
    say(f"all {n_all} features a panel: {1e9 * every / bars / n_all:.1f} ns a value; 2 threads {one / two:.2f} times as fast\n")
    for n, (ours, theirs) in shared_sets.items():
        say(f"{n} features TA-Lib has too: {1e9 * ours / bars:.0f} ns a bar, TA-Lib {1e9 * theirs / bars:.0f}\n")
    for n, (median, longest) in steps.items():
        say(f"close of a bar, {n} instruments, all {n_all} features: {median:.2f} ms (longest {longest:.2f})\n")
    say(f"the same, {max(LIMIT_MS)} instruments, 2 threads as live does: {shared[0]:.2f} ms (longest {shared[1]:.2f})\n")
    say(f"first start {cold:.1f} s, later {warm:.1f} s; peak memory + {grown:.1f} MB in {options.steps // STEPS_A_DAY} days\n")
    if options.image:
        draw_growth(options.image, options.runs)
    finish(
        [
            *(
                figure(f"{n} features over a panel", bars / ours, "bars/s", "TA-Lib, an instrument at a time", bars / theirs)
                for n, (ours, theirs) in shared_sets.items()
            ),
            figure(f"all {n_all} features, one core", bars * n_all / every, "values/s", "target of 25 a bar at 2 M bars/s", 5e7),
            *(
                figure(f"all {n_all} features at a close, {n} instruments", steps[n][0], "ms", "limit", limit, less_is_better=True)
                for n, limit in LIMIT_MS.items()
            ),
            figure(f"the same, {max(LIMIT_MS)} instruments, 2 threads", shared[0], "ms", "limit", 8.0, less_is_better=True),
            figure("first start, empty cache", cold, "s", "limit", 30.0, less_is_better=True),
            figure("later start", warm, "s", "limit", 5.0, less_is_better=True),
        ]
    )


if __name__ == "__main__":
    main()
