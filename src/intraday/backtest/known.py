"""*As known*: a journal through the engine again must give exactly the rows that were stored then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intraday.backtest.compare import Difference, Rows, compare, feature_rows, newest, no_features, signal_rows
from intraday.backtest.recut import keep_instruments, recut
from intraday.backtest.slowfold import slow_candles
from intraday.core.candles import HistoricalAggregator, closes, sort_bars
from intraday.core.features import FeatureCalculator
from intraday.core.overnight import opened_elsewhere
from intraday.core.panel import panel_of
from intraday.domain.arrays import BAR, I8, BarFlag, Bars, empty
from intraday.domain.events import Event, SaveBars, SaveFeatures, SaveSignals, Signal
from intraday.domain.session import SessionTable
from intraday.live.engine import Engine
from intraday.live.journal import JournalReader

BuildEngine = Callable[[JournalReader, I8], Engine]  # the engine of a journal, for the dense rows given
BuildCalculator = Callable[[JournalReader], FeatureCalculator]  # features in the state the journal starts from


@dataclass(frozen=True, slots=True)
class Rowset:
    """Candles, features and signals of one day, each ordered by (ts, inst) with one row a key."""

    bars: Bars
    features: Rows
    signals: Rows

    def since(self, start_ns: int) -> Rowset:
        """The rows of minutes and decision bars from ``start_ns`` on."""
        return Rowset(*(rows[rows["ts_ns"] >= start_ns] for rows in (self.bars, self.features, self.signals)))


@dataclass(frozen=True, slots=True)
class Check:
    """One recomputation: how many stored rows it covered and what it found."""

    name: str
    n_rows: int
    differences: tuple[Difference, ...]


class KnownVerifier:
    """Recomputes a journalled day in several ways and compares each with what is stored.

    ``from_ns``: what the run answers for; rows before are compared with nothing, stored or recomputed.
    """

    def __init__(
        self,
        engine: BuildEngine,
        calculator: BuildCalculator,
        sessions: SessionTable,
        names: Sequence[str],
        from_ns: int = 0,
        seed: int = 0,
    ) -> None:
        self._engine = engine
        self._calculator = calculator
        self._sessions = sessions
        self._names = names
        self._from_ns = from_ns
        self._seed = seed

    def checks(self, journal: JournalReader, stored: Rowset) -> Iterator[Check]:
        """One check after the other, cheapest news first."""
        n = len(journal.header.instruments)
        again, on_time = collect(self._engine(journal, np.arange(n)), journal.events(), np.arange(n), self._names)
        yield _whole(journal)
        yield self._check("the journal again", stored, again)
        rng = np.random.default_rng(self._seed)
        yield self._check("frames cut elsewhere", stored, self._run(journal, recut(journal.events(), rng), np.arange(n)))
        yield self._groups(journal, stored, rng.permutation(n))
        yield self._slow(journal, stored)
        yield self._batch(journal, stored, on_time)

    def _run(self, journal: JournalReader, events: Iterable[Event], keep: I8) -> Rowset:
        return collect(self._engine(journal, keep), events, keep, self._names)[0]

    def _check(self, name: str, stored: Rowset, again: Rowset) -> Check:
        stored, again = stored.since(self._from_ns), again.since(self._from_ns)
        found = [
            *compare("candle", name, stored.bars, again.bars),
            *compare("feature", name, stored.features, again.features),
            *compare("signal", name, stored.signals, again.signals),
        ]
        return Check(name, len(stored.bars) + len(stored.features) + len(stored.signals), tuple(found))

    def _groups(self, journal: JournalReader, stored: Rowset, order: I8) -> Check:
        """Each instrument in a group of another size: one alone, the rest in two halves.

        Where features look across instruments, those that are compared and the index are in every group.
        """
        shared = self._shared(journal)
        free = order[~np.isin(order, shared)]
        groups = [g for g in (free[:1], *np.array_split(free[1:], 2)) if len(g)] or [free]
        keeps = [np.sort(np.concatenate([g, shared])) for g in groups]
        parts = [self._run(journal, keep_instruments(journal.events(), keep, len(order)), keep) for keep in keeps]
        again = Rowset(
            *(newest(np.concatenate(rows)) for rows in zip(*((p.bars, p.features, p.signals) for p in parts), strict=True))
        )
        return self._check("other numbers of instruments", stored, again)

    def _shared(self, journal: JournalReader) -> I8:
        """Dense rows whose bars other instruments' features are made of."""
        header, chosen = journal.header, self._calculator(journal).feature_set
        if chosen.functions is not None:  # a function may look at whom it likes
            return np.arange(len(header.instruments))
        if not chosen.plan.across:
            return np.zeros(0, np.int64)
        compared = header.hours(self._sessions).member.copy()
        if header.index is not None:
            compared[header.index] = True
        return np.flatnonzero(compared)

    def _slow(self, journal: JournalReader, stored: Rowset) -> Check:
        name = "candles in plain Python"
        session = self._sessions.get(journal.header.day)
        ends = closes(journal.header.hours(self._sessions)).tolist()
        candles = slow_candles(session, ends, journal.events(), journal.header.grace_ns)
        rows = empty(BAR, len(candles))
        for k, (ts_ns, inst, (o, h, low, c, volume, flags, n)) in enumerate(candles):
            rows[k] = (ts_ns, inst, flags, o, h, low, c, np.nan if volume is None else volume, n)
        mine, again = (part[part["ts_ns"] >= self._from_ns] for part in (stored.bars, newest(rows)))
        return Check(name, len(mine), tuple(compare("candle", name, mine, again)))

    def _batch(self, journal: JournalReader, stored: Rowset, on_time: Bars) -> Check:
        """Features as HISTORICAL_MODE makes them: the day's on-time candles at once, from the same starting state."""
        name = "features in one batch"
        n = len(journal.header.instruments)
        decisions = HistoricalAggregator(n).aggregate(sort_bars(on_time), journal.header.timeframe)
        before = journal.header.hours(self._sessions).before
        if before is not None:
            decisions = decisions[~opened_elsewhere(decisions, before)[decisions["inst"]]]
        if len(decisions) == 0:
            return Check(name, 0, ())
        panel = panel_of(decisions, n, journal.header.timeframe, self._sessions, journal.header.lists)
        x = self._calculator(journal).batch(panel)
        t, inst = np.nonzero(panel.mask)
        rows = feature_rows(panel.ts_ns[t], inst.astype(np.int32), x[t, inst], self._names)
        mine, again = (part[part["ts_ns"] >= self._from_ns] for part in (stored.features, newest(rows)))
        return Check(name, len(mine), tuple(compare("feature", name, mine, again)))


def collect(engine: Engine, events: Iterable[Event], keep: I8, names: Sequence[str]) -> tuple[Rowset, Bars]:
    """What an engine of the instruments ``keep`` says to ``events``, and its on-time candles apart from the late ones.

    Instruments get their rows among all back.
    """
    bars: list[Bars] = [empty(BAR)]
    features: list[Rows] = [no_features(names)]
    signals: list[Signal] = []
    for event in events:
        for effect in engine.process(event):
            match effect:
                case SaveBars():
                    bars.append(effect.bars)
                case SaveFeatures():
                    ts_ns = np.full(len(effect.inst), effect.bar_ns)
                    features.append(feature_rows(ts_ns, effect.inst, effect.x, names))
                case SaveSignals():
                    signals += effect.signals
                case _:
                    pass
    rows = [np.concatenate(bars), np.concatenate(features), signal_rows(signals)]
    for r in rows:
        r["inst"] = keep[r["inst"]]
    on_time: Bars = rows[0][(rows[0]["flags"] & BarFlag.LATE) == 0]
    return Rowset(*(newest(r) for r in rows)), on_time


def _whole(journal: JournalReader) -> Check:
    """Whether the run wrote its last record; ``events()`` was read to its end before."""
    torn = Difference("journal", "the journal is whole", -1, 0, "END record", "absent", "present")
    return Check("the journal is whole", 1, () if journal.complete else (torn,))
