"""What a registered feature is."""

from __future__ import annotations

from dataclasses import dataclass

from intraday.core.expression import Expr


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
