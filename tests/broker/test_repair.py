"""Missed minutes while the session goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pytest

from broker_cases import SESSIONS, Asked, PlainBroker
from intraday.broker.backfill import Target
from intraday.broker.repair import FAILURES_MAX, MinuteRepair
from intraday.broker.repairs import Repaired, Repairs, RepairSpec
from intraday.domain.arrays import BAR, MINUTE_NS, Bars, empty
from intraday.domain.broker import Interval
from intraday.domain.clock import Clock
from intraday.domain.errors import BrokerUnavailable, RequestRefused, TokenDead
from intraday.domain.events import Alert, RequestBackfill
from intraday.domain.instruments import Instrument, Kind
from pace_cases import virtual

SESSION = SESSIONS.get(date(2026, 11, 20))
TARGETS = [
    (Instrument("NSE", "NIFTY 50", Kind.INDEX, id=1), 256265),
    *((Instrument("NSE", f"S{i}", id=i + 2), 700 + i) for i in range(5)),
]
START = SESSION.open_ns + 30 * MINUTE_NS
END = START + 4 * MINUTE_NS


def run(
    insts: list[int],
    *,
    start_ns: int = START,
    end_ns: int = END,
    now_ns: int = END + 60 * 10**9,
    fault: Callable[[Asked, int], None] = lambda asked, n: None,
    **options: object,
) -> tuple[Bars, PlainBroker, int]:
    found, broker, ended_ns = run_to_result(insts, start_ns=start_ns, end_ns=end_ns, now_ns=now_ns, fault=fault, **options)
    return found.bars, broker, ended_ns


def run_to_result(
    insts: list[int],
    *,
    start_ns: int = START,
    end_ns: int = END,
    now_ns: int = END + 60 * 10**9,
    fault: Callable[[Asked, int], None] = lambda asked, n: None,
    **options: object,
) -> tuple[Repaired, PlainBroker, int]:
    brokers = []

    async def main(clock: Clock) -> tuple[Repaired, int]:
        brokers.append(PlainBroker(clock, fault=fault))
        repair = MinuteRepair(brokers[0], TARGETS, SESSIONS, clock, **options)  # type: ignore[arg-type]
        return await repair.repair(start_ns, end_ns, insts), clock.now_ns()

    found, ended_ns = virtual(main, now_ns)
    return found, brokers[0], ended_ns


def test_all_instruments_in_order_of_importance() -> None:
    bars, broker, _ = run([], workers=1)
    assert [a.token for a in broker.asked] == [token for _, token in TARGETS]
    assert {(a.start_ns, a.end_ns) for a in broker.asked} == {(START, END - MINUTE_NS)}
    keys = list(zip(bars["ts_ns"].tolist(), bars["inst"].tolist(), strict=True))
    assert keys == [(START + i * MINUTE_NS, k) for i in range(4) for k in range(6)]
    assert np.isnan(bars["volume"]).tolist() == [k == 0 for _, k in keys]
    wanted = broker.candles(703, START, END - MINUTE_NS)
    assert bars[bars["inst"] == 4]["close"].tolist() == wanted["close"].tolist()


def test_only_those_named_in_the_order_given() -> None:
    bars, broker, _ = run([5, 2], workers=1)
    assert [a.token for a in broker.asked] == [704, 701]
    assert set(bars["inst"].tolist()) == {2, 5}


def test_it_waits_until_the_last_candle_is_final() -> None:
    _, broker, _ = run([1], now_ns=END + 10**9, settle_s=5.0)
    assert broker.asked[0].at_ns == END + 5 * 10**9
    _, broker, _ = run([1], now_ns=END + 60 * 10**9, settle_s=5.0)
    assert broker.asked[0].at_ns == END + 60 * 10**9
    with pytest.raises(AssertionError, match="to come"):
        run([1], now_ns=END - 1)


def test_workers_bound_what_is_under_way() -> None:
    _, broker, ended_ns = run([], workers=3, settle_s=0.0, now_ns=END)
    assert broker.most_at_once == 3
    assert ended_ns == END + 400_000_000


def test_what_is_outside_the_session_is_left_out() -> None:
    last = SESSION.close_ns - 2 * MINUTE_NS
    bars, _, _ = run(
        [1, 2], start_ns=last, end_ns=last + 9 * MINUTE_NS, now_ns=last + 60 * MINUTE_NS, auction=lambda i, day: i == 3
    )
    assert bars["inst"].tolist() == [1, 1]
    assert bars["ts_ns"].tolist() == [last, last + MINUTE_NS]


def test_no_answer_for_one_leaves_the_others() -> None:
    def fault(asked: Asked, n: int) -> None:
        if asked.token in (700, 702):
            raise (BrokerUnavailable if asked.token == 700 else RequestRefused)("no")

    found, _, _ = run_to_result([], fault=fault)
    assert set(found.bars["inst"].tolist()) == {0, 2, 4, 5}
    assert (found.missing, found.reason) == ((1,), "no")
    assert found.refused == {3: "S2: no"}, "nobody needs to ask again"
    whole, _, _ = run_to_result([])
    assert (whole.missing, whole.reason) == ((), "")


def test_no_answer_at_all_is_an_error() -> None:
    def fault(asked: Asked, n: int) -> None:
        raise BrokerUnavailable("down")

    with pytest.raises(BrokerUnavailable, match="down"):
        run([], fault=fault)


def test_a_broker_that_is_down_is_not_asked_for_the_rest() -> None:
    def fault(asked: Asked, n: int) -> None:
        if n > 1:
            raise BrokerUnavailable("down")

    bars, broker, _ = run([k % 6 for k in range(30)], fault=fault, workers=1)
    assert set(bars["inst"].tolist()) == {0}
    assert len(broker.asked) == 1 + FAILURES_MAX
    found, _, _ = run_to_result([], fault=fault, workers=1)
    assert found.missing == (1, 2, 3, 4, 5), "those not asked for are missing too"


def test_a_dead_login_ends_it() -> None:
    def fault(asked: Asked, n: int) -> None:
        if n > 2:
            raise TokenDead("dead")

    bars, broker, _ = run([], fault=fault, workers=1)
    assert (len(broker.asked), set(bars["inst"].tolist())) == (3, {0, 1})


def test_nothing_subscribed_is_no_work() -> None:
    async def main(clock: Clock) -> Bars:
        return (await MinuteRepair(PlainBroker(clock), [], SESSIONS, clock).repair(START, END)).bars

    assert virtual(main, END).shape == (0,)


def repairs(
    fault: Callable[[Asked, int], None],
    spec: RepairSpec | None = None,
    *,
    targets: Sequence[Target] = TARGETS,
    late_s: float = 60.0,
    requests: Sequence[tuple[int, int]] = ((START, END),),
    kind: type[PlainBroker] = PlainBroker,
    answer_s: float = 0.2,
    ended: list[int] | None = None,
) -> tuple[PlainBroker, list[Bars | None], list[Alert]]:
    """Requests for all instruments' minutes, until they are over: who was asked, what came, what was told."""
    alerts: list[Alert] = []
    done: list[Bars | None] = []

    async def main(clock: Clock) -> PlainBroker:
        broker = kind(clock, fault=fault, answer_s=answer_s)
        repair = MinuteRepair(broker, targets, SESSIONS, clock, workers=1)
        over = asyncio.Event()

        def take(bars: Bars | None) -> None:
            done.append(bars)
            if sum(b is None for b in done) == len(requests):
                over.set()

        work = Repairs(SESSION, range(len(targets)), repair.repair, clock, spec or RepairSpec(), alerts.append, take)
        for start_ns, end_ns in requests:
            work.request(RequestBackfill(start_ns, end_ns, "x"))
        async with asyncio.timeout(36_000), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work.run())
            await over.wait()
            task.cancel()
        if ended is not None:
            ended.append(clock.now_ns())
        return broker

    return virtual(main, max(end_ns for _, end_ns in requests) + round(late_s * 1e9)), done, alerts


def test_instruments_without_an_answer_are_asked_for_again_and_only_they() -> None:
    def fault(asked: Asked, n: int) -> None:
        if n in (2, 4):
            raise BrokerUnavailable("down")

    broker, done, alerts = repairs(fault)
    first, again, over = done
    assert over is None and first is not None and again is not None
    assert set(first["inst"].tolist()) == {0, 2, 4, 5} and set(again["inst"].tolist()) == {1, 3}
    assert [a.token for a in broker.asked[6:]] == [700, 702]
    (told,) = alerts
    assert told.level == "warning"
    assert told.text == "missed minutes 09:45 to 09:48 of 2 of 6 instruments cannot be fetched yet: down; trying again"


def test_instruments_that_are_never_answered_for_are_told_at_the_end() -> None:
    def fault(asked: Asked, n: int) -> None:
        if n > 1:
            raise BrokerUnavailable("down")

    broker, done, alerts = repairs(fault, RepairSpec(attempts=3))
    assert [bars is None for bars in done] == [False, True] and len(broker.asked) == 6 + 5 + 5
    assert [a.level for a in alerts] == ["warning", "error"]
    assert "of 5 of 6 instruments could not be fetched in 3 attempts: down; `intraday backfill` fetches them" in alerts[1].text


def test_a_minute_without_trades_is_an_answer() -> None:
    async def main(clock: Clock) -> Repaired:
        broker = PlainBroker(clock)
        broker.candles = lambda token, start_ns, end_ns: empty(BAR)  # type: ignore[method-assign]
        return await MinuteRepair(broker, TARGETS, SESSIONS, clock).repair(START, END)

    found = virtual(main, END + 60 * 10**9)
    assert (len(found.bars), found.missing) == (0, ())


# ------------------------------------------------------------------------------------------------ many, refused, too late
MANY: list[Target] = [(Instrument("NSE", f"M{i}", id=i + 1), 10_000 + i) for i in range(9000)]


def nothing(asked: Asked, n: int) -> None:
    """No fault."""


def handed_on(done: Sequence[Bars | None]) -> list[int]:
    return [inst for bars in done if bars is not None for inst in bars["inst"].tolist()]


def test_nine_thousand_instruments_are_had_at_three_requests_a_second() -> None:
    minute = (START, START + MINUTE_NS)
    broker, done, alerts = repairs(nothing, targets=MANY, requests=[minute], answer_s=0.34)
    assert len(broker.asked) == 9000
    assert handed_on(done) == list(range(9000))
    assert len(done) == 180 + 1, "handed on as they come"
    assert [a.text for a in alerts] == ["missed minute 09:45 still not fetched after 60 s; going on"]


def test_a_slice_that_hangs_loses_nothing_that_came_before() -> None:
    """The 71st request hangs: what the first slice brought is there, the second one is asked for again, as is the rest."""
    targets = MANY[:130]

    class Hanging(PlainBroker):
        async def fetch_historical_data(self, token: int, interval: Interval, start_ns: int, end_ns: int) -> Bars:
            if len(self.asked) == 70:
                self.asked.append(Asked(token, start_ns, end_ns, 0))
                await asyncio.sleep(10**6)
            return await super().fetch_historical_data(token, interval, start_ns, end_ns)

    broker, done, alerts = repairs(nothing, targets=targets, kind=Hanging, requests=[(START, START + MINUTE_NS)])
    assert handed_on(done) == list(range(130))
    assert len(broker.asked) == 71 + 80
    assert alerts[-1].text.endswith("of 80 of 130 instruments cannot be fetched yet: no answer in 600 s; trying again")


def test_a_broker_that_is_down_is_not_asked_for_every_slice() -> None:
    def fault(asked: Asked, n: int) -> None:
        raise BrokerUnavailable("down")

    broker, _, alerts = repairs(fault, RepairSpec(attempts=2), targets=MANY)
    assert len(broker.asked) == 2 * FAILURES_MAX
    assert alerts[-1].level == "error"


def test_the_wait_after_the_close_is_bounded_and_the_rest_left_to_the_backfill() -> None:
    """1000 instruments and a broker at 1.99 s a request: 10 minutes and 0.4 s an instrument after the close it is enough."""
    close = SESSION.close_ns
    asked = [(close - 9 * MINUTE_NS, close - 6 * MINUTE_NS), (close - 3 * MINUTE_NS, close)]
    ended: list[int] = []
    broker, done, alerts = repairs(nothing, targets=MANY[:1000], requests=asked, late_s=20.0, answer_s=1.99, ended=ended)
    assert ended == [close + 20 * 10**9 + 1000 * 10**9]
    assert len(set(handed_on(done))) == 500
    first, last = [a for a in alerts if a.level == "error"]
    assert "of 500 of 1000 instruments not fetched in the 1000 s after the close; `intraday backfill` fetches" in first.text
    assert "missed minutes 15:27 to 15:29 not fetched in the 1000 s after the close" in last.text


def test_a_refused_instrument_is_told_once_and_asked_once_a_request() -> None:
    def fault(asked: Asked, n: int) -> None:
        if asked.token in (701, 703):
            raise RequestRefused("invalid token")

    later = (START + 10 * MINUTE_NS, END + 10 * MINUTE_NS)
    broker, done, alerts = repairs(fault, requests=[(START, END), later])
    assert len(broker.asked) == 6 + 6, "one attempt each"
    assert set(handed_on(done)) == {0, 1, 3, 5}
    (told,) = alerts
    assert told.level == "warning"
    assert told.text == (
        "missed minutes 09:45 to 09:48 of 2 of 6 instruments refused by the broker, left out: S1: invalid token; S3: invalid token"
    )


def test_all_refused_is_an_answer() -> None:
    def fault(asked: Asked, n: int) -> None:
        raise RequestRefused("no")

    found, broker, _ = run_to_result([], fault=fault)
    assert (len(found.bars), found.missing, len(found.refused), len(broker.asked)) == (0, (), 6, 6)
