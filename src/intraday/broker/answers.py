"""What the broker answered: its payload, or the error it stands for. Pure.

Kite's envelope is ``{"status", "data"}`` or ``{"status": "error", "message", "error_type"}``; the body decides, not the HTTP code
(an error may come with 200). Everything else that can arrive (a page of the network in between, half a body) is told apart from it.
Every message says what was asked, what came and what to do, and never a token, a secret or a checksum.
Source: KITE_SPEC 3 and 4 (documentation, official clients, observed answers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

import orjson

from intraday.domain.broker import Secret
from intraday.domain.errors import (
    AddressBlocked,
    BadAnswer,
    BrokerUnavailable,
    IntradayError,
    LoginFailed,
    NotEntitled,
    RateLimited,
    RequestRefused,
    SpanTooLong,
    TokenDead,
    WrongCredentials,
)

T = TypeVar("T")

SHOWN_MAX = 160  # characters of a stranger's text that go into a message

_SPAN = re.compile(r"interval exceeds max limit\D*(\d+)\s*day", re.IGNORECASE)
_ADDRESS = re.compile(r"\bIPs?\b|\bip[ -]address|\bwhitelist", re.IGNORECASE)
_TOO_MANY = re.compile(r"too many requests", re.IGNORECASE)
_OF_BROKER = ("NetworkException", "DataException", "GeneralException")  # their side failed


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as messages may show it. ``what`` has no secrets; ``hide`` are those it carried, cut out of whatever comes back."""

    what: str
    hide: tuple[Secret, ...] = ()
    login: bool = False  # the exchange of a request token


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP; ``content_type`` in lower case, ``body`` without transport compression."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


def parsed(asked: Asked, answer: Answer, parse: Callable[[Any], T]) -> T:
    """``parse`` of a JSON answer's ``data``. Raises the BrokerError or AuthError that the answer stands for."""
    value = _understood(asked, answer, parse)
    if isinstance(value, IntradayError):
        raise value  # here, where no variable holds what came: a traceback may be printed with its locals
    return value


def csv_body(asked: Asked, answer: Answer) -> bytes:
    """The body of a CSV answer. Raises like ``parsed``."""
    if answer.status == 200 and "csv" in answer.content_type:
        return answer.body
    parsed(asked, answer, lambda _: None)
    raise BadAnswer(f"{_came(asked, answer)}, expected CSV, found {answer.content_type or 'no content type'}")


def _understood(asked: Asked, answer: Answer, parse: Callable[[Any], T]) -> T | IntradayError:
    envelope = _envelope(asked, answer)
    if isinstance(envelope, IntradayError):
        return envelope
    if envelope.get("status") == "error" or "error_type" in envelope or answer.status >= 400:
        return _error(asked, answer, envelope)
    if "data" not in envelope:
        return BadAnswer(f'{_came(asked, answer)}, expected {{"status": "success", "data": ...}}, found no data')
    try:
        return parse(envelope["data"])
    except BadAnswer as error:
        return BadAnswer(f"{_came(asked, answer)}: {error}: the broker answered otherwise than documented")


def _envelope(asked: Asked, answer: Answer) -> dict[str, Any] | IntradayError:
    """The JSON object of the answer if it is one, otherwise the error that its HTTP code stands for."""
    found = f"found {answer.content_type or 'no content type'}"
    if "json" in answer.content_type:
        try:
            envelope = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            found = f"found {len(answer.body)} bytes that are none"
        else:
            if isinstance(envelope, dict):
                return envelope
            found = "found no object"
    return _error(asked, answer, {}) if answer.status >= 400 else BadAnswer(f"{_came(asked, answer)}, expected JSON, {found}")


def _error(asked: Asked, answer: Answer, envelope: dict[str, Any]) -> IntradayError:
    """The error that an HTTP code and an error envelope (empty: the body is something else) stand for."""
    kind, text = str(envelope.get("error_type") or ""), str(envelope.get("message") or "")
    came = _came(asked, answer, kind, text)
    if answer.status == 429 or _TOO_MANY.search(text):
        return RateLimited(f"{came}: too many calls with this API key in one second; is another program using it?")
    if asked.login and answer.status < 500 and (answer.status >= 400 or kind not in _OF_BROKER):
        return _login_error(came, answer, text)
    if kind in ("TokenException", "PermissionException") or (answer.status in (401, 403) and (not kind or _ADDRESS.search(text))):
        return _forbidden(came, answer, kind, text)
    if answer.status >= 500 or (answer.status < 400 and kind in _OF_BROKER):
        return BrokerUnavailable(f"{came}: the broker's side failed; try again later")
    return _refused(came, text)


def _login_error(came: str, answer: Answer, text: str) -> IntradayError:
    """Of the exchange of a request token."""
    low = text.lower()
    if not text and answer.status == 403 or _ADDRESS.search(text):
        return _blocked(came)
    if "checksum" in low or "api_key" in low or "api_secret" in low:
        return WrongCredentials(
            f"{came}: API key and secret do not belong together, or the key is unknown; "
            "compare both with your app's page at developers.kite.trade"
        )
    return LoginFailed(f"{came}: a request token works once and for a few minutes; run `intraday auth login` again")


def _forbidden(came: str, answer: Answer, kind: str, text: str) -> IntradayError:
    """403, or what means the same."""
    if _ADDRESS.search(text) or (not text and not kind and "json" not in answer.content_type):
        return _blocked(came)
    if kind == "PermissionException":
        return NotEntitled(
            f"{came}: this API key has no market data (the free plan has none); see your app's page at developers.kite.trade. "
            "Between 05:20 and 08:00 IST it can also be the token's daily end: run `intraday auth login` after 08:00"
        )
    return TokenDead(f"{came}: the access token has expired or was revoked; run `intraday auth login`")


def _blocked(came: str) -> AddressBlocked:
    return AddressBlocked(
        f"{came}: the broker, or a firewall before it, refuses this machine's address; "
        "check a VPN or proxy, and the allowed addresses on your app's page at developers.kite.trade"
    )


def _refused(came: str, text: str) -> IntradayError:
    """400 and other 4xx: the request is wrong."""
    if span := _SPAN.search(text):
        return SpanTooLong(f"{came}: ask for at most {span[1]} days at once", int(span[1]))
    if "api_key" in text:
        return WrongCredentials(f"{came}: the broker does not know this API key or was sent no token; run `intraday auth login`")
    return RequestRefused(f"{came}: repeating it cannot help")


def _came(asked: Asked, answer: Answer, kind: str = "", text: str = "") -> str:
    """``GET /quote: HTTP 403 TokenException "..."``."""
    said = f' "{clean(text, asked.hide)}"' if text else ""
    return f"{asked.what}: HTTP {answer.status}{' ' + clean(kind, asked.hide) if kind else ''}{said}"


def clean(text: str, hide: Sequence[Secret] = ()) -> str:
    """A stranger's text for a message: one short printable line, the secrets of the request cut out."""
    line = "".join(c if c.isprintable() else " " for c in cut(text, hide)).strip()
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 3] + "..."


def cut(text: str, hide: Sequence[Secret]) -> str:
    """``text`` with ``***`` for each secret, also where it is written as in an address."""
    for secret in hide:
        if shown := secret.reveal():
            for form in (shown, quote(shown, safe=""), quote_plus(shown)):
                text = text.replace(form, "***")
    return text
