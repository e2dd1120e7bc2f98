"""Charts of how it was tested: the fold map, simpler models, every configuration tried, combinatorial paths, power, controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intraday.domain.arrays import F8
from intraday.report.parts import Baseline, FoldMap, Judgement, Lane, NullControl, Overfitting, PathSpread, PowerGrid, Span, Trials
from intraday.report.svg import (
    BLUE,
    FULL,
    GREEN,
    HALF,
    INK,
    MUTED,
    ORANGE,
    PINK,
    SMALL,
    Drawing,
    Plot,
    day_ticks,
    legend,
    shortened,
    span,
    whole,
)  # fmt: skip
from intraday.report.words import number

LANES_MAX = 24
MARK = 0.0025  # half the width of a mark, as a share of the axis
KINDS = {
    "fit": ("fitted", BLUE, 0.30),
    "stop": ("early stop", BLUE, 0.62),
    "purged": ("purged", PINK, 0.95),
    "embargo": ("embargo", ORANGE, 0.95),
    "score": ("scored", GREEN, 0.95),
}
"""Kind of a span: its name, colour and strength."""


def fold_map_chart(folds: FoldMap) -> str:
    """A lane for each fold: what it was fitted, stopped and scored on, with the purged and embargoed sessions between."""
    lanes = folds.lanes[:LANES_MAX]
    if not lanes or not folds.days:
        return ""
    on = Drawing(FULL, 48 + 26 * len(lanes) + 34)
    plot = Plot(on, (96, 38, FULL - 16, 38 + 26 * len(lanes)), (0.0, float(len(folds.days))), (float(len(lanes)), 0.0))
    kinds = set()
    for i, lane in enumerate(lanes):
        on.text(88, float(plot.at_y(i + 0.5)), lane.name, INK, "end", SMALL)
        for s in lane.spans:
            name, color, strength = KINDS[s.kind]
            what = f"{lane.name}: {name} " + _when(folds, lane, s)
            inset = 0.04 if s.kind in ("purged", "embargo") else 0.16
            widened = MARK * len(folds.days) if s.last < s.first else 0.0  # rows of no whole session: a mark
            plot.bar(s.first - widened, s.last + 1 + widened, i + inset, i + 1 - inset, color, strength, what)
            kinds.add(s.kind)
    at, names = day_ticks(folds.days)
    plot.x_axis("", [a + 0.5 for a in at], names)
    legend(
        on,
        96,
        14,
        [
            (name, color, "faint" if opacity < 0.5 else "half" if opacity < 0.9 else "full")
            for k, (name, color, opacity) in KINDS.items()
            if k in kinds
        ],
    )
    return on.svg("Which sessions each fold was fitted, stopped and scored on")


def _when(folds: FoldMap, lane: Lane, s: Span) -> str:
    if s.last < s.first:
        return f"{lane.purged:,} rows"
    return f"{folds.days[s.first]:%d %b %Y} to {folds.days[s.last]:%d %b %Y}"


def baseline_chart(rows: Sequence[Baseline]) -> str:
    """Net result a session with its interval, for the model and for everything simpler."""
    rows = [r for r in rows if np.isfinite(r.session.value)]
    if not rows:
        return ""
    on = Drawing(FULL, 30 + 30 * len(rows) + 44)
    x = span([r.session for r in rows], around=0.0)
    plot = Plot(on, (232, 12, FULL - 110, 22 + 30 * len(rows)), x, (float(len(rows)), 0.0))
    plot.x_axis("net result a session [bps], 95 % interval", grid=True)
    plot.upright(0.0, MUTED, width=1.4)
    for i, r in enumerate(rows):
        color = BLUE if r.own else MUTED
        on.text(224, float(plot.at_y(i + 0.5)), shortened(r.name, 30), INK, "end", bold=r.own)
        plot.line((r.session.low, r.session.high), (i + 0.5, i + 0.5), color, 5 if r.own else 3)
        plot.dots(r.session.value, i + 0.5, color, 13 if r.own else 10)
        on.text(FULL - 98, float(plot.at_y(i + 0.5)), f"{number(r.session.value, 1, True)}", INK, bold=r.own)
    return on.svg("Net result a session of the model and of simpler ones on the same rows and folds")


def histogram(values: F8, edges: F8, plot: Plot, color: str, split: float | None = None) -> None:
    """Counts between ``edges``; bins left of ``split`` in orange."""
    counts, _ = np.histogram(values, edges)
    for n, a, b in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        shade = ORANGE if split is not None and (a + b) / 2 < split else color
        pad = 0.06 * (b - a)
        plot.bar(a + pad, b - pad, 0.0, n, shade, 0.75, f"{number(a, 2)} to {number(b, 2)}: {n:,}")


def _counted(on: Drawing, values: F8, x: tuple[float, float], bins: int, label: str, y: str) -> tuple[Plot, F8]:
    """Axes for a histogram of ``values``, and its edges."""
    edges = np.linspace(*x, bins + 1)
    most = float(np.histogram(values, edges)[0].max())
    plot = Plot(on, (52, 52, HALF - 12, 222), x, (0.0, max(most, 1.0) * 1.12))
    plot.y_axis(y, whole(plot.y[1]))
    plot.x_axis(label)
    return plot, edges


def paths_chart(spread: PathSpread) -> str:
    """Sharpe ratio by session of all combinatorial paths, zero and the walk-forward's marked."""
    values = spread.sharpes[np.isfinite(spread.sharpes)]
    if values.size == 0:
        return ""
    on = Drawing(HALF, 270)
    bins = int(np.clip(values.size // 2, 6, 24))
    plot, edges = _counted(on, values, span(values, spread.own, around=0.0), bins, "Sharpe ratio by session", "paths")
    histogram(values, edges, plot, BLUE, 0.0)
    plot.upright(0.0)
    if np.isfinite(spread.own):
        plot.upright(spread.own, INK, "5 3", 1.8)
    legend(on, 52, 12, [("paths above 0", BLUE, "full"), ("below", ORANGE, "full"), ("walk-forward", INK, "dash")])
    return on.svg("Sharpe ratio of all combinatorial purged cross-validation paths")


def overfitting_chart(found: Overfitting) -> str:
    """Logits of the rank that the best configuration in sample reached out of sample; left of zero is overfitted."""
    values = np.zeros(0) if found.logits is None else found.logits[np.isfinite(found.logits)]
    if values.size == 0:
        return ""
    on = Drawing(HALF, 270)
    most = max(float(np.abs(values).max()) * 1.05, 1.0)
    plot, edges = _counted(on, values, (-most, most), 24, "logit of the out-of-sample rank", "ways to split")
    histogram(values, edges, plot, BLUE, 0.0)
    plot.upright(0.0)
    pbo = f"overfitted: {number(100 * found.pbo, 0)} %"
    legend(on, 52, 12, [(pbo, ORANGE, "full"), ("held up", BLUE, "full")])
    return on.svg("Out-of-sample rank of the configuration that was best in sample")


def trials_chart(trials: Trials) -> str:
    """Sharpe ratios of all configurations ever seen, in order; what the best of as many would show by chance as a line."""
    rows = [r for r in trials.rows if r.kind == "configuration" and np.isfinite(r.sharpe)]
    if not rows:
        return ""
    on, n = Drawing(HALF, 270), len(rows)
    y = span([r.sharpe for r in rows], trials.expected_best, around=0.0, pad=0.12)
    plot = Plot(on, (52, 52, HALF - 12, 222), (0.5, n + 0.5), y)
    plot.y_axis("Sharpe ratio by session", n=4)
    plot.x_axis("configuration, in the order tried", [1.0, float(n)] if n > 1 else [1.0])
    plot.level(0.0)
    if np.isfinite(trials.expected_best):
        plot.level(trials.expected_best, ORANGE, "5 3", 1.8)
    for k, r in enumerate(rows, start=1):
        plot.dots(k, r.sharpe, BLUE if r.own else MUTED, 12 if r.own else 7)
    luck = ("best of as many by luck", ORANGE, "dash")
    legend(on, 52, 12, [("this model", BLUE, "dot"), ("others", MUTED, "dot"), luck])
    return on.svg("Sharpe ratios of every configuration whose test path was seen")


def power_chart(judgement: Judgement) -> str:
    """The chance that this very test, on these sessions, finds an edge of a given size; under one half it can't say no."""
    points = [(m, p) for m, p in judgement.power if np.isfinite(p)]
    if not points:
        return ""
    on = Drawing(HALF, 270)
    plot = Plot(on, (52, 52, HALF - 12, 222), (-0.6, len(points) - 0.4), (0.0, 1.0))
    plot.y_axis("chance of finding it", [0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    plot.x_axis("true edge, gross, in costs of a trade", [float(i) for i in range(len(points))], [f"{m:g} ×" for m, _ in points])
    for i, (_, p) in enumerate(points):
        plot.bar(i - 0.28, i + 0.28, 0.0, p, BLUE)
        on.text(float(plot.at_x(i)), float(plot.at_y(p)) - 9, f"{number(100 * p, 0)} %", INK, "middle")
    plot.level(0.5, ORANGE, "5 3", 1.8)
    legend(on, 52, 12, [("needed at 2 × to say “no edge”", ORANGE, "dash")])
    return on.svg("Chance of finding an edge of a given size on as many sessions")


def null_chart(null: NullControl) -> str:
    """P-values of markets without an edge in twenty bins, with what chance allows; the leftmost bin fires."""
    p = null.p_values[np.isfinite(null.p_values)]
    if p.size == 0:
        return ""
    on, bins = Drawing(HALF, 270), 20
    low, high = _binomial(p.size, 1 / bins)
    counts = np.histogram(p, np.linspace(0, 1, bins + 1))[0]
    plot = Plot(on, (52, 52, HALF - 12, 222), (0.0, 1.0), (0.0, max(float(counts.max()), high) * 1.15))
    plot.y_axis("markets", whole(plot.y[1]))
    plot.x_axis("p-value of the test behind “edge”", [0, 0.05, 0.25, 0.5, 0.75, 1], ["0", ".05", ".25", ".50", ".75", "1"])
    plot.band((0.0, 1.0), (low, low), (high, high), MUTED, 0.18)
    for k, n in enumerate(counts.tolist()):
        a = k / bins
        plot.bar(a + 0.004, a + 1 / bins - 0.004, 0, n, ORANGE if k == 0 else BLUE, 0.8, f"p from {a:.2f}: {n:,} markets")
    plot.level(p.size / bins, INK, "5 3", 1.2)
    legend(on, 52, 12, [("fires", ORANGE, "full"), ("silent", BLUE, "full"), ("95 % of chance", MUTED, "faint")])
    return on.svg(f"P-values on markets without an edge: {null.name}")


def _binomial(n: int, p: float) -> tuple[float, float]:
    """The 2.5 % and 97.5 % points of a count of ``n`` with chance ``p``."""
    k = np.arange(min(n, 500))
    ratios = (n - k) / (k + 1) * p / (1 - p)  # of each chance to the one before
    below = np.cumsum((1 - p) ** n * np.concatenate([[1.0], np.cumprod(ratios)]))
    return float(np.searchsorted(below, 0.025)), float(np.searchsorted(below, 0.975))


def wilson(found: F8, n: F8) -> tuple[F8, F8]:
    """95 % interval of a share. Wilson 1927, score interval."""
    z, share = 1.959964, found / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def planted_chart(grid: PowerGrid) -> str:
    """Share of markets whose planted edge was found, by its size, a curve for each number of test sessions, 95 % intervals."""
    if grid.markets.size == 0 or grid.markets.max() == 0:
        return ""
    on = Drawing(HALF, 270)
    plot = Plot(on, (52, 52, HALF - 66, 222), span(grid.multiples, pad=0.05), (0.0, 1.0))
    plot.y_axis("markets found", [0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    plot.x_axis("planted edge, gross, in costs of a trade", grid.multiples, [f"{m:g} ×" for m in grid.multiples])
    colors = (MUTED, PINK, ORANGE, BLUE, GREEN)
    ends = []
    for k, sessions in enumerate(grid.sessions):
        some = grid.markets[:, k] > 0
        x, n = np.asarray(grid.multiples, dtype=np.float64)[some], grid.markets[some, k].astype(np.float64)
        share = grid.found[some, k] / n
        color = colors[max(len(colors) - 1 - len(grid.sessions) + k, 0) if len(grid.sessions) < 5 else k % 5]
        for at, low, high in zip(x, *wilson(grid.found[some, k].astype(np.float64), n), strict=True):
            plot.line((at, at), (low, high), color, 1.3)
        plot.line(x, share, color, 2.2)
        plot.dots(x, share, color, 8)
        if share.size:
            ends.append((float(plot.at_y(share[-1])), f"{sessions:,}", color))
    _ends(on, ends)
    on.text(HALF - 56, 34, "sessions", size=SMALL)
    return on.svg("Share of markets whose planted edge was found")


def _ends(on: Drawing, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right ends of curves, none over another."""
    last = -100.0
    for y, text, color in sorted(ends):
        last = max(y, last + 14)
        on.dots((HALF - 52,), (last,), color, 8)
        on.text(HALF - 42, last, text, INK, size=SMALL)
