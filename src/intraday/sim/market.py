"""A seeded market in plain Python: trades of any instrument on any day, each computed on its own from the seed.

Prices. The log price of a stock is ``beta`` times a market factor plus a motion of its own; an index is the factor itself, so it is
the mean of what all its members share. Both are Brownian motions over all sessions, cut at opens and closes by midpoint
displacement (Lévy 1948; Fournier, Fussell, Carpenter 1982), so the level of any session costs fifteen hashes and no history.
Inside the day the price goes from its open to its close on a Brownian bridge. With ``edge`` 0 nothing can be predicted from it.

Trades. Their number is Poisson with a rate of each instrument's own (thin ones exist), most of them near the open and the close;
sizes are log-normal; a few minutes a day are bursts of many and large trades.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate, compress, pairwise, repeat
from math import exp, sqrt, tanh
from random import Random

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.session import Session, SessionTable
from intraday.sim.listing import SimInstrument
from intraday.sim.paths import FINE, burst_minutes, mix, motion, paused, seeded, trade_times
from intraday.sim.tape import Trades, match_ns, trading_hours

MARKET_VOL = 0.008  # standard deviation of the factor's log return from close to close
STEPS_A_SESSION = 4  # of the long motion; the first is the night
ORIGIN = date(2025, 1, 1)  # prices are the list's around this day
FUTURES_LIFE = timedelta(days=100)
CARRY_A_DAY = 0.0002  # how much dearer a future is, for each day to its expiry
AUCTION_SHARE = 0.05  # of the day's own variance lies between the last continuous trade and the auction's print
DRIFT_NS = 30 * MINUTE_NS
INDEX_VALUES = 30  # a minute, those that do not move left out
MATCH_WITHIN_NS = 30 * 10**9  # of the pre-open, after its time
INDEX_PRINT_S = 60  # within so many seconds of the closing auction's random end the index has its one print
PRINT_AWAY_NS = 20 * 10**9  # the closing auction's print is at least so far from both ends of its time
CACHE_TRADES = 4_000_000  # trades kept unless told otherwise, at 16 bytes each


@dataclass(frozen=True, slots=True)
class _Traits:
    """What sets one instrument apart.

    ``origin``: its own motion on the origin's day; ``vol``: its own, close to close; ``rate``: trades a minute; ``sizes``: shares.
    """

    key: int
    origin: float
    beta: float
    vol: float
    rate: float
    sizes: tuple[int, ...]


class SyntheticTape:
    """``tape.Tape`` of a made-up market. The same arguments give the same trades in every process, whatever was asked before.

    ``edge``: strength of a planted predictability: after a burst the price goes on for half an hour in the direction of the burst's
    own move, by ``edge * tanh(move / its sd)`` standard deviations of an ordinary half hour.
    """

    def __init__(
        self,
        instruments: Sequence[SimInstrument],
        seed: int,
        sessions: SessionTable,
        trades_per_minute: float = 8.0,
        edge: float = 0.0,
        cache_trades: int = CACHE_TRADES,
    ) -> None:
        self.instruments = tuple(instruments)
        self.sessions = sessions
        self._edge = edge
        self._seed = seed
        self._rate = trades_per_minute
        self._rows = {row.token: row for row in self.instruments}
        self._numbers = {int(number): i for i, number in enumerate(sessions.arrays()[0])}
        self._origin = bisect_left(list(self._numbers), (ORIGIN - date(1970, 1, 1)).days) * STEPS_A_SESSION
        self._roots = {row.symbol: row for row in self.instruments if not row.is_future}
        self._traits: dict[int, _Traits] = {}
        self._steps: dict[int, float] = {}
        self._factor: OrderedDict[int, list[float]] = OrderedDict()
        self._days: OrderedDict[tuple[int, int], Trades] = OrderedDict()
        self._n_cached = 0
        self._cache_trades = cache_trades

    def trades(self, token: int, day: date) -> Trades:
        """Ascending; empty on holidays, before the listing, after the expiry and for unknown tokens."""
        row = self._rows.get(token)
        session = None if row is None else trading_hours(self.sessions, row, day)
        if row is None or session is None or not _listed(row, day):
            return Trades()
        key = (token, session.number)
        found = self._days.get(key)
        if found is None:
            found = self._index_values(row, session) if row.is_index else self._executions(row, session)
            self._keep(key, found)
        self._days.move_to_end(key)
        return found

    def previous_close(self, token: int, day: date) -> int:
        """The close of the session before ``day``, paise; 0 for unknown tokens and before the listing."""
        row = self._rows.get(token)
        if row is None:
            return 0
        before = self.sessions.previous(day)
        return self._price(row, before, self._level(row, before, at_close=True)) if _listed(row, before.day) else 0

    # ---------------------------------------------------------------------------------------------------- levels

    def _traits_of(self, row: SimInstrument) -> _Traits:
        found = self._traits.get(row.token)
        if found is None:
            rng = seeded(f"traits {self._seed} {row.token}")
            rate = self._rate * min(max(rng.lognormvariate(-0.35, 0.9), 0.02), 4.0)
            median = 4_000_000 / row.base_paise if not row.is_future else 1.0
            sizes = tuple(max(1, round(median * exp(1.1 * z))) * max(row.lot, 1) for z in FINE)
            root = self._root(row)
            own = seeded(f"motion {self._seed} {root.token}")
            beta, vol = own.uniform(0.7, 1.3), own.uniform(0.010, 0.016)
            if root.is_index:
                beta, vol = 1.0, 0.0
            key = mix(self._seed * 0x9E3779B97F4A7C15 ^ root.token)
            found = _Traits(key, motion(key, self._origin), beta, vol, rate, sizes)
            self._traits[row.token] = found
        return found

    def _root(self, row: SimInstrument) -> SimInstrument:
        """The instrument whose level this one follows: a future's underlying."""
        if not row.is_future:
            return row
        return self._roots.get(row.name) or self._roots.get(f"{row.name} 50") or row

    def _factor_at(self, step: int) -> float:
        found = self._steps.get(step)
        if found is None:
            key = mix(self._seed)
            found = self._steps[step] = MARKET_VOL / 2 * (motion(key, step) - motion(key, self._origin))
        return found

    def _level(self, row: SimInstrument, session: Session, at_close: bool) -> float:
        """Log price over the list's, at the open or the close."""
        traits = self._traits_of(row)
        step = self._numbers[session.number] * STEPS_A_SESSION + (STEPS_A_SESSION if at_close else 1)
        own = traits.vol / 2 * (motion(traits.key, step) - traits.origin) if traits.vol else 0.0
        return traits.beta * self._factor_at(step) + own

    def _ends(self, row: SimInstrument, session: Session) -> tuple[float, float]:
        """The levels of the open and the close."""
        return self._level(row, session, at_close=False), self._level(row, session, at_close=True)

    def _price(self, row: SimInstrument, session: Session, level: float) -> int:
        tick = row.tick_paise
        return max(round(self._base(row, session) * exp(level) / tick), 1) * tick

    def _base(self, row: SimInstrument, session: Session) -> float:
        if row.expiry is None:
            return float(row.base_paise)
        return self._root(row).base_paise * (1.0 + CARRY_A_DAY * (row.expiry - session.day).days)

    def _factor_path(self, session: Session) -> list[float]:
        """The factor at every minute of the session and once more, from its open to its close; the same for all instruments."""
        regular = self.sessions.get(session.day)
        found = self._factor.get(regular.number)
        if found is None:
            step = self._numbers[regular.number] * STEPS_A_SESSION
            first, last = self._factor_at(step + 1), self._factor_at(step + STEPS_A_SESSION)
            rng = seeded(f"factor {self._seed} {regular.number}")
            scale = MARKET_VOL * sqrt((STEPS_A_SESSION - 1) / STEPS_A_SESSION / regular.minutes)
            walk = [0.0, *accumulate(scale * FINE[b] for b in rng.randbytes(regular.minutes))]
            slope = (last - first - walk[-1]) / regular.minutes
            found = [first + w + slope * i for i, w in enumerate(walk)]
            self._factor[regular.number] = found
            if len(self._factor) > 512:
                self._factor.popitem(last=False)
        return found

    # ---------------------------------------------------------------------------------------------------- trades

    def _executions(self, row: SimInstrument, session: Session) -> Trades:
        """All trades of a stock's or a future's day."""
        traits = self._traits_of(row)
        rng = seeded(mix(traits.key ^ session.number * 0xD1B54A32D192ED03 ^ row.token))
        bursts = burst_minutes(rng, session)
        times = trade_times(rng, traits.rate, session, bursts)
        closing = session.closing_auction
        ends = self._ends(row, session)
        walk = self._own_walk(rng, row, session, ends, times, bursts, closing is not None)
        prices = self._grid(row, session, traits.beta, times, walk)
        quantities = [traits.sizes[b] for b in rng.randbytes(len(times))]
        for at_ns in bursts:
            cut = slice(bisect_left(times, at_ns), bisect_left(times, at_ns + MINUTE_NS))
            quantities[cut] = [2 * q for q in quantities[cut]]
        first, close = (self._price(row, session, level) for level in ends)
        lot = max(row.lot, 1)
        large = sum(traits.sizes) // (32 * lot) * lot
        within_ns = rng.randrange(MATCH_WITHIN_NS)
        times.insert(0, session.open_ns if session.pre_open is None else match_ns(session) + within_ns)
        prices.insert(0, first)
        quantities.insert(0, large)
        if closing is not None:
            early, late = closing.entry_end_ns + PRINT_AWAY_NS, closing.end_ns - PRINT_AWAY_NS
            times.append(early + rng.randrange((late - early) // 10**9) * 10**9)
            prices.append(close)
            quantities.append(2 * large)
        prices[-1] = close
        return Trades(times, prices, quantities)

    def _own_walk(
        self,
        rng: Random,
        row: SimInstrument,
        session: Session,
        ends: tuple[float, float],
        times: list[int],
        bursts: list[int],
        auction: bool,
    ) -> list[float]:
        """The own log price at each trade: a bridge in steps of one trade from the open's level to the close's, ``ends``.

        An auction's print is the bridge's end in its stead. Bursts, having more trades, move the price further.
        """
        traits, n = self._traits_of(row), len(times)
        if not n:
            return []
        path = self._factor_path(session)
        first, last = ends[0] - traits.beta * path[0], ends[1] - traits.beta * path[-1]
        day_sd = traits.vol * sqrt((STEPS_A_SESSION - 1) / STEPS_A_SESSION)
        walk = list(accumulate(map(FINE.__getitem__, rng.randbytes(n))))
        steps = n * (1.0 + AUCTION_SHARE) if auction else float(n)
        scale = day_sd / sqrt(steps)
        rest = sqrt(steps - n) * rng.choice(FINE)
        drift = self._drift(bursts, times, walk, day_sd * sqrt(DRIFT_NS / (session.close_ns - session.open_ns)))
        slope = (last - first - scale * (walk[-1] + rest) - drift[-1]) / steps
        return [first + scale * w + slope * i + d for (i, w), d in zip(enumerate(walk, 1), drift, strict=True)]

    def _drift(self, bursts: list[int], times: list[int], walk: list[float], sd: float) -> list[float]:
        """The planted edge: log price to be added at each trade. ``sd``: of the own motion in an ordinary half hour."""
        out = [0.0] * len(times)
        if self._edge == 0.0:
            return out
        for at_ns in bursts:
            begin, over = bisect_left(times, at_ns), bisect_left(times, at_ns + MINUTE_NS)
            if over == begin:
                continue
            move = walk[over - 1] - (walk[begin - 1] if begin else 0.0)
            full = self._edge * sd * tanh(move / sqrt(over - begin))
            for i in range(over, len(out)):
                out[i] += full * min((times[i] - at_ns - MINUTE_NS) / DRIFT_NS, 1.0)
        return out

    def _grid(self, row: SimInstrument, session: Session, beta: float, times: list[int], own: list[float]) -> list[int]:
        """Prices on the tick grid from the factor at each trade's time and the own walk."""
        path, tick, open_ns = self._factor_path(session), row.tick_paise, session.open_ns
        base = self._base(row, session) / tick
        common = [beta * p for p in path]
        steps = [b - a for a, b in zip(common, common[1:], strict=False)]
        end = len(steps)
        prices = []
        for at_ns, own_level in zip(times, own, strict=True):
            at = (at_ns - open_ns) / MINUTE_NS
            k = int(at)
            level = common[k] + steps[k] * (at - k) if k < end else common[end]
            prices.append(int(base * exp(level + own_level) + 0.5) * tick or tick)
        return prices

    def _index_values(self, row: SimInstrument, session: Session) -> Trades:
        """Values of an index: every second or two while they change; in the closing auction one print only."""
        rng = seeded(mix(self._traits_of(row).key ^ session.number * 0xD1B54A32D192ED03 ^ row.token))
        open_ns, tick = session.open_ns, row.tick_paise
        knots = [row.base_paise / tick * exp(level) for level in self._factor_path(session)]
        early = self.sessions.get(session.day, auction=True)
        minutes = (early.close_ns - open_ns) // MINUTE_NS
        late = [
            byte >> 7 for byte in rng.randbytes(INDEX_VALUES * minutes)
        ]  # each value comes in its slot's first second or second
        slot_s = 60 // INDEX_VALUES
        times = [open_ns + (i * slot_s + s) * 10**9 for i, s in enumerate(late)]
        prices: list[int] = []
        for k in range(minutes):
            at, step = knots[k] + 0.5, (knots[k + 1] - knots[k]) / 60
            part = late[k * INDEX_VALUES : (k + 1) * INDEX_VALUES]
            prices += [int(at + step * (i * slot_s + s)) * tick for i, s in enumerate(part)]
        if early.closing_auction is not None:
            times.append(early.closing_auction.random_end_ns + rng.randrange(1, INDEX_PRINT_S) * 10**9)
            prices.append(0)
        prices[-1] = self._price(row, session, self._level(row, session, at_close=True))
        times.insert(0, open_ns if session.pre_open is None else match_ns(session) + MATCH_WITHIN_NS)
        prices.insert(0, self._price(row, session, self._level(row, session, at_close=False)))
        moved = [True, *(a != b for a, b in pairwise(prices))]
        if session.pauses:
            moved = [m and not paused(session, t) for m, t in zip(moved, times, strict=True)]
        return Trades(compress(times, moved), compress(prices, moved), repeat(0, sum(moved)))

    def _keep(self, key: tuple[int, int], found: Trades) -> None:
        self._days[key] = found
        self._n_cached += len(found) + 1
        while self._n_cached > self._cache_trades and len(self._days) > 1:
            _, old = self._days.popitem(last=False)
            self._n_cached -= len(old) + 1


def _listed(row: SimInstrument, day: date) -> bool:
    if row.expiry is not None and not row.expiry - FUTURES_LIFE <= day <= row.expiry:
        return False
    return row.first_day is None or day >= row.first_day
