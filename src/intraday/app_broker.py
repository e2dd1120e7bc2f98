"""COMPOSITION ROOT, the part that every talk with a broker begins with: where it is, who is logged in, its REST calls.

Apart from app.py so that `intraday auth` starts without numba and LightGBM.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from datetime import date

from intraday.auth.key import KEY_VARIABLE, OsKeyStore, TokenKey
from intraday.auth.login import Authenticator, LoginPlace
from intraday.auth.token import TokenManager
from intraday.broker.pacing import Pacers
from intraday.broker.rest import RESTClient
from intraday.broker.retry import RetryPolicy
from intraday.config.settings import RateLimits, Settings
from intraday.domain.broker import Credentials, Secret, TokenSource
from intraday.domain.clock import Clock
from intraday.domain.pace import paced
from intraday.domain.session import day_of


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker answers, whose time it is there, and who is logged in.

    ``name`` is for people; with ``market``, which tells apart those that are made up, it says whose prices a database holds.
    ``speed`` is the pace of an event loop that talks to it: at 60, a second of its time is 17 ms of ours. ``own_prices`` False: it
    plays back what the database holds. ``made_up``: its prices are a simulator's. ``since``: it has no older candles.
    """

    name: str
    rest_url: str
    ws_url: str
    credentials: Credentials
    token: TokenSource
    clock: Clock
    speed: float = 1.0
    own_prices: bool = True
    made_up: bool = False
    market: str = ""
    since: date = date.min

    @property
    def origin(self) -> str:
        """Whose prices these are."""
        return f"{self.name} ({self.market})" if self.market else self.name

    @property
    def patience(self) -> float:
        """What time-outs for the machine's work are multiplied by: it does not get faster with the clock."""
        return max(self.speed, 1.0)

    @property
    def today(self) -> date:
        """The IST date of its clock."""
        return day_of(self.clock.now_ns())


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
