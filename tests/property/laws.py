"""What every feature must obey, as functions that take whatever computes it and raise AssertionError when it does not.

``Make`` builds a fresh calculator for the instruments whose ``has_volume`` it is given. NaN equals NaN; everything else is
compared bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intraday.core.panel import Day
from intraday.domain.arrays import BAR, F4, I8, MINUTE_NS, Bars, Mask, Panel

PRICES = ("open", "high", "low", "close", "volume")


class Calculator(Protocol):
    def batch(self, panel: Panel) -> F4: ...
    def update(self, bars: Bars, ts_ns: int, day: Day) -> F4: ...
    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> None: ...
    def columns(self, keep: I8) -> Any: ...


Make = Callable[[Mask], Calculator]


def same(found: NDArray[Any], expected: NDArray[Any], what: str, make: object = None) -> None:
    """Bit for bit. A ``make`` that has ``names`` names the feature that differs."""
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    equal = (found.view(np.int32) == expected.view(np.int32)) | (np.isnan(found) & np.isnan(expected))
    if not equal.all():
        at = tuple(int(i) for i in np.argwhere(~equal)[0])
        names = getattr(make, "names", ())
        name = names[at[-1]] if names else ""
        raise AssertionError(f"{what}: {name} at {at} found {found[at]!r}, expected {expected[at]!r}")


def volumes(panel: Panel) -> Mask:
    """Instruments of the panel that have volume."""
    return np.asarray(~np.isnan(panel.volume).all(axis=0), np.bool_)


def chunks(make: Make, panel: Panel, cuts: Sequence[int]) -> None:
    """Consecutive chunks give what one call gives."""
    whole = make(volumes(panel)).batch(panel)
    calculator = make(volumes(panel))
    edges = [0, *sorted(cuts), len(panel)]
    parts = [calculator.batch(panel.rows(a, b)) for a, b in zip(edges, edges[1:], strict=False)]
    same(np.concatenate(parts), whole, f"chunks {edges}", make)


def steps(make: Make, panel: Panel, rng: np.random.Generator) -> None:
    """One decision bar at a time, its rows in any order, gives what batch gives."""
    whole = make(volumes(panel)).batch(panel)
    calculator = make(volumes(panel))
    for t in range(len(panel)):
        inst = rng.permutation(np.flatnonzero(panel.mask[t]))
        found = calculator.update(bars_at(panel, t, inst), int(panel.ts_ns[t]), day_at(panel, t))
        same(found, whole[t, inst], f"step {t}", make)


def day_at(panel: Panel, t: int) -> Day:
    open_ns = int(panel.ts_ns[t] - round(panel.minute[t] * MINUTE_NS))
    return Day(int(panel.session[t]), open_ns, panel.minutes[t], panel.member[t])


def bars_at(panel: Panel, t: int, inst: NDArray[Any]) -> Bars:
    bars = np.zeros(len(inst), BAR)
    bars["ts_ns"], bars["inst"] = panel.ts_ns[t], inst
    for name in PRICES:
        bars[name] = getattr(panel, name)[t, inst]
    return bars


def instruments(make: Make, panel: Panel, keep: I8, cut: int) -> None:
    """Other instruments change nothing, neither from the start nor when some are dropped half-way."""
    whole = make(volumes(panel)).batch(panel)
    same(make(volumes(panel)[keep]).batch(panel.columns(keep)), np.ascontiguousarray(whole[:, keep]), f"instruments {keep}", make)
    calculator = make(volumes(panel))
    calculator.batch(panel.rows(0, cut))
    rest = calculator.columns(keep).batch(panel.columns(keep).rows(cut, len(panel)))
    same(rest, np.ascontiguousarray(whole[cut:, keep]), f"instruments {keep} from {cut}", make)


def truncation(make: Make, panel: Panel, cut: int) -> None:
    """The future changes no past: neither its absence nor another one."""
    whole = make(volumes(panel)).batch(panel)
    same(make(volumes(panel)).batch(panel.rows(0, cut)), whole[:cut], f"truncated at {cut}", make)
    other = {name: getattr(panel, name).copy() for name in PRICES}
    for name in PRICES:
        other[name][cut:] *= 1.5 if name != "volume" else 3.0
    same(make(volumes(panel)).batch(dataclasses.replace(panel, **other))[:cut], whole[:cut], f"another future from {cut}", make)


def shuffled(make: Callable[[Mask, int], Calculator], panel: Panel, index: int, order: I8) -> None:
    """The order of the columns changes the order of the columns. ``make`` takes the index's row too."""
    whole = make(volumes(panel), index).batch(panel)
    other = make(volumes(panel)[order], int(np.flatnonzero(order == index)[0])).batch(panel.columns(order))
    same(other, np.ascontiguousarray(whole[:, order]), f"columns {order}", make)


def outsiders(make: Callable[[Mask, int], Calculator], panel: Panel, index: int, outside: I8) -> None:
    """What is compared with nobody changes nobody's values: not its prices, not its presence. Neither does the absent's."""
    member = panel.member.copy()
    member[:, outside] = False
    panel = dataclasses.replace(panel, member=member)
    inside = np.setdiff1d(np.arange(panel.n_instruments), outside)
    whole = np.ascontiguousarray(make(volumes(panel), index).batch(panel)[:, inside])
    other = {name: getattr(panel, name).copy() for name in (*PRICES, "mask")}
    for name in PRICES:
        other[name][:, outside] = other[name][:, outside][::-1] * 7.0
    found = make(volumes(panel), index).batch(dataclasses.replace(panel, **{**other, "mask": panel.mask}))
    same(np.ascontiguousarray(found[:, inside]), whole, f"other prices of {outside}", make)
    other["mask"][:, outside] = False
    found = make(volumes(panel), index).batch(dataclasses.replace(panel, **other))
    same(np.ascontiguousarray(found[:, inside]), whole, f"without {outside}", make)


def absences(make: Make, panel: Panel, extra: Sequence[int]) -> None:
    """Rows in which no instrument has a bar change nothing and give NaN; what stands in a masked cell is never read."""
    whole = make(volumes(panel)).batch(panel)
    source = np.sort(np.concatenate([np.arange(len(panel)), np.asarray(extra, np.int64)]))
    empty = np.concatenate([[False], source[1:] == source[:-1]])
    wide = {
        name: getattr(panel, name)[source].copy() for name in (*PRICES, "ts_ns", "session", "minute", "minutes", "member", "mask")
    }
    wide["mask"][empty] = False
    for name in PRICES:
        wide[name][~wide["mask"]] = -12345.0
    found = make(volumes(panel)).batch(Panel(panel.timeframe, **wide))
    same(found[~empty], whole, "empty rows in between", make)
    assert np.isnan(found[~wide["mask"]]).all(), "a value without a bar"


def recovery(make: Make, panel: Panel, cut: int) -> None:
    """A restored snapshot goes on where the original stood, as often as it is restored."""
    whole = make(volumes(panel)).batch(panel)
    first = make(volumes(panel))
    first.batch(panel.rows(0, cut))
    snapshot = first.snapshot()
    for calculator in (make(volumes(panel)), first):
        calculator.batch(panel.rows(0, len(panel) // 2))
        calculator.restore(snapshot)
        same(calculator.batch(panel.rows(cut, len(panel))), whole[cut:], f"restored at {cut}", make)


def anchored(compute: Callable[[Panel], F4], panel: Panel, cut: int) -> None:
    """What was loaded before the anchor, row ``cut``, changes nothing from it on."""
    same(compute(panel)[cut:], compute(panel.rows(cut, len(panel))), f"history before {cut}")


def warmup(make: Make, panel: Panel, bars: int, sessions: int, exact: bool = True) -> None:
    """On a panel where every instrument trades in every row: NaN through the declared warm-up, finite from its end on.

    Not ``exact``: the declared warm-up is a bound.
    """
    assert panel.mask.all() and (panel.volume > 0).all()
    starts = np.flatnonzero(np.diff(panel.session, prepend=panel.session[0] - 1))
    first = max(bars, int(starts[sessions]))
    values = make(volumes(panel)).batch(panel)
    assert not exact or np.isnan(values[:first]).all(), f"a value before bar {first}"
    assert np.isfinite(values[first:]).all(), f"NaN from bar {first} on"
