"""A model by how its id begins, wherever one is asked for."""

from __future__ import annotations

from datetime import date

import pytest

from database_cases import make_known
from intraday.database.models import ModelRepository
from intraday.database.pool import Database
from intraday.domain.errors import ArtifactError, RegistryError
from intraday.domain.ports import ModelRecord

pytestmark = pytest.mark.integration


def test_the_beginning_of_an_id_names_a_model_when_it_is_one_s_only(database: Database) -> None:
    make_known(database, sets=["abc", "tb1"])
    store, day = ModelRepository(database), date(2021, 1, 1)
    for name in ("3f9c01", "3f9d02", "3f9d02aa", "a%_1"):
        store.save(ModelRecord(name, "abc", "tb1", f"models/{name}", "edge", day, day, "{}"))
    assert [store.get(wanted).id for wanted in ("3f9c", "3f9c01", "3f9d02", "a%")] == ["3f9c01", "3f9c01", "3f9d02", "a%_1"]
    with pytest.raises(RegistryError, match="'3f9' may be 3f9d02aa or 3f9d02 or 3f9c01: give more of the id"):
        store.get("3f9")
    for unknown in ("", "%", "3_9c", "3f9c012"):
        with pytest.raises(ArtifactError, match=f"found no '{unknown}': `intraday models list` names them"):
            store.get(unknown)
