"""From YAML and environment to settings, with one line for everything that is wrong.

The environment wins over the file: ``INTRADAY__DATABASE__DSN`` is ``database.dsn``. A line names the file (or the variable), the
key, what was found and what was expected. Secrets are taken from the environment only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qs, urlsplit

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from intraday.config.settings import MetricSettings, RateLimits, Settings
from intraday.domain.errors import ConfigError

ENV_PREFIX = "INTRADAY__"
RATE_LIMIT_FILE = "rate_limit_config.yaml"
METRICS_FILE = "metrics.yaml"

M = TypeVar("M", bound=BaseModel)
KeyPath = tuple[str, ...]


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Settings of ``path`` with the overrides in ``environ``. Raises ConfigError, one line for each thing that is wrong."""
    return _build(Settings, path, environ)


def load_rate_limits(config_path: Path) -> RateLimits:
    """``rate_limit_config.yaml`` beside the main file; the defaults where there is none. Raises ConfigError."""
    return _beside(RateLimits, config_path, RATE_LIMIT_FILE)


def load_metrics(config_path: Path) -> MetricSettings:
    """``metrics.yaml`` beside the main file; the defaults where there is none. Raises ConfigError."""
    return _beside(MetricSettings, config_path, METRICS_FILE)


def env_name(path: KeyPath) -> str:
    """``("database", "dsn")`` as ``INTRADAY__DATABASE__DSN``."""
    return ENV_PREFIX + "__".join(part.upper() for part in path)


def leaves(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every key of ``model`` that holds a value and not a section, in order of definition."""
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is None:
            yield (*prefix, name), field
        else:
            yield from leaves(section, (*prefix, name))


def _beside(model: type[M], config_path: Path, name: str) -> M:
    path = config_path.parent / name
    return _build(model, path, {}) if path.exists() else model()


def _build(model: type[M], path: Path, environ: Mapping[str, str]) -> M:
    values = read_yaml(path)
    _refuse_secrets(model, values, path)
    origin = _override(model, values, environ)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(model, error, path, origin))) from None


# ------------------------------------------------------------------------------------------------------------------ YAML


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice: YAML would silently keep the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is there twice", key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in ``path``; an empty file is an empty mapping. Raises ConfigError: missing, unreadable or not a YAML mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: not found; expected a configuration file (run from the project's folder or use --config PATH)"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; expected a YAML text file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); expected a readable YAML file") from None
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 # nosec B506: a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {_yaml_problem(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path}: found {_shown(values)}, expected sections such as 'system:' and 'trading:'")
    return values


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"not valid YAML: {' '.join(str(error).split())}"
    mark = error.problem_mark or error.context_mark
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return f"{where}not valid YAML: {error.problem or error.context}"


# ----------------------------------------------------------------------------------------------------------- environment


def _override(model: type[BaseModel], values: dict[str, Any], environ: Mapping[str, str]) -> dict[KeyPath, str]:
    """Write the environment's values into ``values``; return which variable set which key."""
    origin: dict[KeyPath, str] = {}
    for name in sorted(environ):
        if not name.upper().startswith(ENV_PREFIX):
            continue
        path = tuple(part.lower() for part in name[len(ENV_PREFIX) :].split("__"))
        field = _field(model, path)
        if field is None or _section(field) is not None:
            raise ConfigError(f"environment variable {name}: no such key{_nearest_path(model, path)}")
        _put(values, path, _parsed(field, environ[name]))
        origin[path] = name
    return origin


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _parsed(field: FieldInfo, text: str) -> Any:
    """Text as it is for text and secrets, otherwise what YAML makes of it (numbers, lists, null)."""
    kinds = {field.annotation, *get_args(field.annotation)}
    if text.strip() in ("null", "~") and type(None) in kinds:
        return None
    if kinds & {str, Path, SecretStr}:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


# --------------------------------------------------------------------------------------------------------------- secrets


def _refuse_secrets(model: type[BaseModel], values: dict[str, Any], path: Path) -> None:
    for key, field in leaves(model):
        if SecretStr not in {field.annotation, *get_args(field.annotation)}:
            continue
        found = _get(values, key)
        if found is None or (key == ("database", "dsn") and not _has_password(str(found))):
            continue
        what = "a password" if key == ("database", "dsn") else "a secret"
        raise ConfigError(
            f"{path}: {'.'.join(key)}: found {what} in the file, expected it in the environment variable {env_name(key)}"
        )


def _has_password(dsn: str) -> bool:
    if "://" not in dsn:
        return "password" in dsn.replace(" ", "").lower()
    try:
        parts = urlsplit(dsn)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return "@" in dsn


def _get(values: Any, path: KeyPath) -> Any:
    for part in path:
        if not isinstance(values, dict):
            return None
        values = values.get(part)
    return values


# ---------------------------------------------------------------------------------------------------------------- errors


def _lines(model: type[BaseModel], error: ValidationError, path: Path, origin: Mapping[KeyPath, str]) -> list[str]:
    """One line a key: the branches of a union are one expectation."""
    found: dict[KeyPath, Any] = {}
    expected: dict[KeyPath, list[str]] = {}
    for item in error.errors(include_url=False):
        key = _key(model, item["loc"])
        found.setdefault(key, item)
        expected.setdefault(key, []).append(_expectation(model, key, item))
    lines = []
    for key, item in found.items():
        where = f"environment variable {origin[key]}" if key in origin else str(path)
        dotted = ".".join(key)
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: {dotted}: unknown key{_nearest(model, key)}")
        else:
            wanted = " or ".join(dict.fromkeys(expected[key]))
            lines.append(f"{where}: {dotted}: found {_shown_at(model, key, item['input'])}, expected {wanted}")
    return lines


def _key(model: type[BaseModel], loc: tuple[int | str, ...]) -> KeyPath:
    """``loc`` without the names pydantic adds for the branches of a union."""
    key: KeyPath = ()
    for part in loc:
        key = (*key, str(part))
        field = _field(model, key)
        if field is None or _section(field) is None:
            break
    return key


def _expectation(model: type[BaseModel], key: KeyPath, item: Any) -> str:
    if item["type"] in ("model_type", "model_attributes_type"):
        field = _field(model, key)
        section = None if field is None else _section(field)
        return "a section with " + (", ".join(section.model_fields) if section else "keys")
    text = str(item["msg"])
    for prefix in ("Input should be ", "Value error, "):
        text = text.removeprefix(prefix)
    return text.replace("'", "").replace("a valid tuple", "a list")


def _shown_at(model: type[BaseModel], key: KeyPath, value: Any) -> str:
    field = _field(model, key)
    if field is not None and SecretStr in {field.annotation, *get_args(field.annotation)}:
        return "a value that is not shown"
    return _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel | dict):
        return "a section"
    text = "nothing (null)" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(model: type[BaseModel], key: KeyPath) -> str:
    parent = _field(model, key[:-1])
    section = model if len(key) == 1 else (None if parent is None else _section(parent))
    known = list(section.model_fields) if section else []
    near = difflib.get_close_matches(key[-1], known, n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"


def _nearest_path(model: type[BaseModel], path: KeyPath) -> str:
    known = [env_name(key) for key, _ in leaves(model)]
    near = difflib.get_close_matches(env_name(path), known, n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else ""


def _field(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    field: FieldInfo | None = None
    section: type[BaseModel] | None = model
    for part in path:
        field = None if section is None else section.model_fields.get(part)
        if field is None:
            return None
        section = _section(field)
    return field


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
