"""Functions called on a whole panel against the values the program uses, which come from the trailing window.

What the program stores, trains on and issues live cannot contain the future. But a function that gives other values on a whole
panel looks ahead (in a notebook it would have shown results that no live system can have), or its window is too short for what it
does. Either way it is not what its author thinks it is, so it fails, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from intraday.core.audit.result import Comparison, Finding, Law, Outcome
from intraday.core.function_features import BarWindow, FunctionFeature, FunctionSet, whole
from intraday.domain.arrays import F4, F8, I8, Mask, Panel

RELATIVE = 1e-5  # of the value and of the feature's typical size: two orders of summation differ by less, a leak by more
MOST = 100  # differing rows whose reason is looked for
LEAKS = "looks ahead"
SHORT = "needs more than its window"
UNSTEADY = (
    "other values for the same bars: it depends on something besides its argument (random numbers, the time, files, state that it "
    "keeps); make it depend on its bars alone"
)


def whole_panel(
    functions: FunctionSet, panel: Panel, values: F4, index: int | None, law: Law = Law.WHOLE, *, short: bool = True
) -> Iterator[Finding]:
    """Every function once on all slots of the panel, against ``values`` float32 [T, S, F] of the trailing calls.

    ``short`` False: what only needs more than its window passes.
    """
    bars, at = whole(functions, panel, index)
    for f, feature in enumerate(functions.features):
        once = feature.evaluate(bars)
        stored = values[:, :, f].astype(np.float64)
        found = np.where(panel.mask & (at >= feature.window - 1)[:, None], once[at], np.nan)
        different = differs(found, stored, typical(stored))
        if not short:
            different &= _ahead(feature, bars, at, np.flatnonzero(different.any(axis=1)), once)
        tally = Comparison(law, [feature.name])
        tally.add_judged(found[:, :, None], stored[:, :, None], different[:, :, None], panel.ts_ns)
        for finding in tally.findings():
            yield finding if finding.outcome is not Outcome.FAILED else _explained(finding, feature, bars, at, panel, once)


def order_law(functions: FunctionSet, panel: Panel, index: int | None, rng: np.random.Generator) -> Iterator[Finding]:
    """Every function on the panel with its columns in another order: an instrument's values are its own wherever it stands."""
    order = rng.permutation(panel.n_instruments)
    moved = None if index is None else int(np.flatnonzero(order == index)[0])
    (bars, at), (other, _) = whole(functions, panel, index), whole(functions, panel.columns(order), moved)
    for feature in functions.features:
        expected = np.where(panel.mask, feature.evaluate(bars)[at], np.nan)
        found = np.full(expected.shape, np.nan)
        found[:, order] = np.where(panel.mask[:, order], feature.evaluate(other)[at], np.nan)
        tally = Comparison(Law.ORDER, [feature.name])
        different = differs(found, expected, typical(expected))
        tally.add_judged(found[:, :, None], expected[:, :, None], different[:, :, None], panel.ts_ns)
        yield from tally.findings()


def differs(found: F8, expected: F8, size: float) -> Mask:
    """bool, elementwise: one of them NaN, or apart by more than 1e-5 of the value and of the feature's typical ``size``."""
    missing = np.isnan(found) != np.isnan(expected)
    with np.errstate(invalid="ignore"):  # of equal infinities
        apart = np.abs(found - expected) > RELATIVE * (np.abs(expected) + size)
    return np.asarray(missing | (apart & (found != expected)), np.bool_)


def typical(values: F8) -> float:
    """Mean absolute value; 0 without any."""
    sizes = np.abs(values[np.isfinite(values)])
    return float(sizes.mean()) if sizes.size else 0.0


def _explained(finding: Finding, feature: FunctionFeature, bars: BarWindow, at: I8, panel: Panel, once: F8) -> Finding:
    """The same with the reason, seen at the first row that differs."""
    assert finding.first is not None
    if not np.array_equal(feature.evaluate(bars), feature.evaluate(bars), equal_nan=True):
        return replace(finding, detail=UNSTEADY)
    row, s = int(at[np.searchsorted(panel.ts_ns, finding.first.ts_ns)]), finding.first.inst
    ahead = _reach(feature, bars, row, s, once)
    if ahead == 0:
        return replace(finding, detail=f"{SHORT} of {feature.window} bars: on the same bars with more before them it differs")
    return replace(finding, detail=f"{LEAKS}: the value depends on the {_ordinal(ahead)} bar after it")


def _reach(feature: FunctionFeature, bars: BarWindow, row: int, s: int, once: F8) -> int:
    """How many bars after ``row`` change its value: 0 when those up to it give the whole panel's value.

    The furthest bar that counts, found by taking away the future from the far end, as far as halving goes.
    """
    low, high, size = 0, len(bars.close) - 1 - row, typical(once)

    def agrees(ahead: int) -> bool:
        seen = feature.evaluate(_until(bars, row + ahead + 1))[row, s]
        return not differs(np.array([seen]), once[row : row + 1, s], size)[0]

    if agrees(0):
        return 0
    while high - low > 1:  # agrees(high) holds, agrees(low) does not
        middle = (low + high) // 2
        low, high = (low, middle) if agrees(middle) else (middle, high)
    return high


def _ahead(feature: FunctionFeature, bars: BarWindow, at: I8, rows: I8, once: F8) -> Mask:
    """bool [T, S]: at which of ``rows`` of the panel, or some of them, the whole panel's value is not that of the bars up to it."""
    out, size = np.zeros((len(at), once.shape[1]), np.bool_), typical(once)
    for t in rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(np.int64))].tolist():
        out[t] = differs(feature.evaluate(_until(bars, int(at[t]) + 1))[at[t]], once[at[t]], size)
    return out


def _until(bars: BarWindow, stop: int) -> BarWindow:
    """The oldest ``stop`` rows, as if they were all there is."""
    day = bars.day[:stop] - bars.day[stop - 1, 0]
    rows = {name: getattr(bars, name)[:stop] for name in ("open", "high", "low", "close", "volume", "minute", "minutes", "weekday")}
    return replace(bars, **rows, day=day, member=bars.member[:stop])


def _ordinal(n: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{n}{'th' if n % 100 in (11, 12, 13) else endings.get(n % 10, 'th')}"
