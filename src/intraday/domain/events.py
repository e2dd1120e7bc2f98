"""What goes into the engine and what comes out: immutable facts.

Events carry ``now_ns``, the shell's clock when they happened; the engine reads no other. Effects are what the shell should do;
the engine itself does nothing to the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from intraday.domain.arrays import F4, I4, I8, Bars, Ticks


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the feed, decoded: TICK[n] in wire order."""

    now_ns: int
    ticks: Ticks


@dataclass(frozen=True, slots=True)
class Timer:
    """The shell's clock passed a minute boundary plus the configured grace."""

    now_ns: int


@dataclass(frozen=True, slots=True)
class LinkLost:
    """No feed, or not all of it, from here on; what closes meanwhile is a gap, not a candle. Another one, while lost, is a further
    part that went."""

    now_ns: int
    reason: str
    since_ns: int  # when what is lost now was last heard: a loss is noticed later than it happens
    inst: Sequence[int] = ()  # whose prices are missing now, dense rows ascending; all instruments' when empty


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The feed is back."""

    now_ns: int


@dataclass(frozen=True, slots=True)
class Backfilled:
    """One-minute bars fetched for minutes that were missed."""

    now_ns: int
    bars: Bars


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's wish, journalled like any other event."""

    now_ns: int
    name: str
    argument: str = ""


Event = Frame | Timer | LinkLost | LinkUp | Backfilled | Command


class Action(StrEnum):
    """What a signal says."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True)
class Signal:
    """One decision for one instrument at one decision bar. Prices in rupees, probabilities in 0..1 summing to one."""

    inst: int
    bar_ns: int  # open time of the decision bar
    decided_ns: int
    action: Action
    confidence: float  # calibrated probability of what `action` says
    p_down: float
    p_hold: float
    p_up: float
    price: float  # close of the decision bar
    stop: float  # NaN for HOLD, and where the labels have no barriers: the trade ends with the horizon
    target: float  # likewise
    valid_until_ns: int
    observe: bool  # True: the model's verdict is not "edge", do not trade on it
    model_id: str
    expected: float = float("nan")  # net return expected of the better side, whatever `action` says, as a fraction of the price
    chase: float = float("nan")  # beyond this entry price nothing is left of `expected`: do not chase it; NaN for HOLD
    quantity: int = 0  # shares or contracts suggested for the configured capital and risk; 0 for HOLD
    reasons: tuple[tuple[str, float], ...] = ()  # features that spoke for it, largest part of the score first; none for HOLD
    note: str = ""  # why it is a HOLD although the model wanted more ("open signal", "no shorts: ..."), or what limits it


@dataclass(frozen=True, slots=True)
class SaveBars:
    """One-minute bars that closed, or late corrections of them (flag LATE)."""

    bars: Bars
    known_ns: int


@dataclass(frozen=True, slots=True)
class SaveFeatures:
    """Feature vectors of one decision bar: ``inst`` int32[b], ``x`` float32[b, F]."""

    bar_ns: int
    inst: I4
    x: F4
    known_ns: int


@dataclass(frozen=True, slots=True)
class SaveSignals:
    """Decisions of one decision bar, in order of ``inst``."""

    bar_ns: int
    signals: Sequence[Signal]


@dataclass(frozen=True, slots=True)
class CountRejects:
    """Ticks refused since the last minute closed: ``n`` int64[k] of them, by ``inst`` int32[k] (as it came, it may be unknown),
    ``minute_ns`` int64[k] of the tick's stamp, and ``reason``."""

    now_ns: int
    inst: I4
    minute_ns: I8
    reason: Sequence[str]
    n: I8


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should read."""

    now_ns: int
    level: str  # info, warning, error
    topic: str
    text: str
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class RequestBackfill:
    """Minutes that are missing: open times ``start_ns <= t < end_ns`` of ``inst`` (all instruments when empty)."""

    start_ns: int
    end_ns: int
    reason: str
    inst: Sequence[int] = field(default_factory=tuple)


Effect = SaveBars | SaveFeatures | SaveSignals | CountRejects | Alert | RequestBackfill
