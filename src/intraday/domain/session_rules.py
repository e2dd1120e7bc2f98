"""The dated rules of the NSE's regular hours, each with its evidence. ``domain.session`` makes sessions of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import NamedTuple, TypeVar

AUCTION_FROM = date(2026, 8, 3)
SQUARE_OFF_FROM = ((date(2010, 1, 1), 15 * 60 + 20),)  # the broker's published time; its present time is unknown, so dated
SQUARE_OFF_BEFORE_CLOSE = 10  # minutes, for sessions that do not end at the cash market's regular close


class Segment(StrEnum):
    """A market of the NSE with hours of its own."""

    EQUITY = "equity"
    DERIVATIVES = "equity_derivatives"


class Hours(NamedTuple):
    """Continuous trading of regular sessions from a day on; the last row that fits counts."""

    since: date
    segment: Segment
    auction: bool  # of stocks that take part in the closing auction
    open: str
    close: str
    evidence: str


class AuctionHours(NamedTuple):
    """A call auction of regular sessions from a day on. Special sessions have it as long before their open."""

    since: date
    segment: Segment
    closing: bool  # after continuous trading, not before it
    start: str
    entry: str  # orders from here on
    limit_only: str  # market orders until here; where there is no such phase, until the end
    random_end: str  # order entry ends at a random moment from here on
    entry_end: str  # and here at the latest; then the one match
    end: str  # all trades are confirmed
    evidence: str


HOURS = (
    Hours(date(2010, 1, 1), Segment.EQUITY, False, "09:00", "15:30", "pandas_market_calendars 5.5.0 NSE: 09:00 to 2010-10-15"),
    Hours(date(2010, 10, 18), Segment.EQUITY, False, "09:15", "15:30", "pre-open introduced; keralabanking.com, shoxtraff.ru"),
    Hours(AUCTION_FROM, Segment.EQUITY, True, "09:15", "15:15", "NSE/CMTR/74466 of 2026-05-29: stocks with derivatives"),
    Hours(date(2010, 1, 1), Segment.DERIVATIVES, False, "09:00", "15:30", "as the equity segment"),
    Hours(date(2010, 10, 18), Segment.DERIVATIVES, False, "09:15", "15:30", "as the equity segment"),
    Hours(AUCTION_FROM, Segment.DERIVATIVES, False, "09:15", "15:40", "NSE/FAOP/74467 of 2026-05-29"),
)
REGULAR_OPEN = "09:15"  # what the pre-open's times below stand before
OLD_PRE_OPEN = ("09:00", "09:00", "09:07", "09:07", "09:08", "09:12")
NEW_PRE_OPEN = ("09:00", "09:00", "09:05", "09:08", "09:10", "09:12")
AUCTIONS = (
    AuctionHours(date(2010, 10, 18), Segment.EQUITY, False, *OLD_PRE_OPEN, "keralabanking.com; NSE circular of 2012-04-27"),
    AuctionHours(date(2026, 9, 7), Segment.EQUITY, False, *NEW_PRE_OPEN, "NSE/CMTR/74969 of 2026-07-01"),
    AuctionHours(date(2025, 12, 8), Segment.DERIVATIVES, False, *OLD_PRE_OPEN, "NSE/FAOP/69898 of 2025-08-28, futures only"),
    AuctionHours(date(2026, 9, 7), Segment.DERIVATIVES, False, *NEW_PRE_OPEN, "NSE/FAOP/74970 of 2026-07-01, futures only"),
    AuctionHours(
        AUCTION_FROM, Segment.EQUITY, True, "15:15", "15:20", "15:25", "15:28", "15:30", "15:35", "NSE/CMTR/74466 of 2026-05-29"
    ),
)

Rule = TypeVar("Rule", Hours, AuctionHours)


def minute_of(text: str) -> int:
    """Minutes after midnight of ``09:15``."""
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def hours(day: date, segment: Segment, auction: bool) -> Hours:
    """Regular hours of a segment on ``day``; ``auction``: of a stock that takes part in the closing auction, once there is one."""
    rule = _in_force(day, (r for r in HOURS if r.segment is segment and (auction or not r.auction)))
    assert rule is not None, f"no hours of {segment} on {day}: the rules begin {HOURS[0].since}"
    return rule


def auction_hours(day: date, segment: Segment, closing: bool) -> AuctionHours | None:
    """The call auction before (``closing``: after) continuous trading of a segment on ``day``; None where there was none yet."""
    return _in_force(day, (r for r in AUCTIONS if r.segment is segment and r.closing == closing))


def square_off(day: date, close_minute: int) -> int:
    """Minutes after midnight IST when intraday positions must be gone on a day whose trading ends at ``close_minute``."""
    if close_minute == minute_of(hours(day, Segment.EQUITY, auction=False).close):
        return [minute for since, minute in SQUARE_OFF_FROM if since <= day][-1]
    return close_minute - SQUARE_OFF_BEFORE_CLOSE


def _in_force(day: date, rules: Iterable[Rule]) -> Rule | None:
    """The newest rule; they stand in order of their days."""
    found: Rule | None = None
    for rule in rules:
        if rule.since <= day:
            found = rule
    return found
