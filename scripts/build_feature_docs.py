"""Write docs/features.md from the registry. Run it after changing a feature; a test compares.

.venv/bin/python scripts/build_feature_docs.py                       # then scripts/draw_features.py for the pictures
.venv/bin/python scripts/build_feature_docs.py my_features.py > my.md  # the same tables for a file of user features
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from intraday.core.expression import Expr
from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature
from intraday.core.operations import OPS
from intraday.core.registry import default_registry
from intraday.core.user_features import load_user_features
from intraday.domain.session import SessionTable

TARGET = Path(__file__).resolve().parent.parent / "docs" / "features.md"
AnyFeature = Feature | FunctionFeature
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
`scripts/build_feature_docs.py my_features.py`.

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
    "seasonality": "Volume and volatility against what is usual at this time of day; learnt from earlier sessions alone.",
    "session": "Where in the day's prices, and against the session before.",
    "time": "Where in the day. Times are those of the bar's open.",
    "timeframes": "Bars of 15 and 60 minutes: always the last *closed* one, carried until the next one closes. Their grid starts "
    "at 09:15 IST whatever the session's open, so an evening session and an early close have short ones.",
    "trend": "Distances from averages, channels and lines.",
    "volatility": "How far prices move, from closes and from ranges. Per bar unless the name says otherwise.",
    "volume": "Volume and money flow.",
    "vwap": "Against the volume-weighted average price since the session's open, and its bands.",
}
SINCE_ANCHOR = {"ema", "ewvar", "running_sum", "adaptive", "slot", "slot_std"}


def lookback(f: AnyFeature) -> str:
    """Bars or sessions before the first value; ``+`` where what came before still counts."""
    if isinstance(f, FunctionFeature):
        return f"{f.warmup}"
    frames = sorted({int(e.params[0]) for e in walk(f.expr) if e.op == "bucket"})
    bars = " and ".join(f"{f.expr.warmup_at(m) + 1} of {m} min" for m in frames) or str(f.warmup)
    sessions = f"{f.sessions} session{'s' if f.sessions > 1 else ''}" if f.sessions else ""
    text = ", ".join(part for part in (sessions, bars if bars != "0" or not sessions else "") if part)
    return text + (" +" if any(e.op in SINCE_ANCHOR for e in walk(f.expr)) else "")


def needs(f: AnyFeature) -> str:
    """What an instrument must have, or the market."""
    if isinstance(f, FunctionFeature):
        return "volume" if f.needs_volume else ""
    ops = {e.op for e in walk(f.expr)}
    across = any(OPS[op].across for op in ops - {"of_index"})
    parts = ("volume", f.needs_volume or "bucket_volume" in ops), ("index", "of_index" in ops), ("members", across)
    return ", ".join(name for name, needed in parts if needed)


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


def walk(expr: Expr, operands: Callable[[Expr], Sequence[Expr]] = lambda e: e.args) -> list[Expr]:
    """Every different node once, operands before their users."""
    known: dict[str, Expr] = {}

    def visit(e: Expr) -> None:
        if e.text not in known:
            for operand in operands(e):
                visit(operand)
            known[e.text] = e

    visit(expr)
    return list(known.values())


# ------------------------------------------------------------------------------------------------- expressions for people

LONG = 60  # characters of the canonical form
NAMES = {"div": "ratio", "slot": "slot_mean"}  # where the language calls a primitive something else
INFIX = {"add": "+", "sub": "-", "mul": "*"}


def shown(expr: Expr) -> str:
    """The expression in the language of core/expression.py; what is long and used twice is named first."""
    nodes = walk(expr, operands)
    uses = Counter(operand.text for e in nodes for operand in operands(e))
    names: dict[str, str] = {}
    lines: list[str] = []
    for node in nodes:
        if uses[node.text] > 1 and len(node.text) > LONG:
            lines.append(f"x{len(lines) + 1} = {bare(node, names)}")
            names[node.text] = f"x{len(lines)}"
    return "; ".join([*lines, bare(expr, names)])


def operands(e: Expr) -> list[Expr]:
    """What is written between the brackets: not how a window is kept, nor when the session started."""
    args = [a for a in e.args if a.op in ("window", "sorted")] or e.args  # beside a window: what is made of it
    left_out = {"bucket", "start"} if e.op.startswith("session_") or e.op == "at_start" else {"bucket"}
    return [of_window(a) for a in args if a.op not in left_out]


def of_window(e: Expr) -> Expr:
    return of_window(e.args[0]) if e.op in ("window", "sorted") else e


def bare(e: Expr, names: Mapping[str, str]) -> str:
    """Without brackets around the whole."""
    text = written(e, names)
    return text[1:-1] if text.startswith("(") else text


def written(e: Expr, names: Mapping[str, str]) -> str:
    if e.text in names:
        return names[e.text]
    if e.op in INFIX:
        return f"({written(e.args[0], names)} {INFIX[e.op]} {written(e.args[1], names)})"
    if e.op == "div" and e.params[0] != e.params[0]:
        return f"({written(e.args[0], names)} / {written(e.args[1], names)})"
    if e.op == "affine":
        return affine(written(e.args[0], names), *e.params)
    if not e.args and not e.params:
        return e.op
    return call(e, names)


def affine(x: str, scale: float, shift: float) -> str:
    """``scale * x + shift`` without what changes nothing."""
    scaled = x if scale == 1 else f"-{x}" if scale == -1 else f"{number(scale)} * {x}"
    return f"({scaled})" if shift == 0 else f"({scaled} {'-' if shift < 0 else '+'} {number(abs(shift))})"


def call(e: Expr, names: Mapping[str, str]) -> str:
    """``name(operands, parameters)``."""
    name = "wilder" if e.op == "ema" and e.params[1] == 1.0 / e.params[0] else NAMES.get(e.op, e.op)
    params = e.params[:1] if e.op == "ema" else e.args[0].params if e.op.startswith("bucket_") else e.params
    return f"{name}({', '.join([*(bare(a, names) for a in operands(e)), *(number(p) for p in params)])})"


def number(value: float) -> str:
    return str(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else repr(value)


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
            parts.append(f"\n![{family}: each feature on one day](images/features-{family}.svg)\n")
    return "".join(parts)


def page() -> str:
    features = list(default_registry().values())
    by_family = families(features)
    index = ", ".join(f"[{name}](#{name}) {len(members)}" for name, members in by_family.items())
    head = HEAD.format(n=len(features), families=len(by_family), index=index)
    tail = (
        "\n## Expressions\n\nWhat is computed, exactly, in the language of `core/expression.py`; what occurs twice is named first. "
        "`ratio(x, y, z)` is z where y is 0, `x / y` missing; the last number of `slot_mean` and `slot_std` is a weight.\n\n"
    )
    return head + tables(features, pictures=True) + tail + "".join(f"* `{f.name}`: `{shown(f.expr)}`\n" for f in features)


def main(arguments: Sequence[str]) -> None:
    if arguments:
        mine = load_user_features(Path(arguments[0]), SessionTable.load())
        sys.stdout.write(tables([*mine.expressions, *mine.functions.features], pictures=False))
        return
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(default_registry())} features\n")


if __name__ == "__main__":
    main(sys.argv[1:])
