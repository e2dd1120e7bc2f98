"""Charts as plain SVG text that lives inside a page: no library, no script, no ids, the same text for the same values.

Colours are the page's CSS variables, so light, dark and print all read well; ``fixed`` puts real colours in for a printer that
knows no variables. Blue and orange are told apart by colour-blind readers (after Okabe and Ito); nothing is said by colour alone.
All text is escaped here, so whatever these functions return is safe inside HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from intraday.domain.arrays import F8
from intraday.report.words import number

INK, MUTED, GRID, PAPER = "var(--ink)", "var(--muted)", "var(--grid)", "var(--paper)"
BLUE, ORANGE, GREEN, PINK = "var(--blue)", "var(--orange)", "var(--green)", "var(--pink)"
LIGHT: Final[Mapping[str, str]] = {
    "ink": "#1b2330", "muted": "#5c6676", "grid": "#dfe3e9", "paper": "#ffffff",
    "blue": "#0066a6", "orange": "#c65102", "green": "#00785a", "pink": "#9c3f7a",
}  # fmt: skip
FULL, HALF = 880, 430  # widths of a chart, in pixels at 100 %
TEXT, SMALL = 12.0, 11.0


def fixed(text: str) -> str:
    """``text`` with the light page's colours in place of its variables."""
    for role, color in LIGHT.items():
        text = text.replace(f"var(--{role})", color)
    return text


def _n(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough."""
    text = f"{float(value):.1f}"
    return text[:-2] if text.endswith(".0") else text


class Drawing:
    """An empty sheet of ``width`` x ``height`` pixels; y grows downwards."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []

    def path(self, xs: Iterable[float], ys: Iterable[float], color: str, width: float = 1.8, dash: str = "") -> None:
        """A line through the points; NaN interrupts it."""
        steps, pen_up = [], True
        for x, y in zip(xs, ys, strict=True):
            if np.isfinite(x) and np.isfinite(y):
                steps.append(f"{'M' if pen_up else 'L'}{_n(x)} {_n(y)}")
                pen_up = False
            else:
                pen_up = True
        if steps:
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            self._parts.append(
                f'<path d="{"".join(steps)}" fill="none" stroke="{color}" stroke-width="{_n(width)}"'
                f' stroke-linejoin="round"{dashed}/>'
            )

    def area(self, xs: Iterable[float], ys: Iterable[float], color: str, opacity: float) -> None:
        """A filled polygon."""
        points = "L".join(f"{_n(x)} {_n(y)}" for x, y in zip(xs, ys, strict=True))
        self._parts.append(f'<path d="M{points}Z" fill="{color}" fill-opacity="{opacity:g}"/>')

    def rect(
        self, x: float, y: float, w: float, h: float, color: str, opacity: float = 1.0, title: str = "", edge: str = ""
    ) -> None:
        """A rectangle; ``title`` is what a mouse over it reads, ``edge`` colours its frame. Nothing at a place that is NaN."""
        if not np.all(np.isfinite((x, y, w, h))):
            return
        shade = f' fill-opacity="{opacity:.2g}"' if opacity < 1 else ""
        frame = f' stroke="{edge}"' if edge else ""
        body = f"><title>{escape(title)}</title></rect>" if title else "/>"
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(w, 0))}" height="{_n(max(h, 0))}" fill="{color}"{shade}{frame}{body}'
        )

    def dots(self, xs: Iterable[float], ys: Iterable[float], color: str, size: float, opacity: float = 1.0) -> None:
        """Round dots of one size as one element: thousands of them stay small."""
        at = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in zip(xs, ys, strict=True) if np.isfinite(x) and np.isfinite(y))
        if at:
            shade = f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
            self._parts.append(
                f'<path d="{at}" fill="none" stroke="{color}" stroke-width="{_n(size)}" stroke-linecap="round"{shade}/>'
            )

    def text(
        self, x: float, y: float, text: str, color: str = MUTED, anchor: str = "start", size: float = TEXT, bold: bool = False
    ) -> None:
        """One line; ``y`` is its middle. ``anchor`` start, middle or end. Nothing at a place that is NaN."""
        if not (np.isfinite(x) and np.isfinite(y)):
            return
        weight = ' font-weight="650"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y + 0.35 * size)}" fill="{color}" font-size="{_n(size)}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def turned(self, x: float, y: float, text: str, color: str = MUTED) -> None:
        """One line that reads upwards, its middle at (x, y)."""
        self._parts.append(
            f'<text transform="translate({_n(x + 0.35 * TEXT)} {_n(y)}) rotate(-90)" fill="{color}" font-size="{_n(TEXT)}"'
            f' text-anchor="middle">{escape(text)}</text>'
        )

    def svg(self, description: str) -> str:
        """The sheet as an ``<svg>`` element; ``description`` is for screen readers."""
        size = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" class="{"full" if self.width > 1.5 * HALF else "half"}"'
        font = 'font-family="Liberation Sans, DejaVu Sans, sans-serif"'
        return f'<svg role="img" aria-label="{escape(description)}" {size} {font}>{"".join(self._parts)}</svg>'


class Plot:
    """A rectangle of a drawing with a scale on either side: ``x`` and ``y`` are its (low, high) in data units."""

    def __init__(self, on: Drawing, box: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float]) -> None:
        self.on = on
        self.left, self.top, self.right, self.bottom = box
        self.x = x
        self.y = y

    def at_x(self, values: Any) -> F8:
        """Pixels of data values."""
        low, high = self.x
        out: F8 = self.left + (np.asarray(values, dtype=np.float64) - low) / (high - low) * (self.right - self.left)
        return out

    def at_y(self, values: Any) -> F8:
        """Pixels of data values."""
        low, high = self.y
        out: F8 = self.bottom - (np.asarray(values, dtype=np.float64) - low) / (high - low) * (self.bottom - self.top)
        return out

    def y_axis(self, label: str, ticks: Sequence[float] | None = None, names: Sequence[str] | None = None, n: int = 5) -> None:
        """Grid lines with their values, and what they measure."""
        ticks = nice(*self.y, n) if ticks is None else ticks
        for value, name in zip(ticks, names or plain(ticks), strict=True):
            y = float(self.at_y(value))
            self.on.path((self.left, self.right), (y, y), GRID, 1)
            self.on.text(self.left - 7, y, name, anchor="end", size=SMALL)
        if label:
            self.on.text(max(self.left - 52, 4), self.top - 18, label)

    def x_axis(
        self, label: str, ticks: Sequence[float] | None = None, names: Sequence[str] | None = None, n: int = 6, grid: bool = False
    ) -> None:
        """Values below, and what they measure."""
        ticks = nice(*self.x, n) if ticks is None else ticks
        for value, name in zip(ticks, names or plain(ticks), strict=True):
            x = float(self.at_x(value))
            if grid:
                self.on.path((x, x), (self.top, self.bottom), GRID, 1)
            self.on.text(x, self.bottom + 14, name, anchor="middle", size=SMALL)
        if label:
            self.on.text((self.left + self.right) / 2, self.bottom + 32, label, anchor="middle")

    def line(self, xs: Any, ys: Any, color: str, width: float = 1.8, dash: str = "") -> None:
        """A line through data points."""
        self.on.path(self.at_x(xs), self.at_y(ys), color, width, dash)

    def level(self, value: float, color: str = MUTED, dash: str = "", width: float = 1.0) -> None:
        """A horizontal line across."""
        self.line(self.x, (value, value), color, width, dash)

    def upright(self, value: float, color: str = MUTED, dash: str = "", width: float = 1.0) -> None:
        """A vertical line across."""
        self.line((value, value), self.y, color, width, dash)

    def band(self, xs: Any, low: Any, high: Any, color: str, opacity: float) -> None:
        """The area between two curves."""
        x = self.at_x(xs)
        self.on.area([*x, *x[::-1]], [*self.at_y(low), *self.at_y(high)[::-1]], color, opacity)

    def bar(self, x0: float, x1: float, y0: float, y1: float, color: str, opacity: float = 1.0, title: str = "") -> None:
        """A bar between data values, at least a pixel wide."""
        a, b = sorted((float(self.at_x(x0)), float(self.at_x(x1))))
        c, d = sorted((float(self.at_y(y0)), float(self.at_y(y1))))
        self.on.rect(a, c, max(b - a, 1.0), d - c, color, opacity, title)

    def dots(self, xs: Any, ys: Any, color: str, size: float = 8.0, opacity: float = 1.0) -> None:
        """Round dots at data points."""
        self.on.dots(np.atleast_1d(self.at_x(xs)), np.atleast_1d(self.at_y(ys)), color, size, opacity)


def nice(low: float, high: float, n: int = 5) -> list[float]:
    """About ``n`` round values from ``low`` to ``high``, both at most touched."""
    if not (np.isfinite(low) and np.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / max(n, 1)
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(float(k * unit) for k in (1, 2, 2.5, 5, 10) if k * unit >= raw * 0.999)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [k * step for k in range(first, last + 1)]


def whole(high: float, n: int = 4) -> list[float]:
    """About ``n`` round numbers of things, from 0 to ``high``."""
    return [v for v in nice(0.0, max(high, 1.0), n) if v == round(v)]


def plain(values: Sequence[float]) -> list[str]:
    """As many decimals as the steps between the values need."""
    step = min((abs(b - a) for a, b in zip(values, values[1:], strict=False)), default=abs(values[0]) if len(values) else 1.0)
    digits = next((d for d in range(6) if abs(step * 10**d - round(step * 10**d)) < 1e-6 * max(step * 10**d, 1)), 6)
    return [number(v, digits) for v in values]


def span(*values: Any, pad: float = 0.06, around: float | None = None) -> tuple[float, float]:
    """(low, high) of all finite values with some room; ``around`` is a value to be inside. (0, 1) without any."""
    flat = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
    flat = flat[np.isfinite(flat)]
    if around is not None:
        flat = np.append(flat, around)
    if flat.size == 0:
        return 0.0, 1.0
    low, high = float(flat.min()), float(flat.max())
    room = pad * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def legend(on: Drawing, x: float, y: float, entries: Sequence[tuple[str, str, str]]) -> None:
    """Entries (name, colour, look) in one line; look is line, dash, dot, or of a box: full, half or faint."""
    for name, color, look in entries:
        if look in ("line", "dash"):
            on.path((x, x + 20), (y, y), color, 2.2, "5 3" if look == "dash" else "")
        elif look == "dot":
            on.dots((x + 12,), (y,), color, 8)
        else:
            on.rect(x + 4, y - 5, 14, 10, color, {"full": 1.0, "half": 0.62, "faint": 0.3}[look])
        on.text(x + 26, y, name, INK)
        x += 26 + text_width(name) + 18


def text_width(text: str, size: float = TEXT) -> float:
    """About how wide a line is, in pixels; a little too much rather than too little."""
    return 0.53 * size * len(text)


def shortened(text: str, most: int) -> str:
    """``text``, cut with an ellipsis to ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def day_ticks(days: Sequence[Any], most: int = 7) -> tuple[list[float], list[str]]:
    """Places (rows of ``days``) and names of about ``most`` evenly spread days."""
    if not len(days):
        return [], []
    step = -(-len(days) // most)
    at = list(range(0, len(days), step))
    return [float(i) for i in at], [f"{days[i]:%d %b %y}" for i in at]


def spread(labels: Sequence[tuple[float, str]], least: float) -> list[tuple[float, str]]:
    """Labels (y, text), moved down until none covers another."""
    out: list[tuple[float, str]] = []
    for y, text in sorted(labels):
        out.append((max(y, out[-1][0] + least) if out else y, text))
    return out
