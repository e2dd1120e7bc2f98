"""User feature files: what is read, what is refused and how, and the window that functions are called on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from intraday.core.audit.functions import whole_panel
from intraday.core.candles import HistoricalAggregator
from intraday.core.function_features import (
    CLOCK,
    PRICES,
    BarWindow,
    FunctionCalculator,
    FunctionFeature,
    FunctionSet,
    slots,
    whole,
)
from intraday.core.panel import Lists, panel_of
from intraday.core.registry import default_registry
from intraday.core.synthetic import SyntheticMarket, SyntheticSpec
from intraday.core.user_features import load_user_features, made_up, no_user_features
from intraday.domain.arrays import MINUTE_NS, Mask, Panel
from intraday.domain.errors import ArtifactError, ConfigError, SkewError
from intraday.domain.session import SessionTable
from property import laws

SESSIONS = SessionTable.load()
DAYS = SESSIONS.between(date(2021, 2, 19), date(2021, 2, 25))  # the halt of 24 February among them
FRAME_NS = 5 * MINUTE_NS


def market_panel(timeframe: int = 5, n: int = 4) -> Panel:
    market = SyntheticMarket(SyntheticSpec(instruments=n, seed=3), DAYS)
    bars = np.concatenate([market.bars(i) for i in range(len(DAYS)) if i != 2])  # nothing is stored of the third session
    panel = panel_of(HistoricalAggregator(n).aggregate(bars, timeframe), n, timeframe, SESSIONS, Lists(member=((0, 0, 99_999),)))
    keep = np.arange(len(panel)) % 17 != 5  # minutes in which nobody traded
    rows = np.flatnonzero(keep)
    return Panel(
        timeframe, panel.ts_ns[rows], panel.session[rows], panel.minute[rows], panel.minutes[rows], panel.member[rows],
        *(a[rows] for a in (panel.open, panel.high, panel.low, panel.close, panel.volume, panel.mask)),
    )  # fmt: skip


def change(bars: BarWindow) -> NDArray[np.float64]:
    out = np.full(bars.close.shape, np.nan)
    out[3:] = np.log(bars.close[3:] / bars.close[:-3])
    return out


def highest_today(bars: BarWindow) -> NDArray[np.float64]:
    out = np.full(bars.high.shape, np.nan)
    for t in range(len(out)):
        today = bars.day[: t + 1, 0] == bars.day[t, 0]
        out[t] = np.nanmax(bars.high[: t + 1][today], axis=0)
    return out


def cross(bars: BarWindow) -> NDArray[np.float64]:
    compared = np.where(bars.member, bars.close, np.nan)
    return bars.close - np.nanmean(compared, axis=1, keepdims=True) + bars.minute + bars.weekday + bars.minutes


def functions(*chosen: FunctionFeature) -> FunctionSet:
    made = chosen or (
        FunctionFeature("change", change, 4, "", ""),
        FunctionFeature("highest_today", highest_today, 80, "", ""),
        FunctionFeature("cross", cross, 1, "", ""),
    )
    return FunctionSet(made, "d1", SESSIONS)


def make(has_volume: Mask) -> FunctionCalculator:
    return FunctionCalculator(functions(), 5, len(has_volume))


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


HEAD = """
import numpy as np
from intraday.core.expression import close, ema
from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature
"""
BOTH = HEAD + (
    "FEATURES = [FunctionFeature('gone', lambda bars: bars.close * 2.0, 3, 'twice the close', 'rupees'),\n"
    "    Feature('smooth', 'user', ema(close(), 5), 'EMA5', 'rupees', 'user')]\n"
)


# ------------------------------------------------------------------------------------------------------------ the file


def test_a_file_gives_expressions_functions_and_a_digest(tmp_path: Path) -> None:
    path = write(tmp_path, BOTH)
    found = load_user_features(path, SESSIONS)
    assert (found.names, found.functions.names) == (("smooth", "gone"), ("gone",))
    assert list(found.joined(default_registry()))[-1] == "smooth"
    assert found.pipeline is None
    assert found.functions.window == 3
    other = load_user_features(write(tmp_path, BOTH + "# another thought\n"), SESSIONS)
    assert other.digest != found.digest == found.functions.digest
    assert load_user_features(write(tmp_path, BOTH), SESSIONS).digest == found.digest
    assert no_user_features(SESSIONS).joined(default_registry()) == dict(default_registry())


def test_an_edit_within_the_same_second_and_length_is_seen(tmp_path: Path) -> None:
    window = [load_user_features(write(tmp_path, BOTH.replace("2.0, 3", f"2.0, {w}")), SESSIONS).functions.window for w in (3, 7)]
    assert window == [3, 7]


def test_features_may_be_a_function_and_dataclasses_work_in_the_file(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 3\n"
    text += BOTH.replace("FEATURES =", "def features(): return").replace("2.0, 3", "2.0, A().x")
    assert load_user_features(write(tmp_path, text), SESSIONS).functions.window == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nFEATURES = [\n", r"mine.py, line 2: '\[' was never closed"),
        ("import numpy\n\nnumpy.nonesuch\n", "mine.py, line 3: AttributeError"),
        ("import nonesuch\n", "mine.py, line 1: ModuleNotFoundError"),
        ("x = 1\n", r"expected FEATURES = \[...\] with at least one feature, found None"),
        ("FEATURES = []\n", r"at least one feature, found \[\]"),
        ("FEATURES = [3]\n", "expected Feature or FunctionFeature, found 3"),
        (BOTH.replace("gone", "smooth"), "'smooth' is there twice"),
        (BOTH.replace("gone", "Gone too"), "found the name 'Gone too', expected lower-case"),
        (BOTH.replace("2.0, 3", "2.0, 0"), r"mine.py, line 6: feature 'gone': window: expected .* of slots, 1 to 10,000; found 0"),
        (BOTH.replace("2.0, 3", "2.0, True"), "window: .* found True"),
        (BOTH.replace("2.0, 3", "2.0, 10_000_000"), "1 to 10,000; found 10000000"),
        (BOTH.replace("lambda bars: bars.close * 2.0", "3.0"), r"line 6: feature 'gone': expected a function second, .* found 3.0"),
        (BOTH.replace("ema(close(), 5)", "5"), r"mine.py, line 7: feature 'smooth': expected an expression .* third, found 5"),
        (BOTH.replace("ema(close(), 5)", "close"), r"line 7: feature 'smooth': .* found the function close; with brackets"),
        (BOTH.replace("ema(close(), 5)", "ema(close(), 0)"), r"mine.py, line 7: ema: expected a whole number of bars"),
        (BOTH.replace("'EMA5', ", "5, "), "line 7: feature 'smooth': expected family, formula, units and source in words, found 5"),
        (BOTH.replace("'smooth', ", "7, "), "line 7: feature: expected a name first, found 7"),
        ("import sys\nsys.exit(3)\n", "mine.py, line 2: SystemExit: 3; a file of features must not end the program"),
        ("def features():\n    x = {}\n    return x['a']\n", "mine.py, line 3: KeyError: 'a'"),
        ("def features():\n    raise SystemExit\n", "mine.py, line 2: SystemExit"),
        ("from intraday.core.expression import *\nFEATURES = close() + ema(close(), 9)\n", "with at least one feature, found Expr"),
        ("x = '\0'\n", "mine.py, line 1|null bytes"),
        (BOTH + "PIPELINE = 3\n", "PIPELINE: expected a function"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_user_features(write(tmp_path, text), SESSIONS)


def test_a_missing_file_and_a_taken_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.py: expected a Python file, found none"):
        load_user_features(tmp_path / "absent.py", SESSIONS)
    with pytest.raises(ConfigError, match="the name 'rsi_14' is that of a registered feature"):
        load_user_features(write(tmp_path, BOTH.replace("gone", "rsi_14")), SESSIONS).joined(default_registry())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("bars.close[-1]", r"'gone': expected an array of numbers of shape \(3, .\) .* found float64 of shape \(.,\)"),
        ("bars.close.astype(str)", "found <U"),
        ("np.zeros(3) @ np.zeros(2)", "'gone': mine.py, line 6: ValueError"),
        ("bars.label", "bars have no 'label': a feature is given open, high"),
        ("bars.close.__setitem__(0, 1.0)", "mine.py, line 6: ValueError: assignment destination is read-only"),
    ],
)
def test_a_function_that_fails_is_named_with_its_line(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_user_features(write(tmp_path, BOTH.replace("bars.close * 2.0", body)), SESSIONS)
    later = BOTH.replace("bars.close * 2.0", f"({body}) if bars.close.shape[1] == 4 else bars.close")  # fit for the trial alone
    found = load_user_features(write(tmp_path, later), SESSIONS)
    with pytest.raises(ConfigError, match=message):
        FunctionCalculator(found.functions, 5, 4).batch(market_panel())


def test_functions_are_tried_on_bars_of_the_usual_kind(tmp_path: Path) -> None:
    """Whatever a sound function asks of its bars holds: order of prices, sessions, an index, members, nobody missing."""
    for rows, timeframe in ((1, 1), (200, 5), (30, 60)):
        bars = made_up(rows, timeframe)
        assert bars.close.shape == (rows, 8) == bars.member.shape and bars.timeframe == timeframe
        assert (np.maximum(bars.open, bars.close) < bars.high).all() and (np.minimum(bars.open, bars.close) > bars.low).all()
        assert (bars.low > 0).all() and (bars.minute < 375).all() and bars.day[-1].tolist() == [0.0] * 8
        assert bars.index == 7 and np.isnan(bars.volume[:, 7]).all() and (bars.volume[:, :7] > 0).all()
        assert (
            not bars.member[:, 7].any()
            and bars.member[:, :7].all()
            and set(bars.weekday[:, 0].tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
        )
        assert not any(getattr(bars, name).flags.writeable for name in (*PRICES, *CLOCK, "member"))
    for body in ("bars.close / bars.close[:, [bars.index]]", "bars.volume[:, bars.member[-1]].sum() + bars.minute"):
        load_user_features(write(tmp_path, BOTH.replace("bars.close * 2.0", body)), SESSIONS)


# ---------------------------------------------------------------------------------------------------------- the window


def test_the_laws_hold_for_functions() -> None:
    panel, rng = market_panel(), np.random.default_rng(1)
    assert len(panel) > 250
    laws.chunks(make, panel, [1, 17, 80, 81, 200])
    laws.steps(make, panel, rng)
    laws.truncation(make, panel, 120)
    laws.absences(make, panel, [0, 40, 40, 120])
    values = make(laws.volumes(panel)).batch(panel)
    assert np.isfinite(values[panel.mask][-40:, 1:]).all()
    assert np.isfinite(values[panel.mask][-40:, 0]).sum() > 20, "but where nothing traded three slots before"


def test_values_are_those_of_a_call_on_the_slots_up_to_the_bar() -> None:
    panel = market_panel()
    values = make(laws.volumes(panel)).batch(panel)
    bars, at = whole(functions(), panel)
    grid = slots(SESSIONS, FRAME_NS, int(panel.ts_ns[0]) - 1, int(panel.ts_ns[-1]) + 1)
    assert len(grid) == len(bars.close) > len(panel) + 75, "the slots of the session that is not stored are there, empty"
    assert np.array_equal(grid[at], panel.ts_ns)
    first = int(np.searchsorted(at, 79))
    for f, feature in enumerate(functions().features):
        expected = feature.evaluate(bars)[at].astype(np.float32)
        expected[~panel.mask] = np.nan
        np.testing.assert_array_equal(values[first:, :, f], expected[first:])
    assert np.isnan(values[: first - 1, :, 1]).all(), "no value before the window is full"


def test_a_function_is_given_the_rows_of_the_whole_grid_up_to_the_bar() -> None:
    panel, given = market_panel(), []

    def keep(bars: BarWindow) -> NDArray[np.float64]:
        given.append(replace(bars, **{name: np.array(getattr(bars, name)) for name in (*PRICES, *CLOCK, "member")}))
        return bars.close

    FunctionCalculator(functions(FunctionFeature("keep", keep, 100, "", "")), 5, 4, 3).batch(panel)
    bars, _ = whole(functions(), panel, 3)
    assert (given[-1].index, given[-1].timeframe) == (3, 5)
    for name in (*PRICES, *CLOCK, "member"):
        np.testing.assert_array_equal(getattr(given[-1], name), getattr(bars, name)[-100:], err_msg=name)


def test_what_is_infinite_or_too_large_is_missing() -> None:
    panel = market_panel().rows(0, 12)
    odd = FunctionFeature("odd", lambda bars: np.where(bars.minute < 20.0, 1.0 / (bars.minute - 10.0), 1e39), 1, "", "")
    found = FunctionCalculator(functions(odd), 5, 4).batch(panel)[:, 0, 0]
    at = {float(m): float(v) for m, v in zip(panel.minute, found, strict=True)}
    assert (at[0.0], at[5.0], at[15.0]) == (np.float32(-0.1), np.float32(-0.2), np.float32(0.2))
    assert all(np.isnan(v) for m, v in at.items() if m == 10.0 or m >= 20.0)


def test_a_halt_is_made_of_empty_slots_and_the_window_knows_the_hours() -> None:
    panel = market_panel()
    bars, _ = whole(functions(), panel)
    halted = bars.day[:, 0] == -1
    assert np.isnan(bars.close[halted & (bars.minute[:, 0] == 240.0)]).all()
    assert sorted(set(bars.day[:, 0].tolist())) == [-6.0, -3.0, -2.0, -1.0, 0.0]
    assert set(bars.weekday[:, 0].tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert bars.member[-1].tolist() == [True, False, False, False]
    assert not bars.member[bars.day[:, 0] == -2].any(), "nothing is known of the session without a bar"


@pytest.mark.parametrize("timeframe", [1, 15, 60])
def test_every_timeframe_stands_on_its_slots(timeframe: int) -> None:
    panel = market_panel(timeframe)
    found = FunctionCalculator(functions(FunctionFeature("cross", cross, 1, "", "")), timeframe, 4).batch(panel)
    bars, at = whole(functions(), panel)
    np.testing.assert_array_equal(found[:, 0, 0], FunctionFeature("", cross, 1, "", "").evaluate(bars)[at, 0].astype(np.float32))


def test_columns_and_state_are_told_by_instrument() -> None:
    panel = market_panel()
    one, two = (FunctionCalculator(functions(FunctionFeature("change", change, 4, "", "")), 5, 4, 3) for _ in range(2))
    one.batch(panel.rows(0, 100))
    assert not one.same_state(two).any()
    two.restore(one.snapshot())
    assert one.same_state(two).all()
    keep = np.array([3, 1])
    part = one.columns(keep).batch(panel.columns(keep).rows(100, len(panel)))
    np.testing.assert_array_equal(part, one.batch(panel.rows(100, len(panel)))[:, keep])


def test_a_restored_snapshot_goes_on_as_often_as_it_is_restored() -> None:
    panel = market_panel()
    rest, first, again = panel.rows(100, len(panel)), make(np.ones(4, np.bool_)), make(np.ones(4, np.bool_))
    expected = make(np.ones(4, np.bool_)).batch(panel)[100:]
    first.batch(panel.rows(0, 100))
    snapshot = first.snapshot()
    again.batch(panel.rows(0, 150))
    for calculator in (first, again, first):
        calculator.restore(snapshot)
        laws.same(calculator.batch(rest), expected, "restored")


def test_a_snapshot_of_another_file_is_refused() -> None:
    mine = make(np.ones(4, np.bool_))
    other = FunctionCalculator(FunctionSet(functions().features, "d2", SESSIONS), 5, 4)
    with pytest.raises(SkewError, match="expected \\('d2'"):
        other.restore(mine.snapshot())
    with pytest.raises(ArtifactError, match="expected npz"):
        mine.restore(b"nonsense")


def test_the_audit_tells_chance_from_the_future() -> None:
    panel, chance = market_panel(), np.random.default_rng(1)
    odd = functions(
        FunctionFeature("odd", lambda bars: bars.close + chance.normal(size=bars.close.shape), 3, "", ""),
        FunctionFeature("ahead", lambda bars: np.roll(bars.close, -1, axis=0), 3, "", ""),
    )
    told = {f.subject: f.detail for f in whole_panel(odd, panel, FunctionCalculator(odd, 5, 4).batch(panel), None)}
    assert told["odd"].startswith("other values for the same bars: it depends on something besides its argument (random numbers")
    assert told["ahead"] == "looks ahead: the value depends on the 1st bar after it"
