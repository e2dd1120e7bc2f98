"""What every instrument looks like now: last trade, the day so far, five levels of depth. Event-driven, so that thousands fit.

Trades come from the tape. Between them the depth wiggles about ``updates_per_s`` times a second while orders may be entered.
Behaviour: KITE_SPEC 8.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from operator import mul

from intraday.domain.arrays import DAY_NS
from intraday.domain.errors import CalendarError
from intraday.domain.session import day_of, midnight_ns
from intraday.sim.listing import SimInstrument
from intraday.sim.paths import seeded
from intraday.sim.snapshot import SECOND_NS, Quote, begin_day, clear_orders, count_interest
from intraday.sim.tape import Tape, Trades, Window, order_windows

BUCKET_NS = 100_000_000  # events are grouped by tenths of a second
LAST_PACKET_NS = 2 * SECOND_NS  # after the close: the one with the empty depth
NOISE_MASK = 0xFFFF
NEVER = 2**63 - 1


@dataclass(slots=True)
class _Track:
    """Where one instrument is on its tape. Times of events that will not come are NEVER."""

    row: SimInstrument
    quote: Quote
    cursor: int  # into the noise
    trades: Trades = field(default_factory=Trades)
    n_done: int = 0
    turnover: int = 0
    close: int = 0  # of the session before
    windows: tuple[Window, ...] = ()
    order_ns: int = NEVER  # the depth changes next
    end_ns: int = NEVER  # the packet with the empty depth goes out


class QuoteBook:
    """The quotes of all instruments of ``tape`` on ``day`` and the days after it.

    An instrument costs nothing until it is asked for (``quote`` or ``watch``); from then on ``advance`` reports its changes. Asked
    for in the middle of the day it has the day so far. The same seed and the same calls give the same quotes; trades depend on
    the tape alone. ``updates_per_s`` and ``empty_depth_after_close`` may be changed at any time.
    """

    def __init__(self, tape: Tape, day: date, seed: int, updates_per_s: float = 2.0) -> None:
        self.day = day
        self.updates_per_s = updates_per_s
        self.empty_depth_after_close = True
        self._tape = tape
        self._rows = {row.token: row for row in tape.instruments}
        self._tracks: dict[int, _Track] = {}
        self._wheel: dict[int, list[_Track]] = {}
        self._bucket = 0
        self._dirty: set[int] = set()
        rng = seeded(f"book {seed}")
        self._noise = rng.randbytes(NOISE_MASK + 16)
        self._sizes = [max(1, round(rng.lognormvariate(3.5, 1.0))) for _ in range(256)]

    def watch(self, tokens: Iterable[int], now_ns: int) -> None:
        """Load these instruments; unknown ones are ignored. A few milliseconds each: do it before the clock matters."""
        self._roll(now_ns)
        for token in tokens:
            if token not in self._tracks and token in self._rows:
                self._load(self._rows[token], now_ns)

    def quote(self, token: int, now_ns: int) -> Quote | None:
        """The instrument as it is at ``now_ns``; None for an unknown token. The object is the book's own: read it, then let go."""
        self.watch((token,), now_ns)
        track = self._tracks.get(token)
        if track is None:
            return None
        if self._take(track, now_ns):
            self._dirty.add(token)
        return track.quote

    def yesterday(self, token: int) -> Quote | None:
        """The instrument as the session before ``day`` left it; None for an unknown token."""
        row = self._rows.get(token)
        return None if row is None else self._last_session(row)

    def advance(self, now_ns: int) -> list[int]:
        """Move to ``now_ns``, which never goes back: the tokens whose quote changed since the last call, each once."""
        self._roll(now_ns)
        changed, self._dirty = self._dirty, set()
        for bucket in self._ready(now_ns // BUCKET_NS):
            for track in self._wheel.pop(bucket):
                if self._update(track, now_ns):
                    changed.add(track.row.token)
                self._schedule(track)
        return list(changed)

    def _ready(self, bucket: int) -> list[int]:
        """The occupied buckets up to ``bucket``, in order."""
        first, self._bucket = self._bucket, bucket + 1
        if bucket - first > len(self._wheel):
            return sorted(b for b in self._wheel if b <= bucket)
        return [b for b in range(first, bucket + 1) if b in self._wheel]

    # ------------------------------------------------------------------------------------------------------ days

    def _load(self, row: SimInstrument, now_ns: int) -> None:
        track = _Track(row, Quote(row.token), row.token * 7919 & NOISE_MASK)
        self._open_day(track)
        if not track.trades or track.trades.at_ns[0] > now_ns:
            track.quote = self._last_session(row)
        self._take(track, now_ns)
        if _inside(track.windows, now_ns):
            track.quote.close = track.close
            self._enter_orders(track)
            track.quote.exchange_s = now_ns // SECOND_NS
        self._end(track, now_ns)
        track.order_ns = self._next_order(track, now_ns)
        self._tracks[row.token] = track
        self._schedule(track)

    def _last_session(self, row: SimInstrument) -> Quote:
        """The last values of the session before the book's day; empty before the table's first one."""
        quote = Quote(row.token)
        try:
            day = self._tape.sessions.previous(self.day).day
        except CalendarError:
            return quote
        track = _Track(row, quote, 0, Trades.of(self._tape.trades(row.token, day)), close=self._tape.previous_close(row.token, day))
        self._take(track, midnight_ns(day) + DAY_NS)
        return quote

    def _open_day(self, track: _Track) -> None:
        """The tape and the hours of the book's day; the quote stays as it is until the first event."""
        token = track.row.token
        track.n_done, track.turnover = 0, 0
        try:
            track.trades = Trades.of(self._tape.trades(token, self.day))
            track.windows = order_windows(self._tape.sessions, track.row, self.day)
            track.close = self._tape.previous_close(token, self.day)
        except CalendarError:  # outside the table nothing trades
            track.trades, track.windows, track.close = Trades(), (), 0
        track.end_ns = track.windows[-1][1] + LAST_PACKET_NS if track.windows else NEVER

    def _roll(self, now_ns: int) -> None:
        """Go on to the day ``now_ns`` is in, if it is another."""
        if now_ns < midnight_ns(self.day) + DAY_NS:
            return
        for track in self._tracks.values():
            self._update(track, midnight_ns(self.day) + DAY_NS - 1)
        self.day = day_of(now_ns)
        self._wheel.clear()
        for track in self._tracks.values():
            self._open_day(track)
            track.order_ns = self._next_order(track, midnight_ns(self.day))
            self._schedule(track)

    # ---------------------------------------------------------------------------------------------------- events

    def _schedule(self, track: _Track) -> None:
        """File the track under its next event."""
        due = min(track.order_ns, track.end_ns)
        if track.n_done < len(track.trades.at_ns):
            due = min(due, track.trades.at_ns[track.n_done])
        if due != NEVER:
            bucket = -(-due // BUCKET_NS)
            self._wheel.setdefault(bucket if bucket >= self._bucket else self._bucket, []).append(track)

    def _update(self, track: _Track, now_ns: int) -> bool:
        changed = self._take(track, now_ns)
        if track.order_ns <= now_ns:
            if _inside(track.windows, now_ns):
                self._change_order(track, now_ns)
                changed = True
            track.order_ns = self._next_order(track, now_ns)
        return self._end(track, now_ns) or changed

    def _end(self, track: _Track, now_ns: int) -> bool:
        """Take the packet after the close, if it is due; it bears the time at which it was. Whether something changed."""
        if track.end_ns > now_ns:
            return False
        end_ns, track.end_ns = track.end_ns, NEVER
        if self.empty_depth_after_close:
            clear_orders(track.quote, max(end_ns, track.quote.exchange_s * SECOND_NS))
        return self.empty_depth_after_close

    def _next_order(self, track: _Track, now_ns: int) -> int:
        """When the depth changes next: on average ``updates_per_s`` times a second, only while orders may be entered."""
        if self.updates_per_s <= 0:
            return NEVER
        track.cursor = track.cursor + 1 & NOISE_MASK
        wait = int(SECOND_NS * (129 + self._noise[track.cursor]) / (256 * self.updates_per_s))
        due = track.order_ns + wait if track.order_ns != NEVER else 0
        if due <= now_ns:
            due = now_ns + wait
        for start_ns, end_ns in track.windows:
            if due < start_ns:
                return start_ns + wait
            if due < end_ns:
                return due
        return NEVER

    def _take(self, track: _Track, now_ns: int) -> bool:
        """Take the trades up to ``now_ns``; whether there was one."""
        i, trades, quote = track.n_done, track.trades, track.quote
        if i >= len(trades.at_ns) or trades.at_ns[i] > now_ns:
            return False
        track.n_done = j = trades.until(now_ns)
        prices, sizes = trades.price[i:j], trades.qty[i:j]
        last_ns = trades.at_ns[j - 1]
        if i == 0:
            begin_day(quote, prices[0], track.close)
        quote.last_price = price = prices[-1]
        quote.high, quote.low = max(quote.high, *prices), min(quote.low, *prices)
        quote.exchange_s = last_ns // SECOND_NS
        if track.row.is_index:
            return True
        quote.last_qty, quote.last_trade_s = sizes[-1], quote.exchange_s
        quote.volume += sum(sizes)
        track.turnover += sum(map(mul, prices, sizes))
        quote.avg_price = track.turnover // quote.volume if quote.volume else price
        if track.row.is_future:
            count_interest(quote, track.row, trades.at_ns[i], last_ns)
        if _inside(track.windows, last_ns):
            self._enter_orders(track)
        return True

    # ---------------------------------------------------------------------------------------------------- orders

    def _enter_orders(self, track: _Track) -> None:
        """All ten levels anew around the last price: one side's best is the last price."""
        quote, tick = track.quote, track.row.tick_paise
        c = track.cursor = track.cursor + 12 & NOISE_MASK
        noise = self._noise[c : c + 12]
        spread = tick * (1 + (noise[10] > 200) + (noise[10] > 245))
        bid = max(quote.last_price - spread * (noise[11] & 1), tick)
        offer = bid + spread
        size, lot = self._sizes, max(track.row.lot, 1)
        quote.bids = [(size[noise[k]] * lot, max(bid - k * tick, tick), 1 + (noise[k] >> 4)) for k in range(5)]
        quote.offers = [(size[noise[k + 5]] * lot, offer + k * tick, 1 + (noise[k + 5] >> 4)) for k in range(5)]
        quote.buy_qty = 40 * sum(level[0] for level in quote.bids)
        quote.sell_qty = 40 * sum(level[0] for level in quote.offers)

    def _change_order(self, track: _Track, now_ns: int) -> None:
        """Another quantity at one level, and the total with it."""
        quote = track.quote
        c = track.cursor = track.cursor + 2 & NOISE_MASK
        where, what = self._noise[c], self._noise[c + 1]
        quote.close = track.close
        quote.exchange_s = now_ns // SECOND_NS
        if not quote.bids[0][0]:
            self._enter_orders(track)
            return
        k = where % 5
        levels = quote.bids if where & 1 else quote.offers
        old, price, orders = levels[k]
        new = self._sizes[what] * max(track.row.lot, 1)
        if new == old:
            new += max(track.row.lot, 1)
        levels[k] = (new, price, 1 + (orders + what) % 30)
        if where & 1:
            quote.buy_qty += new - old
        else:
            quote.sell_qty += new - old


def _inside(windows: tuple[Window, ...], at_ns: int) -> bool:
    return any(start <= at_ns < end for start, end in windows)
