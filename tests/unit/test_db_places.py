from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from intraday.database.places import Kind, Places
from intraday.domain.errors import StorageUnavailable


class Wire:
    """A connection."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def opened(places: Places, kind: Kind) -> Wire:
    """Take a place; what is in it, or something new."""
    found = places.take(kind)
    assert found is None or isinstance(found, Wire)
    return found or Wire()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_connection_is_used_again() -> None:
    places = Places(3, 0.0)
    first = opened(places, Kind.WRITER)
    places.give(Kind.WRITER, first)
    assert places.take(Kind.WRITER) is first
    assert places.take(Kind.READER) is None  # another kind's is no use


def test_one_place_is_never_a_writers() -> None:
    places = Places(3, 0.01)
    places.take(Kind.WRITER)
    places.take(Kind.WRITER)
    with pytest.raises(StorageUnavailable, match="all 3 of this program are in use.*database.connections"):
        places.take(Kind.WRITER)
    places.take(Kind.READER)
    with pytest.raises(StorageUnavailable):
        places.take(Kind.READER)


def test_who_waits_gets_the_place_that_becomes_free() -> None:
    places = Places(2, 30.0)
    wire = opened(places, Kind.WRITER)
    got: list[object] = []
    thread = in_thread(lambda: got.append(places.take(Kind.WRITER)))
    assert not got
    places.give(Kind.WRITER, wire)
    thread.join(30)
    assert got == [wire]


def test_a_broken_connection_frees_its_place() -> None:
    places = Places(2, 0.0)
    places.take(Kind.WRITER)
    places.give(Kind.WRITER, None)
    assert places.take(Kind.WRITER) is None


def test_idle_ones_of_the_other_kind_make_room() -> None:
    places = Places(3, 0.0)
    readers = [opened(places, Kind.READER) for _ in range(3)]
    for reader in readers:
        places.give(Kind.READER, reader)
    places.take(Kind.WRITER)
    assert [reader.closed for reader in readers] == [True, False, False]
    places.take(Kind.WRITER)
    assert sum(not reader.closed for reader in readers) == 1  # two in use, one kept: three in all


def test_drained_connections_are_forgotten() -> None:
    places = Places(3, 0.0)
    a, b = opened(places, Kind.WRITER), opened(places, Kind.READER)
    places.give(Kind.WRITER, a)
    places.give(Kind.READER, b)
    assert places.drain(Kind.READER) == [b]
    assert places.drain() == [a]
    assert places.take(Kind.WRITER) is None
