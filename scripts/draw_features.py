"""Draw docs/images/features-<family>.svg: every feature of a family on one day of one stock of the made-up market.

    .venv/bin/python scripts/draw_features.py

Run it after changing a feature; a test compares. The market is core/synthetic.py's, so the pictures hold no real prices.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path

import numpy as np

from intraday.core.anchor import AnchorRule
from intraday.core.candles import HistoricalAggregator
from intraday.core.feature import Feature
from intraday.core.feature_set import FeatureSet
from intraday.core.features import FeatureCalculator
from intraday.core.panel import Lists, panel_of
from intraday.core.registry import default_registry
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.domain.arrays import F8, Panel
from intraday.domain.session import SessionTable

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
TIMEFRAME, FIRST, LAST = 5, date(2026, 6, 1), date(2026, 6, 12)  # ten sessions; the last one is drawn
SPEC = SyntheticSpec(instruments=12, seed=7)
STOCK = 0
COLUMNS, WIDTH, HEIGHT, PLOT = 4, 250, 92, 56  # cells a row; a cell's size and the height of its plot, pixels
LEFT, TOP, STEP = 12, 26, 3  # the plot's corner in its cell; pixels a bar
STYLE = (
    "text{font:11px sans-serif;fill:#333}.r{font-size:9px;fill:#888;text-anchor:end}"
    "path{fill:none;stroke:#1f5fa8;stroke-width:1.2}.p{stroke:#888}.z{stroke:#ddd;stroke-width:1}rect{fill:#fff}"
)


def market() -> Panel:
    """Five-minute bars of the made-up stocks and, last, their index."""
    table = SessionTable.load()
    sessions = table.between(FIRST, LAST)
    made = SyntheticMarket(SPEC, sessions)
    bars = np.concatenate([made.bars(i) for i in range(len(sessions))])
    stocks = Lists(member=tuple((s, 0, sessions[-1].number) for s in range(SPEC.instruments - 1)))
    return panel_of(HistoricalAggregator(SPEC.instruments).aggregate(bars, TIMEFRAME), SPEC.instruments, TIMEFRAME, table, stocks)


def drawn(features: Sequence[Feature], panel: Panel) -> tuple[F8, dict[str, F8]]:
    """The last session's minutes [n], and close, volume and features by name [n]."""
    has_volume = np.asarray(~np.isnan(panel.volume).all(axis=0), np.bool_)
    chosen = FeatureSet(TIMEFRAME, tuple(features), AnchorRule())
    values = FeatureCalculator(chosen, has_volume, SPEC.instruments - 1).batch(panel)
    rows = (panel.session == panel.session[-1]) & panel.mask[:, STOCK]
    bars = {"close": panel.close[rows, STOCK], "volume": panel.volume[rows, STOCK]}
    return panel.minute[rows], bars | {f.name: values[rows, STOCK, i].astype(np.float64) for i, f in enumerate(features)}


def digest(feature: Feature) -> str:
    """8 hex digits that change with what is computed."""
    return hashlib.sha256(feature.expr.text.encode()).hexdigest()[:8]


def line(minute: F8, values: F8) -> tuple[str, str]:
    """A path, broken where a value is missing, and the range it spans."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "", "no value"
    low, high = float(known.min()), float(known.max())
    middle = np.full(len(values), PLOT / 2)
    y = PLOT - (values - low) / (high - low) * PLOT if high > low else np.where(np.isfinite(values), middle, np.nan)
    points, pen = [], "M"
    for at, level in zip(minute / TIMEFRAME * STEP, y, strict=True):
        points.append(f"{pen}{at:.0f} {level:.1f}" if np.isfinite(level) else "")
        pen = "L" if np.isfinite(level) else "M"
    return "".join(points), f"{short(low)} .. {short(high)}" if high > low else short(low)


def short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def cell(i: int, name: str, minute: F8, values: F8, mark: str) -> str:
    """One small picture: name, range, line; a grey one for what the bars themselves are."""
    path, span = line(minute, values)
    x, y = (i % COLUMNS) * WIDTH + LEFT, (i // COLUMNS) * HEIGHT + TOP
    known = values[np.isfinite(values)]
    zero = ""
    if len(known) and known.min() < 0 < known.max():
        level = PLOT + known.min() / (known.max() - known.min()) * PLOT
        zero = f'<path class="z" d="M0 {level:.1f}H{74 * STEP}"/>'
    kind = f' data-of="{mark}"' if mark else ' class="p"'
    return (
        f'<g transform="translate({x} {y})"><text y="-5">{escape(name)}</text><text class="r" x="{74 * STEP}" y="-5">{span}</text>'
        f'{zero}<path{kind} d="{path}"/></g>\n'
    )


def picture(family: str, features: Sequence[Feature], minute: F8, values: Mapping[str, F8]) -> str:
    """SVG of one family: the close, the volume, and the features in their order."""
    names = [("close, rupees", "close", ""), ("volume, shares", "volume", ""), *((f.name, f.name, digest(f)) for f in features)]
    cells = [cell(i, shown, minute, values[name], mark) for i, (shown, name, mark) in enumerate(names)]
    width, height = COLUMNS * WIDTH, -(-len(names) // COLUMNS) * HEIGHT + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(family)}: each feature on one day of a made-up stock</title>"
        f'<style>{STYLE}</style><rect width="{width}" height="{height}"/>\n{"".join(cells)}</svg>\n'
    )


def file_name(family: str) -> str:
    """Where a family's picture is, below docs/images."""
    return f"features-{family}.svg"


def families(registry: Mapping[str, Feature]) -> dict[str, list[Feature]]:
    """Features by family."""
    names = dict.fromkeys(f.family for f in registry.values())
    return {name: [f for f in registry.values() if f.family == name] for name in names}


def main() -> None:
    registry = default_registry()
    minute, values = drawn(list(registry.values()), market())
    for family, members in families(registry).items():
        (IMAGES / file_name(family)).write_text(picture(family, members, minute, values), encoding="utf-8")
    sys.stdout.write(f"{len(families(registry))} pictures of {len(registry)} features\n")


if __name__ == "__main__":
    main()
