"""One WebSocket connection as a state machine: what happened goes in with its time, what to do comes out. No socket, no clock.

The official client (5.2.2) takes a frozen server for a live one, loops on a dead token and on connections that die at once, and
drops the broker's messages; each of these is a rule here. Liveness: Kite sends a heartbeat every second when it has nothing else
(KITE_SPEC 8.3), so any byte is a sign of life and silence is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from intraday.broker.link_events import (
    Binary,
    Close,
    Closed,
    Connect,
    Deliver,
    Input,
    LinkCounts,
    Lost,
    Mode,
    NeedToken,
    Notice,
    Opened,
    Output,
    Pong,
    Refused,
    SendPing,
    Text,
    Tick,
    TokenRead,
    Unreachable,
    Unwant,
    Up,
    Wait,
    Want,
)
from intraday.broker.link_texts import close_text, forbidden, parse, plain, subscriptions, unsubscriptions

SECOND_NS = 1_000_000_000
DEPTH_MAX = 20  # doublings of a wait, so that the power stays small


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """The limits of one connection, all in ns.

    ``trading(now_ns)``: is continuous trading on? ``stall_ns``: longest silence then, ``quiet_ns``: at other times (before the
    open, in the closing auction, after the close). ``silent_ns``: longest time in trading without any frame from a server that
    still answers pings; it counts as lost after ``stall_ns`` already, but is given that long to come back.
    """

    trading: Callable[[int], bool]
    stall_ns: int = 4 * SECOND_NS
    quiet_ns: int = 90 * SECOND_NS
    silent_ns: int = 30 * SECOND_NS
    backoff_first_ns: int = SECOND_NS
    backoff_max_ns: int = 30 * SECOND_NS
    refused_max_ns: int = 300 * SECOND_NS  # between two attempts with a token that was refused
    token_check_ns: int = 5 * SECOND_NS  # between two looks for a new token
    healthy_ns: int = 30 * SECOND_NS  # a connection that delivered for so long has proved itself: the back-off starts anew


class _State(Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    OPEN = "open"


class Link:
    """One connection, for ever: ``handle(now_ns, thing) -> outputs``.

    ``jitter`` gives a fraction in [0, 1) for each wait; a wait lasts between half of its length and all of it. Send ``Tick`` to
    start. Time that goes back (a clock that was set) delays nothing.
    """

    def __init__(self, spec: LinkSpec, jitter: Callable[[], float]) -> None:
        self._spec = spec
        self._jitter = jitter
        self._state = _State.WAITING
        self._wanted: dict[int, Mode] = {}
        self._is_up = False
        self._was_up = False  # since it was opened last
        self._attempts = 0  # connections in a row that did not prove themselves
        self._now_ns = 0
        self._retry_ns = 0
        self._refused = False  # the last attempt ended in 403
        self._told = ""  # the last failure that a person was told of
        self._told_quiet = False  # ... and of heartbeats without prices
        self._opened_ns = 0
        self._heard_ns = 0  # any byte
        self._frame_ns = 0  # frames and heartbeats
        self._price_ns = 0  # frames only
        self._pinged_ns = 0
        self.counts = LinkCounts()

    @property
    def state(self) -> str:
        """``waiting``, ``connecting``, ``open`` (nothing came yet) or ``up``."""
        return "up" if self._is_up else self._state.value

    @property
    def wanted(self) -> Mapping[int, Mode]:
        """What is subscribed, whether connected or not."""
        return self._wanted

    @property
    def frame_ns(self) -> int:
        """When the last frame or heartbeat came; 0: none yet."""
        return self._frame_ns

    def handle(self, now_ns: int, thing: Input) -> list[Output]:
        """What follows from one input. Inputs that do not fit the state (a frame after the end) are ignored."""
        if now_ns < self._now_ns:
            self._rewind(now_ns)
        self._now_ns = now_ns
        match thing:
            case Binary():
                return self._binary(now_ns, thing.payload)
            case Tick():
                return self._tick(now_ns)
            case Text():
                return self._text(now_ns, thing.text)
            case Pong():
                self._heard_ns = now_ns
                return []
            case Want() | Unwant():
                return self._change(thing)
            case _:
                return self._progress(now_ns, thing)

    def _progress(self, now_ns: int, thing: Opened | Closed | Refused | Unreachable | TokenRead) -> list[Output]:
        match thing:
            case Opened():
                return self._open(now_ns)
            case Closed():
                return self._closed(now_ns, thing)
            case Refused():
                return self._refuse(now_ns, thing)
            case Unreachable():
                return self._fail(now_ns, f"cannot reach the broker: {thing.reason}", self._backoff())
            case TokenRead():
                return self._token(now_ns, thing.changed)

    # ------------------------------------------------------------------------------------------------ connected

    def _open(self, now_ns: int) -> list[Output]:
        self._state = _State.OPEN
        self._refused = self._was_up = False
        self._opened_ns = self._heard_ns = self._frame_ns = self._price_ns = self._pinged_ns = now_ns
        self.counts.connects += 1
        return [*subscriptions(self._wanted), Wait(now_ns + self._spec.stall_ns // 2)]

    def _binary(self, now_ns: int, payload: bytes) -> list[Output]:
        if self._state is not _State.OPEN:
            return []
        out: list[Output] = []
        self._heard_ns = self._frame_ns = now_ns
        if not self._is_up:
            self._is_up = self._was_up = True
            self._told = ""
            out.append(Up())
        if len(payload) <= 1:
            self.counts.heartbeats += 1
        else:
            self._price_ns = now_ns
            self._told_quiet = False
            self.counts.frames += 1
            out.append(Deliver(payload))
        return out

    def _text(self, now_ns: int, text: str) -> list[Output]:
        self._heard_ns = now_ns
        kind, shown = parse(text)
        if kind == "order":
            self.counts.orders += 1
        elif kind == "":
            self.counts.invalid_texts += 1
        else:
            self.counts.notices += 1
            return [Notice("warning", f"error from the broker: {shown}") if kind == "error" else Notice("info", f"broker: {shown}")]
        return []

    def _change(self, thing: Want | Unwant) -> list[Output]:
        if isinstance(thing, Want):
            news = {token: mode for token, mode in thing.modes.items() if self._wanted.get(token) is not mode}
            self._wanted.update(news)
            return list(subscriptions(news)) if self._state is _State.OPEN else []
        gone = [token for token in thing.tokens if self._wanted.pop(token, None) is not None]
        return list(unsubscriptions(gone)) if self._state is _State.OPEN else []

    # ------------------------------------------------------------------------------------------------ watching

    def _tick(self, now_ns: int) -> list[Output]:
        if self._state is _State.OPEN:
            return self._watch(now_ns)
        if self._state is _State.CONNECTING:
            return []
        if now_ns >= self._retry_ns:
            self._state = _State.CONNECTING
            return [Connect()]
        if self._refused:
            return [NeedToken(), self._until_retry(now_ns)]
        return [Wait(self._retry_ns)]

    def _watch(self, now_ns: int) -> list[Output]:
        spec = self._spec
        limit_ns = spec.stall_ns if spec.trading(now_ns) else spec.quiet_ns
        heard_for, frame_for = now_ns - self._heard_ns, now_ns - self._frame_ns
        pinged = self._pinged_ns > self._heard_ns
        if heard_for >= limit_ns and pinged and now_ns - self._pinged_ns >= spec.stall_ns // 2:
            return self._drop(now_ns, "stalled", f"nothing received for {heard_for / 1e9:.1f} s, not even an answer to a ping")
        if heard_for < spec.stall_ns and frame_for >= spec.silent_ns and self._traded_since(now_ns - spec.silent_ns):
            return self._drop(now_ns, "silent", f"the server answers pings but sent nothing for {frame_for / 1e9:.0f} s")
        out = self._look_for_frames(frame_for) + self._look_for_prices(now_ns)
        due_ns = self._heard_ns + spec.stall_ns // 2
        if due_ns <= now_ns or pinged:
            if not pinged:
                self._pinged_ns = now_ns
                out.append(SendPing())
            due_ns = max(self._heard_ns + limit_ns, self._pinged_ns + spec.stall_ns // 2)
        silent_ns = self._frame_ns + spec.stall_ns
        return [*out, Wait(min(due_ns, now_ns + spec.stall_ns // 2, silent_ns if silent_ns > now_ns else due_ns))]

    def _look_for_frames(self, frame_for: int) -> list[Output]:
        """Pongs, but not even a heartbeat: what happens meanwhile is missed. The connection gets a little longer."""
        stall_ns = self._spec.stall_ns
        answers = self._now_ns - self._heard_ns < stall_ns <= frame_for
        if not self._is_up or not answers or not self._traded_since(self._now_ns - stall_ns):
            return []
        self._is_up = False
        return [Lost(f"the server answers pings but has sent nothing for {frame_for / 1e9:.0f} s", self._frame_ns)]

    def _look_for_prices(self, now_ns: int) -> list[Output]:
        """Heartbeats only, for long, in trading: a quiet market, or a subscription that got lost; a person can tell. Said once."""
        quiet_ns = self._spec.quiet_ns
        if self._told_quiet or now_ns - self._price_ns < quiet_ns or not self._wanted or not self._traded_since(now_ns - quiet_ns):
            return []
        self._told_quiet = True
        return [
            Notice("warning", f"connected, but no price of {len(self._wanted)} instruments for {quiet_ns / 1e9:.0f} s of trading")
        ]

    def _traded_since(self, since_ns: int) -> bool:
        """Trading is on, and was on at ``since_ns``: what was missing before the open does not count."""
        return self._spec.trading(self._now_ns) and self._spec.trading(since_ns)

    def _rewind(self, now_ns: int) -> None:
        self._heard_ns, self._frame_ns = min(self._heard_ns, now_ns), min(self._frame_ns, now_ns)
        self._price_ns, self._pinged_ns = min(self._price_ns, now_ns), min(self._pinged_ns, now_ns)
        self._retry_ns = min(self._retry_ns, now_ns + self._spec.backoff_max_ns)

    # ------------------------------------------------------------------------------------------------ disconnected

    def _closed(self, now_ns: int, thing: Closed) -> list[Output]:
        if self._state is _State.OPEN:
            return self._drop(now_ns, "closed", close_text(thing))[1:]  # there is nothing left to close
        return []

    def _drop(self, now_ns: int, kind: str, reason: str) -> list[Output]:
        """The open connection is no good: close it and try again."""
        self.counts.losses[kind] = self.counts.losses.get(kind, 0) + 1
        if self._frame_ns - self._opened_ns >= self._spec.healthy_ns:
            self._attempts = 0
        was_up, self._is_up = self._is_up, False
        nothing = "" if self._was_up else "the connection came to nothing: "
        told: list[Output] = [Lost(reason, self._frame_ns)] if was_up else self._tell("warning", nothing + reason)
        return [Close(), *told, self._retry(now_ns, self._backoff())]

    def _refuse(self, now_ns: int, thing: Refused) -> list[Output]:
        self.counts.refused += 1
        if thing.status in (0, 403):
            self._refused = True
            wait_ns = self._backoff(self._spec.refused_max_ns)
            told = self._tell("error", forbidden(thing.body) if thing.status else plain(thing.body))
            self._state, self._retry_ns = _State.WAITING, now_ns + wait_ns
            return [*told, NeedToken(), self._until_retry(now_ns)]
        if thing.status == 429:
            text = "the broker allows no further connection for this API key (429): close other programs that use it"
            return self._fail(now_ns, text, max(self._backoff(), self._spec.backoff_max_ns))
        return self._fail(now_ns, f"the broker refused the connection: HTTP {thing.status} {plain(thing.body)}", self._backoff())

    def _fail(self, now_ns: int, text: str, wait_ns: int) -> list[Output]:
        self._refused = False
        return [*self._tell("warning", text), self._retry(now_ns, wait_ns)]

    def _token(self, now_ns: int, changed: bool) -> list[Output]:
        if self._state is not _State.WAITING or not changed:
            return []
        self._attempts, self._refused, self._told = 0, False, ""
        self._state = _State.CONNECTING
        return [Notice("info", "found a new access token; connecting with it"), Connect()]

    def _retry(self, now_ns: int, wait_ns: int) -> Wait:
        self._state, self._retry_ns = _State.WAITING, now_ns + wait_ns
        return Wait(self._retry_ns)

    def _until_retry(self, now_ns: int) -> Wait:
        return Wait(min(self._retry_ns, now_ns + self._spec.token_check_ns))

    def _backoff(self, max_ns: int | None = None) -> int:
        """The next wait: doubles with each connection that did not prove itself, capped, between half of it and all."""
        cap_ns = self._spec.backoff_max_ns if max_ns is None else max_ns
        wait_ns = min(cap_ns, self._spec.backoff_first_ns << min(self._attempts, DEPTH_MAX))
        self._attempts += 1
        return wait_ns // 2 + int(wait_ns // 2 * self._jitter())

    def _tell(self, level: str, text: str) -> list[Output]:
        """A failure is told once, not with every attempt."""
        if text == self._told:
            return []
        self._told = text
        return [Notice(level, text)]
