"""Taking turns between processes."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import turns

# Says when it is in, and leaves when it is told to.
VISITOR = """
import sys
from turns import turn
with turn(alone=sys.argv[1] == "alone"):
    print("in", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def visitor(folder: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """A process on locks of its own: this test may be taking a turn itself."""
    env = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", VISITOR, how]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def is_in(process: subprocess.Popen[str], within_s: float = 60.0) -> bool:
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], within_s)[0]) and process.stdout.readline() == "in\n"


def is_shut(path: Path) -> bool:
    with path.open() as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_many_are_in_together_and_one_alone(tmp_path: Path) -> None:
    (tmp_path / "turns.py").write_bytes(Path(turns.__file__).read_bytes())
    with visitor(tmp_path, "with others") as first, visitor(tmp_path, "with others") as second:
        assert is_in(first) and is_in(second)
        with visitor(tmp_path, "alone") as alone:
            while not is_shut(tmp_path / "turns.py"):  # the gate
                assert not is_in(alone, within_s=0.1)
            with visitor(tmp_path, "with others") as late:
                leave(first)
                assert not is_in(late, within_s=0.5)
                assert not is_in(alone, within_s=0.1)
                leave(second)
                assert is_in(alone)
                assert not is_in(late, within_s=0.2)
                leave(alone)
                assert is_in(late)
                leave(late)
