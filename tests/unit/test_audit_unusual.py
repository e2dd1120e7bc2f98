"""The made-up bars around unusual sessions are what they are said to be, and a function's fault on them is told by the day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from intraday.core.audit.functions import order_law
from intraday.core.audit.result import Law, Outcome
from intraday.core.audit.unusual import AUCTION, LEAVES, STOCKS, Stretch, stretches, unusual_law
from intraday.core.function_features import BarWindow, FunctionFeature, FunctionSet
from intraday.domain.session import EPOCH, SessionTable

SESSIONS = SessionTable.load()


def function_set(function: Callable[[BarWindow], Any], window: int) -> FunctionSet:
    return FunctionSet((FunctionFeature("mine", function, window, "", ""),), "", SESSIONS)


def rows_on(stretch: Stretch) -> Any:
    return stretch.panel.session == (stretch.day - EPOCH).days


def test_each_stretch_is_what_it_is_said_to_be() -> None:
    halt, evening, saturday, auction = stretches(SESSIONS, 5, 100)
    minute = halt.panel.minute[rows_on(halt)]
    assert np.diff(minute).max() == 250.0  # 11:35 to 15:45
    assert (evening.panel.minutes[rows_on(evening)] == 60.0).all()
    assert rows_on(evening).sum() == 12
    assert saturday.panel.minute[rows_on(saturday)].max() == 190.0
    assert rows_on(saturday).sum() == 21
    day = rows_on(auction)
    assert (auction.panel.minutes[day, AUCTION] == 360.0).all()
    assert (auction.panel.minutes[day, AUCTION + 1 :] == 375.0).all()
    assert auction.panel.mask[day, AUCTION].sum() <= 72 < auction.panel.mask[day, STOCKS].sum()
    for stretch in (halt, evening, saturday, auction):
        panel = stretch.panel
        assert np.isnan(panel.volume[:, STOCKS]).all()
        assert panel.member[rows_on(stretch), LEAVES].all()
        assert not panel.member[-1, LEAVES]
        assert len(np.unique(panel.session)) == 6, "two sessions and the window's before it, and one after"


def test_a_long_window_gets_enough_sessions_before_the_day() -> None:
    for stretch in stretches(SESSIONS, 15, 200):
        assert np.searchsorted(stretch.panel.session, (stretch.day - EPOCH).days) >= 200


@pytest.mark.parametrize("timeframe", [1, 5, 60])
def test_looking_ahead_fails_on_any_timeframe_and_a_short_window_does_not(timeframe: int) -> None:
    def highest(bars: BarWindow) -> Any:
        return bars.close / np.fmax.accumulate(bars.high, axis=0)

    def following(bars: BarWindow) -> Any:
        return np.nan_to_num(np.concatenate([bars.close[1:], bars.close[-1:]]))

    assert {f.outcome for f in unusual_law(function_set(highest, 3), timeframe)} == {Outcome.PASSED}
    assert {f.outcome for f in unusual_law(function_set(following, 3), timeframe)} == {Outcome.FAILED}


def test_a_fault_of_one_day_alone_is_told_by_that_day() -> None:
    def mine(bars: BarWindow) -> Any:
        out = bars.close / bars.open
        out[:-1] = np.where(bars.minute[:-1] >= 385.0, np.nan_to_num(bars.close[1:]), out[:-1])  # the halt's long evening
        return out

    failed = [f for f in unusual_law(function_set(mine, 2), 5) if f.outcome is Outcome.FAILED]
    assert [f.law for f in failed] == [Law.UNUSUAL]
    assert failed[0].detail.startswith("made-up bars around the halt of 2021-02-24, stock ")
    assert failed[0].first is not None
    assert failed[0].first.inst == -1


def test_order_matters_only_where_it_does() -> None:
    panel = next(stretches(SESSIONS, 5, 1)).panel
    rng = np.random.default_rng(4)

    def outcome(function: Callable[[BarWindow], Any]) -> Outcome:
        (found,) = order_law(function_set(function, 1), panel, STOCKS, rng)
        assert found.law is Law.ORDER
        return found.outcome

    assert outcome(lambda bars: bars.close - np.nanmean(bars.close, axis=1, keepdims=True)) is Outcome.PASSED
    assert outcome(lambda bars: bars.close / bars.close[:, [bars.index or 0]]) is Outcome.PASSED
    assert outcome(lambda bars: bars.close / bars.close[:, :1]) is Outcome.FAILED
    assert outcome(lambda bars: bars.close * np.arange(bars.close.shape[1])) is Outcome.FAILED
