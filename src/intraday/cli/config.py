"""``intraday config``: check the configuration, show what is in force."""

from __future__ import annotations

import os

import typer
import yaml

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, session
from intraday.config.loading import ENV_PREFIX, METRICS_FILE, RATE_LIMIT_FILE, load_metrics, load_rate_limits, load_settings


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check and show the configuration.")
    group.command("validate")(validate)
    group.command("show")(show)
    root.add_typer(group, name="config")


def validate(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Say what is wrong with the configuration, one line each.

    The names of features and the file of your own features count too.

    \b
    Examples:
      intraday config validate
      INTRADAY__TRADING__TIMEFRAME=15 intraday config validate --config other.yaml
    """
    from intraday.app_models import feature_set
    from intraday.core.anchor import AnchorRule
    from intraday.domain.session import SessionTable

    with session(config, as_json, verbose) as run:
        feature_set(load_settings(config, os.environ), AnchorRule(), SessionTable.load())
        load_rate_limits(config)
        load_metrics(config)
        beside = [str(config.parent / name) for name in (RATE_LIMIT_FILE, METRICS_FILE) if (config.parent / name).exists()]
        files = [str(config), *beside]
        variables = sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX))
        overrides = f", {len(variables)} overridden by the environment ({', '.join(variables)})" if variables else ""
        run.emit(
            {"valid": True, "files": files, "environment": variables},
            lambda out: out.print(f"[green]valid:[/] {', '.join(files)}{overrides}", soft_wrap=True),
        )


def show(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Print the settings in force; secrets are masked.

    \b
    Examples:
      intraday config show
      intraday config show --json | jq .trading
    """
    with session(config, as_json, verbose) as run:
        values = load_settings(config, os.environ).public()
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()
        run.emit(values, lambda out: out.print(text, markup=False, soft_wrap=True))  # a wrapped line would be no YAML
