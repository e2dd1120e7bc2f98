"""The REST side of the exchange: which address is answered by what. Source: KITE_SPEC, sections 1 to 7.

Orders cannot be placed here; of the account there are the reads that official clients make, all of an empty portfolio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from intraday.domain.session import day_of
from intraday.sim import login, quotes
from intraday.sim.accounts import Account, Refused
from intraday.sim.exchange import Exchange
from intraday.sim.replies import CSV, HttpHandler, Reply, failure, guarded, public, send, success

MF_INSTRUMENTS = (
    b"tradingsymbol,amc,name,purchase_allowed,redemption_allowed,minimum_purchase_amount,purchase_amount_multiplier,"
    b"minimum_additional_purchase_amount,minimum_redemption_quantity,redemption_quantity_multiplier,dividend_type,scheme_type,"
    b"plan,settlement_type,last_price,last_price_date\n"
    b"SIMFUND,Simulated_MF,Simulated Fund,1,1,1000.0,1.0,1000.0,0.001,0.001,growth,equity,direct,T3,100.0,2025-01-01\n"
)
AVAILABLE = ("adhoc_margin", "cash", "opening_balance", "live_balance", "collateral", "intraday_payin")
UTILISED = (
    "debits", "exposure", "m2m_realised", "m2m_unrealised", "option_premium", "payout", "span", "holding_sales", "turnover",
    "liquid_collateral", "stock_collateral", "delivery",
)  # fmt: skip
MARGIN: dict[str, Any] = {
    "enabled": True,
    "net": 0.0,
    "available": dict.fromkeys(AVAILABLE, 0.0),
    "utilised": dict.fromkeys(UTILISED, 0.0),
}
# What the reads of an empty account give: address, payload.
EMPTY_ACCOUNT: tuple[tuple[str, Any], ...] = (
    ("/user/margins", {"equity": MARGIN, "commodity": MARGIN}),
    ("/user/margins/{segment:equity|commodity}", MARGIN),
    ("/orders", []),
    ("/trades", []),
    ("/portfolio/holdings", []),
    ("/portfolio/holdings/auctions", []),
    ("/portfolio/positions", {"net": [], "day": []}),
    ("/mf/orders", []),
    ("/mf/sips", []),
    ("/mf/holdings", []),
    ("/gtt/triggers", []),
)
MISSING = ("/orders/{id}", "/orders/{id}/trades", "/mf/orders/{id}", "/mf/sips/{id}", "/gtt/triggers/{id}")

LINE_BYTES = 2**17  # of a request's first line: a thousand instruments stand in one; give this to the web server

Page = Callable[[Exchange, web.Request], Awaitable[web.StreamResponse]]


def routes(exchange: Exchange) -> list[web.RouteDef]:
    """All addresses. The last ones answer what nothing else does, with 404 and 405 in Kite's envelope: add them after others."""
    known = [
        web.get("/connect/login", _page(exchange, login.login_page)),
        web.post("/connect/login", _page(exchange, login.login_form)),
        web.post("/session/token", public(exchange, "other", login.create_session)),
        web.delete("/session/token", public(exchange, "other", login.end_session)),
        web.get("/user/profile", guarded(exchange, "other", login.profile)),
        web.get("/user/profile/full", guarded(exchange, "other", login.full_profile)),
        web.get("/instruments", guarded(exchange, "other", quotes.dump)),
        web.get("/instruments/{exchange}", guarded(exchange, "other", quotes.dump)),
        web.get("/instruments/historical/{token}/{interval}", guarded(exchange, "historical", quotes.historical, data=True)),
        web.get("/instruments/trigger_range/{side:buy|sell}", guarded(exchange, "other", quotes.trigger_range)),
        web.get("/quote", guarded(exchange, "quote", quotes.quote, data=True)),
        web.get("/quote/ohlc", guarded(exchange, "quote", quotes.ohlc, data=True)),
        web.get("/quote/ltp", guarded(exchange, "quote", quotes.ltp, data=True)),
        web.get("/mf/instruments", guarded(exchange, "other", _mf_instruments)),
        *(web.get(path, guarded(exchange, "other", _constant(payload))) for path, payload in EMPTY_ACCOUNT),
        *(web.get(path, guarded(exchange, "other", _missing)) for path in MISSING),
        web.get("/sim/clock", _clock(exchange)),
    ]
    paths = dict.fromkeys(route.path for route in known)
    wrong = [web.route("*", path, _plain(exchange, 405, "Method not allowed.")) for path in paths]
    return [*known, *wrong, web.route("*", "/{tail:.*}", _plain(exchange, 404, "Route not found."))]


def _page(exchange: Exchange, page: Page) -> HttpHandler:
    """A page for a browser; what it refuses comes in the envelope."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await page(exchange, request)
        except Refused as refused:
            return send(exchange, request, failure(refused.status, refused.error_type, refused.message))

    return handle


def _plain(exchange: Exchange, status: int, message: str) -> HttpHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return send(exchange, request, failure(status, "GeneralException", message))

    return handle


def _clock(exchange: Exchange) -> HttpHandler:
    """``GET /sim/clock``: the exchange's time for programs beside it; no envelope. ``speed`` null: as fast as possible."""

    async def handle(request: web.Request) -> web.StreamResponse:
        speed = None if exchange.speed == float("inf") else exchange.speed
        now_ns = exchange.clock.now_ns()
        told = {"now_ns": now_ns, "speed": speed, "day": day_of(now_ns).isoformat(), "version": 1}
        return send(exchange, request, Reply(orjson.dumps(told)))

    return handle


def _constant(payload: Any) -> Callable[[Exchange, web.Request, Account], Awaitable[Reply]]:
    async def answer(exchange: Exchange, request: web.Request, account: Account) -> Reply:
        return success(payload)

    return answer


async def _missing(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    raise Refused(400, "InputException", f"Couldn't find that `{request.path.split('/')[1]}` id.")


async def _mf_instruments(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    return Reply(MF_INSTRUMENTS, content_type=CSV)
