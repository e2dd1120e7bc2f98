"""The journal: what was told is what is read back, and damage is never passed over."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from intraday.core.panel import NO_LISTS, Lists
from intraday.domain.arrays import BAR, TICK
from intraday.domain.errors import JournalError
from intraday.domain.events import Backfilled, Command, Frame, LinkLost, LinkUp, Timer
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import SessionTable
from intraday.live.journal import JournalHeader, JournalReader, JournalWriter

HEADER = JournalHeader(
    "run-1",
    "replay",
    date(2024, 1, 10),
    5,
    1_500_000_000,
    "f" * 16,
    "m" * 16,
    (Instrument("NSE", "A", id=7), Instrument("NSE", "I", Kind.INDEX, id=9)),
    (8e-4, 1e-4),
    ("ab", "cd"),
    Lists(((0, 20_000, 20_700),), ((1, 0, 99),)),
    1,
)


def ticks(n, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, TICK)
    rows["event_ns"] = rng.integers(0, 2**60, n)
    rows["price"] = rng.integers(1, 2**30, n)
    rows["volume"] = rng.integers(-1, 2**40, n)
    return rows


def events(n=50):
    bars = np.zeros(3, BAR)
    bars["volume"] = np.nan
    kinds = [
        lambda i: Frame(i, ticks(i % 7, i)),
        Timer,
        lambda i: LinkLost(i, "gone — ünïcode", i - 4_000_000_000),
        lambda i: LinkLost(i, "one of two — ünïcode", i - 4_000_000_000, (1, 3, 70_000)),
        LinkUp,
        lambda i: Backfilled(i, bars),
        lambda i: Command(i, "pause", "NSE:A"),
    ]
    return [kinds[i % len(kinds)](i) for i in range(n)]


def equal(a, b):
    if type(a) is not type(b) or a.now_ns != b.now_ns:
        return False
    for name in a.__slots__:
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray):
            if x.dtype != y.dtype or x.tobytes() != y.tobytes():
                return False
        elif x != y:
            return False
    return True


def write(folder, told, **kwargs):
    journal = JournalWriter(folder, HEADER, b"state", **kwargs)
    for event in told:
        journal.append(event)
    return journal


@pytest.mark.parametrize("segment_bytes", [200, 1 << 20])
@pytest.mark.parametrize("fsync", ["never", "minute", "event"])
def test_events_come_back_as_they_were(tmp_path, segment_bytes, fsync):
    told = events()
    write(tmp_path / "j", told, segment_bytes=segment_bytes, fsync=fsync).close(99)
    reader = JournalReader(tmp_path / "j")
    assert (reader.header, reader.state) == (HEADER, b"state")
    for _ in range(2):  # it may be read again
        read = list(reader.events())
        assert len(read) == len(told) and all(equal(a, b) for a, b in zip(told, read, strict=True))
        assert reader.complete
    assert (len(list((tmp_path / "j").iterdir())) > 1) == (segment_bytes == 200)


def test_a_crash_loses_at_most_the_record_being_written(tmp_path):
    told = events()
    write(tmp_path / "j", told).abandon()
    path = tmp_path / "j" / "00000.seg"
    whole = path.read_bytes()
    for cut in (1, 5, 16):
        path.write_bytes(whole[:-cut])
        reader = JournalReader(tmp_path / "j")
        read = list(reader.events())
        assert not reader.complete
        assert len(read) == len(told) - 1 and all(equal(a, b) for a, b in zip(told, read, strict=False))


def test_every_altered_byte_is_noticed(tmp_path):
    write(tmp_path / "j", events(12)).close(99)
    path = tmp_path / "j" / "00000.seg"
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.choice(len(whole), 120, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        try:
            reader = JournalReader(tmp_path / "j")
            read = list(reader.events())
            complete = reader.complete
        except JournalError:
            continue
        assert not complete, f"byte {at} was altered, the journal still reads as whole with {len(read)} events"


def test_a_short_middle_segment_is_an_error(tmp_path):
    write(tmp_path / "j", events(), segment_bytes=200).close(99)
    path = tmp_path / "j" / "00001.seg"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(JournalError, match="truncated"):
        list(JournalReader(tmp_path / "j").events())


def test_the_header_gives_the_day_back():
    sessions = SessionTable.load()
    day = replace(HEADER, day=date(2026, 8, 4)).hours(sessions)
    assert (day.number, day.open_ns) == (20_669, sessions.get(date(2026, 8, 4)).open_ns)
    assert (day.minutes.tolist(), day.member.tolist()) == ([360.0, 375.0], [False, False])
    whole = replace(HEADER, lists=NO_LISTS).hours(sessions)
    assert (whole.minutes.tolist(), whole.member.tolist()) == ([375.0, 375.0], [True, True])
    for lists in (NO_LISTS, Lists((), ()), HEADER.lists):  # nobody compared is not everybody compared
        assert JournalHeader.from_json(replace(HEADER, lists=lists, index=None).to_json()).lists == lists


def test_a_journal_is_never_written_over(tmp_path):
    write(tmp_path / "j", []).close(0)
    with pytest.raises(FileExistsError):
        write(tmp_path / "j", [])


def test_no_journal_says_where_it_looked(tmp_path):
    with pytest.raises(JournalError, match="expected a journal"):
        JournalReader(tmp_path)


def test_a_journal_of_an_older_version_is_told_so(tmp_path):
    write(tmp_path / "j", []).close(0)
    path = tmp_path / "j" / "00000.seg"
    path.write_bytes(path.read_bytes().replace(b"JOURNAL-4", b"JOURNAL-3", 1))
    with pytest.raises(JournalError, match="another version of intraday wrote it"):
        JournalReader(tmp_path / "j")


def test_a_minutes_close_leaves_the_process_even_without_fsync(tmp_path):
    """A killed process loses at most the minute under way: its effects may be in the database already."""
    told = [Frame(1, ticks(3)), Timer(2), Frame(3, ticks(2))]
    journal = write(tmp_path / "j", told, fsync="never")
    assert [type(e) for e in JournalReader(tmp_path / "j").events()] == [Frame, Timer], "read while the writer still has it open"
    journal.abandon()
