"""The features of a day, of volume and across instruments once more: slow, obvious, in plain numpy, from their formulas.

A ``Stock`` is one instrument's own bars. What a function returns stands at those bars; NaN is "no value".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.domain.arrays import DAY_NS, F8, GRID_ORIGIN_NS, I8, MINUTE_NS, Mask, Panel

NAN = float("nan")
TIE = 1e-6


@dataclass(frozen=True)
class Stock:
    """Bars of one instrument, in order of time: arrays [n]; ``row`` is their row of the panel."""

    row: I8
    ts_ns: I8
    session: I8
    minute: F8
    minutes: F8
    o: F8
    h: F8
    lo: F8
    c: F8
    v: F8
    timeframe: int

    @property
    def first(self) -> Mask:
        """Its first bar of a session."""
        return np.concatenate([[True], self.session[1:] != self.session[:-1]])

    @property
    def typical(self) -> F8:
        return (self.h + self.lo + self.c) / 3


def stock(panel: Panel, s: int) -> Stock:
    rows = np.flatnonzero(panel.mask[:, s])
    o, h, lo, c, v = (getattr(panel, name)[rows, s] for name in ("open", "high", "low", "close", "volume"))
    session = panel.session[rows].astype(np.int64)
    return Stock(rows, panel.ts_ns[rows], session, panel.minute[rows], panel.minutes[rows, s], o, h, lo, c, v, panel.timeframe)


# ---------------------------------------------------------------------------------------------------------- small tools


def over(x: F8, y: F8, if_zero: float = NAN) -> F8:
    """x / y, with a value where y is 0."""
    return np.array([NAN if np.isnan(a) or np.isnan(b) else a / b if b != 0 else if_zero for a, b in zip(x, y, strict=True)])


def log(x: F8) -> F8:
    """NaN where x is not above 0."""
    return np.log(np.where(x > 0, x, NAN))


def before(x: F8) -> F8:
    """The observation before."""
    return last(2, lambda w: w[0], x)


def last(n: int, of: Callable[..., float], *xs: F8) -> F8:
    """``of`` the last n bars at which all of xs are observed; NaN before there are n."""
    out, seen = np.full(len(xs[0]), NAN), []
    for i, values in enumerate(zip(*xs, strict=True)):
        if not np.isnan(values).any():
            seen.append(values)
            if len(seen) >= n:
                out[i] = of(*np.array(seen[-n:]).T)
    return out


def since_start(x: F8) -> F8:
    """Running sum of the observations."""
    return np.where(np.isnan(x), NAN, np.cumsum(np.nan_to_num(x)))


def ema(x: F8, n: int, weight: float | None = None) -> F8:
    """Exponential mean seeded with the mean of the first n observations."""
    weight = 2 / (n + 1) if weight is None else weight
    out, seen, value = np.full(len(x), NAN), [], NAN
    for i, each in enumerate(x):
        if not np.isnan(each):
            seen.append(each)
            value = float(np.mean(seen)) if len(seen) <= n else value + weight * (each - value)
            out[i] = value if len(seen) >= n else NAN
    return out


def today(b: Stock, of: Callable[[F8], float], x: F8) -> F8:
    """``of`` the session's observations so far."""
    out = np.full(len(x), NAN)
    for i in np.flatnonzero(~np.isnan(x)):
        so_far = x[: i + 1][b.session[: i + 1] == b.session[i]]
        out[i] = of(so_far[~np.isnan(so_far)])
    return out


def yesterday(b: Stock, x: F8) -> F8:
    """The last observation before the instrument's session."""
    out = np.full(len(x), NAN)
    for day in np.unique(b.session):
        known = x[(b.session < day) & ~np.isnan(x)]
        out[b.session == day] = known[-1] if len(known) else NAN
    return np.where(np.isnan(x), NAN, out)


def usual(b: Stock, x: F8) -> tuple[F8, F8]:
    """What x was at this time of day on earlier sessions: exponential mean, weight 0.1, and standard deviation.

    The deviation is about a mean of its own, both with weight max(0.1, 1/n), and needs two sessions.
    """
    mean, sd = np.full(len(x), NAN), np.full(len(x), NAN)
    slots = np.floor(b.minute / b.timeframe).astype(int)
    for slot in np.unique(slots):
        known, weights, seen = NAN, np.zeros(0), np.zeros(0)
        for i in np.flatnonzero((slots == slot) & ~np.isnan(x)):
            mean[i] = known
            sd[i] = np.sqrt(weights @ (seen - weights @ seen) ** 2) if len(seen) >= 2 else NAN
            known = x[i] if np.isnan(known) else known + 0.1 * (x[i] - known)
            w = max(0.1, 1 / (len(seen) + 1))
            weights, seen = np.append(weights * (1 - w), w), np.append(seen, x[i])
    return mean, sd


def days_return(b: Stock) -> F8:
    """ln(close / base), base: the close before, at a session's first bar its own open."""
    base = np.where(b.first, b.o, np.concatenate([[NAN], b.c[:-1]]))
    return np.log(b.c / base)


def sigma(b: Stock) -> F8:
    r, weights, out = days_return(b), np.zeros(0), np.full(len(b.c), NAN)
    for n in range(1, len(r) + 1):
        w = max(2 / 61, 1 / n)
        weights = np.append(weights * (1 - w), w)
        if n >= 20:
            out[n - 1] = np.sqrt(weights @ (r[:n] - weights @ r[:n]) ** 2)
    return out


def ret(b: Stock, n: int) -> F8:
    return last(n + 1, lambda w: w[-1] - w[0], np.log(b.c))


def session_open(b: Stock) -> F8:
    return today(b, lambda w: w[0], b.o)


def rising(b: Stock) -> F8:
    return np.where(b.c > session_open(b), 1.0, 0.0)


def location(b: Stock) -> F8:
    return over(2 * b.c - b.h - b.lo, b.h - b.lo, 0.0)


def vwap(b: Stock) -> F8:
    return over(today(b, np.sum, b.typical * b.v), today(b, np.sum, b.v))


def signed(change: F8, amount: F8) -> F8:
    return np.sign(change) * amount


def line_slope(w: F8) -> float:
    return float(np.polyfit(np.arange(len(w)), w - w[0], 1)[0])


# ------------------------------------------------------------------------------------------------- volume, money, VWAP


def force(b: Stock) -> F8:
    f = last(2, lambda w: w[1] - w[0], b.c) * b.v
    return over(ema(f, 13), ema(np.abs(f), 13), 0.0)


def balance(b: Stock) -> F8:
    return since_start(signed(b.c - before(b.c), b.v))


def distribution(b: Stock) -> F8:
    return since_start(location(b) * b.v)


def per_volume(b: Stock, x: F8) -> F8:
    return over(x, last(20, np.mean, b.v), 0.0)


def vwap_deviation(b: Stock) -> F8:
    """Two passes: the mean first, then the squares about it."""
    out = np.full(len(b.c), NAN)
    for i in np.flatnonzero(~np.isnan(b.v)):
        day = (b.session == b.session[i]) & (np.arange(len(b.c)) <= i) & ~np.isnan(b.v)
        v, x = b.v[day], b.typical[day]
        if v.sum() > 0:
            out[i] = np.sqrt(v @ (x - v @ x / v.sum()) ** 2 / v.sum())
    return out


def vwap_z(b: Stock) -> F8:
    sd = vwap_deviation(b)
    z = np.clip((b.c - vwap(b)) / np.where(sd > TIE, sd, NAN), -10, 10)
    return np.where(np.isnan(sd), NAN, np.where(sd > TIE, z, 0.0))


def above(b: Stock) -> F8:
    return np.where(np.isnan(vwap(b)), NAN, b.c - TIE > vwap(b))


def side_bars(b: Stock) -> F8:
    out, side = np.full(len(b.c), NAN), above(b)
    last_seen, count = -1, 0
    for i in range(len(b.c)):
        if not np.isnan(side[i]):
            stays = last_seen >= 0 and b.session[i] == b.session[last_seen] and side[i] == side[last_seen]
            last_seen, count = i, count + 1 if stays else 0
            out[i] = count
    return out


def heavy(b: Stock) -> F8:
    w = vwap(b)
    share = np.where(np.isnan(w), NAN, np.where(b.typical - TIE > w, b.v, 0.0))
    return over(today(b, np.sum, share), today(b, np.sum, b.v))


# ------------------------------------------------------------------------------------------------------ order of the day


def opening_range(b: Stock, length: int) -> tuple[F8, F8]:
    early = (b.minute < length) | b.first
    top = today(b, np.max, np.where(early, b.h, -np.inf))
    return today(b, np.min, np.where(early, b.lo, np.inf)), top


def or_pos(b: Stock, length: int) -> F8:
    bottom, top = opening_range(b, length)
    return np.clip(over(b.c - bottom, top - bottom, 0.5), -5, 6)


def or_break(b: Stock, length: int) -> F8:
    bottom, top = opening_range(b, length)
    return np.where(b.minute < length, 0.0, (b.c > top) * 1.0 - (b.c < bottom) * 1.0)


def or_width(b: Stock, length: int) -> F8:
    bottom, top = opening_range(b, length)
    return (top - bottom) / session_open(b)


def first_hour(b: Stock) -> F8:
    r = np.log(b.c / session_open(b))
    return today(b, lambda w: w[np.isfinite(w)][-1], np.where((b.minute < 60) | b.first, r, np.inf))


def bars_after(b: Stock, x: F8, extreme: Callable[[F8], float]) -> F8:
    return today(b, lambda w: len(w) - 1 - np.flatnonzero(w == extreme(w))[-1], x)


def span(b: Stock) -> F8:
    return today(b, np.max, b.h) - today(b, np.min, b.lo)


def before_of(b: Stock) -> tuple[F8, F8, F8]:
    """Last session's low, high and last close."""
    return (yesterday(b, today(b, np.min, b.lo)), yesterday(b, today(b, np.max, b.h)), yesterday(b, b.c))


def gap_fill(b: Stock) -> F8:
    o, c = session_open(b), before_of(b)[2]
    return np.clip(over(o - b.c, o - c, 0.0), -1, 2)


def prev_range_pos(b: Stock) -> F8:
    low, high, _ = before_of(b)
    return np.clip(over(b.c - low, high - low, 0.5), -5, 6)


# --------------------------------------------------------------------------------------------------------- microstructure


def corwin_schultz(b: Stock) -> F8:
    out = np.full(len(b.c), NAN)
    for i in range(1, len(b.c)):
        h, low = b.h[i], b.lo[i]
        if low > b.c[i - 1]:
            h, low = h - (low - b.c[i - 1]), b.c[i - 1]
        elif h < b.c[i - 1]:
            h, low = b.c[i - 1], low + (b.c[i - 1] - h)
        beta = np.log(h / low) ** 2 + np.log(b.h[i - 1] / b.lo[i - 1]) ** 2
        gamma = np.log(max(h, b.h[i - 1]) / min(low, b.lo[i - 1])) ** 2
        k = 3 - 2 * np.sqrt(2)
        alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
        out[i] = max(0.0, 2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)))
    return last(20, np.mean, out)


def abdi_ranaldo(b: Stock) -> F8:
    eta = (np.log(b.h) + np.log(b.lo)) / 2
    base = np.where(b.first, b.o, np.concatenate([[NAN], b.c[:-1]]))
    pair = (before(np.log(b.c)) - before(eta)) * (np.log(base) - eta)
    return 2 * np.sqrt(np.maximum(last(20, np.mean, pair), 0))


def slope_on(y: F8, x: F8) -> float:
    return NAN if np.ptp(x) == 0 else float(np.cov(y, x, ddof=0)[0, 1] / np.var(x))


def correlation(x: F8, y: F8) -> float:
    return NAN if np.ptp(x) == 0 or np.ptp(y) == 0 else float(np.corrcoef(x, y)[0, 1])


def kyle(b: Stock) -> F8:
    r = days_return(b)
    return last(60, slope_on, r, signed(r, b.c * b.v / 1e7))


def variance_ratio(b: Stock) -> F8:
    r = days_return(b)
    one, five = last(60, lambda w: float(np.var(w)), r), last(60, lambda w: float(np.var(w)), last(5, np.sum, r))
    return over(np.where(np.isnan(five), NAN, five), 5 * one, 1.0)


# ------------------------------------------------------------------------------------------------------------ seasonality


def rvol_profile(b: Stock) -> F8:
    square = days_return(b) ** 2
    mean, _ = usual(b, square)
    known = np.where(np.isnan(mean), NAN, square)
    return np.sqrt(over(today(b, np.sum, known), today(b, np.sum, mean)))


def ret_slot_z(b: Stock) -> F8:
    r = days_return(b)
    return over(r, np.sqrt(usual(b, r * r)[0]))


def range_slot_rel(b: Stock) -> F8:
    x = (b.h - b.lo) / b.c
    return over(x, usual(b, x)[0])


# ----------------------------------------------------------------------------------------------------- coarser timeframes


@dataclass(frozen=True)
class Frames:
    """Closed bars of a coarser timeframe, and the instrument's bar at which each became known."""

    at: I8
    h: F8
    lo: F8
    c: F8
    v: F8


def buckets(b: Stock, frame: int) -> Frames:
    """A bucket is known at its last slot's bar, or at the next bar there is; one a bar, in order."""
    number = (b.ts_ns - GRID_ORIGIN_NS) % DAY_NS // (frame * MINUTE_NS)
    ends = (b.ts_ns - GRID_ORIGIN_NS) // MINUTE_NS % frame + b.timeframe >= frame
    ends |= b.minute + b.timeframe >= b.minutes
    known: list[tuple[int, list[int]]] = []
    open_: list[int] = []
    waiting: list[list[int]] = []
    for i in range(len(b.c)):
        if open_ and (b.session[open_[-1]], number[open_[-1]]) != (b.session[i], number[i]):
            waiting.append(open_)
            open_ = []
        open_.append(i)
        if ends[i]:
            waiting.append(open_)
            open_ = []
        if waiting:
            known.append((i, waiting.pop(0)))
    rows = [np.array(members) for _, members in known]
    return Frames(
        np.array([i for i, _ in known], np.int64), np.array([b.h[r].max() for r in rows]), np.array([b.lo[r].min() for r in rows]),
        np.array([b.c[r[-1]] for r in rows]), np.array([b.v[r].sum() for r in rows]),
    )  # fmt: skip


def carried(b: Stock, f: Frames, x: F8) -> F8:
    """The last observation, at every bar."""
    out = np.full(len(b.c), NAN)
    for i, value in zip(f.at, x, strict=True):
        if not np.isnan(value):
            out[i:] = value
    return out


def frame_rsi(f: Frames) -> F8:
    change = f.c - before(f.c)
    up, down = ema(np.where(change < 0, 0.0, change), 14, 1 / 14), ema(np.where(change > 0, 0.0, -change), 14, 1 / 14)
    return 100 * over(up, up + down, 0.5)


def frame_atr(f: Frames) -> F8:
    true_range = np.maximum(f.h, before(f.c)) - np.minimum(f.lo, before(f.c))
    return ema(true_range, 14, 1 / 14)


FRAME_FEATURES: dict[str, Callable[[Stock, Frames], F8]] = {
    "ret_1": lambda b, f: carried(b, f, np.log(f.c / before(f.c))),
    "trend": lambda b, f: carried(b, f, ema(f.c, 9) / ema(f.c, 21) - 1),
    "ema_dist_21": lambda b, f: b.c / carried(b, f, ema(f.c, 21)) - 1,
    "rsi_14": lambda b, f: carried(b, f, frame_rsi(f)),
    "atr_pct_14": lambda b, f: carried(b, f, frame_atr(f)) / b.c,
    "vol_rel_20": lambda b, f: carried(b, f, over(f.v, ema(f.v, 20))),
}


def frame(name: str, minutes: int, b: Stock) -> F8:
    return FRAME_FEATURES[name](b, buckets(b, minutes))


# ------------------------------------------------------------------------------------------------ index and cross-section


def at_rows(n_rows: int, b: Stock, x: F8) -> F8:
    out = np.full(n_rows, NAN)
    out[b.row] = x
    return out


def of_index(b: Stock, index: Stock, of: Callable[[Stock], F8]) -> F8:
    n_rows = int(max(b.row[-1], index.row[-1])) + 1
    return at_rows(n_rows, index, of(index))[b.row]


def index_return(b: Stock, index: Stock) -> F8:
    """Of the index, over the stock's own bars: since its last one, at a session's first bar since the index's open of that bar."""
    close, base = of_index(b, index, lambda x: x.c), of_index(b, index, lambda x: x.o)
    known = NAN
    for k in range(len(close)):
        if not b.first[k]:
            base[k] = known
        known = known if np.isnan(close[k]) else close[k]
    return np.log(close / base)


def residual_share(y: F8, x: F8) -> float:
    """sqrt(1 - correlation^2): the share of y's deviation that x leaves."""
    share = 1 - correlation(y, x) ** 2
    return NAN if np.isnan(share) else float(np.sqrt(share)) if share > 1e-12 else 0.0


def ranks(values: F8, member: Mask) -> F8:
    """values, member: [S]. (Those below + half of the equals and itself) / all, members with a value alone."""
    known = values[member & ~np.isnan(values)]
    out = np.full(len(values), NAN)
    for s in np.flatnonzero(member & ~np.isnan(values)):
        if len(known) >= 5:
            out[s] = ((known < values[s]).sum() + ((known == values[s]).sum() + 1) / 2) / len(known)
    return out


def of_members(values: F8, member: Mask, of: Callable[[F8], float]) -> float:
    known = values[member & ~np.isnan(values)]
    return of(known) if len(known) >= 5 else NAN


def table(stocks: Sequence[Stock], n_rows: int, of: Callable[[Stock], F8]) -> F8:
    """[T, S]: a feature of each instrument at its rows."""
    return np.stack([at_rows(n_rows, b, of(b)) for b in stocks], axis=1)
