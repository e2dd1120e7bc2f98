"""The laws of features, on a panel of anybody's bars: whoever computes them, value by value and bit by bit.

Each law takes what makes a cold calculator and compares its values on the panel with those it gives when it knows less, or
something else: less of the past at a time, no future, another future, bars that came too late.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from intraday.core.audit.result import Comparison, Difference, Finding, Law, finding, not_checked
from intraday.core.feature import Feature
from intraday.core.function_features import PRICES, FunctionFeature
from intraday.core.panel import Day
from intraday.domain.arrays import BAR, F4, I8, MINUTE_NS, Bars, Mask, Panel

CUTS = 3  # places at which the future is taken away or made another
STEPPED_SESSIONS = 3  # last sessions that are computed bar by bar
LATE_SHARE = 0.03  # of the bars, in the law of late arrivals


class Calculator(Protocol):
    """What the laws ask of ``FeatureCalculator`` and ``FunctionCalculator``."""

    def batch(self, panel: Panel) -> F4:
        """float32 [T, S, F]."""
        ...

    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4:
        """float32 [b, F]."""
        ...

    def columns(self, keep: I8) -> Calculator:
        """One of the instruments ``keep``, in that order."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """Features that one calculator makes.

    ``make`` gives a cold one. ``own``: from the user's file, where silence is a mistake. ``slot`` int64 [T]: of functions, the slot
    of each row of the panel, counted from the first of its first session.
    """

    features: Sequence[Feature | FunctionFeature]
    make: Callable[[], Calculator]
    own: bool = False
    slot: I8 | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """In column order."""
        return tuple(f.name for f in self.features)


def feature_laws(group: Group, panel: Panel, rng: np.random.Generator) -> tuple[F4, list[Finding]]:
    """The group's values on the panel, float32 [T, S, F], and every law's findings on them."""
    values = group.make().batch(panel)
    cuts = _cuts(panel, rng)
    found = [
        *_prefix(group, panel, values, cuts),
        *_future(group, panel, values, cuts, rng),
        *_chunks(group, panel, values, rng),
        *_steps(Law.STEPS, group, panel, values),
        *_late(group, panel, rng),
        *_warmup(group, panel, values),
    ]
    return values, found


def without(panel: Panel, gone: Mask) -> Panel:
    """The panel in which the bars ``gone`` bool [T, S] never came."""
    prices: dict[str, Any] = {name: np.where(gone, np.nan, getattr(panel, name)) for name in PRICES}
    return dataclasses.replace(panel, mask=panel.mask & ~gone, **prices)


def late_bars(panel: Panel, rng: np.random.Generator) -> Mask:
    """bool [T, S]: some bars that shall come too late."""
    return np.asarray(panel.mask & (rng.random(panel.mask.shape) < LATE_SHARE), np.bool_)


def another_future(panel: Panel, cut: int, rng: np.random.Generator) -> Panel:
    """The panel with other prices, other volumes and fewer bars from row ``cut`` on."""
    rest = (len(panel) - cut, panel.n_instruments)
    factor = np.exp(rng.normal(0.0, 0.05, rest))
    columns: dict[str, Any] = {name: getattr(panel, name).copy() for name in PRICES}
    for name, column in columns.items():
        column[cut:] *= factor if name != "volume" else rng.integers(1, 9, rest)
    gone = np.zeros(panel.mask.shape, np.bool_)
    gone[cut:] = rng.random(rest) < 0.2
    return without(dataclasses.replace(panel, **columns), gone)


def _cuts(panel: Panel, rng: np.random.Generator) -> list[int]:
    """Rows late enough that most features have values; one of them is the first of a session."""
    starts = np.flatnonzero(np.diff(panel.session)) + 1
    drawn = rng.integers(len(panel) // 2, len(panel), CUTS - 1).tolist()
    return sorted({*drawn, *([int(starts[-1])] if len(starts) else [])})


def _prefix(group: Group, panel: Panel, values: F4, cuts: Sequence[int]) -> Iterator[Finding]:
    """Without the future."""
    tally = Comparison(Law.PREFIX, group.names)
    for cut in cuts:
        tally.add(values[:cut], group.make().batch(panel.rows(0, cut)), panel.ts_ns)
    return tally.findings()


def _future(group: Group, panel: Panel, values: F4, cuts: Sequence[int], rng: np.random.Generator) -> Iterator[Finding]:
    """With another future."""
    tally = Comparison(Law.FUTURE, group.names)
    for cut in cuts:
        tally.add(values[:cut], group.make().batch(another_future(panel, cut, rng))[:cut], panel.ts_ns)
    return tally.findings()


def _chunks(group: Group, panel: Panel, values: F4, rng: np.random.Generator) -> Iterator[Finding]:
    """In pieces, some of them a single row."""
    tally = Comparison(Law.CHUNKS, group.names)
    drawn = rng.integers(0, len(panel), 5).tolist()
    edges = sorted({0, 1, *drawn, *(k + 1 for k in drawn), len(panel)})
    calculator = group.make()
    for a, b in zip(edges, edges[1:], strict=False):
        tally.add(values[a:b], calculator.batch(panel.rows(a, b)), panel.ts_ns[a:b])
    return tally.findings()


def _steps(law: Law, group: Group, panel: Panel, values: F4) -> Iterator[Finding]:
    """The last sessions bar by bar, as live computes them."""
    tally, calculator = Comparison(law, group.names), group.make()
    first = int(np.searchsorted(panel.session, np.unique(panel.session)[-STEPPED_SESSIONS:][0]))
    if first:
        calculator.batch(panel.rows(0, first))
    stepped = np.full(values[first:].shape, np.nan, np.float32)
    for t in range(first, len(panel)):
        inst = np.flatnonzero(panel.mask[t])
        stepped[t - first, inst] = calculator.update(bars_at(panel, t, inst), int(panel.ts_ns[t]), day_at(panel, t))
    tally.add(values[first:], stepped, panel.ts_ns[first:])
    return tally.findings()


def _late(group: Group, panel: Panel, rng: np.random.Generator) -> Iterator[Finding]:
    """Bars that missed the cut-off take no part, neither then nor later: history without them is what live has issued."""
    holed = without(panel, late_bars(panel, rng))
    return _steps(Law.LATE, group, holed, group.make().batch(holed))


def _warmup(group: Group, panel: Panel, values: F4) -> Iterator[Finding]:
    """No value before the declared warm-up, and some after it."""
    for f, feature in enumerate(group.features):
        bars, sessions = _before(feature, panel, group.slot)
        given = np.isfinite(values[:, :, f])
        early = given & ((bars < feature.warmup) | (sessions < feature.sessions))
        if not given.any():
            yield _silent(feature, group.own, bool((bars >= feature.warmup).any() and (sessions >= feature.sessions).any()))
        else:
            yield finding(feature.name, Law.WARMUP, int(given.sum()), int(early.sum()), _first(early, values[:, :, f], panel))


def _silent(feature: Feature | FunctionFeature, own: bool, enough: bool) -> Finding:
    if enough and own:
        return finding(feature.name, Law.WARMUP, 1, 1, detail="it never gives a value: every one is NaN")
    need = f"needs {feature.warmup} bars and {feature.sessions} sessions before its first value"
    return not_checked(feature.name, Law.WARMUP, "never gives a value in these bars" if enough else need)


def _first(early: Mask, values: F4, panel: Panel) -> Difference | None:
    if not early.any():
        return None
    t, s = (int(i) for i in np.argwhere(early)[0])
    return Difference(s, int(panel.ts_ns[t]), float(values[t, s]), float("nan"))


def _before(feature: Feature | FunctionFeature, panel: Panel, slot: I8 | None) -> tuple[I8, I8]:
    """Bars and sessions before each cell that the declared warm-up counts, int64 [T, S] each.

    The instrument's own; with other instruments in it (theirs bring a value too) those of the panel; of a function the slots. With
    buckets the warm-up is a bound that short sessions undercut, so nothing can come too early.
    """
    shape = panel.mask.shape
    numbers, nth = np.unique(panel.session, return_inverse=True)
    if isinstance(feature, FunctionFeature):
        return np.broadcast_to((np.arange(len(panel)) if slot is None else slot)[:, None], shape), np.zeros(shape, np.int64)
    if feature.expr.uses("bucket"):
        return np.full(shape, np.iinfo(np.int64).max), np.full(shape, np.iinfo(np.int64).max)
    if feature.expr.across:
        return np.broadcast_to(np.arange(len(panel))[:, None], shape), np.broadcast_to(nth[:, None], shape)
    traded = np.array([panel.mask[panel.session == n].any(axis=0) for n in numbers], np.int64)
    return np.cumsum(panel.mask, axis=0) - 1, (np.cumsum(traded, axis=0) - traded)[nth]


def day_at(panel: Panel, t: int) -> Day:
    """The session of row ``t``, as live knows it."""
    open_ns = int(panel.ts_ns[t] - round(float(panel.minute[t]) * MINUTE_NS))
    return Day(int(panel.session[t]), open_ns, panel.minutes[t], panel.member[t])


def bars_at(panel: Panel, t: int, inst: I8) -> Bars:
    """BAR rows of the instruments ``inst`` at row ``t``."""
    bars = np.zeros(len(inst), BAR)
    bars["ts_ns"], bars["inst"] = panel.ts_ns[t], inst
    for name in PRICES:
        bars[name] = getattr(panel, name)[t, inst]
    return bars
