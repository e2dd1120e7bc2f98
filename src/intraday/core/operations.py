"""The primitives by name, and the node of an expression tree. The language that features are written in is ``core.expression``."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeGuard

from intraday.core.arguments import finite, operand
from intraday.core.kernels import opcodes
from intraday.domain.errors import ConfigError

NAN: Final = math.nan
Params = tuple[float, ...]
Rows = Callable[[Params], list[float]]

BUCKET_FIELDS: Final = ("open", "high", "low", "close", "volume")
BUCKET_ROWS: Final = 4 + 3 * len(BUCKET_FIELDS)  # session, number, under construction?, waiting?, then three bars


def _no_rows(_: Params) -> list[float]:
    return []


def _rows(*initial: float) -> Rows:
    def rows(_: Params) -> list[float]:
        return list(initial)

    return rows


def _slots(*initial: float) -> Rows:
    """Rows of every slot of the longest session; the second parameter is the length of a slot, minutes."""

    def rows(p: Params) -> list[float]:
        return list(initial) * int(opcodes.LONGEST_SESSION // p[1])

    return rows


@dataclass(frozen=True, slots=True)
class Op:
    """A primitive: its code, number of operands, the first values of its state rows, and the observations it needs before."""

    code: int
    arity: int
    rows: Rows = _no_rows
    lookback: Callable[[Params], int] = lambda _: 0
    sessions: int = 0  # whole earlier sessions needed before the first value
    reads: bool = False  # it has no rows of its own: it reads those of its first operand
    kept: bool = False  # it keeps the observations of its operand, as many as its first parameter
    timed: bool = False  # its last parameter is the feature set's timeframe, added when the plan is made

    @property
    def across(self) -> bool:
        """Whether it looks at all instruments of the decision bar."""
        return self.code >= opcodes.ACROSS_RANK


def _window(name: int, arity: int = 1) -> Op:
    return Op(name, arity, reads=True)


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
        "weekday": Op(opcodes.WEEKDAY, 0),
        "grid_minute": Op(opcodes.GRID_MINUTE, 0),
        "bucket": Op(opcodes.BUCKET, 0, _rows(*[NAN] * 2, 0.0, 0.0, *[NAN] * (BUCKET_ROWS - 4)), timed=True),
        "carried": Op(opcodes.CARRIED, 0),
        "log": Op(opcodes.LOG, 1),
        "exp": Op(opcodes.EXP, 1),
        "sqrt": Op(opcodes.SQRT, 1),
        "power": Op(opcodes.POWER, 1),
        "abs": Op(opcodes.ABS, 1),
        "sign": Op(opcodes.SIGN, 1),
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
        "equal": Op(opcodes.EQUAL, 2),
        "given": Op(opcodes.GIVEN, 2),
        "when": Op(opcodes.WHEN, 2),
        "where": Op(opcodes.WHERE, 3),
        "at_start": Op(opcodes.WHERE, 3, lookback=lambda _: -1),
        "prev": Op(opcodes.PREV, 1, _rows(NAN), lambda _: 1),
        "lag": Op(opcodes.LOWERED, 1, lookback=lambda p: int(p[0])),
        "ema": Op(opcodes.EMA, 1, _rows(0.0, 0.0), lambda p: int(p[0]) - 1),
        "ewvar": Op(opcodes.EWVAR, 1, _rows(0.0, 0.0, 0.0), lambda p: int(p[0]) - 1),
        "hold": Op(opcodes.HOLD, 2, _rows(NAN)),
        "running_sum": Op(opcodes.RUNNING_SUM, 1, _rows(0.0, 0.0)),
        "bars_since": Op(opcodes.BARS_SINCE, 1, _rows(NAN)),
        "adaptive": Op(opcodes.ADAPTIVE, 3, _rows(NAN)),
        **{f"bucket_{name}": Op(opcodes.BUCKET_FIELD, 1, reads=True) for name in BUCKET_FIELDS},
        "window": Op(opcodes.WINDOW, 1, lambda p: [-p[0]] + [NAN] * int(p[0]), lambda p: int(p[0]) - 1),
        "total": Op(opcodes.LOWERED, 1),
        "mean": Op(opcodes.LOWERED, 1),
        "std": Op(opcodes.LOWERED, 2),
        "skew": _window(opcodes.SKEW, 3),
        "kurt": _window(opcodes.KURT, 3),
        "highest": _window(opcodes.HIGHEST),
        "lowest": _window(opcodes.LOWEST),
        "argmax": _window(opcodes.ARGMAX),
        "argmin": _window(opcodes.ARGMIN),
        "rank": Op(opcodes.LOWERED, 1),
        "mean_rank": Op(opcodes.LOWERED, 1),
        "quantile": Op(opcodes.LOWERED, 1),
        "slope": Op(opcodes.LOWERED, 1),
        "cov": Op(opcodes.LOWERED, 4),
        "ring": Op(opcodes.RING, 1, lambda p: [-p[0], 0.0, NAN], kept=True),
        "displaced": Op(opcodes.DISPLACED, 2, reads=True),
        "sum_mean": Op(opcodes.SUM_MEAN, 3, _rows(0.0, 0.0)),
        "sum_total": Op(opcodes.SUM_TOTAL, 3),
        "sum_std": Op(opcodes.SUM_STD, 4, _rows(0.0, 0.0)),
        "sum_slope": Op(opcodes.SUM_SLOPE, 4, _rows(0.0, 0.0)),
        "sum_cov": Op(opcodes.SUM_COV, 6, _rows(0.0, 0.0)),
        "sorted": Op(opcodes.SORTED, 3, lambda p: [math.inf] * int(p[0])),
        "sorted_rank": _window(opcodes.RANK),
        "sorted_mean_rank": _window(opcodes.MEAN_RANK),
        "sorted_quantile": _window(opcodes.QUANTILE),
        "session_first": Op(opcodes.SESSION_FIRST, 2, _rows(NAN)),
        "session_sum": Op(opcodes.SESSION_SUM, 2, _rows(0.0)),
        "session_max": Op(opcodes.SESSION_MAX, 2, _rows(-math.inf)),
        "session_min": Op(opcodes.SESSION_MIN, 2, _rows(math.inf)),
        "session_before": Op(opcodes.SESSION_BEFORE, 2, _rows(NAN, NAN), sessions=1),
        "slot": Op(opcodes.SLOT, 1, _slots(NAN), sessions=1, timed=True),
        "slot_std": Op(opcodes.SLOT_STD, 1, _slots(0.0, 0.0, 0.0), sessions=2, timed=True),
        "across_rank": Op(opcodes.ACROSS_RANK, 1),
        "across_mean": Op(opcodes.ACROSS_MEAN, 1),
        "across_std": Op(opcodes.ACROSS_STD, 1),
        "across_count": Op(opcodes.ACROSS_COUNT, 1),
        "of_index": Op(opcodes.OF_INDEX, 1),
    },
)
"""The primitives by name; immutable."""


@dataclass(frozen=True, slots=True)
class Expr:
    """A node: a primitive applied to expressions and numbers. ``+ - * /``, ``**`` by a number, unary minus, ``abs()``, ``>`` and
    ``<`` work as expected; x/0 is NaN. ``==`` compares what is written.

    ``text`` is its canonical s-expression: operands first, then parameters. ConfigError for an operand that is no expression, and
    where Python or numpy ask for a number or a truth value, which an expression does not have.
    """

    op: str
    args: tuple[Expr, ...] = ()
    params: Params = ()
    text: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        assert self.op in OPS, self.op
        assert len(self.args) == OPS[self.op].arity, (self.op, len(self.args))
        for a in self.args:
            if not isinstance(a, Expr):
                raise ConfigError(f"{SPELLED.get(self.op, self.op)}: expected an expression such as close(), found {operand(a)}")
        parts = [self.op, *(a.text for a in self.args), *(_number(p) for p in self.params)]
        object.__setattr__(self, "text", f"({' '.join(parts)})")

    @property
    def warmup(self) -> int:
        """``warmup_at(1)``: the bound of every timeframe; without buckets the timeframe does not matter."""
        return self.warmup_at(1)

    def warmup_at(self, timeframe: int) -> int:
        """An instrument's own bars before the first value, sessions apart.

        Exact, except with buckets: a bucket of m minutes counts for m / timeframe bars, the most it can have, and shorter ones
        (at the session's end, or with minutes nobody traded in) bring the first value earlier.
        """
        return self._reach(timeframe)[0]

    def _reach(self, timeframe: int) -> tuple[int, int]:
        """Bars before the first value, and the most bars from one observation to the next."""
        if self.op == "bucket":
            bars = math.ceil(self.params[0] / timeframe)
            return bars - 1, bars
        below = [a._reach(timeframe) for a in self.args]
        spacing = below[1][1] if self.op == "hold" else max((s for _, s in below), default=1)
        return OPS[self.op].lookback(self.params) * spacing + max((b for b, _ in below), default=0), spacing

    @property
    def sessions(self) -> int:
        """Whole sessions of the instrument before the first value."""
        return OPS[self.op].sessions + max((a.sessions for a in self.args), default=0)

    def uses(self, op: str) -> bool:
        """Whether the primitive occurs anywhere in it."""
        return self.op == op or any(a.uses(op) for a in self.args)

    @property
    def across(self) -> bool:
        """Whether the value depends on other instruments of the same decision bar."""
        return OPS[self.op].across or any(a.across for a in self.args)

    def __add__(self, other: Expr | float) -> Expr:
        return _affine(self, 1.0, other) if _is_number(other) else _node("add", self, other)

    def __radd__(self, other: float) -> Expr:
        return _affine(self, 1.0, other)

    def __sub__(self, other: Expr | float) -> Expr:
        return _affine(self, 1.0, -other) if _is_number(other) else _node("sub", self, other)

    def __rsub__(self, other: float) -> Expr:
        return _affine(self, -1.0, other)

    def __mul__(self, other: Expr | float) -> Expr:
        return _affine(self, other, 0.0) if _is_number(other) else _node("mul", self, other)

    def __rmul__(self, other: float) -> Expr:
        return _affine(self, other, 0.0)

    def __truediv__(self, other: Expr | float) -> Expr:
        if _is_number(other) and other == 0:
            raise ConfigError(f"/: expected a number other than 0 below {self.text}; found 0")
        return _affine(self, 1.0 / other, 0.0) if _is_number(other) else _node("div", self, other, params=(NAN,))

    def __rtruediv__(self, other: float) -> Expr:
        return Expr("div", (_affine(self, 0.0, other), self), (NAN,))

    def __pow__(self, exponent: float) -> Expr:
        return Expr("power", (self,), (finite("**", exponent),))

    def __neg__(self) -> Expr:
        return _affine(self, -1.0, 0.0)

    def __abs__(self) -> Expr:
        return Expr("abs", (self,))

    def __gt__(self, other: Expr | float) -> Expr:
        return Expr("greater", (self, _affine(self, 0.0, other))) if _is_number(other) else _node("greater", self, other)

    def __lt__(self, other: Expr | float) -> Expr:
        return Expr("greater", (_affine(self, 0.0, other), self)) if _is_number(other) else _node("greater", other, self)

    def __ge__(self, other: object) -> NoReturn:
        raise ConfigError(">=: expressions have no such operator; write max_(greater(x, y), equal(x, y))")

    __le__ = __ge__

    def __bool__(self) -> NoReturn:
        raise ConfigError(
            f"{self.text} has no truth value before there are bars: instead of `if` write where(condition, x, y); "
            "for `and`, `or`, min() and max() min_(x, y) and max_(x, y); for a < b < c both comparisons"
        )

    def __float__(self) -> NoReturn:
        raise ConfigError(f"{self.text} is no number before there are bars: use log(), exp(), sqrt() … of intraday.core.expression")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **_: Any) -> Expr:
        """numpy's own numbers beside an operator are numbers; its functions want arrays."""
        name = str(ufunc.__name__)
        if name in OPERATORS and method == "__call__":
            left, right = (x.item() if callable(getattr(x, "item", None)) else x for x in inputs)
            made: Expr = OPERATORS[name](left, right)
            return made
        raise ConfigError(f"np.{name}: {self.text} is no array before there are bars; use {NUMPY.get(name, ELSEWHERE)}")

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        name = str(function.__name__)
        raise ConfigError(f"np.{name}: {self.text} is no array before there are bars; use {NUMPY.get(name, ELSEWHERE)}")


SPELLED: Final = MappingProxyType(
    {"div": "ratio", "max": "max_", "min": "min_", "abs": "abs_", "open": "open_", "slot": "slot_mean", "ewvar": "ewm_std"}
)
"""Primitives that the language calls otherwise."""
OPERATORS: Final = MappingProxyType(
    {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv}
)
ELSEWHERE: Final = "the functions of intraday.core.expression, or a FunctionFeature"
NUMPY: Final = MappingProxyType(
    {name: f"{name}()" for name in ("log", "exp", "sqrt", "sign", "sin", "cos", "mean", "std", "where", "clip")}
    | {"absolute": "abs_()", "power": "power()", "maximum": "max_()", "minimum": "min_()", "fmax": "max_()", "fmin": "min_()"}
    | {"greater": "greater()", "less": "greater() with the operands the other way round", "equal": "equal()", "corrcoef": "corr()"}
    | {"sum": "total()", "cumsum": "running_sum() or session_sum()", "diff": "x - prev(x)", "median": "quantile(x, width, 0.5)"}
    | {"max": "highest()", "amax": "highest()", "min": "lowest()", "amin": "lowest()", "abs": "abs_()", "quantile": "quantile()"}
)
"""What numpy's functions are called here."""


def _is_number(x: object) -> TypeGuard[float]:
    return isinstance(x, numbers.Real) and not isinstance(x, bool)


def _node(op: str, *args: Any, params: Params = ()) -> Expr:
    return Expr(op, args, params)


def _affine(x: Expr, scale: float, shift: float) -> Expr:
    return Expr("affine", (x,), (finite("affine", scale), finite("affine", shift)))


def _number(value: float) -> str:
    return repr(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else repr(value)
