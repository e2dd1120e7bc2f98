"""One-minute candles once more, slowly, in plain Python.

Written apart from ``core.kernels.candle`` on purpose: it shares no line, no array and no number with it, so that one mistake
cannot hide in both. ``verify`` runs a journal through both and expects the same candles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from intraday.domain.events import Backfilled, Event, Frame, LinkLost, Timer
from intraday.domain.session import Session

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
FUTURE = 10 * 10**9


@dataclass(slots=True)
class SlowBar:
    """A candle: prices in paise, ``volume`` None for instruments without volume."""

    minute: int
    prices: list[int] = field(default_factory=list)
    base: int = 0
    total: int = 0
    partial: bool = False

    def row(self, late: bool) -> tuple[float, float, float, float, float | None, int, int]:
        """(open, high, low, close, volume, flags, n_ticks) in rupees."""
        p = self.prices
        volume = None if self.total < 0 else float(self.total - self.base)
        return p[0] / 100, max(p) / 100, min(p) / 100, p[-1] / 100, volume, (1 if self.partial else 0) + (2 if late else 0), len(p)


@dataclass(slots=True)
class SlowInstrument:
    """What is remembered of one instrument."""

    last: tuple[int, int, int] | None = None  # (event_ns, volume, price) of the last usable tick
    bar: SlowBar | None = None
    broken: bool = False  # the link was lost since the last tick
    odd: list[int] = field(default_factory=list)  # volumes refused in a row because the day's went down, or up too far


Waiting = tuple[int, int, SlowBar]  # a finished minute that was not handed out yet
Candle = tuple[int, int, tuple[float, float, float, float, float | None, int, int]]


def slow_candles(session: Session, closes: Sequence[int], events: Iterable[Event], grace_ns: int) -> list[Candle]:
    """Every candle an engine hands out for ``events``, in order: (open time, instrument, row), late ones again with flag 2.

    ``closes``: when the continuous trading of each instrument ends, ns UTC.
    """
    instruments = [SlowInstrument() for _ in closes]
    waiting: list[Waiting] = []
    handed: dict[tuple[int, int], tuple[int, bool]] = {}  # (minute, instrument) -> ticks, partial when it was handed out
    through = session.open_ns
    candles: list[Candle] = []
    for event in events:
        if isinstance(event, Frame):
            for tick in event.ticks.tolist():
                _tick(session, closes, instruments, waiting, tick)
        elif isinstance(event, LinkLost):
            lost = [instruments[i] for i in event.inst] if event.inst else instruments
            _lose(lost, min(event.since_ns, event.now_ns) // MINUTE * MINUTE)
        elif isinstance(event, Backfilled):
            candles += [_given(bar) for bar in event.bars.tolist()]
        elif isinstance(event, Timer):
            until = min((event.now_ns - grace_ns) // MINUTE * MINUTE, max(closes))
            if until > session.open_ns:
                candles += _hand_out(instruments, waiting, handed, through, until)
                through = max(through, until)
    return candles


def _lose(instruments: Iterable[SlowInstrument], last: int) -> None:
    """Their link went in the minute ``last``."""
    for it in instruments:
        it.broken = True
        if it.bar is not None and it.bar.minute == last:
            it.bar.partial = True


def _given(bar: tuple[float, ...]) -> Candle:
    """A backfilled candle as it is stored: late."""
    ts_ns, inst, flags, o, h, low, c, volume, n = bar
    return int(ts_ns), int(inst), (o, h, low, c, None if volume != volume else volume, int(flags) | 2, int(n))


def _hand_out(
    instruments: list[SlowInstrument],
    waiting: list[Waiting],
    handed: dict[tuple[int, int], tuple[int, bool]],
    through: int,
    until: int,
) -> Iterator[Candle]:
    """Minutes that end by ``until``, unless nothing is new about them. Those before ``through`` are late."""
    open_bars = [(it.bar.minute, i, it.bar) for i, it in enumerate(instruments) if it.bar is not None]
    due = [w for w in waiting + open_bars if w[0] + MINUTE <= until]
    waiting[:] = [w for w in waiting if w[0] + MINUTE > until]
    for minute, i, bar in sorted(due, key=lambda w: w[:2]):
        if handed.get((minute, i)) != (len(bar.prices), bar.partial):
            handed[minute, i] = (len(bar.prices), bar.partial)
            yield minute, i, bar.row(minute < through)


def _tick(
    session: Session, closes: Sequence[int], instruments: list[SlowInstrument], waiting: list[Waiting], tick: tuple[int, ...]
) -> None:
    event_ns, _, i, price, volume = tick
    if not _possible(session, closes, tick) or not _follows(instruments[i], event_ns, volume, price):
        return
    it = instruments[i]
    untold = it.last is not None and it.last[1] < 0 <= volume  # the first tick with a volume
    if it.last is not None and (untold or volume < it.last[1]):  # or the volume held until now was wrong
        it.broken = True
        if it.bar is not None:
            it.bar.base = volume if untold else min(it.bar.base, volume)
    minute = event_ns // MINUTE * MINUTE
    if it.bar is None or it.bar.minute != minute:
        if it.bar is not None:
            waiting.append((it.bar.minute, i, it.bar))
        it.bar = SlowBar(minute)
        if it.broken:
            it.bar.base, it.bar.partial = volume, True
        elif it.last is not None:
            it.bar.base = it.last[1]
    elif it.broken:
        it.bar.partial = True
    it.broken = False
    it.bar.prices.append(price)
    it.bar.total = volume
    it.last = (event_ns, volume, price)


def _follows(it: SlowInstrument, event_ns: int, volume: int, price: int) -> bool:
    """Whether a tick may follow the instrument's last one. Ten in a row that agree on an unlikely volume may."""
    if it.last is None:
        return True
    if event_ns < it.last[0] or (event_ns, volume, price) == it.last:
        return False
    leapt = it.last[1] >= 0 and volume - it.last[1] > max(100_000_000, 20 * it.last[1])
    if volume >= it.last[1] and not leapt:
        it.odd.clear()
        return True
    if it.odd and volume < it.odd[-1]:
        it.odd.clear()
    it.odd.append(volume)
    if len(it.odd) < 10:
        return False
    it.odd.clear()
    return True


def _possible(session: Session, closes: Sequence[int], tick: tuple[int, ...]) -> bool:
    """Whether a tick can be one of the session, whatever came before it."""
    event_ns, recv_ns, i, price, _ = tick
    midnight = session.number * DAY - 330 * MINUTE
    if not 0 <= i < len(closes) or price <= 0 or not midnight <= event_ns < midnight + DAY:
        return False
    if any(a <= event_ns < b for a, b in session.pauses):
        return False
    return session.open_ns <= event_ns < closes[i] and event_ns <= recv_ns + FUTURE
