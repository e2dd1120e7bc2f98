"""A seeded, made-up market for the demo, the simulator, controls and tests: bars and ticks of the same second-by-second path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from intraday.core.synthetic_path import DayState, Path, draw_path, draw_traits, first_state
from intraday.core.synthetic_ticks import TickFaults, add_faults, clean_ticks
from intraday.domain.arrays import BAR, DAY_NS, F8, I8, MINUTE_NS, Bars, Mask, Ticks, empty
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import Session

DEFAULT_EDGE = 2.0  # found net of costs by the default trainer within 30 sessions: docs/synthetic.md


@dataclass(frozen=True, slots=True)
class SyntheticSpec:
    """What to make up. The same spec and sessions give the same market, bit for bit.

    ``edge``: strength of the planted predictability (momentum for an hour after a burst of volume; the exact rule is in
    ``synthetic_path.add_edge``); 0 is a martingale. ``with_index``: the last instrument is an index, without volume.
    """

    instruments: int = 20
    seed: int = 7
    edge: float = DEFAULT_EDGE
    with_index: bool = True
    faults: TickFaults = field(default_factory=TickFaults)


class SyntheticMarket:
    """Sessions are drawn in order, each from its own seed (seed, session number) and the state the previous one left.

    Asking for session i draws the ones before it once; only what a session hands on ([S] numbers) is remembered, so the answer
    never depends on what was asked before. Cost: about 50 ms a session for 20 instruments.
    """

    def __init__(self, spec: SyntheticSpec, sessions: Sequence[Session]) -> None:
        assert spec.instruments > int(spec.with_index), spec
        self._spec = spec
        self._sessions = tuple(sessions)
        self._traits = draw_traits(self._rng(0, 0), spec.instruments, spec.with_index)
        self._states: list[DayState] = [first_state(self._traits)]

    @property
    def instruments(self) -> list[Instrument]:
        """``NSE:SYN01`` and so on in order of ``inst``; the index, if any, is last and called ``SYNIDX``."""
        return [
            Instrument("NSE", "SYNIDX" if index else f"SYN{i + 1:02d}", Kind.INDEX if index else Kind.EQUITY, int(tick))
            for i, (tick, index) in enumerate(zip(self._traits.tick, self._traits.is_index, strict=True))
        ]

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions it was given."""
        return self._sessions

    def bars(self, i_session: int) -> Bars:
        """BAR[n] of one session, ordered by (ts, inst): one-minute bars of the clean path; a minute without a trade is absent."""
        return _fold(self._path(i_session), self._traits.is_index)

    def ticks(self, i_session: int, faults: TickFaults | None = None) -> Ticks:
        """TICK[n] of one session in order of ``recv_ns``, with ``faults`` (None: those of the spec; ``CLEAN``: none at all).

        Clean ticks fold to exactly ``bars(i_session)``. Packets exist only for seconds with a trade; the index has one a second.
        """
        faults = self._spec.faults if faults is None else faults
        session, path = self._sessions[i_session], self._path(i_session)
        rng = self._rng(session.number, 2)
        ticks = clean_ticks(rng, path, self._traits)
        last_ns = self._sessions[i_session - 1].close_ns if i_session else session.close_ns - DAY_NS
        return add_faults(rng, ticks, faults, path, self._traits, self._states[i_session], last_ns, session)

    def _rng(self, number: int, stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._spec.seed, number, stream])))

    def _path(self, i_session: int) -> Path:
        assert 0 <= i_session < len(self._sessions), (i_session, len(self._sessions))
        for i in range(len(self._states) - 1, i_session):
            self._draw(i)
        return self._draw(i_session)

    def _draw(self, i: int) -> Path:
        session = self._sessions[i]
        rng = self._rng(session.number, 1)
        path, after = draw_path(rng, self._traits, self._states[i], session.open_ns, session.minutes, self._spec.edge)
        if len(self._states) == i + 1:
            self._states.append(after)
        for start_ns, end_ns in session.pauses:
            path.traded[(start_ns - session.open_ns) // 10**9 : (end_ns - session.open_ns) // 10**9] = False
        return path


def _fold(path: Path, index: Mask) -> Bars:
    """Bars of a path, minute by minute in whole-array steps: an answer made without the candle kernel it is used to test."""
    n, n_inst = path.price.shape
    traded = path.traded.reshape(n // 60, 60, n_inst)
    price = path.price.reshape(traded.shape)
    mask = traded.any(axis=1)
    minute, inst = np.nonzero(mask)
    first = traded.argmax(axis=1)[mask]
    last = 59 - traded[:, ::-1].argmax(axis=1)[mask]
    bars = empty(BAR, len(minute))
    bars["ts_ns"] = path.open_ns + minute * MINUTE_NS
    bars["inst"] = inst
    bars["open"] = price[minute, first, inst] / 100.0
    bars["close"] = price[minute, last, inst] / 100.0
    bars["high"] = np.where(traded, price, 0).max(axis=1)[mask] / 100.0
    bars["low"] = np.where(traded, price, np.iinfo(np.int32).max).min(axis=1)[mask] / 100.0
    bars["n_ticks"] = traded.sum(axis=1)[mask]
    bars["volume"] = _volume(path.volume[minute * 60 + last, inst], inst, n_inst)
    bars["volume"][index[inst]] = np.nan
    return bars


def _volume(total: I8, inst: I8, n_inst: int) -> F8:
    """Cumulative volume at each bar's end less that at the end of the instrument's bar before; the first counts from zero."""
    out = np.empty(len(total))
    for s in range(n_inst):
        rows = np.flatnonzero(inst == s)
        out[rows] = np.diff(total[rows], prepend=0)
    return out
