"""Meta-labels: whether the trade a primary model wanted was worth taking, so that a second model can learn when to trust it.

One trade a decision, of the given side, by the same rules as every other (``core/fills.py``). Source: López de Prado 2018, section
3.6; there without costs, entry delay or the difference between a target reached and money made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.fills import Bands, Exit, TickSizes
from intraday.core.kernels.trade_sides import trade_session
from intraday.core.label_sessions import LabelParts, Traded
from intraday.core.labels import LabelSpec
from intraday.core.panel import NO_LISTS, Lists
from intraday.domain.arrays import F4, F8, Panel
from intraday.domain.session import SessionTable

META = np.dtype(
    [
        ("ts_ns", "i8"),  # open time of the decision bar
        ("inst", "i4"),
        ("side", "i1"),  # as given: +1 long, -1 short
        ("label", "i1"),  # 1 the trade was worth taking, else 0
        ("how", "i1"),  # Exit
        ("locked", "i1"),  # 1 if it was locked at a circuit limit when it was due to end
        ("ret", "f8"),  # gross return of that side; 0 where it was not entered
        ("entry_ns", "i8"),  # open time of the minute whose open is the entry
        ("t1_ns", "i8"),  # the moment the label became known: this trade's end, whatever the other side would have done
        ("sigma", "f8"),  # volatility the barriers were scaled with
    ],
)

MetaRows = NDArray[Any]  # META[n]


class Worth(StrEnum):
    """What makes a trade worth taking."""

    NET = "net"  # it made money after costs
    TARGET = "target"  # it reached its target before its stop and the vertical barrier


@dataclass(frozen=True, slots=True)
class MetaSpec:
    """``sides`` names who decided the sides (a model's id); ``worth`` is one of ``Worth``."""

    labels: LabelSpec
    sides: str
    worth: str = Worth.NET

    @property
    def id(self) -> str:
        """16 hex digits of the definition."""
        return hashlib.sha256(self.definition().encode()).hexdigest()[:16]

    def definition(self) -> str:
        """Canonical JSON, the label's definition inside."""
        labels = json.loads(self.labels.definition())
        return json.dumps({"kind": "meta", "labels": labels, "sides": self.sides, "worth": Worth(self.worth)}, sort_keys=True)


class MetaLabeler:
    """Labels given sides; arguments as ``labels.Labeler``'s."""

    def __init__(self, spec: MetaSpec, tick_rupees: F8 | TickSizes, lists: Lists = NO_LISTS, bands: Bands | None = None) -> None:
        self._spec = spec
        self._traded = Traded.of(tick_rupees, lists, bands)

    def label(
        self, minutes: Panel, decisions: Panel, sigma: F4, side: NDArray[np.int8], cost: F8, sessions: SessionTable,
        known_ns: int | None = None,
    ) -> MetaRows:  # fmt: skip
        """META[n] of the decisions with a side, ordered by (ts, inst); no row where the outcome is not known.

        ``side`` int8 [T, S] of the decision bars: +1 long, -1 short, 0 none. ``cost`` float64 [T, S], or what broadcasts to it: the
        round trip as a return, for ``Worth.NET``. A trade that could not be entered was not worth taking: label 0, return 0.
        """
        spec, shape = self._spec.labels, decisions.mask.shape
        assert side.shape == shape and decisions.timeframe == spec.timeframe, (side.shape, shape, decisions.timeframe)
        out, done = np.empty(shape, META), np.zeros(shape, np.bool_)
        for _, parts in LabelParts(spec.rules, spec.horizon_min, self._traded, sessions).of(minutes, decisions, sigma, known_ns):
            for part in parts:
                sides = np.ascontiguousarray(side[part.rows], dtype=np.int8)
                trade_session(
                    part.grid, part.keep, part.decided, part.sigma, sides, part.tick, float(np.sqrt(spec.horizon_bars)),
                    spec.target_sigma, spec.stop_sigma, part.lower, part.upper, part.margin, part.clock.rows, part.clock.last,
                    spec.max_wait_min, part.session.open_ns, part.ts_ns, out[part.rows], done[part.rows],
                )  # fmt: skip
        rows = out[done]
        if self._spec.worth == Worth.TARGET:
            rows["label"] = rows["how"] == Exit.TARGET
        else:
            rows["label"] = rows["ret"] > np.broadcast_to(np.asarray(cost, dtype=np.float64), shape)[done]
        return rows
