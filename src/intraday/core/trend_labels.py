"""Trend-scanning labels: the sign of the straight line that fits the minutes after a decision most clearly.

For each decision, least squares of one-minute closes on time, from the entry to each of several ends; the end with the largest
absolute t-value of the slope is the trend's. Unlike the book's code: minutes that are missing are left out of the fit instead of
moving the others together; a span needs bars in half of ``from_min`` minutes (three on a line would beat everything); nothing
crosses the session's last exit; and the returns and ``t1_ns`` are those of the trade held to the vertical barrier: until then
another span could still have won, and to leave at the end of the clearest one takes hindsight.
Source: López de Prado 2020, Machine Learning for Asset Managers, section 5.4.
"""

from __future__ import annotations

from typing import NamedTuple

from intraday.core.kernels import trend_scan as kernel
from intraday.core.label_sessions import LabelPart
from intraday.domain.arrays import F8, I8, MINUTE_NS, Labels, Mask


class TrendRule(NamedTuple):
    """Spans end ``from_min``, ``step_min`` more .. minutes after the decision's close; ``least_t``: below it the label is 0."""

    from_min: int
    step_min: int
    least_t: float
    max_wait_min: int


def scan_trends(part: LabelPart, rule: TrendRule, out: Labels, done: Mask, t: F8, end_ns: I8) -> None:
    """Turn LABEL [D, S] of trades held to the vertical barrier into trends where ``done`` is set, and clear that where no span fits
    before the last exit; fills t-values and span ends."""
    first = (part.closed_ns - part.session.open_ns) // MINUTE_NS + rule.from_min
    least = max(3, rule.from_min // 2)
    kernel.scan_session(
        part.grid, part.keep, part.clock.rows, first, rule.step_min, least, rule.least_t, rule.max_wait_min, part.session.open_ns,
        out, done, t, end_ns,
    )  # fmt: skip
