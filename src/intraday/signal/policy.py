"""Which signals a person hears about, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from math import isnan

from intraday.domain.arrays import IST_NS
from intraday.domain.events import Action, Alert, Signal

IST = timezone(timedelta(microseconds=IST_NS // 1000), "IST")
OBSERVE = "OBSERVE - no proven edge"


class AlertPolicy:
    """BUY and SELL only, each once per instrument and action within ``horizon_ns``; holds at most two times per instrument."""

    def __init__(self, symbols: Sequence[str], horizon_ns: int) -> None:
        self._symbols = tuple(symbols)
        self._horizon_ns = horizon_ns
        self._quiet_until: dict[tuple[int, Action], int] = {}

    def select(self, signals: Sequence[Signal]) -> list[Alert]:
        """Alerts for what is new among ``signals``, in their order. A signal that repeats one still running is not told again."""
        out: list[Alert] = []
        for signal in signals:
            key = (signal.inst, signal.action)
            if signal.action is Action.HOLD or signal.bar_ns < self._quiet_until.get(key, signal.bar_ns):
                continue
            self._quiet_until[key] = signal.bar_ns + self._horizon_ns
            out.append(Alert(signal.decided_ns, "info", "signal", signal_text(signal, self._symbols[signal.inst]), signal))
        return out


def signal_text(signal: Signal, symbol: str) -> str:
    """One line a person can act on, or is told not to: everything in rupees and IST."""
    levels = f"stop {signal.stop:.2f}, target {signal.target:.2f}"
    if isnan(signal.stop):
        levels = "no stop or target, leave when the horizon is over"
    said = f"{signal.action} {symbol} at {signal.price:.2f}, {levels}"
    text = f"{said}, confidence {signal.confidence:.0%}, enter by {clock_text(signal.valid_until_ns)} IST"
    return f"{OBSERVE}: {text}" if signal.observe else text


def clock_text(ns: int, *, seconds: bool = False) -> str:
    """``11:05`` or ``11:05:02``, IST."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(IST).strftime("%H:%M:%S" if seconds else "%H:%M")
