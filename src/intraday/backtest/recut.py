"""The same recording, told differently: other frames, fewer instruments. Nothing the engine says may depend on either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from intraday.domain.arrays import I8
from intraday.domain.events import Backfilled, Event, Frame, LinkLost

MERGE_MAX = 1_000_000  # ticks


def recut(events: Iterable[Event], rng: np.random.Generator, merge_max: int = MERGE_MAX) -> Iterator[Event]:
    """Merge the frames between two other events and cut them again at random places."""
    held: list[Frame] = []
    n = 0
    for event in events:
        if isinstance(event, Frame):
            held.append(event)
            n += len(event.ticks)
            if n < merge_max:
                continue
        yield from _cut(held, rng)
        held, n = [], 0
        if not isinstance(event, Frame):
            yield event
    yield from _cut(held, rng)


def _cut(frames: list[Frame], rng: np.random.Generator) -> Iterator[Frame]:
    if not frames:
        return
    ticks = np.concatenate([f.ticks for f in frames])
    cuts = np.sort(rng.integers(0, len(ticks) + 1, size=int(rng.integers(0, len(frames) + 2))))
    for part in np.split(ticks, cuts):
        yield Frame(frames[-1].now_ns, part)


def keep_instruments(events: Iterable[Event], keep: I8, n_instruments: int) -> Iterator[Event]:
    """Only the ticks, bars and losses of the dense rows ``keep`` (ascending), renumbered 0..len(keep)-1."""
    row = np.full(n_instruments, -1, np.int32)
    row[keep] = np.arange(len(keep), dtype=np.int32)
    for event in events:
        if isinstance(event, Frame):
            known = (event.ticks["inst"] >= 0) & (event.ticks["inst"] < n_instruments)
            ticks = event.ticks[known]
            ticks = ticks[row[ticks["inst"]] >= 0]
            ticks["inst"] = row[ticks["inst"]]
            yield Frame(event.now_ns, ticks)
        elif isinstance(event, Backfilled):
            bars = event.bars[row[event.bars["inst"]] >= 0]
            bars["inst"] = row[bars["inst"]]
            yield Backfilled(event.now_ns, bars)
        elif isinstance(event, LinkLost) and event.inst:
            lost = tuple(int(r) for r in row[list(event.inst)] if r >= 0)
            if lost:
                yield replace(event, inst=lost)
        else:
            yield event
