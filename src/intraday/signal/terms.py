"""On what terms a day's signals are given: what is traded, how much, what is told of the reasons. Dated, and part of a journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from intraday.core.sizing import Sizing
from intraday.core.tradability import Tradable
from intraday.domain.arrays import F8, I8


@dataclass(frozen=True, slots=True)
class Terms:
    """``sizing`` None: no quantities are suggested. ``reasons``: features named with each BUY and SELL. ``limits``: the day's lower
    and upper circuit limits, float64 [S] each, rupees, NaN where unknown; None: none are known. ``from_ns``: a run that began
    within the session gives no signals for decision bars that opened before, and what it gives is to be watched only, for its
    features miss what was traded until then; 0: it has all of the session.
    ``watch``: signals are to be watched only, whatever the artifact's verdict says:
    by the configurations tried since, it is an edge no more."""

    tradable: Tradable
    sizing: Sizing | None = None
    reasons: int = 0
    limits: tuple[F8, F8] | None = None
    from_ns: int = 0
    watch: bool = False

    def columns(self, keep: I8) -> Terms:
        """The instruments ``keep`` alone, in that order."""
        limits = None if self.limits is None else (self.limits[0][keep], self.limits[1][keep])
        return Terms(self.tradable.columns(keep), self.sizing, self.reasons, limits, self.from_ns, self.watch)

    @classmethod
    def of_json(cls, raw: Mapping[str, Any]) -> Terms:
        """From the plain lists and dicts that ``dataclasses.asdict`` and JSON make of one."""
        t, sizing, limits = raw["tradable"], raw["sizing"], raw["limits"]
        masks = (np.array(t[name], np.bool_) for name in ("long", "short", "both"))
        long, short, both = masks
        tradable = Tradable(long, short, tuple(t["note"]), both, np.array(t["lots"], np.int64))
        known = None if limits is None else (np.array(limits[0], np.float64), np.array(limits[1], np.float64))
        sized = None if sizing is None else Sizing(**sizing)
        return cls(tradable, sized, raw["reasons"], known, raw.get("from_ns", 0), raw.get("watch", False))
