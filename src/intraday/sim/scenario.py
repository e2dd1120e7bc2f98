"""A day of faults as text: one action a line, each at its time of the exchange's clock.

    at 10:31:05 drop link
    at 11:00 429 on historical for 20 s
    from start duplicate 5 %

``docs/simulator.md`` lists every action. What a scenario turns are ``knobs.Knobs``; what it makes happen once are ``Links``.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from itertools import count
from typing import Any, Protocol

from intraday.domain.arrays import MINUTE_NS
from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError
from intraday.domain.session import Session, midnight_ns
from intraday.sim.grammar import NOW, RULES, Rule, cut, duration_ns, match, time_ns
from intraday.sim.knobs import REST_CLASSES, Knobs
from intraday.sim.paths import seeded

HALF_OPEN_S = 300.0  # how long a link stays half open when the scenario does not say
# What random_scenario draws from.
SHARES = ("duplicate", "stale", "malformed", "split", "volume regression", "volume reset")
MISHAPS = (
    "drop link",
    "reset link",
    "close {code}",
    "half-open for {s} s",
    "silence for {s} s",
    "freeze for {s} s",
    "refuse upgrade 403 for {s} s",
    "refuse upgrade 429 for {s} s",
    "429 on {rest} for {s} s",
    "502 on {rest} for {s} s",
    "503 on {rest} for {s} s",
    "slow {rest} 9 s for {s} s",
    "no answer on {rest} for {s} s",
    "truncate {rest} for {s} s",
    'content type "text/html" on {rest} for {s} s',
    'message "random notice"',
    'error "random error"',
    "burst 1000",
)


class Links(Protocol):
    """What can be done to the connections: ``stream.Stream``. ``link`` counts from 1 in order of arrival; None: all of them."""

    def drop(self, link: int | None) -> None:
        """Close TCP without a WebSocket close (1006 at the client)."""
        ...

    def reset(self, link: int | None) -> None:
        """Close TCP with a reset."""
        ...

    async def close(self, code: int, link: int | None) -> None:
        """A WebSocket close with this code."""
        ...

    def half_open(self, until_ns: int, link: int | None) -> None:
        """Read and write nothing until then; the connection stays."""
        ...

    def say(self, kind: str, text: str) -> None:
        """A text message of this type to every link."""
        ...

    def burst(self, n: int) -> None:
        """One frame of ``n`` packets to every link, whatever changed."""
        ...


@dataclass(frozen=True, slots=True)
class Action:
    """One line. ``at_ns``: after midnight IST, or after the start of the run where ``relative``; ``for_ns`` None: for good."""

    line: int
    text: str
    rule: Rule
    values: tuple[Any, ...]
    at_ns: int
    relative: bool
    for_ns: int | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Parsed actions, in the order of their lines."""

    text: str
    actions: tuple[Action, ...]

    @classmethod
    def parse(cls, text: str, name: str = "scenario") -> Scenario:
        """Raises ConfigError naming ``name``, the line, what was found and what was expected."""
        actions = [_action(f"{name}, line {n}", n, line) for n, line in enumerate(text.splitlines(), 1) if cut(line)]
        return cls(text, tuple(actions))

    async def run(self, knobs: Knobs, links: Links, clock: Clock, day: date, log: Callable[[str], object] | None = None) -> None:
        """Do each action at its time of ``clock`` on ``day``; returns after the last one.

        What is in the past at the start: a setting that would still hold is made at once, anything else is left out.
        ``log`` gets a line for each action done.
        """
        await _Run(knobs, links, clock, log or (lambda _: None)).run(self.actions, midnight_ns(day))


class _Run:
    """One run of a scenario: the steps to come, and for each knob which settings hold."""

    def __init__(self, knobs: Knobs, links: Links, clock: Clock, log: Callable[[str], object]) -> None:
        self._knobs = knobs
        self._links = links
        self._clock = clock
        self._log = log
        self._held: dict[
            str, list[tuple[int, Any]]
        ] = {}  # knob: (line, value), what it was at first, then what holds, oldest first

    async def run(self, actions: Sequence[Action], midnight: int) -> None:
        start_ns = self._clock.now_ns()
        number = count()
        steps: list[tuple[int, int, Action, bool]] = []
        for action in actions:
            at_ns = action.at_ns + (start_ns if action.relative else midnight)
            end_ns = None if action.for_ns is None else at_ns + action.for_ns
            once = action.rule.path is None
            if at_ns < start_ns and (once or (end_ns is not None and end_ns <= start_ns)):
                continue
            heapq.heappush(steps, (at_ns, next(number), action, True))
            if end_ns is not None and not once:
                heapq.heappush(steps, (end_ns, next(number), action, False))
        while steps:
            at_ns, _, action, begins = heapq.heappop(steps)
            await asyncio.sleep(max(0, at_ns - self._clock.now_ns()) / 1e9)
            await self._do(action, at_ns, begins)

    async def _do(self, action: Action, at_ns: int, begins: bool) -> None:
        self._log(action.text if begins else f"over: {action.text}")
        if action.rule.path is None:
            await self._happen(action, at_ns)
        elif action.rule.path == "":
            self._heal()
        else:
            path, value = action.rule.setting(action.values)
            self._turn(path, action.line, at_ns if value is NOW else value, begins)

    async def _happen(self, action: Action, at_ns: int) -> None:
        name, values, links = action.rule.event, action.values, self._links
        if name == "close":
            await links.close(*values)
        elif name == "half_open":
            links.half_open(at_ns + (action.for_ns or round(HALF_OPEN_S * 1e9)), *values)
        elif name == "drop":
            links.drop(*values)
        elif name == "reset":
            links.reset(*values)
        elif name == "burst":
            links.burst(*values)
        else:
            links.say(name, *values)

    def _turn(self, path: str, line: int, value: Any, begins: bool) -> None:
        owner, name = _place(self._knobs, path)
        held = self._held.setdefault(path, [(0, getattr(owner, name))])
        if begins:
            held.append((line, value))
        else:
            held[:] = [(n, v) for n, v in held if n != line]
        setattr(owner, name, held[-1][1])

    def _heal(self) -> None:
        """Every knob as in a healthy exchange; tokens that died stay dead."""
        self._held.clear()
        dead_ns = self._knobs.auth.expire_at_ns
        _copy(Knobs(seed=self._knobs.seed), self._knobs)
        self._knobs.auth.expire_at_ns = dead_ns


def _place(knobs: Knobs, path: str) -> tuple[Any, str]:
    """The object and attribute that ``path`` names, like ``rest_faults.quote.status``."""
    *way, name = path.split(".")
    owner: Any = knobs
    for step in way:
        owner = owner[step] if isinstance(owner, dict) else getattr(owner, step)
    assert hasattr(owner, name), path
    return owner, name


def _copy(source: Any, target: Any) -> None:
    """Field by field and in place: others hold on to the parts."""
    for part in fields(source):
        value = getattr(source, part.name)
        if is_dataclass(value):
            _copy(value, getattr(target, part.name))
        elif isinstance(value, dict):
            for key, fault in value.items():
                _copy(fault, getattr(target, part.name)[key])
        else:
            setattr(target, part.name, value)


def _action(where: str, number: int, line: str) -> Action:
    words = cut(line)
    at_ns, relative, i = time_ns(where, words)
    end = len(words)
    for_ns = None
    if "for" in words[i:]:
        end = len(words) - 1 - words[::-1].index("for")
        for_ns = duration_ns(where, words, end + 1)
    rule, values = match(where, words[i:end], RULES)
    if for_ns is not None and not rule.lasts:
        raise ConfigError(f"{where}: expected no 'for': '{' '.join(words[i:end])}' happens at once")
    return Action(number, " ".join(words), rule, values, at_ns, relative, for_ns)


def random_scenario(seed: int, session: Session, faults: int = 12) -> Scenario:
    """A session of faults drawn from one seed: all of them are such that a good client recovers without a person.

    They lie from five minutes after the open to twenty before the close, at least a minute apart, none longer than 40 s. Its
    ``text`` can be kept and run again.
    """
    rng = seeded(f"scenario {seed} {session.day}")
    first, last = ((ns - midnight_ns(session.day)) // MINUTE_NS for ns in (session.open_ns, session.close_ns))
    minutes = sorted(rng.sample(range(first + 5, last - 20), faults))
    lines = [f"# random_scenario({seed}, {session.day})"]
    lines += [f"from start {kind} {rng.randint(1, 5)} %" for kind in SHARES if rng.random() < 0.5]
    for minute in minutes:
        action = rng.choice(MISHAPS).format(
            code=rng.choice((1000, 1001, 1011)), rest=rng.choice(REST_CLASSES), s=rng.randint(5, 40)
        )
        when = f"at {minute // 60:02d}:{minute % 60:02d}:{rng.randrange(60):02d}"
        lines.append(f"{when} {action}")
        if action.startswith("refuse"):
            lines.append(f"{when} drop link")  # or nobody would knock
    return Scenario.parse("\n".join(lines) + "\n", f"random_scenario({seed})")
