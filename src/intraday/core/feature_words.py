"""What a feature needs, in words: for the page of features, and for ``intraday features``."""

from __future__ import annotations

from typing import Final

from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature
from intraday.core.operations import OPS
from intraday.core.python_text import python_text, walk

AnyFeature = Feature | FunctionFeature
SINCE_ANCHOR: Final = frozenset(("ema", "ewvar", "running_sum", "adaptive", "slot", "slot_std"))


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


def computed_as(f: AnyFeature) -> str:
    """Python of the expression; of a function its name and window."""
    if isinstance(f, Feature):
        return python_text(f.expr)
    return f"{getattr(f.function, '__qualname__', 'function')} of the last {f.window} slots"
