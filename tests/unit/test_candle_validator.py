"""CandleValidator: one case per reason, precedence, gaps, and a slow second statement of the rules."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.core.validate import REASONS, CandleValidator, FlagReason, RejectReason
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty
from intraday.domain.session import SessionTable

TABLE = SessionTable.load()
VALIDATOR = CandleValidator(TABLE)
DAY = TABLE.get(date(2024, 1, 3))
HALT = TABLE.get(date(2021, 2, 24))
Row = tuple[int, float, float, float, float, float]


def bars_of(*rows: Row) -> Bars:
    bars = empty(BAR, len(rows))
    for k, row in enumerate(rows):
        for name, value in zip(("ts_ns", "open", "high", "low", "close", "volume"), row, strict=True):
            bars[k][name] = value
    return bars


def minute(i: int, open_ns: int = DAY.open_ns) -> int:
    return open_ns + i * MINUTE_NS


def good(i: int, close: float = 100.0, volume: float = 10.0) -> Row:
    return (minute(i), close, close + 1.0, close - 1.0, close, volume)


def reasons(*rows: Row, has_volume: bool = True) -> list[str | None]:
    found = VALIDATOR.check(bars_of(*rows), has_volume)
    return [r.value if (r := found.reason(k)) else None for k in range(len(rows))]


NAN = float("nan")
T = minute(0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((0, 1.0, 1.0, 1.0, 1.0, 1.0), "stale_zero_time"),
        ((-19_800_000_000_000, 1.0, 1.0, 1.0, 1.0, 1.0), "stale_zero_time"),
        ((1_000_000_000 * 10**9, 1.0, 1.0, 1.0, 1.0, 1.0), "unknown_day"),  # 2001
        ((1_830_310_500 * 10**9, 1.0, 1.0, 1.0, 1.0, 1.0), "unknown_day"),  # Saturday 2028-01-01 09:15
        ((T + 1, 1.0, 1.0, 1.0, 1.0, 1.0), "not_on_minute"),
        ((T - MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 1.0), "out_of_session"),
        ((DAY.close_ns, 1.0, 1.0, 1.0, 1.0, 1.0), "out_of_session"),
        ((minute(0, DAY.open_ns + 3 * 86_400_000_000_000), 1.0, 1.0, 1.0, 1.0, 1.0), "out_of_session"),  # a Saturday
        ((HALT.pauses[0][0], 1.0, 1.0, 1.0, 1.0, 1.0), "out_of_session"),
        ((T, 1.0, 1.0, 1.1, 1.0, 1.0), "bad_ohlc"),
        ((T, 1.2, 1.1, 0.9, 1.0, 1.0), "bad_ohlc"),
        ((T, 1.0, 1.1, 0.9, 0.8, 1.0), "bad_ohlc"),
        ((T, 0.0, 0.0, 0.0, 0.0, 1.0), "bad_ohlc"),
        ((T, -1.0, -1.0, -1.0, -1.0, 1.0), "bad_ohlc"),
        ((T, 1.0, float("inf"), 1.0, 1.0, 1.0), "bad_ohlc"),
        *[(tuple([T] + [NAN if k == j else 1.0 for k in range(4)] + [1.0]), "bad_ohlc") for j in range(4)],
        ((T, 1.0, 1.0, 1.0, 1.0, -1.0), "negative_volume"),
        ((T, 1.0, 1.0, 1.0, 1.0, NAN), "negative_volume"),
        ((T, 1.0, 100.0, 1.0, 1.0, 1.0), "unit_jump"),
        ((T, 1.0, 1.0, 1.0, 1.0, 0.0), "no_trade_padding"),  # nothing stands before it
        ((T, 1.0, 1.1, 1.0, 1.0, 0.0), None),  # prices moved: somebody traded, whatever the volume says
        ((HALT.pauses[0][1], 1.0, 1.0, 1.0, 1.0, 1.0), None),
        ((DAY.close_ns - MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 1.0), None),
    ],
)
def test_one_row(row: Row, reason: str | None) -> None:
    assert reasons(row) == [reason]


@pytest.mark.parametrize("volume", [-1.0, NAN, 0.0])
def test_volume_of_an_index_is_not_looked_at(volume: float) -> None:
    assert reasons((T, 1.0, 1.0, 1.0, 1.0, volume), (minute(1), 1.0, 1.0, 1.0, 1.0, volume), has_volume=False) == [None, None]


def test_repeats_keep_the_first_in_file_order() -> None:
    other = (minute(1), 50.0, 51.0, 49.0, 50.0, 10.0)
    assert reasons(good(1), good(0), good(1), other, good(1)) == [None, None, "duplicate", "conflict", "duplicate"]
    changed_volume = good(1, volume=11.0)
    assert reasons(good(1), changed_volume) == [None, "conflict"]
    assert reasons(good(1), changed_volume, has_volume=False) == [None, "duplicate"]


def test_a_rejected_row_does_not_count_as_the_first() -> None:
    bad = (minute(1), 1.0, 0.5, 1.0, 1.0, 10.0)
    assert reasons(bad, good(1)) == ["bad_ohlc", None]


def test_accepted_rows_come_in_order_of_time() -> None:
    found = VALIDATOR.check(bars_of(good(2), good(0), good(1)), True)
    assert found.accepted.tolist() == [1, 2, 0]


def test_paise_for_rupees_is_a_unit_jump_wherever_it_stands() -> None:
    paise = [good(i, close=10_000.0) for i in (2, 3)]
    assert reasons(good(0), good(1), *paise, good(4)) == [None, None, "unit_jump", "unit_jump", None]
    assert reasons(good(0, 10_000.0), good(1), good(2)) == ["unit_jump", None, None]
    assert "unit_jump" not in reasons(good(0, 49.0), good(1, 2400.0), good(2, 2400.0))  # under 50 times


def test_a_price_known_before_says_which_unit_is_right() -> None:
    paise = bars_of(*[good(i, 10_000.0, volume=10.0 + i) for i in range(4)])
    assert VALIDATOR.check(paise, True).accepted.size == 4  # by themselves they may be anything
    assert VALIDATOR.check(paise, True, 101.0).counts() == {RejectReason.UNIT_JUMP: 4}
    assert VALIDATOR.check(paise, True, 9_000.0).accepted.size == 4
    assert VALIDATOR.check(bars_of(good(0)), True, 9_000.0).counts() == {RejectReason.UNIT_JUMP: 1}
    mixed = bars_of(good(0), good(1, 10_000.0), good(2, 10_000.0))
    assert [VALIDATOR.check(mixed, True, 100.0).reason(k) for k in range(3)] == [None, *[RejectReason.UNIT_JUMP] * 2]


def test_padding_is_flat_at_the_close_before() -> None:
    def flat(i: int, price: float, volume: float = 0.0) -> Row:
        return (minute(i), price, price, price, price, volume)

    assert reasons(good(0), flat(1, 100.0), flat(2, 100.0), flat(3, 101.0), flat(4, 101.0, 5.0)) == [
        None, "no_trade_padding", "no_trade_padding", None, None,
    ]  # fmt: skip


def test_gaps_are_runs_within_sessions() -> None:
    friday, monday = TABLE.get(date(2024, 1, 5)), TABLE.get(date(2024, 1, 8))
    rows = [(t, 1.0, 1.1, 0.9, 1.0, t % 7) for t in range(friday.open_ns, friday.close_ns - 2 * MINUTE_NS, MINUTE_NS)]
    rows += [(t, 1.0, 1.1, 0.9, 1.0, t % 7) for t in range(monday.open_ns + 3 * MINUTE_NS, monday.close_ns, MINUTE_NS)]
    found = VALIDATOR.check(bars_of(*rows), True)
    assert found.gaps.tolist() == [
        [friday.close_ns - 2 * MINUTE_NS, friday.close_ns],
        [monday.open_ns, monday.open_ns + 3 * MINUTE_NS],
    ]
    assert found.gap_minutes == 5


def test_a_whole_missing_session_is_one_gap_and_pauses_are_none() -> None:
    before, after = TABLE.previous(HALT.day), TABLE.next(HALT.day)
    rows = [(t, 1.0, 1.1, 0.9, 1.0, t % 7) for s in (before, after) for t in range(s.open_ns, s.close_ns, MINUTE_NS)]
    start, end = HALT.pauses[0]
    assert VALIDATOR.check(bars_of(*rows), True).gaps.tolist() == [[HALT.open_ns, start], [end, HALT.close_ns]]


def test_padding_minutes_are_no_gaps_but_bad_rows_are() -> None:
    rows = [good(i, volume=10.0 + i) for i in range(375) if i not in (7, 9)]
    rows += [(minute(7), 100.0, 100.0, 100.0, 100.0, 0.0), (minute(9), NAN, 1.0, 1.0, 1.0, 1.0)]
    assert VALIDATOR.check(bars_of(*rows), True).gaps.tolist() == [[minute(9), minute(10)]]


def test_nothing_in_nothing_out() -> None:
    found = VALIDATOR.check(empty(BAR), True)
    assert (found.accepted.size, found.gaps.shape, found.counts()) == (0, (0, 2), {})


def test_every_reason_is_described() -> None:
    assert all(len(reason.description) > 10 for reason in (*REASONS, *FlagReason))


@st.composite
def files(draw: st.DrawFn) -> list[Row]:
    price = st.sampled_from([1.0, 2.0, 100.0, 200.0, NAN])
    stamp = st.sampled_from([0, 10**18] + [minute(i) for i in range(-1, 6)] + [minute(2) + 1, DAY.close_ns])
    row = st.tuples(stamp, price, price, price, price, st.sampled_from([0.0, 5.0, -1.0, NAN]))
    flat = st.tuples(stamp, st.sampled_from([1.0, 2.0, 100.0]), st.sampled_from([0.0, 5.0])).map(
        lambda x: (x[0], *[x[1]] * 4, x[2])
    )
    return draw(st.lists(st.one_of(row, flat), max_size=12))


def slow_rules(rows: list[Row], has_volume: bool) -> list[RejectReason | None]:
    """The same rules, row by row."""
    out: list[RejectReason | None] = []
    for ts, o, h, lo, c, v in rows:
        fine = lo > 0 and h < float("inf") and lo <= o <= h and lo <= c <= h
        checks = [
            (ts < 10**16, RejectReason.STALE_ZERO_TIME),
            (ts == 10**18, RejectReason.UNKNOWN_DAY),
            (ts % MINUTE_NS != 0, RejectReason.NOT_ON_MINUTE),
            (not DAY.open_ns <= ts < DAY.close_ns, RejectReason.OUT_OF_SESSION),
            (not fine, RejectReason.BAD_OHLC),
            (has_volume and not v >= 0, RejectReason.NEGATIVE_VOLUME),
            (h > 50 * lo, RejectReason.UNIT_JUMP),
        ]
        out.append(next((reason for bad, reason in checks if bad), None))
    left = sorted((k for k in range(len(rows)) if out[k] is None), key=lambda k: rows[k][0])
    level, levels = 0, {}
    for k, before in zip(left, [None, *left], strict=False):
        if before is not None:
            level += (rows[k][4] > 50 * rows[before][4]) - (rows[k][4] * 50 < rows[before][4])
        levels[k] = level
    order = list(levels.values())
    usual = max(order, key=lambda x: (order.count(x), -order.index(x))) if order else 0
    seen: dict[int, Row] = {}
    close = None
    for k in left:
        row = rows[k]
        if levels[k] != usual:
            out[k] = RejectReason.UNIT_JUMP
        elif row[0] in seen:
            same = seen[row[0]][: 6 if has_volume else 5] == row[: 6 if has_volume else 5]
            out[k] = RejectReason.DUPLICATE if same else RejectReason.CONFLICT
        else:
            seen[row[0]] = row
            if has_volume and row[5] == 0 and row[1] == row[2] == row[3] == row[4] and close in (None, row[4]):
                out[k] = RejectReason.NO_TRADE_PADDING
            close = row[4]
    slow_suspects(rows, [k for k in left if out[k] is None], out, has_volume)
    return out


def slow_suspects(rows: list[Row], left: list[int], out: list[RejectReason | None], has_volume: bool) -> None:
    """Stale bars and outliers of a single session, of which no volatility is known."""
    n_same, good, strange, before = 0, None, 0, None
    for k in left:
        ts, o, h, lo, c, v = rows[k]
        values = (o, h, lo, c, v if has_volume else 0.0)
        n_same = n_same + 1 if before is not None and before == (ts - MINUTE_NS, values) and h > lo else 0
        before = (ts, values)
        if n_same >= 3:
            out[k] = RejectReason.STALE
    left = [k for k in left if out[k] is None]
    last = None
    for k in left:
        _, o, h, lo, c, v = rows[k]
        if good is not None and far(h, lo, good):
            strange = strange + 1 if strange and not far(h, lo, last) else 1
            if strange < 5:
                out[k], last = RejectReason.OUTLIER, c
                continue
        good, strange, last = c, 0, c


def far(high: float, low: float, level: float) -> bool:
    return high * 0.75 > level * (1 + 1e-12) or low * (1 + 1e-12) < level * 0.75


@settings(max_examples=300, deadline=None)
@given(files(), st.booleans())
def test_equals_the_slow_rules(rows: list[Row], has_volume: bool) -> None:
    found = VALIDATOR.check(bars_of(*rows), has_volume)
    assert [found.reason(k) for k in range(len(rows))] == slow_rules(rows, has_volume)
    assert sum(found.counts().values()) + found.accepted.size == len(rows)
    stamps = bars_of(*rows)["ts_ns"][found.accepted]
    assert np.all(np.diff(stamps) > 0)
    assert all(a[1] < b[0] for a, b in pairwise(found.gaps.tolist()))
