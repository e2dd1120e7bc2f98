"""Dated universes in training: whose rows count, and what to say when none does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from intraday.domain.errors import NotEnoughData
from intraday.domain.instruments import Instrument
from intraday.domain.membership import Membership
from intraday.model.dataset import Dataset


def of_members(part: Dataset, block: Sequence[Instrument], membership: Membership | None) -> Dataset:
    """The rows of instruments that were in the universe on the row's day; ``inst`` of ``part`` counts ``block``."""
    return part if membership is None else part.rows(membership.mask([i.id for i in block], part.inst, part.session))


def unknown_days(membership: Membership | None, first: date) -> tuple[str, ...]:
    """A warning when bars begin before anything is known of the list."""
    if membership is None or membership.known_from is None or membership.known_from <= first:
        return ()
    return (
        f"{membership.definition}: members are known from {membership.known_from} on, bars from {first}: what is before is not "
        f"learned from; {_remedy(first)}",
    )


def no_members(membership: Membership, first: date, last: date) -> NotEnoughData:
    """The error when there is nothing to learn from."""
    return NotEnoughData(
        f"{membership.definition}: no stored decision bar from {first} to {last} is one of a member; the list is known from "
        f"{membership.known_from} on; {_remedy(first)}"
    )


def _remedy(first: date) -> str:
    return f"import earlier members: `intraday universe import NAME FILE --from {first}`"
