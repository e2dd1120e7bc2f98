"""One session of the feed as engine events, in virtual time over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import date

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from feed_cases import INFY, RELIANCE, TinyKite, beat, connections, frame, full
from intraday.broker.connection import ConnectionManager, ConnectionSpec, Prices
from intraday.broker.feed import KiteFeed
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Up
from intraday.broker.repairs import Repair, Repaired, RepairSpec
from intraday.broker.wire import decode_frame
from intraday.broker.ws import Received
from intraday.domain.arrays import BAR, MINUTE_NS, empty
from intraday.domain.broker import Secret
from intraday.domain.clock import Clock, SimClock
from intraday.domain.errors import BrokerUnavailable, TokenDead
from intraday.domain.events import Alert, Backfilled, Event, Frame, LinkLost, LinkUp, RequestBackfill, Timer
from intraday.domain.session import Session, SessionTable, midnight_ns
from pace_cases import virtual

SECOND_NS = 10**9
GRACE_NS = 3 * SECOND_NS // 2
DAY = date(2026, 9, 1)
OPEN_NS = SessionTable.load().get(DAY).open_ns
SHORT = Session(DAY, 20_697, OPEN_NS, OPEN_NS + 10 * MINUTE_NS, OPEN_NS + 9 * MINUTE_NS)
Talk = Callable[[ServerConnection], Awaitable[None]]


class Run:
    """A feed against a tiny Kite; ``events`` as (seconds after the open, event)."""

    def __init__(self, start_s: float = -30, session: Session = SHORT, tokens: Sequence[int] = (RELIANCE,), **limits: int) -> None:
        self.kite = TinyKite()
        self.session = session
        self.start_ns = session.open_ns + round(start_s * 1e9)
        self.tokens = tokens
        self.limits = limits
        self.events: list[tuple[float, Event]] = []
        self.alerts: list[Alert] = []
        self.asked: list[tuple[float, float, float]] = []
        self.failures: list[Exception] = []  # what the next repairs raise
        self.engine = True  # requests the minutes of a loss, as the engine does
        self.stop_after: int | None = None
        self.lost_ns = 0
        self.took_s = 0.0

    def go(self, *at: tuple[float, Callable[[], object]], repairs: RepairSpec | None = None) -> Run:
        """Run to the end; ``at``: (seconds after the open, something to do)."""
        virtual(lambda clock: self._main(clock, at, repairs), self.start_ns)
        return self

    def told(self, topic: str) -> list[Alert]:
        return [a for a in self.alerts if a.topic == topic]

    def second(self, ns: int) -> float:
        return (ns - self.session.open_ns) / 1e9

    def of(self, *kinds: type) -> list[tuple[float, Event]]:
        return [(t, e) for t, e in self.events if isinstance(e, kinds)]

    def times(self, kind: type) -> list[float]:
        return [t for t, _ in self.of(kind)]

    async def _main(self, clock: Clock, at: Sequence[tuple[float, Callable[[], object]]], repairs: RepairSpec | None) -> None:
        async with self.kite.running(), asyncio.TaskGroup() as tasks:
            self.clock = clock
            manager = connections(self.kite, clock, self.tokens, self._trading, **self.limits)
            inst = {token: i for i, token in enumerate(self.tokens)}
            self.feed = KiteFeed(self.session, manager, inst, clock, GRACE_NS, self._repair, self.alerts.append, repairs)
            for second, action in at:
                tasks.create_task(self._later(second, action))
            async with aclosing(self.feed.events()) as events:
                async for event in events:
                    self._take(event)
                    if self.stop_after is not None and len(self.events) >= self.stop_after:
                        break
            self.took_s = self.second(clock.now_ns())

    def _trading(self, now_ns: int) -> bool:
        return self.session.open_ns <= now_ns < self.session.close_ns

    async def _later(self, second: float, action: Callable[[], object]) -> None:
        await asyncio.sleep(second - self.second(self.clock.now_ns()))
        action()

    def _take(self, event: Event) -> None:
        if self.events:
            assert self.second(event.now_ns) >= self.events[-1][0], "an engine never goes back"
        self.events.append((self.second(event.now_ns), event))
        if isinstance(event, LinkLost):
            self.lost_ns = min(event.since_ns, self.lost_ns or event.since_ns)
        if isinstance(event, LinkUp) and self.engine:
            start_ns = self.lost_ns - self.lost_ns % MINUTE_NS
            self.lost_ns = 0
            self.feed.request(RequestBackfill(start_ns, event.now_ns - event.now_ns % MINUTE_NS + MINUTE_NS, "feed lost"))

    async def _repair(self, start_ns: int, end_ns: int, insts: Sequence[int]) -> Repaired:
        self.asked.append((self.second(self.clock.now_ns()), self.second(start_ns), self.second(end_ns)))
        assert list(insts) == list(range(len(self.tokens)))
        await asyncio.sleep(1)
        if self.failures:
            raise self.failures.pop(0)
        bars = empty(BAR, (end_ns - start_ns) // MINUTE_NS + 2)
        bars["ts_ns"] = start_ns + (np.arange(len(bars)) - 1) * MINUTE_NS  # one too many at each end
        return Repaired(bars)


def frozen(run: Run, *spans: tuple[float, float]) -> Talk:
    """Heartbeats, but in these spans of seconds after the open the server neither writes nor reads."""

    async def talk(connection: ServerConnection) -> None:
        while True:
            now = run.second(run.clock.now_ns())
            if any(a <= now < b for a, b in spans):
                connection.transport.pause_reading()
                await asyncio.sleep(max(b for a, b in spans if a <= now) - now)
                connection.transport.resume_reading()
            await connection.send(b"\0")
            await asyncio.sleep(1)

    return talk


def test_a_quiet_session_is_its_timers() -> None:
    run = Run().go()
    assert [e for _, e in run.events] == [Timer(OPEN_NS + round(s * 1e9)) for s in run.times(Timer)]
    assert run.times(Timer) == [60 * k + 1.5 for k in range(1, 12)], "a minute after the close hands out what came late"
    (told,) = run.alerts
    assert told.topic == "broker" and "no price of 1 instruments for 90 s" in told.text, "once, not every 90 s"


def test_frames_leave_as_ticks_and_a_timer_goes_before_the_frames_of_its_instant() -> None:
    run = Run()

    async def talk(connection: ServerConnection) -> None:
        at_ns = OPEN_NS + 61_500_000_000
        await asyncio.sleep((at_ns - run.clock.now_ns()) / 1e9)
        await connection.send(frame(full(RELIANCE, 144_005, 70, at_ns // SECOND_NS), full(INFY, 1, 1, 1)))
        await connection.send(frame(full(INFY, 1, 1, 1)))
        await beat(connection)

    run.kite.talk = talk
    run.go()
    assert run.of(LinkLost)[0][0] == 0.0, "nothing came before the open, not even a heartbeat"
    first = [e for t, e in run.events if t == 61.5 and not isinstance(e, LinkUp)]
    assert isinstance(first[0], Timer) and isinstance(first[1], Frame)
    ticks = first[1].ticks
    assert len(ticks) == 1 and ticks[0].tolist() == (OPEN_NS + 61 * SECOND_NS, OPEN_NS + 61_500_000_000, 0, 144_005, 70)
    assert len(run.of(Frame)) == 1, "a frame of unknown tokens is no event"


class Scripted(ConnectionManager):
    """A manager of one connection that hands out, at each call, what the script says, at the script's time."""

    def __init__(self, clock: SimClock, script: list[tuple[int, list[Prices | Received]]]) -> None:
        spec = ConnectionSpec("ws://127.0.0.1:9", "key", lambda: Secret("x"), LinkSpec(lambda _: True))
        super().__init__(spec, {}, clock, lambda: 0.0)
        self._script = script
        self._sim = clock

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def receive(self, until_ns: int) -> list[Prices | Received]:
        now_ns, items = self._script.pop(0) if self._script else (until_ns, [])
        self._sim.set(max(now_ns, self._sim.now_ns()))
        return items


def test_frames_received_before_and_after_a_boundary_stay_there_however_late_they_are_taken() -> None:
    def prices(second: float) -> Prices:
        at_ns = OPEN_NS + round(second * 1e9)
        return Prices(at_ns, decode_frame(frame(full(RELIANCE, round(second * 10), 1, at_ns // SECOND_NS))))

    up = Received(0, OPEN_NS - 1, Up())
    script: list[tuple[int, list[Prices | Received]]] = [(OPEN_NS - 1, [up]), (OPEN_NS + SECOND_NS, [])]
    late_ns = OPEN_NS + 63 * SECOND_NS
    script += [(OPEN_NS + 60 * SECOND_NS, []), (late_ns, [prices(61.4), prices(61.5), prices(62)])]

    async def main() -> list[tuple[str, int]]:
        clock = SimClock(OPEN_NS - SECOND_NS)
        feed = KiteFeed(SHORT, Scripted(clock, script), {RELIANCE: 0}, clock, GRACE_NS, _no_repair, lambda alert: None)
        found: list[tuple[str, int]] = []
        async with aclosing(feed.events()) as events:
            async for event in events:
                found.append((type(event).__name__, event.ticks["price"].tolist() if isinstance(event, Frame) else event.now_ns))
                if len(found) == 4:
                    break
        return found

    assert asyncio.run(main()) == [("Frame", [614]), ("Timer", late_ns), ("Frame", [615]), ("Frame", [620])]


async def _no_repair(start_ns: int, end_ns: int, insts: Sequence[int]) -> Repaired:
    raise AssertionError("nothing was missed")


def test_a_frozen_server_is_a_loss_in_the_session_and_the_minutes_come_back() -> None:
    run = Run()
    run.kite.talk = frozen(run, (130, 150))
    run.go()
    (lost,), (up,) = run.times(LinkLost), run.times(LinkUp)
    assert 130 < lost <= 134 and lost < up < 165
    assert run.asked == [(pytest.approx(200, abs=61), 120.0, 180.0)]
    assert run.asked[0][0] >= 180 + 20, "candles settle first"
    bars = run.of(Backfilled)[0][1]
    assert isinstance(bars, Backfilled) and bars.bars["ts_ns"].tolist() == [OPEN_NS + 2 * MINUTE_NS]
    assert run.times(Timer) == [60 * k + 1.5 for k in range(1, 12)], "timers go on"


def test_losses_outside_the_session_are_none() -> None:
    run = Run(start_s=-300)
    run.kite.talk = frozen(run, (-200, -60), (601, 650))
    run.go()
    assert run.of(LinkLost, LinkUp) == []


def test_a_link_that_is_down_at_the_open_is_lost_then() -> None:
    run = Run(start_s=-32.7)
    run.kite.refuse = (503, "not yet")
    run.go((100, lambda: setattr(run.kite, "refuse", None)))
    (lost,) = run.of(LinkLost)
    assert lost[0] == 0.0 and isinstance(lost[1], LinkLost) and "HTTP 503 not yet" in lost[1].reason
    assert not lost[1].inst, "there is no other connection: everybody"
    assert 100 <= run.times(LinkUp)[0] <= 131
    assert run.asked[0][1] == 0.0


def test_a_start_within_the_session_asks_for_what_it_missed() -> None:
    run = Run(start_s=200).go()
    (lost,) = run.of(LinkLost)
    assert lost[0] == 200.0 and isinstance(lost[1], LinkLost) and "started at 09:18, after the open" in lost[1].reason
    assert run.times(LinkUp) == [pytest.approx(200, abs=0.1)]
    assert run.times(Timer)[:2] == [200.0, 241.5], "the minutes before it are closed at once: what is heard of them is late"


def test_a_loss_until_the_close_is_asked_for_by_the_feed_itself() -> None:
    run = Run()
    run.kite.talk = frozen(run, (395, 100_000))
    run.go()
    assert len(run.of(LinkLost)) == 1 and run.of(LinkUp) == []
    assert run.asked[0][1:] == (360.0, 600.0)
    assert isinstance(run.events[-1][1], Backfilled) and run.events[-1][0] > run.times(Timer)[-1]


def test_repairs_are_tried_again_and_failures_told() -> None:
    run = Run()
    run.failures = [BrokerUnavailable("503"), TokenDead("dead")]
    run.kite.talk = frozen(run, (130, 150))
    run.go()
    assert [round(b[0] - a[0]) for a, b in zip(run.asked, run.asked[1:], strict=False)] == [6, 11]
    assert len(run.of(Backfilled)) == 1
    gone = Run()
    gone.failures = [BrokerUnavailable("503")] * 9
    gone.kite.talk = frozen(gone, (565, 580))
    gone.go()
    assert len(gone.asked) == 6 and gone.of(Backfilled) == []
    first, last = gone.told("feed")
    assert first.level == "warning" and "missed minute 09:24 cannot be fetched yet: 503; trying again" in first.text
    assert last.level == "error" and "missed minute 09:24 could not be fetched in 6 attempts: 503" in last.text
    assert gone.took_s > 661.5, "the feed waits for its repairs"


def test_a_repair_that_takes_for_ever_is_given_up() -> None:
    run = Run()
    run.kite.talk = frozen(run, (130, 150))

    async def never(start_ns: int, end_ns: int, insts: Sequence[int]) -> Repaired:
        await asyncio.sleep(10**6)
        return Repaired(empty(BAR))

    run._repair = never  # type: ignore[method-assign]
    run.go(repairs=RepairSpec(attempts=2, timeout_ns=100 * SECOND_NS))  # the loss of the link is told by the engine, not here
    texts = [a.text for a in run.told("feed")]
    assert ["still not fetched after 60 s" in texts[0], *("no answer in 100 s" in t for t in texts[1:])] == [True] * 3


def test_requests_are_clipped_merged_and_bounded() -> None:
    run = Run()
    run.engine = False

    def ask() -> None:
        for start, end in [(-600, -60), (0, 60), (60, 120), (-60, 60), (180, 240), (240, 480), (900, 1000)]:
            run.feed.request(RequestBackfill(OPEN_NS + start * SECOND_NS, OPEN_NS + end * SECOND_NS, "x"))
        for _ in range(5):
            run.feed.request(RequestBackfill(OPEN_NS + 300 * SECOND_NS, OPEN_NS + 360 * SECOND_NS, "x", (0,)))

    run.go((301, ask), repairs=RepairSpec(requests_max=6))
    assert [a[1:] for a in run.asked] == [(0.0, 120.0), (180.0, 240.0), (240.0, 480.0), (300.0, 360.0)]
    assert len(run.told("feed")) == 4 and "not asked for: 6 requests are waiting already" in run.told("feed")[0].text


def test_one_of_two_connections_is_a_loss_and_is_named() -> None:
    run = Run(tokens=(RELIANCE, INFY), instruments_max=1)
    talks: list[int] = []

    async def talk(connection: ServerConnection) -> None:
        await connection.send(b"\0")
        talks.append(1)
        if len(talks) == 2:
            await connection.send('{"type":"message","data":"good bye"}')
            await asyncio.sleep(100)
            await connection.close(1001)
        await beat(connection)

    run.kite.talk = talk
    run.go()
    (lost,), (up,) = run.of(LinkLost), run.of(LinkUp)
    assert isinstance(lost[1], LinkLost) and "of 2: the server answers pings but has sent nothing for 34 s" in lost[1].reason
    assert lost[0] == pytest.approx(4, abs=1) and up[0] > lost[0]
    assert any(a.topic == "broker" and "of 2: broker: good bye" in a.text and a.level == "info" for a in run.alerts)


def talkers(run: Run, *lost: tuple[float, float], closes: bool = False) -> Talk:
    """Prices every second; the n-th connection is silent and deaf in the n-th span. Connections differ by what they subscribe.

    ``closes``: from its span's end on the first one is closed, whenever it comes.
    """

    async def talk(connection: ServerConnection) -> None:
        (token,) = await run.kite.subscription(connection)
        i = run.tokens.index(token)
        a, b = lost[i]
        while True:
            now_ns = run.clock.now_ns()
            if a <= run.second(now_ns) < b:
                connection.transport.pause_reading()
                await asyncio.sleep(b - run.second(now_ns))
                connection.transport.resume_reading()
            if closes and i == 0 and run.second(run.clock.now_ns()) >= b:
                return await connection.close(1001)
            await connection.send(frame(full(token, 100, 1, now_ns // SECOND_NS)))
            await asyncio.sleep(1)

    return talk


def two(*lost: tuple[float, float], closes: bool = False) -> Run:
    """Two connections of one instrument each, silent in these spans, through to the end."""
    run = Run(tokens=(RELIANCE, INFY), instruments_max=1)
    run.kite.talk = talkers(run, *lost, closes=closes)
    return run.go()


NEVER = (1e9, 1e9)


def losses(run: Run) -> list[tuple[float, str]]:
    """Since when, and the start of why."""
    return [(run.second(e.since_ns), e.reason[:17]) for _, e in run.of(LinkLost) if isinstance(e, LinkLost)]


def test_a_loss_dates_from_when_that_connection_was_last_heard_whatever_the_other_delivers() -> None:
    run = two((117.5, 127), NEVER)
    ((since, name),) = losses(run)
    assert 116 <= since < 118 and name == "connection 1 of 2"
    assert run.times(LinkLost)[0] > 120, "noticed in the next minute"
    assert [a[1:] for a in run.asked] == [(60.0, 180.0)]


def test_a_connection_that_never_comes_back_is_missed_from_its_own_end_to_the_close() -> None:
    run = two((150, 1e6), NEVER)
    assert len(losses(run)) == 1 and run.of(LinkUp) == []
    assert [a[1:] for a in run.asked] == [(120.0, 600.0)]
    run = two((181, 1e6), NEVER)
    assert [a[1:] for a in run.asked] == [(120.0, 600.0)], "the last prices of the minute before may have been under way"


def test_a_second_connection_that_goes_meanwhile_is_told_with_its_own_time() -> None:
    run = two((100, 300), (200, 250))
    first, second = losses(run)
    assert (99 <= first[0] <= 100, first[1]) == (True, "connection 1 of 2")
    assert (199 <= second[0] <= 200, second[1]) == (True, "connection 2 of 2")
    assert [event.inst for _, event in run.of(LinkLost) if isinstance(event, LinkLost)] == [(0,), (1,)]
    assert len(run.of(LinkUp)) == 1
    assert [a[1] for a in run.asked] == [60.0]


def test_what_is_missing_at_the_close_begins_with_the_oldest_loss_not_with_the_first_noticed() -> None:
    run = two((182.7, 182.7), (181.4, 200), closes=True)  # the first one's end is noticed at once, the second one's after 4 s
    (first, _), (second, _) = losses(run)
    assert second < 181.5 < first and run.of(LinkUp) == [], "181.5: the grace after the minute"
    assert [a[1:] for a in run.asked] == [(120.0, 600.0)]


def test_a_connection_that_ends_after_the_close_is_a_loss_only_if_it_was_silent_before() -> None:
    run = two((620, 620), NEVER, closes=True)
    assert (run.of(LinkLost), run.asked) == ([], [])
    run = two((597.5, 610), NEVER, closes=True)
    ((at, _),) = run.of(LinkLost)
    assert at >= 610 and losses(run)[0][0] < 598 and [a[1:] for a in run.asked] == [(540.0, 600.0)]


def test_a_connection_that_dies_so_late_that_nobody_notices_is_asked_for() -> None:
    run = two((598, 1e6), NEVER)
    assert run.of(LinkLost) == [] and [a[1:] for a in run.asked] == [(540.0, 600.0)]


@pytest.mark.parametrize("start_s", [595, 599.9, 602, 661, 700, 10_000])
def test_a_start_at_the_very_end_still_asks_for_the_day(start_s: float) -> None:
    run = Run(start_s=start_s).go()
    ((at, lost),) = run.of(LinkLost)
    assert at == start_s and isinstance(lost, LinkLost) and lost.since_ns == OPEN_NS
    assert [a[1:] for a in run.asked] == [(0.0, 600.0)]
    assert bool(run.of(LinkUp)) == (start_s < 600), "after the close nobody has to ask"
    assert len(run.of(Backfilled)) == 1 and run.took_s < max(start_s, 661.5) + 30


def test_what_breaks_inside_is_raised_by_the_stream() -> None:
    run = Run()
    run.failures = [RuntimeError("a bug")]
    run.kite.talk = frozen(run, (130, 150))
    with pytest.raises(ExceptionGroup) as caught:  # the test's own task group
        run.go()
    assert [str(e) for e in caught.value.exceptions] == ["a bug"]
    late = Run()
    late.failures = [RuntimeError("a bug")]
    late.kite.talk = frozen(late, (395, 100_000))
    with pytest.raises(ExceptionGroup):
        late.go()


def test_iteration_may_end_early() -> None:
    run = Run()
    run.stop_after = 2
    run.go()
    assert run.took_s == pytest.approx(121.5, abs=2.1), "nothing goes on behind"
    assert run.kite.closes == [1000]


def test_a_clock_set_back_holds_time_still() -> None:
    run = Run()
    shift = [0]

    class Shifted:
        def __init__(self, clock: Clock) -> None:
            self._clock = clock

        def now_ns(self) -> int:
            return self._clock.now_ns() + shift[0]

        def monotonic_ns(self) -> int:
            return self._clock.monotonic_ns()

    inner = run._main
    run._main = lambda clock, at, repairs: inner(Shifted(clock), at, repairs)  # type: ignore[method-assign]

    async def talk(connection: ServerConnection) -> None:
        while True:
            await connection.send(frame(full(RELIANCE, 100, 1, run.clock.now_ns() // SECOND_NS)))
            await asyncio.sleep(1)

    run.kite.talk = talk
    run.go((90.5, lambda: shift.__setitem__(0, -20 * SECOND_NS)))
    assert run.times(Timer) == [60 * k + 1.5 for k in range(1, 12)]
    assert run.of(LinkLost) == []


def test_a_repair_is_typed() -> None:
    repair: Repair = Run()._repair
    assert callable(repair)
    assert midnight_ns(DAY) < OPEN_NS
