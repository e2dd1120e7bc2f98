"""What a meta-model is put on: sides that somebody else says, and what the trades on them were worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.domain.arrays import F4, F8, I4, I8
from intraday.model.dataset import Dataset
from intraday.model.folds import outcomes
from intraday.model.metrics import OutOfSample
from intraday.model.thresholds import end_of

Sides = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Primary:
    """Who says the sides: ``side`` int8 [n] of a data set's rows (+1, -1, 0 no trade), and what else it knew of each row at its
    decision, ``extra`` float32 [n, E] with ``names``."""

    name: str
    side: Sides
    extra: F4
    names: tuple[str, ...] = ()

    @classmethod
    def rule(cls, name: str, data: Dataset, column: int) -> Primary:
        """A simple rule of ``core.rules``: a column of ``data.rules``."""
        return cls(name, data.rules[:, column], _nothing(len(data)))

    @classmethod
    def feature(cls, name: str, data: Dataset, column: int) -> Primary:
        """The user's own rule: the sign of a column of ``data.x``; none where it is NaN."""
        side = np.sign(np.nan_to_num(np.asarray(data.x[:, column]), nan=0.0)).astype(np.int8)
        return cls(name, side, _nothing(len(data)))

    @classmethod
    def model(cls, name: str, data: Dataset, oos: OutOfSample) -> Primary:
        """A trained model's out-of-sample signals and probabilities; it says nothing of rows that were never scored."""
        at = _places(data, oos)
        side, extra = np.zeros(len(data), np.int8), np.full((len(data), 3), np.nan, dtype=np.float32)
        side[at], extra[at] = oos.side, oos.p
        return cls(name, side, extra, ("primary_down", "primary_hold", "primary_up"))


@dataclass(frozen=True, slots=True)
class Signals:
    """The primary's m signals: ``at`` their rows, ``worth`` what they were, ``gross`` the return of their side, ``x`` float32
    [m, F] what is learned from. ``data``: the rows without features, with the end of the side's own trade as ``t1_ns``."""

    at: I8
    data: Dataset
    side: Sides
    worth: NDArray[np.int8]
    gross: F8
    x: F4


def worth_taking(data: Dataset, side: Sides) -> NDArray[np.int8]:
    """``core.meta_labels``' ``Worth.NET`` of labelled rows, int8 [n]: 1 where the trade of that side made money after costs."""
    gross = np.where(side > 0, data.ret_long, data.ret_short)
    out: NDArray[np.int8] = ((side != 0) & (gross > data.cost)).astype(np.int8)
    return out


def signals_of(data: Dataset, primary: Primary) -> Signals:
    """Those of rows that may be traded. The features are the data set's, what the primary knew, and the side itself."""
    at = np.flatnonzero(data.allows(primary.side))
    rows, side = outcomes(data).rows(at), primary.side[at]
    gross = np.where(side > 0, rows.ret_long, rows.ret_short)
    own = replace(rows, t1_ns=end_of(side, rows))
    x = np.concatenate([np.asarray(data.x[at]), primary.extra[at], side[:, None].astype(np.float32)], axis=1)
    return Signals(at, own, side, worth_taking(rows, side), gross, np.ascontiguousarray(x, dtype=np.float32))


def of_side(side: Sides, q: F8) -> F8:
    """Classes float64 [n, 3] (down, hold, up) of trades that are worth taking with probability ``q``: the side's own, else hold."""
    out = np.zeros((len(side), 3))
    rows = np.flatnonzero(side)
    out[rows, side[rows].astype(np.int64) + 1] = q[rows]
    out[:, 1] = 1.0 - out[:, 0] - out[:, 2]
    return out


def _nothing(n: int) -> F4:
    return np.empty((n, 0), dtype=np.float32)


def _places(data: Dataset, oos: OutOfSample) -> I8:
    """Where the rows of ``oos`` stand in ``data``; both are ordered by (ts, inst)."""

    def keys(ts_ns: I8, inst: I4) -> NDArray[Any]:
        out = np.empty(len(ts_ns), dtype=[("ts", "i8"), ("inst", "i8")])
        out["ts"], out["inst"] = ts_ns, inst
        return out

    mine, theirs = keys(data.ts_ns, data.inst), keys(oos.ts_ns, oos.inst)
    at = np.searchsorted(mine, theirs)
    assert np.array_equal(mine[np.minimum(at, len(mine) - 1)], theirs), "the primary scored rows that the data set does not have"
    return at.astype(np.int64)
