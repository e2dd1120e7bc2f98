"""COMPOSITION ROOT, the part that talks to the broker: its list of instruments, its candles, and the live feed (hops 1 and 2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from intraday.app import System, closing_auction
from intraday.app_broker import Endpoint
from intraday.broker.backfill import BackfillManager
from intraday.broker.connection import ConnectionManager, ConnectionSpec, subscription
from intraday.broker.feed import KiteFeed, trading_hours
from intraday.broker.instruments import InstrumentManager
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Mode
from intraday.broker.repair import MinuteRepair
from intraday.broker.rest import RESTClient
from intraday.config.settings import RateLimits
from intraday.core.lists import longest_day
from intraday.domain.broker import CandleApi
from intraday.domain.clock import Clock
from intraday.domain.events import Alert
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import ListingApi
from intraday.domain.ports import Progress
from intraday.domain.session import Session

SECOND_NS = 1_000_000_000
PROBE = "NSE:NIFTY 50"  # asked for after a 403, to tell a dead token from missing market data
SILENT_S = 30.0  # a server that answers pings but sends nothing for so long in trading is lost all the same
HICCUP_S = 0.25  # real time: a machine this busy is no dead server, however fast a simulated clock runs


def build_listings(system: System, api: ListingApi, clock: Clock) -> InstrumentManager:
    """The daily list of instruments."""
    return InstrumentManager(api, system.stores.listings, clock, system.settings.broker.exchanges)


def build_backfill(system: System, api: CandleApi, clock: Clock, progress: Progress) -> BackfillManager:
    """Candles from the broker."""
    b, stores = system.settings.broker.backfill, system.stores
    return BackfillManager(
        api, stores.fetches, stores.bars, system.sessions, clock, progress, workers=b.workers, settle_s=b.settle_s,
        auction=closing_auction(system),
    )  # fmt: skip


def build_connections(
    system: System,
    endpoint: Endpoint,
    limits: RateLimits,
    targets: Sequence[tuple[Instrument, int]],
    session: Session,
    rest: RESTClient,
) -> ConnectionManager:
    """The WebSocket connections that ``targets`` (instrument, token) need; patient with silence outside continuous trading."""
    link, ws = system.settings.broker.link, limits.websocket
    hiccup_s = HICCUP_S * endpoint.speed if endpoint.speed > 1 else 0.0
    spec = ConnectionSpec(
        url=endpoint.ws_url,
        api_key=endpoint.credentials.api_key,
        token=endpoint.token,
        link=LinkSpec(
            trading=shared_hours(system, [i for i, _ in targets], session),
            stall_ns=round(max(link.stall_s, hiccup_s) * SECOND_NS),
            quiet_ns=round(max(link.quiet_stall_s, hiccup_s) * SECOND_NS),
            silent_ns=round(max(SILENT_S, 2 * hiccup_s) * SECOND_NS),
            backoff_first_ns=round(link.backoff_first_s * SECOND_NS),
            backoff_max_ns=round(link.backoff_max_s * SECOND_NS),
        ),
        connect_timeout_s=link.connect_timeout_s * endpoint.patience,
        diagnose=lambda: rest.ltp([PROBE]),
        connections_max=ws.connections,
        instruments_max=ws.instruments_per_connection,
        frames_max=system.settings.live.queue_max_frames,
    )
    jitter = random.Random().random  # nosec B311  of back-offs, not a secret
    return ConnectionManager(spec, subscription([token for _, token in targets], Mode(link.mode)), endpoint.clock, jitter)


def shared_hours(system: System, instruments: Sequence[Instrument], session: Session) -> Callable[[int], bool]:
    """Whether anything of ``instruments`` is in continuous trading at a moment: silence then is worth an alarm.

    With closing-auction stocks and indices alone it ends at 15:15, where the rest trades on; with futures among them at 15:40.
    """
    rule = closing_auction(system)
    auction = all(i.kind is Kind.INDEX or rule(i.id, session.day) for i in instruments)
    return trading_hours(longest_day(system.sessions.get(session.day, auction=auction), instruments, system.sessions))


def build_feed(
    system: System,
    endpoint: Endpoint,
    rest: CandleApi,
    session: Session,
    connections: ConnectionManager,
    targets: Sequence[tuple[Instrument, int]],
    tell: Callable[[Alert], None],
) -> KiteFeed:
    """Hops 1 and 2 over the wire; what was missed is asked for through ``rest``. ``targets``: instrument and token by dense row."""
    b = system.settings.broker.backfill
    repairer = MinuteRepair(rest, targets, system.sessions, endpoint.clock, workers=b.workers, auction=closing_auction(system))
    rows = {token: row for row, (_, token) in enumerate(targets)}
    grace_ns = system.settings.live.grace_ms * 1_000_000
    timed = Mode(system.settings.broker.link.mode) is Mode.FULL
    return KiteFeed(session, connections, rows, endpoint.clock, grace_ns, repairer.repair, tell, timed=timed)
