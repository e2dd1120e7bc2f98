"""``intraday replay``, ``live``, ``verify`` and ``signals``: the decision path and what it left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, VerboseOption, parse_day, session
from intraday.cli.views import as_document, show_replay, show_signals, show_verification
from intraday.domain.clock import SystemClock
from intraday.domain.errors import ConfigError, VerifyError
from intraday.domain.ports import Source

FromOption = Annotated[str | None, typer.Option("--from", help="First day.", metavar="YYYY-MM-DD")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, included.", metavar="YYYY-MM-DD")]
DayOption = Annotated[str | None, typer.Option("--day", help="One day; without it, all days.", metavar="YYYY-MM-DD")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Id of the model; without it, the champion, or the newest while there is none.", metavar="ID"),
]
TicksOption = Annotated[
    list[Path],
    typer.Option("--ticks", help="Tick file or folder of tick files; may be repeated.", metavar="PATH", show_default=False),
]
SpeedOption = Annotated[
    float | None,
    typer.Option("--speed", min=0.001, help="Times the pace of the recording; without it, as fast as it can.", metavar="X"),
]
SourceOption = Annotated[Source | None, typer.Option("--source", help="Who made it; without it, every source.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Most rows of the table.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    for command in (replay, live, verify, signals):
        root.command(command.__name__)(command)


def replay(
    ticks: TicksOption,
    first: FromOption = None,
    last: ToOption = None,
    speed: SpeedOption = None,
    model: ModelOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Feed recorded ticks through the live path.

    Exactly the path that live uses; candles, features and signals are stored as source `replay`.

    \b
    Examples:
      intraday replay --ticks ../shared/data/ticks/nse_2021 --from 2021-06-08 --to 2021-06-09
      intraday replay --ticks ticks.parquet --speed 60 --json
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.replay import run_replay

        days = parse_day(first), parse_day(last)
        if days[0] is not None and days[1] is not None and days[0] > days[1]:
            raise ConfigError(f"--from: found {days[0]}, expected a day up to --to {days[1]}")
        with run.progress() as progress:
            result = run_replay(
                settings, ticks, days[0], days[1], SystemClock(), progress, speed=speed, model_id=model, write=run.say
            )
        run.emit(as_document(result), lambda out: show_replay(out, result))


def live(
    model: ModelOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """LIVE_MODE: signals from the configured feed.

    The feed is broker.feed; it runs until the session ends or Ctrl-C. Over the wire (simulator, kite) instruments are synced and
    missing candles fetched first. With the bundled exchange or the synthetic feed and no model, one is trained first.

    \b
    Examples:
      intraday live
      INTRADAY__BROKER__FEED=kite intraday live       (after intraday auth login)
      INTRADAY__BROKER__SIMULATOR__SPEED=1 intraday live
      INTRADAY__BROKER__FEED=recorded INTRADAY__BROKER__RECORDED=ticks intraday live
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.live import run_live

        with run.progress() as progress:
            result = run_live(settings, SystemClock(), progress, limits=run.limits, model_id=model, write=run.say)
        run.emit(as_document(result), lambda out: show_replay(out, result))


def verify(
    day: DayOption = None,
    source: SourceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Prove that live equals history.

    As known: the journal through the engine again, in other chunks, with other instruments, and in plain Python: zero differences
    from the stored rows. As corrected: the day from the best bars, every difference attributed. Exits with 1 on any difference that
    is not explained.

    \b
    Examples:
      intraday verify --day 2021-06-09
      intraday verify --json | jq '.checks[] | select(.passed | not)'
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.verify import run_verify

        with run.progress() as progress:
            result = run_verify(settings, parse_day(day), source, SystemClock(), progress)
        run.emit(result, lambda out: show_verification(out, result))
        failed = [check for check in result.checks if not check.passed]
        if failed:
            days = ", ".join(sorted({str(check.day) for check in failed}))
            raise VerifyError(f"{len(failed)} of {len(result.checks)} checks found unexplained differences ({days})")


def signals(
    day: DayOption = None,
    first: FromOption = None,
    last: ToOption = None,
    source: SourceOption = None,
    model: ModelOption = None,
    limit: LimitOption = 40,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show stored signals.

    --json prints all of them, HOLD included.

    \b
    Examples:
      intraday signals --day 2021-06-09
      intraday signals --from 2021-06-01 --source replay --json | jq 'map(select(.action == "BUY")) | length'
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.replay import list_signals

        if day is not None and (first is not None or last is not None):
            raise ConfigError("--day: found together with --from or --to, expected one or the other")
        rows = list_signals(settings, parse_day(day or first), parse_day(day or last), source, SystemClock(), model_id=model)
        run.emit(rows, lambda out: show_signals(out, rows, limit))
