"""The exchange as one object: what its REST handlers, its stream and its scenario share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from intraday.domain.clock import Clock
from intraday.domain.session import SessionTable, day_of
from intraday.sim.accounts import Accounts
from intraday.sim.book import QuoteBook
from intraday.sim.candles import History
from intraday.sim.knobs import Knobs
from intraday.sim.limits import Meter
from intraday.sim.listing import SimInstrument
from intraday.sim.tape import Tape


@dataclass(slots=True)
class Exchange:
    """One simulated exchange. Its time is ``clock``'s; ``day`` is the day it was opened on."""

    tape: Tape
    clock: Clock
    day: date
    knobs: Knobs
    accounts: Accounts
    book: QuoteBook
    limits: Meter
    sessions: SessionTable
    speed: float = 1.0
    history: History = field(init=False)
    by_token: Mapping[int, SimInstrument] = field(init=False)
    by_key: Mapping[str, SimInstrument] = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.tape, self.knobs.candles, self.knobs.seed)
        self.by_token = {row.token: row for row in self.tape.instruments}
        self.by_key = {row.key: row for row in self.tape.instruments}

    @classmethod
    def open(cls, tape: Tape, clock: Clock, knobs: Knobs | None = None, speed: float = 1.0) -> Exchange:
        """An exchange over ``tape`` with everything else at its default; the day is the clock's."""
        knobs = knobs or Knobs()
        day = day_of(clock.now_ns())
        book = QuoteBook(tape, day, knobs.seed, knobs.updates_per_s)
        accounts = Accounts(clock, knobs.auth, seed=knobs.seed)
        return cls(tape, clock, day, knobs, accounts, book, Meter(clock), tape.sessions, speed)
