"""matplotlib figures as SVG that lives inside a page: its colours are the page's, so light, dark and print all read well.

Figures are drawn with sentinel colours, one for each role, which the SVG text then replaces by the page's CSS variables. Only
matplotlib's object interface is used (no pyplot, so no global figures); ids are made unique for each chart and depend on nothing
but its name, so the same input gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Role -> sentinel; the page defines --ink, --muted ... for light, dark and print. Blue and orange are told apart by
# colour-blind readers (after Okabe and Ito).
INK, MUTED, GRID, BLUE, ORANGE, PAPER = "#010203", "#010304", "#010405", "#010506", "#010607", "#010708"
_ROLES: Mapping[str, str] = {
    INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)",
    BLUE: "var(--blue)", ORANGE: "var(--orange)", PAPER: "var(--paper)",
}  # fmt: skip
_STYLE: Mapping[Any, Any] = {"svg.fonttype": "none", "font.size": 9.0, "font.family": "sans-serif", "path.simplify": False}


def canvas(width: float, height: float) -> Figure:
    """An empty figure of that many inches, laid out so that nothing is cut off."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    FigureCanvasSVG(figure)
    return figure


def dress(ax: Axes, x: str = "", y: str = "", grid: str = "y") -> None:
    """Axis labels, quiet frame and grid."""
    ax.patch.set_alpha(0.0)
    ax.set_xlabel(x, color=MUTED)
    ax.set_ylabel(y, color=MUTED)
    ax.tick_params(colors=MUTED, which="both", length=3)
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(GRID)
    if grid:
        ax.grid(axis="both" if grid == "both" else "x" if grid == "x" else "y", color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)


def legend(ax: Axes, above: bool = False) -> None:
    """A legend without a box, in the page's ink: in the upper left corner, or in one line above the axes."""
    anchor, columns = ((0.0, 1.0), 4) if above else (None, 1)
    where: Literal["lower left", "upper left"] = "lower left" if above else "upper left"
    ax.legend(loc=where, bbox_to_anchor=anchor, ncols=columns, frameon=False, labelcolor=INK, fontsize=9)


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an ``<svg>`` element for HTML: no XML header, no metadata, no address, ``description`` for screen readers."""
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    for sentinel, role in _ROLES.items():
        text = text.replace(sentinel, role)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
