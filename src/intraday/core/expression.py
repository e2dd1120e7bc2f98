"""Feature expressions: a small language over the primitives of ``core.kernels``.

>>> (close() - ema(close(), 20)).text
'(sub (close) (ema (close) 20 0.09523809523809523))'

An expression is an immutable tree; ``text`` is its canonical form, and equal texts are computed once. NaN is "no observation":
a primitive with state ignores it, so ``ema(macd, 9)`` starts when ``macd`` does. ``warmup`` adds up what the primitives need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from intraday.core.kernels import opcodes

NAN: Final = math.nan
Rows = Callable[[tuple[float, ...]], list[float]]


def _no_rows(_: tuple[float, ...]) -> list[float]:
    return []


def _rows(*initial: float) -> Rows:
    def rows(_: tuple[float, ...]) -> list[float]:
        return list(initial)

    return rows


@dataclass(frozen=True, slots=True)
class Op:
    """A primitive: its code, number of operands, the first values of its state rows, and the bars it adds to the warm-up."""

    code: int
    arity: int
    rows: Rows = _no_rows
    lookback: Callable[[tuple[float, ...]], int] = lambda _: 0
    sessions: int = 0  # whole earlier sessions needed before the first value
    reads_window: bool = False


def _window(name: int) -> Op:
    return Op(name, 1, reads_window=True)


OPS: Final[Mapping[str, Op]] = MappingProxyType(
    {
        "open": Op(opcodes.OPEN, 0),
        "high": Op(opcodes.HIGH, 0),
        "low": Op(opcodes.LOW, 0),
        "close": Op(opcodes.CLOSE, 0),
        "volume": Op(opcodes.VOLUME, 0),
        "minute": Op(opcodes.MINUTE, 0),
        "minutes": Op(opcodes.MINUTES, 0),
        "start": Op(opcodes.START, 0, _rows(NAN)),
        "log": Op(opcodes.LOG, 1),
        "sqrt": Op(opcodes.SQRT, 1),
        "abs": Op(opcodes.ABS, 1),
        "sin": Op(opcodes.SIN, 1),
        "cos": Op(opcodes.COS, 1),
        "affine": Op(opcodes.AFFINE, 1),
        "clip": Op(opcodes.CLIP, 1),
        "add": Op(opcodes.ADD, 2),
        "sub": Op(opcodes.SUB, 2),
        "mul": Op(opcodes.MUL, 2),
        "div": Op(opcodes.DIV, 2),
        "max": Op(opcodes.MAX, 2),
        "min": Op(opcodes.MIN, 2),
        "greater": Op(opcodes.GREATER, 2),
        "where": Op(opcodes.WHERE, 3),
        "at_start": Op(opcodes.WHERE, 3, lookback=lambda _: -1),
        "prev": Op(opcodes.PREV, 1, _rows(NAN), lambda _: 1),
        "lag": Op(opcodes.LAG, 1, lambda p: [0.0] + [NAN] * int(p[0]), lambda p: int(p[0])),
        "ema": Op(opcodes.EMA, 1, _rows(0.0, 0.0), lambda p: int(p[0]) - 1),
        "ewvar": Op(opcodes.EWVAR, 1, _rows(0.0, 0.0, 0.0), lambda p: int(p[0]) - 1),
        "hold": Op(opcodes.HOLD, 2, _rows(NAN)),
        "window": Op(opcodes.WINDOW, 1, lambda p: [0.0] * (2 + int(p[0])), lambda p: int(p[0]) - 1),
        "mean": _window(opcodes.MEAN),
        "std": _window(opcodes.STD),
        "highest": _window(opcodes.HIGHEST),
        "lowest": _window(opcodes.LOWEST),
        "rank": _window(opcodes.RANK),
        "session_first": Op(opcodes.SESSION_FIRST, 2, _rows(NAN)),
        "session_sum": Op(opcodes.SESSION_SUM, 2, _rows(0.0)),
        "session_max": Op(opcodes.SESSION_MAX, 2, _rows(-math.inf)),
        "session_min": Op(opcodes.SESSION_MIN, 2, _rows(math.inf)),
        "session_before": Op(opcodes.SESSION_BEFORE, 2, _rows(NAN, NAN), sessions=1),
        "slot": Op(opcodes.SLOT, 1, lambda p: [NAN] * int(opcodes.LONGEST_SESSION // p[1]), sessions=1),
    },
)
"""The primitives by name; immutable."""


@dataclass(frozen=True, slots=True)
class Expr:
    """A node: a primitive applied to expressions and numbers. ``+ - * /`` and unary minus work as expected; x/0 is NaN."""

    op: str
    args: tuple[Expr, ...] = ()
    params: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        assert self.op in OPS, self.op
        assert len(self.args) == OPS[self.op].arity, (self.op, len(self.args))

    @property
    def text(self) -> str:
        """Canonical s-expression: operands first, then parameters."""
        parts = [self.op, *(a.text for a in self.args), *(_number(p) for p in self.params)]
        return f"({' '.join(parts)})"

    @property
    def warmup(self) -> int:
        """An instrument's own bars before the first value, sessions apart."""
        return OPS[self.op].lookback(self.params) + max((a.warmup for a in self.args), default=0)

    @property
    def sessions(self) -> int:
        """Whole sessions of the instrument before the first value."""
        return OPS[self.op].sessions + max((a.sessions for a in self.args), default=0)

    def uses(self, op: str) -> bool:
        """Whether the primitive occurs anywhere in it."""
        return self.op == op or any(a.uses(op) for a in self.args)

    def __add__(self, other: Expr | float) -> Expr:
        return affine(self, 1.0, other) if isinstance(other, (int, float)) else Expr("add", (self, other))

    def __sub__(self, other: Expr | float) -> Expr:
        return affine(self, 1.0, -other) if isinstance(other, (int, float)) else Expr("sub", (self, other))

    def __mul__(self, other: Expr | float) -> Expr:
        return affine(self, other, 0.0) if isinstance(other, (int, float)) else Expr("mul", (self, other))

    def __truediv__(self, other: Expr | float) -> Expr:
        return affine(self, 1.0 / other, 0.0) if isinstance(other, (int, float)) else ratio(self, other)

    def __neg__(self) -> Expr:
        return affine(self, -1.0, 0.0)


def _number(value: float) -> str:
    return repr(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else repr(value)


def open_() -> Expr:
    """The bar's open, rupees."""
    return Expr("open")


def high() -> Expr:
    """The bar's high, rupees."""
    return Expr("high")


def low() -> Expr:
    """The bar's low, rupees."""
    return Expr("low")


def close() -> Expr:
    """The bar's close, rupees."""
    return Expr("close")


def volume() -> Expr:
    """The bar's volume, shares; NaN for instruments without one."""
    return Expr("volume")


def minute() -> Expr:
    """Minutes from the session's open to the bar's open."""
    return Expr("minute")


def minutes() -> Expr:
    """Length of the session's continuous trading, minutes."""
    return Expr("minutes")


def start() -> Expr:
    """1 at the instrument's first bar of a session, else 0."""
    return Expr("start")


def affine(x: Expr, scale: float, shift: float) -> Expr:
    """``scale * x + shift``."""
    return Expr("affine", (x,), (float(scale), float(shift)))


def clip(x: Expr, low_: float, high_: float) -> Expr:
    """``x`` kept within low_ .. high_."""
    return Expr("clip", (x,), (float(low_), float(high_)))


def log(x: Expr) -> Expr:
    """Natural logarithm; NaN for x <= 0."""
    return Expr("log", (x,))


def sqrt(x: Expr) -> Expr:
    """Square root; NaN for x < 0."""
    return Expr("sqrt", (x,))


def abs_(x: Expr) -> Expr:
    """Absolute value."""
    return Expr("abs", (x,))


def sin(x: Expr) -> Expr:
    """Sine of radians."""
    return Expr("sin", (x,))


def cos(x: Expr) -> Expr:
    """Cosine of radians."""
    return Expr("cos", (x,))


def ratio(x: Expr, y: Expr, if_zero: float = NAN) -> Expr:
    """``x / y``; ``if_zero`` where y is 0."""
    return Expr("div", (x, y), (if_zero,))


def max_(x: Expr, y: Expr) -> Expr:
    """The larger; NaN if either is."""
    return Expr("max", (x, y))


def min_(x: Expr, y: Expr) -> Expr:
    """The smaller; NaN if either is."""
    return Expr("min", (x, y))


def greater(x: Expr, y: Expr) -> Expr:
    """1 where x > y, else 0; NaN if either is."""
    return Expr("greater", (x, y))


def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """``x`` where condition > 0, else ``y``."""
    return Expr("where", (condition, x, y))


def at_start(x: Expr, otherwise: Expr) -> Expr:
    """``x`` at the instrument's first bar of a session, else ``otherwise``, which may need one bar: the first ever is a start."""
    assert x.warmup == 0 and otherwise.warmup == 1, (x.text, otherwise.text)
    return Expr("at_start", (start(), x, otherwise))


def prev(x: Expr) -> Expr:
    """The observation before this one."""
    return Expr("prev", (x,))


def lag(x: Expr, k: int) -> Expr:
    """The observation ``k`` observations ago."""
    assert k >= 1, k
    return prev(x) if k == 1 else Expr("lag", (x,), (float(k),))


def ema(x: Expr, period: int) -> Expr:
    """Exponential mean, weight 2/(period+1), seeded with the mean of the first ``period``."""
    return Expr("ema", (x,), (float(period), 2.0 / (period + 1.0)))


def wilder(x: Expr, period: int) -> Expr:
    """Wilder's smoothing: weight 1/period, seeded with the mean of the first ``period``."""
    return Expr("ema", (x,), (float(period), 1.0 / period))


def ewm_std(x: Expr, span: int, least: int) -> Expr:
    """Exponentially weighted standard deviation, weight max(2/(span+1), 1/n), from ``least`` observations on."""
    return sqrt(Expr("ewvar", (x,), (float(least), 2.0 / (span + 1.0))))


def hold(x: Expr, present: Expr) -> Expr:
    """The last observation of ``x`` at every bar of ``present``."""
    return Expr("hold", (x, present))


def _read(op: str, x: Expr, width: int) -> Expr:
    assert width >= 1, width
    return Expr(op, (Expr("window", (x,), (float(width),)),), (float(width),))


def mean(x: Expr, width: int) -> Expr:
    """Mean of the last ``width`` observations."""
    return _read("mean", x, width)


def std(x: Expr, width: int) -> Expr:
    """Population standard deviation of the last ``width`` observations."""
    return _read("std", x, width)


def highest(x: Expr, width: int) -> Expr:
    """Largest of the last ``width`` observations."""
    return _read("highest", x, width)


def lowest(x: Expr, width: int) -> Expr:
    """Smallest of the last ``width`` observations."""
    return _read("lowest", x, width)


def rank(x: Expr, width: int) -> Expr:
    """Share of the last ``width`` observations that is not above this one (itself included)."""
    return _read("rank", x, width)


def session_first(x: Expr) -> Expr:
    """First observation of the session."""
    return Expr("session_first", (x, start()))


def session_sum(x: Expr) -> Expr:
    """Sum of the session so far."""
    return Expr("session_sum", (x, start()))


def session_max(x: Expr) -> Expr:
    """Largest of the session so far."""
    return Expr("session_max", (x, start()))


def session_min(x: Expr) -> Expr:
    """Smallest of the session so far."""
    return Expr("session_min", (x, start()))


def session_before(x: Expr) -> Expr:
    """Last observation of the instrument's session before; NaN in its first."""
    return Expr("session_before", (x, start()))


def slot_mean(x: Expr, span: int) -> Expr:
    """Exponential mean over earlier sessions (weight 2/(span+1)) of ``x`` at this time of day; NaN in the first.

    A time of day is a bar of the feature set's timeframe, counted from the session's open.
    """
    return Expr("slot", (x,), (2.0 / (span + 1.0),))
