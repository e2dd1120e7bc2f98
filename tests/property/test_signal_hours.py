"""No decision reaches past the hours of its own instrument: dates, eligibility, decision times, timeframes and horizons."""

from __future__ import annotations

from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intraday.core.decision import DecisionRule, latest_bar_ns, latest_bars_ns
from intraday.core.fills import FillRules, clock_of, last_exit_ns
from intraday.core.labels import LabelSpec
from intraday.core.panel import Lists, day_of
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.events import Action
from intraday.domain.session import SessionTable, midnight_ns
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.signal.one_open import SessionSignals

SESSIONS = SessionTable.load()
SPECIAL = [date(2021, 2, 24), date(2021, 11, 4), date(2024, 3, 2), date(2026, 7, 31), date(2026, 8, 3), date(2026, 9, 7)]
DAYS = st.sampled_from(SPECIAL) | st.sampled_from([s.day for s in SESSIONS.between(date(2026, 7, 1), date(2026, 12, 31))])
FIRST_AUCTION = date(2026, 8, 3)
SIDES = {1: [0.1, 0.1, 0.8], -1: [0.8, 0.1, 0.1], 0: [0.1, 0.8, 0.1]}
ALWAYS = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), -9.0)


@st.composite
def labels(draw):
    timeframe = draw(st.sampled_from([1, 5, 15, 60]))
    rules = {
        "entry_delay_s": draw(st.integers(0, 300)),
        "max_wait_min": draw(st.integers(0, 15)),
        "square_off_buffer_min": draw(st.integers(0, 20)),
    }
    return LabelSpec(timeframe=timeframe, horizon_min=timeframe * draw(st.integers(1, 12)), **rules)


@given(
    DAYS,
    st.lists(st.tuples(st.booleans(), st.sampled_from([1, -1, 0])), min_size=1, max_size=5),
    labels(),
    st.integers(0, 500),
    st.integers(0, 90),
)
def test_no_decision_reaches_past_its_own_hours(day, stocks, label, minute, late_s):
    """Each of ``stocks``: whether it takes part in the closing auction, and what the model wants to do."""
    session, n = SESSIONS.get(day), len(stocks)
    lists = Lists(auction=tuple((row, 0, 1 << 30) for row, (auction, _) in enumerate(stocks) if auction))
    hours = day_of(session, n, SESSIONS, lists)
    bars = empty(BAR, n)
    grid_ns = session.open_ns + minute % session.minutes * MINUTE_NS
    bars["ts_ns"] = grid_ns - (grid_ns - midnight_ns(day) - 555 * MINUTE_NS) % (label.timeframe * MINUTE_NS)
    bars["inst"], bars["close"] = np.arange(n), 100.0
    decided_ns = int(bars["ts_ns"][0]) + label.timeframe * MINUTE_NS + late_s * 10**9
    spec = SignalSpec(ALWAYS, np.zeros(n), label, np.full(n, 0.05), observe=False, model_id="m" * 16)
    p = np.array([SIDES[side] for _, side in stocks])
    signals = SessionSignals(session, hours, label.timeframe, SignalGenerator(spec)).decide(
        bars, np.zeros((n, 0), np.float32), np.full(n, 0.001, np.float32), p, decided_ns
    )
    assert [s.inst for s in signals] == list(range(n)), "HOLD is an answer too"
    latest = latest_bars_ns(label, session, n, SESSIONS, lists)
    for s, (auction, side) in zip(signals, stocks, strict=True):
        own = SESSIONS.get(day, auction=auction)
        assert s.valid_until_ns <= own.close_ns
        fits = s.bar_ns <= latest_bar_ns(label, own)
        assert fits == (s.bar_ns <= latest[s.inst]), "what was trained on"
        assert s.action is ({1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}[side] if fits else Action.HOLD)
        if s.action is not Action.HOLD:
            closed_ns = s.bar_ns + label.timeframe * MINUTE_NS
            end_ns = closed_ns + label.horizon_min * MINUTE_NS
            assert end_ns <= last_exit_ns(label.rules, own) <= min(own.close_ns, own.square_off_ns)
            assert s.valid_until_ns <= end_ns, "nobody is told to enter when the trade is over"
        if auction and day >= FIRST_AUCTION and own.auction:
            assert own.close_ns == midnight_ns(day) + (15 * 60 + 15) * MINUTE_NS
            assert s.valid_until_ns <= own.close_ns


@given(DAYS, st.booleans(), st.integers(0, 500), st.integers(0, 300), st.integers(1, 120))
def test_no_entry_after_the_last_continuous_minute(day, auction, minute, delay_s, horizon_min):
    """An entry is the open of a minute; the rows a trade may begin at lie before the last exit, and that before the close."""
    session, rules = SESSIONS.get(day, auction=auction), FillRules(entry_delay_s=delay_s)
    closed_ns = np.array([min(session.open_ns + (minute + 1) * MINUTE_NS, session.close_ns)])
    clock = clock_of(rules, session, closed_ns, horizon_min)
    end, known = int(clock.rows[2, 0]), int(clock.rows[3, 0])
    assert end <= clock.last < session.minutes and known <= session.minutes
    assert session.open_ns + end * MINUTE_NS <= last_exit_ns(rules, session)
