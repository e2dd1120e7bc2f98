"""Bars as they compare with those of a day: prices before an ex-date times its factor, and who sits out meanwhile. Pure.

The anchor of an adjustment is the decision day: on it, an action counts from its ex-date on and not a day earlier, however long ago
it was announced. Raw bars are never changed. docs/adjust.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from intraday.core.anchor import AnchorRule, session_of
from intraday.core.panel import Spans
from intraday.domain.arrays import DAY_NS, Bars
from intraday.domain.corporate import Action
from intraday.domain.session import SessionTable, midnight_ns


class Factor(NamedTuple):
    """What bars of an instrument with ``start_ns <= ts < end_ns`` are multiplied with; ``start_ns`` None: from the beginning."""

    instrument_id: int
    start_ns: int | None
    end_ns: int
    price: float
    volume: float


def counting(actions: Sequence[Action], as_of: date, known_ns: int | None = None) -> list[Action]:
    """The actions that count on a decision day: gone ex by then, and known at ``known_ns`` (None: known now)."""
    if known_ns is None:
        return [a for a in actions if a.ex_date <= as_of and a.gone_ns is None]
    return [a for a in actions if a.ex_date <= as_of and a.known_ns <= known_ns and (a.gone_ns is None or a.gone_ns > known_ns)]


def factors(actions: Sequence[Action], as_of: date, known_ns: int | None = None) -> list[Factor]:
    """By (instrument, time), the newest first: the products of the SQL function ``adjustments``, in its order, so with its bits."""
    counted = sorted(counting(actions, as_of, known_ns), key=lambda a: (a.instrument_id, -a.ex_date.toordinal(), a.kind.value))
    out: list[Factor] = []
    for number, own in groupby(counted, key=lambda a: a.instrument_id):
        price = volume = 1.0
        days = [(day, list(same)) for day, same in groupby(own, key=lambda a: a.ex_date)]
        starts = [midnight_ns(day) for day, _ in days[1:]]
        for (day, same), start_ns in zip(days, [*starts, None], strict=True):
            for action in same:
                price, volume = price * action.price_factor, volume * action.volume_factor
            out.append(Factor(number, start_ns, midnight_ns(day), price, volume))
    return out


def adjusted(bars: Bars, ids: Sequence[int], actions: Sequence[Action], as_of: date, known_ns: int | None = None) -> Bars:
    """A copy of BAR[n], any order, as it compares with prices of ``as_of``; ``ids``: the database's, by dense row.

    Prices are not rounded to ticks, and volumes need not be whole. Bars later than ``as_of`` may not be among them.
    """
    assert bars.shape[0] == 0 or int(bars["ts_ns"].max()) < midnight_ns(as_of) + DAY_NS, "no bar after the decision day"
    out = bars.copy()
    row = {number: k for k, number in enumerate(ids)}
    for factor in factors(actions, as_of, known_ns):
        if factor.instrument_id in row:
            own = (out["inst"] == row[factor.instrument_id]) & (out["ts_ns"] < factor.end_ns)
            if factor.start_ns is not None:
                own &= out["ts_ns"] >= factor.start_ns
            for name in ("open", "high", "low", "close"):
                out[name][own] *= factor.price
            out["volume"][own] *= factor.volume
    return out


def excluded(
    actions: Sequence[Action], ids: Sequence[int], rule: AnchorRule, sessions: SessionTable, first: date, last: date
) -> Spans:
    """Who gets no features on which sessions of ``first <= day <= last``: (dense row, first, last session number), ordered.

    State that began before an ex-date holds prices and volumes of the old scale, so from that day on the instrument sits out until
    the first session whose state starts (``rule``) on the ex-date or later. An action removed since excludes
    nobody, nor does an ordinary dividend: it is part of how the market opened.
    """
    row = {number: k for k, number in enumerate(ids)}
    wanted = [a for a in counting(actions, last) if a.instrument_id in row and a.rescales]
    spans = set()
    for segment in rule.segments(first, last, sessions):
        for action in wanted:
            start = max(segment.first, action.ex_date)
            if segment.anchor < action.ex_date and start <= segment.last:
                spans.add((row[action.instrument_id], session_of(start), session_of(segment.last)))
    return _joined(sorted(spans))


def _joined(spans: Sequence[tuple[int, int, int]]) -> Spans:
    """Spans of a row that overlap or meet as one. In order."""
    out: list[tuple[int, int, int]] = []
    for row, first, last in spans:
        if out and out[-1][0] == row and first <= out[-1][2] + 1:
            out[-1] = (row, out[-1][1], last)  # of spans in this order the later one ends no earlier
        else:
            out.append((row, first, last))
    return tuple(out)
