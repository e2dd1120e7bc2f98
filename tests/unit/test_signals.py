from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from loguru import logger

from intraday.core.decision import DecisionRule, latest_bar_ns
from intraday.core.fills import barriers
from intraday.core.labels import Kind as LabelKind
from intraday.core.labels import LabelSpec
from intraday.core.sizing import Sizing
from intraday.core.tradability import TradeLists
from intraday.domain.arrays import BAR, F8, MINUTE_NS, Bars, empty
from intraday.domain.events import Action, Alert, Signal
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.membership import Flag, Span
from intraday.domain.session import Session, SessionTable
from intraday.signal.alerts import AlertSystem, ConsoleChannel, LogChannel
from intraday.signal.generator import SignalGenerator, SignalSpec
from intraday.signal.policy import AlertPolicy, signal_text
from intraday.signal.terms import Terms

LABEL_SPEC = LabelSpec()
RULE = DecisionRule((-3.0, 0.0, 3.0), (3.0, 0.0, -3.0), 0.0)
SPEC = SignalSpec(RULE, np.full(8, 0.0006), LABEL_SPEC, np.full(8, 0.05), observe=True, model_id="m1")
UP, DOWN, FLAT = [0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [0.3, 0.4, 0.3]


@pytest.fixture(scope="module")
def session() -> Session:
    return SessionTable.load().get(date(2021, 6, 9))


def bars_at(session: Session, minute: int, closes: list[float]) -> Bars:
    bars = empty(BAR, len(closes))
    bars["ts_ns"] = session.open_ns + minute * MINUTE_NS
    bars["inst"] = np.arange(len(closes))
    bars["close"] = closes
    return bars


def decide(session: Session, minute: int, p: list[list[float]], sigma: float = 0.001, spec: SignalSpec = SPEC) -> list[Signal]:
    bars = bars_at(session, minute, [100.0] * len(p))
    now = int(bars["ts_ns"][0]) + 5 * MINUTE_NS + 1_500_000_000
    return list(SignalGenerator(spec).decide(bars, np.full(len(p), sigma, dtype=np.float32), np.array(p), now, session))


def test_only_the_side_of_the_primary_is_said(session: Session) -> None:
    bars, p = bars_at(session, 30, [100.0] * 8), np.array([UP, UP, UP, UP, DOWN, DOWN, DOWN, FLAT])
    x = np.array([[9.0, v] for v in (2.0, -0.5, 0.0, np.nan, 1.0, -3.0, np.nan, 1.0)], np.float32)
    sigma, spec = np.full(8, 0.001, np.float32), replace(SPEC, primary=1)
    found = SignalGenerator(spec).decide(bars, sigma, p, 7, session, x)
    free = SignalGenerator(SPEC).decide(bars, sigma, p, 7, session, x)
    buys, sells = [0], [5]
    assert [i for i, s in enumerate(found) if s.action is Action.BUY] == buys
    assert [i for i, s in enumerate(found) if s.action is Action.SELL] == sells
    assert [s.note for s in found] == ["", *["not what the primary says"] * 4, "", "not what the primary says", ""]
    assert all(found[i] == free[i] for i in (*buys, *sells)) and [s.expected for s in found] == [s.expected for s in free]
    assert np.isnan([found[1].stop, found[1].chase]).all() and found[1].confidence == UP[1]


def test_buy_sell_and_hold_with_the_confidence_of_what_is_said(session: Session) -> None:
    buy, sell, hold = decide(session, 30, [UP, DOWN, FLAT])
    assert (buy.action, buy.confidence, buy.p_up) == (Action.BUY, 0.7, 0.7)
    assert (sell.action, sell.confidence, sell.p_down) == (Action.SELL, 0.7, 0.7)
    assert (hold.action, hold.confidence) == (Action.HOLD, 0.4)
    assert np.isnan([hold.stop, hold.target]).all()
    assert [s.inst for s in (buy, sell, hold)] == [0, 1, 2]
    assert buy.model_id == "m1"
    assert buy.observe


def test_stop_and_target_are_the_labels(session: Session) -> None:
    buy, sell = decide(session, 30, [UP, DOWN])
    one: F8 = np.array([100.0])
    want = barriers(one, np.array([np.float32(0.001)]), np.array([0.05]), 12.0, 1.0, 1.0)
    assert (buy.stop, buy.target) == (want.long_stop[0], want.long_target[0])
    assert (sell.stop, sell.target) == (want.short_stop[0], want.short_target[0])
    assert buy.stop < 100 - 0.3 < 100 + 0.3 < buy.target
    assert sell.target < 100 < sell.stop


@pytest.mark.parametrize("kind", [LabelKind.FIXED_HORIZON, LabelKind.TREND_SCANNING])
def test_labels_without_barriers_have_no_stop_to_tell(session: Session, kind: LabelKind) -> None:
    spec = replace(SPEC, label=LabelSpec(kind=kind))
    buy, sell = decide(session, 30, [UP, DOWN], spec=spec)
    assert (buy.action, sell.action) == (Action.BUY, Action.SELL)
    assert np.isnan([buy.stop, buy.target, sell.stop, sell.target]).all()
    assert "no stop or target, leave when the horizon is over" in signal_text(buy, "RELIANCE")
    assert [s.action for s in decide(session, 30, [UP], sigma=float("nan"), spec=spec)] == [Action.HOLD]


def test_costs_and_volatility_decide_with_the_probabilities(session: Session) -> None:
    assert decide(session, 30, [UP], sigma=0.0003)[0].action is Action.HOLD  # the barriers lie inside the cost
    assert decide(session, 30, [UP], spec=replace(SPEC, cost=np.full(8, 0.01)))[0].action is Action.HOLD
    shown = replace(SPEC, cost=np.full(8, 0.01), rule=replace(RULE, threshold=-1.0))
    assert decide(session, 30, [UP], spec=shown)[0].action is Action.BUY  # observe mode: shown below zero


def test_rows_without_a_prediction_say_nothing(session: Session) -> None:
    signals = decide(session, 30, [UP, [np.nan] * 3, DOWN])
    assert [s.inst for s in signals] == [0, 2]


@pytest.mark.parametrize("sigma", [float("nan"), 0.0, -1.0])
def test_without_a_volatility_there_is_no_stop_and_no_trade(session: Session, sigma: float) -> None:
    (signal,) = decide(session, 30, [UP], sigma=sigma)
    assert signal.action is Action.HOLD
    assert np.isnan(signal.stop)


def test_no_trade_without_room_for_the_horizon(session: Session) -> None:
    last = (latest_bar_ns(LABEL_SPEC, session) - session.open_ns) // MINUTE_NS
    assert last == 360 - 60 - 5  # 15:15 is the last exit, an hour before it the decision bar must have closed
    assert decide(session, last, [UP])[0].action is Action.BUY
    assert decide(session, last + 5, [UP])[0].action is Action.HOLD


def test_valid_until_the_last_entry_the_label_allows(session: Session) -> None:
    (signal,) = decide(session, 30, [UP])
    assert signal.valid_until_ns == session.open_ns + (30 + 5 + 1 + 5) * MINUTE_NS
    (late,) = decide(session, 370, [FLAT])
    assert late.valid_until_ns == session.close_ns


def test_the_same_input_gives_the_same_signals_row_by_row(session: Session) -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([2, 2, 2], 8)
    bars = bars_at(session, 100, (100 + rng.random(8)).tolist())
    sigma = (0.001 * rng.random(8)).astype(np.float32)
    generator = SignalGenerator(SPEC)
    together = list(generator.decide(bars, sigma, p, 7, session))
    alone = [s for i in range(8) for s in generator.decide(bars[i : i + 1], sigma[i : i + 1], p[i : i + 1], 7, session)]
    assert repr(together) == repr(alone)


# --------------------------------------------------------------------------------------------------------------- policy


def signal(inst: int = 0, action: Action = Action.BUY, minute: int = 0, observe: bool = True) -> Signal:
    at = minute * MINUTE_NS
    return Signal(inst, at, at + 1, action, 0.61, 0.2, 0.19, 0.61, 100.0, 99.0, 101.0, at + 9 * MINUTE_NS, observe, "m1")


def test_buys_and_sells_are_told_and_holds_are_not() -> None:
    policy = AlertPolicy(["AAA", "BBB"])
    said = [signal(0), signal(1, Action.SELL), signal(1, Action.HOLD)]
    assert [(a.signal, a.now_ns, a.topic) for a in policy.select(said)] == [(s, 1, "signal") for s in said[:2]]
    assert len(policy.select([signal(0, minute=5)])) == 1  # the one before is over: an instrument has one at a time


def test_every_text_of_an_unproven_model_says_observe() -> None:
    text = signal_text(signal(), "RELIANCE")
    assert text.startswith("OBSERVE - no proven edge: BUY RELIANCE at 100.00, stop 99.00, target 101.00, confidence 61%")
    assert text.endswith("confidence 61%, enter by 05:39 IST")
    assert "OBSERVE" not in signal_text(signal(observe=False), "RELIANCE")


def test_the_text_tells_everything_a_person_needs() -> None:
    reasons = (("rsi_14", 0.314), ("ret_1", 0.2), ("vwap_dist", 0.1), ("gap", 0.05))
    full = replace(
        signal(observe=False), expected=0.00123, chase=100.4, quantity=1250, reasons=reasons, note="by NIFTY26JANFUT, lot 65"
    )
    assert signal_text(full, "RELIANCE") == (
        "BUY RELIANCE at 100.00 (not above 100.40), stop 99.00, target 101.00, quantity 1,250, confidence 61%, "
        "expected net +12.3 bps, enter by 05:39 IST; because of rsi_14 +0.31, ret_1 +0.20, vwap_dist +0.10 "
        "(by NIFTY26JANFUT, lot 65)"
    )
    assert " at 100.00 (not below 100.40), " in signal_text(replace(full, action=Action.SELL), "RELIANCE")


# ---------------------------------------------------------------------------------------------------- terms and their notes


def terms(**lists: bool) -> Terms:
    """Instrument 0 is traded freely, 1 is trade to trade, 2 under surveillance, 3 an index; shares for 1 000 rupees at risk."""
    day = date(2021, 6, 9)
    spans = {Flag.T2T: [Span(11, day)], Flag.ASM: [Span(12, day)], Flag.MIS: [Span(10, day)]}
    known = TradeLists.read(lambda flag: spans.get(flag, []), lambda flag: day if lists.get("mis") or flag != Flag.MIS else None)
    instruments = [Instrument("NSE", f"A{k}", Kind.INDEX if k == 3 else Kind.EQUITY, id=10 + k) for k in range(4)]
    return Terms(known.on(day, instruments), Sizing(100_000.0, 0.01, 50_000.0), 5)


def of_terms(session: Session, p: list[list[float]], **lists: bool) -> list[Signal]:
    return decide(session, 30, p, spec=replace(SPEC, terms=terms(**lists)))


def test_what_may_not_be_traded_is_held_and_says_why(session: Session) -> None:
    buys, sells = of_terms(session, [UP] * 4, mis=True), of_terms(session, [DOWN] * 4, mis=True)
    assert [str(s.action) for s in buys] == ["BUY", "HOLD", "BUY", "BUY"]
    assert [str(s.action) for s in sells] == ["SELL", "HOLD", "HOLD", "SELL"]
    assert [s.note for s in buys] == ["", "not tradable intraday: trade to trade", "", "direction only: an index cannot be traded"]
    assert sells[2].note == "no shorts: ASM" and sells[0].note == ""
    held = sells[2]
    assert (held.confidence, held.quantity, held.expected > 0.0) == (held.p_hold, 0, True)
    assert np.isnan([held.stop, held.target, held.chase]).all()


def test_shorts_are_assumed_where_no_list_is_known(session: Session) -> None:
    (sell, *_), (buy, *_) = of_terms(session, [DOWN]), of_terms(session, [UP])
    assert (sell.note, buy.note) == ("shorts assumed: no MIS list of that day", "")


def test_quantity_and_price_limit_follow_from_the_signal(session: Session) -> None:
    buy, sell, _, index = (of_terms(session, [p] * 4)[k] for k, p in ((0, UP), (0, DOWN), (0, FLAT), (3, UP)))
    for s in (buy, sell):
        risk = abs(s.price - s.stop) + 0.0006 * s.price
        assert s.quantity == min(int(1000.0 / risk), 500) > 100
    assert buy.chase > 100.0 > sell.chase and buy.expected == sell.expected > 0.0
    # The exit expected is 100 * (1 + expected + cost); paying the chase price leaves less than a tick of it.
    assert 0.0 <= 100.0 * (1 + buy.expected + 0.0006) / buy.chase - 1 - 0.0006 < 0.0006
    assert (index.quantity, index.action) == (0, Action.BUY)
    tight = replace(terms(), sizing=Sizing(1_000.0, 0.0001, 50_000.0))
    (poor,) = decide(session, 30, [DOWN], spec=replace(SPEC, terms=tight))
    assert poor.quantity == 0 and poor.note.startswith("shorts assumed: no MIS list of that day; no quantity: one share risks Rs ")


def test_a_hold_says_why_when_more_was_wanted(session: Session) -> None:
    assert decide(session, 30, [FLAT])[0].note == ""
    assert decide(session, 30, [UP], sigma=0.0)[0].note == "no volatility"
    assert decide(session, 320, [UP, FLAT])[0].note == "too late in the session"
    assert decide(session, 320, [UP, FLAT])[1].note == ""


def test_terms_come_back_from_json() -> None:
    limits = (np.array([90.0, np.nan, 1.0, 2.0]), np.array([110.0, np.nan, 3.0, 4.0]))
    for one in (terms(), replace(terms(mis=True), sizing=None, limits=limits)):
        again = Terms.of_json(json.loads(json.dumps(asdict(one), default=np.ndarray.tolist)))
        assert repr(asdict(again)) == repr(asdict(one))
    kept = replace(terms(), limits=limits).columns(np.array([3, 0]))
    assert kept.limits is not None and kept.limits[0].tolist() == [2.0, 90.0] and kept.tradable.note[0].startswith("direction")


# ------------------------------------------------------------------------------------------------------------- delivery


class Broken:
    async def send(self, alert: Alert) -> None:
        raise ConnectionError("nobody there")


class Stuck:
    async def send(self, alert: Alert) -> None:
        await asyncio.Event().wait()


def system(lines: list[str], capacity: int = 1000, timeout_s: float = 0.02) -> AlertSystem:
    channels = {"broken": Broken(), "console": ConsoleChannel(lines.append), "stuck": Stuck()}
    return AlertSystem(channels, AlertPolicy(["AAA", "BBB"]), capacity, timeout_s)


def notice(n: int, level: str = "info") -> Alert:
    return Alert(n, level, "feed", f"notice {n}")


async def test_a_broken_and_a_stuck_channel_do_not_stop_the_others() -> None:
    lines: list[str] = []
    alerts = system(lines)
    alerts.offer(notice(1))
    alerts.offer_signals([signal(0), signal(1, Action.HOLD)])
    alerts.offer(notice(2, "warning"))
    alerts.close()
    await asyncio.wait_for(alerts.run(), 5)
    assert lines[0] == "05:30:00 notice 1"
    assert " OBSERVE - no proven edge: BUY AAA at " in lines[1]
    assert lines[2] == "05:30:00 WARNING: notice 2"
    assert alerts.counts.sent == {"console": 3}
    assert alerts.counts.failed == {"broken": 3, "stuck": 3}


async def test_offers_never_wait_and_a_full_queue_drops_the_oldest() -> None:
    lines: list[str] = []
    alerts = system(lines, capacity=3)
    for n in range(10):
        alerts.offer(notice(n))
    assert (alerts.counts.offered, alerts.counts.dropped) == (10, 7)
    alerts.close()
    await asyncio.wait_for(alerts.run(), 5)
    assert lines == ["05:30:00 notice 7", "05:30:00 notice 8", "05:30:00 notice 9"]


async def test_it_waits_for_alerts_and_ends_when_closed() -> None:
    arrived = asyncio.Event()
    alerts = AlertSystem({"console": ConsoleChannel(lambda line: arrived.set())}, AlertPolicy(["AAA"]))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(alerts.run())
        await asyncio.sleep(0)
        assert not running.done()
        alerts.offer(notice(1))
        await arrived.wait()
        alerts.close()
    assert alerts.counts.sent == {"console": 1}


async def test_the_log_line_has_keys_and_values() -> None:
    records: list[Any] = []
    sink = logger.add(lambda message: records.append(message.record), format="{message}")
    try:
        await LogChannel().send(Alert(5, "info", "signal", "BUY {odd} text", signal()))
        await LogChannel().send(notice(3, "error"))
    finally:
        logger.remove(sink)
    first, second = records
    assert (first["level"].name, first["message"]) == ("INFO", "alert")
    said = {"channel": "alerts", "topic": "signal", "action": "BUY", "inst": 0, "observe": True, "model": "m1", "quantity": 0}
    assert first["extra"].items() >= (said | {"text": "BUY {odd} text"}).items()
    assert second["level"].name == "ERROR"
    assert second["extra"] == {"channel": "alerts", "topic": "feed", "now_ns": 3, "text": "notice 3"}
