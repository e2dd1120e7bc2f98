"""What a certificate is about, in words and digests: another bar, rule, setting or line of code, another fact.

Whatever is dated is told as it stood in the sessions that were audited: tomorrow's list of members changes nothing about them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import intraday
from intraday.backtest.audit import AuditBars, AuditPlan
from intraday.core.anchor import AnchorRule
from intraday.core.audit.result import Finding
from intraday.core.kernels import SOURCE_HASH
from intraday.core.price_rules import PriceRules
from intraday.domain.arrays import DAY_NS, IST_NS, Bars
from intraday.domain.instruments import Instrument
from intraday.domain.session import day_of

LIBRARIES = ("numpy", "numba", "llvmlite", "lightgbm", "scipy", "polars")
CODE = ("backtest", "config", "core", "domain", "history", "live", "model", "signal")
"""The parts of the program that decide what a value, a label, a weight, a model or a signal is, and what the audit says of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """The bars, whose they are, where they come from in words, and the anchor that training would use.

    ``live`` says what recorded days prove; ``recorded`` names them. ``newer``: sessions that are stored after the last of ``bars``.
    """

    instruments: Sequence[Instrument]
    bars: AuditBars
    source: str
    anchor: AnchorRule
    live: Callable[[], list[Finding]]
    recorded: str = "none"
    newer: int = 0


def facts(plan: AuditPlan, found: Found, notional: float, code: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and value of each, in the order they are shown. ``notional``: rupees of a trade, which its costs depend on.

    ``code``: ``code_digests`` of when the audit began, before somebody edited a file meanwhile.
    """
    return [*_of_bars(plan, found, notional), *_of_plan(plan, found), *_of_program(code)]


def _of_bars(plan: AuditPlan, found: Found, notional: float) -> list[tuple[str, str]]:
    given, bars, n = found.bars, found.bars.bars, len(found.instruments)
    first, last = (str(day_of(int(bars["ts_ns"][k]))) if len(bars) else "none" for k in (0, -1))
    numbers = np.unique((bars["ts_ns"] + IST_NS) // DAY_NS).tolist()
    lists, prices = given.lists, given.prices
    out = [(row, number) for row, start, end in lists.out for number in numbers if start <= number <= end]
    return [
        ("Bars", f"{len(bars):,} one-minute bars of {n} instruments, {first} to {last}"),
        ("Source", found.source),
        ("Recorded day", found.recorded),
        ("Digest of the bars", digest_of(bars)),
        ("Instruments", digest([(i.key, i.kind, i.segment, i.has_volume) for i in found.instruments])),
        ("Market index", "none" if given.index is None else found.instruments[given.index].key),
        ("Closing auction", digest([lists.auction_on(number, n) for number in numbers])),
        ("Universe", digest([lists.members_on(number, n) for number in numbers])),
        ("Sitting out", f"{len(out):,} sessions of an instrument, {digest(out)}"),
        ("Corporate actions", digest([a for a in given.actions if str(a.ex_date) <= last])),
        ("Tick sizes", digest([prices.ticks.on(number) for number in numbers])),
        ("Circuit limits", _limits(prices, numbers)),
        ("Digest of the limits", digest([] if prices.bands is None else [prices.bands.on(number) for number in numbers])),
        ("Costs", listed({"notional_inr": notional, "round_trips": digest([plan.cost(number) for number in numbers])})),
    ]


def _of_plan(plan: AuditPlan, found: Found) -> list[tuple[str, str]]:
    user, features = plan.user, plan.features
    functions = user.functions if user.functions.features else None
    return [
        ("Decision bars", f"{plan.labels.timeframe} minutes"),
        ("Features", f"{len(features.features) if features else 0} expressions, {len(user.functions.features)} functions"),
        ("Feature set", replace(features, anchor=found.anchor, functions=functions).id if features else "none"),
        ("Anchor", f"{found.anchor.text} (of the set; audited from the first bar on)"),
        ("User features", f"{user.path.name}, sha256 {user.digest}" if user.digest else "none"),
        ("Label set", plan.labels.id),
        ("Labels", listed(asdict(plan.labels))),
        ("Training", listed(asdict(plan.training))),
        ("Seed", str(plan.seed)),
    ]


def _of_program(code: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        ("Kernels", SOURCE_HASH),
        ("Code", listed(code)),
        ("Program", f"intraday {importlib.metadata.version('intraday')}, Python {platform.python_version()}"),
        ("Libraries", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)),
        ("Machine", f"{platform.machine()}, {platform.system()}"),
    ]


def code_digests(root: Path = Path(intraday.__file__).parent) -> dict[str, str]:
    """sha256 (16 hex digits) of each part's files, tables beside the code included; ``app``: what is wired to what."""
    found = {part: _tree(root / part, "**/*") for part in CODE}
    return {"app": _tree(root, "app*.py"), **found}


def _tree(folder: Path, pattern: str) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        if path.is_file() and "__pycache__" not in path.parts:
            whole.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _limits(prices: PriceRules, numbers: Sequence[int]) -> str:
    """Of how many of these sessions of an instrument labels may know them."""
    known = 0 if prices.bands is None else sum(int(np.isfinite(prices.bands.on(number)[1]).sum()) for number in numbers)
    late = f", {prices.late:,} known too late to be used" if prices.late else ""
    return f"of {known:,} sessions of an instrument{late}"


def listed(values: Mapping[str, Any]) -> str:
    """``a=1, b=x``: what ``changed_parts`` takes apart again. Mappings inside are named ``outer.inner``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
        flat |= inner
    return ", ".join(f"{name}={value}" for name, value in flat.items())


def changed_parts(was: str, now: str) -> tuple[str, str]:
    """Of two values of a fact the parts between commas that only one of them has; all of it where it has no parts."""
    before, after = was.split(", "), now.split(", ")
    gone, new = [p for p in before if p not in after], [p for p in after if p not in before]
    return (", ".join(gone), ", ".join(new)) if gone or new else (was, now)


def digest(value: Any) -> str:
    """16 hex digits of sha256 of anything made of plain values, arrays and dataclasses."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def digest_of(bars: Bars) -> str:
    """16 hex digits of sha256 of rows."""
    return hashlib.sha256(np.ascontiguousarray(bars).tobytes()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
