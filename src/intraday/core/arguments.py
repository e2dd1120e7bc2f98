"""What a primitive may be given. A wrong argument is told where it is written, by the primitive's name, never computed with."""

from __future__ import annotations

import math
import numbers
from typing import Final

from intraday.domain.errors import ConfigError

LONGEST: Final = 10_000
"""Bars or sessions that a window or a mean may span: 133 regular sessions of five minutes. State grows with it."""


def whole(of: str, value: object, unit: str, least: int = 1, most: int = LONGEST) -> int:
    """``value`` as an int. ConfigError unless it is a whole number, least .. most, of ``unit`` ("bars")."""
    number = _real(value)
    if least <= number <= most and number == int(number):
        return int(number)
    raise ConfigError(f"{of}: expected a whole number of {unit}, {least:,} to {most:,}; found {found(value)}")


def finite(of: str, value: object) -> float:
    """``value`` as a float. ConfigError unless it is a finite number."""
    number = _real(value)
    if math.isfinite(number):
        return number
    raise ConfigError(f"{of}: expected a finite number; found {found(value)}")


def bounds(of: str, low: object, high: object) -> tuple[float, float]:
    """Both as floats; infinite is no bound. ConfigError unless low <= high."""
    if _real(low) <= _real(high):
        return _real(low), _real(high)
    raise ConfigError(f"{of}: expected two numbers, the lower bound first; found {found(low)} and {found(high)}")


def share(of: str, value: object) -> float:
    """``value`` as a float. ConfigError unless it is 0 .. 1."""
    number = _real(value)
    if 0.0 <= number <= 1.0:
        return number
    raise ConfigError(f"{of}: expected a share, 0 to 1; found {found(value)}")


def _real(value: object) -> float:
    """NaN for what is no number; True is none."""
    return float(value) if not isinstance(value, bool) and isinstance(value, numbers.Real) else math.nan


def found(value: object) -> str:
    """A wrong argument in words, and what was meant where that is plain."""
    if isinstance(value, bool):
        return f"{value} (== compares how two expressions are written; for their values use equal())"
    if isinstance(value, numbers.Real):
        return str(value)
    name = getattr(value, "__name__", None) if callable(value) else None
    if name is not None:
        return f"the function {name}; with brackets it is an expression: {name}()"
    text = getattr(value, "text", None)  # an expression
    return f"the expression {text}" if text is not None else f"{value!r:.60}"


def operand(value: object) -> str:
    """What stands where an expression should."""
    told = found(value)
    return f"{told}; a number that an operand must be is affine(x, 0.0, {told})" if _real(value) == _real(value) else told
