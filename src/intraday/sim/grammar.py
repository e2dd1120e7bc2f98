"""The words of a scenario: a table of actions, each a pattern of words and values, and what it turns or makes happen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from intraday.domain.errors import ConfigError
from intraday.sim.knobs import REST_CLASSES

NOW = object()  # a setting whose value is the time at which it is made
UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
SHOWN = {
    "{link}": "[N]", "{text}": '"TEXT"', "{count}": "N", "{number}": "X", "{seconds}": "DURATION", "{share}": "SHARE",
    "{switch}": "on|off", "{class}": "CLASS", "{status}": "STATUS", "{refusal}": "403|429", "{code}": "CODE", "{header}": "400|403",
    "{profile}": "current|legacy2018", "{stage}": "STAGE", "{auction}": "none|one",
}  # fmt: skip
_WORD = re.compile(r'"[^"]*"|%|[^\s"%]+')
_COMMENT = re.compile(r'^((?:[^"#]|"[^"]*")*)#.*$')
_TIME = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(\.\d{1,3})?)?$")
_AMOUNT = re.compile(r"^(\d+(?:\.\d+)?)([a-z]*)$")


class Mismatch(Exception):  # noqa: N818 - control flow inside this module
    """Word ``i`` is not what a pattern wants."""

    def __init__(self, i: int, expected: str) -> None:
        super().__init__(expected)
        self.i = i
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Rule:
    """An action. ``path``: the knob it turns, "" all of them, None for an ``event``. ``value``: what to, if no word says it.

    ``{class}`` in ``path`` is the class of calls that the line names.
    """

    pattern: str
    path: str | None = None
    value: Any = None
    event: str = ""

    @property
    def shown(self) -> str:
        """The pattern as the documentation writes it: ``drop link [N]``."""
        return " ".join(SHOWN.get(word, word) for word in self.pattern.split())

    @property
    def lasts(self) -> bool:
        """Whether it can be for a while."""
        return self.event == "half_open" or (bool(self.path) and self.value is not NOW)

    def setting(self, values: tuple[Any, ...]) -> tuple[str, Any]:
        """The knob and its value."""
        assert self.path is not None
        rest = list(values)
        path = self.path
        if "{class}" in path:
            name = next(v for v in rest if v in REST_CLASSES)
            rest.remove(name)
            path = path.replace("{class}", name)
        return path, (rest[0] if rest else self.value)


RULES: tuple[Rule, ...] = (
    Rule("drop link {link}", event="drop"),
    Rule("reset link {link}", event="reset"),
    Rule("close {code} {link}", event="close"),
    Rule("half-open {link}", event="half_open"),
    Rule("error {text}", event="error"),
    Rule("message {text}", event="message"),
    Rule("burst {count}", event="burst"),
    Rule("silence", "stream.silent", True),
    Rule("freeze", "frozen", True),
    Rule("refuse upgrade {refusal}", "stream.refuse_upgrade"),
    Rule("duplicate {share}", "stream.duplicate_share"),
    Rule("stale {share}", "stream.stale_share"),
    Rule("malformed {share}", "stream.malformed_share"),
    Rule("volume reset {share}", "stream.volume_reset_share"),
    Rule("volume regression {share}", "stream.volume_regression_share"),
    Rule("split {share}", "stream.split_share"),
    Rule("cached yesterday {switch}", "stream.cached_yesterday"),
    Rule("empty depth after close {switch}", "stream.empty_depth_after_close"),
    Rule("frame packets drawn", "stream.frame_packets", 0),
    Rule("frame packets {count}", "stream.frame_packets"),
    Rule("token cap {count}", "stream.token_cap"),
    Rule("link cap {count}", "stream.link_cap"),
    Rule("heartbeat {seconds}", "stream.heartbeat_s"),
    Rule("publish every {seconds}", "stream.publish_every_s"),
    Rule("conflate {seconds}", "stream.conflate_s"),
    Rule("buffer {count} bytes", "stream.buffer_bytes"),
    Rule("updates {number} per s", "updates_per_s"),
    Rule("{status} on {class}", "rest_faults.{class}.status"),
    Rule("slow {class} {seconds}", "rest_faults.{class}.delay_s"),
    Rule("no answer on {class}", "rest_faults.{class}.drop", True),
    Rule("truncate {class}", "rest_faults.{class}.truncate", True),
    Rule("content type {text} on {class}", "rest_faults.{class}.content_type"),
    Rule("absent keys {share}", "rest_faults.quote.absent_share"),
    Rule("gzip {switch}", "gzip"),
    Rule("limits {profile}", "limits_profile"),
    Rule("expire token", "auth.expire_at_ns", NOW),
    Rule("stage {stage}", "auth.stage"),
    Rule("new login revokes old {switch}", "auth.new_login_revokes_old"),
    Rule("entitlement {switch}", "auth.entitled"),
    Rule("missing header {header}", "auth.missing_header_400"),
    Rule("request token life {seconds}", "auth.request_token_s"),
    Rule("publish delay {seconds}", "candles.publish_delay_s"),
    Rule("late revision {share}", "candles.late_revision_share"),
    Rule("auction candles {auction}", "candles.auction_candles"),
    Rule("healthy", ""),
)  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------- words


def cut(line: str) -> list[str]:
    """The words of a line; a quoted text is one word, its quotes included; a comment is none."""
    return _WORD.findall(_COMMENT.sub(r"\1", line))


def time_ns(where: str, words: Sequence[str]) -> tuple[int, bool, int]:
    """When a line acts: (ns, whether from the start of the run rather than from midnight, words used)."""
    first, second = [*words, "", ""][:2]
    if first == "from" and second == "start":
        return 0, True, 2
    if first in ("at", "from") and (found := _TIME.match(second)):
        h, m, s, ms = found.groups()
        return round((int(h) * 3600 + int(m) * 60 + int(s or 0) + float(ms or 0)) * 1e9), False, 2
    if first == "after":
        try:
            seconds, i = _seconds(words, 1)
        except Mismatch as miss:
            raise _wrong(where, words, miss.i, miss.expected) from None
        return round(seconds * 1e9), True, i
    if first in ("at", "from"):
        raise _wrong(where, words, 1, "a time as HH:MM or HH:MM:SS" + (" or 'start'" if first == "from" else ""))
    raise _wrong(where, words, 0, "'at TIME', 'from start' or 'after DURATION'")


def duration_ns(where: str, words: Sequence[str], i: int) -> int:
    """The words from ``i`` to the end, which say how long."""
    try:
        seconds, end = _seconds(words, i)
        if end < len(words):
            raise Mismatch(end, "the end of the line")
    except Mismatch as miss:
        raise _wrong(where, words, miss.i, miss.expected) from None
    return round(seconds * 1e9)


def match(where: str, words: Sequence[str], rules: Sequence[Rule]) -> tuple[Rule, tuple[Any, ...]]:
    """The rule that the words of an action follow, and its values. ConfigError names what would have fitted furthest on."""
    misses: list[Mismatch] = []
    for rule in rules:
        try:
            return rule, _values(rule, words)
        except Mismatch as miss:
            misses.append(miss)
    far = max(miss.i for miss in misses)
    if far == 0:
        known = [rule.shown for rule in rules]
        near = get_close_matches(" ".join(words), known, n=1, cutoff=0.3)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise _wrong(where, words, 0, "an action (docs/simulator.md lists them)", hint)
    expected = list(dict.fromkeys(miss.expected for miss in misses if miss.i == far))
    raise _wrong(where, words, far, " or ".join(expected))


def _values(rule: Rule, words: Sequence[str]) -> tuple[Any, ...]:
    i = 0
    values: list[Any] = []
    for part in rule.pattern.split():
        if part.startswith("{"):
            value, i = _READERS[part.strip("{}")](words, i)
            values.append(value)
        elif i < len(words) and words[i] == part:
            i += 1
        else:
            raise Mismatch(i, f"'{part}'")
    if i < len(words):
        raise Mismatch(i, "'for DURATION' or the end of the line")
    return tuple(values)


def _wrong(where: str, words: Sequence[str], i: int, expected: str, hint: str = "") -> ConfigError:
    found = f"'{words[i]}'" if i < len(words) else "the end of the line"
    return ConfigError(f"{where}: expected {expected}, found {found} in '{' '.join(words)}'{hint}")


# --------------------------------------------------------------------------------------------------------------- values

Reader = Callable[[Sequence[str], int], tuple[Any, int]]


def _word(words: Sequence[str], i: int, expected: str) -> str:
    if i >= len(words):
        raise Mismatch(i, expected)
    return words[i]


def _choice(choices: dict[str, Any]) -> Reader:
    expected = " or ".join(f"'{c}'" for c in choices)

    def read(words: Sequence[str], i: int) -> tuple[Any, int]:
        word = _word(words, i, expected)
        if word not in choices:
            raise Mismatch(i, expected)
        return choices[word], i + 1

    return read


def _seconds(words: Sequence[str], i: int) -> tuple[float, int]:
    """``20 s``, ``20s``, ``1.5 min``; a unit is needed."""
    expected = "a duration like '20 s', '500 ms', '2 min' or '1 h'"
    found = _AMOUNT.match(_word(words, i, expected))
    if not found:
        raise Mismatch(i, expected)
    amount, unit = found.groups()
    i += 1
    if not unit:
        unit = _word(words, i, f"a unit of time ({', '.join(UNITS_S)})")
        if unit not in UNITS_S:
            raise Mismatch(i, f"a unit of time ({', '.join(UNITS_S)})")
        i += 1
    if unit not in UNITS_S:
        raise Mismatch(i - 1, expected)
    return float(amount) * UNITS_S[unit], i


def _share(words: Sequence[str], i: int) -> tuple[float, int]:
    found = _AMOUNT.match(_word(words, i, "a share like '5 %'"))
    if not found or found.group(2) or float(found.group(1)) > 100:
        raise Mismatch(i, "a share from 0 to 100, like '5 %'")
    if _word(words, i + 1, "'%'") != "%":
        raise Mismatch(i + 1, "'%'")
    return float(found.group(1)) / 100, i + 2


def _number(words: Sequence[str], i: int) -> tuple[float, int]:
    found = _AMOUNT.match(_word(words, i, "a number"))
    if not found or found.group(2) or float(found.group(1)) <= 0:
        raise Mismatch(i, "a number above 0")
    return float(found.group(1)), i + 1


def _count(words: Sequence[str], i: int) -> tuple[int, int]:
    word = _word(words, i, "a whole number")
    if not word.isascii() or not word.isdigit() or int(word) == 0:
        raise Mismatch(i, "a whole number above 0")
    return int(word), i + 1


def _link(words: Sequence[str], i: int) -> tuple[int | None, int]:
    """The number of a link, if there is one: not saying means all of them."""
    return (None, i) if i >= len(words) else _count(words, i)


def _text(words: Sequence[str], i: int) -> tuple[str, int]:
    word = _word(words, i, "a text in double quotes")
    if not word.startswith('"'):
        raise Mismatch(i, "a text in double quotes")
    return word.strip('"'), i + 1


_READERS: dict[str, Reader] = {
    "link": _link,
    "text": _text,
    "count": _count,
    "number": _number,
    "seconds": _seconds,
    "share": _share,
    "switch": _choice({"on": True, "off": False}),
    "class": _choice({name: name for name in REST_CLASSES}),
    "status": _choice({str(code): code for code in (429, 500, 502, 503, 504)}),
    "refusal": _choice({"403": 403, "429": 429}),
    "code": _choice({"1000": 1000, "1001": 1001, "1006": 1006, "1011": 1011}),
    "header": _choice({"400": True, "403": False}),
    "profile": _choice({"current": "current", "legacy2018": "legacy2018"}),
    "stage": _choice({name: name for name in ("none", "permission", "ws", "token")}),
    "auction": _choice({"none": "none", "one": "one"}),
}
