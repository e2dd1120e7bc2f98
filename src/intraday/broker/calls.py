"""One call to the broker from its turn to its answer: paced, guarded, repeated, and quiet about secrets.

turn -> circuit -> HTTP -> reading of the answer; what may fare better is repeated from the turn on. Everything waited for is
bounded: the turn by its class, one attempt by its patience, all of them by the retry policy.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from intraday.broker.answers import Answer, Asked, clean
from intraday.broker.breaker import Breaker, BreakerPolicy, CircuitOpen
from intraday.broker.endpoints import SECOND_NS, Endpoint, Pace
from intraday.broker.pacing import Gate, Pacers, Turn
from intraday.broker.retry import RetryPolicy, worth_repeating
from intraday.domain.broker import Secret, TokenSource
from intraday.domain.clock import Clock
from intraday.domain.errors import BadAnswer, BrokerError, BrokerUnavailable, IntradayError, RateLimited, TokenDead

T = TypeVar("T")
Pairs = Sequence[tuple[str, str | Secret]]

BODY_MAX = 64 << 20  # bytes; the whole list of instruments is under 10 MB


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask. ``what``: its path and parameters for messages, without secrets; a Secret in ``query`` or ``form`` is cut out of
    whatever comes back."""

    endpoint: Endpoint
    path: str
    what: str
    query: Pairs = ()
    form: Pairs = ()
    login: bool = False

    def asked(self, token: Secret | None) -> Asked:
        """For messages."""
        carried = [value for _, value in (*self.query, *self.form) if isinstance(value, Secret)]
        return Asked(f"{self.endpoint.method} {self.what}", (*carried, *([token] if token else [])), self.login)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often: ``timeout_s`` for one ordinary answer."""

    timeout_s: float
    retry: RetryPolicy
    breaker: BreakerPolicy


class Caller:
    """Sends calls over one HTTP client. ``headers(token)`` signs a request; ``token`` is asked before each call."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: TokenSource,
        sign: Callable[[Secret], str],
        pacers: Pacers,
        clock: Clock,
        patience: Patience,
        rng: random.Random,
    ) -> None:
        self._http = http
        self._token = token
        self._sign = sign
        self._pacers = pacers
        self._clock = clock
        self._patience = patience
        self._rng = rng
        self._breakers = {pace: Breaker(patience.breaker, pace.value) for pace in Pace}

    async def call(self, call: Call, read: Callable[[Asked, Answer], T]) -> T:
        """``read`` of the answer. Raises BrokerError or AuthError, after the repetitions that are allowed."""
        gate = self._pacers.gate(call.endpoint.pace)
        turn = await gate.turn()
        tries = _Tries(call.endpoint, self._patience.retry, self._rng, self._clock)
        token: Secret | None = None
        while True:
            with turn:
                try:
                    if token is None and call.endpoint.signed:
                        token = self._token()
                    return await self._attempt(call, token, read, gate, turn)
                except TokenDead as error:
                    fresh = self._token()
                    if fresh == token or not tries.renew():
                        raise error
                    token, wait_s = fresh, 0.0
                except BrokerError as error:
                    wait_s = tries.wait_s(error)
            await asyncio.sleep(wait_s)
            turn = await gate.turn()

    async def _attempt(self, call: Call, token: Secret | None, read: Callable[[Asked, Answer], T], gate: Gate, turn: Turn) -> T:
        breaker = self._breakers[call.endpoint.pace]
        breaker.admit(self._clock.now_ns())
        try:
            value = read(call.asked(token), await self._answer(call, token, turn))
        except BrokerUnavailable as error:
            breaker.failed(self._clock.now_ns(), clean(str(error)))
            raise
        except RateLimited:
            breaker.succeeded()
            gate.refused()
            raise
        except IntradayError:
            breaker.succeeded()
            raise
        except BaseException:  # cancelled
            breaker.abandoned()
            raise
        breaker.succeeded()
        gate.answered()
        return value

    async def _answer(self, call: Call, token: Secret | None, turn: Turn) -> Answer:
        outcome = await self._exchange(call, token, turn)
        if isinstance(outcome, Answer):
            return outcome
        raise outcome

    async def _exchange(self, call: Call, token: Secret | None, turn: Turn) -> Answer | BrokerError:
        """The network's errors are handed back, not raised: no traceback then holds a request, whose address may carry a token."""
        within_s = self._patience.timeout_s * call.endpoint.patience
        asked = call.asked(token)
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.stream(
                    call.endpoint.method,
                    call.path,
                    params=httpx.QueryParams(_plain(call.query)),
                    data=dict(_plain(call.form)) or None,
                    headers={} if token is None else {"Authorization": self._sign(token)},
                    extensions={"trace": _when_sent(turn)},
                ) as response,
            ):
                return await _received(response)
        except (TimeoutError, httpx.TimeoutException):
            return BrokerUnavailable(f"{asked.what}: expected an answer within {within_s:g} s, found none; try again later")
        except httpx.DecodingError:
            return BadAnswer(f"{asked.what}: expected an answer, found a body whose compression is broken")
        except httpx.TransportError as error:
            why = clean(f"{type(error).__name__} {error}", asked.hide)
            return BrokerUnavailable(f"{asked.what}: expected an answer, found no working connection ({why}); check the network")
        except _TooMuch:
            return BadAnswer(f"{asked.what}: expected at most {BODY_MAX >> 20} MiB, found more")


class _TooMuch(Exception):
    """A body without an end."""


class _Tries:
    """What one call may still do."""

    def __init__(self, endpoint: Endpoint, policy: RetryPolicy, rng: random.Random, clock: Clock) -> None:
        self._waits: Iterator[float] = policy.waits(rng) if endpoint.repeatable else iter(())
        self._repeatable = endpoint.repeatable
        self._clock = clock
        self._until_ns = clock.monotonic_ns() + round(policy.total_s * SECOND_NS)
        self._n_sent = 0
        self._n_bad = 0
        self._renewed = False

    def renew(self) -> bool:
        """Whether the call may be sent again with another token: once."""
        allowed, self._renewed = self._repeatable and not self._renewed, True
        return allowed

    def wait_s(self, error: BrokerError) -> float:
        """How long until the next try. Raises the error, or one that also says how often it was tried, when there is none."""
        if isinstance(error, CircuitOpen):  # nothing was sent, so nothing is used up
            wait_s: float | None = error.wait_ns / SECOND_NS if self._repeatable else None
        else:
            self._n_sent += 1
            self._n_bad += isinstance(error, BadAnswer)
            wait_s = next(self._waits, None) if worth_repeating(error, self._n_bad) else None
        if wait_s is not None and self._clock.monotonic_ns() + wait_s * SECOND_NS <= self._until_ns:
            return wait_s
        if self._n_sent < 2 or isinstance(error, CircuitOpen) or not worth_repeating(error, 0):
            raise error
        raise type(error)(f"{error} (asked {self._n_sent} times)")


def _plain(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    return tuple((name, value.reveal() if isinstance(value, Secret) else value) for name, value in pairs)


def _when_sent(turn: Turn) -> Callable[[str, Any], Awaitable[None]]:
    """httpcore's trace hook: the turn is over when the request leaves, which is later where a connection has to be made."""

    async def trace(name: str, info: Any) -> None:
        if name.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":  # that one asks a proxy
            turn.sent()

    return trace


async def _received(response: httpx.Response) -> Answer:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > BODY_MAX:
            raise _TooMuch
        parts.append(part)
    return Answer(response.status_code, response.headers.get("Content-Type", "").lower(), b"".join(parts))


def hide_addresses(record: logging.LogRecord) -> bool:
    """A filter for httpx's logger, which logs every address: without its query, since that of the logout carries the token."""
    if isinstance(record.args, tuple):
        record.args = tuple(a.copy_with(query=None) if isinstance(a, httpx.URL) else a for a in record.args)
    return True
