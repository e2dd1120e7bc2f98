"""One candlestick chart: an instrument's day with its volume and the signals on it."""

from __future__ import annotations

import numpy as np

from intraday.domain.arrays import F8, I8, IST_NS, MINUTE_NS
from intraday.report.inputs import Candles, SignalRow
from intraday.report.svg import BLUE, FULL, INK, MUTED, ORANGE, PAPER, Drawing, Plot, nice, span

BARRIERS_MAX = 12  # stops and targets are drawn up to this many signals; more would hide the candles
DAY_MINUTES = 1440


def candle_chart(candles: Candles) -> str:
    """Candles by IST time; rising ones hollow blue, falling ones solid orange; BUY below the bar, SELL above. "" without bars."""
    if candles.ts_ns.shape[0] == 0:
        return ""
    has_volume = bool(np.isfinite(candles.volume).any())
    on = Drawing(FULL, 446 if has_volume else 366)
    minutes = _minute_of_day(candles.ts_ns)
    x = float(minutes[0]) - candles.timeframe, float(minutes[-1]) + 2 * candles.timeframe
    y = span(candles.low, candles.high, pad=0.09)
    price = Plot(on, (70, 30, FULL - 12, 318), x, y)
    price.y_axis("price [₹]", names=[f"{tick:,.10g}" for tick in nice(*y)])
    _bodies(price, candles, minutes)
    _signals(price, candles)
    lowest = price
    if has_volume:
        lowest = Plot(on, (70, 354, FULL - 12, 406), x, (0.0, float(np.nanmax(candles.volume)) * 1.05 or 1.0))
        _volume(lowest, candles, minutes)
    _time_axis(lowest, minutes, candles.timeframe)
    return on.svg(f"Candles of {candles.symbol} with signals")


def _minute_of_day(ts_ns: I8) -> F8:
    return np.asarray((ts_ns + IST_NS) // MINUTE_NS % DAY_MINUTES, dtype=np.float64)


def _bodies(plot: Plot, c: Candles, minutes: F8) -> None:
    middle, half = plot.at_x(minutes + 0.5 * c.timeframe), 0.36 * float(plot.at_x(c.timeframe) - plot.at_x(0))
    low, high, start, end = (plot.at_y(v) for v in (c.low, c.high, c.open, c.close))
    for rows, color, fill in ((c.close >= c.open, BLUE, PAPER), (c.close < c.open, ORANGE, ORANGE)):
        xs = np.column_stack([middle, middle, np.full(middle.size, np.nan)])[rows]
        plot.on.path(xs.ravel(), np.column_stack([low, high, high])[rows].ravel(), color, 1.0)
        for m, a, b in zip(middle[rows], start[rows], end[rows], strict=True):
            plot.on.rect(m - half, min(a, b), 2 * half, max(abs(a - b), 1.0), fill, edge=color)


def _signals(plot: Plot, c: Candles) -> None:
    shown = [s for s in c.signals if s.action in ("BUY", "SELL")]
    row_of = {int(ts): i for i, ts in enumerate(c.ts_ns)}
    for signal in shown:
        i = row_of.get(signal.bar_ns)
        if i is None:
            continue
        at = float(_minute_of_day(np.array([signal.bar_ns]))[0]) + 0.5 * c.timeframe
        x, buy = float(plot.at_x(at)), signal.action == "BUY"
        y = float(plot.at_y(c.low[i])) + 6 if buy else float(plot.at_y(c.high[i])) - 6
        plot.on.area((x, x - 7, x + 7), (y, y + 12, y + 12) if buy else (y, y - 12, y - 12), BLUE if buy else ORANGE, 1.0)
        plot.on.path((x, x - 7, x + 7, x), (y, *((y + 12, y + 12) if buy else (y - 12, y - 12)), y), INK, 0.9)
        if len(shown) <= BARRIERS_MAX:
            _barriers(plot, signal, at, c.timeframe)


def _barriers(plot: Plot, signal: SignalRow, at: float, timeframe: int) -> None:
    """Stop (dotted) and target (solid) as short lines from the signal on."""
    until = min(at + 6 * timeframe, plot.x[1])
    for level, dash in ((signal.stop, "2 3"), (signal.target, "")):
        if plot.y[0] <= level <= plot.y[1]:
            plot.line((at, until), (level, level), MUTED, 1.3, dash)


def _volume(plot: Plot, c: Candles, minutes: F8) -> None:
    most = float(np.nanmax(c.volume))
    thousand = most >= 2e3
    ticks = nice(0.0, most, 2)
    names = [f"{tick / 1e3:,.10g}" if thousand else f"{tick:,.10g}" for tick in ticks]
    plot.y_axis("volume [thousand]" if thousand else "volume", ticks, names)
    for minute, volume, rising in zip(minutes, c.volume, c.close >= c.open, strict=True):
        if np.isfinite(volume):
            plot.bar(minute + 0.14 * c.timeframe, minute + 0.86 * c.timeframe, 0, volume, BLUE if rising else ORANGE, 0.6)


def _time_axis(plot: Plot, minutes: F8, timeframe: int) -> None:
    """Full hours (or less on a short day) from the first bar's open to the last one's close."""
    last = float(minutes[-1]) + timeframe
    step = 60.0 if last - minutes[0] > 150 else 15.0 if last - minutes[0] > 30 else 5.0
    ticks = np.arange(np.ceil(minutes[0] / step) * step, last + 0.5, step)
    if ticks.shape[0] == 0 or ticks[0] - minutes[0] > step / 3:
        ticks = np.concatenate([minutes[:1], ticks])
    plot.x_axis("time [IST]", ticks.tolist(), [f"{int(t) // 60:02d}:{int(t) % 60:02d}" for t in ticks])
