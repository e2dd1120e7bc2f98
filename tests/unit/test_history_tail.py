"""Sessions of which only a part is stored: no label ends at a price that was the last one by accident."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from history_cases import ANCHORS, market_of, plan_of
from intraday.core.anchor import Segment
from intraday.core.overnight import Overnight
from intraday.core.panel import Lists
from intraday.core.price_rules import PriceRules, tick_sizes_of
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, Labels, empty
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Source
from intraday.domain.session import SessionTable, day_of
from intraday.history.segment import SegmentRun, SegmentSpec
from intraday.live.warmup import decision_panels
from memory_stores import MemoryBars

SESSIONS = SessionTable.load()


def labels_of(bars: Bars, plan_dir: Path) -> Labels:
    instruments, days = market_of(SESSIONS)
    plan, first = plan_of(plan_dir), day_of(int(days[0]["ts_ns"][0]))
    rules = PriceRules(tick_sizes_of((), instruments))
    has_volume = np.array([i.has_volume for i in instruments])
    spec = SegmentSpec(Segment(first, first, day_of(int(bars["ts_ns"][-1]))), has_volume, rules, plan.features, plan.labels)
    return SegmentRun(spec, SESSIONS).advance(bars).labels


@pytest.mark.parametrize("until", [time(11, 32), time(12, 1), time(13, 13), time(14, 55)])
def test_what_ends_after_the_last_stored_minute_has_no_label(tmp_path: Path, until: time) -> None:
    """Whatever the clock says: the session is long over, but its import stopped in the middle, or the recorder did."""
    _, days = market_of(SESSIONS)
    bars = np.concatenate(days[:5])
    full = labels_of(bars, tmp_path)
    session = SESSIONS.get(day_of(int(days[3]["ts_ns"][0])))
    cut_ns = session.open_ns + ((until.hour - 9) * 60 + until.minute - 15) * MINUTE_NS
    missing = (bars["ts_ns"] >= cut_ns) & (bars["ts_ns"] < session.close_ns)
    got = labels_of(bars[~missing], tmp_path)
    there = full[(full["ts_ns"] < session.open_ns) | (full["t1_ns"] <= cut_ns)]
    today = (got["ts_ns"] >= session.open_ns) & (got["ts_ns"] < session.close_ns)
    np.testing.assert_array_equal(got[got["ts_ns"] < session.close_ns], there)
    assert 50 < np.count_nonzero(today) and (got["ts_ns"] > session.close_ns).any()


def closing_auctions(late: float) -> tuple[Bars, SegmentSpec, Lists]:
    """Two days of the closing auction of one stock, whose minutes after its own close are at ``late`` times its price; 0: none."""
    days = SESSIONS.between(date(2026, 8, 3), date(2026, 8, 4))
    bars = empty(BAR, 750)
    bars["ts_ns"] = np.concatenate([s.open_ns + np.arange(375) * MINUTE_NS for s in days])
    after = np.tile(np.arange(375) >= 360, 2)
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0 * np.where(after, late, 1.0)
    bars["volume"], lists = 1.0, Lists(auction=((0, 0, 1 << 30),))
    plan, rules = plan_of(Path()), PriceRules(tick_sizes_of((), [Instrument("NSE", "ACC")]))
    segment = Segment(days[0].day, days[0].day, days[1].day)
    spec = SegmentSpec(segment, np.array([True]), rules, plan.features, plan.labels, lists)
    return bars[~after] if late == 0.0 else bars, spec, lists


def test_the_close_that_an_open_is_compared_with_is_the_instruments_own() -> None:
    """Prices of the auction, stored before its list was, move no session to another scale: in history and before a live day."""
    for late in (0.0, 0.5):
        bars, spec, lists = closing_auctions(late)
        run = SegmentRun(spec, SESSIONS)
        assert len(run.advance(bars).ts_ns) == 2 * 72 and run.rescaled == []
        stores, overnight = MemoryBars(), Overnight(1)
        stores.write([1], bars, Source.IMPORT, 1)
        days = SESSIONS.between(date(2026, 8, 3), date(2026, 8, 4))
        panels = list(decision_panels(stores, [1], days, 5, SESSIONS, lists, overnight=overnight))
        assert sum(len(panel) for panel in panels) == 2 * 72 and overnight.before(days[1].number + 1).tolist() == [100.0]


def test_a_session_that_is_all_there_keeps_its_last_labels(tmp_path: Path) -> None:
    _, days = market_of(SESSIONS)
    session = SESSIONS.get(date(2025, 3, 20))
    assert len(ANCHORS) == 2 and day_of(int(days[2]["ts_ns"][0])) == session.day
    labels = labels_of(np.concatenate(days[:3]), tmp_path)
    assert labels["t1_ns"].max() == session.square_off_ns - 5 * MINUTE_NS
