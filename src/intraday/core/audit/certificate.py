"""The signed-off result of an audit: who, on what, with which program, and every finding; and what a kept one says."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from intraday.core.audit.result import Finding, Law, Outcome
from intraday.core.feature_words import AnyFeature, computed_as
from intraday.domain.errors import InputError

FORMAT = 2  # of a kept certificate; another one cannot be read


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


def described(feature: AnyFeature) -> Described:
    """What its author says of it, and what is computed."""
    f = feature
    return Described(
        f.name, f.family, f.formula, f.units, f.warmup, f.sessions, f.needs_volume, f.undefined, f.source, computed_as(f)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Certificate:
    """``facts`` (name, value) in the order they are shown: range, digests, versions. ``symbols`` by dense row; ``made_ns`` UTC.

    ``own``: the user's features. ``asked``: plain JSON that is enough to find the same bars again.
    """

    who: str
    made_ns: int
    facts: Sequence[tuple[str, str]]
    symbols: Sequence[str]
    findings: Sequence[Finding]
    own: Sequence[Described] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Nothing failed. What was not checked is no failure, and is never counted as passed either: ``verdict`` says so."""
        return not self.failed

    @property
    def failed(self) -> list[Finding]:
        """What failed, in order."""
        return [f for f in self.findings if f.outcome is Outcome.FAILED]

    @property
    def unchecked(self) -> list[Finding]:
        """What the data at hand could not tell, in order."""
        return [f for f in self.findings if f.outcome is Outcome.NOT_CHECKED]

    @property
    def verdict(self) -> str:
        """``passed`` or ``failed``, and how many of the laws that were met were not checked: on nothing, or only in part."""
        laws = self.by_law()
        silent = sum(law.not_checked > 0 and law.passed + law.failed == 0 for law in laws)
        partly = sum(law.not_checked > 0 for law in laws) - silent
        word = "passed" if self.passed else "failed"
        if not silent + partly:
            return word
        rest = f", {partly} in part" if silent and partly else " in part" if partly else ""
        return f"{word}, {silent or partly} of {len(laws)} laws not checked{rest}"

    @property
    def digest(self) -> str:
        """16 hex digits of sha256 over everything that is kept: another word, another digest. Nobody's key is in it."""
        return _digest(self._kept())

    def kept(self) -> str:
        """Everything as one JSON document, its digest first: what ``read_certificate`` reads."""
        return json.dumps({"digest": self.digest, **self._kept()}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _kept(self) -> dict[str, Any]:
        whole = {
            "format": FORMAT,
            "verdict": self.verdict,
            "by": self.who,
            "made_ns": self.made_ns,
            "asked": dict(self.asked),
            "facts": [list(fact) for fact in self.facts],
            "symbols": list(self.symbols),
            "laws": [asdict(law) for law in self.by_law()],
            "findings": [asdict(f) for f in self.findings],
            "own_features": [asdict(f) for f in self.own],
        }
        kept: dict[str, Any] = _plain(whole)
        return kept

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


@dataclass(frozen=True, slots=True)
class Kept:
    """What a kept certificate says, and ``found``: the digest of what it says now."""

    digest: str
    found: str
    verdict: str
    who: str
    made_ns: int
    asked: Mapping[str, Any]
    facts: Mapping[str, str]
    n_failed: int
    n_unchecked: int


def read_certificate(text: str, name: str) -> Kept:
    """The text that ``Certificate.kept`` made, whether or not it was changed since. InputError when it is something else."""
    expected = f"{name}: expected a certificate as `intraday audit` keeps it beside the page (audit-….json)"
    try:
        whole = json.loads(text)
        if whole["format"] != FORMAT:
            raise InputError(f"{name}: expected a certificate of format {FORMAT}, found {whole['format']!r}: make a new one")
        outcomes = [f["outcome"] for f in whole["findings"]]
        digest = str(whole.pop("digest"))
        facts = {str(fact): str(value) for fact, value in whole["facts"]}
        return Kept(
            digest, _digest(whole), str(whole["verdict"]), str(whole["by"]), int(whole["made_ns"]), dict(whole["asked"]), facts,
            outcomes.count(Outcome.FAILED), outcomes.count(Outcome.NOT_CHECKED),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{expected}, found something else ({type(error).__name__}: {error})") from error


def _digest(kept: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are words."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
