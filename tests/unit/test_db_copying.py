from __future__ import annotations

import struct

import asyncpg
import numpy as np
import psycopg
import pyarrow as pa
import pytest
from adbc_driver_manager import OperationalError as AdbcOperationalError

from intraday.database.copying import (
    Column,
    encode,
    ids_literal,
    nanoseconds,
    stamp,
    text_literal,
    time_literal,
    times,
    vectors,
)
from intraday.database.errors import ROOM_MIN, check_room, mapped
from intraday.database.partitions import key_of, rows_of
from intraday.domain.errors import StorageError, StorageFull, StorageUnavailable


def test_encoded_rows_are_what_the_documentation_says() -> None:
    columns = [
        Column("a", "integer", np.array([1, -2])),
        Column("b", "timestamptz", np.array([946_684_800_000_001_000, 0])),
        Column("c", "double", np.array([1.5, np.nan])),
        Column("d", "text", "tick"),
        Column("e", "null"),
        Column("f", "bytes", np.array([[1, 0], [2, 3]], dtype=np.uint8)),
        Column("g", "smallint", np.array([7, 8])),
    ]
    wanted = b""
    for a, b, c, f, g in ((1, 1, 1.5, b"\1\0", 7), (-2, -946_684_800_000_000, float("nan"), b"\2\3", 8)):
        wanted += struct.pack(">hiiiqid", 7, 4, a, 8, b, 8, c) + struct.pack(">i4si", 4, b"tick", -1)
        wanted += struct.pack(">i2sih", 2, f, 2, g)
    assert b"".join(encode(columns, 2)) == wanted


def test_blocks_hold_every_row_once() -> None:
    n, layout = 150_001, [("n", ">i2"), ("l", ">i4"), ("v", ">i8")]
    column = Column("a", "bigint", np.arange(n))
    assert (np.frombuffer(b"".join(encode([column], n)), dtype=layout)["v"] == np.arange(n)).all()
    odd = np.arange(1, n, 2)
    assert (np.frombuffer(b"".join(encode([column], odd.shape[0], odd)), dtype=layout)["v"] == odd).all()


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "'1970-01-01T00:00:00.000000+00'::timestamptz"),
        (1, "'1970-01-01T00:00:00.000001+00'::timestamptz"),
        (1000, "'1970-01-01T00:00:00.000001+00'::timestamptz"),
        (-1000, "'1969-12-31T23:59:59.999999+00'::timestamptz"),
        (2**63 - 1, "'infinity'::timestamptz"),
        (-(2**63), "'-infinity'::timestamptz"),
    ],
)
def test_time_literals_round_up_to_the_microsecond(ns: int, text: str) -> None:
    assert time_literal(ns) == text


def test_stamps_are_exact_and_bounded() -> None:
    for ns in (0, 1_617_000_000_123_456_000, -1000):
        assert nanoseconds(stamp(ns)) == ns
    assert stamp(1) == stamp(1000)
    assert stamp(-(2**63)) < stamp(0) < stamp(2**63 - 1)


def test_literals_quote() -> None:
    assert text_literal("it's") == "'it''s'"
    assert ids_literal([3, 1]) == "'{3,1}'::integer[]"


def test_arrow_columns_become_numpy() -> None:
    column = pa.chunked_array([pa.array([1, 2], pa.timestamp("us", "UTC")), pa.array([3], pa.timestamp("us", "UTC"))])
    assert times(pa.table({"ts": column}), "ts").tolist() == [1000, 2000, 3000]
    chunks = pa.chunked_array([pa.array([b"ab", b"cd", b"ef"])[1:], pa.array([b"gh"])])
    assert vectors(pa.table({"v": chunks}), "v", 2).tobytes() == b"cdefgh"
    assert vectors(pa.table({"v": pa.array([], pa.binary())}), "v", 2).shape == (0, 2)
    assert vectors(pa.table({"v": chunks}), "v", 2, np.array([2, 0, 1])).tobytes() == b"ghcdef"
    with pytest.raises(StorageError, match="expected vectors of 2 bytes"):
        vectors(pa.table({"v": pa.array([b"abc"])}), "v", 2)


def test_dense_rows_follow_the_order_of_ids() -> None:
    assert rows_of([41, 7, 300], np.array([7, 300, 41, 7])).tolist() == [1, 2, 0, 1]
    keys = key_of(np.array([1, 1, 2]), np.array([0, 60_000_000_000, 0]))
    assert (np.diff(keys) > 0).all()


def test_room_is_asked_before_a_write() -> None:
    check_room(None, 2**60)
    check_room(lambda: ROOM_MIN + 10, 10)
    with pytest.raises(StorageFull, match="0 MiB free, about 65 MiB needed"):
        check_room(lambda: 0, 2**20)


class _Refused(psycopg.Error):
    def __init__(self, text: str, state: str | None) -> None:
        super().__init__(text)
        self.sqlstate = state


@pytest.mark.parametrize(
    ("error", "wanted", "match"),
    [
        (_Refused("could not extend file", "53100"), StorageFull, "no room left"),
        (_Refused("could not write: No space left on device", "58030"), StorageFull, "no room left"),
        (_Refused("could not read block", "58030"), StorageError, "could not read block"),
        (_Refused("terminating connection", "57P01"), StorageUnavailable, "terminating connection"),
        (_Refused("the server is starting up", "57P03"), StorageUnavailable, "starting up"),
        (_Refused("too many clients", "53300"), StorageUnavailable, "too many"),
        (_Refused("connection failure", "08006"), StorageUnavailable, "connection failure"),
        (_Refused("syntax error\nLINE 1: ...", "42601"), StorageError, r"refused: syntax error \(SQLSTATE 42601\)"),
        (psycopg.OperationalError("server closed the connection"), StorageUnavailable, "server closed"),
        (psycopg.OperationalError("bad postgresql://me:secret@host/x"), StorageError, "is no valid one"),
        (ConnectionRefusedError("refused"), StorageUnavailable, "refused"),
        (asyncpg.InternalClientError("cannot switch to state 15"), StorageUnavailable, "cannot switch"),
        (TimeoutError(), StorageUnavailable, "TimeoutError"),
        (AdbcOperationalError("connection lost", status_code=10), StorageUnavailable, "connection lost"),
    ],
)
def test_driver_errors_become_ours(error: BaseException, wanted: type[StorageError], match: str) -> None:
    with pytest.raises(StorageError, match=match) as caught, mapped(sockets=True):
        raise error
    assert type(caught.value) is wanted
    assert "secret" not in str(caught.value)


def test_a_server_that_died_of_a_full_disk_is_full() -> None:
    with pytest.raises(StorageFull, match="stopped: no room left"), mapped(lambda: 0):
        raise psycopg.OperationalError("server closed the connection")
