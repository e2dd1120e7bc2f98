"""What is a fault in trading is none before the open, in the closing auction and after the close: no alarm, and nothing lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from fault_cases import DAY, QUIET, ROWS, SESSIONS, TAPE, Outcome, Row, World, at_ns, keep, live_through, up_to
from intraday.broker.connection import ConnectionManager, ConnectionSpec, subscription
from intraday.broker.feed import trading_hours
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Lost, Mode, Notice, Up
from intraday.broker.ws import Received
from intraday.domain.broker import Secret
from intraday.domain.clock import Clock
from intraday.domain.session import Session
from intraday.sim.exchange import Exchange
from intraday.sim.knobs import Knobs
from intraday.sim.scenario import Scenario
from intraday.sim.server import SimServer
from pace_cases import virtual

AUCTION = [row for row in ROWS if row.auction]
ALL_DAY, UNTIL_AUCTION = SESSIONS.get(DAY), SESSIONS.get(DAY, auction=True)
# name of the row, hours that are watched, start and end, fault, detected
QUIET_FAULTS = [
    ("Server frozen for 60 s before the open", ALL_DAY, "09:04", "09:08", "at 09:05:10 freeze for 60 s", None),
    ("Server frozen across the open, 09:14:30 to 09:15:30", ALL_DAY, "09:13", "09:17", "at 09:14:30 freeze for 60 s", 32),
    ("Server frozen for 60 s in the closing auction, auction stocks only", UNTIL_AUCTION, "15:18", "15:23",
     "at 15:20:10 freeze for 60 s", None),
    ("No frames and no heartbeats for 10 minutes of the closing auction, auction stocks only", UNTIL_AUCTION, "15:16", "15:28",
     "at 15:17:10 silence for 10 min", None),
    ("Server frozen for 60 s in the closing auction, other stocks too: trading goes on", ALL_DAY, "15:18", "15:23",
     "at 15:20:10 freeze for 60 s", 5),
    ("Server frozen for 60 s after the close", ALL_DAY, "15:34", "15:39", "at 15:36:10 freeze for 60 s", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "session", "start", "end", "scenario", "within_s"), QUIET_FAULTS, ids=[f[0] for f in QUIET_FAULTS]
)
def test_alarms_only_while_there_is_trading(
    name: str, session: Session, start: str, end: str, scenario: str, within_s: int | None
) -> None:
    items = virtual(lambda clock: watch(clock, session, scenario, at_ns(end)), at_ns(start))
    fault_ns = at_ns(scenario.split()[1])
    alarms = [item for item in items if isinstance(item.what, Lost | Notice) and item.now_ns >= fault_ns]
    if within_s is None:
        assert alarms == []
        keep(Row(QUIET, name, None, "", None, 0))
        return
    detected_s = up_to((alarms[0].now_ns - fault_ns) / 1e9)
    assert detected_s <= within_s and isinstance(alarms[0].what, Lost)
    back_ns = max(item.now_ns for item in items if isinstance(item.what, Up))
    keep(Row(QUIET, name, detected_s, alarms[0].what.reason, up_to((back_ns - fault_ns) / 1e9 - 60), 0))


async def watch(clock: Clock, session: Session, scenario: str, end_ns: int) -> list[Received]:
    """The connection alone, against the exchange."""
    knobs = Knobs()
    knobs.stream.publish_every_s = 0.5
    exchange = Exchange.open(TAPE, clock, knobs, speed=float("inf"))
    token = exchange.accounts.grant().access_token
    items: list[Received] = []
    async with SimServer(exchange, scenario=Scenario.parse(scenario)) as server, asyncio.TaskGroup() as tasks:
        spec = ConnectionSpec(server.ws_url, "simkey", lambda: Secret(token), LinkSpec(trading_hours(session)))
        manager = ConnectionManager(spec, subscription([r.token for r in AUCTION], Mode.FULL), clock, random.Random(1).random)
        work = tasks.create_task(manager.run())
        while clock.now_ns() < end_ns:
            items += [item for item in await manager.receive(end_ns) if isinstance(item, Received)]
        work.cancel()
    return items


def closing(rows: list[object], **world: object) -> Outcome:
    return live_through(World(**{"start": "15:11:50", "open": "15:12", "fault_at": "15:14:50", "rows": tuple(rows)} | world))  # type: ignore[arg-type]


def test_the_day_of_auction_stocks_ends_at_its_own_close() -> None:
    outcome = closing(list(AUCTION), minutes=3, scenario="at 15:15:01 freeze for 40 s")
    assert (outcome.lost(), outcome.told()) == ([], [])
    keep(Row(QUIET, "Server frozen from 15:15:01 on, the end of continuous trading of auction stocks", None, "", None, 0))


def test_an_outage_across_the_auctions_start_asks_nothing_of_auction_stocks_after_it() -> None:
    """15:12 to 15:17, the feed gone from 15:14:30 to 15:15:30: their day is over at 15:15, that of others goes on."""
    rows = [row for row in ROWS if not row.is_index]
    outcome = closing(rows, fault_at="15:14:30", scenario="at 15:14:30 freeze for 60 s")
    assert (outcome.lost(), outcome.wrong()) == ([], [])
    for inst, row in enumerate(rows):
        kept = [ts for i, ts in [*outcome.live, *outcome.backfilled] if i == inst]
        assert max(kept) == at_ns("15:14") if row.auction else at_ns("15:16"), row.symbol
    assert any(row.auction for row in rows) and not all(row.auction for row in rows)


def test_depth_is_empty_after_the_close_and_nobody_minds() -> None:
    rows = [row for row in ROWS if not row.auction and not row.is_index]
    outcome = closing(list(rows), start="15:26:50", open="15:27", minutes=3, fault_at="15:30:00")
    assert (outcome.lost(), outcome.told()) == ([], [])
    assert outcome.rejects.get("duplicate", 0) > 0, "packets with empty depth came, of the last trade"
    keep(Row(QUIET, "Packets with empty depth after the close", None, "", None, 0))


@pytest.mark.parametrize("start", ["09:20:30", "09:30"])
def test_who_comes_after_the_close_gets_the_day_all_the_same(start: str) -> None:
    outcome = live_through(World(start=start, fault_at=start))
    (repaired_ns,) = outcome.repaired_ns()
    (told,) = [a.text for a in outcome.troubles()]
    assert (outcome.lost(), outcome.wrong(), outcome.live) == ([], [], {})
    assert set(outcome.backfilled) == set(outcome.truth())
    if start == "09:30":
        keep(Row(QUIET, "Started after the close", 0, told.removeprefix("feed lost: "), up_to(outcome.after(repaired_ns)), 0))


def test_halts_are_no_trading() -> None:
    halted = SESSIONS.get(DAY.replace(year=2021, month=2, day=24))
    trading = trading_hours(halted)
    (start_ns, end_ns), *_ = halted.pauses
    assert trading(start_ns - 1) and not trading(start_ns) and not trading(end_ns - 1) and trading(end_ns)
    assert not trading(halted.open_ns - 1) and not trading(halted.close_ns)
