"""What is odd about bars that could be: against the instrument's own volatility, the bar before, the session before. Pure.

All functions take BAR[n] of one instrument, ascending and without repeats, with possible prices (``core.validate`` sees to that).
A verdict on a bar rests on that bar and earlier ones, so more bars behind it never change it. Only ``actions`` looks at whole
sessions, and ``outliers`` at the first five bars of a session that opens far away. Limits were set on the real sets, see
docs/importing.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intraday.domain.arrays import DAY_NS, F8, I8, IST_NS, MINUTE_NS, Bars, Mask

BUCKET_MINUTES = 30  # volatility depends on the time of day: half hours of the grid from 09:15
SESSIONS_BACK = 10  # so many earlier sessions tell what is usual
SESSIONS_MIN = 3  # with fewer of them nothing is known, and nothing is called a jump
MAD_TO_SIGMA = 1.4826  # of a normal distribution
SIGMA_MIN, TICK = 2e-4, 0.05  # a scale is never under 2 bps, nor under a tick of five paise
JUMP_SIGMAS = 20.0
OUTLIER_MOVE = 0.25  # no price band lets a stock move so far within a session but in several steps
BELIEVED_AFTER = 5  # bars in a row at another level, and it is a level
STALE_REPEATS = 3  # a bar that moved and comes a fourth time is a feed that hangs
FLAT_REPEATS, FLAT_STALE = 3, 10  # a flat one is odd when it comes a fourth time, and hangs with the eleventh
RESENT_RUN = 3  # so many bars in a row as those of the session before at the same minutes are that session's
ACTION_DAYS_MAX = 40  # between the sessions: over longer gaps a price may have gone anywhere
RATIOS = np.array(
    [1 / 20, 1 / 10, 1 / 6, 1 / 5, 1 / 4, 1 / 3, 2 / 5, 1 / 2, 3 / 5, 2 / 3, 3 / 4, 4 / 5, 5 / 6, 10 / 11, 2.0, 5.0, 10.0]
)
SMALL = (5 / 6, 1.0)  # bonuses of one for five and less: a price falls so far on news, too, so more is asked of them
# How far the open may be from the ratio, since the market moves overnight too, and the factor within which rupees traded stay,
# while after bad news they are a multiple; of SMALL ones and of others.
ACTION_TOLERANCE, ACTION_TURNOVER = (0.025, 0.05), (2.0, 3.0)


class ProbableAction(NamedTuple):
    """A session that opens at another price level with the rupee turnover it used to have.

    ``row`` of its first bar; ``move``: open over the close before; ``ratio``: the simple ratio next to it; ``turnover`` over the
    usual one.
    """

    row: int
    move: float
    ratio: float
    turnover: float

    @property
    def text(self) -> str:
        """For people."""
        return f"opens at {self.move:.3f} of the close before, near {self.ratio:.3f}; turnover {self.turnover:.2f} of the usual"


class Sessions(NamedTuple):
    """Where the sessions of n bars are: ``of`` int64 [n] their number from 0; ``first`` int64 [k] row of the first bar of each."""

    of: I8
    first: I8

    @property
    def last(self) -> I8:
        """int64 [k]: row of the last bar of each."""
        return np.append(self.first, self.of.size)[1:] - 1


def sessions_of(bars: Bars) -> Sessions:
    """Sessions by Indian day."""
    day = (bars["ts_ns"] + IST_NS) // DAY_NS
    begins = np.ones(day.size, np.bool_)
    begins[1:] = day[1:] != day[:-1]
    return Sessions(np.cumsum(begins) - 1, np.flatnonzero(begins))


def returns(bars: Bars, sessions: Sessions) -> F8:
    """float64 [n]: log return of the close, over the root of the minutes between two bars; NaN for the first of a session."""
    out = np.full(bars.shape[0], np.nan)
    minutes = np.maximum(np.diff(bars["ts_ns"]) / MINUTE_NS, 1.0)
    out[1:] = np.log(bars["close"][1:] / bars["close"][:-1]) / np.sqrt(minutes)
    out[sessions.first] = np.nan
    return out


def volatility(bars: Bars, sessions: Sessions, moves: F8) -> F8:
    """float64 [n]: robust standard deviation of ``returns``, as known before the session; NaN while unknown.

    The median absolute return of the same half hour in each of the last SESSIONS_BACK sessions, their median, but not under that
    of the half hour before on the same day: a wild day is wild all day. Times 1.4826.
    """
    n_buckets = int(DAY_NS // MINUTE_NS) // BUCKET_MINUTES
    minute = ((bars["ts_ns"] + IST_NS) % DAY_NS) // MINUTE_NS
    bucket = (minute - 15) // BUCKET_MINUTES  # 09:15 begins one
    group = sessions.of * n_buckets + np.maximum(bucket, 0)
    median = np.full((sessions.first.size, n_buckets), np.nan)
    known = np.flatnonzero(~np.isnan(moves))
    _medians(group[known], np.abs(moves[known]), median.reshape(-1))
    usual = np.full_like(median, np.nan)
    for day in range(SESSIONS_MIN, median.shape[0]):
        usual[day] = _median_of_rows(median[max(0, day - SESSIONS_BACK) : day])
    earlier = np.column_stack((np.full(median.shape[0], np.nan), median[:, :-1]))
    scale = np.where(np.isnan(usual), np.nan, np.fmax(usual, earlier)).reshape(-1)[group]
    return np.asarray(MAD_TO_SIGMA * np.maximum(scale, np.maximum(SIGMA_MIN, TICK / bars["close"])))


def jumps(moves: F8, sigma: F8) -> I8:
    """Rows whose return is over JUMP_SIGMAS of the volatility known before it. Real news does that, so they are kept."""
    return np.flatnonzero(np.abs(moves) > JUMP_SIGMAS * sigma)  # a NaN is over nothing


def repeats(bars: Bars, has_volume: bool) -> Mask:
    """bool [n]: every price (and the volume) as a minute before; flat, which a quiet minute may well be, for the fourth time."""
    same = _same(bars, has_volume)
    return same & ((bars["high"] > bars["low"]) | _running(same, FLAT_REPEATS))


def stale(bars: Bars, has_volume: bool, sessions: Sessions) -> Mask:
    """bool [n]: the same bar the fourth time in a row and on (flat: the eleventh), or for the third minute running that of the
    session before."""
    same = _same(bars, has_volume)
    hangs = _running(same & (bars["high"] > bars["low"]), STALE_REPEATS) | _running(same, FLAT_STALE)
    return hangs | _resent(bars, has_volume, sessions)


def outliers(bars: Bars, sessions: Sessions, sigma: F8) -> I8:
    """Rows with a price over OUTLIER_MOVE (and over JUMP_SIGMAS, where volatility is known) away from the last good close of the
    session and from that of the session before. Another level is believed with its BELIEVED_AFTER-th bar in a row.

    An ex-date opens anywhere, a bad print does not stay: bars that open a session at another level are all good if so many agree;
    while there are fewer, if the open is at one of the RATIOS.
    """
    found: list[int] = []
    close = bars["close"]
    away = np.zeros(bars.shape[0], np.bool_)
    away[1:] = _away(bars[1:], close[:-1], sigma[1:])
    for number in np.unique(sessions.of[away]).tolist():
        first, last = int(sessions.first[number]), int(sessions.last[number])
        found += _walk(bars, first, last, _close_before(bars, first, set(found)), sigma)
    return np.array(found, np.int64)


def overnight(bars: Bars, sessions: Sessions) -> tuple[I8, F8]:
    """First rows of sessions that open over OUTLIER_MOVE away from the close before, and open over that close less one."""
    opens, closes = bars["open"][sessions.first], bars["close"][sessions.last]
    move = np.ones(opens.size)
    move[1:] = opens[1:] / closes[:-1]
    far = (np.abs(np.log(move)) > -np.log(1.0 - OUTLIER_MOVE)) & _soon(bars, sessions)
    return sessions.first[far], move[far] - 1.0


def actions(bars: Bars, sessions: Sessions) -> list[ProbableAction]:
    """Sessions that look like ex-dates: the open is a simple ratio of the close before, and the rupees traded stay as they were.

    Usual turnover: the median of up to 20 sessions before, of SESSIONS_MIN at least.
    """
    opens, closes = bars["open"][sessions.first], bars["close"][sessions.last]
    rupees = np.bincount(sessions.of, weights=bars["close"] * bars["volume"], minlength=opens.size)
    move = np.full(opens.size, np.nan)
    move[1:] = opens[1:] / closes[:-1]
    ratio, near = _nearest(move)
    found = []
    for k in np.flatnonzero(near & _soon(bars, sessions)).tolist():
        usual, most = float(np.median(rupees[max(0, k - 20) : k])), float(_stricter(ACTION_TURNOVER, ratio[k]))
        turnover = float(rupees[k]) / usual if k >= SESSIONS_MIN and usual > 0.0 else np.nan
        if 1.0 / most <= turnover <= most:
            found.append(ProbableAction(int(sessions.first[k]), float(move[k]), float(ratio[k]), turnover))
    return found


def _nearest(move: F8) -> tuple[F8, Mask]:
    """The nearest of RATIOS to each, and whether it is near enough; a NaN is near nothing."""
    ratio: F8 = RATIOS[np.argmin(np.abs(np.log(RATIOS / move[:, None])), axis=1)]
    return ratio, np.abs(np.log(move / ratio)) <= _stricter(ACTION_TOLERANCE, ratio)


def _stricter(limits: tuple[float, float], ratio: F8) -> F8:
    return np.where((ratio >= SMALL[0]) & (ratio < SMALL[1]), *limits)


def _soon(bars: Bars, sessions: Sessions) -> Mask:
    """bool [k]: sessions at most ACTION_DAYS_MAX days after the one before."""
    day = (bars["ts_ns"][sessions.first] + IST_NS) // DAY_NS
    return np.concatenate(([False], np.diff(day) <= ACTION_DAYS_MAX))


def _close_before(bars: Bars, first: int, bad: set[int]) -> float | None:
    """The last close before row ``first`` that is none of the ``bad``; None where there is none, or none of late."""
    row = first - 1
    while row in bad:
        row -= 1
    days = (bars["ts_ns"][first] + IST_NS) // DAY_NS - (bars["ts_ns"][max(row, 0)] + IST_NS) // DAY_NS
    return float(bars["close"][row]) if row >= 0 and days <= ACTION_DAYS_MAX else None


def _walk(bars: Bars, first: int, last: int, before: float | None, sigma: F8) -> list[int]:
    """The outliers of one session, bar by bar; ``before``: the close before it, without which the first bar sets the level."""
    found: list[int] = []
    current = float(bars["close"][first]) if before is None else before
    strange = 0
    for row in range(first + (before is None), last + 1):
        one = bars[row : row + 1]
        levels = (current,) if before is None else (current, before)
        if all(bool(_away(one, np.array([level]), sigma[row : row + 1])[0]) for level in levels):
            together = strange > 0 and not bool(_away(one, bars["close"][row - 1 : row], sigma[row : row + 1])[0])
            strange = strange + 1 if together else 1
            if strange < BELIEVED_AFTER:
                found.append(row)
                continue
            found = found if row >= first + BELIEVED_AFTER else []  # it opened here
        current, strange = float(bars["close"][row]), 0
    if before is not None and strange == last + 1 - first and _nearest(bars["open"][first : first + 1] / before)[1][0]:
        return []
    return found


def _away(bars: Bars, level: F8, sigma: F8) -> Mask:
    """Whether a price of each bar is far from ``level``."""
    farthest = np.maximum(np.log(bars["high"] / level), np.log(level / bars["low"]))
    return np.asarray((farthest > -np.log(1.0 - OUTLIER_MOVE)) & ~(farthest <= JUMP_SIGMAS * sigma), np.bool_)


def _same(bars: Bars, has_volume: bool) -> Mask:
    """bool [n]: every price (and the volume) as a minute before."""
    same = np.zeros(bars.shape[0], np.bool_)
    same[1:] = (np.diff(bars["ts_ns"]) == MINUTE_NS) & _equal(bars[1:], bars[:-1], has_volume)
    return same


def _resent(bars: Bars, has_volume: bool, sessions: Sessions) -> Mask:
    minute = sessions.of * DAY_NS + (bars["ts_ns"] + IST_NS) % DAY_NS
    at = np.minimum(np.searchsorted(minute, minute - DAY_NS), minute.size - 1)
    there = minute[at] == minute - DAY_NS
    same = there & _equal(bars, bars[at], has_volume) & (bars["high"] > bars["low"])
    return _running(same, RESENT_RUN)


def _running(mask: Mask, n: int) -> Mask:
    """Where the last ``n`` are all true."""
    out = mask.copy()
    for back in range(1, n):
        out[back:] &= mask[:-back]
        out[:back] = False
    return out


def _equal(a: Bars, b: Bars, has_volume: bool) -> Mask:
    names = ("open", "high", "low", "close", "volume") if has_volume else ("open", "high", "low", "close")
    return np.asarray(np.logical_and.reduce([a[name] == b[name] for name in names]), np.bool_)


def _medians(group: I8, values: F8, out: F8) -> None:
    """Write the median of the values of each group to ``out[group]``."""
    order = np.lexsort((values, group))
    group, values = group[order], values[order]
    found, start, n = np.unique(group, return_index=True, return_counts=True)
    out[found] = (values[start + (n - 1) // 2] + values[start + n // 2]) / 2.0


def _median_of_rows(rows: F8) -> F8:
    """The median of each column without its NaN; NaN where fewer than SESSIONS_MIN are left."""
    ordered = np.sort(rows, axis=0)  # NaN last
    n = np.count_nonzero(~np.isnan(rows), axis=0)
    column = np.arange(rows.shape[1])
    low, high = ordered[np.maximum(n - 1, 0) // 2, column], ordered[np.minimum(n // 2, rows.shape[0] - 1), column]
    return np.asarray(np.where(n >= SESSIONS_MIN, (low + high) / 2.0, np.nan))
