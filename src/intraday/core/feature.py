"""What a registered feature is."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.core.arguments import found
from intraday.core.expression import Expr
from intraday.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Feature:
    """One registered feature: an expression and what a reader must know about it.

    ``warmup`` bars of the instrument come before the first value, and ``sessions`` whole sessions; NaN before, finite from there
    on, except where ``undefined`` says the market itself leaves it without a value.
    """

    name: str
    family: str
    expr: Expr
    formula: str  # for people
    units: str
    source: str
    undefined: str = ""

    def __post_init__(self) -> None:
        check_words(self.name, self.family, self.formula, self.units, self.source, self.undefined)
        if not isinstance(self.expr, Expr):
            raise ConfigError(f"feature {self.name!r}: expected an expression such as close() third, found {found(self.expr)}")

    @property
    def warmup(self) -> int:
        """Bars before the first value, at any timeframe; with buckets a bound (``Expr.warmup_at`` knows the timeframe)."""
        return self.expr.warmup

    @property
    def sessions(self) -> int:
        """Sessions before the first value."""
        return self.expr.sessions

    @property
    def needs_volume(self) -> bool:
        """NaN for instruments without volume."""
        return self.expr.uses("volume") or self.expr.uses("bucket_volume")


def check_words(name: str, *words: str) -> None:
    """ConfigError unless all are text."""
    if not isinstance(name, str):
        raise ConfigError(f"feature: expected a name first, found {name!r:.60}")
    for text in words:
        if not isinstance(text, str):
            raise ConfigError(f"feature {name!r}: expected family, formula, units and source in words, found {text!r:.60}")
