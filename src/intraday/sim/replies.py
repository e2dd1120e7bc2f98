"""What every answer of the REST side has in common: envelopes, compression, the faults of its class, logins and limits.

Source: KITE_SPEC, sections 1, 3 and 4.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from intraday.sim.accounts import Account, Refused
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import RestClass, RestFault

JSON = "application/json"
CSV = "text/csv"
GZIP_FROM = 1_000  # bytes; shorter bodies are sent as they are
TOO_MANY = "Too many requests"
FAULTS = {  # status: (error_type, message)
    429: ("NetworkException", TOO_MANY),
    500: ("GeneralException", "Something went wrong. Please try again."),
    502: ("DataException", "Unknown response from the OMS."),
    503: ("NetworkException", "The API is down. Please try again later."),
    504: ("NetworkException", "Gateway timed out."),
}

HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Reply:
    """An answer before it is compressed or spoilt."""

    body: bytes
    status: int = 200
    content_type: str = JSON


Endpoint = Callable[[Exchange, web.Request, Account], Awaitable[Reply]]
PublicEndpoint = Callable[[Exchange, web.Request], Awaitable[Reply]]


def success(payload: Any) -> Reply:
    """The envelope of a payload."""
    return Reply(orjson.dumps({"status": "success", "data": payload}, option=orjson.OPT_NON_STR_KEYS))


def failure(status: int, error_type: str, message: str) -> Reply:
    """The envelope of an error."""
    return Reply(orjson.dumps({"status": "error", "message": message, "error_type": error_type, "data": None}), status)


def send(exchange: Exchange, request: web.Request, reply: Reply) -> web.Response:
    """The HTTP answer; compressed if the client takes that and ``knobs.gzip`` is on. No thread takes part, so time stands still."""
    headers = {"Content-Type": reply.content_type}
    body = reply.body
    if exchange.knobs.gzip and len(body) > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, 1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, status=reply.status, headers=headers)


def guarded(exchange: Exchange, name: RestClass, endpoint: Endpoint, data: bool = False) -> HttpHandler:
    """``endpoint`` for logged-in clients, with the limits and the faults of its class. ``data``: it needs market data."""

    async def answer(exchange: Exchange, request: web.Request) -> Reply:
        account = exchange.accounts.check(request.headers.get("Authorization"), data)
        return await endpoint(exchange, request, account)

    return public(exchange, name, answer)


def public(exchange: Exchange, name: RestClass, endpoint: PublicEndpoint) -> HttpHandler:
    """``endpoint`` for everybody, with the limits and the faults of its class."""

    async def handle(request: web.Request) -> web.StreamResponse:
        admitted = exchange.limits.admit(_api_key(request), name)
        fault = exchange.knobs.rest_faults[name]
        if fault.delay_s > 0:
            await asyncio.sleep(fault.delay_s)
        if fault.drop and request.transport is not None:
            request.transport.abort()
            return web.Response()
        return send(exchange, request, _spoilt(await _answer(exchange, request, endpoint, fault, admitted), fault))

    return handle


async def _answer(exchange: Exchange, request: web.Request, endpoint: PublicEndpoint, fault: RestFault, admitted: bool) -> Reply:
    if fault.status is not None:
        return failure(fault.status, *FAULTS.get(fault.status, FAULTS[500]))
    if not admitted:
        return failure(429, *FAULTS[429])
    try:
        return await endpoint(exchange, request)
    except Refused as refused:
        return failure(refused.status, refused.error_type, refused.message)


def _spoilt(reply: Reply, fault: RestFault) -> Reply:
    if fault.truncate:
        reply.body = reply.body[: len(reply.body) // 2]
    if fault.content_type is not None:
        reply.content_type = fault.content_type
    return reply


def _api_key(request: web.Request) -> str:
    """Whose limit a request counts against."""
    pair = request.headers.get("Authorization", "").partition(" ")[2]
    return pair.partition(":")[0]
