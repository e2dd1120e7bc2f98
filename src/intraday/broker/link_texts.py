"""The texts of a connection: commands to the broker, what it says, and what a failure means in plain words. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from intraday.broker.link_events import Closed, Mode, Send

BATCH = 1000  # tokens of one subscription message; Kite states no limit
TEXT_MAX = 500  # characters of a broker's text that are shown


def subscriptions(modes: Mapping[int, Mode]) -> Iterator[Send]:
    """Subscribe, then set the mode (a bare subscription is ``quote``), in batches."""
    by_mode: defaultdict[Mode, list[int]] = defaultdict(list)
    for token, mode in modes.items():
        by_mode[mode].append(token)
    for mode, tokens in by_mode.items():
        for part in _batches(tokens):
            yield Send(_command("subscribe", part))
            yield Send(_command("mode", [mode.value, part]))


def unsubscriptions(tokens: list[int]) -> Iterator[Send]:
    """Unsubscribe, in batches."""
    return (Send(_command("unsubscribe", part)) for part in _batches(tokens))


def parse(text: str) -> tuple[str, str]:
    """``(kind, what to show)`` of a text message: kind order, error or message; "" for anything else."""
    try:
        message = json.loads(text)
        kind, content = message["type"], message.get("data")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""
    return (kind, plain(content)) if kind in ("order", "error", "message") else ("", "")


def plain(content: object) -> str:
    """A stranger's text as one short printable line."""
    text = content if isinstance(content, str) else json.dumps(content)
    line = "".join(c if c.isprintable() else " " for c in text[: 2 * TEXT_MAX])
    return " ".join(line.split())[:TEXT_MAX]


_CODES = {1000: "closed by the server", 1001: "the server is going away", 1006: "the connection broke off", 1011: "server error"}


def close_text(thing: Closed) -> str:
    """Why a connection ended."""
    reason = f": {plain(thing.reason)}" if thing.reason else ""
    return f"{_CODES.get(thing.code, 'closed')} ({thing.code}){reason}"


def forbidden(body: str) -> str:
    """What a 403 on the upgrade means, by Kite's words or the name of the error that REST gave.

    Kite's own words are often the same for a dead token and a key without market data (KITE_SPEC 8.1): then both are named.
    """
    low = body.lower()
    if "permission" in low or "notentitled" in low:
        return (
            "the broker refuses market data (403, no permission): the API key has no market-data subscription, see the plan of the "
            "app at developers.kite.trade; between 05:20 and 08:00 IST it can also be the token's daily end: then log in after that"
        )
    if "tokenexception" in low or "tokendead" in low or "access_token" in low:
        return "the access token is dead (403): log in again with `intraday auth login`; the feed goes on by itself"
    return (
        "the broker refuses the login (403): the access token is dead, or the API key has no market data. `intraday auth status` "
        "tells which; after `intraday auth login` the feed goes on by itself"
    )


def _batches(tokens: list[int]) -> Iterable[list[int]]:
    return (tokens[i : i + BATCH] for i in range(0, len(tokens), BATCH))


def _command(action: str, value: object) -> str:
    return json.dumps({"a": action, "v": value}, separators=(",", ":"))
