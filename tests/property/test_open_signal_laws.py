"""When a signal is over: each side's own end, and one open signal per instrument as the labels say it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.core.fills import barriers, fill_trade
from intraday.core.label_sessions import Traded
from intraday.core.labels import LabelSpec
from intraday.core.panel import NO_LISTS
from intraday.core.trade_ends import side_ends
from intraday.domain.arrays import I8, MINUTE_NS
from property.test_label_laws import DAYS, Case, cases, label, specs, with_limits

TICK = 5


def ends_of(case: Case, spec: LabelSpec, known_ns: int | None = None) -> tuple[I8, I8]:
    traded = Traded.of(np.full(case.minutes.n_instruments, TICK / 100), NO_LISTS, case.bands)
    return side_ends(case.minutes, case.decisions, case.sigma, spec, traded, case.table, known_ns)


@settings(max_examples=20, deadline=None)
@given(case=cases, spec=specs, seed=st.integers(0, 2**32 - 1), limited=st.booleans())
def test_the_later_end_is_the_labels(case: Case, spec: LabelSpec, seed: int, limited: bool) -> None:
    case = with_limits(case, seed) if limited else case
    long, short = ends_of(case, spec)
    rows = label(case, spec, TICK)
    at = np.searchsorted(case.decisions.ts_ns, rows["ts_ns"])
    both = np.maximum(long, short)[at, rows["inst"]]
    np.testing.assert_array_equal(both, rows["t1_ns"])
    known = (long > 0) & (short > 0)
    assert int(known.sum()) == len(rows) and known[at, rows["inst"]].all()
    closed = case.decisions.ts_ns[:, None] + spec.timeframe * MINUTE_NS
    assert ((long > closed) | (long == 0)).all() and ((short > closed) | (short == 0)).all()


@settings(max_examples=10, deadline=None)
@given(case=cases, spec=specs, k=st.integers(0, 10_000))
def test_the_future_changes_no_end(case: Case, spec: LabelSpec, k: int) -> None:
    cut = int(case.minutes.ts_ns[k % len(case.minutes)]) + MINUTE_NS
    whole = ends_of(case, spec)
    early = ends_of(case, spec, cut)
    for full, part in zip(whole, early, strict=True):
        assert (part[(full > 0) & (full <= cut)] > 0).all()
        np.testing.assert_array_equal(part[part > 0], full[part > 0])


@settings(max_examples=10, deadline=None)
@given(case=cases, spec=specs)
def test_an_end_is_the_one_of_a_simulated_fill(case: Case, spec: LabelSpec) -> None:
    ends = ends_of(case, spec)
    session = case.table.get(DAYS[0])
    for t in range(0, len(case.decisions), 7):
        if case.decisions.session[t] != session.number or not case.decisions.mask[t, 0]:
            continue
        price, sigma = case.decisions.close[t, :1], case.sigma[t, :1].astype(np.float64)
        levels = barriers(price, sigma, np.array([TICK / 100]), spec.horizon_bars, spec.target_sigma, spec.stop_sigma)
        closed = int(case.decisions.ts_ns[t]) + spec.timeframe * MINUTE_NS
        for side, end, target, stop in (
            (1, ends[0], levels.long_target, levels.long_stop),
            (-1, ends[1], levels.short_target, levels.short_stop),
        ):
            if np.isnan(target[0]):
                assert end[t, 0] == 0
                continue
            mine = case.bars[case.bars["inst"] == 0]
            fill = fill_trade(spec.rules, mine, session, side, closed, spec.horizon_min, float(target[0]), float(stop[0]))
            assert end[t, 0] == (0 if fill is None else fill.known_ns)
