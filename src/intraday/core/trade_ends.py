"""When the trade of each side of a decision bar is over: until then a signal of that side is open, and no other may be given.

Labels know only the later end of the two trades; one open signal per instrument needs each side's own.
"""

from __future__ import annotations

from math import inf

import numpy as np

from intraday.core.kernels.trade_sides import trade_session
from intraday.core.label_sessions import LabelParts, Traded
from intraday.core.labels import LabelSpec
from intraday.core.meta_labels import META
from intraday.domain.arrays import F4, I8, Panel
from intraday.domain.session import SessionTable


def side_ends(
    minutes: Panel, decisions: Panel, sigma: F4, spec: LabelSpec, traded: Traded, sessions: SessionTable,
    known_ns: int | None = None,
) -> tuple[I8, I8]:  # fmt: skip
    """When the end of the long and of the short trade was known, int64 [T, S] each, ns UTC; 0 where a trade's end is unknown.

    Arguments as ``labels.Labeler.label``'s: the one-minute panel, the decision panel of the spec's timeframe, ``sigma`` float32
    [T, S] of the decision bars. The moment is the open of the minute after the one that decided it: whoever has closed minutes up
    to there knows it. The later of the two ends of a label's row is its ``t1_ns``. Both are 0 where nothing was entered for want
    of a bar, and a side's is 0 where a hole or a halt hides its end.
    """
    shape = decisions.mask.shape
    assert decisions.timeframe == spec.timeframe, (decisions.timeframe, spec.timeframe)
    long, short = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    target, root = (spec.target_sigma if spec.has_barriers else inf), float(np.sqrt(spec.horizon_bars))
    for rows, parts in LabelParts(spec.rules, spec.horizon_min, traded, sessions).of(minutes, decisions, sigma, known_ns):
        table = np.empty((rows.stop - rows.start, shape[1]), META)
        done = np.zeros(table.shape, np.bool_)
        for part in parts:
            for side, out in ((1, long), (-1, short)):
                done[:, part.keep] = False
                trade_session(
                    part.grid, part.keep, part.decided, part.sigma, np.full(table.shape, side, np.int8), part.tick, root,
                    target, spec.stop_sigma, part.lower, part.upper, part.margin, part.clock.rows, part.clock.last,
                    spec.max_wait_min, part.session.open_ns, part.ts_ns, table, done,
                )  # fmt: skip
                ended = np.where(done, table["t1_ns"], 0)
                out[rows, part.keep] = ended[:, part.keep]
    return long, short
