"""Write docs/features.md from the registry. Run it after changing a feature; a test compares."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from intraday.core.feature import Feature
from intraday.core.registry import default_registry

TARGET = Path(__file__).resolve().parent.parent / "docs" / "features.md"
HEAD = """# Features

Written by `scripts/build_feature_docs.py` from the registry; edit the registry, not this page.

A feature is an expression over the primitives of `core/kernels`, evaluated at the close of every bar of the decision timeframe.
*Warm-up* is the number of the instrument's own bars before the first value, or the number of whole sessions; before it the value is
missing (NaN). State starts at the anchor session (`model.anchor`), so the values do not depend on how much history is loaded.
A bar that is not there changes nothing. Instruments without volume (indices) lack the features marked *volume*.
All values are float32. {n} features.
"""
TABLE = "| name | formula | units | warm-up | volume | undefined | source |\n|---|---|---|---|---|---|---|\n"


def row(f: Feature) -> str:
    warmup = f"{f.sessions} session" if f.sessions else str(f.warmup)
    cells = [f"`{f.name}`", f.formula, f.units, warmup, "volume" if f.needs_volume else "", f.undefined, f.source]
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"


def page() -> str:
    features = list(default_registry().values())
    parts = [HEAD.format(n=len(features))]
    for family, members in groupby(sorted(features, key=lambda f: f.family), key=lambda f: f.family):
        parts.append(f"\n## {family.capitalize()}\n\n{TABLE}" + "".join(row(f) for f in members))
    parts.append("\n## Expressions\n\nWhat is computed, exactly; `window` is a ring of the last n observations.\n\n")
    parts.extend(f"* `{f.name}`: `{f.expr.text}`\n" for f in features)
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(default_registry())} features\n")
