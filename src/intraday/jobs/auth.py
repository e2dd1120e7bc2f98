"""``intraday auth``: the day's login at the broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intraday.app_broker import build_authenticator
from intraday.auth.key import new_key
from intraday.auth.login import Login, Logout
from intraday.auth.token import TokenStatus
from intraday.config.settings import RateLimits, Settings
from intraday.domain.broker import Secret
from intraday.domain.clock import Clock
from intraday.jobs.exchange import kite


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever logs in. ``open_browser`` None: there is no browser, the address is shown and its answer pasted."""

    open_browser: Callable[[str], bool] | None
    ask: Callable[[str], str]
    tell: Callable[[str], None]


def unneeded(settings: Settings) -> str | None:
    """Why ``broker.feed`` needs no login; None when it does."""
    feed = settings.broker.feed
    if feed == "kite":
        return None
    return f"broker.feed is {feed}: no login is needed. For Kite: broker.feed: kite, or INTRADAY__BROKER__FEED=kite"


def log_in(settings: Settings, limits: RateLimits, clock: Clock, person: Person) -> Login:
    """Let the person log in at Kite, keep the day's token. Raises ConfigError, AuthError, BrokerError."""
    authenticator = build_authenticator(kite(settings, clock), limits, settings)
    return authenticator.login(person.open_browser, person.ask, person.tell)


def log_out(settings: Settings, limits: RateLimits, clock: Clock) -> Logout:
    """End the token at Kite and forget it. Raises ConfigError, AuthError, BrokerError."""
    return build_authenticator(kite(settings, clock), limits, settings).logout()


def status(settings: Settings, limits: RateLimits, clock: Clock, *, ask_broker: bool) -> TokenStatus:
    """Where the login stands: by the clock, or by asking Kite. Raises ConfigError; AuthError and BrokerError where it asks."""
    authenticator = build_authenticator(kite(settings, clock), limits, settings)
    return authenticator.check() if ask_broker else authenticator.status()


def make_key() -> Secret:
    """A new key for INTRADAY_TOKEN_KEY."""
    return new_key()
