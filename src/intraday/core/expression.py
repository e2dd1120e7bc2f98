"""Feature expressions: a small language over the primitives of ``core.kernels``.

>>> (close() - ema(close(), 20)).text
'(sub (close) (ema (close) 20 0.09523809523809523))'

An expression is an immutable tree; ``text`` is its canonical form, and equal texts are computed once. NaN is "no observation":
a primitive with state ignores it, so ``ema(macd, 9)`` starts when ``macd`` does. ``warmup`` adds up what the primitives need.
Windows hold the last ``width`` observations and give NaN before they are full.
"""

from __future__ import annotations

import math

from intraday.core.operations import BUCKET_FIELDS, NAN, OPS, Expr

__all__ = ["NAN", "OPS", "Expr"]  # made elsewhere; and every function below


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


def weekday() -> Expr:
    """0 Monday .. 6 Sunday, of the session's date."""
    return Expr("weekday")


def grid_minute() -> Expr:
    """Minutes from 09:15 IST to the bar's open, whenever the session opened."""
    return Expr("grid_minute")


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


def exp(x: Expr) -> Expr:
    """e to the x."""
    return Expr("exp", (x,))


def sqrt(x: Expr) -> Expr:
    """Square root; NaN for x < 0."""
    return Expr("sqrt", (x,))


def power(x: Expr, exponent: float) -> Expr:
    """``x ** exponent``; NaN where that is no real number (a root of a negative, a negative power of 0)."""
    return Expr("power", (x,), (float(exponent),))


def sign(x: Expr) -> Expr:
    """-1, 0 or 1."""
    return Expr("sign", (x,))


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


def equal(x: Expr, y: Expr) -> Expr:
    """1 where x == y, else 0; NaN if either is."""
    return Expr("equal", (x, y))


def given(x: Expr, y: Expr) -> Expr:
    """``x`` where ``y`` is an observation, else NaN."""
    return Expr("given", (x, y))


def when(condition: Expr, x: Expr) -> Expr:
    """``x`` where condition > 0, else NaN: no observation."""
    return Expr("when", (condition, x))


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


def running_sum(x: Expr) -> Expr:
    """Sum of all observations since the anchor, compensated (Neumaier), so that it does not drift."""
    return Expr("running_sum", (x,))


def bars_since(condition: Expr) -> Expr:
    """Observations since condition > 0 last held: 0 at it; NaN until it held once."""
    return Expr("bars_since", (condition,))


def kama(x: Expr, width: int) -> Expr:
    """Kaufman's adaptive mean over ``width`` changes, between the speeds of a 2 and a 30 bar EMA; TA-Lib "KAMA".

    Starts at observation ``width`` (0-based) from the one before it.
    """
    path = total(abs_(x - prev(x)), width)
    net = x - lag(x, width)
    # TA-Lib: full speed where the path is no longer than the (signed) way, which covers a flat one
    efficiency = where(greater(path, net), abs_(ratio(net, path)), affine(path, 0.0, 1.0))
    fast, slow = 2.0 / 3.0, 2.0 / 31.0
    speed = affine(efficiency, fast - slow, slow)
    return Expr("adaptive", (x, prev(x), speed * speed))


def _window(x: Expr, width: int, least: int = 1) -> Expr:
    assert width >= least, (width, least)
    return Expr("window", (x,), (float(width),))


def total(x: Expr, width: int) -> Expr:
    """Sum of the last ``width`` observations."""
    return Expr("total", (_window(x, width),), (float(width),))


def mean(x: Expr, width: int) -> Expr:
    """Mean of the last ``width`` observations."""
    return Expr("mean", (_window(x, width),), (float(width),))


def std(x: Expr, width: int) -> Expr:
    """Population standard deviation of the last ``width`` observations."""
    return Expr("std", (_window(x, width), mean(x, width)), (float(width),))


def skew(x: Expr, width: int) -> Expr:
    """Bias-corrected skewness of the last ``width`` (3 at least) observations, as pandas; 0 where they are equal."""
    return Expr("skew", (_window(x, width, 3), mean(x, width), std(x, width)), (float(width),))


def kurt(x: Expr, width: int) -> Expr:
    """Bias-corrected excess kurtosis of the last ``width`` (4 at least) observations, as pandas; -3 where they are equal."""
    return Expr("kurt", (_window(x, width, 4), mean(x, width), std(x, width)), (float(width),))


def highest(x: Expr, width: int) -> Expr:
    """Largest of the last ``width`` observations."""
    return Expr("highest", (_window(x, width),), (float(width),))


def lowest(x: Expr, width: int) -> Expr:
    """Smallest of the last ``width`` observations."""
    return Expr("lowest", (_window(x, width),), (float(width),))


def argmax(x: Expr, width: int) -> Expr:
    """Place of the largest of the last ``width`` observations, 1 the oldest; the oldest of equals (qlib ``IdxMax``)."""
    return Expr("argmax", (_window(x, width),), (float(width),))


def argmin(x: Expr, width: int) -> Expr:
    """Place of the smallest of the last ``width`` observations, 1 the oldest; the oldest of equals (qlib ``IdxMin``)."""
    return Expr("argmin", (_window(x, width),), (float(width),))


def rank(x: Expr, width: int) -> Expr:
    """Share of the last ``width`` observations that is not above this one (itself included)."""
    return Expr("rank", (_window(x, width),), (float(width),))


def quantile(x: Expr, width: int, q: float) -> Expr:
    """Quantile ``q`` of the last ``width`` observations, interpolated linearly as numpy does."""
    assert 0.0 <= q <= 1.0, q
    return Expr("quantile", (Expr("sorted", (_window(x, width), x), (float(width),)),), (float(width), float(q)))


def slope(x: Expr, width: int) -> Expr:
    """Least-squares slope of the last ``width`` observations on 1 .. width, per observation (qlib ``Slope``)."""
    return Expr("slope", (_window(x, width, 2),), (float(width),))


def resi(x: Expr, width: int) -> Expr:
    """This observation less its least-squares line over the last ``width`` (qlib ``Resi``)."""
    return x - (mean(x, width) + slope(x, width) * ((width - 1) / 2.0))


def r2(x: Expr, width: int, least: float = 0.0) -> Expr:
    """Share of the variance that the least-squares line explains; NaN where the *sample* deviation is at most ``least``.

    qlib's ``Rsquare`` has least = 2e-5.
    """
    root = ratio(slope(x, width) * math.sqrt((width * width - 1.0) / 12.0), std(x, width))
    return _where_it_moves(min_(root * root, affine(root, 0.0, 1.0)), std(x, width), width, least)


def wma(x: Expr, width: int) -> Expr:
    """Mean of the last ``width`` observations with weights 1 (oldest) .. width; TA-Lib "WMA"."""
    return x if width == 1 else mean(x, width) + slope(x, width) * ((width - 1) / 6.0)


def cov(x: Expr, y: Expr, width: int) -> Expr:
    """Population covariance over the last ``width`` bars on which both are observed."""
    a, b = given(x, y), given(y, x)
    return Expr("cov", (_window(a, width), _window(b, width), mean(a, width), mean(b, width)), (float(width),))


def corr(x: Expr, y: Expr, width: int, least: float = 0.0) -> Expr:
    """Correlation over the last ``width`` bars on which both are observed; NaN where a *sample* deviation is at most ``least``.

    qlib's ``Corr`` has least = 2e-5.
    """
    a, b = std(given(x, y), width), std(given(y, x), width)
    found = clip(ratio(cov(x, y, width), a * b), -1.0, 1.0)
    return _where_it_moves(_where_it_moves(found, a, width, least), b, width, least)


def beta(y: Expr, x: Expr, width: int) -> Expr:
    """cov(x, y) / var(x) over the last ``width`` bars on which both are observed; NaN where x does not move."""
    spread = std(given(x, y), width)
    return ratio(cov(x, y, width), spread * spread)


def _where_it_moves(x: Expr, deviation: Expr, width: int, least: float) -> Expr:
    if least == 0.0:
        return x  # a division by a deviation of 0 is NaN already
    return when(deviation * math.sqrt(width / (width - 1.0)) - least, x)


def session_first(x: Expr) -> Expr:
    """First observation of the session."""
    return Expr("session_first", (x, start()))


def session_sum(x: Expr) -> Expr:
    """Sum of the session so far."""
    return Expr("session_sum", (x, start()))


def session_count(x: Expr) -> Expr:
    """Observations of the session so far."""
    return session_sum(equal(x, x))


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


def slot_std(x: Expr, span: int) -> Expr:
    """Exponential deviation, over earlier sessions, of ``x`` at this time of day, about its own mean; NaN in the first two.

    Weights max(2/(span+1), 1/n), as ``ewm_std``: with few sessions all count alike.
    """
    return Expr("slot_std", (x,), (2.0 / (span + 1.0),))


def _bucket(name: str, minutes_: int) -> Expr:
    assert name in BUCKET_FIELDS and minutes_ >= 1, (name, minutes_)
    return Expr(f"bucket_{name}", (Expr("bucket", (), (float(minutes_),)),), (float(BUCKET_FIELDS.index(name)),))


def bucket_open(minutes_: int) -> Expr:
    """Open of the last closed bar of ``minutes_`` minutes, as one observation a bar of that length.

    The grid starts at 09:15 IST. The observation comes with the decision bar that completes the bucket: its last slot, or the
    instrument's last slot of the session; where the instrument had no bar in that slot, with its next bar. In order, at most one a
    decision bar: a second waits for the next. NaN at every other bar, and always where ``minutes_`` is no multiple of the feature
    set's timeframe. ``hold(ema(bucket_close(60), 20), close())`` is the EMA20 of 60-minute bars at every bar.
    """
    return _bucket("open", minutes_)


def bucket_high(minutes_: int) -> Expr:
    """High of the last closed bar of ``minutes_`` minutes; see ``bucket_open``."""
    return _bucket("high", minutes_)


def bucket_low(minutes_: int) -> Expr:
    """Low of the last closed bar of ``minutes_`` minutes; see ``bucket_open``."""
    return _bucket("low", minutes_)


def bucket_close(minutes_: int) -> Expr:
    """Close of the last closed bar of ``minutes_`` minutes; see ``bucket_open``."""
    return _bucket("close", minutes_)


def bucket_volume(minutes_: int) -> Expr:
    """Volume of the last closed bar of ``minutes_`` minutes; see ``bucket_open``."""
    return _bucket("volume", minutes_)


def across_rank(x: Expr) -> Expr:
    """Share of the members observed at this decision bar that is not above this one, ties at their mean rank: 1/n .. 1.

    NaN for an instrument that is no member, and where fewer than 5 members have an observation. Like all of the ``across``
    functions it looks at members (``Panel.member``) with an observation at this very bar and at nobody else: one that has no bar
    takes no part and changes nobody's state.
    """
    return Expr("across_rank", (x,))


def across_mean(x: Expr) -> Expr:
    """Mean of the members observed at this decision bar, the same for every instrument with a bar; NaN for fewer than 5."""
    return Expr("across_mean", (x,))


def across_std(x: Expr) -> Expr:
    """Population standard deviation of the members observed at this decision bar; NaN for fewer than 5."""
    return Expr("across_std", (x,))


def across_count(x: Expr) -> Expr:
    """How many members are observed at this decision bar."""
    return Expr("across_count", (x,))


def of_index(x: Expr) -> Expr:
    """``x`` of the market index at this decision bar; NaN when the index has no bar now, or is not in the list."""
    return Expr("of_index", (x,))
