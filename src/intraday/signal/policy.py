"""Which signals a person hears about, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from math import isnan

from intraday.domain.arrays import IST_NS
from intraday.domain.events import Action, Alert, Signal

IST = timezone(timedelta(microseconds=IST_NS // 1000), "IST")
OBSERVE = "OBSERVE - no proven edge"
REASONS_TOLD = 3


class AlertPolicy:
    """BUY and SELL only. An instrument has one open at a time (``signal/one_open.py``), so none of them repeats another."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = tuple(symbols)

    def select(self, signals: Sequence[Signal]) -> list[Alert]:
        """Alerts for ``signals``, in their order."""
        return [
            Alert(s.decided_ns, "info", "signal", signal_text(s, self._symbols[s.inst]), s)
            for s in signals
            if s.action is not Action.HOLD
        ]


def signal_text(signal: Signal, symbol: str) -> str:
    """One line a person can act on, or is told not to: everything in rupees and IST."""
    said = f"{signal.action} {symbol} at {signal.price:.2f}{_chase(signal)}, {_levels(signal)}"
    size = f", quantity {signal.quantity:,}" if signal.quantity else ""
    worth = "" if isnan(signal.expected) else f", expected net {signal.expected * 1e4:+.1f} bps"
    until = f"enter by {clock_text(signal.valid_until_ns)} IST"
    text = f"{said}{size}, confidence {signal.confidence:.0%}{worth}, {until}{_reasons(signal)}"
    text = f"{text} ({signal.note})" if signal.note else text
    return f"{OBSERVE}: {text}" if signal.observe else text


def _chase(signal: Signal) -> str:
    if isnan(signal.chase):
        return ""
    return f" (not {'above' if signal.action is Action.BUY else 'below'} {signal.chase:.2f})"


def _levels(signal: Signal) -> str:
    if isnan(signal.stop):
        return "no stop or target, leave when the horizon is over"
    return f"stop {signal.stop:.2f}, target {signal.target:.2f}"


def _reasons(signal: Signal) -> str:
    named = ", ".join(f"{name} {part:+.2f}" for name, part in signal.reasons[:REASONS_TOLD])
    return f"; because of {named}" if named else ""


def clock_text(ns: int, *, seconds: bool = False) -> str:
    """``11:05`` or ``11:05:02``, IST."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(IST).strftime("%H:%M:%S" if seconds else "%H:%M")
