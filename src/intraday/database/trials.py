"""The trials ledger: every configuration that was tried on a scope of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intraday.database.pool import Database
from intraday.domain.learning import Trial, TrialKind

# What was seen stays counted: a path is not replaced by a run of the same configuration that never got one.
_STORE = """
INSERT INTO trials AS t (scope, id, kind, created_ns, run_id, model_id, parameters, value, state, sessions, net, note)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (scope, id) DO UPDATE SET kind = excluded.kind, created_ns = excluded.created_ns, run_id = excluded.run_id,
  model_id = excluded.model_id, parameters = excluded.parameters, value = excluded.value, state = excluded.state,
  sessions = excluded.sessions, net = excluded.net, note = excluded.note
WHERE octet_length(t.net) = 0 OR octet_length(excluded.net) > 0"""


class TrialRepository:
    """``domain.learning.TrialLedger``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, trials: Sequence[Trial]) -> None:
        """Store or replace by (scope, id), in one transaction. A path that was seen is replaced only by another path."""
        rows = [_values(trial) for trial in trials]
        if rows:
            with self._db.transaction() as connection, connection.cursor() as cursor:
                cursor.executemany(_STORE, rows)

    def of(self, scope: str, kind: TrialKind | None = None) -> list[Trial]:
        """Those of a scope and of its parts (``scope; ...``), oldest first (of one moment by id)."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                """SELECT id, scope, kind, created_ns, run_id, model_id, parameters::text, value, state, sessions, net, note
                   FROM trials WHERE (scope = %(scope)s OR starts_with(scope, %(scope)s || '; '))
                     AND (%(kind)s::text IS NULL OR kind = %(kind)s)
                   ORDER BY created_ns, id COLLATE "C" """,
                {"scope": scope, "kind": None if kind is None else kind.value},
            ).fetchall()
        return [_trial(row) for row in rows]


def _values(t: Trial) -> tuple[Any, ...]:
    assert t.session.shape == t.net.shape, (t.session.shape, t.net.shape)
    session, net = t.session.astype("<i4").tobytes(), t.net.astype("<f8").tobytes()
    value = None if np.isnan(t.value) else t.value
    kind = t.kind.value
    return t.scope, t.id, kind, t.created_ns, t.run_id, t.model_id, t.parameters, value, t.state, session, net, t.note


def _trial(row: tuple[Any, ...]) -> Trial:
    number, scope, kind, created_ns, run_id, model_id, parameters, value, state, session, net, note = row
    return Trial(
        id=number, scope=scope, kind=TrialKind(kind), created_ns=created_ns, run_id=run_id, model_id=model_id,
        parameters=parameters, value=float("nan") if value is None else value, state=state,
        session=np.frombuffer(session, "<i4").astype(np.int32), net=np.frombuffer(net, "<f8").astype(np.float64), note=note,
    )  # fmt: skip
