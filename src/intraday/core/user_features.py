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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

import numpy as np
from numpy.typing import NDArray

from intraday.core.feature import Feature
from intraday.core.function_features import BarWindow, FunctionFeature, FunctionSet
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
    timeframe: int = 5  # minutes; of the bars its functions were tried on

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


def load_user_features(path: Path, sessions: SessionTable, timeframe: int = 5) -> UserFeatures:
    """Read and run the file. ConfigError: not there, fails (with the line), or holds something else than features.

    The file is run as it was read: what the digest is of is what counts, never a stale compilation of it. Each function is called
    once on a made-up window of bars of ``timeframe`` minutes, so that one that cannot work is told before anything is computed.
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
    _try_functions(path, functions, timeframe)
    return UserFeatures(path, digest, expressions, FunctionSet(functions, digest, sessions), pipeline, timeframe)


def _run(path: Path, source: bytes, digest: str) -> ModuleType:
    module = ModuleType(f"intraday_user_features_{digest}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and typing look a module up by its name
    linecache.checkcache(str(path))
    with _told(path):
        exec(compile(source, str(path), "exec"), module.__dict__)  # nosec B102  the user's own program, named in their own settings
    return module


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever the user's own lines raise, as one ConfigError with the line."""
    try:
        yield
    except SyntaxError as error:
        raise ConfigError(f"{KEY}: {path}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it raises is the user's to mend
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        at = f", line {lines[-1]}" if lines else ""
        told = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        hint = "; a file of features must not end the program" if isinstance(error, SystemExit) else ""
        raise ConfigError(f"{KEY}: {path}{at}: {told}{hint}") from error


def _features(path: Path, module: ModuleType) -> list[Feature | FunctionFeature]:
    made = getattr(module, "FEATURES", None)
    if made is None and callable(getattr(module, "features", None)):
        with _told(path):
            made = module.features()
    if not isinstance(made, list | tuple) or not made:
        raise ConfigError(f"{KEY}: {path}: expected FEATURES = [...] with at least one feature, found {made!r:.60}")
    for f in made:
        if not isinstance(f, Feature | FunctionFeature):
            raise ConfigError(f"{KEY}: {path}: FEATURES: expected Feature or FunctionFeature, found {f!r:.60}")
        if not f.name.isidentifier() or not f.name.islower():
            raise ConfigError(f"{KEY}: {path}: found the name {f.name!r}, expected lower-case letters, digits and underscores")
    names = [f.name for f in made]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise ConfigError(f"{KEY}: {path}: the name {repeated[0]!r} is there twice; expected each once")
    return list(made)


# ----------------------------------------------------------------------------------------------------- a call to try them


INSTRUMENTS = 8  # of the made-up window; the last one stands for the market index


def _try_functions(path: Path, functions: Sequence[FunctionFeature], timeframe: int) -> None:
    for f in functions:
        with _told(path):
            f.evaluate(made_up(f.window, timeframe))


def made_up(rows: int, timeframe: int) -> BarWindow:
    """``rows`` slots of 8 made-up instruments that all trade in every one: numbers of the usual sizes, all different."""
    t, s = np.arange(rows, dtype=np.float64)[:, None], np.arange(INSTRUMENTS, dtype=np.float64)[None]
    close = (100.0 + 40.0 * s) * (1.0 + 0.01 * np.sin(0.7 * t + s) + 0.003 * np.sin(2.9 * t * (s + 1.0)))
    opened = close * (1.0 + 0.002 * np.cos(1.3 * t + s))
    minute, ago = (t * timeframe) % 375.0, (t * timeframe) // 375.0
    same = np.zeros_like(close)
    fields = {
        "open": opened,
        "high": np.maximum(opened, close) * 1.001,
        "low": np.minimum(opened, close) * 0.999,
        "close": close,
        "volume": np.where(s == INSTRUMENTS - 1, np.nan, 1000.0 * (2.0 + s + np.sin(1.7 * t + s))),
        "minute": minute + same,
        "minutes": 375.0 + same,
        "weekday": ago % 5.0 + same,
        "day": ago - ago[-1] + same,
    }
    member = np.broadcast_to(s < INSTRUMENTS - 1, close.shape)
    for array in (*fields.values(), member):
        array.setflags(write=False)
    return BarWindow(timeframe=timeframe, **fields, member=member, index=INSTRUMENTS - 1)
