"""Row against row: every difference is found and named, NaN equals NaN, and nothing else is forgiven."""

from dataclasses import replace

import numpy as np
import pytest

from intraday.backtest.compare import SIGNAL, changed_minutes, compare, feature_rows, newest, signal_rows
from intraday.domain.arrays import BAR
from intraday.domain.events import Action, Signal

NAN = float("nan")
SIGNAL_1 = Signal(3, 60, 61, Action.BUY, 0.5, 0.2, 0.3, 0.5, 100.0, 99.0, 101.0, 99, False, "m" * 16)


def rows(n=4):
    out = np.zeros(n, BAR)
    out["ts_ns"], out["inst"] = np.arange(n) // 2, np.arange(n) % 2
    out["close"] = 100.0 + np.arange(n)
    out["volume"] = NAN
    return out


def test_the_same_rows_do_not_differ_in_any_order():
    assert list(compare("candle", "x", rows(), rows()[::-1])) == []
    assert list(compare("candle", "x", rows(0), rows(0))) == []


@pytest.mark.parametrize("name", [n for n in BAR.names if n not in ("ts_ns", "inst")])
def test_one_changed_value_of_any_field_is_one_difference(name):
    other = rows()
    other[name][2] = 7
    (found,) = compare("candle", "again", rows(), other)
    assert (found.what, found.check, found.inst, found.ts_ns, found.field) == ("candle", "again", 0, 1, name)
    assert found.stored == str(rows()[name][2]) and found.again == str(other[name][2])


def test_the_last_bit_counts():
    other = rows()
    other["close"][0] = np.nextafter(100.0, 101.0)
    assert [d.field for d in compare("candle", "", rows(), other)] == ["close"]


def test_a_missing_value_on_one_side_is_a_difference():
    other = rows()
    other["volume"][1] = 0.0
    assert [(d.stored, d.again) for d in compare("candle", "", rows(), other)] == [("nan", "0.0")]
    assert [(d.stored, d.again) for d in compare("candle", "", other, rows())] == [("0.0", "nan")]


def test_rows_of_one_side_only():
    (lost,) = compare("feature", "", rows(), rows()[:-1])
    assert (lost.inst, lost.ts_ns, lost.field, lost.stored, lost.again) == (1, 1, "row", "present", "absent")
    (extra,) = compare("feature", "", rows()[1:], rows())
    assert (extra.inst, extra.ts_ns, extra.stored, extra.again) == (0, 0, "absent", "present")
    assert len(list(compare("feature", "", rows(0), rows()))) == 4


def test_features_differ_by_name_and_bit():
    ts, inst = np.zeros(2, np.int64), np.arange(2, dtype=np.int32)
    x = np.array([[1.0, NAN], [2.0, 3.0]], np.float32)
    other = x.copy()
    other[1, 1] = np.nextafter(np.float32(3.0), np.float32(4.0))
    a, b = (feature_rows(ts, inst, v, ["rsi", "atr"]) for v in (x, other))
    assert list(compare("feature", "", a, a.copy())) == []
    (found,) = compare("feature", "", a, b)
    assert (found.inst, found.field) == (1, "atr")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", Action.SELL), ("confidence", 0.5 + 1e-16 * 2), ("p_down", 0.1), ("p_hold", 0.1), ("p_up", 0.1), ("price", 1.0),
        ("stop", NAN), ("target", NAN), ("decided_ns", 62), ("valid_until_ns", 100), ("observe", True), ("model_id", "n" * 16),
        ("expected", 0.1), ("chase", 100.0), ("quantity", 1), ("reasons", (("a", 1.0),)), ("note", "open signal"),
    ],
)  # fmt: skip
def test_no_field_of_a_signal_may_change(field, value):
    a, b = signal_rows([SIGNAL_1]), signal_rows([replace(SIGNAL_1, **{field: value})])
    assert [d.field for d in compare("signal", "", a, b)] == [field]
    assert set(SIGNAL.names) - {"ts_ns", "inst"} == {
        "action", "confidence", "p_down", "p_hold", "p_up", "price", "stop", "target", "decided_ns", "valid_until_ns", "observe",
        "model_id", "expected", "chase", "quantity", "reasons", "note",
    }  # fmt: skip


def test_the_last_row_of_a_key_stays():
    twice = np.concatenate([rows(), rows()[1:2]])
    twice["close"][-1] = 5.0
    kept = newest(twice)
    assert kept["close"].tolist() == [100.0, 5.0, 102.0, 103.0]
    assert newest(rows(0)).shape == (0,)


def test_changed_minutes_look_at_prices_and_volume_only():
    other = rows()
    other["flags"], other["n_ticks"] = 7, 7
    assert len(changed_minutes(rows(), other)) == 0
    other["volume"][3] = 1.0
    assert changed_minutes(rows(), other[1:]).tolist() == [(0, 0), (1, 1)]
