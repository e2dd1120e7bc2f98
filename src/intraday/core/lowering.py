"""Expressions as people write them to expressions as kernels compute them fast.

``mean``, ``total``, ``std``, ``slope``, ``cov``, ``lag``, ``rank`` and ``quantile`` of one series, whatever their widths, read one
ring. All but the last two take constant time a bar (``kernels.sums``); those read the observations in ascending order, kept once a
width. The other windows keep rings of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from intraday.core.operations import Expr

SUMS = frozenset({"mean", "total", "std", "slope", "cov"})
ORDERED = frozenset({"rank", "mean_rank", "quantile"})
READERS = frozenset({"displaced", "sorted", "sum_mean", "sum_total", "sum_std", "sum_slope"})  # of a ring, their first operand


def lower(expressions: Sequence[Expr]) -> list[Expr]:
    """The same values, bit for bit whatever else is in the list."""
    lengths: dict[str, int] = {}
    seen: set[str] = set()
    for expr in expressions:
        _measure(expr, lengths, seen)
    known: dict[str, Expr] = {}
    return [_lower(e, lengths, known) for e in expressions]


def _measure(expr: Expr, lengths: dict[str, int], seen: set[str]) -> None:
    """How far back each series is read."""
    if expr.text in seen:
        return
    seen.add(expr.text)
    if expr.op in SUMS or expr.op in ORDERED or expr.op == "lag":
        for series in [expr.args[0]] if expr.op == "lag" else [w.args[0] for w in expr.args if w.op == "window"]:
            lengths[series.text] = max(lengths.get(series.text, 0), int(expr.params[0]))
    for arg in expr.args:
        _measure(arg, lengths, seen)


def _lower(expr: Expr, lengths: dict[str, int], known: dict[str, Expr]) -> Expr:
    if expr.text not in known:
        known[expr.text] = _rewritten(expr, lengths, known)
    return known[expr.text]


def _rewritten(expr: Expr, lengths: dict[str, int], known: dict[str, Expr]) -> Expr:
    def read(series: Expr) -> _Read:
        return _Read(_lower(series, lengths, known), expr.params[0], float(lengths[series.text]))

    if expr.op == "lag":
        return read(expr.args[0]).displaced
    if expr.op not in SUMS and expr.op not in ORDERED:
        return Expr(expr.op, tuple(_lower(a, lengths, known) for a in expr.args), expr.params)
    x = read(expr.args[0].args[0])
    if expr.op in ORDERED:
        return Expr(f"sorted_{expr.op}", (x.sorted,), expr.params)
    if expr.op == "mean":
        return x.mean
    if expr.op == "total":
        return Expr("sum_total", (x.ring, x.series, x.mean), x.params)
    if expr.op == "cov":
        y = read(expr.args[1].args[0])
        return Expr("sum_cov", (x.series, y.series, x.displaced, y.displaced, x.mean, y.mean), expr.params)
    return Expr(f"sum_{expr.op}", (x.ring, x.series, x.displaced, x.mean), x.params)


class _Read:
    """A series read ``width`` observations back from its ring of ``length``, and what is made of that."""

    def __init__(self, series: Expr, width: float, length: float) -> None:
        self.series = series
        self.params = (width, length)
        self.ring = Expr("ring", (series,), (length,))
        self.displaced = self.ring if width == length else Expr("displaced", (self.ring, series), self.params)

    @property
    def mean(self) -> Expr:
        return Expr("sum_mean", (self.ring, self.series, self.displaced), self.params)

    @property
    def sorted(self) -> Expr:
        return Expr("sorted", (self.ring, self.series, self.displaced), self.params)
