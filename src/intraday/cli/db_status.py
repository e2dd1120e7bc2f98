"""``intraday db status``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session

if TYPE_CHECKING:
    from intraday.jobs.db_status import DatabaseStatus


def register(group: typer.Typer) -> None:
    """Add the command to ``intraday db``."""
    group.command("status")(status)


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Show server, schema and features: on, or why not.

    A server whose answers would be wrong is refused with what to do about it.

    \b
    Examples:
      intraday db status
      intraday db status --json | jq '.features[] | select(.on | not)'
    """
    from intraday.jobs.db_status import database_status

    with session(config, as_json, verbose) as run:
        found = database_status(run.settings)
        own = run.settings.system.data_dir / "pg" if run.settings.database.dsn is None else None
        state = {"revision": found.revision, "expected": found.expected, "current": found.current, "embedded": own is not None}
        run.emit({**asdict(found.server), **state}, lambda out: _show(out, found, own))


def _show(out: Console, found: DatabaseStatus, own: Path | None) -> None:
    server = found.server
    revision = found.revision or "none: run `intraday db init`"
    if found.revision and not found.current:
        revision += f", this program's is {found.expected}: run `intraday db migrate`"
    lines = [
        f"PostgreSQL {server.server} ({f'our own server under {own}' if own else f'the configured server, {server.where}'})",
        f"TimescaleDB {server.timescaledb or 'not installed'}",
        f"schema revision {revision}",
        f"size {server.size / 2**20:,.1f} MiB, {server.connections} of {server.connections_max} connections, as {server.role}",
    ]
    width = max(len(feature.name) for feature in server.features)
    lines += [f"  {f.name:{width}}  {'on ' if f.on else 'off'}  {f.detail}".rstrip() for f in server.features]
    out.print("\n".join(lines), markup=False, soft_wrap=True)
