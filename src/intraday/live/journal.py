"""Everything the engine was told, in order, before it acted on it: append-only segments with a checksum on every record.

A folder holds one run of one session: ``00000.seg``, ``00001.seg``, ... Each segment starts with ``MAGIC``; each record is
``<u32 payload bytes> <u32 crc32 of the rest> <u8 type> <i64 now_ns> <payload>``, little-endian. The first record is the header
(JSON), the second the state the features started from; the last of a finished run is ``END``. A torn last record (a crash while
writing) is dropped and reported, damage anywhere else raises: no data beats wrong data.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import numpy as np

from intraday.core.panel import NO_LISTS, Day, Lists, Spans, day_of
from intraday.domain.arrays import BAR, TICK
from intraday.domain.errors import JournalError
from intraday.domain.events import Backfilled, Command, Event, Frame, LinkLost, LinkUp, Timer
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.session import SessionTable
from intraday.live.resume import Given
from intraday.signal.terms import Terms

MAGIC = b"INTRADAY-JOURNAL-4\n"  # 2: a loss says since when; 3: dated lists, market index; 4: terms, one signal at a time
RECORD = struct.Struct("<IIBq")
TAIL = struct.Struct("<Bq")
SINCE = struct.Struct("<q")
PART = struct.Struct("<qI")  # since when, and of how many instruments, whose rows follow
HEADER, STATE, FRAME, TIMER, LINK_LOST, LINK_UP, BACKFILLED, COMMAND, END, PART_LOST = range(10)
SEGMENT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What is needed to build the same engine again. ``instruments`` in order of dense rows.

    ``lists`` and ``index`` are what the run's panels were made with: who took part in the closing auction and who was compared,
    by date, and the dense row of the market index (None: none). ``terms``: on which signals were given; None: everything may be
    traded, nothing more is told.
    """

    run_id: str
    source: str
    day: date
    timeframe: int
    grace_ns: int
    feature_set_id: str
    model_id: str
    instruments: tuple[Instrument, ...]
    costs: tuple[float, ...]  # round trip of each instrument on that day, as a return: decisions rest on it
    warmup: tuple[str, ...]  # digest of the bars each instrument's features started from
    lists: Lists = NO_LISTS
    index: int | None = None
    closes: tuple[float, ...] = ()  # of the session before, that its opens are compared with (`core.overnight`), NaN for none
    terms: Terms | None = None
    given: Given = ()  # signals of an earlier run of the session that were still open when this one began

    def hours(self, sessions: SessionTable) -> Day:
        """The day as the engine saw it: how long each instrument traded, and who was compared."""
        day = day_of(sessions.get(self.day), len(self.instruments), sessions, self.lists)
        return day._replace(before=np.array(self.closes)) if self.closes else day

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self) | {"day": self.day.isoformat()}, default=np.ndarray.tolist)

    @classmethod
    def from_json(cls, text: str) -> JournalHeader:
        """The header written by ``to_json``."""
        raw = json.loads(text)
        raw["day"] = date.fromisoformat(raw["day"])
        for name in ("costs", "warmup", "closes"):
            raw[name] = tuple(raw.get(name, ()))
        raw["lists"] = _lists(**raw["lists"])
        raw["given"] = tuple((row, ns) for row, ns in raw.get("given", ()))
        raw["terms"] = None if raw.get("terms") is None else Terms.of_json(raw["terms"])
        raw["instruments"] = tuple(Instrument(**i | {"kind": Kind(i["kind"])}) for i in raw["instruments"])
        return cls(**raw)


def _lists(
    auction: Sequence[Sequence[int]],
    member: Sequence[Sequence[int]] | None,
    out: Sequence[Sequence[int]] = (),
    futures: Sequence[int] = (),
    decided: Sequence[Sequence[int]] | None = None,
    settled: Sequence[Sequence[int]] = (),
) -> Lists:
    """JSON has no tuples."""
    dated = (None if spans is None else _spans(spans) for spans in (member, decided))
    return Lists(_spans(auction), next(dated), _spans(out), tuple(futures), next(dated), tuple((row, day) for row, day in settled))


def _spans(rows: Sequence[Sequence[int]]) -> Spans:
    return tuple((row, first, last) for row, first, last in rows)


def encode(event: Event) -> tuple[int, bytes]:
    """(record type, payload) of an event."""
    match event:
        case Frame():
            return FRAME, event.ticks.tobytes()
        case Timer():
            return TIMER, b""
        case LinkLost() if event.inst:
            rows = np.array(event.inst, "<i4").tobytes()
            return PART_LOST, PART.pack(event.since_ns, len(event.inst)) + rows + event.reason.encode()
        case LinkLost():
            return LINK_LOST, SINCE.pack(event.since_ns) + event.reason.encode()
        case LinkUp():
            return LINK_UP, b""
        case Backfilled():
            return BACKFILLED, event.bars.tobytes()
        case Command():
            return COMMAND, json.dumps([event.name, event.argument]).encode()


def decode(kind: int, now_ns: int, payload: bytes) -> Event:
    """The event ``encode`` was given."""
    match kind:
        case 2:  # FRAME
            return Frame(now_ns, np.frombuffer(payload, dtype=TICK))
        case 3:  # TIMER
            return Timer(now_ns)
        case 4:  # LINK_LOST
            return LinkLost(now_ns, payload[SINCE.size :].decode(), *SINCE.unpack_from(payload))
        case 5:  # LINK_UP
            return LinkUp(now_ns)
        case 6:  # BACKFILLED
            return Backfilled(now_ns, np.frombuffer(payload, dtype=BAR))
        case 7:  # COMMAND
            name, argument = json.loads(payload)
            return Command(now_ns, name, argument)
        case 9:  # PART_LOST
            since_ns, n = PART.unpack_from(payload)
            rows = np.frombuffer(payload, "<i4", n, PART.size)
            return LinkLost(now_ns, payload[PART.size + rows.nbytes :].decode(), since_ns, tuple(rows.tolist()))
    raise JournalError(
        f"journal record of type {kind}: expected 2 to 7 or 9; the journal was written by another version of intraday"
    )


class JournalWriter:
    """Appends the events of one session. ``fsync``: ``never``, ``minute`` (at every Timer, the default) or ``event``."""

    def __init__(
        self, folder: Path, header: JournalHeader, state: bytes, fsync: str = "minute", segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._i_segment = 0
        self._written = 0
        folder.mkdir(parents=True, exist_ok=False)
        self._file = self._open()
        self._put(HEADER, 0, header.to_json().encode())
        self._put(STATE, 0, state)
        self._sync()

    def append(self, event: Event) -> None:
        """Write one event; on disk before the engine sees it, as far as the fsync policy says."""
        kind, payload = encode(event)
        self._put(kind, event.now_ns, payload)
        if self._fsync == "event" or kind == TIMER:  # at a minute's close it leaves the process, whatever the fsync policy
            self._sync()

    def close(self, now_ns: int) -> None:
        """The run ended as it should."""
        self._put(END, now_ns, b"")
        self._sync()
        self._file.close()

    def abandon(self) -> None:
        """The run failed: keep what is there, without the END record."""
        self._file.close()

    def _put(self, kind: int, now_ns: int, payload: bytes) -> None:
        if self._written > self._segment_bytes:
            self._sync()
            self._file.close()
            self._i_segment += 1
            self._file = self._open()
        body = TAIL.pack(kind, now_ns)
        self._file.write(RECORD.pack(len(payload), crc32(payload, crc32(body)), kind, now_ns) + payload)
        self._written += RECORD.size + len(payload)

    def _open(self) -> BinaryIO:
        file = open(self._folder / f"{self._i_segment:05d}.seg", "xb", buffering=1 << 20)  # noqa: SIM115  closed by close()
        file.write(MAGIC)
        self._written = len(MAGIC)
        return file

    def _sync(self) -> None:
        self._file.flush()
        if self._fsync != "never":
            os.fsync(self._file.fileno())


class JournalReader:
    """Reads a journal folder; ``events()`` may be called any number of times."""

    def __init__(self, folder: Path) -> None:
        self._segments = sorted(folder.glob("*.seg"))
        if not self._segments:
            raise JournalError(f"{folder}: expected a journal (00000.seg, ...), found none; was the folder moved or cleaned?")
        records = self._records()
        self.header = JournalHeader.from_json(self._next(records, HEADER).decode())
        self.state = self._next(records, STATE)
        self.complete = False  # known once events() ran to its end

    def events(self) -> Iterator[Event]:
        """Every event in order. A torn tail ends the iteration with ``complete`` False."""
        self.complete = False
        for kind, now_ns, payload in self._records():
            if kind == END:
                self.complete = True
            elif kind not in (HEADER, STATE):
                yield decode(kind, now_ns, payload)

    def _next(self, records: Iterator[tuple[int, int, bytes]], kind: int) -> bytes:
        found, _, payload = next(records, (-1, 0, b""))
        if found != kind:
            raise JournalError(f"{self._segments[0]}: expected a record of type {kind} at the start, found {found}")
        return payload

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        for i, path in enumerate(self._segments):
            yield from _read_segment(path, last=i == len(self._segments) - 1)


def _read_segment(path: Path, last: bool) -> Iterator[tuple[int, int, bytes]]:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise JournalError(
                f"{path}: expected a journal segment of this version ({MAGIC!r} at its start); "
                "another version of intraday wrote it, or it is no journal"
            )
        while head := file.read(RECORD.size):
            if len(head) < RECORD.size:
                _torn(path, last)
                return
            length, crc, kind, now_ns = RECORD.unpack(head)
            payload = file.read(length)
            if len(payload) < length:
                _torn(path, last)
                return
            if crc32(payload, crc32(TAIL.pack(kind, now_ns))) != crc:
                raise JournalError(
                    f"{path}: the record before byte {file.tell()} does not match its checksum; the file was altered"
                )
            yield kind, now_ns, payload


def _torn(path: Path, last: bool) -> None:
    if not last:
        raise JournalError(f"{path}: ends inside a record although later segments exist; the file was truncated")
