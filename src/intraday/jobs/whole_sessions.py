"""Whether the candles of declared sessions are all there: a test is decided once, so not on what a recorder happened to catch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from statistics import median

import numpy as np

from intraday.app import System
from intraday.domain.arrays import MINUTE_NS
from intraday.domain.gaps import expected_minutes
from intraday.domain.session import Session

SHARE = 0.9  # of the instruments, and of the candles that one of them usually has
BEFORE = timedelta(days=60)  # what is usual: these days up to the declaration
LAST_NS = 15 * MINUTE_NS  # in its last minutes a session has candles of most instruments, unless its recorder died

Counts = dict[date, dict[int, int]]  # best candles by day and instrument's id


def lacking(system: System, declared: date, sessions: Sequence[Session]) -> dict[date, str]:
    """Those of ``sessions`` (all over) that are not whole, with what is missing, in words.

    Expected are the members of the day that had candles in the 60 days up to ``declared``. One is there when the broker answered
    for its whole session, or when it has 90 % of its usual candles; a session is whole when 90 % of the expected are there. Where
    fewer than half of those told by their number have a candle in the last 15 minutes, the others are not there.
    """
    counts = _counts(system, declared - BEFORE)
    usual = _usual(counts, system.sessions.between(declared - BEFORE, declared))
    found = {session.day: _lack(system, session, counts.get(session.day, {}), usual) for session in sessions}
    return {day: words for day, words in found.items() if words}


def _counts(system: System, first: date) -> Counts:
    ids = system.membership().ids
    counts: Counts = defaultdict(dict)
    for number, day, n in system.stores.bars.coverage():
        if number in ids and day >= first:
            counts[day][number] = n
    return counts


def _usual(counts: Counts, sessions: Sequence[Session]) -> dict[int, float]:
    """The share of a session's minutes that have a candle, by instrument's id: the median of its days with any."""
    shares: dict[int, list[float]] = defaultdict(list)
    for session in sessions:
        minutes = expected_minutes([session]).size
        for number, n in counts.get(session.day, {}).items():
            shares[number].append(n / minutes)
    return {number: median(known) for number, known in shares.items()}


def _lack(system: System, session: Session, counts: dict[int, int], usual: dict[int, float]) -> str:
    """Empty: nothing."""
    if not any(counts.values()):
        return "no candles"
    expected = system.membership().on(session.day) & usual.keys()
    answered = _answered(system, session, sorted(expected))
    minutes = expected_minutes([session]).size
    counted = {i for i in expected - answered if counts.get(i, 0) >= SHARE * usual[i] * minutes}
    late = _late(system, session, sorted(counted))
    there = answered | (counted if 2 * len(late) >= len(counted) else late)
    if len(there) >= SHARE * len(expected):
        return ""
    names = sorted(i.key for i in system.stores.instruments.all() if i.id in expected - there)
    some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return f"{len(there)} of {len(expected)} instruments are whole, not {some}"


def _answered(system: System, session: Session, ids: Sequence[int]) -> set[int]:
    """Instruments of which the broker was asked for the whole session, and did not come back empty for once."""
    found = system.stores.fetches.fetched(ids, session.day, session.day)
    return {f.instrument_id for f in found if f.until_ns >= session.close_ns and (f.complete or f.empty_ns is None)}


def _late(system: System, session: Session, ids: Sequence[int]) -> set[int]:
    """Instruments with a candle in the session's last minutes."""
    if not ids:
        return set()
    bars = system.stores.bars.read(ids, session.close_ns - LAST_NS, session.close_ns)
    return {ids[k] for k in np.unique(bars["inst"]).tolist()}
