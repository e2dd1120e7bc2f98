"""The official ticker, unchanged, streams from the exchange: its values are ours, and both are the book's, packet for packet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest

from intraday.domain.clock import SimClock
from intraday.sim.knobs import Knobs
from official_exchange import IST, PATIENCE_S, Running, running
from official_packets import bodies_of, check_ticks

pytestmark = pytest.mark.integration

INFY, NIFTY = 408065, 256265
MODES = ("ltp", "quote", "full")
CHILD = Path(__file__).resolve().parents[1] / "official_ticker.py"
Tick = dict[str, Any]


class Ticker:
    """The child process with the official ticker: commands in, what its callbacks were given out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: Queue[str] = Queue()
        self.ticks: dict[int, list[Tick]] = defaultdict(list)
        self.frames: list[tuple[bytes, list[Tick]]] = []
        self.heard: list[tuple[str, Any]] = []
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def say(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def read(self, until: Callable[[], bool]) -> None:
        """Take in what the ticker tells until that is so; queue.Empty after a while without news."""
        while not until():
            told = json.loads(self._lines.get(timeout=PATIENCE_S))
            self.heard.append((told["kind"], told["value"]))
            if told["kind"] == "ticks":
                self._take(told["value"])

    def _take(self, ticks: list[Tick]) -> None:
        kind, payload = self.heard[-2]
        assert kind == "message"
        for tick in ticks:
            for name in {"exchange_timestamp", "last_trade_time"} & tick.keys():
                tick[name] = datetime.fromisoformat(tick[name])
            self.ticks[tick["instrument_token"]].append(tick)
        self.frames.append((bytes.fromhex(payload), ticks))

    def told(self, kind: str) -> list[Any]:
        """What was heard of one kind."""
        return [value for name, value in self.heard if name == kind]


@contextmanager
def ticker_on(market: Running) -> Iterator[Ticker]:
    """The official ticker, logged in and connected."""
    account = market.call(market.exchange.accounts.grant)
    env = os.environ | {"TZ": "Asia/Kolkata"}
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        ticker = Ticker(process)
        try:
            ticker.say({"root": market.server.ws_url, "api_key": account.api_key, "access_token": account.access_token})
            ticker.read(lambda: bool(ticker.heard))
            yield ticker
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE_S)


def expected(market: Running, token: int, mode: str) -> Tick:
    """The book's quote of an instrument in the official client's words."""
    q = market.exchange.book.quote(token, market.clock.now_ns())
    assert q is not None
    is_index = token & 0xFF == 9
    tick: Tick = {"tradable": not is_index, "mode": mode, "instrument_token": token, "last_price": q.last_price / 100}
    if mode == "ltp":
        return tick
    tick["ohlc"] = {name: getattr(q, name) / 100 for name in ("open", "high", "low", "close")}
    tick["change"] = (tick["last_price"] - q.close / 100) * 100 / (q.close / 100) if q.close else 0
    if mode == "full":
        tick["exchange_timestamp"] = local(q.exchange_s)
    if is_index:
        return tick
    tick |= {
        "last_traded_quantity": q.last_qty, "average_traded_price": q.avg_price / 100, "volume_traded": q.volume,
        "total_buy_quantity": q.buy_qty, "total_sell_quantity": q.sell_qty,
    }  # fmt: skip
    if mode == "full":
        tick |= {"last_trade_time": local(q.last_trade_s), "oi": q.oi, "oi_day_high": q.oi_high, "oi_day_low": q.oi_low}
        tick["depth"] = {"buy": levels(q.bids), "sell": levels(q.offers)}
    return tick


def levels(side: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    return [{"quantity": qty, "price": price / 100, "orders": orders} for qty, price, orders in side]


def local(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, IST).replace(tzinfo=None)


class Ledger:
    """What the ticker must have been sent: the first quote of each subscription, then every change, each once."""

    def __init__(self, market: Running) -> None:
        self.market = market
        self.modes: dict[int, str] = {}
        self.sent: dict[int, list[Tick]] = defaultdict(list)

    def subscribe(self, tokens: Sequence[int], mode: str) -> None:
        for token in tokens:
            if self.modes.get(token) != mode:
                self.modes[token] = mode
                self.sent[token].append(self.market.call(lambda token=token: expected(self.market, token, mode)))

    def step(self, seconds: float) -> None:
        """Let time pass and publish, in one go; note what changed."""
        self.market.call(lambda: self._step(seconds))

    def _step(self, seconds: float) -> None:
        clock = self.market.clock
        assert isinstance(clock, SimClock)
        clock.set(clock.now_ns() + round(seconds * 1e9))
        self.market.server.stream.step()
        for token, mode in self.modes.items():
            tick = expected(self.market, token, mode)
            if tick != self.sent[token][-1]:
                self.sent[token].append(tick)

    def settle(self, ticker: Ticker) -> None:
        """Wait until the ticker has it all, then compare."""
        ticker.read(lambda: all(len(ticker.ticks[token]) >= len(ticks) for token, ticks in self.sent.items()))
        for token, ticks in self.sent.items():
            assert ticker.ticks[token] == ticks, self.market.exchange.by_token[token].key
        assert set(ticker.ticks) <= set(self.sent)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [("09:07:20", 1.0), ("09:14:50", 1.0), ("11:00:00", 1.0), ("15:14:50", 1.0), ("15:29:50", 15.0), ("18:00:00", 1.0)],
)
def test_every_value_is_the_books(at: str, seconds: float) -> None:
    with running(at) as market, ticker_on(market) as ticker:
        rows = market.exchange.tape.instruments
        tokens = [row.token for row in rows if row.is_index or row.is_future][:3] + [row.token for row in rows if not row.is_future]
        ledger = Ledger(market)
        ticker.say({"a": "subscribe", "v": tokens})
        ledger.subscribe(tokens, "quote")
        for phase in range(3):
            for i, mode in enumerate(MODES):
                chosen = tokens[(i + phase) % 3 :: 3]
                ticker.say({"a": "mode", "v": [mode, chosen]})
                ledger.subscribe(chosen, mode)
                ledger.settle(ticker)
            for _ in range(10):
                ledger.step(seconds)
            ledger.settle(ticker)
        assert sum(check_ticks(frame, ticks) for frame, ticks in ticker.frames) == sum(map(len, ledger.sent.values()))
        assert {len(body) for frame, _ in ticker.frames for body in bodies_of(frame)} == {8, 28, 32, 44, 184}
        assert not ticker.told("error")
        if at == "11:00:00":  # it was a market worth comparing
            full = [tick for ticks in ledger.sent.values() for tick in ticks if tick["mode"] == "full"]
            assert sum(map(len, ledger.sent.values())) > 15 * len(tokens)
            assert any(tick.get("oi") for tick in full)
            assert len({json.dumps(tick.get("depth")) for tick in full}) > len(full) // 2


def test_texts_heartbeats_and_a_lost_link() -> None:
    with running("18:00:00") as market, ticker_on(market) as ticker:
        ticker.say({"a": "subscribe", "v": [INFY, NIFTY]})
        ticker.say({"a": "mode", "v": ["full", [INFY]]})
        ticker.read(lambda: [len(ticker.ticks[token]) for token in (INFY, NIFTY)] == [2, 1])
        market.call(lambda: market.server.stream.say("error", "too many instruments"))
        market.call(lambda: market.server.stream.say("message", "broker notice"))
        for _ in range(3):
            market.wait(1.5)
            market.call(market.server.stream.step)
        ticker.read(lambda: "00" in ticker.told("message") and len(ticker.told("text")) == 2)
        before = {token: len(ticker.ticks[token]) for token in (INFY, NIFTY)}
        assert ticker.told("error") == [[0, "too many instruments"]]  # and nothing of the notice
        market.call(lambda: market.server.stream.drop(None))
        ticker.read(lambda: len(ticker.told("connect")) == 2)
        assert [code for code, _ in ticker.told("close")] == [1006]
        ticker.read(lambda: all(len(ticker.ticks[token]) > n for token, n in before.items()))
        ticker.read(lambda: ticker.ticks[INFY][-1]["mode"] == "full" and len(ticker.ticks[INFY]) == before[INFY] + 2)
        assert [tick["mode"] for tick in ticker.ticks[INFY][-2:]] == ["quote", "full"]  # it subscribes again by itself
        assert not market.call(lambda: market.server.stream.counts.torn)


@pytest.mark.parametrize(("code", "says"), [(403, "403 - Forbidden"), (429, "429 - TooManyRequests")])
def test_a_refused_upgrade_is_a_status(code: Any, says: str) -> None:
    knobs = Knobs()
    knobs.stream.refuse_upgrade = code
    with running("18:00:00", knobs=knobs) as market, ticker_on(market) as ticker:
        ticker.read(lambda: bool(ticker.told("close")))
        closed_code, reason = ticker.told("close")[0]
        assert closed_code == 1006
        assert f"WebSocket connection upgrade failed ({says})" in reason
        knobs.stream.refuse_upgrade = None
        ticker.read(lambda: bool(ticker.told("connect")))


def test_a_dead_token_ends_the_stream_and_keeps_it_out() -> None:
    with running("18:00:00") as market, ticker_on(market) as ticker:
        ticker.read(lambda: bool(ticker.told("connect")))
        market.call(market.exchange.accounts.revoke_all)
        market.wait(1.5)
        ticker.read(lambda: any("403 - Forbidden" in reason for _, reason in ticker.told("close")))
        assert market.call(lambda: market.server.stream.counts.torn) == 1


def test_pieces_repeats_and_giants_decode_alike() -> None:
    knobs = Knobs()
    knobs.stream.split_share, knobs.stream.duplicate_share, knobs.stream.stale_share = 0.5, 0.2, 0.2
    knobs.stream.volume_reset_share = knobs.stream.volume_regression_share = 0.1
    with running("11:00:00", knobs=knobs) as market, ticker_on(market) as ticker:
        tokens = [row.token for row in market.exchange.tape.instruments]
        wanted = set(tokens)
        ticker.say({"a": "subscribe", "v": tokens})
        ticker.say({"a": "mode", "v": ["full", tokens]})
        ticker.read(
            lambda: {tick["instrument_token"] for _, ticks in ticker.frames for tick in ticks if tick["mode"] == "full"} == wanted
        )
        for _ in range(30):
            market.wait(1)
            market.call(market.server.stream.step)
        market.call(lambda: market.server.stream.burst(1000))
        ticker.read(lambda: len(ticker.frames[-1][1]) == 1000)
        assert sum(check_ticks(frame, ticks) for frame, ticks in ticker.frames) > 1000 + 20 * len(tokens)
        repeats = [tick for ticks in ticker.ticks.values() for tick, next_ in pairwise(ticks) if tick == next_]
        assert len(repeats) > 10
        assert not ticker.told("error") and not ticker.told("close")
