"""Feature expressions: a small language over the primitives of ``core.kernels``.

>>> (close() - ema(close(), 20)).text
'(sub (close) (ema (close) 20 0.09523809523809523))'

An expression is an immutable tree; ``text`` is its canonical form, and equal texts are computed once. NaN is "no observation":
a primitive with state ignores it, so ``ema(macd, 9)`` starts when ``macd`` does. ``warmup`` adds up what the primitives need.
Windows hold the last ``width`` observations and give NaN before they are full. A docstring says where else the value is missing
("NaN:") and its units; "of x" where x has them. A wrong argument is a ConfigError (``core.arguments``).
"""

from __future__ import annotations

import math
from typing import Final

from intraday.core.arguments import bounds, finite, operand, share, whole
from intraday.core.day_expression import (
    across_count,
    across_mean,
    across_rank,
    across_std,
    bucket_close,
    bucket_high,
    bucket_low,
    bucket_open,
    bucket_volume,
    of_index,
    session_before,
    session_count,
    session_first,
    session_max,
    session_min,
    session_sum,
    slot_mean,
    slot_std,
)
from intraday.core.operations import NAN, OPS, Expr
from intraday.domain.errors import ConfigError

INF: Final = math.inf

__all__ = [
    "Expr", "INF", "NAN", "OPS", "abs_", "across_count", "across_mean", "across_rank", "across_std", "affine", "argmax", "argmin",
    "at_start", "bars_since", "beta", "bucket_close", "bucket_high", "bucket_low", "bucket_open", "bucket_volume", "clip",
    "close", "corr", "cos", "cov", "ema", "equal", "ewm_std", "exp", "given", "greater", "grid_minute", "high", "highest", "hold",
    "kama", "kurt", "lag", "log", "low", "lowest", "max_", "mean", "mean_rank", "min_", "minute", "minutes", "of_index", "open_",
    "power", "prev", "quantile", "r2", "rank", "ratio", "resi", "running_sum", "session_before", "session_count", "session_first",
    "session_max", "session_min", "session_sum", "sign", "sin", "skew", "slope", "slot_mean", "slot_std", "sqrt", "start", "std",
    "total", "volume", "weekday", "when", "where", "wilder", "wma",
]  # fmt: skip


def open_() -> Expr:
    """The bar's open. NaN: never at a bar. Units: rupees."""
    return Expr("open")


def high() -> Expr:
    """The bar's high. NaN: never at a bar. Units: rupees."""
    return Expr("high")


def low() -> Expr:
    """The bar's low. NaN: never at a bar. Units: rupees."""
    return Expr("low")


def close() -> Expr:
    """The bar's close. NaN: never at a bar. Units: rupees."""
    return Expr("close")


def volume() -> Expr:
    """The bar's volume. NaN: for instruments without one (indices). Units: shares."""
    return Expr("volume")


def minute() -> Expr:
    """From the session's open to the bar's open. NaN: never. Units: minutes."""
    return Expr("minute")


def minutes() -> Expr:
    """Length of the session's continuous trading. NaN: never. Units: minutes."""
    return Expr("minutes")


def weekday() -> Expr:
    """Day of the week of the session's date. NaN: never. Units: 0 Monday .. 6 Sunday."""
    return Expr("weekday")


def grid_minute() -> Expr:
    """From 09:15 IST to the bar's open, whenever the session opened. NaN: never. Units: minutes."""
    return Expr("grid_minute")


def start() -> Expr:
    """1 at the instrument's first bar of a session, else 0. NaN: never. Units: 0 or 1."""
    return Expr("start")


def affine(x: Expr, scale: float, shift: float) -> Expr:
    """``scale * x + shift``. NaN: where x is. Units: those of the shift."""
    return Expr("affine", (x,), (finite("affine", scale), finite("affine", shift)))


def clip(x: Expr, low_: float, high_: float) -> Expr:
    """``x`` kept within low_ .. high_; ``INF`` is no bound. NaN: where x is. Units: of x."""
    return Expr("clip", (x,), bounds("clip", low_, high_))


def log(x: Expr) -> Expr:
    """Natural logarithm. NaN: x <= 0. Units: none."""
    return Expr("log", (x,))


def exp(x: Expr) -> Expr:
    """e to the x. NaN: where x is. Units: none."""
    return Expr("exp", (x,))


def sqrt(x: Expr) -> Expr:
    """Square root. NaN: x < 0. Units: the root of those of x."""
    return Expr("sqrt", (x,))


def power(x: Expr, exponent: float) -> Expr:
    """``x ** exponent``. NaN: no real number (a root of a negative, a negative power of 0). Units: that power of those of x."""
    return Expr("power", (x,), (finite("power", exponent),))


def sign(x: Expr) -> Expr:
    """The sign of x. NaN: where x is. Units: -1, 0 or 1."""
    return Expr("sign", (x,))


def abs_(x: Expr) -> Expr:
    """Absolute value. NaN: where x is. Units: of x."""
    return Expr("abs", (x,))


def sin(x: Expr) -> Expr:
    """Sine of radians. NaN: where x is. Units: -1 .. 1."""
    return Expr("sin", (x,))


def cos(x: Expr) -> Expr:
    """Cosine of radians. NaN: where x is. Units: -1 .. 1."""
    return Expr("cos", (x,))


def ratio(x: Expr, y: Expr, if_zero: float = NAN) -> Expr:
    """``x / y``; ``if_zero`` where y is 0. NaN: where either is; y is 0 and if_zero is not given. Units: of x over those of y."""
    return Expr("div", (x, y), (NAN if if_zero != if_zero else finite("ratio", if_zero),))


def max_(x: Expr, y: Expr) -> Expr:
    """The larger. NaN: where either is. Units: of both."""
    return Expr("max", (x, y))


def min_(x: Expr, y: Expr) -> Expr:
    """The smaller. NaN: where either is. Units: of both."""
    return Expr("min", (x, y))


def greater(x: Expr, y: Expr) -> Expr:
    """1 where x > y, else 0. NaN: where either is. Units: 0 or 1."""
    return Expr("greater", (x, y))


def equal(x: Expr, y: Expr) -> Expr:
    """1 where x equals y, else 0. NaN: where either is. Units: 0 or 1."""
    return Expr("equal", (x, y))


def given(x: Expr, y: Expr) -> Expr:
    """``x`` where ``y`` is an observation. NaN: where either is. Units: of x."""
    return Expr("given", (x, y))


def when(condition: Expr, x: Expr) -> Expr:
    """``x`` where condition > 0, no observation elsewhere. NaN: condition <= 0 or NaN. Units: of x."""
    return Expr("when", (condition, x))


def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """``x`` where condition > 0, else ``y``. NaN: where the condition is, or the chosen one. Units: of both."""
    return Expr("where", (condition, x, y))


def at_start(x: Expr, otherwise: Expr) -> Expr:
    """``x`` at the instrument's first bar of a session, else ``otherwise``, which needs one bar: the first ever is a start.

    NaN: where the chosen one is. Units: of both.
    """
    made = Expr("at_start", (start(), x, otherwise))
    if x.warmup != 0 or otherwise.warmup != 1:
        raise ConfigError(
            f"at_start: expected what needs no earlier bar, then what needs one; found {x.warmup} and {otherwise.warmup} bars"
        )
    return made


def prev(x: Expr) -> Expr:
    """The observation before this one. NaN: at the first. Units: of x."""
    return Expr("prev", (x,))


def lag(x: Expr, k: int) -> Expr:
    """The observation ``k`` observations ago. NaN: at the first k. Units: of x."""
    k = whole("lag", k, "bars")
    return prev(x) if k == 1 else Expr("lag", (x,), (float(k),))


def ema(x: Expr, period: int) -> Expr:
    """Exponential mean, weight 2/(period+1), seeded with the mean of the first ``period``. NaN: before them. Units: of x."""
    period = whole("ema", period, "bars")
    return Expr("ema", (x,), (float(period), 2.0 / (period + 1.0)))


def wilder(x: Expr, period: int) -> Expr:
    """Wilder's smoothing: weight 1/period, seeded with the mean of the first ``period``. NaN: before them. Units: of x."""
    period = whole("wilder", period, "bars")
    return Expr("ema", (x,), (float(period), 1.0 / period))


def ewm_std(x: Expr, span: int, least: int) -> Expr:
    """Exponentially weighted standard deviation, weight max(2/(span+1), 1/n).

    NaN: before ``least`` observations. Units: of x.
    """
    span, least = whole("ewm_std", span, "bars"), whole("ewm_std", least, "bars")
    return sqrt(Expr("ewvar", (x,), (float(least), 2.0 / (span + 1.0))))


def hold(x: Expr, present: Expr) -> Expr:
    """The last observation of ``x`` at every bar of ``present``. NaN: before the first; where present is. Units: of x."""
    return Expr("hold", (x, present))


def running_sum(x: Expr) -> Expr:
    """Sum of all observations since the anchor, compensated (Neumaier), so that it does not drift. NaN: where x is. Units: of x."""
    return Expr("running_sum", (x,))


def bars_since(condition: Expr) -> Expr:
    """Observations since condition > 0 last held, 0 at it. NaN: until it held once. Units: observations."""
    return Expr("bars_since", (condition,))


def kama(x: Expr, width: int) -> Expr:
    """Kaufman's adaptive mean over ``width`` changes, between the speeds of a 2 and a 30 bar EMA; TA-Lib "KAMA".

    Starts at observation ``width`` (0-based) from the one before it. NaN: before it. Units: of x.
    """
    width = whole("kama", width, "bars")
    path = total(abs_(x - prev(x)), width)
    net = x - lag(x, width)
    # TA-Lib: full speed where the path is no longer than the (signed) way, which covers a flat one
    efficiency = where(greater(path, net), abs_(ratio(net, path)), affine(path, 0.0, 1.0))
    fast, slow = 2.0 / 3.0, 2.0 / 31.0
    speed = affine(efficiency, fast - slow, slow)
    return Expr("adaptive", (x, prev(x), speed * speed))


def _window(of: str, x: Expr, width: int) -> Expr:
    if not isinstance(x, Expr):
        raise ConfigError(f"{of}: expected an expression such as close(), found {operand(x)}")
    return Expr("window", (x,), (float(width),))


def total(x: Expr, width: int) -> Expr:
    """Sum of the last ``width`` observations. NaN: before so many. Units: of x."""
    width = whole("total", width, "bars")
    return Expr("total", (_window("total", x, width),), (float(width),))


def mean(x: Expr, width: int) -> Expr:
    """Mean of the last ``width`` observations. NaN: before so many. Units: of x."""
    width = whole("mean", width, "bars")
    return Expr("mean", (_window("mean", x, width),), (float(width),))


def std(x: Expr, width: int) -> Expr:
    """Population standard deviation of the last ``width`` observations. NaN: before so many. Units: of x."""
    width = whole("std", width, "bars")
    return Expr("std", (_window("std", x, width), mean(x, width)), (float(width),))


def skew(x: Expr, width: int) -> Expr:
    """Bias-corrected skewness of the last ``width`` (3 at least), as pandas; 0 where equal. NaN: before so many. Units: none."""
    width = whole("skew", width, "bars", 3)
    return Expr("skew", (_window("skew", x, width), mean(x, width), std(x, width)), (float(width),))


def kurt(x: Expr, width: int) -> Expr:
    """Bias-corrected excess kurtosis of the last ``width`` (4 at least), as pandas; -3 where equal.

    NaN: before so many. Units: none.
    """
    width = whole("kurt", width, "bars", 4)
    return Expr("kurt", (_window("kurt", x, width), mean(x, width), std(x, width)), (float(width),))


def highest(x: Expr, width: int) -> Expr:
    """Largest of the last ``width`` observations. NaN: before so many. Units: of x."""
    width = whole("highest", width, "bars")
    return Expr("highest", (_window("highest", x, width),), (float(width),))


def lowest(x: Expr, width: int) -> Expr:
    """Smallest of the last ``width`` observations. NaN: before so many. Units: of x."""
    width = whole("lowest", width, "bars")
    return Expr("lowest", (_window("lowest", x, width),), (float(width),))


def argmax(x: Expr, width: int) -> Expr:
    """Place of the largest of the last ``width``; the oldest of equals (qlib ``IdxMax``).

    NaN: before so many. Units: 1 (oldest) .. width.
    """
    width = whole("argmax", width, "bars")
    return Expr("argmax", (_window("argmax", x, width),), (float(width),))


def argmin(x: Expr, width: int) -> Expr:
    """Place of the smallest of the last ``width``; the oldest of equals (qlib ``IdxMin``).

    NaN: before so many. Units: 1 (oldest) .. width.
    """
    width = whole("argmin", width, "bars")
    return Expr("argmin", (_window("argmin", x, width),), (float(width),))


def rank(x: Expr, width: int) -> Expr:
    """Share of the last ``width`` observations that is not above this one (itself included).

    NaN: before so many. Units: 1/width .. 1.
    """
    width = whole("rank", width, "bars")
    return Expr("rank", (_window("rank", x, width),), (float(width),))


def mean_rank(x: Expr, width: int) -> Expr:
    """Mean rank, as a share of the last ``width`` observations, of this one and those equal to it.

    NaN: before so many. Units: 1/width .. 1.
    """
    width = whole("mean_rank", width, "bars")
    return Expr("mean_rank", (_window("mean_rank", x, width),), (float(width),))


def quantile(x: Expr, width: int, q: float) -> Expr:
    """Quantile ``q``, 0 .. 1, of the last ``width`` observations, interpolated linearly as numpy does.

    NaN: before so many. Units: of x.
    """
    width = whole("quantile", width, "bars")
    q = share("quantile", q)
    return Expr("quantile", (_window("quantile", x, width),), (float(width), q))


def slope(x: Expr, width: int) -> Expr:
    """Least-squares slope of the last ``width`` (2 at least) on 1 .. width (qlib ``Slope``).

    NaN: before so many. Units: of x, an observation.
    """
    width = whole("slope", width, "bars", 2)
    return Expr("slope", (_window("slope", x, width),), (float(width),))


def resi(x: Expr, width: int) -> Expr:
    """This observation less its least-squares line over the last ``width`` (qlib ``Resi``). NaN: before so many. Units: of x."""
    width = whole("resi", width, "bars", 2)
    return x - (mean(x, width) + slope(x, width) * ((width - 1) / 2.0))


def r2(x: Expr, width: int, least: float = 0.0) -> Expr:
    """Share of the variance that the least-squares line of the last ``width`` explains; qlib's ``Rsquare`` has least = 2e-5.

    NaN: before so many; where the *sample* deviation is at most ``least``. Units: 0 .. 1.
    """
    width, least = whole("r2", width, "bars", 2), finite("r2", least)
    root = ratio(slope(x, width) * math.sqrt((width * width - 1.0) / 12.0), std(x, width))
    return _where_it_moves(min_(root * root, affine(root, 0.0, 1.0)), std(x, width), width, least)


def wma(x: Expr, width: int) -> Expr:
    """Mean of the last ``width`` observations with weights 1 (oldest) .. width; TA-Lib "WMA". NaN: before so many. Units: of x."""
    width = whole("wma", width, "bars")
    return x if width == 1 else mean(x, width) + slope(x, width) * ((width - 1) / 6.0)


def cov(x: Expr, y: Expr, width: int) -> Expr:
    """Population covariance over the last ``width`` bars on which both are observed.

    NaN: before so many; where either is. Units: of x times those of y.
    """
    width = whole("cov", width, "bars")
    a, b = given(x, y), given(y, x)
    return Expr("cov", (_window("cov", a, width), _window("cov", b, width), mean(a, width), mean(b, width)), (float(width),))


def corr(x: Expr, y: Expr, width: int, least: float = 0.0) -> Expr:
    """Correlation over the last ``width`` bars on which both are observed; qlib's ``Corr`` has least = 2e-5.

    NaN: before so many; where either is; where a *sample* deviation is at most ``least``. Units: -1 .. 1.
    """
    width, least = whole("corr", width, "bars", 2), finite("corr", least)
    a, b = std(given(x, y), width), std(given(y, x), width)
    found = clip(ratio(cov(x, y, width), a * b), -1.0, 1.0)
    return _where_it_moves(_where_it_moves(found, a, width, least), b, width, least)


def beta(y: Expr, x: Expr, width: int) -> Expr:
    """cov(x, y) / var(x) over the last ``width`` bars on which both are observed.

    NaN: before so many; where either is; where x does not move. Units: of y over those of x.
    """
    width = whole("beta", width, "bars", 2)
    spread = std(given(x, y), width)
    return ratio(cov(x, y, width), spread * spread)


def _where_it_moves(x: Expr, deviation: Expr, width: int, least: float) -> Expr:
    if least == 0.0:
        return x  # a division by a deviation of 0 is NaN already
    return when(deviation * math.sqrt(width / (width - 1.0)) - least, x)
