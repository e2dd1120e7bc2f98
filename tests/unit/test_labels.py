"""Labels by hand: one decision, a few minutes, the outcome known; and the defects of well-known label code (FACTS)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from intraday.core.fills import Exit, FillRules, barriers, fill_trade
from intraday.core.labels import Barrier, Labeler, LabelSpec, tally
from intraday.core.panel import Lists, panel_of
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, Labels, Panel
from intraday.domain.session import SessionTable

DAY = date(2026, 1, 6)
CLOSE = 100.0
SIGMA = 0.0102 / np.sqrt(12)  # over the horizon of 12 bars 1.02 rupees, rounded away to 1.05: barriers at 98.95 and 101.05
SPEC = LabelSpec()
Row = tuple[float, float, float, float]
FLAT: Row = (100.0, 100.2, 99.8, 100.0)


@pytest.fixture(scope="module")
def table() -> SessionTable:
    return SessionTable.load()


def bar(ts_ns: int, row: Row) -> tuple[float, ...]:
    return (ts_ns, 0, 0, *row, 1.0, 1)


def minutes_from(open_ns: int, first: int, rows: dict[int, Row], until: int) -> Bars:
    """One-minute bars of minutes ``first .. until - 1`` after the open, flat but for ``rows``; a row of NaN is left out."""
    made = [(k, rows.get(k, FLAT)) for k in range(first, until)]
    return np.array([bar(open_ns + k * MINUTE_NS, row) for k, row in made if row[0] == row[0]], BAR)


def label_one(
    table: SessionTable, rows: dict[int, Row], spec: LabelSpec = SPEC, decision: int = 0, until: int = 375, sigma: float = SIGMA,
    known: int | None = None, day: date = DAY,
) -> Labels:  # fmt: skip
    """Label the decision bar of minutes ``decision .. decision + 4`` that closed at 100."""
    open_ns = table.get(day).open_ns
    minutes = panel_of(minutes_from(open_ns, 0, rows, until), 1, 1, table)
    five = np.array([bar(open_ns + decision * MINUTE_NS, (100.0, 100.2, 99.8, CLOSE))], BAR)
    decisions = panel_of(five, 1, 5, table)
    known_ns = None if known is None else open_ns + known * MINUTE_NS
    return Labeler(spec, np.array([0.05])).label(minutes, decisions, np.full((1, 1), sigma, np.float32), table, known_ns)


MISSING: Row = (np.nan,) * 4
L, S, V = Barrier.LONG_TARGET | Barrier.SHORT_STOP, Barrier.SHORT_TARGET | Barrier.LONG_STOP, Barrier.VERTICAL


@pytest.mark.parametrize(
    ("rows", "label", "bits", "long", "short", "known"),
    [
        ({10: (100.0, 101.1, 99.9, 101.0)}, 1, L, 101.05, 101.05, 11),
        ({10: (100.0, 100.1, 98.9, 99.0)}, -1, S, 98.95, 98.95, 11),
        ({}, 0, V, 100.0, 100.0, 65),
        # Past one sigma (101.02), short of the rounded target.
        ({10: (100.0, 101.04, 99.9, 101.0)}, 0, V, 100.0, 100.0, 65),
        # Stop first: both barriers inside one bar.
        ({10: (100.0, 101.5, 98.5, 100.0)}, 0, Barrier.LONG_STOP | Barrier.SHORT_STOP | Barrier.BOTH_IN_BAR, 98.95, 101.05, 11),
        # A gap: the open is worse than the stop, and better than the target.
        ({10: (102.0, 102.1, 101.9, 102.0)}, 1, L, 102.0, 102.0, 11),
        ({10: (97.0, 97.1, 96.9, 97.0)}, -1, S, 97.0, 97.0, 11),
        # The gap's open decides, whatever the bar does later.
        ({10: (102.0, 102.1, 90.0, 91.0)}, 1, L, 102.0, 102.0, 11),
        # The delay minute (5) is not traded: a touch before the entry counts for nothing...
        ({5: (100.0, 105.0, 95.0, 100.0)}, 0, V, 100.0, 100.0, 65),
        # ...but an entry at or beyond a barrier is not taken.
        ({6: (101.05, 101.2, 101.0, 101.1)}, 0, Barrier.SKIPPED, 101.05, 101.05, 7),
        # The first minutes are missing: entry within five minutes of when it was due.
        ({6: MISSING, 7: MISSING, 20: (100.0, 101.2, 99.9, 101.0)}, 1, L, 101.05, 101.05, 21),
        # A hole of five minutes is bridged.
        ({**{k: MISSING for k in range(20, 25)}, 25: (100.0, 101.2, 99.9, 101.0)}, 1, L, 101.05, 101.05, 26),
        # Exit by time at the last close before the barrier, known at the barrier.
        ({62: (100.0, 100.6, 99.9, 100.5), 63: MISSING, 64: MISSING}, 0, V, 100.5, 100.5, 65),
        # The minute that opens at the vertical barrier is after it.
        ({65: (100.0, 105.0, 99.0, 104.0)}, 0, V, 100.0, 100.0, 65),
    ],
)
def test_one_decision(
    table: SessionTable, rows: dict[int, Row], label: int, bits: Barrier, long: float, short: float, known: int
) -> None:
    got = label_one(table, rows)
    entry = next(k for k in range(6, 20) if rows.get(k, FLAT)[0] == rows.get(k, FLAT)[0])
    paid = rows.get(entry, FLAT)[0]
    open_ns = table.get(DAY).open_ns
    assert len(got) == 1
    assert (got["label"][0], got["barrier"][0]) == (label, bits)
    assert got["ret_long"][0] == pytest.approx(long / paid - 1, abs=1e-12) and got["ret_short"][0] == pytest.approx(
        1 - short / paid
    )
    assert got["entry_ns"][0] == open_ns + entry * MINUTE_NS and got["t1_ns"][0] == open_ns + known * MINUTE_NS


@pytest.mark.parametrize(
    ("rows", "sigma"),
    [
        ({k: MISSING for k in range(6, 12)}, SIGMA),  # nothing to enter at within five minutes
        ({k: MISSING for k in range(20, 26)}, SIGMA),  # a hole of six minutes: what happened in it is unknown
        ({k: MISSING for k in range(59, 66)}, SIGMA),  # the same at the vertical barrier
        ({}, np.nan),
        ({}, 0.0),
    ],
)
def test_no_label(table: SessionTable, rows: dict[int, Row], sigma: float) -> None:
    assert len(label_one(table, rows, sigma=sigma)) == 0


def test_a_hole_after_the_end_is_no_matter(table: SessionTable) -> None:
    assert label_one(table, {10: (100.0, 101.1, 99.9, 101.0), **{k: MISSING for k in range(20, 60)}})["label"][0] == 1


def test_the_stop_multiple_counts_on_both_sides(table: SessionTable) -> None:
    """mlfinpy ignores the stop multiple without a side: at target 2, stop 1, a dip of 1.5 must stop the long trade."""
    spec = replace(SPEC, target_sigma=2.0)
    got = label_one(table, {10: (100.0, 100.1, 98.5, 99.0), 30: (100.0, 102.2, 99.9, 102.0)}, spec)
    assert got["label"][0] == 0 and got["barrier"][0] == Barrier.LONG_STOP | Barrier.SHORT_STOP
    assert got["ret_long"][0] == pytest.approx(-0.0105) and got["ret_short"][0] == pytest.approx(-0.0105)
    wide = label_one(table, {10: (100.0, 100.1, 98.5, 99.0), 30: (100.0, 102.2, 99.9, 102.0)}, replace(spec, stop_sigma=3.0))
    assert wide["label"][0] == 1


def test_both_trades_win_the_first_counts(table: SessionTable) -> None:
    spec = replace(SPEC, stop_sigma=3.0)
    up, down = (100.0, 101.2, 99.9, 101.0), (100.0, 100.1, 98.8, 99.0)
    assert label_one(table, {10: up, 20: down}, spec)["label"][0] == 1
    got = label_one(table, {10: down, 20: up}, spec)
    assert got["label"][0] == -1 and got["t1_ns"][0] == table.get(DAY).open_ns + 21 * MINUTE_NS  # known when both trades are
    tie = label_one(table, {10: (100.0, 101.2, 98.8, 100.0)}, spec)
    assert tie["label"][0] == 0 and tie["barrier"][0] & Barrier.BOTH_IN_BAR


def test_the_tail_has_no_label_instead_of_a_class(table: SessionTable) -> None:
    """FreqAI's shift(-N) turns the last rows of every window into "down"."""
    assert len(label_one(table, {}, decision=300, until=360)) == 1
    assert len(label_one(table, {}, decision=300, until=340, known=340)) == 0  # still open when the panel ends
    assert len(label_one(table, {}, decision=300, until=340)) == 0  # the bars just stop
    assert len(label_one(table, {320: (100.0, 101.1, 99.9, 101.0)}, decision=300, until=340, known=340)) == 1


def test_nothing_crosses_the_session(table: SessionTable) -> None:
    """Square-off 15:20 less five minutes: minute 360 is the last exit; decisions that cannot enter before it have no label."""
    open_ns = table.get(DAY).open_ns
    late = label_one(table, {}, decision=340)
    assert late["t1_ns"][0] == open_ns + 360 * MINUTE_NS and late["barrier"][0] == Barrier.VERTICAL
    assert len(label_one(table, {}, decision=350)) == 1
    assert len(label_one(table, {}, decision=355)) == 0
    assert len(label_one(table, {}, decision=370)) == 0


def test_special_sessions_end_when_they_end(table: SessionTable) -> None:
    muhurat = next(s for s in table.between(date(2022, 1, 1), date(2022, 12, 31)) if s.kind == "muhurat")
    decision = muhurat.minutes - 40
    got = label_one(table, {}, decision=decision, until=muhurat.minutes, day=muhurat.day)
    assert got["t1_ns"][0] == min(muhurat.close_ns, muhurat.square_off_ns - 5 * MINUTE_NS)


def test_auction_stocks_end_earlier(table: SessionTable) -> None:
    day = date(2026, 8, 4)
    open_ns = table.get(day).open_ns
    rows = [(open_ns + k * MINUTE_NS, inst, 0, *FLAT, 1.0, 1) for k in range(375) for inst in (0, 1)]
    five = np.array([(open_ns + 300 * MINUTE_NS, inst, 0, *FLAT, 1.0, 1) for inst in (0, 1)], BAR)
    labeler = Labeler(SPEC, np.array([0.05, 0.05]), Lists(auction=((0, table.get(day).number, table.get(day).number),)))
    args = (panel_of(np.array(rows, BAR), 2, 1, table), panel_of(five, 2, 5, table), np.full((1, 2), SIGMA, np.float32), table)
    t1 = labeler.label(*args)["t1_ns"]
    expected = table.get(day, auction=True).square_off_ns - 5 * MINUTE_NS
    assert list(t1) == [expected, table.get(day).square_off_ns - 5 * MINUTE_NS] and expected < t1[1]


def test_id_follows_the_definition() -> None:
    assert SPEC.id == LabelSpec().id and len(SPEC.id) == 16
    assert len({SPEC.id, replace(SPEC, stop_sigma=2.0).id, replace(SPEC, timeframe=15).id, replace(SPEC, max_wait_min=4).id}) == 4
    assert json.loads(SPEC.definition())["horizon_min"] == 60


def test_tally_counts(table: SessionTable) -> None:
    got = np.concatenate([label_one(table, {10: (100.0, 101.5, 98.5, 100.0)}), label_one(table, {10: (100.0, 101.1, 99.9, 101.0)})])
    counts = tally(got)
    assert (counts["labels"], counts["label +1"], counts["label +0"], counts["both_in_bar"], counts["long_stop"]) == (2, 1, 1, 1, 1)


def test_barriers_round_away_from_the_close() -> None:
    b = barriers(
        np.array([100.02, 100.0, 100.0, np.nan, 0.05]), np.array([0.01, 0.0101, 1e-12, 0.01, 5.0]), np.full(5, 0.05), 1.0, 1.0, 1.0
    )
    np.testing.assert_array_equal(b.long_target, [101.05, 101.05, 100.05, np.nan, 0.3])
    np.testing.assert_array_equal(b.long_stop, [99.0, 98.95, 99.95, np.nan, 0.05])
    np.testing.assert_array_equal(b.short_target, b.long_stop)
    np.testing.assert_array_equal(b.short_stop, b.long_target)


def test_barriers_are_the_doubles_prices_are() -> None:
    """n * 0.05 and paise / 100 differ in the last bit for many n: a touch would be missed."""
    close = np.arange(1000, 200_000, 5) / 100.0
    b = barriers(close, np.full(len(close), 0.0123), np.full(len(close), 0.05), 1.0, 1.0, 1.0)
    for price in b:
        paise = np.round(price * 100)
        assert (paise % 5 == 0).all() and np.array_equal(price, paise / 100.0)


@pytest.mark.parametrize(("side", "ret"), [(1, 0.0105), (-1, -0.0105)])
def test_fill_trade_is_the_label_s_trade(table: SessionTable, side: int, ret: float) -> None:
    session = table.get(DAY)
    bars = minutes_from(session.open_ns, 0, {10: (100.0, 101.1, 99.9, 101.0)}, 375)
    target, stop = (101.05, 98.95) if side > 0 else (98.95, 101.05)
    fill = fill_trade(FillRules(), bars, session, side, session.open_ns + 5 * MINUTE_NS, 60, target, stop)
    assert fill is not None
    assert fill.how is (Exit.TARGET if side > 0 else Exit.STOP) and fill.ret == pytest.approx(ret)
    assert (fill.entry_ns, fill.known_ns) == (session.open_ns + 6 * MINUTE_NS, session.open_ns + 11 * MINUTE_NS)
    early = fill_trade(FillRules(), bars[:8], session, side, session.open_ns + 5 * MINUTE_NS, 60, target, stop)
    assert early is None
    late = fill_trade(FillRules(), bars, session, side, session.open_ns + 359 * MINUTE_NS, 60, target, stop)
    assert late is None


def test_panels_must_fit(table: SessionTable) -> None:
    minutes = panel_of(minutes_from(table.get(DAY).open_ns, 0, {}, 10), 1, 1, table)
    five: Panel = replace(minutes, timeframe=5)
    with pytest.raises(AssertionError):
        Labeler(SPEC, np.array([0.05, 0.05])).label(minutes, five, np.full(five.mask.shape, 0.01, np.float32), table)
