"""A process of its own that trains, for tests to kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intraday.model import pool


@contextmanager
def child(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs ``script``, which may import the tests' modules."""
    tests = Path(__file__).parent
    source = Path(pool.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (source, tests, tests / "unit")))}
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
