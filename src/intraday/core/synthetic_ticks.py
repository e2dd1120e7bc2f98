"""Packets of a made-up session in arrival order, clean or with the faults real feeds have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.core.synthetic_path import SECOND_NS, DayState, Path, Traits
from intraday.domain.arrays import MINUTE_NS, TICK, Ticks, empty
from intraday.domain.session import Session

MILLI_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class TickFaults:
    """How much goes wrong. Rates are shares of the clean packets.

    All but ``late`` and ``outage_s`` only add packets that a validator must reject: with those two at zero, a feed whose bad
    packets are dropped folds to exactly the clean bars. Each kind was seen in recorded feeds (shared/data/README.md, ticks).
    """

    repeats: float = 0.005  # the same packet again
    back_steps: float = 0.002  # an old packet again, 2 to 30 s later
    zero_times: float = 0.001  # exchange time 0
    regressions: float = 0.001  # cumulative volume lower than it was
    late: float = 0.01  # of the packets in the last two seconds of a minute: 2 to 5 s late, so after the boundary
    outage_s: int = 45  # one silence of the whole feed, somewhere in the session's middle
    stale_first: bool = True  # every instrument's first packet is the previous day's last
    out_of_hours: bool = True  # a pre-open print and prints after the close


CLEAN = TickFaults(0.0, 0.0, 0.0, 0.0, 0.0, 0, False, False)


def clean_ticks(rng: np.random.Generator, path: Path, traits: Traits) -> Ticks:
    """TICK[n]: one packet for every second with a trade; latency 120 to 900 ms, so an instrument's packets stay in order."""
    second, inst = np.nonzero(path.traded)
    ticks = empty(TICK, len(second))
    ticks["event_ns"] = path.open_ns + second * SECOND_NS
    latency = np.clip(np.exp(rng.normal(np.log(280.0), 0.35, len(second))), 120.0, 900.0)
    ticks["recv_ns"] = ticks["event_ns"] + (latency * MILLI_NS).astype(np.int64)
    ticks["inst"] = inst
    ticks["price"] = path.price[second, inst]
    ticks["volume"] = np.where(traits.is_index[inst], -1, path.volume[second, inst])
    return in_arrival_order(ticks)


def in_arrival_order(ticks: Ticks) -> Ticks:
    """Sorted by our clock, ties as they stand."""
    return ticks[np.argsort(ticks["recv_ns"], kind="stable")]


def add_faults(
    rng: np.random.Generator, ticks: Ticks, faults: TickFaults, path: Path, traits: Traits, last: DayState,
    last_ns: int, session: Session,
) -> Ticks:  # fmt: skip
    """The clean packets of ``session`` plus the faults, in arrival order. ``last`` and ``last_ns``: the previous session's end."""
    ticks = _make_late(rng, ticks, faults.late)
    parts = [
        ticks,
        _copies(rng, ticks, faults.repeats, 1, 400),
        _copies(rng, ticks, faults.back_steps, 2_000, 30_000),
        _zero_times(rng, ticks, faults.zero_times),
        _regressions(rng, ticks, faults.regressions),
    ]
    if faults.stale_first:
        parts.append(_stale_first(rng, traits, last, last_ns, session.begin_ns))
    if faults.out_of_hours:
        parts += [_pre_open(rng, path, traits, session), _after_close(rng, path, traits, session.close_ns)]
    return _cut_outage(rng, in_arrival_order(np.concatenate(parts)), faults.outage_s, session)


def _pick(rng: np.random.Generator, ticks: Ticks, share: float) -> Ticks:
    n = int(share * len(ticks))
    return ticks[np.sort(rng.integers(0, len(ticks), n))] if n else ticks[:0].copy()


def _copies(rng: np.random.Generator, ticks: Ticks, share: float, low_ms: int, high_ms: int) -> Ticks:
    out = _pick(rng, ticks, share)
    out["recv_ns"] += rng.integers(low_ms, high_ms, len(out)) * MILLI_NS
    return out


def _zero_times(rng: np.random.Generator, ticks: Ticks, share: float) -> Ticks:
    out = _copies(rng, ticks, share, 1, 50)
    out["event_ns"] = 0
    return out


def _regressions(rng: np.random.Generator, ticks: Ticks, share: float) -> Ticks:
    out = _copies(rng, ticks[ticks["volume"] > 1], share, 1, 50)
    out["volume"] = (out["volume"] * rng.uniform(0.3, 0.99, len(out))).astype(np.int64)
    return out


def _make_late(rng: np.random.Generator, ticks: Ticks, share: float) -> Ticks:
    out = ticks.copy()
    edge = (out["event_ns"] % MINUTE_NS) >= 58 * SECOND_NS
    late = edge & (rng.random(len(out)) < share)
    out["recv_ns"][late] += rng.integers(2_000, 5_000, int(late.sum())) * MILLI_NS
    return in_arrival_order(out)


def _all(traits: Traits, event_ns: NDArray[Any], recv_ns: NDArray[Any], price: NDArray[Any], volume: NDArray[Any]) -> Ticks:
    out = empty(TICK, len(traits.level))
    out["event_ns"], out["recv_ns"], out["price"] = event_ns, recv_ns, price
    out["inst"] = np.arange(len(out))
    out["volume"] = np.where(traits.is_index, -1, volume)
    return out


def _stale_first(rng: np.random.Generator, traits: Traits, last: DayState, last_ns: int, begin_ns: int) -> Ticks:
    n = len(traits.level)
    event = last_ns - rng.integers(1, 60, n) * SECOND_NS
    recv = begin_ns + rng.integers(0, 60_000, n) * MILLI_NS  # on connecting
    return _all(traits, event, recv, last.close, last.volume)


def _pre_open(rng: np.random.Generator, path: Path, traits: Traits, session: Session) -> Ticks:
    before = session.pre_open
    if before is None:
        return empty(TICK)
    event = np.full(len(traits.level), (before.random_end_ns + before.entry_end_ns) // 2)  # about when the match is
    return _all(traits, event, event + rng.integers(200, 900, len(event)) * MILLI_NS, path.price[0], path.auction)


def _after_close(rng: np.random.Generator, path: Path, traits: Traits, close_ns: int) -> Ticks:
    parts = []
    for k in range(3):
        event = close_ns + (k * 200 + rng.integers(1, 200, len(traits.level))) * SECOND_NS
        recv = event + rng.integers(200, 900, len(event)) * MILLI_NS
        parts.append(_all(traits, event, recv, path.price[-1], path.volume[-1] + 10 * k))
    return np.concatenate(parts)


def _cut_outage(rng: np.random.Generator, ticks: Ticks, seconds: int, session: Session) -> Ticks:
    if seconds == 0:
        return ticks
    start = int(session.open_ns + rng.uniform(0.3, 0.7) * (session.close_ns - session.open_ns))
    gone = (ticks["recv_ns"] >= start) & (ticks["recv_ns"] < start + seconds * SECOND_NS)
    return ticks[~gone]
