"""Corporate actions: factors of every kind, files of them, adjusted bars as of a day, and who sits out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intraday.core.actions import adjusted, excluded, factors
from intraday.core.anchor import AnchorRule, session_of
from intraday.domain import corporate
from intraday.domain.arrays import BAR, Bars, empty
from intraday.domain.corporate import Action, ActionKind, read_actions
from intraday.domain.errors import InputError
from intraday.domain.session import SessionTable, midnight_ns

TABLE = SessionTable.load()
DAYS = [date(2024, 1, 1) + timedelta(days=k) for k in range(10)]
HALF = Action(7, DAYS[4], ActionKind.SPLIT, 0.5, 2.0, "1:2", "circular", midnight_ns(DAYS[1]))
FIFTH = Action(7, DAYS[8], ActionKind.BONUS, 0.2, 5.0, "4:1", "circular", midnight_ns(DAYS[1]))
PAID = Action(9, DAYS[4], ActionKind.DIVIDEND, 0.9, 1.0, "10", "circular", midnight_ns(DAYS[6]))


@pytest.mark.parametrize(
    ("kind", "terms", "close", "price", "volume"),
    [
        ("split", "1:5", None, 0.2, 5.0),
        ("split", "10:1", None, 10.0, 0.1),
        ("bonus", "1:1", None, 0.5, 2.0),
        ("bonus", "2:1", None, 1 / 3, 3.0),
        ("bonus", "1:10", None, 10 / 11, 1.1),
        ("dividend", "12.5", 250.0, 0.95, 1.0),
        ("rights", "1:4@60", 100.0, 0.92, 1 / 0.92),  # (4 * 100 + 60) / 5 over 100
        ("other", "0.8", None, 0.8, 1.25),
    ],
)
def test_factors(kind: str, terms: str, close: float | None, price: float, volume: float) -> None:
    found = corporate.factors(ActionKind(kind), terms, close)
    assert found == pytest.approx((price, volume), rel=1e-15)
    if kind != "dividend":  # whoever held through it holds the same rupees, but for what a dividend paid out
        assert found[0] * found[1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("kind", "terms", "close", "message"),
    [
        ("split", "5", None, "expected shares before and after, both above 0, such as 1:5, found '5'"),
        ("split", "0:5", None, "expected shares before and after"),
        ("split", "1:5@3", None, "expected shares before and after"),
        ("bonus", "one for one", None, "expected new and held shares"),
        ("rights", "1:4", 100.0, "and the issue price"),
        ("rights", "1:4@100", 100.0, "issue price under the close of 100"),
        ("rights", "1:4@60", None, "expected the close before its ex-date, found None"),
        ("dividend", "12", None, "give it with --close"),
        ("dividend", "-1", 10.0, "rupees a share"),
        ("dividend", "10", 10.0, "less than the close"),
        ("other", "nan", None, "the price factor"),
        ("other", "inf", None, "the price factor"),
    ],
)
def test_terms_that_are_none(kind: str, terms: str, close: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        corporate.factors(ActionKind(kind), terms, close)


def test_a_file_of_actions() -> None:
    text = (
        "\ufeffTerms,Symbol,Ex_date,Kind,known,close\n1:1,infy,2024-06-03,Bonus,2024-05-01,\n\n7,ITC,2024-06-04,dividend,,430.5\n"
    )
    bonus, paid = read_actions(text, "a.csv")
    assert (bonus.symbol, bonus.kind, bonus.terms, bonus.known, bonus.close) == ("INFY", "bonus", "1:1", date(2024, 5, 1), None)
    assert (paid.ex_date, paid.known, paid.close, paid.source) == (date(2024, 6, 4), None, 430.5, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no column symbol, ex_date, kind, terms"),
        ("symbol,ex_date,kind,terms\n", "found no line"),
        ("symbol,ex_date,kind,terms\nX,2024-06-03,merger,1:1\n", "a.csv:2: expected a symbol, an ex_date and a kind of split"),
        ("symbol,ex_date,kind,terms\nX,3 June,split,1:2\n", "a.csv:2: expected days as YYYY-MM-DD"),
        ("symbol,ex_date,kind,terms\nX,,split,1:2\n", "a.csv:2: expected a symbol"),
        ("symbol,ex_date,kind,terms,close\nX,2024-06-03,split,1:2,cheap\n", "a close in rupees"),
    ],
)
def test_files_that_are_none(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_actions(text, "a.csv")


def bars_at(days: list[date], inst: int = 0) -> Bars:
    bars = empty(BAR, len(days))
    bars["ts_ns"] = [midnight_ns(day) + 1 for day in days]
    bars["inst"] = inst
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    bars["volume"] = 1000.0
    return bars


def closes(as_of: date, actions: list[Action], known_ns: int | None = None) -> list[float]:
    bars = bars_at([day for day in DAYS if day <= as_of])
    return [round(x, 9) for x in adjusted(bars, [7], actions, as_of, known_ns)["close"].tolist()]


def test_an_action_counts_from_its_ex_date_on() -> None:
    """Announced long ago, it changes nothing until the day itself: anything else would be a look into the future."""
    assert closes(DAYS[3], [HALF, FIFTH]) == [100.0] * 4
    assert closes(DAYS[4], [HALF, FIFTH]) == [50.0] * 4 + [100.0]
    assert closes(DAYS[7], [HALF, FIFTH]) == [50.0] * 4 + [100.0] * 4
    assert closes(DAYS[8], [FIFTH, HALF]) == [10.0] * 4 + [20.0] * 4 + [100.0]


def test_volume_and_other_instruments() -> None:
    bars = np.concatenate((bars_at(DAYS[:6]), bars_at(DAYS[:6], 1)))
    before = bars.copy()
    out = adjusted(bars, [7, 8], [HALF, PAID], DAYS[5])
    assert out["volume"][:6].tolist() == [2000.0] * 4 + [1000.0] * 2
    assert np.array_equal(out[6:], bars[6:])
    assert np.array_equal(bars, before)  # raw bars stay
    assert adjusted(bars[:0], [7, 8], [HALF], DAYS[5]).shape == (0,)


def test_what_was_known_when() -> None:
    at = PAID.known_ns
    gone = replace(HALF, gone_ns=at)
    assert [f.price for f in factors([gone, PAID], DAYS[9])] == [0.9]
    assert [f.price for f in factors([gone, PAID], DAYS[9], at - 1)] == [0.5]
    assert [f.price for f in factors([gone, PAID], DAYS[9], at)] == [0.9]
    assert factors([gone, PAID], DAYS[9], HALF.known_ns - 1) == []


def test_two_actions_of_a_day_are_one_factor() -> None:
    both = [HALF, replace(HALF, kind=ActionKind.BONUS, price_factor=0.25)]
    assert [(f.price, f.start_ns) for f in factors(both, DAYS[9])] == [(0.125, None)]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.5, 0.2, 1 / 3, 0.97])), max_size=5), st.integers(0, 9))
def test_no_action_of_the_future_changes_a_bar(given_actions: list[tuple[int, float]], k: int) -> None:
    """The planted leak: prices of day k adjusted by an action that goes ex later."""
    actions = [replace(HALF, ex_date=DAYS[d], price_factor=f, kind=list(ActionKind)[i]) for i, (d, f) in enumerate(given_actions)]
    past = [a for a in actions if a.ex_date <= DAYS[k]]
    bars = bars_at(DAYS[: k + 1])
    assert np.array_equal(adjusted(bars, [7], actions, DAYS[k]), adjusted(bars, [7], past, DAYS[k]))
    expected = [100.0 * np.prod([a.price_factor for a in past if a.ex_date > day]) for day in DAYS[: k + 1]]
    assert adjusted(bars, [7], actions, DAYS[k])["close"].tolist() == pytest.approx(expected, rel=1e-14)


def test_bars_of_the_future_are_refused() -> None:
    with pytest.raises(AssertionError, match="no bar after the decision day"):
        adjusted(bars_at(DAYS), [7], [HALF], DAYS[3])


FIRST, LAST = date(2024, 4, 1), date(2025, 3, 31)


def sat_out(actions: list[Action], rule: str = "previous_quarter") -> list[tuple[int, date, date]]:
    spans = excluded(actions, [9, 7], AnchorRule(rule), TABLE, FIRST, LAST)
    return [(row, date(1970, 1, 1) + timedelta(days=a), date(1970, 1, 1) + timedelta(days=b)) for row, a, b in spans]


def test_an_instrument_sits_out_until_its_state_starts_anew() -> None:
    """Ex in May: the states of May and June start in January, those of the next quarter in April, those of October in July."""
    may = replace(HALF, ex_date=date(2024, 5, 10))
    assert sat_out([may]) == [(1, date(2024, 5, 10), date(2024, 9, 30))]
    assert sat_out([replace(may, ex_date=date(2024, 7, 1))]) == [(1, date(2024, 7, 1), date(2024, 9, 30))]  # itself an anchor
    assert sat_out([may, replace(may, ex_date=date(2024, 8, 1))]) == [(1, date(2024, 5, 10), date(2024, 12, 31))]
    assert sat_out([may], "2024-05-10") == []
    assert sat_out([may], "2024-05-09") == [(1, date(2024, 5, 10), LAST)]


def test_who_does_not_sit_out() -> None:
    may = replace(HALF, ex_date=date(2024, 5, 10))
    assert sat_out([replace(may, instrument_id=3)]) == []
    assert sat_out([replace(may, gone_ns=1)]) == []
    assert sat_out([replace(may, price_factor=1.0, volume_factor=1.0)]) == []
    assert sat_out([replace(may, price_factor=0.981, volume_factor=1.0)]) == []  # an ordinary dividend
    assert sat_out([replace(may, price_factor=0.98, volume_factor=1.0)]) != []
    assert sat_out([replace(may, ex_date=date(2025, 4, 1))]) == []
    assert sat_out([replace(may, ex_date=date(2023, 12, 29))]) == []  # April's state starts on 1 January
    assert sat_out([replace(may, ex_date=date(2024, 1, 2))]) == [(1, FIRST, date(2024, 6, 30))]


def test_no_state_that_spans_an_ex_date_is_left() -> None:
    """The rule, said once more: a session is out exactly when its anchor lies before an ex-date that has come."""
    rule, actions = AnchorRule(), [replace(HALF, ex_date=day) for day in (date(2024, 2, 20), date(2024, 8, 14), date(2024, 11, 4))]
    spans = excluded(actions, [7], rule, TABLE, FIRST, LAST)
    for session in TABLE.between(FIRST, LAST):
        anchor = rule.anchor(session.day, TABLE)
        wanted = any(anchor < a.ex_date <= session.day for a in actions)
        assert any(a <= session_of(session.day) <= b for _, a, b in spans) == wanted, session.day
