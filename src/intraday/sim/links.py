"""The connections of the exchange's WebSocket, and who subscribed what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from intraday.sim.packets import MODES


@dataclass(eq=False, slots=True)
class Link:
    """One connection. ``modes``: mode by token. ``outbox``: packets of this step; ``held``: old ones that will go out late."""

    number: int
    api_key: str
    access_token: str = field(repr=False)
    ws: web.WebSocketResponse
    transport: asyncio.Transport
    modes: dict[int, str] = field(default_factory=dict)
    outbox: list[bytes] = field(default_factory=list)
    held: dict[bytes, bytes] = field(default_factory=dict)
    sent_ns: int = 0
    stuck_until_ns: int = 0  # half open until then
    paused: bool = False  # nothing is read


@dataclass(slots=True)
class Counts:
    """What the stream has done so far."""

    links: int = 0  # ever
    packets: int = 0
    frames: int = 0
    bytes: int = 0
    slow: int = 0  # links dropped because they did not read
    refused: int = 0  # upgrades
    torn: int = 0  # links closed because their token died


class Subscriptions:
    """``watchers``: the links that want a token, by token and mode. ``last``: the body that was last sent, by mode and token."""

    def __init__(self) -> None:
        self.watchers: dict[int, dict[str, list[Link]]] = {}
        self.last: dict[str, dict[int, bytes]] = {mode: {} for mode in MODES}

    def add(self, link: Link, tokens: Iterable[int], mode: str) -> None:
        """``link`` wants these tokens in ``mode``, and in no other any more."""
        for token in tokens:
            self.remove(link, (token,))
            link.modes[token] = mode
            self.watchers.setdefault(token, {}).setdefault(mode, []).append(link)

    def remove(self, link: Link, tokens: Iterable[int]) -> None:
        """``link`` wants these tokens no more; those it never wanted are left alone."""
        for token in tokens:
            mode = link.modes.pop(token, None)
            if mode is None:
                continue
            by_mode = self.watchers[token]
            by_mode[mode].remove(link)
            if not by_mode[mode]:
                del by_mode[mode]
                self.last[mode].pop(token, None)
            if not by_mode:
                del self.watchers[token]
