"""A user's own features: one Python file, named in ``config.yaml`` (``model.user_features``).

The file says ``FEATURES = [...]`` (or defines ``features()``), a list of ``Feature`` (an expression over the primitives) and
``FunctionFeature`` (a plain function of the trailing bars). It may also name a ``PIPELINE``: a preparation of rows for a model
outside this program, which only the audit calls. docs/user-features.md has examples.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

import numpy as np
from numpy.typing import NDArray

from intraday.core.feature import Feature
from intraday.core.function_features import FunctionFeature, FunctionSet
from intraday.domain.arrays import F4, Mask
from intraday.domain.errors import ConfigError
from intraday.domain.session import SessionTable

KEY = "model.user_features"
Pipeline = Callable[[F4, NDArray[np.int8], Mask], NDArray[np.floating]]
"""``(x float32 [n, F], label int8 [n], train bool [n]) -> [n, G]``: all rows prepared, by what the training rows alone say."""


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """What a file holds. ``digest``: 16 hex digits of sha256 of its bytes. ``pipeline`` None where it names none."""

    path: Path
    digest: str
    expressions: tuple[Feature, ...]
    functions: FunctionSet
    pipeline: Pipeline | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of all its features, expressions first."""
        return (*(f.name for f in self.expressions), *self.functions.names)

    def joined(self, registry: Mapping[str, Feature]) -> Mapping[str, Feature]:
        """The registry with the file's expressions after it. ConfigError when a name of the file is taken."""
        taken = [name for name in self.names if name in registry]
        if taken:
            raise ConfigError(f"{KEY}: {self.path}: the name {taken[0]!r} is that of a registered feature; choose another")
        return MappingProxyType({**registry, **{f.name: f for f in self.expressions}})


def no_user_features(sessions: SessionTable) -> UserFeatures:
    """Nothing: what a configuration without a file has."""
    return UserFeatures(Path(), "", (), FunctionSet((), "", sessions))


def load_user_features(path: Path, sessions: SessionTable) -> UserFeatures:
    """Read and run the file. ConfigError: not there, fails (with the line), or holds something else than features.

    The file is run as it was read: what the digest is of is what counts, never a stale compilation of it.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{KEY}: {path}: expected a Python file, found none that can be read ({error.strerror})") from error
    digest = hashlib.sha256(source).hexdigest()[:16]
    module = _run(path, source, digest)
    found = _features(path, module)
    pipeline = getattr(module, "PIPELINE", None)
    if pipeline is not None and not callable(pipeline):
        raise ConfigError(f"{KEY}: {path}: PIPELINE: expected a function (x, label, train), found {type(pipeline).__name__}")
    functions = tuple(f for f in found if isinstance(f, FunctionFeature))
    expressions = tuple(f for f in found if isinstance(f, Feature))
    return UserFeatures(path, digest, expressions, FunctionSet(functions, digest, sessions), pipeline)


def _run(path: Path, source: bytes, digest: str) -> ModuleType:
    module = ModuleType(f"intraday_user_features_{digest}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and typing look a module up by its name
    linecache.checkcache(str(path))
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # nosec B102  the user's own program, named in their own settings
    except SyntaxError as error:
        raise ConfigError(f"{KEY}: {path}, line {error.lineno}: {error.msg}") from error
    except Exception as error:  # noqa: BLE001  whatever it raises is the user's to mend
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        at = f", line {lines[-1]}" if lines else ""
        raise ConfigError(f"{KEY}: {path}{at}: {type(error).__name__}: {error}") from error
    return module


def _features(path: Path, module: ModuleType) -> list[Feature | FunctionFeature]:
    made = getattr(module, "FEATURES", None)
    if made is None and callable(getattr(module, "features", None)):
        made = module.features()
    if not isinstance(made, list | tuple) or not made:
        raise ConfigError(f"{KEY}: {path}: expected FEATURES = [...] with at least one feature, found {made!r}")
    for f in made:
        if not isinstance(f, Feature | FunctionFeature):
            raise ConfigError(f"{KEY}: {path}: FEATURES: expected Feature or FunctionFeature, found {f!r}")
        if not f.name.isidentifier() or not f.name.islower():
            raise ConfigError(f"{KEY}: {path}: found the name {f.name!r}, expected lower-case letters, digits and underscores")
        if isinstance(f, FunctionFeature) and (type(f.window) is not int or f.window < 1 or not callable(f.function)):
            raise ConfigError(f"{KEY}: {path}: {f.name}: expected a function and a window of at least 1 bar, found {f.window!r}")
    names = [f.name for f in made]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ConfigError(f"{KEY}: {path}: the name {repeated[0]!r} is there twice; expected each once")
    return list(made)
