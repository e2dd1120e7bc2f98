"""Which model is the champion, how it became that, and the tests that decided it.

The champion is the newest row of ``promotions``. One transaction adds the row and its line of the audit trail: whenever the
program is killed, either both are there or the old champion is in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from intraday.database.copying import stamp
from intraday.database.pool import Connection, Database
from intraday.domain.errors import RegistryError
from intraday.domain.learning import Comparison, Promotion

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('registry'), 0)"
_PROMOTION = "number, model_id, previous_id, at_ns, kind, coalesce(comparison_id, 0), reason"
_OPEN = "champion_id = %s AND challenger_id = %s AND outcome = ''"
_COMPARISON = """id, champion_id, challenger_id, declared_ns, declared_session, n_sessions, alpha, statistic, outcome, decided_ns,
  coalesce(p_value, 'NaN'), coalesce(detail::text, '')"""


class RegistryRepository:
    """``domain.learning``'s promotions and comparisons."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def champion(self) -> Promotion | None:
        """The promotion in force, None: there has been none."""
        with self._db.autocommit() as connection:
            return _champion(connection)

    def promotions(self) -> list[Promotion]:
        """All of them, newest first."""
        with self._db.autocommit() as connection:
            rows = connection.execute(f"SELECT {_PROMOTION} FROM promotions ORDER BY number DESC").fetchall()  # nosec B608
        return [Promotion(*row) for row in rows]

    def promote(self, model_id: str, previous_id: str, at_ns: int, kind: str, comparison_id: int, reason: str) -> Promotion:
        """Make a model the champion in the place of ``previous_id`` (empty: of nobody). ``comparison_id`` 0: without a test.

        RegistryError when the champion is another one by now, or the test was used already.
        """
        with self._db.transaction() as connection:
            connection.execute(_LOCK)
            found = _champion(connection)
            if (found.model_id if found else "") != previous_id:
                now = f"{found.model_id} (number {found.number})" if found else "none"
                raise RegistryError(f"expected the champion {previous_id or 'none'}, found {now}: somebody changed it; look again")
            if connection.execute("SELECT 1 FROM promotions WHERE comparison_id = %s", (comparison_id,)).fetchone():
                raise RegistryError(f"comparison {comparison_id} promoted a model before: expected one of its own, declare another")
            row = connection.execute(
                f"""INSERT INTO promotions (model_id, previous_id, at_ns, kind, comparison_id, reason)
                    VALUES (%s, %s, %s, %s, %s, %s) RETURNING {_PROMOTION}""",  # nosec B608
                (model_id, previous_id, at_ns, kind, comparison_id or None, reason),
            ).fetchone()
            assert row is not None
            done = Promotion(*row)
            detail = {
                "model": model_id,
                "previous": previous_id,
                "number": done.number,
                "comparison": comparison_id,
                "reason": reason,
            }
            _record(connection, at_ns, f"champion: {kind}", detail)
        return done

    def declare(self, wanted: Comparison) -> Comparison:
        """Store a test that has no number yet (``id`` is ignored), undecided. RegistryError when the two have an open one."""
        with self._db.transaction() as connection:
            connection.execute(_LOCK)
            pair = wanted.champion_id, wanted.challenger_id
            if connection.execute(f"SELECT 1 FROM comparisons WHERE {_OPEN}", pair).fetchone():  # nosec B608
                raise RegistryError(
                    f"a test of {wanted.challenger_id} against {wanted.champion_id} is declared already: expected one at a time; "
                    "decide that one first (`intraday models compare`), or give it up (`--void`)"
                )
            row = connection.execute(
                f"""INSERT INTO comparisons
                      (champion_id, challenger_id, declared_ns, declared_session, n_sessions, alpha, statistic, detail)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, nullif(%s, '')::json) RETURNING {_COMPARISON}""",  # nosec B608
                (
                    *pair,
                    wanted.declared_ns,
                    wanted.declared_session,
                    wanted.n_sessions,
                    wanted.alpha,
                    wanted.statistic,
                    wanted.detail,
                ),
            ).fetchone()
            assert row is not None
            made = Comparison(*row)
            detail = {
                "champion": made.champion_id, "challenger": made.challenger_id, "comparison": made.id,
                "after": made.declared_session, "sessions": made.n_sessions, "alpha": made.alpha, "statistic": made.statistic,
            }  # fmt: skip
            _record(connection, made.declared_ns, "comparison: declared", detail)
        return made

    def comparisons(self, champion_id: str | None = None, challenger_id: str | None = None) -> list[Comparison]:
        """All of them, or of one champion or challenger; newest first."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                f"""SELECT {_COMPARISON} FROM comparisons
                    WHERE (%(a)s::text IS NULL OR champion_id = %(a)s) AND (%(b)s::text IS NULL OR challenger_id = %(b)s)
                    ORDER BY id DESC""",  # nosec B608
                {"a": champion_id, "b": challenger_id},
            ).fetchall()
        return [Comparison(*row) for row in rows]

    def decide(self, number: int, outcome: str, decided_ns: int, p_value: float, detail: str) -> Comparison:
        """Close an open test, once. RegistryError when it was decided before."""
        with self._db.transaction() as connection:
            connection.execute(_LOCK)
            row = connection.execute(
                f"""UPDATE comparisons SET outcome = %s, decided_ns = %s, p_value = nullif(%s::float8, 'NaN'), detail = %s
                    WHERE id = %s AND outcome = '' RETURNING {_COMPARISON}""",  # nosec B608
                (outcome, decided_ns, p_value, detail, number),
            ).fetchone()
            if row is None:
                raise RegistryError(f"comparison {number} was decided before: expected an open one; see `intraday models show`")
            done = Comparison(*row)
            _record(connection, decided_ns, f"comparison: {outcome}", {"comparison": number, "p_value": _or_none(p_value)})
        return done


def _champion(connection: Connection) -> Promotion | None:
    row = connection.execute(f"SELECT {_PROMOTION} FROM promotions ORDER BY number DESC LIMIT 1").fetchone()  # nosec B608
    return None if row is None else Promotion(*row)


def _record(connection: Connection, at_ns: int, kind: str, detail: Mapping[str, Any]) -> None:
    connection.execute("INSERT INTO events (at, kind, detail) VALUES (%s, %s, %s)", (stamp(at_ns), kind, Jsonb(dict(detail))))


def _or_none(value: float) -> float | None:
    return None if value != value else value
