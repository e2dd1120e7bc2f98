"""What broker, login and simulator agree on: secrets that hide themselves, sessions, candles asked for, and the ports between them.

Broker tokens (``int``) stay in ``broker/``; everything else speaks of instruments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from intraday.domain.arrays import Bars
from intraday.domain.instruments import Instrument
from intraday.domain.ports import Gap, WriteReport


class Secret:
    """Text that shows itself only when asked: ``repr``, ``str``, formatting and logging print ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of one Kite Connect app. The secret is needed for the login only."""

    api_key: str
    api_secret: Secret


@dataclass(frozen=True, slots=True)
class BrokerSession:
    """One day's login. ``login_ns``: when, by the broker's clock."""

    user_id: str
    user_name: str
    api_key: str
    access_token: Secret
    login_ns: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Who is logged in and what the key may do. It does not prove that there is market data."""

    user_id: str
    user_name: str
    exchanges: tuple[str, ...]


class SessionApi(Protocol):
    """The login calls of the broker: ``broker.rest.RESTClient``. All raise BrokerError or AuthError."""

    async def exchange(self, request_token: Secret) -> BrokerSession:
        """A request token, which works once, for the day's access token. WrongCredentials for a wrong secret."""
        ...

    async def profile(self) -> Profile:
        """Who the current token belongs to; TokenDead when it is dead. A cheap probe."""
        ...

    async def logout(self) -> None:
        """Kill the current token."""
        ...


TokenSource = Callable[[], Secret]  # the access token as it is now, read again after a 403; raises NoToken


class Interval(StrEnum):
    """Candle lengths as Kite names them."""

    MINUTE = "minute"
    MINUTE_3 = "3minute"
    MINUTE_5 = "5minute"
    MINUTE_10 = "10minute"
    MINUTE_15 = "15minute"
    MINUTE_30 = "30minute"
    MINUTE_60 = "60minute"
    DAY = "day"


# Days of candles one request may span: server error texts of 2024 and 2026, there is no table in the documentation (KITE_SPEC 7).
SPAN_DAYS = {
    Interval.MINUTE: 60,
    Interval.MINUTE_3: 100,
    Interval.MINUTE_5: 100,
    Interval.MINUTE_10: 100,
    Interval.MINUTE_15: 200,
    Interval.MINUTE_30: 200,
    Interval.MINUTE_60: 400,
    Interval.DAY: 2000,
}


class CandleApi(Protocol):
    """Where candles are asked for: ``broker.rest.RESTClient``."""

    async def fetch_historical_data(self, token: int, interval: Interval, start_ns: int, end_ns: int) -> Bars:
        """BAR[n] (``inst`` 0) of open times ``start_ns <= t <= end_ns``, ascending. Raises BrokerError, AuthError."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """One instrument and day that the broker was asked for: every minute up to ``until_ns`` is stored or does not exist.

    ``complete``: the answer came when the day's candles change no more, so nobody needs to ask again. ``n_bars``: candles of the
    last answer that had any. ``empty_ns``: when the broker answered for the whole session without one, the first time since
    then; None: it did not, or not the last time.
    """

    instrument_id: int
    day: date
    until_ns: int
    n_bars: int
    complete: bool
    empty_ns: int | None = None


class FetchStore(Protocol):
    """What the broker was asked for and what it gave."""

    def save(self, instrument_id: int, bars: Bars, fetched: Sequence[Fetched], gaps: Sequence[Gap], known_ns: int) -> WriteReport:
        """One answer in one transaction: its bars as source broker (``inst`` is 0 throughout), the days it covers, and what of
        those days could not be had (gaps of them that are stored and not named any more go). Idempotent."""
        ...

    def fetched(self, ids: Sequence[int], first: date, last: date) -> list[Fetched]:
        """Ordered by (instrument, day)."""
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of the broker's daily list of instruments. ``tick_size`` in paise; ``expiry`` and ``strike`` of derivatives only."""

    instrument: Instrument
    token: int
    exchange_token: int
    name: str
    segment: str
    expiry: date | None = None
    strike: float = 0.0
