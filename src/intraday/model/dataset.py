"""Rows to learn from: features joined with labels, one row for each decision bar of an instrument that has both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.trade_ends import TradeEnds
from intraday.domain.arrays import DAY_NS, F4, F8, I4, I8, IST_NS, MINUTE_NS, Labels, Mask, Panel


@dataclass(frozen=True, slots=True)
class Dataset:
    """n rows ordered by (ts, inst), every array [n] but ``x``; times int64 ns UTC, returns and costs as fractions.

    ``x`` float32 [n, F], NaN where a feature has no value. ``label`` -1, 0, 1. ``ret_long`` and ``ret_short`` are gross. ``cost``
    is the round trip's charges. ``entry_ns`` is when the trade opens, ``t1_ns`` when the label became known. ``eligible`` is
    False where a signal would come too late in the session to be given: such rows train the model but are never traded.
    ``may_long`` and ``may_short`` say which sides may be traded on the row's day (``core/tradability.py``); True if nobody asked.
    ``attribution`` is ``core.weights.attributed_returns`` of the rows, NaN where nobody asked for it.

    ``close_ns`` is the moment of the decision (the bar's close) and ``close`` its price in rupees, NaN where nobody asked for it.
    ``end_long_ns`` and ``end_short_ns`` are when the end of that side's trade was known: until then a signal of that side is open;
    ``t1_ns`` where they were not asked for. ``skip_long`` and ``skip_short``: that side's trade is not entered, and costs nothing;
    False where nobody asked. ``rules`` int8 [n, R]: sides (+1, -1, 0) of the R simple rules (``core/rules.py``).
    """

    x: F4
    label: NDArray[np.int8]
    ret_long: F8
    ret_short: F8
    sigma: F8
    cost: F8
    ts_ns: I8
    entry_ns: I8
    t1_ns: I8
    session: I4
    inst: I4
    eligible: Mask
    attribution: F8
    close_ns: I8
    close: F8
    end_long_ns: I8
    end_short_ns: I8
    rules: NDArray[np.int8]
    may_long: Mask
    may_short: Mask
    skip_long: Mask
    skip_short: Mask

    def __len__(self) -> int:
        """n, the number of rows."""
        return int(self.ts_ns.shape[0])

    def allows(self, side: NDArray[np.int8]) -> Mask:
        """bool [n]: rows whose ``side`` (+1, -1; 0 never) may be given as a signal. If it may not, the other one is not taken."""
        out: Mask = self.eligible & np.where(side > 0, self.may_long, (side < 0) & self.may_short)
        return out

    def on_top_of(self, primary: NDArray[np.int8]) -> Dataset:
        """The same rows, where only the side that ``primary`` int8 [n] says may be traded, and none where it says 0."""
        return replace(self, may_long=self.may_long & (primary > 0), may_short=self.may_short & (primary < 0))

    def paid(self, side: NDArray[np.int8]) -> F8:
        """The round trip's charges of each row's ``side`` as a return, float64 [n]: 0 where its trade is not entered."""
        out: F8 = np.where(np.where(side > 0, self.skip_long, (side < 0) & self.skip_short), 0.0, self.cost)
        return out

    def rows(self, keep: NDArray[Any]) -> Dataset:
        """The rows ``keep`` (indices or mask), copied."""
        return Dataset(*(getattr(self, name)[keep] for name in self.__slots__))


def join(
    ts_ns: I8,
    inst: I4,
    x: F4,
    labels: Labels,
    cost: Callable[[int], float | F8],
    latest_bars_ns: Callable[[int], I8] | None = None,
    *,
    timeframe: int,
) -> Dataset:
    """Join features ``(ts_ns [m], inst [m], x [m, F])`` and LABEL rows on (ts, inst); rows without a partner are left out.

    ``cost`` gives the round trip's charges as a return by session number, one for all or float64 [S] by instrument. A row is
    eligible when its bar opens no later than ``latest_bars_ns`` of its session number says for its instrument (int64 [S],
    ``core.decision.latest_bars_ns``); without that function every row is. ``timeframe``: minutes of a decision bar.
    Both inputs may come in any order; a key that occurs twice in either is a broken promise of the caller.
    """
    at, of = _match(ts_ns, inst, labels)
    found = labels[of]
    session = ((found["ts_ns"] + IST_NS) // DAY_NS).astype(np.int32)
    numbers, where = np.unique(session, return_inverse=True)
    eligible = np.ones(len(found), dtype=np.bool_)
    if latest_bars_ns is not None and len(found):
        eligible = found["ts_ns"] <= np.stack([latest_bars_ns(int(k)) for k in numbers])[where, found["inst"]]
    return Dataset(
        x=np.ascontiguousarray(x[at], dtype=np.float32),
        label=found["label"].astype(np.int8),
        ret_long=found["ret_long"].astype(np.float64),
        ret_short=found["ret_short"].astype(np.float64),
        sigma=found["sigma"].astype(np.float64),
        cost=_by_row([cost(int(k)) for k in numbers], where, found["inst"]),
        ts_ns=found["ts_ns"].astype(np.int64),
        entry_ns=found["entry_ns"].astype(np.int64),
        t1_ns=found["t1_ns"].astype(np.int64),
        session=session,
        inst=found["inst"].astype(np.int32),
        eligible=eligible,
        attribution=np.full(len(found), np.nan),
        close_ns=found["ts_ns"].astype(np.int64) + timeframe * MINUTE_NS,
        close=np.full(len(found), np.nan),
        end_long_ns=found["t1_ns"].astype(np.int64),
        end_short_ns=found["t1_ns"].astype(np.int64),
        rules=np.empty((len(found), 0), dtype=np.int8),
        may_long=np.ones(len(found), dtype=np.bool_),
        may_short=np.ones(len(found), dtype=np.bool_),
        skip_long=np.zeros(len(found), dtype=np.bool_),
        skip_short=np.zeros(len(found), dtype=np.bool_),
    )


def with_trades(rows: Dataset, decisions: Panel, ends: TradeEnds, sides: NDArray[np.int8]) -> Dataset:
    """``rows`` with the closes of their decision bars, when each side's trade was over, and what the simple rules say.

    ``decisions`` holds the bars of all rows; ``ends`` (``core.trade_ends``) and ``sides`` int8 [T, S, R]
    (``core.rules``) go by its rows. Where an end is unknown (0) the label's ``t1_ns`` stands in.
    """
    t = np.searchsorted(decisions.ts_ns, rows.ts_ns)
    assert np.array_equal(decisions.ts_ns[np.minimum(t, len(decisions) - 1)], rows.ts_ns), "a row without its decision bar"
    at = (t, rows.inst)
    long, short = (np.where(each[at] > 0, each[at], rows.t1_ns) for each in (ends.long, ends.short))
    return replace(
        rows, close=decisions.close[at], end_long_ns=long, end_short_ns=short, rules=np.ascontiguousarray(sides[at]),
        skip_long=ends.skipped_long[at], skip_short=ends.skipped_short[at],
    )  # fmt: skip


def _by_row(of_session: list[float | F8], where: NDArray[Any], inst: NDArray[Any]) -> F8:
    """The value of each row's session (``where`` counts them), and of its instrument where there is one for each."""
    values: F8 = np.array(of_session, dtype=np.float64)
    out: F8 = values[where] if values.ndim == 1 else values[where, inst]
    return out


def _match(ts_ns: I8, inst: I4, labels: Labels) -> tuple[I8, I8]:
    """Indices into the features and into the labels of the common keys, in order of (ts, inst)."""
    order_x = np.lexsort((inst, ts_ns))
    order_y = np.lexsort((labels["inst"], labels["ts_ns"]))
    key = np.dtype([("ts", "i8"), ("inst", "i8")])

    def keys(ts: NDArray[Any], row: NDArray[Any]) -> NDArray[Any]:
        out = np.empty(len(ts), dtype=key)
        out["ts"], out["inst"] = ts, row
        return out

    left = keys(ts_ns[order_x], inst[order_x])
    right = keys(labels["ts_ns"][order_y], labels["inst"][order_y])
    assert not np.any(left[1:] == left[:-1]), "a feature vector occurs twice"
    assert not np.any(right[1:] == right[:-1]), "a label occurs twice"
    _, i, j = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    return order_x[i].astype(np.int64), order_y[j].astype(np.int64)
