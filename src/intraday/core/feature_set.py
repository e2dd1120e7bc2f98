"""A feature set: which features, of which bars, from which anchor, compared among whom; and the name that follows from all that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from intraday.core.anchor import AnchorRule
from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature, FunctionSet
from intraday.core.plan import Plan, compile_plan
from intraday.core.sources import FEATURE_HASH
from intraday.domain.errors import ConfigError


@dataclass(frozen=True)
class FeatureSet:
    """Features of one decision timeframe, in order. Equal ``id`` means equal bits for equal bars from the same anchor.

    ``features`` are the expressions; the columns of ``functions`` (a user's, None: there are none) come after theirs. ``universe``
    says who is compared with whom; empty where no feature compares instruments.
    """

    timeframe: int  # minutes
    features: tuple[Feature, ...]
    anchor: AnchorRule
    functions: FunctionSet | None = None
    universe: str = ""

    @classmethod
    def of(
        cls,
        timeframe: int,
        names: Sequence[str] | None,
        registry: Mapping[str, Feature],
        anchor: AnchorRule,
        functions: FunctionSet | None = None,
        universe: str = "",
    ) -> FeatureSet:
        """The features ``names`` of the registry and of ``functions`` (all, in their order, when None), expressions first.

        ConfigError names an unknown or repeated one.
        """
        others = () if functions is None else functions.names
        chosen = [*registry, *others] if names is None else list(names)
        unknown = [n for n in chosen if n not in registry and n not in others]
        if unknown:
            near = ", ".join(get_close_matches(unknown[0], (*registry, *others), n=5))
            known = f"one of the {len(registry) + len(others)} of docs/features.md"
            raise ConfigError(f"model.features: unknown feature {unknown[0]!r}; expected {near or known}")
        repeated = sorted({n for n in chosen if chosen.count(n) > 1})
        if repeated or not chosen:
            raise ConfigError(f"model.features: expected each name once and at least one, found {repeated or 'none'}")
        mine = tuple(n for n in chosen if n in others)
        wanted = functions.chosen(mine) if functions is not None and mine else None
        expressions = tuple(registry[n] for n in chosen if n not in others)
        compares = wanted is not None or any(f.expr.across for f in expressions)
        return cls(timeframe, expressions, anchor, wanted, universe if compares else "")

    @property
    def everything(self) -> tuple[Feature | FunctionFeature, ...]:
        """Expressions and functions, in column order."""
        return (*self.features, *(() if self.functions is None else self.functions.features))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in column order."""
        return tuple(f.name for f in self.everything)

    @property
    def comparing(self) -> frozenset[str]:
        """Names of the features that look at other instruments too; a user's functions may, so they count."""
        functions = () if self.functions is None else self.functions.names
        return frozenset((*(f.name for f in self.features if f.expr.across), *functions))

    @property
    def warmup(self) -> int:
        """Bars of an instrument before every feature has had its first value, sessions apart."""
        own = 0 if self.functions is None else self.functions.window - 1
        return max([own, *(f.expr.warmup_at(self.timeframe) for f in self.features)])

    @cached_property
    def id(self) -> str:
        """16 hex digits of sha256 over timeframe, names, expressions, the code that computes them and the anchor rule."""
        return hashlib.sha256(self.definition().encode()).hexdigest()[:16]

    def definition(self) -> str:
        """Canonical JSON of everything the values depend on, plus what a person wants to read; the text ``id`` is made of."""
        features = [
            {"name": f.name, "family": f.family, "expression": _expression(f), "formula": f.formula, "units": f.units,
             "source": f.source, "warmup": f.warmup, "sessions": f.sessions, "needs_volume": f.needs_volume}
            for f in self.everything
        ]  # fmt: skip
        whole: dict[str, Any] = {
            "timeframe": self.timeframe, "anchor": self.anchor.text, "code": FEATURE_HASH, "features": features,
            **({} if self.functions is None else {"functions": self.functions.digest}),
            **({"universe": self.universe} if self.universe else {}),
        }  # fmt: skip
        return json.dumps(whole, sort_keys=True, separators=(",", ":"))

    def column(self, name: str) -> int:
        """Position of a feature; ConfigError when the set does not have it."""
        if name not in self.names:
            raise ConfigError(f"feature set {self.id}: expected a feature named {name!r}, found {', '.join(self.names)}")
        return self.names.index(name)

    @cached_property
    def plan(self) -> Plan:
        """The compiled expressions."""
        return compile_plan([f.expr for f in self.features], self.timeframe)


def _expression(feature: Feature | FunctionFeature) -> str:
    if isinstance(feature, FunctionFeature):
        return f"(function {feature.name} {feature.window})"
    return feature.expr.text
