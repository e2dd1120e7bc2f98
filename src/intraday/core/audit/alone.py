"""Whether a user's function depends on its argument alone: what its code reaches, and whether that changed while it ran.

A clock, a file of later prices or a table made after looking at the same bars give the same values at every call of an audit, so no
comparison of values can see them. What the code refers to can be seen. The other laws judge the values.
"""

from __future__ import annotations

import builtins
import dis
import functools
import hashlib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from intraday.core.audit.result import Difference, Finding, Law, finding

TABLE = 1000  # most values of a constant: a longer one can be the future, price by price
DEPTH = 3  # of objects within objects whose content is compared
NUMBER = 8  # characters of a number in a text
TRUSTED = frozenset(
    "numpy scipy numba pandas polars pyarrow talib bottleneck sklearn math cmath statistics operator itertools functools "
    "collections typing dataclasses warnings abc enum re builtins types intraday".split()
)
"""Packages whose code is not looked into; what is asked of them by name is."""
OUTSIDE = frozenset(
    "time datetime calendar zoneinfo random secrets uuid os posix sys io _io pathlib shutil tempfile glob csv json pickle shelve "
    "sqlite3 psycopg subprocess socket ssl http urllib requests httpx threading multiprocessing asyncio ctypes importlib inspect "
    "gc mmap".split()
)
"""Modules of clocks, chance, files and networks, and of the interpreter itself."""
BUILTINS = frozenset("open input exec eval compile globals vars id hash __import__".split())
NAMES = frozenset("random load loadtxt genfromtxt fromfile memmap open_memmap now today utcnow setflags as_strided".split())
"""What reads, draws, tells the time or goes around a read-only array, wherever it is found."""
SPECIAL = frozenset("__init__ __post_init__ __call__ __getitem__ __getattr__".split())  # others are the interpreter's own mostly
READERS = ("read_", "scan_")
_PLAIN = (type(None), bool, int, float, complex, np.generic, np.dtype, np.ufunc)
_CONTAINERS = (str, bytes, bytearray, np.ndarray, list, tuple, set, frozenset, dict)
_MUTABLE = (bytearray, np.ndarray, list, set, dict)


class Alone:
    """Functions, by the name of what each makes, watched while they run."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._reached = {name: Reached(function) for name, function in functions.items()}
        self._before = {name: each.contents() for name, each in self._reached.items()}
        self._changed: dict[str, set[str]] = {name: set() for name in functions}

    def look(self) -> None:
        """See whether anything they reach has changed since the beginning; ask now and then, since it may change back."""
        for name, each in self._reached.items():
            self._changed[name] |= {what for what, now in each.contents().items() if now != self._before[name][what]}

    def findings(self) -> list[Finding]:
        """One for each function."""
        self.look()
        return [self._finding(name, each) for name, each in self._reached.items()]

    def _finding(self, name: str, reached: Reached) -> Finding:
        reasons = [*reached.reasons, *(f"keeps state between calls in {what}" for what in sorted(self._changed[name]))]
        first = Difference(-1, 0, reasons[0], "its argument alone") if reasons else None
        return finding(name, Law.ALONE, reached.n, len(reasons), first, "; ".join(reasons[1:]))


class Reached:
    """Everything that a function can reach by name, each looked at once.

    ``n``: how many objects; ``reasons``: what must not be among them.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.reasons: list[str] = []
        self._seen: dict[int, Any] = {}  # by id; holding them keeps the ids theirs
        self._held: dict[str, Any] = {}  # what can change between calls, by name
        self._look(function, getattr(function, "__name__", "the function"))

    @property
    def n(self) -> int:
        """Objects looked at."""
        return len(self._seen)

    def contents(self) -> dict[str, str]:
        """A digest of everything reached that can change, by name."""
        return {name: hashlib.sha256(_content(held, 0)).hexdigest() for name, held in self._held.items()}

    def _say(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)

    def _look(self, found: Any, name: str) -> None:
        if isinstance(found, _PLAIN) or id(found) in self._seen:
            return
        self._seen[id(found)] = found
        home = _home(found)
        if home in OUTSIDE or _reads(found):
            self._say(f"uses {name}")
        elif isinstance(found, _CONTAINERS):
            self._data(found, name)
        elif isinstance(found, types.FunctionType):
            self._function(found, name)
        elif _parts(found):
            self._all(_parts(found), name)
        elif home not in TRUSTED or not isinstance(found, types.ModuleType | types.BuiltinFunctionType | type):
            self._open(found, name)

    def _all(self, found: Iterable[Any], name: str) -> None:
        for each in found:
            self._look(each, name)

    def _data(self, found: Any, name: str) -> None:
        n = found.size if isinstance(found, np.ndarray) else len(found)
        if n > (TABLE if not isinstance(found, str | bytes) else TABLE * NUMBER):
            self._say(f"holds {name}, {n:,} values: it can be the future")
        elif isinstance(found, dict):
            self._all((*found.keys(), *found.values()), name)
        elif isinstance(found, list | tuple | set | frozenset):
            self._all(found, name)
        if isinstance(found, _MUTABLE):
            self._held[name] = found

    def _function(self, function: types.FunctionType, name: str) -> None:
        if _home(function) in TRUSTED:
            return
        self._all((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()), f"a default of {name}")
        for key, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # nothing in it yet
                self._look(cell.cell_contents, key)
        self._code(function.__code__, function.__globals__)

    def _code(self, code: types.CodeType, scope: Mapping[str, Any]) -> None:
        for step in dis.get_instructions(code):
            name, line = str(step.argval), step.positions.lineno if step.positions else 0
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and name in scope:
                self._look(scope[name], name)
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and name in BUILTINS and hasattr(builtins, name):
                self._say(f"uses {name}(), line {line}")
            elif step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                self._say(f"keeps state between calls in {name}, line {line}")
            elif step.opname == "IMPORT_NAME" and name.split(".")[0] in OUTSIDE:
                self._say(f"uses {name}, line {line}")
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM") and _reader(name):
                self._say(f"uses .{name}, line {line}")
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, scope)
            else:
                self._look(constant, f"a constant of {code.co_name}")

    def _open(self, found: Any, name: str) -> None:
        """A module or class of the user's, or an instance of any: whatever is in it."""
        inside = getattr(found, "__dict__", None)
        if inside is None:
            if not callable(found) and not isinstance(found, re.Pattern):
                self._say(f"holds {name} ({type(found).__name__}), which cannot be looked into: it can be the future")
            return
        if not isinstance(found, types.ModuleType | type):
            self._look(type(found), type(found).__name__)
            self._held[name] = found
        for key, value in inside.items():
            if not key.startswith("__") or key in SPECIAL:
                self._look(value, f"{name}.{key}")


def _home(found: Any) -> str:
    """The top package of what was found, or of its type; a module is its own."""
    if isinstance(found, types.ModuleType):
        return found.__name__.split(".")[0]
    return str(getattr(found, "__module__", None) or type(found).__module__).split(".")[0]


def _reads(found: Any) -> bool:
    """Whether something of a trusted package reads or draws, by its name or its module's."""
    if _home(found) not in TRUSTED:
        return False
    name = str(getattr(found, "__name__", ""))
    path = name if isinstance(found, types.ModuleType) else str(getattr(found, "__module__", None) or type(found).__module__)
    return "random" in path.split(".") or (callable(found) and _reader(name))


def _reader(name: str) -> bool:
    return name in NAMES or name.startswith(READERS)


def _parts(found: Any) -> tuple[Any, ...]:
    """What a wrapped callable is made of: numba's, functools', methods and properties; nothing of others."""
    if isinstance(found, functools.partial):
        return (found.func, found.args, found.keywords)
    if isinstance(found, types.MethodType):
        return (found.__func__, found.__self__)
    if isinstance(found, property):
        return (found.fget,)
    inner = getattr(found, "py_func", None) or getattr(found, "__wrapped__", None) or getattr(found, "__func__", None)
    return () if inner is None or isinstance(found, types.ModuleType) else (inner,)


def _content(found: Any, depth: int) -> bytes:
    """Bytes that are equal as long as the content is; of what lies deep or cannot change, its kind alone."""
    if isinstance(found, np.ndarray):
        return found.tobytes() if found.dtype != object else _content(found.tolist(), depth)
    if isinstance(found, dict):
        return b"{" + b",".join(_content(x, depth + 1) for item in found.items() for x in item) + b"}"
    if isinstance(found, list | tuple | set | frozenset):
        return b"[" + b",".join(_content(x, depth + 1) for x in found) + b"]"
    if isinstance(found, (*_PLAIN, str, bytes, bytearray)):
        return repr(found).encode()
    inside = getattr(found, "__dict__", None)
    return type(found).__name__.encode() + (_content(dict(inside), depth + 1) if depth < DEPTH and inside else b"")
