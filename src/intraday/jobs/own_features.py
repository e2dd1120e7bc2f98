"""What a report says of the user's own features, which the chart of the best ones may leave out."""

from __future__ import annotations

from datetime import timedelta

from intraday.app import System
from intraday.core.registry import default_registry
from intraday.domain.ports import Source
from intraday.domain.session import EPOCH, midnight_ns
from intraday.model.artifacts import Artifact
from intraday.report.inputs import OwnFeature

# of float32, little endian: all bits of the exponent are set in NaN, and nothing infinite is stored
_MISSING = "count(*) FILTER (WHERE get_byte(vector, {0}) & 127 = 127 AND get_byte(vector, {1}) & 128 = 128)"


def own_features(system: System, artifact: Artifact) -> tuple[OwnFeature, ...]:
    """The features of the model that do not come with the program, best first: rank by gain, and the share of stored rows of the
    model's days without a value (NaN where none are stored)."""
    registry, names = default_registry(), artifact.features.names
    own = [name for name in names if name not in registry]
    if not own:
        return ()
    missing = _missing(system, artifact, own)
    ranked = [(row["name"], float(row["gain"] or 0.0), int(row["splits"])) for row in artifact.manifest["importance"]]
    return tuple(
        OwnFeature(name, rank, len(names), gain, splits, missing[name])
        for rank, (name, gain, splits) in enumerate(ranked, start=1)
        if name in missing
    )


def _missing(system: System, artifact: Artifact, own: list[str]) -> dict[str, float]:
    places = [4 * artifact.features.names.index(name) for name in own]
    counts = ", ".join(_MISSING.format(place + 3, place + 2) for place in places)
    data = artifact.manifest["data"]
    first, last = (EPOCH + timedelta(days=int(data[key])) for key in ("first_session", "last_session"))
    query = (
        f"SELECT count(*), {counts} FROM features WHERE feature_set_id = %s AND source = %s "  # nosec B608  numbers of columns
        "AND ts >= to_timestamp(%s) AND ts < to_timestamp(%s)"
    )
    span = midnight_ns(first) // 10**9, midnight_ns(last + timedelta(days=1)) // 10**9
    with system.database.autocommit() as connection:
        row = connection.execute(query, (artifact.features.id, Source.HISTORY.value, *span)).fetchone()
    assert row is not None
    return {name: n / row[0] if row[0] else float("nan") for name, n in zip(own, row[1:], strict=True)}
