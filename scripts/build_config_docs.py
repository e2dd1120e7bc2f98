"""Writes docs/configuration.md from the settings models; a test keeps the page current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from intraday.config.loading import env_name
from intraday.config.settings import MetricSettings, RateLimits, Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

INTRODUCTION = """# Configuration
<!-- Written by scripts/build_config_docs.py from the settings models. Do not edit. -->

Three files in `config/` hold every key with its default; `--config PATH` (or `INTRADAY_CONFIG`) names another main file, and the
other two are looked for beside it. A key left out has its default. Relative paths are relative to the working folder.

**The environment wins.** Every key of `config.yaml` has a variable: `INTRADAY__` and the key's path in capitals, joined by two
underscores. Lists are written as in YAML (`[INFY, RELIANCE]`), and `null` clears a value.

```
INTRADAY__DATABASE__DSN=postgresql://me:secret@db:5432/intraday intraday historical
```

**Secrets** (`broker.api_key`, `broker.api_secret`, a DSN with a password) come from the environment only. One found in a file is an
error.

**Errors** are one line each, with the file or variable, the key, what was found and what was expected; the exit code is 2. An
unknown key is an error that names the nearest known one.

```
error: config/config.yaml: trading.timeframe: found 7, expected 1, 5, 15 or 60
error: config/config.yaml: trading.timefram: unknown key, did you mean 'timeframe'?
```

`intraday config validate` checks all files, `intraday config show` prints what is in force.
"""

OTHERS = """
## Other variables
| variable | meaning |
|---|---|
| `INTRADAY_CONFIG` | the configuration file, as `--config` |
| `INTRADAY_CACHE_DIR` | folder of compiled kernels; by default in the user's cache folder |
| `INTRADAY_SHARED` | tests: folder of real market data; by default `shared` beside the project |
| `INTRADAY_TEST_TIMESCALE_DSN` | tests: servers with TimescaleDB (DSNs separated by blanks), a pass of the database tests each |
| `INTRADAY_TEST_TIMESCALE` | tests: `off` no pass on TimescaleDB, `only` no other; by default one on what the machine has |
"""


def page() -> str:
    """The whole page."""
    files = {"config.yaml": Settings, "rate_limit_config.yaml": RateLimits, "metrics.yaml": MetricSettings}
    parts = [INTRODUCTION]
    for name, model in files.items():
        parts.append(f"\n# {name}\n")
        parts += sections(model(), with_env=model is Settings)
    return "".join([*parts, OTHERS])


def sections(values: BaseModel, with_env: bool, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """One table a section, parents first."""
    flat = [(name, field) for name, field in type(values).model_fields.items() if not is_section(field)]
    if flat:
        title = f"\n## {'.'.join(prefix)}\n" if prefix else "\n"
        head = "| key | default | allowed | meaning |\n|---|---|---|---|\n"
        yield title + head + "".join(row((*prefix, name), field, getattr(values, name), with_env) for name, field in flat)
    for name, field in type(values).model_fields.items():
        if is_section(field):
            yield from sections(getattr(values, name), with_env, (*prefix, name))


def row(path: tuple[str, ...], field: FieldInfo, default: Any, with_env: bool) -> str:
    variable = f"<br><small>`{env_name(path)}`</small>" if with_env else ""
    return f"| `{path[-1]}`{variable} | `{shown(default)}` | {allowed(field)} | {field.description} |\n"


def shown(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def allowed(field: FieldInfo) -> str:
    """The type and its bounds in words."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [f"{signs[name]} {getattr(m, name):g}" for m in field.metadata for name in signs if getattr(m, name, None) is not None]
    return ", ".join([kind(field.annotation), *bounds])


def kind(annotation: Any) -> str:
    if annotation is type(None):
        return "null"
    if annotation is SecretStr:
        return "text, secret"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return "`index:NAME`, `csv:PATH`"
    if get_origin(annotation) is tuple:
        return "list of text"
    if get_args(annotation):
        return " or ".join(kind(part) for part in get_args(annotation))
    if hasattr(annotation, "__members__"):
        return ", ".join(f"`{member.value}`" for member in annotation)
    names = {
        "int": "integer",
        "float": "number",
        "bool": "true or false",
        "str": "text",
        "Path": "path",
        "date": "day (YYYY-MM-DD)",
    }
    return names[annotation.__name__]


def is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
