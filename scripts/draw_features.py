"""Draw docs/images/features-<family>.svg: every feature of a family, 40 a picture, on one day of one stock of the made-up market.

    .venv/bin/python scripts/draw_features.py                  # all of them
    .venv/bin/python scripts/draw_features.py rsi_14 rsi.svg   # one feature, larger

Run it after changing a feature; a test compares. The market is core/synthetic.py's, so the pictures hold no real prices.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches
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
from intraday.report.feature_picture import COLUMNS, Curve, Hours, picture, pictured

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
TIMEFRAME, FIRST, LAST = 5, date(2026, 6, 1), date(2026, 6, 12)  # ten sessions; the last one is drawn
SPEC = SyntheticSpec(instruments=12, seed=7)
STOCK = 0
HOURS = Hours(9 * 60 + 15, 15 * 60 + 30)


def market() -> Panel:
    """Five-minute bars of the made-up stocks and, last, their index."""
    table = SessionTable.load()
    sessions = table.between(FIRST, LAST)
    made = SyntheticMarket(SPEC, sessions)
    bars = np.concatenate([made.bars(i) for i in range(len(sessions))])
    stocks = Lists(member=tuple((s, 0, sessions[-1].number) for s in range(SPEC.instruments - 1)))
    return panel_of(HistoricalAggregator(SPEC.instruments).aggregate(bars, TIMEFRAME), SPEC.instruments, TIMEFRAME, table, stocks)


def drawn(features: Sequence[Feature], panel: Panel) -> tuple[F8, dict[str, F8]]:
    """The last session's times, minutes of the day IST [n], and close, volume and features by name [n]."""
    has_volume = np.asarray(~np.isnan(panel.volume).all(axis=0), np.bool_)
    chosen = FeatureSet(TIMEFRAME, tuple(features), AnchorRule())
    values = FeatureCalculator(chosen, has_volume, SPEC.instruments - 1).batch(panel)
    rows = (panel.session == panel.session[-1]) & panel.mask[:, STOCK]
    bars = {"close": panel.close[rows, STOCK], "volume": panel.volume[rows, STOCK]}
    return HOURS.first + panel.minute[rows], bars | {
        f.name: values[rows, STOCK, i].astype(np.float64) for i, f in enumerate(features)
    }


def digest(feature: Feature) -> str:
    """8 hex digits that change with what is computed."""
    return hashlib.sha256(feature.expr.text.encode()).hexdigest()[:8]


def drawing(title: str, features: Sequence[Feature], clock: F8, values: Mapping[str, F8], zoom: int = 1) -> str:
    """SVG: the close, the volume, and the features in their order."""
    bars = [Curve("close, rupees", values["close"]), Curve("volume, shares", values["volume"])]
    curves = [*bars, *(Curve(f.name, values[f.name], digest(f)) for f in features)]
    return picture(f"{title} on one day of a made-up stock", clock, curves, HOURS, 1 if zoom > 1 else COLUMNS, zoom)


def file_name(picture: str) -> str:
    """Where a picture is, below docs/images."""
    return f"features-{picture}.svg"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Draw docs/images/features-*.svg, or one feature into a file of yours.")
    parser.add_argument("name", nargs="?", help="a registered feature")
    parser.add_argument("file", nargs="?", type=Path, help="where its picture goes, such as rsi.svg")
    asked, registry = parser.parse_args(arguments), default_registry()
    if asked.name is not None and (asked.file is None or asked.name not in registry):
        near = ", ".join(get_close_matches(str(asked.name), registry, n=5)) or "one of docs/features.md"
        parser.error(f"expected a registered feature ({near}) and a file, found {asked.name} {asked.file or ''}")
    chosen = list(registry.values()) if asked.name is None else [registry[asked.name]]
    clock, values = drawn(chosen, market())
    if asked.name is not None:
        asked.file.write_text(drawing(asked.name, chosen, clock, values, zoom=3), encoding="utf-8")
        return
    pictures = pictured(chosen)
    for name, members in pictures.items():
        text = drawing(f"{name}: each feature", [registry[f.name] for f in members], clock, values)
        (IMAGES / file_name(name)).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(pictures)} pictures of {len(registry)} features\n")


if __name__ == "__main__":
    main(sys.argv[1:])
