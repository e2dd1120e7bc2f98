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
missing (NaN). A bar that is not there changes nothing. Instruments without volume (indices) lack the features marked *volume*.
All values are float32. {n} features.

## Where state starts

Running and recursive state starts empty at the first bar of the **anchor session**, which depends on the day alone: the values do
not depend on how much history is loaded: batch, a cold start and a restored snapshot agree bit for bit. `model.anchor` names it:

| `model.anchor` | anchor session |
|---|---|
| `previous_quarter` | the first session of the calendar quarter before the day's |
| a day, such as `2026-01-01` | the first session from that day on; earlier days have no features |
| `auto` (default) | decided at training: `previous_quarter` when the stored days span a year, otherwise the first stored day |

What `auto` became is part of the feature set and of the model's manifest: a model keeps its anchor when older history is loaded
later. A day whose anchor session is not stored at all, for no instrument, has no features: missing, with a warning, never slightly
different. An instrument that has bars only from a later day on (a new listing) starts at its first one, in history and live alike;
training says how many there are, since importing older bars of them would change their features. So a few old days imported
beside recent ones, with nothing between, leave `auto` without features: set a day, or import what lies between
([why](adr/0006-auto-anchor.md)).
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
