"""Charts of what the model looks at: gain with its spread over folds, and what features did to single forecasts (SHAP)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intraday.domain.arrays import F8
from intraday.report.parts import Stability, Swarm
from intraday.report.svg import BLUE, FULL, GRID, HALF, INK, MUTED, ORANGE, SMALL, Drawing, Plot, legend, shortened, span, spread

IMPORTANCE_MAX = 20
RANKS_MAX = 14
STEADY = 3  # ranks that a steady feature may move
NAME_MAX = 26  # characters of a feature's name
SHADES = ("#2f74c0", "#5f8fc4", "#8aa2bd", "#a9a39b", "#c99a74", "#d98545", "#dd6b10")
"""From low to high values of a feature; all of them readable on a light and on a dark page."""
MISSING_SHADE = "#8a8f98"


def importance_chart(importance: Sequence[tuple[str, float]], stability: Stability | None = None) -> str:
    """The features with the largest shares of the total gain, largest on top; a dot for each fold's own share."""
    best = sorted((pair for pair in importance if np.isfinite(pair[1])), key=lambda pair: (-pair[1], pair[0]))[:IMPORTANCE_MAX]
    if not best:
        return ""
    folds = {} if stability is None else dict(zip(stability.names, stability.shares, strict=True))
    shares = [100.0 * v for _, v in best]
    seen = np.concatenate([100.0 * folds[name] for name, _ in best if name in folds] or [np.zeros(0)])
    on = Drawing(HALF, 46 + 20 * len(best) + 48)
    plot = Plot(on, (170, 34, HALF - 10, 38 + 20 * len(best)), (0.0, span(shares, seen, around=0.0)[1]), (float(len(best)), 0.0))
    plot.x_axis("share of the total gain [%]", grid=True, n=4)
    for i, (name, _) in enumerate(best):
        on.text(162, float(plot.at_y(i + 0.5)), shortened(name, NAME_MAX), INK, "end", SMALL)
        plot.bar(0.0, shares[i], i + 0.16, i + 0.84, BLUE, 0.45 if folds else 1.0)
        if name in folds:
            own = 100.0 * folds[name]
            plot.line((np.nanmin(own), np.nanmax(own)), (i + 0.5, i + 0.5), ORANGE, 1.2)
            plot.dots(own, np.full(own.size, i + 0.5), ORANGE, 5.5)
    if folds:
        legend(on, 170, 12, [("final model", BLUE, "faint"), ("each fold", ORANGE, "dot")])
    return on.svg("Feature importance, share of the total gain, of the final model and of each fold")


def swarm_chart(swarm: Swarm) -> str:
    """A dot for each forecast: to the right the feature spoke for ``towards``; blue where its value was low, orange high."""
    n = min(len(swarm.names), IMPORTANCE_MAX)
    if n == 0 or not np.isfinite(swarm.contribution).any():
        return ""
    on, row = Drawing(FULL, 46 + 27 * n + 46), 27.0
    low, high = (float(np.nanquantile(swarm.contribution[:n], q)) for q in (0.002, 0.998))
    plot = Plot(on, (210, 34, FULL - 96, 38 + row * n), span((low, high), around=0.0), (float(n), 0.0))
    plot.x_axis(f"contribution to the log-odds of {swarm.towards}", grid=True)
    plot.upright(0.0, MUTED)
    on.text(FULL - 86, 22, "mean |·|", size=SMALL)
    for i in range(n):
        y = float(plot.at_y(i + 0.5))
        on.text(202, y, shortened(swarm.names[i], NAME_MAX + 4), INK, "end", SMALL)
        on.path((210, FULL - 96), (y + row / 2, y + row / 2), GRID, 0.6)
        on.text(FULL - 86, y, f"{swarm.strength[i]:.3f}", size=SMALL)
        _dots(on, plot, swarm.contribution[i], swarm.value[i], y)
    legend(on, 210, 12, [("low value", SHADES[0], "dot"), ("middle", SHADES[3], "dot"), ("high value", SHADES[-1], "dot")])
    return on.svg("What features did to single forecasts, by the feature's value")


def _dots(on: Drawing, plot: Plot, contribution: F8, value: F8, y: float) -> None:
    """One feature's dots, side by side where many fall on one place; one path for each shade."""
    rows = np.flatnonzero(np.isfinite(contribution))
    x = plot.at_x(np.clip(contribution[rows], *plot.x))
    offset = _beeswarm(x)
    shade = np.where(np.isfinite(value[rows]), np.clip(value[rows] * len(SHADES), 0, len(SHADES) - 1), -1.0).astype(np.int64)
    for k, color in ((-1, MISSING_SHADE), *enumerate(SHADES)):
        of = shade == k
        on.dots(x[of], y + offset[of], color, 3.4, 0.85)


def _beeswarm(x: F8, size: float = 2.4, most: float = 11.0) -> F8:
    """Vertical offsets [n] in pixels: the dots of a column of ``size`` pixels stack around the middle, at most ``most`` away."""
    column = np.floor(x / size).astype(np.int64)
    order = np.lexsort((x, column))
    starts = np.flatnonzero(np.r_[True, np.diff(column[order]) != 0])
    lengths = np.diff(np.r_[starts, x.size])
    place = np.arange(x.size) - np.repeat(starts, lengths)
    step = np.minimum(size, 2.0 * most / np.maximum(np.repeat(lengths, lengths), 1))
    sign = np.where(place % 2 == 0, 1.0, -1.0)
    out = np.empty(x.size)
    out[order] = sign * ((place + 1) // 2) * step
    return out


def stability_chart(stability: Stability) -> str:
    """The rank of the most used features in each fold: flat lines are a model that finds the same thing again and again."""
    n_features, n_folds = stability.shares.shape
    if n_features == 0 or n_folds < 2:
        return ""
    shown = min(n_features, RANKS_MAX)
    ranks = np.argsort(np.argsort(-stability.shares, axis=0, kind="stable"), axis=0, kind="stable") + 1
    best = np.argsort(-stability.shares.mean(axis=1), kind="stable")[:shown]
    on = Drawing(HALF, 60 + 26 * shown + 36)
    plot = Plot(on, (40, 34, HALF - 160, 40 + 26 * shown), (1.0, float(n_folds)), (shown + 0.8, 0.5))
    plot.x_axis("fold", list(range(1, n_folds + 1)), grid=True)
    for k in range(1, shown + 1):
        on.text(28, float(plot.at_y(k)), str(k), anchor="end", size=SMALL)
    ends = []
    for row in best.tolist():
        at = np.minimum(ranks[row], shown + 0.6)
        color = BLUE if np.ptp(ranks[row]) <= STEADY else ORANGE
        plot.line(np.arange(1, n_folds + 1), at, color, 1.8, "" if color == BLUE else "5 3")
        plot.dots(np.arange(1, n_folds + 1), at, color, 7)
        ends.append((float(plot.at_y(at[-1])), shortened(stability.names[row], NAME_MAX - 4)))
    for y, text in spread(ends, 13):
        on.text(HALF - 150, y, text, INK, size=SMALL)
    legend(on, 40, 12, [(f"moves by at most {STEADY}", BLUE, "line"), ("by more", ORANGE, "dash")])
    return on.svg("Rank of the most used features in each fold")
