"""One candlestick chart: an instrument's day with its volume and the signals on it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.ticker import FuncFormatter

from intraday.domain.arrays import F8, I8, IST_NS, MINUTE_NS, Mask
from intraday.report.inputs import Candles, SignalRow
from intraday.report.svg import BLUE, INK, MUTED, ORANGE, PAPER, canvas, dress, to_svg

BARRIERS_MAX = 12  # stops and targets are drawn up to this many signals; more would hide the candles
DAY_MINUTES = 1440


def candle_chart(candles: Candles) -> str:
    """Candles by IST time; rising ones hollow blue, falling ones solid orange; BUY below the bar, SELL above. "" without bars."""
    if candles.ts_ns.shape[0] == 0:
        return ""
    has_volume = bool(np.isfinite(candles.volume).any())
    figure = canvas(9.4, 4.9)
    axes = figure.subplots(2 if has_volume else 1, 1, sharex=True, squeeze=False, height_ratios=[4, 1] if has_volume else [1])
    price = axes[0, 0]
    x = _minute_of_day(candles.ts_ns)
    _bodies(price, candles, x)
    _signals(price, candles)
    price.margins(x=0.01, y=0.06)
    price.yaxis.set_major_formatter(FuncFormatter(lambda rupees, _: f"{rupees:,.10g}"))
    dress(price, y="price [₹]")
    if has_volume:
        _volume(axes[1, 0], candles, x)
    _time_axis(axes[-1, 0], x, candles.timeframe)
    return to_svg(figure, "candles", f"Candles of {candles.symbol} with signals")


def _minute_of_day(ts_ns: I8) -> F8:
    return np.asarray((ts_ns + IST_NS) // MINUTE_NS % DAY_MINUTES, dtype=np.float64)


def _bodies(ax: Axes, c: Candles, x: F8) -> None:
    middle = x + 0.5 * c.timeframe
    rising = c.close >= c.open
    ax.add_collection(_wicks(c, middle, rising, BLUE))
    ax.add_collection(_wicks(c, middle, ~rising, ORANGE))
    ax.add_collection(_boxes(c, middle, rising, BLUE, PAPER))
    ax.add_collection(_boxes(c, middle, ~rising, ORANGE, ORANGE))
    ax.update_datalim(np.column_stack([np.concatenate([middle, middle]), np.concatenate([c.low, c.high])]))
    ax.autoscale_view()


def _wicks(c: Candles, middle: F8, rows: Mask, color: str) -> LineCollection:
    lines = [((m, low), (m, high)) for m, low, high in zip(middle[rows], c.low[rows], c.high[rows], strict=True)]
    return LineCollection(lines, colors=color, linewidths=0.9)


def _boxes(c: Candles, middle: F8, rows: Mask, edge: str, fill: str) -> PolyCollection:
    half = 0.36 * c.timeframe
    spans = zip(middle[rows], c.open[rows], c.close[rows], strict=True)
    corners = [((m - half, a), (m + half, a), (m + half, b), (m - half, b)) for m, a, b in spans]
    return PolyCollection(corners, facecolors=fill, edgecolors=edge, linewidths=1.0)


def _signals(ax: Axes, c: Candles) -> None:
    shown = [s for s in c.signals if s.action in ("BUY", "SELL")]
    row_of = {int(ts): i for i, ts in enumerate(c.ts_ns)}
    gap = 0.02 * float(np.nanmax(c.high) - np.nanmin(c.low) or 1.0)
    for signal in shown:
        i = row_of.get(signal.bar_ns)
        if i is None:
            continue
        at = float(_minute_of_day(np.array([signal.bar_ns]))[0]) + 0.5 * c.timeframe
        buy = signal.action == "BUY"
        y = float(c.low[i]) - gap if buy else float(c.high[i]) + gap
        marker, color = ("^", BLUE) if buy else ("v", ORANGE)
        ax.scatter([at], [y], marker=marker, s=64, color=color, edgecolors=INK, linewidths=0.8, zorder=5)
        if len(shown) <= BARRIERS_MAX:
            _barriers(ax, signal, at, c.timeframe)


def _barriers(ax: Axes, signal: SignalRow, at: float, timeframe: int) -> None:
    """Stop (dotted) and target (solid) as short lines from the signal on."""
    for level, line in ((signal.stop, ":"), (signal.target, "-")):
        if np.isfinite(level):
            ax.plot([at, at + 6 * timeframe], [level, level], line, color=MUTED, linewidth=1.1, zorder=4)


def _volume(ax: Axes, c: Candles, x: F8) -> None:
    rising = c.close >= c.open
    scale, unit = (1e3, "thousand") if np.nanmax(c.volume) >= 2e3 else (1.0, "n")
    for rows, color in ((rising, BLUE), (~rising, ORANGE)):
        ax.bar(x[rows] + 0.5 * c.timeframe, c.volume[rows] / scale, width=0.72 * c.timeframe, color=color, alpha=0.6)
    dress(ax, y=f"volume\n[{unit}]")


def _time_axis(ax: Axes, x: F8, timeframe: int) -> None:
    """Full hours (or less on a short day) from the first bar's open to the last one's close."""
    last = float(x[-1]) + timeframe
    step = 60.0 if last - x[0] > 150 else 15.0 if last - x[0] > 30 else 5.0
    ticks = np.arange(np.ceil(x[0] / step) * step, last + 0.5, step)
    if ticks.shape[0] == 0 or ticks[0] - x[0] > step / 3:
        ticks = np.concatenate([x[:1], ticks])
    ax.set_xticks(ticks, [f"{int(t) // 60:02d}:{int(t) % 60:02d}" for t in ticks])
    ax.set_xlim(float(x[0]) - timeframe, last + timeframe)
    ax.set_xlabel("time [IST]", color=MUTED)
