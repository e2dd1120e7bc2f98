"""The rules of usable ticks one by one, as docs/sessions.md lists them, and the closing auction on the simulated exchange."""

from datetime import date

import numpy as np

from intraday.core.panel import regular_day
from intraday.domain.arrays import TICK
from intraday.domain.session import SessionTable
from intraday.live.validate import TickValidator

HALTED = SessionTable.load().get(date(2021, 2, 24))
DAY = SessionTable.load().get(date(2024, 1, 10))
ONE = regular_day(DAY, 1)


def feed(start_ns, volumes):
    """One tick a second, received when it was made."""
    rows = np.zeros(len(volumes), TICK)
    rows["event_ns"] = rows["recv_ns"] = start_ns + np.arange(len(volumes)) * 10**9
    rows["price"], rows["volume"] = 10_000, volumes
    return rows


def test_a_halt_refuses_ticks():
    """24 February 2021: trading stopped before noon and came back in the afternoon."""
    ((start_ns, end_ns),) = HALTED.pauses
    validator = TickValidator(HALTED, regular_day(HALTED, 1))
    stamps = np.array([start_ns - 10**9, start_ns, end_ns - 10**9, end_ns])
    ticks = feed(0, [1, 2, 3, 4])
    ticks["event_ns"] = ticks["recv_ns"] = stamps
    assert validator.check(ticks)["event_ns"].tolist() == [start_ns - 10**9, end_ns]
    rejects = validator.take_rejects(end_ns)
    assert set(rejects.reason) == {"halt"} and rejects.n.sum() == 2


def test_one_wrong_volume_does_not_silence_the_day():
    """After a glitch of the 32-bit field nine lower volumes are refused; the tenth that agrees with them is believed."""
    volumes = [100, 4_000_000_000, *range(101, 131)]
    kept = TickValidator(DAY, ONE).check(feed(DAY.open_ns, volumes))["volume"].tolist()
    assert kept == [100, 4_000_000_000, *range(110, 131)]


def test_a_few_lower_volumes_change_nothing():
    volumes = [100, 90, 91, 101, 92, 102]
    assert TickValidator(DAY, ONE).check(feed(DAY.open_ns, volumes))["volume"].tolist() == [100, 101, 102]
