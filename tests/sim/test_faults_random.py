"""Faults drawn from a seed, several at once and one after another, as a bad morning has them. The seed is the test's name."""

from __future__ import annotations

import random

import pytest

from fault_cases import World, live_through
from intraday.domain.events import LinkLost, LinkUp
from intraday.sim.scenario import MISHAPS, SHARES

# A link lost so late that its last minute has not settled when the exchange still refuses candles is another matter: all end early.
FIRST_S, LAST_S, MINUTES = 20, 300, 8


def drawn(seed: int) -> str:
    """A scenario: some shares of bad packets throughout, and eight mishaps between 09:15:20 and 09:20."""
    rng = random.Random(f"faults {seed}")
    lines = [f"from start {kind} {rng.randint(1, 10)} %" for kind in SHARES if rng.random() < 0.5]
    for _ in range(8):
        second = rng.randint(FIRST_S, LAST_S)
        when = f"at 09:{15 + second // 60}:{second % 60:02d}"
        action = rng.choice(MISHAPS).format(
            code=rng.choice((1000, 1001, 1011)), rest=rng.choice(("historical", "quote")), s=rng.randint(5, 40)
        )
        lines.append(f"{when} {action}")
        if action.startswith("refuse"):
            lines.append(f"{when} drop link")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_on_a_bad_morning(seed: int) -> None:
    scenario = drawn(seed)
    print(scenario)
    outcome = live_through(World(scenario=scenario, minutes=MINUTES, instruments_max=3000 if seed % 2 else 3, seed=seed))
    assert (outcome.lost(), outcome.wrong()) == ([], []), scenario
    links = [type(e) for e in outcome.events if isinstance(e, LinkLost | LinkUp)]
    assert links[-1:] != [LinkLost], "each connection that goes is a loss; in the end all are back"
    assert (LinkUp, LinkUp) not in zip(links, links[1:], strict=False)
