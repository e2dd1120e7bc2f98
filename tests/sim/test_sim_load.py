"""How much the exchange can carry: links and instruments at two packets a second each, at the pace of real time.

Exchange and client are processes of their own (``tests/stream_server.py``, ``tests/stream_client.py``), so the CPU time is the
exchange's alone, and is not measured through a coverage tracer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

pytestmark = pytest.mark.integration

TESTS = Path(__file__).resolve().parent.parent
FIRST = 30_000


@dataclass
class Load:
    packets_s: list[float]  # of each link
    frames_s: float
    cpu: float  # share of one core
    broken: list[str]
    slow: int


@contextmanager
def script(name: str, *args: object) -> Iterator[tuple[IO[str], IO[str]]]:
    """A script of the tests: what it prints, and its input."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("COV")}
    environ["PYTHONPATH"] = str(TESTS.parent / "src")
    command = [sys.executable, str(TESTS / name), *map(str, args)]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout, process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


def told(pipe: IO[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pipe.readline())
    return found


def carry(links: int, n: int, seconds: float) -> Load:
    """``links`` of ``n`` instruments each, in full mode, for so long."""
    with script("stream_server.py", links, n) as (server, ask):

        def counts() -> dict[str, Any]:
            print(file=ask, flush=True)
            return told(server)

        opened = told(server)
        ranges: Sequence[str] = [f"{FIRST + i * n},{n}" for i in range(links)]
        with script("stream_client.py", opened["port"], opened["token"], seconds, *ranges) as (client, _):
            assert client.readline() == "subscribed\n"
            before = counts()
            seen = told(client)
            after = counts()
    took = seen["seconds"]
    cpu = (after["cpu"] - before["cpu"]) / took
    return Load([p / took for p in seen["packets"]], seen["frames"] / took, cpu, seen["broken"], after["slow"])


def check(load: Load, n: int) -> None:
    """Whole frames, nobody dropped, and about twice a second for each instrument, with some room for a busy machine."""
    print(load)
    assert load.broken == [""] * len(load.broken)
    assert load.slow == 0
    for rate in load.packets_s:
        assert 1.5 * n <= rate <= 2.05 * n, load


def test_a_slice_of_the_load_is_carried() -> None:
    check(carry(3, 100, 3.0), 100)


@pytest.mark.slow
def test_nine_thousand_instruments_are_carried_at_two_packets_a_second() -> None:
    load = carry(3, 3000, 10.0)
    check(load, 3000)
    assert load.cpu < 0.9, load
