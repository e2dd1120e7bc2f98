"""Real days as a tape: stored candles made into trades again, and recorded ticks where there are any.

Where they are stored is not known here: ``app`` passes in how to read them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import date, timedelta
from typing import TypeVar

import numpy as np

from intraday.domain.arrays import DAY_NS, Bars, Ticks
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import SessionTable, midnight_ns
from intraday.sim.listing import NIFTY, SimInstrument, future, index, monthly_expiries, stock, token_of
from intraday.sim.tape import Trades

K = TypeVar("K")
V = TypeVar("V")
ReadBars = Callable[[int, int, int], Bars]  # (row, start_ns, end_ns): the instrument's bars with start_ns <= ts < end_ns, ascending
ReadTicks = Callable[[date], Ticks]  # the day's ticks of all instruments in order of arrival; ``inst`` is the row

BLOCK_DAYS = 16  # candles are read so many days at once: requests of history ask for neighbours
BLOCKS = 200  # kept, about 0.3 MB each
DAYS_OF_TICKS = 3  # kept
LOOK_BACK_DAYS = 20  # in which a previous close is looked for
SECOND_NS = 10**9
STEPS_S = (1, 16, 31, 46)  # where in its minute a candle's trades lie, before the instrument's own shift of up to ten seconds
FIRST_TOKEN = 30_001  # exchange token of the first row
NO_PRICE = 0  # to start a made-up market from: there is none


class RecordedTape:
    """``tape.Tape`` over stored candles and recorded ticks.

    ``instruments``: what is listed; its first rows are the ones that ``bars`` and ``ticks`` number. A candle becomes up to four
    trades: open, the two extremes, close, with its volume split among them, so candles made from them again are the stored ones.
    An instrument's day that was recorded is replayed tick by tick instead: a trade for each step of the day's volume or the price.
    """

    def __init__(
        self, instruments: Sequence[SimInstrument], sessions: SessionTable, bars: ReadBars, ticks: ReadTicks | None = None
    ) -> None:
        self.instruments = tuple(instruments)
        self.sessions = sessions
        self._bars = bars
        self._ticks = ticks
        self._row = {instrument.token: row for row, instrument in enumerate(self.instruments)}
        self._blocks: OrderedDict[tuple[int, int], Bars] = OrderedDict()
        self._recorded: OrderedDict[date, dict[int, Trades]] = OrderedDict()

    def trades(self, token: int, day: date) -> Trades:
        """The day's trades, ascending; empty on holidays, for unknown tokens and where nothing is stored."""
        row = self._row.get(token)
        if row is None or self.sessions.find(day) is None:
            return Trades()
        recorded = self._day_of_ticks(day).get(row)
        return recorded if recorded is not None else from_bars(self._day(row, day), token)

    def previous_close(self, token: int, day: date) -> int:
        """The last price of the newest session before ``day`` that has any, paise; 0 if none of the last twenty days has."""
        start = max(self.sessions.first, day - timedelta(days=LOOK_BACK_DAYS))
        for session in reversed(self.sessions.between(start, day - timedelta(days=1)) if start < day else []):
            trades = self.trades(token, session.day)
            if len(trades):
                return trades.price[-1]
        return 0

    def _day(self, row: int, day: date) -> Bars:
        """The stored candles of one day."""
        number = day.toordinal() // BLOCK_DAYS
        block = self._blocks.get((row, number))
        if block is None:
            start_ns = midnight_ns(date.fromordinal(number * BLOCK_DAYS))
            block = self._bars(row, start_ns, start_ns + BLOCK_DAYS * DAY_NS)
            _keep(self._blocks, (row, number), block, BLOCKS)
        start_ns = midnight_ns(day)
        first, last = np.searchsorted(block["ts_ns"], [start_ns, start_ns + DAY_NS])
        return block[first:last]

    def _day_of_ticks(self, day: date) -> dict[int, Trades]:
        if self._ticks is None:
            return {}
        if day not in self._recorded:
            ticks, start_ns = self._ticks(day), midnight_ns(day)
            ticks = ticks[(ticks["event_ns"] >= start_ns) & (ticks["event_ns"] < start_ns + DAY_NS) & (ticks["price"] > 0)]
            rows = {int(row): from_ticks(ticks[ticks["inst"] == row]) for row in np.unique(ticks["inst"])}
            _keep(self._recorded, day, rows, DAYS_OF_TICKS)
        return self._recorded[day]


def from_bars(bars: Bars, token: int) -> Trades:
    """Trades whose candles are exactly ``bars``: each within its minute, volumes adding up; no volume becomes quantity 0."""
    out = Trades()
    shift_ns = token * 7919 % 10_000 * (SECOND_NS // 1000)
    rupees = np.stack([bars[name] for name in ("open", "high", "low", "close")], axis=1)
    paise = np.rint(rupees * 100.0).astype(np.int64).tolist()
    volumes = np.nan_to_num(bars["volume"]).astype(np.int64).tolist()
    for ts_ns, (open_, high, low, close), volume in zip(bars["ts_ns"].tolist(), paise, volumes, strict=True):
        path = (open_, low, high, close) if close >= open_ else (open_, high, low, close)
        steps = [(s, price) for i, (s, price) in enumerate(zip(STEPS_S, path, strict=True)) if i == 0 or price != path[i - 1]]
        share, rest = divmod(volume, len(steps))
        for i, (second, price) in enumerate(steps):
            out.at_ns.append(ts_ns + second * SECOND_NS + shift_ns)
            out.price.append(price)
            out.qty.append(share + (rest if i == 0 else 0))
    return out


def from_ticks(ticks: Ticks) -> Trades:
    """Trades of one instrument from its ticks, by their own times: what the day's volume grew by, at the tick's price.

    Ticks that repeat price and volume are no trades; volume that falls counts from its highest. Without volume (-1) each change of
    price is one of quantity 0.
    """
    ticks = ticks[np.argsort(ticks["event_ns"], kind="stable")]
    volume = np.maximum.accumulate(np.maximum(ticks["volume"], 0))
    qty = np.diff(volume, prepend=0)
    new = (qty > 0) | (np.diff(ticks["price"], prepend=0) != 0)
    return Trades(ticks["event_ns"][new].tolist(), ticks["price"][new].tolist(), qty[new].tolist())


def listed(instruments: Sequence[Instrument], day: date, auction: Collection[str] = ()) -> list[SimInstrument]:
    """Stored instruments as the exchange lists them, in their order. Those whose symbol is in ``auction`` take part in the closing
    auction, and so have a future (without trades) behind the list, as clients expect.

    Without any derivative there is one on NIFTY: the list of NFO has never been empty, and clients refuse it when it is.
    """
    rows = [_listed(i, FIRST_TOKEN + row, i.symbol in auction) for row, i in enumerate(instruments)]
    underlyings = [row for row in rows if row.auction]
    if not underlyings and not any(row.exchange == "NFO" for row in rows):
        underlyings = [index(NIFTY[0], NIFTY[1], NO_PRICE)]
    expiry = monthly_expiries(day, 1)[0]
    return rows + [future(row, FIRST_TOKEN + len(rows) + n, expiry, 500) for n, row in enumerate(underlyings)]


def _listed(i: Instrument, number: int, auction: bool) -> SimInstrument:
    if i.kind is Kind.INDEX:
        return index(i.symbol, number, NO_PRICE)
    if i.kind is Kind.FUTURE:
        token = token_of(number, "NFO")
        return SimInstrument(token, number, i.symbol, i.exchange, i.symbol, "NFO-FUT", "FUT", i.tick_size, i.lot_size)
    return stock(i.symbol, number, NO_PRICE, i.tick_size, auction)


def _keep(cache: OrderedDict[K, V], key: K, value: V, n: int) -> None:
    cache[key] = value
    if len(cache) > n:
        cache.popitem(last=False)
