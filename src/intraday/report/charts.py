"""Charts of the forecasts: calibration by class, predicted against realised value, what was said against what happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intraday.domain.arrays import F8
from intraday.report.inputs import Confusion, Reliability
from intraday.report.parts import Realised
from intraday.report.svg import BLUE, FULL, GREEN, HALF, INK, MUTED, ORANGE, SMALL, Drawing, Plot, legend, span
from intraday.report.words import number

BIN_ROWS_MIN = 30  # rows below which a bin's frequency is noise and is not drawn
CURVES = {"down": ORANGE, "neither": GREEN, "hold": GREEN, "up": BLUE}  # the same hues everywhere


def reliability_chart(curves: Sequence[Reliability]) -> str:
    """A panel a class: predicted probability against observed frequency with its interval; rows by bin below."""
    curves = [c for c in map(_well_filled, curves) if np.isfinite(c.predicted).any()]
    if not curves:
        return ""
    on, n = Drawing(FULL, 372), max(len(curves), 2)
    width = (FULL + 30) / n
    for k, curve in enumerate(curves):
        left = k * width + 52
        _one_class(on, curve, left, left + width - 82)
    return on.svg("Predicted probability against observed frequency, by class")


def _one_class(on: Drawing, curve: Reliability, left: float, right: float) -> None:
    color = CURVES.get(curve.name, INK)
    low, high = (curve.observed if v is None else v for v in (curve.low, curve.high))
    ends = span(curve.predicted, curve.observed, low, high, pad=0.1)
    ends = max(ends[0], 0.0), min(ends[1], 1.0)
    plot = Plot(on, (left, 44, right, 264), ends, ends)
    on.text((left + right) / 2, 12, curve.name, INK, "middle", 14, bold=True)
    plot.y_axis("observed frequency")
    plot.line(ends, ends, MUTED, 1.2, "4 3")
    for p, a, b in zip(curve.predicted, low, high, strict=True):
        plot.line((p, p), (a, b), color, 1.6)
    plot.line(curve.predicted, curve.observed, color, 1.4)
    plot.dots(curve.predicted, curve.observed, color, 9)
    below = Plot(on, (left, 284, right, 324), ends, (0.0, max(float(curve.count.max()), 1.0)))
    half = 0.012 * (ends[1] - ends[0])
    for p, rows in zip(curve.predicted, curve.count.tolist(), strict=True):
        below.bar(p - half, p + half, 0, rows, MUTED, 0.6, f"{rows:,} rows")
    on.text(left - 7, 284, f"{int(curve.count.max()):,}", anchor="end", size=SMALL)
    on.text(left - 7, 324, "rows", anchor="end", size=SMALL)
    below.x_axis("predicted probability", n=4)


def _well_filled(curve: Reliability) -> Reliability:
    """Without bins of a few rows."""
    rows = curve.count >= BIN_ROWS_MIN
    low, high = (None if v is None else v[rows] for v in (curve.low, curve.high))
    return Reliability(curve.name, curve.predicted[rows], curve.observed[rows], curve.count[rows], low, high)


def realised_chart(realised: Realised) -> str:
    """What signals were expected to gain against what they gained, with intervals, after costs."""
    if not np.isfinite(realised.realised).any():
        return ""
    on = Drawing(HALF, 340)
    plot = Plot(
        on,
        (58, 52, HALF - 14, 288),
        span(realised.predicted, pad=0.1, around=0.0),
        span(realised.realised, realised.low, realised.high, realised.predicted, around=0.0),
    )
    plot.y_axis("realised [bps a trade, net]")
    plot.x_axis("predicted [bps a trade, net]")
    plot.level(0.0)
    plot.line(plot.x, plot.x, MUTED, 1.2, "4 3")
    for x, low, high in zip(realised.predicted, realised.low, realised.high, strict=True):
        plot.line((x, x), (low, high), BLUE, 1.6)
    for x, y, n in zip(realised.predicted, realised.realised, realised.count.tolist(), strict=True):
        plot.dots(x, y, BLUE, 6 + 10 * float(np.sqrt(n / max(realised.count.max(), 1))))
    legend(on, 58, 12, [("bin, larger with more signals", BLUE, "dot"), ("as promised", MUTED, "dash")])
    return on.svg("Predicted against realised net value of signals")


def confusion_chart(confusion: Confusion) -> str:
    """What happened (rows) against what was said (columns), with shares by row."""
    counts = confusion.counts
    if counts.sum() == 0:
        return ""
    on = Drawing(HALF, 300)
    shares: F8 = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    total = counts.sum(axis=1) / counts.sum()
    width, height = (HALF - 106) / 3, 74
    for j, said in enumerate(("SELL", "HOLD", "BUY")):
        on.text(100 + (j + 0.5) * width, 34, said, INK, "middle", bold=True)
    on.text(100 + 1.5 * width, 12, "was said", anchor="middle")
    for i, happened in enumerate(("down", "neither", "up")):
        y = 50 + i * (height + 4)
        on.text(90, y + height / 2 - 9, happened, INK, "end", bold=True)
        on.text(90, y + height / 2 + 9, f"{number(100 * float(total[i]), 1)} % of rows", anchor="end", size=SMALL)
        for j in range(3):
            share, x = float(shares[i, j]), 100 + j * width
            on.rect(x, y, width - 4, height, BLUE if i == j else ORANGE, 0.08 + 0.5 * share)
            on.text(x + width / 2 - 2, y + height / 2 - 9, f"{counts[i, j]:,}", INK, "middle", 14)
            on.text(x + width / 2 - 2, y + height / 2 + 12, f"{number(100 * share, 1)} %", INK, "middle", SMALL)
    return on.svg("What happened against what was said, by number of rows")
