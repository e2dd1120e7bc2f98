"""COMPOSITION ROOT, the part that speaks to a broker: Kite, or the bundled exchange in its place."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from intraday.app import System
from intraday.auth.key import KEY_VARIABLE, OsKeyStore, TokenKey
from intraday.auth.login import Authenticator, LoginPlace
from intraday.auth.token import TokenManager
from intraday.broker.backfill import BackfillManager
from intraday.broker.candles import Auction, auction_rule
from intraday.broker.connection import ConnectionManager, ConnectionSpec, subscription
from intraday.broker.feed import KiteFeed, trading_hours
from intraday.broker.instruments import InstrumentManager
from intraday.broker.link import LinkSpec
from intraday.broker.link_events import Mode
from intraday.broker.pacing import Pacers
from intraday.broker.repair import MinuteRepair
from intraday.broker.rest import RESTClient
from intraday.broker.retry import RetryPolicy
from intraday.config.settings import RateLimits, Settings
from intraday.domain.arrays import session_number
from intraday.domain.broker import CandleApi, Credentials, Secret, TokenSource
from intraday.domain.clock import Clock
from intraday.domain.events import Alert
from intraday.domain.instruments import Instrument, Kind
from intraday.domain.listings import ListingApi
from intraday.domain.membership import Flag
from intraday.domain.pace import paced
from intraday.domain.ports import Progress
from intraday.domain.session import EPOCH, Session

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
SILENT_S = 30.0  # a server that answers pings but sends nothing for so long in trading is lost all the same
HICCUP_S = 0.25  # real time: a machine this busy is no dead server, however fast a simulated clock runs


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker answers, whose time it is there, and who is logged in.

    ``name`` is for people, and whose prices a database holds. ``speed`` is the pace of an event loop that talks to it: at 60, a
    second of its time is 17 ms of ours. ``own_prices`` False: it plays back what the database holds.
    ``since``: it has no older candles.
    """

    name: str
    rest_url: str
    ws_url: str
    credentials: Credentials
    token: TokenSource
    clock: Clock
    speed: float = 1.0
    own_prices: bool = True
    since: date = date.min

    @property
    def patience(self) -> float:
        """What time-outs for the machine's work are multiplied by: it does not get faster with the clock."""
        return max(self.speed, 1.0)

    @property
    def today(self) -> date:
        """The IST date of its clock."""
        return EPOCH + timedelta(days=session_number(self.clock.now_ns()))


def build_rest(endpoint: Endpoint, limits: RateLimits, settings: Settings) -> RESTClient:
    """The broker's REST calls, paced. One a process and API key: the pace is shared by whoever asks through it."""
    retry = limits.retry
    return RESTClient(
        endpoint.rest_url,
        endpoint.credentials,
        endpoint.token,
        Pacers.of(limits, endpoint.clock),
        endpoint.clock,
        timeout_s=settings.broker.kite.timeout_s * endpoint.patience,
        retry=RetryPolicy(retry.attempts, retry.first_s, retry.max_s),
        rng=random.Random(),  # nosec B311  jitter, not a secret
    )


def build_tokens(settings: Settings, clock: Clock) -> TokenManager:
    """The stored login of Kite Connect."""
    key = settings.broker.api_key
    given = os.environ.get(KEY_VARIABLE)
    return TokenManager(
        settings.system.data_dir / "auth" / "kite.token",
        TokenKey(Secret(given) if given else None, OsKeyStore()),
        clock,
        None if key is None else key.get_secret_value(),
        settings.broker.kite.rest_url,
    )


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


def closing_auction(system: System) -> Auction:
    """Whose continuous trading ends at 15:15, by the dated list."""
    members = system.stores.members
    return auction_rule(members.spans("flag", Flag.CLOSING_AUCTION), members.known_from("flag", Flag.CLOSING_AUCTION))


def build_authenticator(endpoint: Endpoint, limits: RateLimits, settings: Settings) -> Authenticator[RESTClient]:
    """`intraday auth`: the login at ``endpoint``, whose time the life of a token is counted in."""
    login = settings.broker.login
    return Authenticator(
        lambda token: build_rest(replace(endpoint, token=token), limits, settings),
        build_tokens(settings, endpoint.clock),
        endpoint.credentials,
        LoginPlace(settings.broker.kite.login_url, login.port, login.timeout_s),
        lambda client: client.ltp(["NSE:NIFTY 50"]),
        paced(endpoint.speed),
    )


def build_connections(
    system: System, endpoint: Endpoint, limits: RateLimits, targets: Sequence[tuple[Instrument, int]], session: Session
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
        connections_max=ws.connections,
        instruments_max=ws.instruments_per_connection,
        frames_max=system.settings.live.queue_max_frames,
    )
    return ConnectionManager(
        spec, subscription([token for _, token in targets], Mode(link.mode)), endpoint.clock, random.Random().random
    )  # nosec B311


def shared_hours(system: System, instruments: Sequence[Instrument], session: Session) -> Callable[[int], bool]:
    """Whether anything of ``instruments`` is in continuous trading at a moment: silence then is worth an alarm.

    With closing-auction stocks and indices alone it ends at 15:15, where the rest trades on.
    """
    rule = closing_auction(system)
    auction = all(i.kind is Kind.INDEX or rule(i.id, session.day) for i in instruments)
    return trading_hours(system.sessions.get(session.day, auction=auction))


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
