"""The model's charts: equity after costs, calibration, feature importance, confusion. Each returns an ``<svg>`` or "" if empty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from intraday.report.inputs import Confusion, Equity, Reliability
from intraday.report.svg import BLUE, INK, MUTED, ORANGE, PAPER, canvas, dress, legend, to_svg
from intraday.report.words import number

IMPORTANCE_MAX = 20
TICKS_MAX = 8
BIN_ROWS_MIN = 30  # rows below which a bin's frequency is noise and is not drawn
CURVES = {"down": (ORANGE, "s"), "SELL": (ORANGE, "s"), "up": (BLUE, "o"), "BUY": (BLUE, "o")}  # the same hues everywhere


def equity_chart(equity: Equity) -> str:
    """Cumulated gross and net result by out-of-sample session, with the number of trades below."""
    n = len(equity.days)
    if n == 0:
        return ""
    figure = canvas(9.4, 3.9)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    x = np.arange(n + 1)
    for values, name, color, line in ((equity.gross, "gross", ORANGE, "--"), (equity.net, "net of costs", BLUE, "-")):
        label = f"{name} {number(float(values[-1]), 1, True)} bps"
        top.plot(x, np.concatenate([[0.0], values]), line, color=color, linewidth=1.9, label=label)
    top.axhline(0.0, color=MUTED, linewidth=0.9)
    dress(top, y="cumulated result\n[bps of one trade]")
    top.yaxis.set_major_formatter("{x:,.0f}")
    legend(top, above=True)
    bottom.bar(x[1:], equity.n_trades, width=0.7, color=MUTED, alpha=0.55)
    dress(bottom, x="out-of-sample session (date)", y="trades\n[n]")
    bottom.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    ticks = range(1, n + 1, -(-n // TICKS_MAX))
    bottom.set_xticks(ticks, [f"{equity.days[k - 1]:%d %b %y}" for k in ticks])
    return to_svg(figure, "equity", "Cumulated gross and net result by out-of-sample session")


def reliability_chart(curves: Sequence[Reliability]) -> str:
    """Predicted probability against observed frequency; the area of a point grows with its rows; a few rows say nothing."""
    curves = [_well_filled(c) for c in curves]
    curves = [c for c in curves if np.isfinite(c.predicted).any()]
    if not curves:
        return ""
    figure = canvas(4.6, 4.2)
    ax = figure.subplots()
    values = np.concatenate([np.concatenate([c.predicted, c.observed]) for c in curves])
    top = float(min(1.0, np.nanmax(values) * 1.08 + 0.02))
    bottom = float(max(0.0, np.nanmin(values) - 0.03))
    ax.plot([bottom, top], [bottom, top], color=MUTED, linewidth=1.0, linestyle=":", label="perfect")
    largest = max(float(c.count.max()) for c in curves)
    for curve in curves:
        color, marker = CURVES.get(curve.name, (INK, "D"))
        ax.plot(curve.predicted, curve.observed, color=color, linewidth=1.3, label=curve.name)
        ax.scatter(curve.predicted, curve.observed, s=12 + 90 * curve.count / largest, color=color, marker=marker, alpha=0.8)
    ax.set_xlim(bottom, top)
    ax.set_ylim(bottom, top)
    dress(ax, "predicted probability", "observed frequency", "both")
    legend(ax)
    return to_svg(figure, "reliability", "Predicted probability against observed frequency")


def _well_filled(curve: Reliability) -> Reliability:
    rows = curve.count >= BIN_ROWS_MIN
    return Reliability(curve.name, curve.predicted[rows], curve.observed[rows], curve.count[rows])


def importance_chart(importance: Sequence[tuple[str, float]]) -> str:
    """The features with the largest shares of the total gain, largest on top."""
    best = sorted((pair for pair in importance if np.isfinite(pair[1])), key=lambda pair: (-pair[1], pair[0]))[:IMPORTANCE_MAX]
    if not best:
        return ""
    figure = canvas(4.6, max(1.6, 0.21 * len(best) + 0.6))
    ax = figure.subplots()
    y = np.arange(len(best))[::-1]
    ax.barh(y, [100.0 * value for _, value in best], color=BLUE, height=0.68)
    ax.set_yticks(y, [name for name, _ in best])
    dress(ax, "share of the total gain [%]", grid="x")
    ax.tick_params(axis="y", length=0)
    for text in ax.get_yticklabels():
        text.set_color(INK)
        text.set_parse_math(False)
    return to_svg(figure, "importance", "Feature importance, share of the total gain")


def confusion_chart(confusion: Confusion) -> str:
    """What happened (rows) against what was said (columns), with shares by row."""
    counts = confusion.counts
    if counts.sum() == 0:
        return ""
    figure = canvas(4.6, 3.4)
    ax = figure.subplots()
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for i in range(3):
        for j in range(3):
            _cell(ax, i, j, int(counts[i, j]), float(rows[i, j]))
    total = counts.sum(axis=1)
    ax.set_xlim(0, 3)
    ax.set_ylim(3, 0)
    ax.set_xticks([0.5, 1.5, 2.5], ["SELL", "HOLD", "BUY"])
    happened = [f"{name}\n{100 * n / total.sum():.1f} %" for name, n in zip(("down", "neither", "up"), total, strict=True)]
    ax.set_yticks([0.5, 1.5, 2.5], happened)
    dress(ax, "said", "happened (share of all labels)", grid="")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return to_svg(figure, "confusion", "What happened against what was said, by number of rows")


def _cell(ax: Axes, i: int, j: int, count: int, part: float) -> None:
    """One cell: shaded by its share of the row, blue where said and happened agree."""
    ax.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], color=BLUE if i == j else ORANGE, alpha=0.08 + 0.55 * part, linewidth=0)
    ax.plot([j, j + 1, j + 1, j, j], [i, i, i + 1, i + 1, i], color=PAPER, linewidth=2)
    ax.text(j + 0.5, i + 0.43, f"{count:,}", ha="center", va="center", color=INK, fontsize=11)
    ax.text(j + 0.5, i + 0.72, f"{100 * part:.1f} %", ha="center", va="center", color=MUTED if part < 0.5 else INK, fontsize=8)
