"""What the broker's answers hold, as typed values: sessions, candles, quotes. Pure.

Whatever lacks a field or has it in another shape than documented is a BadAnswer; fields we do not use are not looked at.
Source: KITE_SPEC 2, 6 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intraday.broker.endpoints import SECOND_NS
from intraday.domain.arrays import BAR, DAY_NS, F8, I8, IST_NS, Bars, empty
from intraday.domain.broker import BrokerSession, Profile, Secret
from intraday.domain.errors import BadAnswer

_IST = timezone(timedelta(hours=5, minutes=30))
_STAMP = b"0000-00-00T00:00:00+0530"  # the shape of nearly every candle's time; 0 stands for a digit
_DIGITS = np.flatnonzero(np.frombuffer(_STAMP[:19], "u1") == ord("0"))
_SHAPE = np.array([i for i in range(len(_STAMP)) if i not in set(_DIGITS.tolist())])


@dataclass(frozen=True, slots=True)
class Level:
    """One price of the order book. ``price`` in rupees; 0, 0, 0 where there is none."""

    price: float
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class LastPrice:
    """``/quote/ltp``: rupees."""

    token: int
    last_price: float


@dataclass(frozen=True, slots=True)
class DayPrices:
    """``/quote/ohlc``: rupees. ``close`` is the previous trading day's."""

    token: int
    last_price: float
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True, slots=True)
class Quote:
    """``/quote``: prices in rupees, ``volume`` cumulative for the day, times in ns UTC (None: never traded, or not told).

    ``bids`` and ``offers`` best first. An index has neither a book nor limits: what is not told is 0 or empty.
    """

    day: DayPrices
    at_ns: int | None
    last_trade_ns: int | None
    last_quantity: int
    average_price: float
    volume: int
    buy_quantity: int
    sell_quantity: int
    net_change: float
    oi: int
    oi_day_high: int
    oi_day_low: int
    lower_circuit: float
    upper_circuit: float
    bids: tuple[Level, ...]
    offers: tuple[Level, ...]


def session(data: Any) -> BrokerSession:
    """Of ``POST /session/token``."""
    row = _object(data, "a session")
    login_ns = _moment(row, "login_time")
    if login_ns is None:
        raise BadAnswer("a session: expected login_time, found none")
    return BrokerSession(
        user_id=_text(row, "user_id"),
        user_name=_text(row, "user_name"),
        api_key=_text(row, "api_key"),
        access_token=Secret(_text(row, "access_token")),
        login_ns=login_ns,
    )


def profile(data: Any) -> Profile:
    """Of ``GET /user/profile``."""
    row = _object(data, "a profile")
    exchanges = row.get("exchanges")
    if not isinstance(exchanges, list):
        raise BadAnswer(f"a profile: expected a list of exchanges, found {type(exchanges).__name__}")
    return Profile(_text(row, "user_id"), _text(row, "user_name"), tuple(str(name) for name in exchanges))


def candles(data: Any) -> tuple[Bars, F8]:
    """``(BAR[n], open interest float64[n])`` ascending by open time, ``inst`` 0; open interest is NaN where it is not told.

    Rows are ``[time, open, high, low, close, volume]`` and maybe ``open interest``; volume is as told (0 for an index).
    """
    rows = _object(data, "candles").get("candles")
    if not isinstance(rows, list):
        raise BadAnswer(f"candles: expected a list, found {type(rows).__name__}")
    if not rows:
        return empty(BAR), np.empty(0)
    try:
        columns = list(zip(*rows, strict=True))
        if len(columns) not in (6, 7):
            raise ValueError
        ts_ns = candle_times(columns[0])
        values = np.array(columns[1:], dtype=np.float64)  # [5 or 6, n]; raises on anything but numbers
    except (TypeError, ValueError):
        raise BadAnswer(f"candles: expected rows of a time and 5 or 6 numbers, found otherwise in {len(rows)} rows") from None
    bars = empty(BAR, len(rows))
    bars["ts_ns"] = ts_ns
    for name, column in zip(("open", "high", "low", "close", "volume"), values, strict=False):
        bars[name] = column
    oi = values[5] if len(values) == 6 else np.full(len(rows), np.nan)
    if np.all(np.diff(ts_ns) > 0):
        return bars, oi
    order = np.argsort(ts_ns, kind="stable")
    return bars[order], oi[order]


def candle_times(stamps: tuple[Any, ...]) -> I8:
    """ns UTC of ``2026-01-05T09:15:00+0530`` and whatever else ISO 8601 allows; without a zone it is IST.

    Raises ValueError or TypeError.
    """
    n, width = len(stamps), len(_STAMP)
    joined = "".join(stamps).encode()
    if len(joined) == n * width and all(len(s) == width for s in stamps):
        grid = np.frombuffer(joined, "u1").reshape(n, width)
        digits = grid[:, _DIGITS] - np.uint8(ord("0"))  # others wrap round and are > 9
        if (grid[:, _SHAPE] == np.frombuffer(_STAMP, "u1")[_SHAPE]).all() and (digits <= 9).all():
            return _instants(digits.astype(np.int64), grid)
    return np.array([wall_ns(s) for s in stamps], dtype=np.int64)


def _instants(d: I8, grid: NDArray[np.uint8]) -> I8:
    """Of the 14 digits of each stamp; numpy parses each distinct day, and a wrong one raises ValueError."""
    day_number = d[:, :8] @ np.array([10**k for k in range(7, -1, -1)])
    _, first, group = np.unique(day_number, return_index=True, return_inverse=True)
    days = np.array([bytes(grid[i, :10]).decode() for i in first], dtype="datetime64[D]").astype(np.int64)
    hour, minute, second = d[:, 8] * 10 + d[:, 9], d[:, 10] * 10 + d[:, 11], d[:, 12] * 10 + d[:, 13]
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        raise ValueError("no time of day")
    ts_ns: I8 = days[group] * DAY_NS + (hour * 3600 + minute * 60 + second) * SECOND_NS - IST_NS
    return ts_ns


def wall_ns(stamp: str) -> int:
    """ns UTC of a time as Kite writes it: ISO 8601, IST where it has no zone. ValueError otherwise."""
    at = datetime.fromisoformat(stamp)
    if at.tzinfo is None:
        at = at.replace(tzinfo=_IST)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def last_prices(data: Any) -> dict[str, LastPrice]:
    """Of ``/quote/ltp``, by the key that was asked for; what the broker does not know is absent."""
    return {key: LastPrice(_whole(row, "instrument_token"), _number(row, "last_price")) for key, row in _rows(data)}


def day_prices(data: Any) -> dict[str, DayPrices]:
    """Of ``/quote/ohlc``, like ``last_prices``."""
    return {key: _day(row) for key, row in _rows(data)}


def quotes(data: Any) -> dict[str, Quote]:
    """Of ``/quote``, like ``last_prices``."""
    return {key: _quote(row) for key, row in _rows(data)}


def _day(row: Mapping[str, Any]) -> DayPrices:
    ohlc = _object(row.get("ohlc"), "ohlc")
    prices = [_number(ohlc, name) for name in ("open", "high", "low", "close")]
    return DayPrices(_whole(row, "instrument_token"), _number(row, "last_price"), *prices)


def _quote(row: Mapping[str, Any]) -> Quote:
    depth = _object(row.get("depth") or {}, "depth")
    return Quote(
        day=_day(row),
        at_ns=_moment(row, "timestamp"),
        last_trade_ns=_moment(row, "last_trade_time"),
        last_quantity=_whole(row, "last_quantity", 0),
        average_price=_number(row, "average_price", 0),
        volume=_whole(row, "volume", 0),
        buy_quantity=_whole(row, "buy_quantity", 0),
        sell_quantity=_whole(row, "sell_quantity", 0),
        net_change=_number(row, "net_change", 0),
        oi=_whole(row, "oi", 0),
        oi_day_high=_whole(row, "oi_day_high", 0),
        oi_day_low=_whole(row, "oi_day_low", 0),
        lower_circuit=_number(row, "lower_circuit_limit", 0),
        upper_circuit=_number(row, "upper_circuit_limit", 0),
        bids=_levels(depth, "buy"),
        offers=_levels(depth, "sell"),
    )


def _levels(depth: Mapping[str, Any], side: str) -> tuple[Level, ...]:
    rows = depth.get(side) or []
    if not isinstance(rows, list):
        raise BadAnswer(f"depth: expected a list of {side} prices, found {type(rows).__name__}")
    levels = [_object(row, "a price of the book") for row in rows]
    return tuple(Level(_number(row, "price"), _whole(row, "quantity"), _whole(row, "orders")) for row in levels)


def _rows(data: Any) -> list[tuple[str, Mapping[str, Any]]]:
    return [(key, _object(row, key)) for key, row in _object(data, "quotes").items()]


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadAnswer(f"{what}: expected an object, found {type(value).__name__}")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise BadAnswer(f"expected text in {name}, found {type(value).__name__}")
    return value


def _number(row: Mapping[str, Any], name: str, missing: float | None = None) -> float:
    """A missing field and null are the same; without ``missing`` neither may be."""
    value = row.get(name)
    if value is None:
        value = missing
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadAnswer(f"expected a number in {name}, found {type(value).__name__}")
    return float(value)


def _whole(row: Mapping[str, Any], name: str, missing: int | None = None) -> int:
    value = _number(row, name, missing)
    if not value.is_integer():
        raise BadAnswer(f"expected a whole number in {name}, found {value!r}")
    return int(value)


def _moment(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    if not value:
        return None
    try:
        return wall_ns(value)
    except (TypeError, ValueError):
        raise BadAnswer(f"expected a time in {name}, found {type(value).__name__}") from None
