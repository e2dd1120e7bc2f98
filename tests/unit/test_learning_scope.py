"""What one count of trials is about."""

from __future__ import annotations

from intraday.app_learning import learning_scope
from intraday.domain.universe import Universe, everyone


def test_all_stays_all_when_the_exchange_lists_more() -> None:
    """A first sync of instruments, or one more of them, begins no new count."""
    before, synced = everyone(frozenset((1, 2)), frozenset()), everyone(frozenset((1, 2)), frozenset((3, 4, 5)))
    assert before.definition != synced.definition
    assert learning_scope(before) == learning_scope(synced)


def test_other_universes_count_by_themselves() -> None:
    names = ("symbols", "fno", "index:NIFTY 50", "csv:all of them.csv")
    scopes = {learning_scope(Universe(name, frozenset((1,)))) for name in names} | {
        learning_scope(everyone(frozenset(), frozenset()))
    }
    assert len(scopes) == len(names) + 1
