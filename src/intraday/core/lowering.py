"""Expressions as people write them to expressions as kernels compute them fast.

``mean``, ``total``, ``std``, ``slope``, ``cov`` and ``lag`` of one series, whatever their widths, read one ring, and take constant
time a bar (``kernels.sums``). The other windows keep rings of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from intraday.core.operations import Expr

SUMS = frozenset({"mean", "total", "std", "slope", "cov"})


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
    if expr.op in SUMS or expr.op == "lag":
        for series in [expr.args[0]] if expr.op == "lag" else [w.args[0] for w in expr.args if w.op == "window"]:
            lengths[series.text] = max(lengths.get(series.text, 0), int(expr.params[0]))
    for arg in expr.args:
        _measure(arg, lengths, seen)


def _lower(expr: Expr, lengths: dict[str, int], known: dict[str, Expr]) -> Expr:
    if expr.text not in known:
        known[expr.text] = _rewritten(expr, lengths, known)
    return known[expr.text]


def _rewritten(expr: Expr, lengths: dict[str, int], known: dict[str, Expr]) -> Expr:
    def ring(series: Expr) -> Expr:
        return Expr("ring", (_lower(series, lengths, known),), (float(lengths[series.text]),))

    def displaced(series: Expr) -> Expr:
        return Expr("displaced", (ring(series),), (expr.params[0], float(lengths[series.text])))

    def summed(series: Expr) -> Expr:
        return Expr("sum_mean", (ring(series), displaced(series)), expr.params)

    if expr.op == "lag":
        return displaced(expr.args[0])
    if expr.op not in SUMS:
        return Expr(expr.op, tuple(_lower(a, lengths, known) for a in expr.args), expr.params)
    x = expr.args[0].args[0]
    if expr.op == "mean":
        return summed(x)
    if expr.op == "total":
        return Expr("sum_total", (ring(x), summed(x)), expr.params)
    if expr.op == "cov":
        y = expr.args[1].args[0]
        return Expr("sum_cov", (ring(x), ring(y), displaced(x), displaced(y), summed(x), summed(y)), expr.params)
    return Expr(f"sum_{expr.op}", (ring(x), displaced(x), summed(x)), expr.params)
