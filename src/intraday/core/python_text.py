"""An expression as the Python that makes it: text to paste into a file that imports ``*`` from ``core.expression``.

What is long and occurs twice is named where it first occurs: ``(x1 := mean(close(), 20)) / std(close(), 20) - x1``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from intraday.core import expression
from intraday.core.operations import BUCKET_FIELDS, SPELLED, Expr, Params
from intraday.domain.errors import ConfigError

LONG: Final = 60
"""Characters of the canonical form from which a repeated part is named."""
INFIX: Final = {"add": "+", "sub": "-", "mul": "*"}
GIVEN: Final = re.compile(r"\(x\d+ := ")
Call = tuple[str, tuple[Expr, ...], Params]
"""A function of the language, its operands, and the numbers after them."""


def python_text(expr: Expr) -> str:
    """Python whose value is an equal expression, in one line."""
    return _Writer(expr).text


def walk(expr: Expr, operands: Callable[[Expr], Sequence[Expr]] = lambda e: e.args) -> list[Expr]:
    """Every different node once, operands before their users."""
    known: dict[str, Expr] = {}

    def visit(e: Expr) -> None:
        if e.text not in known:
            for operand in operands(e):
                visit(operand)
            known[e.text] = e

    visit(expr)
    return list(known.values())


class _Writer:
    """Writes from left to right, which is how Python evaluates: a name is given where it is first needed."""

    def __init__(self, expr: Expr) -> None:
        self._calls: dict[str, Call | None] = {}
        self._names: dict[str, str] = {}
        self._uses = Counter(operand.text for e in walk(expr, self._operands) for operand in self._operands(e))
        self.text = _bare(self._written(expr))

    def _call(self, e: Expr) -> Call | None:
        if e.text not in self._calls:
            self._calls[e.text] = _call_of(e)
        return self._calls[e.text]

    def _operands(self, e: Expr) -> tuple[Expr, ...]:
        call = self._call(e)
        return e.args if call is None or e.op in INFIX else call[1]

    def _written(self, e: Expr) -> str:
        if e.text in self._names:
            return self._names[e.text]
        if self._uses[e.text] < 2 or len(e.text) <= LONG:
            return self._new(e)
        name = f"x{len(self._names) + 1}"
        self._names[e.text] = name  # what it is made of has other names: it does not contain itself
        return f"({name} := {_bare(self._new(e))})"

    def _new(self, e: Expr) -> str:
        if e.op in INFIX:
            left = self._written(e.args[0])
            return f"({left if e.op == 'mul' else _bare(left)} {INFIX[e.op]} {self._written(e.args[1])})"
        if e.op == "div" and math.isnan(e.params[0]):
            return f"({self._written(e.args[0])} / {self._written(e.args[1])})"
        if e.op == "affine" and (e.params[0] == 1.0 or e.params[1] == 0.0):
            return _affine(self._written(e.args[0]), *e.params)
        call = self._call(e)
        if call is None:
            return self._node(e)
        name, operands, numbers = call
        return f"{name}({', '.join([*(_bare(self._written(a)) for a in operands), *map(_number, numbers)])})"

    def _node(self, e: Expr) -> str:
        """What the language has no function for."""
        parts = [f"({''.join(f'{part}, ' for part in parts)})" for parts in (map(self._written, e.args), map(_number, e.params))]
        return f'Expr("{e.op}", {", ".join(parts)})'.replace("(, ", "(")


def _call_of(e: Expr) -> Call | None:
    """The call that makes it: the first of those it could be that does."""
    return next((call for call in _candidates(e) if _made(call) == e), None)


def _made(call: Call) -> Expr | None:
    name, operands, numbers = call
    function = getattr(expression, name, None)
    try:
        made: Expr | None = None if function is None else function(*operands, *numbers)
    except (TypeError, ConfigError):  # another number of arguments, or arguments it would refuse
        return None
    return made


def _candidates(e: Expr) -> Iterator[Call]:
    name = SPELLED.get(e.op, e.op)
    inner = _without_windows(e)
    if e.op == "ema":
        yield from ((name, e.args, e.params[:1]) for name in ("ema", "wilder"))
    elif e.op in ("slot", "slot_std"):
        yield name, e.args, (round(2.0 / e.params[0] - 1.0),)
    elif e.op == "sqrt" and e.args[0].op == "ewvar":
        least, weight = e.args[0].params
        yield "ewm_std", e.args[0].args, (round(2.0 / weight - 1.0), least)
    elif e.op.startswith("bucket_") and e.op.removeprefix("bucket_") in BUCKET_FIELDS:
        yield name, (), e.args[0].params
    elif e.op == "cov":
        yield name, (inner[0].args[0], inner[1].args[0]), e.params
    elif e.op == "adaptive":
        yield from (("kama", e.args[:1], part.params) for part in walk(e) if part.op == "total")
    elif e.op in ("std", "skew", "kurt", "quantile"):
        yield name, inner[:1], e.params
    elif e.op == "at_start":
        yield name, e.args[1:], ()
    elif e.op.startswith("session_"):
        yield name, e.args[:1], ()
    yield name, inner, e.params


def _without_windows(e: Expr) -> tuple[Expr, ...]:
    """Operands as they are written: not how a window of them is kept."""
    return tuple(_of_window(a) for a in e.args)


def _of_window(e: Expr) -> Expr:
    return _of_window(e.args[0]) if e.op == "window" else e


def _affine(x: str, scale: float, shift: float) -> str:
    """``scale * x`` or ``x + shift``, each as the operators make it."""
    if shift != 0.0:
        return f"({_bare(x)} {'-' if shift < 0 else '+'} {_number(abs(shift))})"
    if scale == -1.0:
        return f"(-{x})"
    parts = 1.0 / scale if scale else 0.0
    if abs(scale) < 1.0 and abs(parts - round(parts)) < 1e-9 * abs(parts) and 1.0 / round(parts) == scale:
        return f"({x} / {round(parts)})"
    return f"({_number(scale)} * {x})"


def _bare(text: str) -> str:
    """Without the brackets around an operator's result; a name that is given keeps its own."""
    return text[1:-1] if text.startswith("(") and not GIVEN.match(text) else text


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))
    return "NAN" if math.isnan(value) else "INF" if value > 0 else "-INF"
