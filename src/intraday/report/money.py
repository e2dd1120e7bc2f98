"""Charts of the money: equity with drawdown and costs, slower hands and worse prices, instruments by hour, charges by date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from textwrap import wrap

import numpy as np

from intraday.domain.arrays import F8
from intraday.report.inputs import Equity
from intraday.report.parts import Charges, HeatMap, Scenario
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
    spread,
)  # fmt: skip
from intraday.report.words import number, rupees

HEAT_ROWS_MAX = 32  # instruments of the heat map: those with most trades
LABEL_MAX = 15  # characters of a scenario's name in a line
CELL_TEXT_MAX = 12  # columns up to which a cell has room for its figure


def equity_chart(equity: Equity) -> str:
    """Cumulated gross and net by session with the costs between them; the fall from the last peak; trades a session."""
    n = len(equity.days)
    if n == 0:
        return ""
    on, x = Drawing(FULL, 440), np.arange(n + 1, dtype=np.float64)
    gross, net = (np.concatenate([[0.0], v]) for v in (equity.gross, equity.net))
    fall = net - np.maximum.accumulate(net)
    top = Plot(on, (70, 52, FULL - 14, 264), (0.0, float(n)), span(gross, net, around=0.0))
    middle = Plot(on, (70, 300, FULL - 14, 354), (0.0, float(n)), (min(float(fall.min()), -1e-9) * 1.08, 0.0))
    bottom = Plot(on, (70, 382, FULL - 14, 412), (0.0, float(n)), (0.0, max(float(equity.n_trades.max()), 1.0) * 1.05))
    top.y_axis("cumulated result [bps of the money in one trade]")
    top.band(x, net, gross, ORANGE, 0.12)
    top.level(0.0)
    top.line(x, gross, ORANGE, 1.8, "6 3")
    top.line(x, net, BLUE, 2.4)
    middle.y_axis("below the last peak, net [bps]", n=2)
    middle.band(x, fall, np.zeros(n + 1), PINK, 0.3)
    middle.line(x, fall, PINK, 1.2)
    bottom.y_axis("trades a session", [0.0, float(equity.n_trades.max())])
    for i, trades in enumerate(equity.n_trades.tolist()):
        bottom.bar(i + 0.15, i + 0.85, 0.0, trades, MUTED, 0.6)
    bottom.x_axis("", *_sessions(equity))
    ends = [(f"{name} {number(float(v[-1]), 0, True)}", c, k) for name, v, c, k in _curves(gross, net)]
    legend(on, 70, 12, [*ends, (f"costs {number(float(gross[-1] - net[-1]), 0)}", ORANGE, "faint")])
    return on.svg("Cumulated gross and net result by out-of-sample session, fall from the last peak, trades a session")


def _curves(gross: F8, net: F8) -> tuple[tuple[str, F8, str, str], ...]:
    return ("net of costs", net, BLUE, "line"), ("gross", gross, ORANGE, "dash")


def _sessions(equity: Equity) -> tuple[list[float], list[str]]:
    at, names = day_ticks(equity.days)
    return [a + 0.5 for a in at], names


def scenario_chart(rows: Sequence[Scenario], label: str) -> str:
    """Gross and net a trade under each assumption, side by side; ``label`` says what changes from one to the next."""
    rows = [r for r in rows if np.isfinite(r.net)]
    if not rows:
        return ""
    names = [wrap(r.name, LABEL_MAX)[:2] for r in rows]
    low = 217 + 13 * max(map(len, names))  # middle of the names' last line
    on = Drawing(HALF, low + 32)
    values = [v for r in rows for v in (r.gross, r.net)]
    plot = Plot(on, (58, 52, HALF - 8, 216), (-0.5, len(rows) - 0.5), span(values, around=0.0, pad=0.12))
    plot.y_axis("bps a trade")
    for i, r in enumerate(rows):
        plot.bar(i - 0.3, i - 0.02, 0.0, r.gross, ORANGE, 0.45, f"{r.name}: gross {number(r.gross, 2, True)} bps")
        plot.bar(i + 0.02, i + 0.3, 0.0, r.net, BLUE, 1.0, f"{r.name}: net {number(r.net, 2, True)} bps, {r.trades:,} trades")
        y = float(plot.at_y(r.net)) + (-9 if r.net >= 0 else 9)
        on.text(float(plot.at_x(i + 0.16)), y, number(r.net, 1, True), INK, "middle", SMALL)
    plot.level(0.0)
    for i, lines in enumerate(names):
        for k, text in enumerate(lines):
            on.text(float(plot.at_x(i)), 230 + 13 * k, shortened(text, LABEL_MAX), MUTED, "middle", SMALL)
    on.text((plot.left + plot.right) / 2, low + 20, label, anchor="middle")
    legend(on, 58, 12, [("gross", ORANGE, "faint"), ("net of charges and slippage", BLUE, "full")])
    return on.svg(f"Gross and net result a trade by {label}")


def heat_chart(heat: HeatMap) -> str:
    """Mean net result a trade by instrument (those with most trades) and hour: blue gained, orange lost, stronger is more."""
    rows = np.argsort(-heat.trades.sum(axis=1), kind="stable")[:HEAT_ROWS_MAX]
    rows = rows[heat.trades.sum(axis=1)[rows] > 0]
    known = np.abs(heat.net[rows])[np.isfinite(heat.net[rows])]
    if known.size == 0:
        return ""
    n_columns, strongest = len(heat.hours), max(float(np.quantile(known, 0.9)), 1e-9)
    on = Drawing(FULL, 44 + 22 * rows.size + 12)
    width = (FULL - 130) / n_columns
    for j, hour in enumerate(heat.hours):
        on.text(120 + (j + 0.5) * width, 34, hour, anchor="middle", size=SMALL)
    for i, row in enumerate(rows.tolist()):
        y = 44 + 22 * i
        on.text(112, y + 11, shortened(heat.instruments[row], 15), INK, "end", SMALL)
        for j in range(n_columns):
            value, n = float(heat.net[row, j]), int(heat.trades[row, j])
            _cell(on, 120 + j * width, y, width, value, strongest, f"{heat.instruments[row]} {heat.hours[j]}: {n:,} trades")
    worst = [
        (f"loses {number(strongest, 0)} bps or more", ORANGE, "full"),
        ("gains as much", BLUE, "full"),
        ("no trade", MUTED, "faint"),
    ]
    legend(on, 120, 12, worst)
    return on.svg("Mean net result a trade by instrument and hour")


def _cell(on: Drawing, x: float, y: float, width: float, value: float, strongest: float, title: str) -> None:
    if not np.isfinite(value):
        on.rect(x + 1, y + 1, width - 2, 20, MUTED, 0.06)
        return
    strength = 0.08 + 0.57 * min(abs(value) / strongest, 1.0)
    on.rect(x + 1, y + 1, width - 2, 20, BLUE if value >= 0 else ORANGE, strength, f"{title}, {number(value, 1, True)} bps")
    if width >= FULL / CELL_TEXT_MAX / 1.2:
        on.text(x + width / 2, y + 11, number(value, 1 if abs(value) < 10 else 0, True), INK, "middle", SMALL)


def charges_chart(charges: Charges) -> str:
    """Round-trip charges by date for each notional, today's as a dot at the right end."""
    if not charges.days or charges.bps.size == 0:
        return ""
    first, last = charges.days[0].toordinal(), max(charges.last, charges.on).toordinal()
    at = np.array([d.toordinal() for d in charges.days] + [last], dtype=np.float64)
    on = Drawing(FULL, 266)
    plot = Plot(
        on, (58, 52, FULL - 130, 232), (float(first), float(max(last, first + 1))), span(charges.bps, charges.today, around=0)
    )
    plot.y_axis("round trip [bps]")
    years = [date(y, 1, 1) for y in range(charges.days[0].year + 1, max(charges.last, charges.on).year + 1)]
    near = 0.06 * (last - first)  # names this close would touch
    shown = [(f"{charges.days[0]:%b %y}", first)] + [(f"{d.year}", d.toordinal()) for d in years if d.toordinal() - first > near]
    plot.x_axis("", [float(x) for _, x in shown], [name for name, _ in shown])
    colors = (BLUE, ORANGE, GREEN, PINK, MUTED)
    names, at_end = [], []
    for k, notional in enumerate(charges.notionals):
        color, values = colors[k % len(colors)], np.append(charges.bps[:, k], charges.bps[-1, k])
        plot.line(np.repeat(at, 2)[1:-1], np.repeat(values[:-1], 2), color, 2.0)
        plot.dots(last, charges.today[k], color, 8)
        names.append((rupees(notional), color, "line"))
        at_end.append((float(charges.today[k]), f"{number(float(charges.today[k]), 1)} today"))
    for y, text in spread([(float(plot.at_y(v)), text) for v, text in at_end], 14):
        on.text(FULL - 118, y, text, INK, size=SMALL)
    legend(on, 58, 12, names)
    return on.svg("Round-trip charges by date and money in a trade")
