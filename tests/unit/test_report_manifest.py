"""From the manifest's sections, the trades and the charges to parts of the page."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import date, timedelta

import numpy as np
import pytest

from intraday.core.costs import Costs
from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS
from intraday.model.cpcv import PathFigures
from intraday.model.metrics import OutOfSample
from intraday.model.path import DailyPath
from intraday.model.reliability import reliability
from intraday.model.trained import Explained
from intraday.model.verdict import judge
from intraday.report.assemble import DOTS_MAX, swarm_of
from intraday.report.from_costs import charges_of
from intraday.report.from_manifest import (
    baselines_of,
    curves_of,
    fold_map_of,
    judgement_of,
    paths_of,
    realised_of,
    recalibration_of,
    stability_of,
)
from intraday.report.from_trades import by_hour, by_instrument, heat_map
from intraday.report.parts import Baseline, Span

MONDAY = date(2021, 6, 7)
NUMBER = (MONDAY - date(1970, 1, 1)).days
FOLD = {
    "fit_sessions": [NUMBER, NUMBER + 1],
    "stop_sessions": [NUMBER + 3, NUMBER + 3],
    "score_sessions": [NUMBER + 7, NUMBER + 8],
    "purged": 12,
}


def plain(value: object) -> object:
    """As the manifest holds it: JSON, with NaN as null."""
    return json.loads(
        json.dumps(value, default=list).replace("NaN", "null").replace("-Infinity", '"-inf"').replace("Infinity", '"inf"')
    )


def oos(n: int = 600) -> OutOfSample:
    rng = np.random.default_rng(3)
    session = np.repeat(np.arange(NUMBER, NUMBER + 20), n // 20).astype(np.int32)
    p = rng.dirichlet((2.0, 4.0, 2.0), n)
    label = np.array([rng.choice(3, p=row) - 1 for row in p], dtype=np.int8)
    minute = np.tile([614, 615, 800], n // 3)
    close = session.astype(np.int64) * DAY_NS - IST_NS + minute * MINUTE_NS
    side = np.where(rng.random(n) < 0.3, 1, 0).astype(np.int8)
    ret = rng.normal(0.0002, 0.002, n)
    return OutOfSample(
        ts_ns=close, t1_ns=close, session=session, inst=(np.arange(n) % 2).astype(np.int32), fold=np.zeros(n, np.int32),
        label=label, ret_long=ret, raw=p, p=p, prior=np.tile([0.25, 0.5, 0.25], (n, 1)), side=side, trade=side != 0, gross=ret,
        cost=np.full(n, 0.0006), paid=np.full(n, 0.0006), expected=np.abs(ret), close_ns=close, close=np.full(n, 100.0),
        end_ns=close, sigma=np.full(n, 0.001), ret_short=-ret, eligible=np.ones(n, np.bool_), shown=side,
        shown_trade=side != 0,
    )  # fmt: skip


def test_the_verdicts_figures_come_with_words() -> None:
    rng = np.random.default_rng(1)
    net = rng.normal(0.0, 0.004, 120)
    path = DailyPath(np.arange(120, dtype=np.int32), net + 0.003, np.full(120, 0.003), np.full(120, 5))
    verdict = judge(path, (), independent_trades=412.0)
    found = judgement_of(plain(asdict(verdict)))  # type: ignore[arg-type]
    assert found is not None
    figures = {f.name: f for f in found.figures}
    assert math.isclose(figures["Sharpe ratio by session"].value, verdict.figures["sharpe"])
    assert math.isclose(figures["Deflated Sharpe ratio"].value, 100 * verdict.figures["dsr"])
    assert figures["Net a session"].low == pytest.approx(verdict.figures["net_bps_session_low"])
    assert [m for m, _ in found.power] == [1.0, 2.0, 3.0]
    assert found.power[1][1] == pytest.approx(verdict.figures["power_2x"])
    assert all(math.isfinite(f.value) or f.name == "Minimum track record" for f in found.figures), found.figures
    assert found.gross_word == verdict.gross_word
    assert figures["Gross a session"].note == ""
    few = {"figures": {**plain(verdict.figures), "trades": 37.0, "measured_trades": 120.0}}  # type: ignore[dict-item]
    thin = judgement_of(few)
    assert thin is not None
    assert {f.name: f.note for f in thin.figures}["Gross a session"].startswith(
        "of the 120 signals that observe mode shows: 37 trades"
    )
    assert judgement_of(None) is None
    assert judgement_of({"word": "edge", "figures": {}}) is None


def test_reliability_keeps_classes_intervals_and_signals() -> None:
    rows = oos()
    measured = reliability(rows, np.random.default_rng(1), draws=50)
    section = plain(measured.to_dict())
    curves = curves_of(section)  # type: ignore[arg-type]
    assert [c.name for c in curves] == ["down", "neither", "up"]
    assert sum(int(c.count.sum()) for c in curves) == 3 * len(rows)
    assert all(c.low is not None and np.all(c.low <= c.observed + 1e-9) for c in curves)
    found = recalibration_of(section)  # type: ignore[arg-type]
    assert found[2].slope.value == pytest.approx(measured.classes[2].slope.mean)
    assert found[0].error.high == pytest.approx(measured.classes[0].ece.high)
    promised = realised_of(section)  # type: ignore[arg-type]
    assert promised is not None
    assert int(promised.count.sum()) == int(rows.trade.sum())
    assert np.all(np.diff(promised.predicted) > 0)
    assert curves_of(None) == recalibration_of(None) == ()
    assert realised_of({"signals": {"curve": []}}) is None


def test_the_fold_map_has_windows_embargo_and_purged_rows() -> None:
    days = [MONDAY + timedelta(days=k) for k in (0, 1, 2, 3, 4, 7, 8)]  # a working week and two days
    found = fold_map_of([FOLD], days)
    assert found is not None
    assert list(found.days) == days
    assert set(found.lanes[0].spans) == {
        Span("fit", 0, 1),
        Span("embargo", 2, 2),
        Span("stop", 3, 3),
        Span("embargo", 4, 4),
        Span("score", 5, 6),
        Span("purged", 2, 1),
        Span("purged", 4, 3),
    }
    unpurged = fold_map_of([FOLD | {"purged": 0}], days)
    assert unpurged is not None
    assert not [s for s in unpurged.lanes[0].spans if s.kind == "purged"]


def test_without_a_calendar_the_axis_is_every_weekday() -> None:
    found = fold_map_of([FOLD])
    assert found is not None
    assert [d.weekday() for d in found.days] == [0, 1, 2, 3, 4, 0, 1]
    assert fold_map_of([]) is None


def test_stability_is_the_agreement_of_ranks() -> None:
    same = stability_of("abc", [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]])
    opposite = stability_of("abc", [[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    assert same is not None
    assert opposite is not None
    assert (same.agreement, opposite.agreement) == (pytest.approx(1.0), pytest.approx(-1.0))
    assert same.shares.shape == (3, 2)
    one, flat = stability_of("abc", [[0.5, 0.3, 0.2]]), stability_of("abc", [[0.0, 0.0, 0.0], [0.6, 0.3, 0.1]])
    assert one is not None
    assert flat is not None
    assert math.isnan(one.agreement)
    assert math.isnan(flat.agreement)
    assert stability_of("abc", None) is None


def test_paths_and_baselines() -> None:
    paths = paths_of(plain(asdict(PathFigures(6, 2, 15, (0.1, float("nan")), (1.0, 2.0), (5, 6)))), 0.2)  # type: ignore[arg-type]
    assert paths is not None
    assert (paths.groups, paths.own, np.isnan(paths.sharpes).tolist()) == (6, 0.2, [False, True])
    assert paths_of(None, 0.2) is None
    own = Baseline("this model", 3, 1.0, own=True)
    rows = [{"name": "always HOLD", "trades": 0, "net_bps_trade": None, "net_bps_session": {"mean": 0.0, "low": 0.0, "high": 0.0}}]
    found = baselines_of(rows, own)
    assert found[0] is own
    assert found[1].session.value == 0.0
    assert math.isnan(found[1].net)
    assert baselines_of(None, own) == ()


def test_groups_add_up_to_all_trades() -> None:
    rows = oos()
    instruments, hours, heat = by_instrument(rows, ("A", "B")), by_hour(rows), heat_map(rows, ("A", "B"))
    net = float(((rows.gross - rows.cost)[rows.trade] * 1e4).sum())
    for groups in (instruments, hours):
        assert sum(g.trades for g in groups) == int(rows.trade.sum())
        assert sum(g.total for g in groups) == pytest.approx(net)
    assert [g.name for g in hours] == ["09:15 to 10:15", "10:15 to 11:15", "13:15 to 14:15"]
    assert [g.trades for g in instruments] == sorted((g.trades for g in instruments), reverse=True)
    assert heat is not None
    assert (list(heat.instruments), list(heat.hours)) == (["A", "B"], ["09:15", "10:15", "13:15"])
    assert float(np.nansum(heat.net * heat.trades)) == pytest.approx(net)
    first = instruments[0]
    assert first.net == pytest.approx(first.gross - first.cost)


def test_without_trades_there_are_no_groups() -> None:
    rows = oos()
    none = OutOfSample(**{f: getattr(rows, f) for f in rows.__slots__} | {"trade": np.zeros(len(rows), np.bool_)})
    assert by_instrument(none, ("A", "B")) == by_hour(none) == ()
    assert heat_map(none, ("A", "B")) is None


def test_charges_follow_the_table() -> None:
    costs = Costs.load()
    found = charges_of(costs, date(2020, 3, 2), date(2021, 6, 11), date(2026, 11, 23), 75_000.0)
    assert found.days[0] == date(2020, 3, 2)
    assert date(2020, 7, 1) in found.days
    assert list(found.notionals) == [50_000.0, 75_000.0, 200_000.0, 1_000_000.0]
    for i, day in enumerate(found.days):
        assert found.bps[i, 1] == costs.round_trip_bps(day, 75_000.0)
    assert found.today[1] == costs.round_trip_bps(date(2026, 11, 23), 75_000.0)


@pytest.mark.parametrize("n", [0, 1, 50, 5000])
def test_a_swarm_takes_rows_evenly_and_keeps_value_beside_contribution(n: int) -> None:
    values = np.linspace(0, 1, n, dtype=np.float32)
    toward = np.column_stack([-values, values * 2]).astype(np.float32)
    found = swarm_of(Explained(np.zeros((1, 3, 2)), ("a", "b"), toward, np.column_stack([values, values]).astype(np.float32)))
    assert found.contribution.shape == found.value.shape == (2, min(n, DOTS_MAX))
    if n > 1:
        assert found.names == ("b", "a")
        assert np.allclose(found.contribution[0], 2 * found.value[0])
        assert (found.value[0, 0], found.value[0, -1]) == (0.0, 1.0)
        assert found.strength[0] == pytest.approx(1.0, rel=1e-5)
