"""Write docs/features.md from the registry and docs/expressions.md from the language. Run it after changing one; a test compares.

.venv/bin/python scripts/build_feature_docs.py                       # then scripts/draw_features.py for the pictures
.venv/bin/python scripts/build_feature_docs.py my_features.py > my.md  # the same tables for a file of user features
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from intraday.core import arguments as limits
from intraday.core import expression
from intraday.core.feature_words import AnyFeature, computed_as, lookback, needs
from intraday.core.registry import default_registry
from intraday.core.user_features import load_user_features
from intraday.domain.session import SessionTable
from intraday.report.feature_picture import pictured

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = """# Features

Written by `scripts/build_feature_docs.py` from the registry; edit the registry, not this page.

A feature is an expression over the primitives of `core/kernels`, evaluated at the close of every bar of the decision timeframe.
A bar that is not there changes nothing: no price is carried forward, and "20 bars" are the instrument's own last 20. All values
are float32; missing is NaN, never infinite. {n} features in {families} families: {index}.

How to read the tables:

* **lookback**: the bars of the instrument, or the whole sessions, before the first value; until then it is missing. `+`: from
  there on it depends on everything since the [anchor](#where-state-starts), not on a window.
* **needs**: *volume*: missing for instruments without one (indices). *index*: missing where no market index is set or it has no
  bar now. *members*: compares the universe's members that have a bar, and this value, at this very minute. One without takes no
  part: it is not carried forward, gets no rank, and changes the others only by not being counted.
* **undefined**: when the market itself leaves it without a value. Where a fraction has a natural value at zero the formula says so.

The pictures show one day of a stock of the [made-up market](synthetic.md) in five-minute bars, a grey line at zero
(`scripts/draw_features.py`): real prices may not be copied here. Your own features get the same tables:
`scripts/build_feature_docs.py my_features.py`. `intraday features list` and `intraday features show NAME` say the same on the
terminal, and with `--values` and `--plot FILE` what a feature is on your own bars.

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
COLUMNS = ("name", "formula", "lookback", "units", "needs", "undefined", "source")
ABOUT = {
    "alpha158": "The feature set of Microsoft's Qlib, in its own notation; where it differs: [Alpha158](alpha158.md).",
    "context": "Against the market index at the same bar; missing where it has none: nothing is carried forward.",
    "cross-section": "Against the universe at the same bar: ranks, breadth and dispersion. Compared are the members that have a "
    "bar and a value now; fewer than five: missing. Whoever is no member gets no rank, but is told breadth and dispersion.",
    "microstructure": "Proxies of spread, impact and noise from bars alone (`roll_spread_20` stands with volatility).",
    "momentum": "How one-sided the last bars were.",
    "returns": "What the last bars did.",
    "seasonality": "Volume and volatility against what is usual at this time of day; learnt from earlier sessions alone, by the "
    "minutes since their open (so an evening session teaches the first hour).",
    "session": "Where in the day's prices, and against the session before.",
    "time": "Where in the day. Times are those of the bar's open.",
    "timeframes": "Bars of 15 and 60 minutes: always the last *closed* one, carried until the next one closes. Their grid starts "
    "at 09:15 IST whatever the session's open, so an evening session and an early close have short ones.",
    "trend": "Distances from averages, channels and lines.",
    "volatility": "How far prices move, from closes and from ranges. Per bar unless the name says otherwise.",
    "volume": "Volume and money flow.",
    "vwap": "Against the volume-weighted average price since the session's open, and its bands.",
}


def cells(f: AnyFeature) -> list[str]:
    """One feature's row, in the order of ``COLUMNS``."""
    return [c.replace("|", "\\|") for c in (f"`{f.name}`", f.formula, lookback(f), f.units, needs(f), f.undefined, f.source)]


def table(members: Sequence[AnyFeature]) -> str:
    """A table without the columns that are empty throughout; a source that all share is said once, below."""
    rows = [cells(f) for f in members]
    shared = f"\nSource: {rows[0][-1]}.\n" if len(rows) > 1 and len({row[-1] for row in rows}) == 1 else ""
    keep = [i for i, name in enumerate(COLUMNS) if any(row[i] for row in rows) and not (shared and name == "source")]
    head = [[COLUMNS[i] for i in keep], ["---"] * len(keep)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [*head, *([row[i] for i in keep] for row in rows)]) + shared


# ------------------------------------------------------------------------------------------------------------------ pages


def families(features: Sequence[AnyFeature]) -> dict[str, list[AnyFeature]]:
    """Features by family, families in the order of their first."""
    return {name: [f for f in features if f.family == name] for name in dict.fromkeys(f.family for f in features)}


def tables(features: Sequence[AnyFeature], pictures: bool) -> str:
    """One section a family: what it is, its features, its picture."""
    parts = []
    for family, members in families(features).items():
        about = f"{ABOUT[family]}\n\n" if family in ABOUT else ""
        parts.append(f"\n## {'VWAP' if family == 'vwap' else family.capitalize()}\n\n{about}{table(members)}")
        if pictures:
            parts += [f"\n![{name}: each feature on one day](images/features-{name}.svg)\n" for name in pictured(members)]
    return "".join(parts)


def page() -> str:
    features = list(default_registry().values())
    by_family = families(features)
    index = ", ".join(f"[{name}](#{name}) {len(members)}" for name, members in by_family.items())
    head = HEAD.format(n=len(features), families=len(by_family), index=index)
    tail = (
        "\n## Expressions\n\nWhat is computed, exactly, as Python to paste after `from intraday.core.expression import *` "
        "([the language](expressions.md)); what occurs twice is named where it first occurs.\n\n"
    )
    return head + tables(features, pictures=True) + tail + "".join(f"* `{f.name}`: `{computed_as(f)}`\n" for f in features)


# --------------------------------------------------------------------------------------------------------------- language

LANGUAGE = """# The language of features

Written by `scripts/build_feature_docs.py` from the docstrings of `core/expression.py`; edit those, not this page.

`from intraday.core.expression import *` gives everything below. An expression is written once and computed at every bar of every
instrument: `close() / ema(close(), 20) - 1`. The bars themselves are functions too: `close()`, with brackets.

* `x + y`, `x - y`, `x * y`, `x / y`, `-x`, `x ** 2`, `abs(x)`, `x > y`, `x < y` work between expressions and with numbers; dividing
  by 0 is missing. `x == y` asks whether the two are written alike: for their values there is `equal(x, y)`. There is no `if`,
  `and`, `or`, and nothing of numpy: an error says what to write instead.
* Missing is NaN and no observation: what has a memory skips it, and "the last 20 observations" are those of the instrument itself
  however far they lie back. "of x" among the units: those that x has.
* `width`, `period`, `k` and `least` are whole numbers of bars and `span` of sessions or bars, up to {longest:,}. `NAN` is
  missing and `INF` infinity: `clip(x, 0, INF)`.
* No function looks ahead. Whatever is written here obeys the [laws](audit.md).
"""
GROUPS = {
    "open_": "The bar and its time",
    "affine": "Arithmetic",
    "greater": "Conditions",
    "prev": "Memory",
    "total": "Windows",
    "cov": "Two series",
    "session_first": "The session",
    "slot_mean": "The time of day",
    "bucket_open": "Longer bars",
    "across_rank": "The others",
}
"""The first function of each group, in the order of the sources."""
DOCUMENTED = re.compile(r"(.*) NaN: (.*)\. Units: (.*)\.", re.DOTALL)


def language() -> str:
    """The page of primitives."""
    made = {name: getattr(expression, name) for name in expression.__all__}
    functions = [f for f in made.values() if inspect.isfunction(f)]
    places = {module: i for i, module in enumerate(("intraday.core.expression", "intraday.core.day_expression"))}
    functions.sort(key=lambda f: (places[f.__module__], f.__code__.co_firstlineno))
    parts = [LANGUAGE.format(longest=limits.LONGEST)]
    for f in functions:
        if f.__name__ in GROUPS:
            parts.append(f"\n## {GROUPS[f.__name__]}\n\n| function | meaning | NaN | units |\n| --- | --- | --- | --- |\n")
        parts.append(primitive(f))
    return "".join(parts)


def primitive(f: Callable[..., object]) -> str:
    """A row: how it is called, and what its docstring says."""
    written = [p.name + ("" if p.default is p.empty else f"={p.default}") for p in inspect.signature(f).parameters.values()]
    found = DOCUMENTED.fullmatch(" ".join((inspect.getdoc(f) or "").split()))
    assert found is not None, f"{f.__name__}: expected a docstring that ends in 'NaN: … . Units: … .'"
    words = (w.replace("``", "`").replace("|", "\\|") for w in found.groups())
    return f"| `{f.__name__}({', '.join(written).replace('=nan', '=NAN')})` | {' | '.join(words)} |\n"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description="Write docs/features.md and docs/expressions.md, or the tables of a file of yours."
    )
    parser.add_argument("file", nargs="?", type=Path, help="a file of user features: its tables go to standard output")
    file = parser.parse_args(arguments).file
    if file is not None:
        mine = load_user_features(file, SessionTable.load())
        sys.stdout.write(tables([*mine.expressions, *mine.functions.features], pictures=False))
        return
    (DOCS / "features.md").write_text(page(), encoding="utf-8")
    (DOCS / "expressions.md").write_text(language(), encoding="utf-8")
    sys.stdout.write(f"features.md: {len(default_registry())} features; expressions.md: {len(expression.__all__) - 4} functions\n")


if __name__ == "__main__":
    main(sys.argv[1:])
