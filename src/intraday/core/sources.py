"""The code that decides a feature's value, as one hash: values stored by other code are never taken for this one's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from intraday.core.kernels import SOURCE_HASH

FEATURE_MODULES: Final = (
    "anchor", "arguments", "day_expression", "expression", "feature", "feature_set", "features", "function_features", "lowering",
    "operations", "overnight", "panel", "plan", "suspects",
)  # fmt: skip
"""Modules of ``core`` between bars and values, beside the kernels. A test follows the imports and misses none."""


def _hash_sources() -> str:
    digest = hashlib.sha256(SOURCE_HASH.encode())
    for name in FEATURE_MODULES:
        digest.update(f"{name}\0".encode())
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


FEATURE_HASH: Final = _hash_sources()
"""16 hex digits over the kernels and ``FEATURE_MODULES``: part of every feature set's id."""
