"""How long an access token lives: until 06:00 IST, and shakily in the mornings around it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from intraday.domain.arrays import DAY_NS, IST_NS, MINUTE_NS

# Minutes after midnight IST. A token dies at 06:00 by regulation; in practice Kite lets tokens die in stages from about 05:20,
# and some logins before about 07:50 died the same morning (KITE_SPEC 2.8, third-party observations of September and October 2026).
DYING_FROM = 5 * 60 + 20
DEATH = 6 * 60
SAFE_FROM = 8 * 60


class TokenState(StrEnum):
    """How much the stored token is worth."""

    MISSING = "missing"
    VALID = "valid"
    SUSPECT = "suspect"  # logged in before 08:00: it may die this morning
    DYING = "dying"  # 05:20 to 06:00 of its last morning
    DEAD = "dead"


def death_ns(login_ns: int) -> int:
    """The first 06:00 IST after ``login_ns``: a login before 06:00 dies the same morning."""
    midnight = _midnight(login_ns)
    six = midnight + DEATH * MINUTE_NS
    return six if login_ns < six else six + DAY_NS


def token_state(login_ns: int, now_ns: int) -> TokenState:
    """The state at ``now_ns`` of a token logged in at ``login_ns``; never MISSING."""
    death = death_ns(login_ns)
    if now_ns >= death:
        return TokenState.DEAD
    if now_ns >= death - (DEATH - DYING_FROM) * MINUTE_NS:
        return TokenState.DYING
    return TokenState.SUSPECT if login_ns < _midnight(login_ns) + SAFE_FROM * MINUTE_NS else TokenState.VALID


def ist(ns: int) -> str:
    """An instant for people: ``2026-11-23 08:05 IST``."""
    return (datetime.fromtimestamp(ns / 1e9, UTC) + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M IST")


def _midnight(ns: int) -> int:
    """00:00 IST of the day of ``ns``."""
    return int((ns + IST_NS) // DAY_NS * DAY_NS - IST_NS)
