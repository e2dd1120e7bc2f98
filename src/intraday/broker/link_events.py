"""What goes into the state machine of one connection (``link.Link``) and what comes out: immutable facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    """How much of an instrument is sent, as Kite names it."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection that was asked for is there."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary message: a heartbeat of one byte, or a frame of packets."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A text message: JSON with ``type`` order, error or message."""

    text: str


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to a ping of ours, or a ping of the server's."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone. 1006 where the server sent no code."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answered the upgrade with an HTTP status; 0: there is no token to ask with, ``body`` says why."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection: refused, no such host, no answer in time."""

    reason: str


@dataclass(frozen=True, slots=True)
class TokenRead:
    """The access token was read again. ``changed``: it is another than the one that was refused."""

    changed: bool


@dataclass(frozen=True, slots=True)
class Want:
    """Subscribe to these tokens, in these modes, now and after every reconnect."""

    modes: Mapping[int, Mode]


@dataclass(frozen=True, slots=True)
class Unwant:
    """Forget these tokens."""

    tokens: Iterable[int]


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of the last ``Wait`` has come."""


Input = Opened | Binary | Text | Pong | Closed | Refused | Unreachable | TokenRead | Want | Unwant | Tick


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; answer with Opened, Refused or Unreachable."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text."""

    text: str


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping; answer its pong with Pong."""


@dataclass(frozen=True, slots=True)
class Close:
    """Drop the connection at once, whatever the other side says."""


@dataclass(frozen=True, slots=True)
class NeedToken:
    """Read the access token again; answer with TokenRead."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Send Tick at this time. A later Wait replaces an earlier one."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """A frame of packets, not yet decoded."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should read. ``level``: info, warning or error."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing comes through this connection any more. ``since_ns``: when the last frame or heartbeat came."""

    reason: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class Up:
    """The connection is open, subscribed, and something came through it."""


Output = Connect | Send | SendPing | Close | NeedToken | Wait | Deliver | Notice | Lost | Up


@dataclass(slots=True)
class LinkCounts:
    """What one connection has seen since the program started."""

    frames: int = 0  # with packets
    heartbeats: int = 0
    packets: int = 0  # decoded
    malformed: int = 0  # frames dropped because they contradict themselves
    unknown_packets: int = 0  # of a length no packet has, left out of their frames
    orders: int = 0  # order updates, which nobody here needs
    invalid_texts: int = 0
    notices: int = 0
    connects: int = 0  # successful ones
    losses: dict[str, int] = field(default_factory=dict)  # by kind: closed, stalled, silent
    refused: int = 0
