"""Which candles are still to be asked for, and in which requests. Pure.

A day of an instrument is missing until it was fetched completely. Missing days that follow each other in the session table become
one span, which the interval's cap in days cuts into requests. The order is newest first, in turns over the instruments: a run that
is interrupted leaves every instrument with its latest history, which is what live work starts from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, zip_longest

from intraday.domain.arrays import DAY_NS, MINUTE_NS
from intraday.domain.session import Session


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request: consecutive sessions, ascending and never empty, of the target at position ``target`` of the caller's list."""

    target: int
    sessions: tuple[Session, ...]

    @property
    def start_ns(self) -> int:
        """Open time of its first minute."""
        return self.sessions[0].open_ns

    @property
    def end_ns(self) -> int:
        """Open time of its last minute: both ends of a request are inclusive."""
        return self.sessions[-1].close_ns - MINUTE_NS

    @property
    def span_days(self) -> int:
        """Its length in whole days, as the broker counts it: more than the cap is refused (KITE_SPEC 11.1)."""
        return _span_days(self.sessions[0], self.sessions[-1])


def plan(sessions: Sequence[Sequence[Session]], complete: Sequence[Collection[date]], cap_days: int) -> list[Chunk]:
    """Requests for everything missing. ``sessions[k]``: of target k, ascending; ``complete[k]``: its days that are not asked again.

    Every missing session lies in exactly one chunk, no chunk reaches over a complete one, none is longer than ``cap_days``.
    """
    columns = [
        [Chunk(k, part) for span in reversed(spans(mine, done)) for part in cut(span, cap_days)]
        for k, (mine, done) in enumerate(zip(sessions, complete, strict=True))
    ]
    return [chunk for chunk in chain.from_iterable(zip_longest(*columns)) if chunk is not None]


def spans(sessions: Sequence[Session], complete: Collection[date]) -> list[tuple[Session, ...]]:
    """Runs of sessions that are not in ``complete``, ascending: nights, weekends and holidays do not end a run."""
    runs: list[list[Session]] = []
    joined = False
    for session in sessions:
        missing = session.day not in complete
        if missing and joined:
            runs[-1].append(session)
        elif missing:
            runs.append([session])
        joined = missing
    return [tuple(run) for run in runs]


def cut(span: Sequence[Session], cap_days: int) -> list[tuple[Session, ...]]:
    """The span in parts of at most ``cap_days``, newest part first, each as long as it may be; a session is never cut."""
    assert cap_days >= 0, cap_days
    parts: list[list[Session]] = []
    for session in reversed(span):
        if parts and _span_days(session, parts[-1][0]) <= cap_days:
            parts[-1].append(session)
        else:
            parts.append([session])
    return [tuple(reversed(part)) for part in parts]


def recut(chunks: Iterable[Chunk], cap_days: int) -> list[Chunk]:
    """The same requests in the same order under another cap: those that are too long are cut."""
    return [Chunk(chunk.target, part) for chunk in chunks for part in cut(chunk.sessions, cap_days)]


def _span_days(first: Session, last: Session) -> int:
    return (last.close_ns - MINUTE_NS - first.open_ns) // DAY_NS
