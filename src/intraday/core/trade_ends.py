"""When the trade of each side of a decision bar is over: until then a signal of that side is open, and no other may be given.

Labels know only the later end of the two trades; one open signal per instrument needs each side's own.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from intraday.core.fills import Exit
from intraday.core.kernels.trade_sides import trade_session
from intraday.core.label_sessions import LabelParts, Traded
from intraday.core.labels import LabelSpec
from intraday.core.meta_labels import META
from intraday.domain.arrays import F4, I8, Mask, Panel
from intraday.domain.session import SessionTable


class TradeEnds(NamedTuple):
    """Of the long and of the short trade of each decision bar, [T, S].

    ``long``, ``short`` int64: when its end was known, ns UTC; 0 where that is unknown. ``skipped_long``, ``skipped_short`` bool: it
    was not entered, since the entry's open was at or beyond a barrier or near a circuit limit; it costs nothing.
    """

    long: I8
    short: I8
    skipped_long: Mask
    skipped_short: Mask


def side_ends(
    minutes: Panel, decisions: Panel, sigma: F4, spec: LabelSpec, traded: Traded, sessions: SessionTable,
    known_ns: int | None = None,
) -> TradeEnds:  # fmt: skip
    """When the end of the long and of the short trade of each decision bar was known, and whether it was entered.

    Arguments as ``labels.Labeler.label``'s: the one-minute panel, the decision panel of the spec's timeframe, ``sigma`` float32
    [T, S] of the decision bars. The moment is the open of the minute after the one that decided it: whoever has closed minutes up
    to there knows it. The later of the two ends of a label's row is its ``t1_ns``. Both are 0 where nothing was entered for want
    of a bar, and a side's is 0 where a hole or a halt hides its end.
    """
    shape = decisions.mask.shape
    assert decisions.timeframe == spec.timeframe, (decisions.timeframe, spec.timeframe)
    found = TradeEnds(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))
    target, root = (spec.target_sigma if spec.has_barriers else inf), float(np.sqrt(spec.horizon_bars))
    for rows, parts in LabelParts(spec.rules, spec.horizon_min, traded, sessions).of(minutes, decisions, sigma, known_ns):
        table = np.empty((rows.stop - rows.start, shape[1]), META)
        done = np.zeros(table.shape, np.bool_)
        for part in parts:
            for side, out, skipped in ((1, found.long, found.skipped_long), (-1, found.short, found.skipped_short)):
                done[:, part.keep] = False
                trade_session(
                    part.grid, part.keep, part.decided, part.sigma, np.full(table.shape, side, np.int8), part.tick, root,
                    target, spec.stop_sigma, part.lower, part.upper, part.margin, part.clock.rows, part.clock.last,
                    spec.max_wait_min, part.session.open_ns, part.ts_ns, table, done,
                )  # fmt: skip
                ended = np.where(done, table["t1_ns"], 0)
                out[rows, part.keep] = ended[:, part.keep]
                skipped[rows, part.keep] = (done & (table["how"] == Exit.SKIPPED))[:, part.keep]
    return found
