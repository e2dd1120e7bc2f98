"""Tests that need the machine to themselves, when several processes run tests: real time passes in them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A market at twenty times its speed that must not be late; the processor time that a load costs.
ALONE = frozenset({"test_over_the_wire.py", "test_sim_load.py"})


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """The block runs while no process of this checkout is in a block that is ``alone``; such a one runs while nobody is in any.

    Everybody comes through a gate, which one who wants to be alone keeps shut until the others have left: nobody waits for ever.
    The locks are on this file and its folder, so that there is nothing to make or to remove.
    """
    gate, room = os.open(__file__, os.O_RDONLY), os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
    finally:
        for handle in (room, gate):
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough: a test's forks have the handles too
            os.close(handle)
