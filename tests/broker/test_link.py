"""The rules of one connection, step by step and without a socket."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intraday.broker.link import Link, LinkSpec
from intraday.broker.link_events import (
    Binary,
    Close,
    Closed,
    Connect,
    Deliver,
    Input,
    Lost,
    Mode,
    NeedToken,
    Notice,
    Opened,
    Output,
    Pong,
    Refused,
    Send,
    SendPing,
    Text,
    Tick,
    TokenRead,
    Unreachable,
    Unwant,
    Up,
    Wait,
    Want,
)
from intraday.broker.link_texts import BATCH, TEXT_MAX

HEARTBEAT = Binary(b"\0")
FRAME = Binary(b"\0\1\0\x08" + bytes(8))
OPEN_S, CLOSE_S = 1000.0, 20_000.0  # of trading, seconds of the tests' own time


class Driver:
    """Feeds a link, keeps its time, and fires its timer when it is due."""

    def __init__(self, trading: bool = True, jitter: float = 0.999999, **spec: int) -> None:
        self.now = OPEN_S + 100 if trading else 10.0
        self.link = Link(LinkSpec(lambda ns: OPEN_S <= ns / 1e9 < CLOSE_S, **spec), lambda: jitter)
        self.due = math.inf
        self.log: list[tuple[float, Output]] = []

    def give(self, thing: Input) -> list[Output]:
        out = self.link.handle(round(self.now * 1e9), thing)
        for output in out:
            if isinstance(output, Wait):
                self.due = output.until_ns / 1e9
                assert self.due > self.now, "a wait that is over already would spin"
        self.log += [(self.now, o) for o in out if not isinstance(o, Wait)]
        return [o for o in out if not isinstance(o, Wait)]

    def run_to(self, when: float, *every_s: tuple[float, Input]) -> None:
        """Until ``when``; things that keep coming are given at multiples of their interval."""
        beats = [[self.now + s, s, thing] for s, thing in every_s]
        while (nxt := min([self.due, *(b[0] for b in beats)])) <= when:
            self.now = nxt
            for beat in beats:
                if beat[0] <= self.now:
                    self.give(beat[2])
                    beat[0] += beat[1]
            if self.due <= self.now:
                self.due = math.inf
                self.give(Tick())
        self.now = when

    def connect(self) -> list[Output]:
        assert self.give(Tick()) == [Connect()]
        return self.give(Opened())

    def up(self) -> Driver:
        self.connect()
        assert Up() in self.give(HEARTBEAT)
        return self

    def times(self, kind: type) -> list[float]:
        return [t for t, o in self.log if isinstance(o, kind)]

    def notices(self) -> list[str]:
        return [o.text for _, o in self.log if isinstance(o, Notice)]


def sent(outputs: list[Output]) -> list[dict[str, object]]:
    return [json.loads(o.text) for o in outputs if isinstance(o, Send)]


# ------------------------------------------------------------------------------------------------------- subscriptions


def test_subscriptions_go_out_after_every_connect_in_their_latest_modes() -> None:
    d = Driver()
    assert d.give(Want({1: Mode.QUOTE, 2: Mode.FULL})) == [], "not connected yet"
    assert sent(d.connect()) == [
        {"a": "subscribe", "v": [1]},
        {"a": "mode", "v": ["quote", [1]]},
        {"a": "subscribe", "v": [2]},
        {"a": "mode", "v": ["full", [2]]},
    ]
    assert sent(d.give(Want({1: Mode.FULL, 2: Mode.FULL}))) == [{"a": "subscribe", "v": [1]}, {"a": "mode", "v": ["full", [1]]}]
    assert sent(d.give(Unwant([2, 7]))) == [{"a": "unsubscribe", "v": [2]}]
    d.give(Closed(1006, ""))
    d.run_to(d.now + 1)
    assert sent(d.give(Opened())) == [{"a": "subscribe", "v": [1]}, {"a": "mode", "v": ["full", [1]]}]
    assert d.link.wanted == {1: Mode.FULL}


def test_many_tokens_go_out_in_batches() -> None:
    d = Driver()
    d.give(Want(dict.fromkeys(range(2 * BATCH + 1), Mode.FULL)))
    commands = sent(d.connect())
    assert [len(c["v"]) if c["a"] == "subscribe" else len(c["v"][1]) for c in commands] == [BATCH] * 4 + [1, 1]  # type: ignore[arg-type,index]
    assert [len(c["v"]) for c in sent(d.give(Unwant(range(2 * BATCH + 1))))] == [BATCH, BATCH, 1]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ messages


def test_frames_are_delivered_and_heartbeats_are_not() -> None:
    d = Driver()
    d.connect()
    assert d.link.state == "open"
    assert d.give(FRAME) == [Up(), Deliver(FRAME.payload)]
    assert d.give(HEARTBEAT) == []
    assert d.give(FRAME) == [Deliver(FRAME.payload)]
    assert (d.link.counts.frames, d.link.counts.heartbeats, d.link.state) == (2, 1, "up")
    assert d.link.frame_ns == round(d.now * 1e9)


def test_broker_texts_are_shown_orders_are_not() -> None:
    d = Driver().up()
    assert d.give(Text('{"type":"message","data":"Market\\u0007 is\\n closed"}')) == [Notice("info", "broker: Market is closed")]
    assert d.give(Text('{"type":"error","data":"Too many"}')) == [Notice("warning", "error from the broker: Too many")]
    assert d.give(Text('{"type":"message","data":{"a":1}}')) == [Notice("info", 'broker: {"a": 1}')]
    assert d.give(Text('{"type":"order","data":{}}')) == []
    long = d.give(Text(json.dumps({"type": "message", "data": "x" * 10_000})))[0]
    assert isinstance(long, Notice) and len(long.text) < TEXT_MAX + 20
    assert (d.link.counts.notices, d.link.counts.orders) == (4, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"type":"?"}', '{"data":1}', '{"type":["message"]}', "[" * 100_000])
def test_texts_that_mean_nothing_are_counted(text: str) -> None:
    d = Driver().up()
    assert d.give(Text(text)) == []
    assert d.link.counts.invalid_texts == 1


# ------------------------------------------------------------------------------------------------------------ watching


def test_a_silent_connection_is_pinged_at_half_time_and_dropped_at_full() -> None:
    d = Driver().up()
    last = d.now
    d.run_to(last + 10)
    assert d.times(SendPing) == [last + 2]
    assert d.times(Close) == d.times(Lost) == [last + 4]
    assert [o.reason for _, o in d.log if isinstance(o, Lost)] == ["nothing received for 4.0 s, not even an answer to a ping"]
    assert d.times(Connect)[1] == pytest.approx(last + 5)
    assert d.link.counts.losses == {"stalled": 1}


def test_a_program_that_was_busy_asks_before_it_gives_up() -> None:
    d = Driver().up()
    d.now += 60  # and only now its timer
    assert d.give(Tick()) == [SendPing()]
    d.give(Pong())
    d.give(HEARTBEAT)
    d.run_to(d.now + 1)
    assert d.times(Lost) == []


def test_pongs_alone_are_a_loss_in_trading_and_the_end_after_a_while() -> None:
    d = Driver().up()
    last = d.now
    d.run_to(last + 100, (1.5, Pong()))
    assert d.times(Lost) == [pytest.approx(last + 4, abs=1)]
    assert [o.reason for _, o in d.log if isinstance(o, Lost)] == ["the server answers pings but has sent nothing for 4 s"]
    assert d.times(Close) == [pytest.approx(last + 30, abs=2)]
    assert d.notices() == ["the server answers pings but sent nothing for 30 s"]
    assert d.link.counts.losses == {"silent": 1}


def test_a_frame_in_time_ends_a_loss_without_a_new_connection() -> None:
    d = Driver().up()
    last = d.now
    d.run_to(last + 10, (1.5, Pong()))
    assert d.link.state == "open"
    assert d.give(FRAME) == [Up(), Deliver(FRAME.payload)]
    assert len(d.times(Connect)) == 1 and len(d.times(Lost)) == 1


def test_outside_trading_only_the_quiet_limit_holds() -> None:
    d = Driver(trading=False).up()
    last = d.now
    d.run_to(last + 89)
    assert d.times(Lost) == [] and len(d.times(SendPing)) == 1
    d.run_to(last + 91)
    assert d.times(Lost) == [pytest.approx(last + 90)]
    pongs = Driver(trading=False).up()
    pongs.run_to(900, (40, Pong()))
    assert pongs.times(Lost) == [], "a server that answers is there"


def test_a_server_that_died_before_the_open_is_left_at_the_open() -> None:
    d = Driver(trading=False)
    d.now = OPEN_S - 30
    d.up()
    d.run_to(OPEN_S + 30)
    assert d.times(Lost) == [pytest.approx(OPEN_S, abs=2)], "its ping is long unanswered"
    asked = Driver(trading=False)
    asked.now = OPEN_S - 30
    asked.up()
    while asked.now < OPEN_S + 1:  # answers pings, says nothing else
        if asked.log[-1][1] == SendPing():
            asked.give(Pong())
        asked.run_to(asked.due)
    assert asked.times(Lost) == [], "pongs do until the session is as old as the limit"
    late = Driver()
    late.now = CLOSE_S - 2
    late.up()
    late.run_to(CLOSE_S + 80)
    assert late.times(Lost) == [], "silent across the close"


def test_heartbeats_without_prices_in_trading_are_reported_once() -> None:
    d = Driver()
    d.give(Want({1: Mode.FULL}))
    d.up()
    start = d.now
    d.run_to(start + 185, (1, HEARTBEAT))
    assert d.times(Lost) == [], "a quiet market has heartbeats"
    assert len(d.notices()) == 1 and "no price of 1 instruments for 90 s" in d.notices()[0]
    d.give(FRAME)
    d.run_to(d.now + 92, (1, HEARTBEAT))
    assert len(d.notices()) == 2, "told once for each stretch"
    nothing = Driver().up()
    nothing.run_to(nothing.now + 300, (1, HEARTBEAT))
    assert nothing.notices() == [], "nothing subscribed, nothing missed"


def test_a_clock_set_back_blinds_nobody() -> None:
    d = Driver().up()
    d.now -= 50
    d.give(HEARTBEAT)
    d.now += 1
    d.give(HEARTBEAT)
    d.give(Tick())
    last = d.now
    d.run_to(last + 10)
    assert d.times(Lost) == [pytest.approx(last + 4)]
    waiting = Driver()
    waiting.give(Tick())
    waiting.give(Unreachable("x"))
    waiting.now -= 80
    waiting.give(Tick())
    waiting.run_to(waiting.now + 31)
    assert len(waiting.times(Connect)) == 2, "the retry does not wait for the old time to come again"


# ------------------------------------------------------------------------------------------------------------- back-off


def test_back_off_doubles_to_its_cap_and_says_a_thing_once() -> None:
    d = Driver()
    d.give(Tick())
    for _ in range(8):
        d.give(Unreachable("no route"))
        d.run_to(d.due)
    waits = [b - a for a, b in zip(d.times(Connect), d.times(Connect)[1:], strict=False)]
    assert waits == [pytest.approx(s, rel=1e-5) for s in (1, 2, 4, 8, 16, 30, 30, 30)]
    assert d.notices() == ["cannot reach the broker: no route"]
    d.give(Unreachable("other"))
    assert len(d.notices()) == 2


def test_jitter_takes_off_up_to_half() -> None:
    d = Driver(jitter=0.0)
    d.give(Tick())
    d.give(Unreachable(""))
    assert d.due == pytest.approx(d.now + 0.5)


def test_connect_then_die_backs_off_and_a_proved_connection_starts_anew() -> None:
    d = Driver()
    d.give(Tick())
    for _ in range(7):
        d.give(Opened())
        d.give(HEARTBEAT)
        d.give(Closed(1006, ""))
        d.run_to(d.due)
    waits = [b - a for a, b in zip(d.times(Connect), d.times(Connect)[1:], strict=False)]
    assert waits == [pytest.approx(s, rel=1e-5) for s in (1, 2, 4, 8, 16, 30, 30)]
    d.give(Opened())
    start = d.now
    d.run_to(start + 31, (1, HEARTBEAT))
    d.give(Closed(1001, "restart"))
    assert d.due == pytest.approx(d.now + 1, rel=1e-5), "it had delivered for 30 s"
    assert [o for _, o in d.log if isinstance(o, Lost)][-1].reason == "the server is going away (1001): restart"


def test_a_connection_that_dies_before_anything_came_is_no_loss() -> None:
    d = Driver()
    d.connect()
    assert d.give(Closed(1011, "")) == [Notice("warning", "the connection came to nothing: server error (1011)")]
    assert d.times(Lost) == []
    assert d.give(Closed(1006, "")) == [], "closed is closed"
    assert d.give(FRAME) == [], "nothing comes from a dead connection"


@pytest.mark.parametrize(
    ("code", "text"),
    [(1000, "closed by the server"), (1006, "the connection broke off"), (1011, "server error"), (4999, "closed (4999)")],
)
def test_close_codes_in_words(code: int, text: str) -> None:
    d = Driver().up()
    lost = d.give(Closed(code, ""))[0]
    assert isinstance(lost, Lost) and text in lost.reason


def test_429_waits_longer() -> None:
    d = Driver()
    d.give(Tick())
    d.give(Refused(429, "Too many requests"))
    assert d.due == pytest.approx(d.now + 30)
    assert "no further connection" in d.notices()[0]


def test_other_refusals_name_their_status() -> None:
    d = Driver()
    d.give(Tick())
    d.give(Refused(502, "bad\ngateway"))
    assert d.notices() == ["the broker refused the connection: HTTP 502 bad gateway"]
    assert d.due == pytest.approx(d.now + 1)


# -------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, '{"status":"error","message":"Authentication failed."}', "access token is dead, or the API key has no market data"),
        (403, '{"error_type":"TokenException","message":"x"}', "access token is dead (403)"),
        (403, '{"error_type":"PermissionException","message":"Insufficient permission"}', "no market-data subscription"),
        (403, "TokenDead", "access token is dead (403)"),
        (403, "NotEntitled", "no market-data subscription"),
        (0, "nobody has logged in", "nobody has logged in"),
    ],
)
def test_a_refused_login_says_why_and_looks_for_a_new_token(status: int, body: str, words: str) -> None:
    d = Driver()
    d.give(Tick())
    out = d.give(Refused(status, body))
    assert isinstance(out[0], Notice) and out[0].level == "error" and words in out[0].text
    assert out[1] == NeedToken()
    assert d.give(TokenRead(False)) == []
    assert d.give(TokenRead(True)) == [Notice("info", "found a new access token; connecting with it"), Connect()]
    assert d.give(TokenRead(True)) == [], "only while waiting"


def test_a_dead_token_is_tried_rarely_and_a_new_one_found_soon() -> None:
    d = Driver()
    d.give(Tick())
    for _ in range(12):
        d.give(Refused(403, ""))
        tries = len(d.times(Connect))
        while len(d.times(Connect)) == tries:
            d.run_to(d.due)
    waits = [b - a for a, b in zip(d.times(Connect), d.times(Connect)[1:], strict=False)]
    assert waits[:3] == [pytest.approx(s, rel=1e-5) for s in (1, 2, 4)] and max(waits) <= 300
    assert waits[-1] == pytest.approx(300, rel=1e-5)
    assert len(d.notices()) == 1, "said once"
    looks = d.times(NeedToken)
    assert max(b - a for a, b in zip(looks, looks[1:], strict=False)) <= 5.1
    d.give(Refused(403, ""))
    d.give(TokenRead(True))
    d.give(Unreachable("x"))
    assert d.due - d.now < 1.1, "a new token is a new start"


# ----------------------------------------------------------------------------------------------------------------- laws

THINGS = st.one_of(
    st.sampled_from([Opened(), HEARTBEAT, FRAME, Pong(), Tick(), Text("{}"), Closed(1006, ""), Unreachable("x"), TokenRead(True)]),
    st.sampled_from([TokenRead(False), Refused(403, ""), Refused(429, ""), Want({1: Mode.FULL}), Unwant([1]), Closed(1000, "bye")]),
)


@given(st.lists(st.tuples(st.floats(-5, 60), THINGS), max_size=80), st.floats(0, 0.999))
@settings(deadline=None)
def test_whatever_happens_losses_and_comings_alternate_and_a_wait_lies_ahead(
    steps: list[tuple[float, Input]], jitter: float
) -> None:
    link = Link(LinkSpec(lambda ns: ns > 1e12), lambda: jitter)
    now, is_up, waits = 1e12, False, False
    for step, thing in [(0.0, Tick()), *steps]:
        before = link.state
        if isinstance(thing, Opened | Refused | Unreachable) and before != "connecting":
            continue  # no shell says so unasked
        now += step * 1e9
        for output in link.handle(round(now), thing):
            if isinstance(output, Connect):
                assert before == "waiting", "one connection at a time"
            if isinstance(output, Up | Lost):
                assert is_up is isinstance(output, Lost)
                is_up = not is_up
            if isinstance(output, Wait):
                waits = True
                assert output.until_ns > now, "a wait that is over already would spin"
        assert waits or link.state == "connecting"
        assert (link.state == "up") is is_up
