"""The signed-off result of an audit: who, on what, with which program, and every finding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from intraday.core.audit.result import Finding, Law, Outcome
from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature


@dataclass(frozen=True, slots=True)
class LawCount:
    """Findings of one law by outcome."""

    law: Law
    passed: int
    failed: int
    not_checked: int
    n: int  # values and rows compared


@dataclass(frozen=True, slots=True)
class Described:
    """A user's feature in words; ``definition``: the expression, or the function and its window."""

    name: str
    family: str
    formula: str
    units: str
    warmup: int  # bars before the first value
    sessions: int  # whole sessions before the first value
    needs_volume: bool
    undefined: str
    source: str
    definition: str


def described(feature: Feature | FunctionFeature) -> Described:
    """What its author says of it, and what is computed."""
    if isinstance(feature, FunctionFeature):
        definition = f"{getattr(feature.function, '__qualname__', 'function')} of the last {feature.window} slots"
    else:
        definition = feature.expr.text
    f = feature
    return Described(
        f.name, f.family, f.formula, f.units, f.warmup, f.sessions, f.needs_volume, f.undefined, f.source, definition
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Certificate:
    """``facts`` (name, value) in the order they are shown: range, digests, versions. ``symbols`` by dense row; ``made_ns`` UTC.

    ``own``: the user's features.
    """

    who: str
    made_ns: int
    facts: Sequence[tuple[str, str]]
    symbols: Sequence[str]
    findings: Sequence[Finding]
    own: Sequence[Described] = ()

    @property
    def passed(self) -> bool:
        """Nothing failed. What was not checked is no failure, and is never counted as passed either."""
        return not self.failed

    @property
    def failed(self) -> list[Finding]:
        """What failed, in order."""
        return [f for f in self.findings if f.outcome is Outcome.FAILED]

    @property
    def digest(self) -> str:
        """16 hex digits of sha256 over everything above: another word, another digest."""
        whole = [
            self.who,
            self.made_ns,
            list(self.facts),
            list(self.symbols),
            [asdict(f) for f in self.findings],
            [asdict(f) for f in self.own],
        ]
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def by_law(self) -> list[LawCount]:
        """One row for each law that was met, in the order of ``Law``."""
        counts = []
        for law in Law:
            mine = [f for f in self.findings if f.law is law]
            if mine:
                passed, failed, rest = (
                    sum(f.outcome is o for f in mine) for o in (Outcome.PASSED, Outcome.FAILED, Outcome.NOT_CHECKED)
                )
                counts.append(LawCount(law, passed, failed, rest, sum(f.n for f in mine)))
        return counts

    def symbol(self, inst: int) -> str:
        """Of a difference; empty for one that no instrument has."""
        return self.symbols[inst] if 0 <= inst < len(self.symbols) else ""
