"""The login page, the exchange of request tokens, the profile and the logout. Source: KITE_SPEC, section 2."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from aiohttp import web

from intraday.domain.arrays import IST_NS
from intraday.sim.accounts import Account, Refused
from intraday.sim.exchange import Exchange
from intraday.sim.replies import Reply, success

EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
EXCHANGES = ["NSE", "BSE", "NFO", "BFO", "CDS", "MCX", "BCD", "MF"]
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Simulated Kite login</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 10vh auto; padding: 0 1rem }}
label {{ display: block; margin: .8rem 0 }} input {{ width: 100%; font: inherit; padding: .4rem; box-sizing: border-box }}
button {{ font: inherit; padding: .5rem 1.2rem; margin: .5rem .5rem 0 0 }}
</style>
<h1>Simulated Kite</h1>
<p>This is the exchange of this program, not Zerodha.
Nothing you type here leaves your machine, and the fields are filled in already.</p>
<form method="post" action="/connect/login">
<input type="hidden" name="api_key" value="{api_key}">
<input type="hidden" name="redirect_params" value="{redirect_params}">
<input type="hidden" name="redirect_url" value="{redirect_url}">
<label>User id <input name="user_id" value="{user_id}" autocomplete="off"></label>
<label>Password <input name="password" type="password" value="simulated" autocomplete="off"></label>
<label>TOTP <input name="totp" value="000000" inputmode="numeric" autocomplete="off"></label>
<button name="action" value="login">Log in</button><button name="action" value="refuse">Refuse</button>
</form>
"""


async def login_page(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    """``GET /connect/login``: the page; with ``auto=1`` the login happens at once, as if the button had been pressed."""
    query = request.query
    exchange.accounts.app(query.get("api_key", ""))
    if query.get("auto") == "1":
        return _redirected(exchange, query, approved=True)
    text = PAGE.format(
        api_key=escape(query.get("api_key", "")),
        redirect_params=escape(query.get("redirect_params", "")),
        redirect_url=escape(query.get("redirect_url", "")),
        user_id=escape(exchange.accounts.user_id),
    )
    return web.Response(text=text, content_type="text/html", headers=PAGE_HEADERS)


async def login_form(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    """``POST /connect/login``: approve or refuse, then back to the app."""
    form = await request.post()
    approved = form.get("action") != "refuse" and form.get("user_id") == exchange.accounts.user_id
    return _redirected(exchange, form, approved)


async def create_session(exchange: Exchange, request: web.Request) -> Reply:
    """``POST /session/token``."""
    form = await request.post()
    fields = [str(form.get(name, "")) for name in ("api_key", "request_token", "checksum")]
    if not all(fields):
        raise Refused(400, "InputException", "Missing `api_key`, `request_token` or `checksum`.")
    account = exchange.accounts.exchange(*fields)
    return success(
        profile_of(account)
        | {
            "api_key": account.api_key,
            "access_token": account.access_token,
            "public_token": account.access_token[::-1],
            "login_time": ist_text(account.login_ns),
            **dict.fromkeys(("enctoken", "refresh_token", "silo"), ""),
        }
    )


async def end_session(exchange: Exchange, request: web.Request) -> Reply:
    """``DELETE /session/token``."""
    exchange.accounts.invalidate(request.query.get("api_key", ""), request.query.get("access_token", ""))
    return success(True)


async def profile(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /user/profile``."""
    return success(profile_of(account))


async def full_profile(exchange: Exchange, request: web.Request, account: Account) -> Reply:
    """``GET /user/profile/full``."""
    more = {"twofa_type": "totp", "phone": "*0000", "pan": "*0000", "bank_accounts": [], "dp_ids": [], "tags": []}
    return success(profile_of(account) | more | {"password_timestamp": ist_text(account.login_ns)})


def profile_of(account: Account) -> dict[str, Any]:
    """The fields that a login and a profile share."""
    return {
        "user_id": account.user_id,
        "user_type": "individual",
        "email": "simulated@localhost",
        "user_name": account.user_name,
        "user_shortname": account.user_name.split(" ")[0],
        "broker": "ZERODHA",
        "exchanges": EXCHANGES,
        "products": ["CNC", "NRML", "MIS", "BO", "CO"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "consent"},
    }


def ist_text(at_ns: int) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in Indian time, as Kite writes times."""
    return (EPOCH_UTC + timedelta(microseconds=(at_ns + IST_NS) // 1000)).strftime("%Y-%m-%d %H:%M:%S")


def _redirected(exchange: Exchange, given: Any, approved: bool) -> web.Response:
    api_key = str(given.get("api_key", ""))
    token = exchange.accounts.approve(api_key) if approved else None
    extra, target = str(given.get("redirect_params", "")), str(given.get("redirect_url", "")) or None
    where = exchange.accounts.redirect(api_key, token, extra, target)
    return web.Response(status=302, headers={"Location": where, **PAGE_HEADERS})
