"""The structured rows that travel between modules, and the panel that kernels work on.

Prices are integer paise on the wire (``TICK.price``) and float64 rupees from the bar on. Times are int64 nanoseconds since the
epoch, UTC. A bar is named by its open time and exists only once closed. ``inst`` is a dense row number 0..S-1: the position
of an instrument in the list the caller works with; database ids and broker tokens never appear here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000
IST_NS = 19_800_000_000_000  # UTC+05:30, without daylight saving since 1945
GRID_ORIGIN_NS = 946_871_100_000_000_000  # 2000-01-03 09:15 IST: origin of the 5, 15 and 60 minute grids, whatever the day's open

DEPTH = np.dtype([("qty", "u4"), ("price", "u4"), ("orders", "u2")])  # one level of the order book, raw

PACKET = np.dtype(
    [
        ("token", "u4"),  # the broker's number; token & 0xff is the segment
        ("kind", "u1"),  # PacketKind: which of the fields below the packet carried; the others are 0
        ("divisor", "i4"),  # rupees = price field / divisor
        ("last_price", "u4"),
        ("last_qty", "u4"),
        ("avg_price", "u4"),
        ("volume", "u4"),  # cumulative for the day
        ("buy_qty", "u4"),
        ("sell_qty", "u4"),
        ("open", "u4"),
        ("high", "u4"),
        ("low", "u4"),
        ("close", "u4"),  # of the previous session
        ("change", "i4"),  # index packets only
        ("last_trade_s", "u4"),  # seconds since the epoch, UTC
        ("oi", "u4"),
        ("oi_high", "u4"),
        ("oi_low", "u4"),
        ("exchange_s", "u4"),  # seconds since the epoch, UTC
        ("bids", DEPTH, 5),  # best first
        ("offers", DEPTH, 5),
    ],
)


class PacketKind:
    """Values of ``PACKET.kind``, one for each length of packet that Kite sends."""

    LTP = 1  # 8 bytes
    INDEX_QUOTE = 2  # 28
    INDEX_FULL = 3  # 32
    QUOTE = 4  # 44
    FULL = 5  # 184


TICK = np.dtype(
    [
        ("event_ns", "i8"),  # exchange time
        ("recv_ns", "i8"),  # our clock
        ("inst", "i4"),
        ("price", "i4"),  # paise
        ("volume", "i8"),  # cumulative for the day; -1 where the instrument has none (indices)
    ],
)

BAR = np.dtype(
    [
        ("ts_ns", "i8"),  # open time
        ("inst", "i4"),
        ("flags", "i4"),  # bits of BarFlag
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),  # NaN where the instrument has none (indices); exact up to 2**53
        ("n_ticks", "i8"),  # 0 where unknown (imported bars)
    ],
)

LABEL = np.dtype(
    [
        ("ts_ns", "i8"),  # open time of the decision bar
        ("inst", "i4"),
        ("label", "i1"),  # +1 the long trade won, -1 the short trade won, 0 neither
        ("barrier", "u1"),  # bits of Barrier
        ("ret_long", "f8"),  # gross return of the long trade from entry to its exit
        ("ret_short", "f8"),  # gross return of the short trade from entry to its exit
        ("entry_ns", "i8"),  # open time of the minute whose open is the entry
        ("t1_ns", "i8"),  # the moment the label became known
        ("sigma", "f8"),  # volatility the barriers were scaled with
    ],
)


class BarFlag:
    """Bits of ``BAR.flags``."""

    PARTIAL = 1  # the feed started or came back inside this minute
    LATE = 2  # changed or completed after the minute had been issued


Packets = NDArray[Any]  # PACKET[n]
Ticks = NDArray[Any]  # TICK[n]
Bars = NDArray[Any]  # BAR[n]
Labels = NDArray[Any]  # LABEL[n]
F8 = NDArray[np.float64]
F4 = NDArray[np.float32]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of S instruments on T common open times, ready for kernels.

    ``open .. volume`` are float64 [T, S], NaN where ``mask`` is False; ``volume`` is NaN too for instruments without volume.
    ``ts_ns`` int64 [T] ascending open times; ``session`` int32 [T] days since 1970-01-01 of the IST date; ``minute`` float64 [T]
    minutes from the session's open to the bar's open; ``minutes`` float64 [T, S] length of the instrument's continuous trading that
    day; ``member`` bool [T, S] whether it was in the universe that cross-sections compare.
    A step at which an instrument has no bar must change nothing of that instrument's state, so panels of the same bars give the
    same bits whatever other instruments or empty rows they hold.
    """

    timeframe: int  # minutes
    ts_ns: I8
    session: I4
    minute: F8
    minutes: F8
    member: Mask
    open: F8
    high: F8
    low: F8
    close: F8
    volume: F8
    mask: Mask

    def __len__(self) -> int:
        """T, the number of open times."""
        return int(self.ts_ns.shape[0])

    @property
    def n_instruments(self) -> int:
        """S, the number of columns."""
        return int(self.mask.shape[1])

    def rows(self, start: int, stop: int) -> Panel:
        """The panel of open times ``start <= i < stop``; views, no copy."""
        cut = slice(start, stop)
        return Panel(
            self.timeframe, self.ts_ns[cut], self.session[cut], self.minute[cut], self.minutes[cut], self.member[cut],
            self.open[cut], self.high[cut], self.low[cut], self.close[cut], self.volume[cut], self.mask[cut],
        )  # fmt: skip

    def columns(self, keep: I8) -> Panel:
        """The panel of the instruments ``keep`` (dense rows, in that order); contiguous copies."""

        def pick(a: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(a[:, keep])

        return Panel(
            self.timeframe, self.ts_ns, self.session, self.minute, pick(self.minutes), pick(self.member),
            pick(self.open), pick(self.high), pick(self.low), pick(self.close), pick(self.volume), pick(self.mask),
        )  # fmt: skip


def empty(dtype: np.dtype[Any], n: int = 0) -> NDArray[Any]:
    """``n`` zeroed rows of ``dtype``."""
    return np.zeros(n, dtype=dtype)


def session_number(ts_ns: int) -> int:
    """Days since 1970-01-01 of the IST date of ``ts_ns``; the key of a session everywhere."""
    return (ts_ns + IST_NS) // DAY_NS
