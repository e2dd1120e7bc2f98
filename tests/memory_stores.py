"""The stores of ``domain.ports`` in memory: the same promises as the database's, for tests that need no server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

import numpy as np

from intraday.domain.arrays import BAR, DAY_NS, F4, I4, I8, IST_NS, LABEL, Bars, Labels, empty
from intraday.domain.errors import ArtifactError
from intraday.domain.ports import FeatureSetRecord, ModelRecord, Quarantined, Source, WriteReport

K = TypeVar("K")


class MemoryBars:
    """One version of each bar."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], bytes] = {}

    def write(self, ids: Sequence[int], bars: Bars, source: Source, known_ns: int) -> WriteReport:
        new = {(int(b["ts_ns"]), ids[int(b["inst"])]): _bytes(b) for b in bars}
        return _merge(self.rows, new)

    def read(self, ids: Sequence[int], start_ns: int, end_ns: int, source: Source | None = None) -> Bars:
        row_of = {i: k for k, i in enumerate(ids)}
        keys = sorted((ts, row_of[i], i) for ts, i in self.rows if i in row_of and start_ns <= ts < end_ns)
        out = np.frombuffer(b"".join(self.rows[ts, i] for ts, _, i in keys), dtype=BAR).copy() if keys else empty(BAR)
        out["inst"] = [k for _, k, _ in keys]
        return out

    def has_any(self, start_ns: int, end_ns: int) -> bool:
        return any(start_ns <= ts < end_ns for ts, _ in self.rows)

    def coverage(self) -> list[tuple[int, date, int]]:
        count: dict[tuple[int, int], int] = {}
        for ts, i in self.rows:
            key = (i, (ts + IST_NS) // DAY_NS)
            count[key] = count.get(key, 0) + 1
        return [(i, date(1970, 1, 1) + timedelta(days=n), k) for (i, n), k in sorted(count.items())]

    def quarantine(self, rows: Sequence[Quarantined]) -> int:
        raise NotImplementedError


class MemoryFeatures:
    """Vectors as bytes."""

    def __init__(self) -> None:
        self.sets: dict[str, FeatureSetRecord] = {}
        self.rows: dict[tuple[str, Source, int, int], bytes] = {}

    def register(self, record: FeatureSetRecord) -> None:
        self.sets[record.id] = record

    def write(self, set_id: str, source: Source, ids: Sequence[int], ts_ns: I8, inst: I4, x: F4) -> WriteReport:
        assert set_id in self.sets
        new = {(set_id, source, int(t), ids[k]): v.tobytes() for t, k, v in zip(ts_ns, inst.tolist(), x, strict=True)}
        first, last = int(ts_ns.min()), int(ts_ns.max())
        held = [k for k in self.rows if k[:2] == (set_id, source) and first <= k[2] <= last and k[3] in ids]
        for key in held:
            if key not in new:
                del self.rows[key]
        return _merge(self.rows, new)

    def read(self, set_id: str, source: Source, ids: Sequence[int], start_ns: int, end_ns: int) -> tuple[I8, I4, F4]:
        row_of = {i: k for k, i in enumerate(ids)}
        mine = [k for k in self.rows if k[:2] == (set_id, source) and k[3] in row_of and start_ns <= k[2] < end_ns]
        keys = sorted((k[2], row_of[k[3]], k) for k in mine)
        x = np.frombuffer(b"".join(self.rows[k] for _, _, k in keys), dtype="<f4").reshape(len(keys), len(self.sets[set_id].names))
        return np.array([t for t, _, _ in keys], dtype=np.int64), np.array([r for _, r, _ in keys], dtype=np.int32), x.copy()


class MemoryLabels:
    """LABEL rows as bytes."""

    def __init__(self) -> None:
        self.sets: dict[str, str] = {}
        self.rows: dict[tuple[str, int, int], bytes] = {}

    def register(self, set_id: str, definition: str) -> None:
        self.sets[set_id] = definition

    def write(self, set_id: str, ids: Sequence[int], labels: Labels, start_ns: int, end_ns: int) -> WriteReport:
        assert set_id in self.sets
        new = {(set_id, int(r["ts_ns"]), ids[int(r["inst"])]): _bytes(r) for r in labels}
        assert all(start_ns <= k[1] < end_ns for k in new)
        for key in [k for k in self.rows if k[0] == set_id and start_ns <= k[1] < end_ns and k[2] in ids and k not in new]:
            del self.rows[key]
        return _merge(self.rows, new)

    def read(self, set_id: str, ids: Sequence[int], start_ns: int, end_ns: int) -> Labels:
        row_of = {i: k for k, i in enumerate(ids)}
        keys = sorted((k[1], row_of[k[2]], k) for k in self.rows if k[0] == set_id and k[2] in row_of and start_ns <= k[1] < end_ns)
        out = np.frombuffer(b"".join(self.rows[k] for _, _, k in keys), dtype=LABEL).copy() if keys else empty(LABEL)
        out["inst"] = [r for _, r, _ in keys]
        return out


class MemoryModels:
    """Newest last."""

    def __init__(self) -> None:
        self.records: dict[str, ModelRecord] = {}

    def save(self, record: ModelRecord) -> None:
        self.records[record.id] = record

    def latest(self, feature_set_id: str | None = None) -> ModelRecord | None:
        found = [r for r in self.records.values() if feature_set_id in (None, r.feature_set_id)]
        return found[-1] if found else None

    def get(self, model_id: str) -> ModelRecord:
        if model_id not in self.records:
            raise ArtifactError(f"no model {model_id}")
        return self.records[model_id]


def _bytes(row: np.void) -> bytes:
    """A row without the dense number, which is the caller's and not stored."""
    kept = row.copy()
    kept["inst"] = 0
    return kept.tobytes()


def _merge(held: dict[K, bytes], new: dict[K, bytes]) -> WriteReport:
    inserted = sum(k not in held for k in new)
    unchanged = sum(held.get(k) == v for k, v in new.items())
    held.update(new)
    return WriteReport(inserted, unchanged, len(new) - inserted - unchanged)
