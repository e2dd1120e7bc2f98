"""A transcript of everything the stores answer: the same scenario on two servers must give the same lines.

Results are written exactly: arrays by their bytes and row by row, floats by ``repr``, errors by their words. At the end every table
and view of the schema is written out, its columns with their types first.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa

from intraday.database.live_writer import LiveWriter
from intraday.database.pool import Connection, Database
from intraday.database.stores import Stores
from intraday.domain.errors import IntradayError

_ROWS_SHOWN = 400  # of an array: the digest answers for the rest


class Recorder:
    """Stores, every call of whose public methods is written down: ``recorder.bars.read(...)``."""

    def __init__(self, stores: Stores) -> None:
        self.lines: list[str] = []
        self.called: set[str] = set()
        self._stores = stores

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._stores, name)
        return self.recorded(name, member) if inspect.ismethod(member) else _Recorded(self, name, member)

    def recorded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, its answers written down."""

        def call(*args: Any, **options: Any) -> Any:
            self.called.add(name)
            try:
                result = method(*args, **options)
                result = list(result) if isinstance(result, Iterator) else result
            except IntradayError as error:
                self.note(name, f"{type(error).__name__}: {error}")
                return None
            if inspect.isawaitable(result):
                return self._later(name, result)
            if isinstance(result, LiveWriter):
                return _Recorded(self, name, result)
            self.note(name, result)
            return result

        return call

    async def _later(self, name: str, result: Any) -> Any:
        answer = await result
        self.note(name, answer)
        return answer

    def note(self, name: str, result: Any) -> None:
        """Write down what something answered."""
        first, *more = canonical(result)
        self.lines += [f"{name} -> {first}", *(f"  {line}" for line in more)]


class _Recorded:
    """One repository of a recorder."""

    def __init__(self, recorder: Recorder, name: str, target: Any) -> None:
        self._recorder, self._name, self._target = recorder, name, target

    def __getattr__(self, name: str) -> Any:
        return self._recorder.recorded(f"{self._name}.{name}", getattr(self._target, name))


def public_methods(stores: Stores) -> set[str]:
    """What a scenario has to call: ``bars.read``, and the live writer's as ``writer.write``."""
    parts = {name: type(part) for name, part in vars(stores).items() if not name.startswith("_")} | {"writer": LiveWriter}
    return {f"{name}.{method}" for name, kind in parts.items() for method in _methods(kind)} | set(_methods(Stores))


def _methods(kind: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]


def canonical(value: Any) -> list[str]:
    """Lines that are equal exactly when the values are, NaN and -0.0 included; a set or mapping in an order of its own."""
    if isinstance(value, np.ndarray):
        whole = np.ascontiguousarray(value)
        head = f"{whole.dtype.descr} {whole.shape} sha256 {hashlib.sha256(whole.tobytes()).hexdigest()}"
        return [head, *(repr(row.tolist()) for row in whole[:_ROWS_SHOWN])]
    if isinstance(value, pa.Table):
        return _listed("table", [line for name in value.column_names for line in _named(name, value.column(name).to_numpy())])
    if is_dataclass(value) and not isinstance(value, type):
        return _listed(type(value).__name__, [line for f in fields(value) for line in _named(f.name, getattr(value, f.name))])
    if isinstance(value, Mapping):
        return _listed("mapping", [line for key in sorted(value, key=repr) for line in _named(repr(key), value[key])])
    if isinstance(value, AbstractSet):
        return _listed("set", sorted(line for item in value for line in canonical(item)))
    if isinstance(value, list | tuple):
        return _listed(type(value).__name__, [line for item in value for line in canonical(item)])
    return [_plain(value)]


def _plain(value: Any) -> str:
    known = isinstance(value, None | bool | int | float | str | bytes | date | datetime | Enum | np.generic)
    return repr(value) if known else _parts(value)


def _parts(value: Any) -> str:
    """An object of ours that is no dataclass, by what it holds; never by its address."""
    return f"{type(value).__name__}{sorted((name, canonical(part)) for name, part in vars(value).items())}"


def _named(name: str, value: Any) -> list[str]:
    first, *more = canonical(value)
    return [f"{name}: {first}", *more]


def _listed(name: str, lines: list[str]) -> list[str]:
    """On one line where it fits."""
    if sum(map(len, lines)) < 240:
        return [f"{name}({', '.join(lines)})"]
    return [f"{name} of {len(lines)} lines", *(f"  {line}" for line in lines)]


def contents(database: Database) -> list[str]:
    """Every table and view: name, columns with types and comments, all rows in a stable order; columns filled by now() left out."""
    with database.autocommit() as connection:
        found: dict[str, list[tuple[str, str, str | None]]] = {}
        for relation, column, kind, comment in connection.execute(_COLUMNS).fetchall():
            found.setdefault(relation, []).append((column, kind, comment))
        return [line for relation, columns in found.items() for line in _content(connection, relation, columns)]


def _content(connection: Connection, relation: str, columns: list[tuple[str, str, str | None]]) -> list[str]:
    names = ", ".join('"' + name.replace('"', '""') + '"' for name, _, _ in columns)
    rows = connection.execute(f'SELECT ROW({names})::text FROM "{relation}"').fetchall()
    return [
        f"relation {relation}, {len(rows)} rows",
        *(f"  column {name} {kind}: {comment}" for name, kind, comment in columns),
        *sorted(f"  {row[0]}" for row in rows),
    ]


# Not the partitions, and nothing that an extension brought. Whether a relation is a table or a view is the server's business.
_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
  AND coalesce(pg_get_expr(d.adbin, d.adrelid), '') NOT LIKE '%now()%' AND a.attname <> 'created_at'  -- a view's has no default
ORDER BY c.relname COLLATE "C", a.attnum"""
