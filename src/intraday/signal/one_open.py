"""The signals of one session: each by its instrument's hours, one open per instrument at a time, each with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from intraday.core.candles import closes
from intraday.core.open_signals import OpenSignals
from intraday.core.panel import Day
from intraday.domain.arrays import F4, F8, MINUTE_NS, Bars
from intraday.domain.events import Action, Signal
from intraday.domain.session import Session, with_auction
from intraday.signal.policy import clock_text

SIDES = {Action.BUY: 1, Action.SELL: -1, Action.HOLD: 0}
NAN = float("nan")

Reasons = tuple[tuple[str, float], ...]
Explain = Callable[[F4, NDArray[np.int8]], Sequence[Reasons]]  # feature vectors [k, F] and the sides said of them


class Decider(Protocol):
    """Hop 8, as ``signal.generator.SignalGenerator`` does it."""

    def decide(self, bars: Bars, sigma: F4, p: F8, now_ns: int, session: Session, x: F4 | None = None) -> Sequence[Signal]:
        """Signals of one decision bar, in order of ``bars``; ``x`` are its features."""
        ...


class SessionSignals:
    """One session's signals, decision bar after decision bar.

    A BUY or SELL of an instrument whose last one is still open becomes a HOLD that says since when. ``day`` says how long each
    instrument trades and who gets signals; ``opened`` None: nobody asks what is open; ``explain`` None: no reasons.
    """

    def __init__(
        self, session: Session, day: Day, timeframe: int, decider: Decider,
        opened: OpenSignals | None = None, explain: Explain | None = None,
    ) -> None:  # fmt: skip
        self._session = session
        self._early = with_auction(session)
        self._first = (closes(day) == self._early.close_ns) & self._early.auction
        self._decided = np.ones(len(day.minutes), np.bool_) if day.decided is None else day.decided
        self._timeframe = timeframe
        self._decider = decider
        self._opened = opened
        self._explain = explain

    def follow(self, minutes: Bars, until_ns: int) -> None:
        """The one-minute bars that closed by ``until_ns`` since the last call, each once; decisions up to there know them."""
        if self._opened is not None:
            self._opened.follow(minutes, until_ns)

    def decide(self, bars: Bars, x: F4, sigma: F4, p: F8, now_ns: int) -> Sequence[Signal]:
        """Signals of one decision bar in order of ``bars`` (BAR[b], ascending ``inst``), whose minutes were all followed.

        ``x`` float32 [b, F] are its features, ``sigma`` [b] and ``p`` [b, 3] what the decider wants.

        Each by the hours of its own instrument: those of closing-auction stocks end earlier, and so do their last entries and
        exits. Futures are decided on, as they are labelled, by the cash market's. Who is only compared with gets none.
        """
        inst = bars["inst"]
        first, named = self._first[inst], self._decided[inst]
        found: list[Signal] = []
        for hours, rows in ((self._early, first & named), (self._session, ~first & named)):
            if rows.any():
                said = self._decider.decide(bars[rows], sigma[rows], p[rows], now_ns, hours, x[rows])
                found += self._one_each(said, hours)
        return self._with_reasons(sorted(found, key=lambda signal: signal.inst), bars, x)

    def _one_each(self, said: Sequence[Signal], hours: Session) -> Sequence[Signal]:
        """Only those of free instruments stay BUY or SELL, and are open from now on."""
        if self._opened is None or not said:
            return said
        since = self._opened.since(np.array([s.inst for s in said], np.int64))
        out = [_held(s, int(ns)) if ns and SIDES[s.action] else s for s, ns in zip(said, since.tolist(), strict=True)]
        given = [s for s in out if SIDES[s.action]]
        if given:
            columns = (
                [s.inst for s in given],
                [SIDES[s.action] for s in given],
                [s.target for s in given],
                [s.stop for s in given],
            )
            inst, side, target, stop = (np.array(c) for c in columns)
            closed_ns = min(given[0].bar_ns + self._timeframe * MINUTE_NS, hours.close_ns)
            self._opened.add(inst, side.astype(np.int8), target, stop, closed_ns, hours)
        return out

    def _with_reasons(self, signals: list[Signal], bars: Bars, x: F4) -> list[Signal]:
        """HOLDs have none: nobody acts on them, and reasons cost as much as a thousand predictions."""
        given = [k for k, s in enumerate(signals) if SIDES[s.action]]
        if self._explain is None or not given:
            return signals
        rows = np.searchsorted(bars["inst"], [signals[k].inst for k in given])
        side = np.array([SIDES[signals[k].action] for k in given], np.int8)
        for k, reasons in zip(given, self._explain(x[rows], side), strict=True):
            signals[k] = replace(signals[k], reasons=reasons)
        return signals


def _held(signal: Signal, since_ns: int) -> Signal:
    return replace(
        signal, action=Action.HOLD, confidence=signal.p_hold, stop=NAN, target=NAN, chase=NAN, quantity=0,
        note=f"open signal since {clock_text(since_ns)}",
    )  # fmt: skip
