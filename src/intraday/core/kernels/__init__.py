"""Compiled kernels: numpy, numba, math and each other, nothing else.

numba's on-disk cache looks at the file a function stands in, never at the files of the functions it calls, and would serve
yesterday's maths after an edit (numba issue 1833). So the cache folder is keyed by a hash of every kernel source and of the
compiler's version, and set here, before any kernel is imported. ``INTRADAY_CACHE_DIR`` moves it; otherwise it stands in the
user's cache folder. SVML is switched off: its vector and scalar paths differ in the last bit, so S would matter.
"""

import hashlib
import os
import pathlib
from typing import Final

os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")  # read once, when numba is imported

import llvmlite  # type: ignore[import-untyped]  # noqa: E402
import numba  # noqa: E402


def _hash_sources(folder: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder(source_hash: str) -> pathlib.Path:
    user = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path("~/.cache").expanduser())
    root = os.environ.get("INTRADAY_CACHE_DIR") or str(pathlib.Path(user) / "intraday")
    compiler = f"numba{numba.__version__}-llvmlite{llvmlite.__version__}"
    return pathlib.Path(root).absolute() / "kernels" / f"{source_hash}-{compiler}"


def _use_cache(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # numba would silently fall back to __pycache__, which is the stale cache this module prevents
        raise RuntimeError(f"kernel cache: cannot create {folder} ({error}); set INTRADAY_CACHE_DIR") from error
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


SOURCE_HASH: Final = _hash_sources(pathlib.Path(__file__).parent)
"""16 hex digits over every kernel source file: part of every feature set's id."""

CACHE_DIR: Final = _cache_folder(SOURCE_HASH)
"""Where compiled kernels are kept."""

_use_cache(CACHE_DIR)
