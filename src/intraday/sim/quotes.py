"""Market data over REST: the dump of instruments, candles and quotes. Source: KITE_SPEC, sections 5 to 7."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zlib import crc32

from aiohttp import web

from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.domain.session import day_of
from intraday.sim.accounts import Account, Refused
from intraday.sim.candles import INTERVALS, Candle
from intraday.sim.exchange import Exchange
from intraday.sim.listing import SimInstrument, instruments_csv
from intraday.sim.login import ist_text
from intraday.sim.paths import mix
from intraday.sim.replies import CSV, Reply, success
from intraday.sim.snapshot import Level, Quote

EXCHANGES = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
QUOTE_CAP = 500  # instruments of one request
PRICE_CAP = 1000
LOADS_AT_ONCE = 8  # instruments that a request may load, some milliseconds each, before others get their turn
BAND = 10  # percent either side of the previous close
CLOCK = [f"T{m // 60:02d}:{m % 60:02d}:00+0530" for m in range(1440)]

Render = Callable[[SimInstrument, Quote], dict[str, Any]]


async def dump(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /instruments`` and ``/instruments/{exchange}``. Its prices are the previous close: they are the dump's, not live."""
    wanted = request.match_info.get("exchange")
    if wanted is not None and wanted not in EXCHANGES:
        raise Refused(400, "InputException", "Invalid `exchange`.")
    day = day_of(exchange.clock.now_ns())
    rows = [row for row in exchange.tape.instruments if row.expiry is None or row.expiry >= day]
    closes = {row.token: exchange.tape.previous_close(row.token, day) for row in rows if wanted in (None, row.exchange)}
    return Reply(instruments_csv(rows, wanted, closes), content_type=CSV)


async def historical(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /instruments/historical/{token}/{interval}``."""
    row = _instrument(exchange, request.match_info["token"])
    name = request.match_info["interval"]
    if name not in INTERVALS:
        raise Refused(400, "InputException", "Invalid `interval`.")
    start_ns, end_ns = (_instant(request, side) for side in ("from", "to"))
    _require_span(exchange, name, start_ns, end_ns)
    if _flag(request, "continuous") and not (row.is_future and name == "day"):
        raise Refused(400, "InputException", "`continuous` is for day candles of futures.")
    found = await exchange.history.candles(row, name, start_ns, end_ns, exchange.clock.now_ns())
    return success({"candles": _rows(found, _flag(request, "oi"))})


async def quote(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /quote``."""
    return await _quotes(exchange, request, QUOTE_CAP, _full)


async def ohlc(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /quote/ohlc``."""
    return await _quotes(exchange, request, PRICE_CAP, lambda row, q: _last(row, q) | {"ohlc": _ohlc(q)})


async def ltp(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /quote/ltp``."""
    return await _quotes(exchange, request, PRICE_CAP, _last)


async def trigger_range(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /instruments/trigger_range/{side}``: of cover orders, which nobody places here; in the answers' shape."""
    return await _quotes(
        exchange, request, PRICE_CAP, lambda row, q: {"instrument_token": row.token, **_band(row, q, "lower", "upper")}
    )


async def _quotes(exchange: Exchange, request: web.Request, cap: int, render: Render) -> Reply:
    """One entry for each key asked for that has ever traded; keys are symbols or tokens, and come back as they were asked."""
    keys = request.query.getall("i", [])
    if not keys:
        raise Refused(400, "InputException", "Missing `i`.")
    if len(keys) > cap:
        raise Refused(400, "InputException", f"Too many instruments: {len(keys)}, the most is {cap}.")
    now_ns = exchange.clock.now_ns()
    out = {}
    for i, key in enumerate(keys):
        if i % LOADS_AT_ONCE == 0:
            await asyncio.sleep(0)
        row = exchange.by_token.get(int(key)) if key.isdecimal() else exchange.by_key.get(key)
        if row is None or _is_absent(exchange, key, now_ns):
            continue
        found = exchange.book.quote(row.token, now_ns)
        if found is not None and found.last_price:
            out[key] = render(row, found)
    return success(out)


def _is_absent(exchange: Exchange, key: str, now_ns: int) -> bool:
    share = exchange.knobs.rest_faults["quote"].absent_share
    return share > 0 and mix(crc32(key.encode()) ^ exchange.knobs.seed << 40 ^ now_ns) < share * 2**64


def _full(row: SimInstrument, q: Quote) -> dict[str, Any]:
    return {
        **_last(row, q),
        "timestamp": ist_text(q.exchange_s * 10**9),
        "last_trade_time": ist_text(q.last_trade_s * 10**9) if q.last_trade_s else None,
        "last_quantity": q.last_qty,
        "average_price": q.avg_price / 100,
        "volume": q.volume,
        "buy_quantity": q.buy_qty,
        "sell_quantity": q.sell_qty,
        "ohlc": _ohlc(q),
        "net_change": (q.last_price - q.close) / 100,
        "oi": q.oi,
        "oi_day_high": q.oi_high,
        "oi_day_low": q.oi_low,
        **_band(row, q, "lower_circuit_limit", "upper_circuit_limit"),
        "depth": {"buy": _depth(q.bids), "sell": _depth(q.offers)},
    }


def _last(row: SimInstrument, q: Quote) -> dict[str, Any]:
    return {"instrument_token": row.token, "last_price": q.last_price / 100}


def _ohlc(q: Quote) -> dict[str, float]:
    return {"open": q.open / 100, "high": q.high / 100, "low": q.low / 100, "close": q.close / 100}


def _depth(levels: Sequence[Level]) -> list[dict[str, float]]:
    return [{"price": price / 100, "quantity": qty, "orders": orders} for qty, price, orders in levels]


def _band(row: SimInstrument, q: Quote, lower: str, upper: str) -> dict[str, float]:
    """The price limits of the day, on the tick grid; none for an index."""
    if row.is_index:
        return {lower: 0, upper: 0}
    tick = row.tick_paise
    low, high = -(-q.close * (100 - BAND) // (100 * tick)) * tick, q.close * (100 + BAND) // (100 * tick) * tick
    return {lower: min(low, q.low or low) / 100, upper: max(high, q.high) / 100}


def _rows(candles: Sequence[Candle], oi: bool) -> list[list[Any]]:
    """Candles as Kite writes them."""
    out: list[list[Any]] = []
    day, prefix = -1, ""
    for c in candles:
        number, since = divmod(c.start_ns + IST_NS, DAY_NS)
        if number != day:
            day, prefix = number, day_of(c.start_ns).isoformat()
        row = [prefix + CLOCK[since // MINUTE_NS], c.open / 100, c.high / 100, c.low / 100, c.close / 100, c.volume]
        if oi:
            row.append(c.oi)
        out.append(row)
    return out


def _instrument(exchange: Exchange, text: str) -> SimInstrument:
    row = exchange.by_token.get(int(text)) if text.isdecimal() else None
    if row is None:
        raise Refused(400, "InputException", "Invalid `instrument_token`.")
    return row


def _instant(request: web.Request, name: str) -> int:
    """A date, with or without a time, as ns UTC."""
    text = request.query.get(name, "")
    try:
        return int(datetime.fromisoformat(f"{text if len(text) > 10 else text + ' 00:00:00'}+05:30").timestamp()) * 10**9
    except ValueError:
        pass
    raise Refused(400, "InputException", f"Invalid `{name}` date.")


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "0") == "1"


def _require_span(exchange: Exchange, name: str, start_ns: int, end_ns: int) -> None:
    interval = INTERVALS[name]
    cap = interval.cap_2018 if exchange.knobs.limits_profile == "legacy2018" else interval.cap
    if end_ns < start_ns:
        raise Refused(400, "InputException", "`from` date is after `to` date.")
    if (end_ns - start_ns) // DAY_NS > cap:
        raise Refused(400, "InputException", f"interval exceeds max limit: {cap} days")
