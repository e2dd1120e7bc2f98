"""Trained models as rows; the artifacts are files."""

from __future__ import annotations

from typing import Any

from intraday.database.pool import Database
from intraday.domain.errors import ArtifactError, RegistryError
from intraday.domain.ports import ModelRecord

_COLUMNS = "id, feature_set_id, label_set_id, path, verdict, trained_from, trained_to, manifest::text"


class ModelRepository:
    """``domain.ports.ModelStore``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def save(self, record: ModelRecord) -> None:
        """Store or replace by id, and make it the latest; the latest one again changes nothing."""
        with self._db.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('models'), 0)")
            row = connection.execute(f"SELECT {_COLUMNS} FROM models WHERE id = %s", (record.id,)).fetchone()  # nosec B608
            newest = "UPDATE models SET seq = DEFAULT WHERE id = %s AND seq < (SELECT max(seq) FROM models)"
            if row is not None and ModelRecord(*row) == record:
                connection.execute(newest, (record.id,))
                return
            connection.execute(
                """INSERT INTO models (id, feature_set_id, label_set_id, path, verdict, trained_from, trained_to, manifest)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
                   ON CONFLICT (id) DO UPDATE SET feature_set_id = excluded.feature_set_id, label_set_id = excluded.label_set_id,
                     path = excluded.path, verdict = excluded.verdict, trained_from = excluded.trained_from,
                     trained_to = excluded.trained_to, manifest = excluded.manifest""",
                _values(record),
            )
            connection.execute(newest, (record.id,))

    def latest(self, feature_set_id: str | None = None) -> ModelRecord | None:
        """The model saved most recently, of one feature set if given."""
        with self._db.autocommit() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM models WHERE %(set)s::text IS NULL OR feature_set_id = %(set)s ORDER BY seq DESC LIMIT 1",  # nosec B608
                {"set": feature_set_id},
            ).fetchone()
        return None if row is None else ModelRecord(*row)

    def all(self) -> list[ModelRecord]:
        """Every model, the one saved most recently first."""
        with self._db.autocommit() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM models ORDER BY seq DESC").fetchall()  # nosec B608
        return [ModelRecord(*row) for row in rows]

    def get(self, model_id: str) -> ModelRecord:
        """By id, or by how only its id begins. ArtifactError when there is none, RegistryError when there are several."""
        with self._db.autocommit() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM models WHERE id = %(id)s OR %(id)s <> '' AND starts_with(id, %(id)s) ORDER BY seq DESC",  # nosec B608
                {"id": model_id},
            ).fetchall()
        found = [ModelRecord(*row) for row in rows]
        exact = [record for record in found if record.id == model_id]
        if not found:
            raise ArtifactError(
                f"expected a trained model, found no {model_id!r}: `intraday models list` names them"
                " (`intraday historical` trains one)"
            )
        if len(exact or found) > 1:
            raise RegistryError(f"{model_id!r} may be {' or '.join(record.id for record in found)}: give more of the id")
        return (exact or found)[0]


def _values(r: ModelRecord) -> tuple[Any, ...]:
    return r.id, r.feature_set_id, r.label_set_id, r.path, r.verdict, r.trained_from, r.trained_to, r.manifest
