"""Scenarios: what a line means, what is wrong with a bad one, and that each thing happens at its second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from intraday.domain.clock import Clock
from intraday.domain.errors import ConfigError
from intraday.domain.session import midnight_ns
from intraday.sim.grammar import RULES, Rule
from intraday.sim.knobs import Knobs
from intraday.sim.scenario import Scenario, random_scenario
from pace_cases import virtual
from sim_cases import SESSIONS
from stream_cases import passes

DAY = date(2026, 8, 5)
MIDNIGHT = midnight_ns(DAY)
SECOND = 10**9


def at(text: str) -> int:
    h, m, s = [int(part) for part in text.split(":")]
    return MIDNIGHT + (h * 3600 + m * 60 + s) * SECOND


class Recorder:
    """Links that write down what was done to them, and when."""

    def __init__(self, clock: Clock) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self._clock = clock

    def note(self, *what: Any) -> None:
        self.seen.append((self._clock.now_ns(), *what))

    def drop(self, link: int | None) -> None:
        self.note("drop", link)

    def reset(self, link: int | None) -> None:
        self.note("reset", link)

    async def close(self, code: int, link: int | None) -> None:
        self.note("close", code, link)

    def half_open(self, until_ns: int, link: int | None) -> None:
        self.note("half-open", until_ns, link)

    def say(self, kind: str, text: str) -> None:
        self.note(kind, text)

    def burst(self, n: int) -> None:
        self.note("burst", n)


def run(
    text: str, start: str = "09:00:00", knobs: Knobs | None = None, log: Callable[[str], object] | None = None
) -> list[tuple[Any, ...]]:
    async def main(clock: Clock) -> list[tuple[Any, ...]]:
        links = Recorder(clock)
        await Scenario.parse(text).run(knobs or Knobs(), links, clock, DAY, log)
        return links.seen

    return virtual(main, at(start))


def watch(text: str, times: list[str], read: Any, start: str = "09:00:00") -> list[Any]:
    """What ``read`` says of the knobs at each of the times (half a second later)."""

    async def main(clock: Clock) -> list[Any]:
        knobs, seen = Knobs(), []
        async with asyncio.TaskGroup() as group:
            group.create_task(Scenario.parse(text).run(knobs, Recorder(clock), clock, DAY))
            for time in times:
                await passes((at(time) - clock.now_ns()) / 1e9 + 0.5)
                seen.append(read(knobs))
        return seen

    return virtual(main, at(start))


def test_things_happen_at_their_second() -> None:
    seen = run(
        """
        # a comment, and an empty line

        at 10:31:05 drop link        # all of them
        at 10:31:05.500 reset link 2
        at 10:32 close 1011
        at 10:33 message "off for lunch # really"
        at 10:34 error "no"
        at 10:35 burst 1000
        at 10:36 half-open link 1 for 20 s
        at 10:37 half-open link
        after 90 s drop link 3
        """.replace("half-open link", "half-open")
    )
    assert seen == [
        (at("09:01:30"), "drop", 3),
        (at("10:31:05"), "drop", None),
        (at("10:31:05") + SECOND // 2, "reset", 2),
        (at("10:32:00"), "close", 1011, None),
        (at("10:33:00"), "message", "off for lunch # really"),
        (at("10:34:00"), "error", "no"),
        (at("10:35:00"), "burst", 1000),
        (at("10:36:00"), "half-open", at("10:36:20"), 1),
        (at("10:37:00"), "half-open", at("10:42:00"), None),
    ]


def test_a_setting_holds_for_its_time_and_then_what_was_before() -> None:
    text = "from start duplicate 5 %\nat 10:00 duplicate 50 % for 1 min\nat 10:00:30 duplicate 100% for 10s\n"
    times = ["09:30:00", "10:00:00", "10:00:30", "10:00:40", "10:01:00"]
    assert watch(text, times, lambda k: k.stream.duplicate_share) == [0.05, 0.5, 1.0, 0.5, 0.05]


def test_settings_that_overlap_end_each_at_its_own_time() -> None:
    text = "at 10:00 429 on historical for 20 s\nat 10:00:10 503 on historical for 20 s\n"
    times = ["10:00:00", "10:00:10", "10:00:20", "10:00:30"]
    assert watch(text, times, lambda k: k.rest_faults["historical"].status) == [429, 503, 503, None]


def test_what_is_past_at_the_start_counts_only_if_it_still_holds() -> None:
    text = (
        "at 09:30 stale 3 %\nat 09:31 drop link\nat 10:00 freeze for 10 s\n"
        "at 10:59:50 silence for 20 s\nat 11:30 link cap 1\nat 11:30 drop link"
    )
    knobs = Knobs()
    log: list[str] = []
    assert [what[1:] for what in run(text, "11:00:00", knobs, log.append)] == [("drop", None)]
    assert "at 10:00 freeze for 10 s" not in log
    assert "at 09:30 stale 3 %" in log
    assert (knobs.stream.stale_share, knobs.frozen, knobs.stream.link_cap) == (0.03, False, 1)
    silent = watch(text, ["11:00:00", "11:00:10"], lambda k: (k.stream.silent, k.stream.stale_share), "11:00:00")
    assert silent == [(True, 0.03), (False, 0.03)]


def test_a_token_expires_at_the_time_of_its_line_and_healing_keeps_it_dead() -> None:
    text = "at 10:31 expire token\nat 10:32 slow other 9 s\nat 10:32 freeze\nat 10:33 healthy"

    def read(k: Knobs) -> tuple[Any, ...]:
        return k.auth.expire_at_ns, k.rest_faults["other"].delay_s, k.frozen

    died = at("10:31:00")
    assert watch(text, ["10:30:00", "10:31:00", "10:32:00", "10:33:00"], read) == [
        (None, 0.0, False), (died, 0.0, False), (died, 9.0, True), (died, 0.0, False)
    ]  # fmt: skip


def test_healing_keeps_the_parts_that_others_hold_on_to() -> None:
    knobs = Knobs()
    auth, fault = knobs.auth, knobs.rest_faults["quote"]
    run("at 10:00 entitlement off\nat 10:01 502 on quote\nat 10:02 healthy", knobs=knobs)
    assert knobs.auth is auth
    assert knobs.rest_faults["quote"] is fault
    assert auth.entitled
    assert fault.status is None


EXAMPLES = {"link": "2", "text": '"a b"', "count": "7", "number": "3", "seconds": "1.5 min", "share": "5 %", "switch": "off",
            "class": "historical", "status": "503", "refusal": "429", "code": "1001", "header": "403", "profile": "legacy2018",
            "stage": "ws", "auction": "one"}  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_every_action_does_something(rule: Rule) -> None:
    action = " ".join(EXAMPLES[word.strip("{}")] if word.startswith("{") else word for word in rule.pattern.split())
    action = {"cached yesterday off": "cached yesterday on", "frame packets drawn": "frame packets 9"}.get(action, action)
    knobs = Knobs()
    seen = run(f"from start late revision 7 %\nat 10:00 {action}", knobs=knobs)
    before = Knobs()
    before.candles.late_revision_share = 0.07
    assert bool(seen) != (knobs != before)


def test_every_knob_can_be_reached() -> None:
    paths = {(rule.path or "").replace("{class}", "quote").split(".")[-1] for rule in RULES}
    knobs = Knobs()
    parts = [knobs, knobs.auth, knobs.stream, knobs.candles, knobs.rest_faults["quote"]]
    names = {name for part in parts for name in part.__dataclass_fields__}
    assert names - paths == {"seed", "auth", "stream", "candles", "rest_faults"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hello", "expected 'at TIME', 'from start' or 'after DURATION', found 'hello'"),
        ("at 25:00 drop link", "expected a time as HH:MM or HH:MM:SS, found '25:00'"),
        ("from noon drop link", "expected a time as HH:MM or HH:MM:SS or 'start', found 'noon'"),
        ("after 5 drop link", "expected a unit of time (ms, s, min, h), found 'drop'"),
        ("after soon drop link", "expected a duration like '20 s', '500 ms', '2 min' or '1 h', found 'soon'"),
        ("after 5days drop link", "expected a duration like"),
        ("at 10:00", "expected an action (docs/simulator.md lists them), found the end of the line"),
        ("at 10:00 drp link", "found 'drp' in 'drp link'; did you mean 'drop link [N]'?"),
        ("at 10:00 drop link one", "expected a whole number above 0, found 'one'"),
        ("at 10:00 drop link 0", "expected a whole number above 0, found '0'"),
        ("at 10:00 drop link 1 2", "expected 'for DURATION' or the end of the line, found '2'"),
        ("at 10:00 drop link for 3 s", "expected no 'for': 'drop link' happens at once"),
        ("at 10:00 expire token for 3 s", "expected no 'for'"),
        ("at 10:00 refuse upgrade 500 for 3 s", "expected '403' or '429', found '500'"),
        ("at 10:00 429 on history", "expected 'quote' or 'historical' or 'other', found 'history'"),
        ("at 10:00 duplicate 5", "expected '%', found the end of the line"),
        ("at 10:00 duplicate 500 %", "expected a share from 0 to 100, like '5 %', found '500'"),
        ("at 10:00 duplicate", "expected a share like '5 %', found the end of the line"),
        ("at 10:00 freeze for", "expected a duration like"),
        ("at 10:00 freeze for 5 s now", "expected the end of the line, found 'now'"),
        ("at 10:00 message hello", "expected a text in double quotes, found 'hello'"),
        ("at 10:00 updates 0 per s", "expected a number above 0, found '0'"),
        ("at 10:00 entitlement perhaps", "expected 'on' or 'off', found 'perhaps'"),
    ],
)
def test_a_bad_line_says_where_what_was_found_and_what_was_expected(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Scenario.parse(f"# first\nfrom start freeze\n{line}\n", "bad.txt")
    assert str(caught.value).startswith("bad.txt, line 3: ")
    assert message in str(caught.value)


def test_one_seed_is_one_day_of_faults() -> None:
    texts = {random_scenario(seed, SESSIONS.get(DAY)).text for seed in range(20)}
    assert len(texts) == 20
    assert random_scenario(3, SESSIONS.get(DAY)) == random_scenario(3, SESSIONS.get(DAY))
    for seed in range(20):
        scenario = random_scenario(seed, SESSIONS.get(DAY))
        assert Scenario.parse(scenario.text).actions == scenario.actions
        assert len([a for a in scenario.actions if not a.relative]) >= 12
        for action in scenario.actions:
            assert action.relative or 9 * 3600 * SECOND < action.at_ns < (15 * 3600 + 900) * SECOND, action


def test_an_evening_of_faults_lies_in_the_evening() -> None:
    """Muhurat, 18:15 to 19:15."""
    scenario = random_scenario(3, SESSIONS.get(date(2021, 11, 4)))
    timed = [action.at_ns / 60 / SECOND for action in scenario.actions if not action.relative]
    assert len(timed) >= 12 and 18 * 60 + 20 <= min(timed) <= max(timed) < 18 * 60 + 56


def test_the_log_says_what_begins_and_what_is_over() -> None:
    lines: list[str] = []

    async def main(clock: Clock) -> None:
        await Scenario.parse("at 10:00 freeze for 5 s\nat 10:01 drop link").run(Knobs(), Recorder(clock), clock, DAY, lines.append)

    virtual(main, at("09:00:00"))
    assert lines == ["at 10:00 freeze for 5 s", "over: at 10:00 freeze for 5 s", "at 10:01 drop link"]


def test_the_page_lists_every_action_and_its_example_can_be_run(root: Path) -> None:
    page = (root / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert [rule.shown for rule in RULES if f"| `{rule.shown.replace('|', '¦')}` |".replace("¦", "\\|") not in page] == []
    example = page.split("```text\n")[1].split("```")[0]
    assert len(Scenario.parse(example).actions) > 5


def test_the_example_scenario_is_a_scenario(root: Path) -> None:
    path = root / "config" / "scenarios" / "bad-day.txt"
    assert len(Scenario.parse(path.read_text(encoding="utf-8"), path.name).actions) > 10
