"""Every fault of the WebSocket and of the login that the exchange can have, each lived through for five minutes of a session.

docs/faults.md is made of what these tests find (scripts/build_fault_docs.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fault_cases import CANDLES, LOGIN, STREAM, Outcome, World, at_ns, keep, live_through, row_of, rows_of_page
from intraday.broker.link_events import Mode

AT = "09:16:20"
ASKED = "09:17:20"  # when the minute of AT has settled


@dataclass(frozen=True)
class Fault:
    """``told``: what the user must read, in order; none: nothing may be said. ``mended``: from when recovery is counted."""

    name: str
    scenario: str
    told: tuple[str, ...] = ()
    part: str = STREAM
    detected_within_s: float = 5.0
    mended: str = AT
    recovered_within_s: float | None = None  # None: the link must not be lost at all
    losses: int = 1
    proof: Callable[[Outcome], bool] = lambda outcome: True  # that the fault did happen
    exact: tuple[str, ...] = ("open", "high", "low", "close", "volume")  # what fetched candles must have right
    world: dict[str, Any] = field(default_factory=dict)


def candles(
    name: str, scenario: str, told: tuple[str, ...] = (), mended: str = "09:17:40", within_s: float = 35.0, **more: Any
) -> Fault:
    """The link is lost before, so that a minute is missing; it is asked for at ``ASKED``, in the middle of the fault."""
    world = {"fault_at": ASKED}
    fault = Fault(name, f"at {AT} drop link\n{scenario}", told, CANDLES, mended=mended, recovered_within_s=within_s, world=world)
    return replace(fault, detected_within_s=61.0, **more)  # told once the client's own repetitions have failed


def rejects(reason: str, n: int) -> Callable[[Outcome], bool]:
    return lambda outcome: outcome.rejects.get(reason, 0) >= n


def fetched_from(text: str) -> Callable[[Outcome], bool]:
    """Candles were fetched from this minute on."""
    return lambda outcome: min(ts_ns for _, ts_ns in outcome.backfilled) == at_ns(text)


def broken_frames(outcome: Outcome) -> bool:
    counts = outcome.reports[0].counts
    return counts.malformed > 50 and counts.unknown_packets > 20


def single_packets(outcome: Outcome) -> bool:
    counts = outcome.reports[0].counts
    return counts.packets == counts.frames


SLOW, YET = "missed minute 09:16 still not fetched after 60 s", "missed minute 09:16 cannot be fetched yet"
PINGS = "the server answers pings but has sent nothing for 4 s"
STALLED = "not even an answer to a ping"
REFUSED = "the broker refuses the login (403): the access token is dead, or the API key has no market data"
DEAD = "the access token is dead (403): log in again with `intraday auth login`; the feed goes on by itself"
NO_DATA = "the broker refuses market data (403, no permission): the API key has no market-data subscription"
FAULTS = [
    Fault("No frames and no heartbeats for 60 s, pings are answered", f"at {AT} silence for 60 s",
          (PINGS, "the server answers pings but sent nothing for 30 s"), mended="09:17:20", recovered_within_s=35),
    Fault("Server frozen for 20 s: connections open, nothing sent, nothing read", f"at {AT} freeze for 20 s",
          (STALLED, "no answer in 7 s"), mended="09:16:40", recovered_within_s=10),
    Fault("Server frozen for 150 s", f"at {AT} freeze for 150 s", (STALLED, "no answer in 7 s"), mended="09:18:50",
          recovered_within_s=31),
    Fault("Connection half open for 60 s: nothing sent, nothing read", f"at {AT} half-open for 60 s", (STALLED,),
          recovered_within_s=6),
    Fault("TCP connection closed without a farewell (1006)", f"at {AT} drop link", ("the connection broke off (1006)",),
          recovered_within_s=1),
    Fault("TCP connection reset (RST)", f"at {AT} reset link", ("the connection broke off (1006)",), recovered_within_s=1),
    Fault("WebSocket closed with 1000", f"at {AT} close 1000", ("closed by the server (1000)",), recovered_within_s=1),
    Fault("WebSocket closed with 1001", f"at {AT} close 1001", ("the server is going away (1001)",), recovered_within_s=1),
    Fault("WebSocket closed with 1006", f"at {AT} close 1006", ("the connection broke off (1006)",), recovered_within_s=1),
    Fault("WebSocket closed with 1011", f"at {AT} close 1011", ("server error (1011)",), recovered_within_s=1),
    Fault("Connection lost every 10 s, six times",
          "\n".join(f"at 09:16:{s} drop link" for s in (20, 30, 40, 50)) + "\nat 09:17:00 drop link\nat 09:17:10 drop link",
          ("the connection broke off (1006)",), mended="09:17:10", recovered_within_s=31, losses=5),
    Fault("Connection lost, and upgrades refused with 403 for 20 s", f"at {AT} refuse upgrade 403 for 20 s\nat {AT} drop link",
          ("the connection broke off", REFUSED), mended="09:16:40", recovered_within_s=20),
    Fault("Connection lost, and upgrades refused with 429 for 20 s", f"at {AT} refuse upgrade 429 for 20 s\nat {AT} drop link",
          ("the connection broke off", "no further connection for this API key (429)"), mended="09:16:40", recovered_within_s=31),
    Fault("Error text from the broker", f'at {AT} error "Something is wrong"', ("error from the broker: Something is wrong",)),
    Fault("Message from the broker", f'at {AT} message "Closing early today"', ("broker: Closing early today",)),
    Fault("More instruments than one connection may have (cap of 3): three connections", "from start token cap 3",
          world={"instruments_max": 3}, proof=lambda o: [r.tokens for r in o.reports] == [3, 2, 2]),
    Fault("20 % of the packets twice", "from start duplicate 20 %", proof=rejects("duplicate", 1000)),
    Fault("20 % of the packets again later, out of order", "from start stale 20 %", proof=rejects("out_of_order", 50)),
    Fault("Yesterday's last packet first after every subscription", f"from start cached yesterday on\nat {AT} drop link",
          ("the connection broke off (1006)",), recovered_within_s=1, proof=rejects("other_day", 7)),
    Fault("20 % of the frames malformed", "from start malformed 20 %", proof=broken_frames),
    Fault("5 % of the packets with the day's volume back at 0",
          "from start volume reset 5 %", proof=rejects("volume_regressed", 50)),
    Fault("5 % of the packets with a volume that went back",
          "from start volume regression 5 %", proof=rejects("volume_regressed", 50)),
    Fault("A frame of 1 000 full packets", f"at {AT} burst 1000", proof=lambda o: o.reports[0].counts.packets > 1000),
    Fault("Frames of one packet each", "from start frame packets 1", proof=single_packets),
    Fault("Every frame in WebSocket fragments and TCP pieces", "from start split 100 %"),
    Fault("Quote mode: packets without time stamps, connection lost", f"at {AT} drop link", ("the connection broke off (1006)",),
          recovered_within_s=1, world={"mode": Mode.QUOTE}),
    Fault("Started in the middle of the session", "", ("started at 09:16, after the open",), recovered_within_s=1,
          world={"start": AT}),
    Fault("Connection lost with three connections: one of them", f"at {AT} drop link 2",
          ("connection 2 of 3: the connection broke off (1006)",), recovered_within_s=1, world={"instruments_max": 3}),
    Fault("One of three connections half open for 20 s, noticed in the next minute", "at 09:16:58 half-open 2 for 20 s",
          ("connection 2 of 3: nothing received for 4.0 s",), mended="09:17:02", recovered_within_s=2,
          world={"instruments_max": 3, "fault_at": "09:16:58"}, proof=fetched_from("09:16")),
    Fault("The access token dies; a person logs in 60 s later", f"at {AT} expire token", ("the connection broke off", DEAD),
          LOGIN, mended="09:17:20", recovered_within_s=6, world={"login_at": "09:17:20"}),
    Fault("The access token dies in stages: requests without permission, then no connection, then no requests; a person logs in",
          f"at {AT} stage permission for 10 s\nat 09:16:30 stage ws for 20 s\nat 09:16:50 expire token",
          ("the connection broke off", NO_DATA, DEAD), LOGIN, detected_within_s=11, mended="09:17:20", recovered_within_s=6,
          world={"login_at": "09:17:20"}),
    Fault("Another login revokes the token; a person logs in 60 s later", "", ("the connection broke off", DEAD), LOGIN,
          mended="09:17:20", recovered_within_s=6, world={"login_at": "09:17:20", "other_login_at": AT}),
    Fault("Market data taken from the API key for 60 s", f"at {AT} entitlement off for 60 s",
          ("the connection broke off", NO_DATA), LOGIN, mended="09:17:20", recovered_within_s=61),
    *(candles(f"{status} for 20 s", f"at {ASKED} {status} on historical for 20 s") for status in (429, 500, 502, 503, 504)),
    candles("503 for 5 minutes", f"at {ASKED} 503 on historical for 5 min", (SLOW, YET), within_s=61, mended="09:22:20"),
    candles("Answers after 9 s, for 20 s", f"at {ASKED} slow historical 9 s for 20 s"),
    candles("Answers cut off in the middle, for 20 s", f"at {ASKED} truncate historical for 20 s", (YET,)),
    candles("Answers cut off in the middle for 20 s, once some instruments' are there", "at 09:17:21 truncate historical for 20 s",
            (" of 7 instruments cannot be fetched yet",), mended="09:17:41"),
    candles("Answers that say they are text/html, for 20 s", f'at {ASKED} content type "text/html" on historical for 20 s', (YET,)),
    candles("Connections closed without an answer, for 20 s", f"at {ASKED} no answer on historical for 20 s"),
    candles("No market data for the API key when they are asked for, for 20 s", f"at {ASKED} stage permission for 20 s", (YET,)),
    candles("Answers without compression", "from start gzip off", mended=ASKED),
    candles("Published 15 s after the minute", "from start publish delay 15 s", mended=ASKED),
    candles("Limits of 2018", "from start limits legacy2018", mended=ASKED),
    candles("First published with too small a volume, corrected 60 s later", "from start late revision 100 %", mended=ASKED,
            exact=("open", "high", "low", "close")),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_nothing_is_lost(fault: Fault) -> None:
    outcome = live_through(World(**{"scenario": fault.scenario, "fault_at": AT} | fault.world))
    row = row_of(fault.part, fault.name, outcome, at_ns(fault.mended))
    assert (outcome.lost(), outcome.wrong(fault.exact)) == ([], [])
    assert fault.proof(outcome), (outcome.rejects, outcome.reports)
    check_told(fault, outcome)
    if fault.told:
        assert row.detected_s is not None and row.detected_s <= fault.detected_within_s
    check_recovery(fault, outcome, row.recovered_s)
    keep(row)


def check_told(fault: Fault, outcome: Outcome) -> None:
    """Everything that had to be told was, in this order; and nothing, if nothing had to be."""
    told = [a.text for a in outcome.troubles()]
    places = [next((i for i, text in enumerate(told) if words in text), -1) for words in fault.told]
    assert -1 not in places and places == sorted(places), told
    assert fault.told or told == []


def check_recovery(fault: Fault, outcome: Outcome, recovered_s: int | None) -> None:
    """Lost as often as the fault says, up again each time, and that soon enough; or not lost at all."""
    if fault.recovered_within_s is None:
        assert outcome.losses() == []
        return
    assert len(outcome.losses()) == len(outcome.ups()) == fault.losses
    assert recovered_s is not None and recovered_s <= fault.recovered_within_s


@pytest.mark.parametrize("part", [STREAM, LOGIN, CANDLES])
def test_the_page_has_no_other_rows(part: str) -> None:
    assert [cells[0] for cells in rows_of_page(part)] == [f"| {f.name}" for f in FAULTS if f.part == part]
