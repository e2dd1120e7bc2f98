"""NSE sessions as data: which days trade, from when to when. Everything that needs a time of day asks here.

The rows come from ``nse_sessions.csv`` beside this file (holidays and special sessions, each with its evidence); the regular
hours are dated rules below. Outside the table's range it raises: a guessed calendar is worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of one segment. All times int64 ns since the epoch, UTC.

    Continuous trading is ``open_ns <= t < close_ns``; the last one-minute bar opens at ``close_ns - 1 min``. ``square_off_ns``
    is when intraday positions must be gone. ``pauses`` are halts inside the day, each ``(start_ns, end_ns)``.
    """

    day: date
    number: int  # days since 1970-01-01; the session key in arrays
    open_ns: int
    close_ns: int
    square_off_ns: int
    kind: str = "regular"  # regular, special, muhurat, halt
    pauses: tuple[tuple[int, int], ...] = ()

    @property
    def minutes(self) -> int:
        """Length of continuous trading in minutes, pauses included."""
        return int((self.close_ns - self.open_ns) // 60_000_000_000)
