"""Where state starts: one anchor a day, one day range a segment."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from intraday.core.anchor import AnchorRule, Segment, resolve_anchor
from intraday.domain.errors import ConfigError, NotEnoughData
from intraday.domain.session import SessionTable

SESSIONS = SessionTable.load()


@pytest.mark.parametrize(
    ("day", "anchor"),
    [
        (date(2021, 5, 12), date(2021, 1, 1)),
        (date(2021, 3, 31), date(2020, 10, 1)),
        (date(2021, 4, 1), date(2021, 1, 1)),
        (date(2016, 9, 30), date(2016, 4, 1)),
        (date(2022, 12, 30), date(2022, 7, 1)),
        (date(2023, 5, 2), date(2023, 1, 2)),  # 1 January was a Sunday
    ],
)
def test_first_session_of_the_quarter_before(day: date, anchor: date) -> None:
    assert AnchorRule().anchor(day, SESSIONS) == anchor


def test_a_fixed_date_is_the_first_session_from_it_on() -> None:
    rule = AnchorRule("2021-03-27")  # a Saturday; Monday the 29th was a holiday
    assert rule.anchor(date(2021, 5, 12), SESSIONS) == date(2021, 3, 30)
    assert rule.segments(date(2021, 3, 1), date(2021, 4, 20), SESSIONS) == [
        Segment(date(2021, 3, 30), date(2021, 3, 30), date(2021, 4, 20))
    ]
    with pytest.raises(NotEnoughData, match="2021-03-30"):
        rule.anchor(date(2021, 3, 29), SESSIONS)


def test_segments_cover_the_range_once_and_have_one_anchor() -> None:
    first, last = date(2020, 11, 16), date(2021, 8, 3)
    segments = AnchorRule().segments(first, last, SESSIONS)
    days = [s.first + timedelta(days=i) for s in segments for i in range((s.last - s.first).days + 1)]
    assert days == [first + timedelta(days=i) for i in range((last - first).days + 1)]
    assert [s.anchor for s in segments] == [date(2020, 7, 1), date(2020, 10, 1), date(2021, 1, 1), date(2021, 4, 1)]
    for s in segments:
        assert {AnchorRule().anchor(d, SESSIONS) for d in (s.first, s.last)} == {s.anchor}


def test_an_unknown_rule_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="previous_quarter or YYYY-MM-DD"):
        AnchorRule("last_year")


def test_auto_is_the_quarter_with_a_year_of_bars_and_their_first_day_with_less() -> None:
    year = [date(2020, 6, 1), date(2021, 6, 1)]
    assert resolve_anchor("auto", year) == AnchorRule("previous_quarter")
    assert resolve_anchor("auto", [*reversed(year), date(2021, 3, 30)]) == AnchorRule("previous_quarter")
    assert resolve_anchor("auto", [date(2021, 6, 1), date(2021, 4, 5)]) == AnchorRule("2021-04-05")
    assert resolve_anchor("auto", []) == AnchorRule("previous_quarter")


def test_a_given_anchor_does_not_depend_on_what_is_stored() -> None:
    for text in ("previous_quarter", "2021-04-05"):
        assert resolve_anchor(text, [date(2021, 6, 1)]) == AnchorRule(text)
    with pytest.raises(ConfigError, match="previous_quarter or YYYY-MM-DD, found 'Auto'"):
        resolve_anchor("Auto", [])
