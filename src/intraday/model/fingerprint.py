"""What decides about bits: library versions and the processor."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform

import llvmlite.binding  # type: ignore[import-untyped]

LIBRARIES = ("lightgbm", "numpy", "numba", "llvmlite", "scipy", "scikit-learn", "optuna")


def fingerprint() -> dict[str, str]:
    """Library versions and the processor as LLVM sees it."""
    host = llvmlite.binding.get_host_cpu_features().flatten()
    return {
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "machine": platform.machine(),
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "cpu_features": hashlib.sha256(host.encode()).hexdigest()[:16],
    }
