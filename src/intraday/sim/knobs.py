"""Everything about the simulated exchange that can be turned while it runs. The defaults are a healthy exchange.

A scenario turns the knobs at given times, the handlers read them at each request or frame. What happens once (a link dropped, a
text sent) is no knob: that is ``faults.Faults``. Source: KITE_SPEC, section 11.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RestClass = Literal["quote", "historical", "other"]
REST_CLASSES: tuple[RestClass, ...] = ("quote", "historical", "other")  # the classes that are limited separately


@dataclass(slots=True)
class RestFault:
    """What is wrong with the answers of one class of calls. Checked in this order; ``status`` comes before any work is done."""

    delay_s: float = 0.0  # before the answer; the clients give up after 7
    drop: bool = False  # the connection closes without an answer
    status: int | None = None  # 429, 500, 502, 503, 504 with its envelope in place of the answer
    truncate: bool = False  # half of the body, with the length of all of it left out
    content_type: str | None = None  # in place of application/json
    absent_share: float = 0.0  # /quote*: this share of the keys asked for is not in the answer


@dataclass(slots=True)
class AuthKnobs:
    """Logins, tokens and what they may do."""

    expire_at_ns: int | None = None  # every token issued before dies then; None: at 06:00 IST of the next day only
    stage: Literal["none", "permission", "ws", "token"] = "none"  # noqa: S105 - progressive death, as seen 05:20 to 07:50 IST
    new_login_revokes_old: bool = True
    entitled: bool = True  # False: no market data (the free plan): 403 PermissionException, and 403 on the upgrade
    missing_header_400: bool = True  # False: a missing header is a 403 TokenException
    request_token_s: float = 180.0  # life of a request token


@dataclass(slots=True)
class StreamKnobs:
    """The WebSocket side. Shares are probabilities, 0 to 1."""

    silent: bool = False  # nothing is sent on any link, no heartbeats either; reads and pongs go on
    refuse_upgrade: int | None = None  # 403 or 429 in answer to every upgrade
    token_cap: int = 3000  # instruments of one link
    link_cap: int = 3  # links of one API key; one more is answered 429
    duplicate_share: float = 0.0  # of the packets are sent twice
    stale_share: float = 0.0  # of the packets are sent again a few frames later, after newer ones: out of order
    malformed_share: float = 0.0  # of the frames carry a packet length that no packet has
    volume_reset_share: float = 0.0  # of the packets say volume 0
    volume_regression_share: float = 0.0  # of the packets say a volume smaller than the one before
    cached_yesterday: bool = False  # the first packet after a subscription is yesterday's last, whatever the time
    empty_depth_after_close: bool = True
    split_share: float = 0.0  # of the frames go out as WebSocket fragments in TCP pieces of odd sizes
    frame_packets: int = 0  # packets of each frame, the last of a step may have less; 0: drawn, 1 to 200 with median 5
    heartbeat_s: float = 1.0
    publish_every_s: float = 0.1  # how often the book is asked what changed
    conflate_s: float = 0.5  # a token is sent at most this often
    buffer_bytes: int = 4_000_000  # a client that leaves more than this unread is dropped


@dataclass(slots=True)
class CandleKnobs:
    """The history that is served."""

    publish_delay_s: float = 3.0  # a minute is there this long after its end
    late_revision_share: float = 0.0  # of the minutes change their volume 60 s after publication
    auction_candles: Literal["none", "one"] = "none"  # of the closing auction; what Kite shows is not known


@dataclass(slots=True)
class Knobs:
    """All of them. ``seed`` decides everything random about faults: which packets, which keys, which frames."""

    seed: int = 1
    limits_profile: Literal["current", "legacy2018"] = "current"  # spans of candles a request may have
    gzip: bool = True  # dumps, and whatever the client accepts
    frozen: bool = False  # the whole exchange stands still: no frames, no pongs, no answers; connections stay open
    updates_per_s: float = 2.0  # changes of a liquid instrument's depth
    auth: AuthKnobs = field(default_factory=AuthKnobs)
    rest_faults: dict[RestClass, RestFault] = field(default_factory=lambda: {name: RestFault() for name in REST_CLASSES})
    stream: StreamKnobs = field(default_factory=StreamKnobs)
    candles: CandleKnobs = field(default_factory=CandleKnobs)
