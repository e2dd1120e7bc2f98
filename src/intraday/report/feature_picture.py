"""Features of one instrument on one day as one SVG of small pictures: plain paths, no library, same text for same values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

import numpy as np

from intraday.core.feature_words import AnyFeature
from intraday.domain.arrays import F8

MOST: Final = 40
"""Features in one picture; a family of more has several."""
COLUMNS, WIDTH, HEIGHT, PLOT = 4, 250, 104, 56  # cells a row; a cell's size and the height of its plot, pixels
LEFT, TOP, ACROSS = 12, 26, 222  # the plot's corner in its cell, and its width
STYLE: Final = (
    "text{font:11px sans-serif;fill:#333}.r{font-size:9px;fill:#888;text-anchor:end}.h{font-size:8px;fill:#999;text-anchor:middle}"
    "path{fill:none;stroke:#1f5fa8;stroke-width:1.2}.p{stroke:#888}.z{stroke:#ddd;stroke-width:1}.g{stroke:#f0f0f0;stroke-width:1}"
    "rect{fill:#fff}"
)


class Hours(NamedTuple):
    """The time axis: minutes of the day, IST, at its left and right end."""

    first: int
    last: int


class Curve(NamedTuple):
    """One small picture: its name, its values, and a mark of what was computed ("": a grey line, the bars themselves)."""

    name: str
    values: F8
    mark: str = ""


def pictured(features: Sequence[AnyFeature]) -> dict[str, list[AnyFeature]]:
    """What stands in which picture: a family, or parts of it ("alpha158-2"), in order."""
    found: dict[str, list[AnyFeature]] = {}
    for family in dict.fromkeys(f.family for f in features):
        members = [f for f in features if f.family == family]
        parts = [members[i : i + MOST] for i in range(0, len(members), MOST)]
        found |= {family if len(parts) == 1 else f"{family}-{i}": part for i, part in enumerate(parts, start=1)}
    return found


def picture(title: str, clock: F8, curves: Sequence[Curve], hours: Hours, columns: int = COLUMNS, zoom: int = 1) -> str:
    """SVG of the curves in their order, ``columns`` a row. ``clock`` float64 [n]: minutes of the day, IST; values [n], gaps NaN."""
    x = (clock - hours.first) / (hours.last - hours.first) * ACROSS
    cells = [_cell(i, columns, curve, x) for i, curve in enumerate(curves)]
    width, height = columns * WIDTH, -(-len(curves) // columns) * HEIGHT + 8
    size = f' width="{zoom * width}" height="{zoom * height}"' if zoom > 1 else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"{size} role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f'<defs><g id="h">{"".join(_hours(hours))}</g></defs><rect width="{width}" height="{height}"/>\n{"".join(cells)}</svg>\n'
    )


def line(x: F8, values: F8) -> tuple[str, str]:
    """A path through pixels ``x``, broken where a value is missing, and the range it spans in words."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "", "no value"
    low, high = float(known.min()), float(known.max())
    middle = np.full(len(values), PLOT / 2)
    y = PLOT - (values - low) / (high - low) * PLOT if high > low else np.where(np.isfinite(values), middle, np.nan)
    points, pen = [], "M"
    for at, level in zip(x, y, strict=True):
        points.append(f"{pen}{at:.0f} {level:.1f}" if np.isfinite(level) else "")
        pen = "L" if np.isfinite(level) else "M"
    return "".join(points), f"{_short(low)} .. {_short(high)}" if high > low else _short(low)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _hours(hours: Hours) -> Iterator[str]:
    """A faint line and a name at each full hour."""
    for minute in range(-(-hours.first // 60) * 60, hours.last, 60):
        at = (minute - hours.first) / (hours.last - hours.first) * ACROSS
        yield f'<path class="g" d="M{at:.0f} 0V{PLOT}"/><text class="h" x="{at:.0f}" y="{PLOT + 10}">{minute // 60}:00</text>'


def _cell(i: int, columns: int, curve: Curve, x: F8) -> str:
    """Name, range, hours, a grey line at zero, and the curve."""
    path, span = line(x, curve.values)
    left, top = (i % columns) * WIDTH + LEFT, (i // columns) * HEIGHT + TOP
    known, zero = curve.values[np.isfinite(curve.values)], ""
    if len(known) and known.min() < 0 < known.max():
        level = PLOT + known.min() / (known.max() - known.min()) * PLOT
        zero = f'<path class="z" d="M0 {level:.1f}H{ACROSS}"/>'
    kind = f' data-of="{curve.mark}"' if curve.mark else ' class="p"'
    return (
        f'<g transform="translate({left} {top})"><text y="-5">{escape(curve.name)}</text>'
        f'<text class="r" x="{ACROSS}" y="-5">{span}</text><use href="#h"/>{zero}<path{kind} d="{path}"/></g>\n'
    )
