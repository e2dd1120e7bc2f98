"""``intraday sim``: the bundled exchange, for this program, the official client, or anything else that speaks Kite Connect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.status import Status

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, parse_day, session, to_json
from intraday.domain.clock import SystemClock

if TYPE_CHECKING:
    from intraday.jobs.sim import SimReady, SimStatus

IST = timezone(timedelta(hours=5, minutes=30))
TIME_OF_DAY = ("%H:%M", "%H:%M:%S")
FASTEST = 10_000.0


class Market(StrEnum):
    """Where its prices come from."""

    SYNTHETIC = "synthetic"
    DATABASE = "database"


def _speed(text: str) -> float:
    if text == "max":
        return FASTEST
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= FASTEST:
        raise typer.BadParameter(f"found {text!r}, expected 1 to {FASTEST:.0f} or max")
    return value


MarketOption = Annotated[Market | None, typer.Option("--source", help="A seeded market, or the candles of the database.")]
DayOption = Annotated[str | None, typer.Option("--day", help="Its today.", metavar="YYYY-MM-DD")]
AtOption = Annotated[
    datetime | None, typer.Option("--at", formats=list(TIME_OF_DAY), help="Time of day it starts at, IST.", metavar="HH:MM[:SS]")
]
PaceOption = Annotated[
    float | None,
    typer.Option("--speed", parser=_speed, help="Times real time, 1 to 10000; max is 10000.", metavar="X|max"),
]
PortOption = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 is any free one.  [default: 8150]")
]
ScenarioOption = Annotated[Path | None, typer.Option("--scenario", help="File of faults and their times.", metavar="FILE")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="One number for prices and faults.")]
NumberOption = Annotated[int | None, typer.Option("--instruments", min=2, max=9000, help="How many, the index included.")]
PreloadOption = Annotated[
    bool, typer.Option("--ready", help="Load every instrument first; without it, each when it is first asked for.")
]
ParentOption = Annotated[bool, typer.Option("--with-parent", help="Stop when standard input ends.")]


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("sim")(sim)


def sim(
    source: MarketOption = None,
    day: DayOption = None,
    at: AtOption = None,
    speed: PaceOption = None,
    port: PortOption = None,
    scenario: ScenarioOption = None,
    seed: SeedOption = None,
    instruments: NumberOption = None,
    preload: PreloadOption = False,
    with_parent: ParentOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """A Kite-compatible exchange on this machine.

    Login page, REST API and WebSocket on one port of 127.0.0.1, with a clock of its own. What no option says comes from
    broker.simulator and trading.synthetic. With --json one line tells where it answers, as soon as it does. Ctrl-C stops it.

    \b
    Examples:
      intraday sim
      intraday sim --day 2026-08-05 --at 15:10 --speed 1
      intraday sim --scenario config/scenarios/bad-day.txt --seed 3
      intraday sim --source database --day 2021-06-09
      intraday sim --port 0 --json --with-parent
    """
    with session(config, as_json, verbose) as run:
        settings = run.settings
        from intraday.jobs.sim import SimOptions, run_sim

        options = SimOptions(
            source=None if source is None else source.value,
            day=parse_day(day),
            start=None if at is None else f"{at:%H:%M:%S}",
            speed=speed,
            port=port,
            scenario=scenario,
            seed=seed,
            instruments=instruments,
            preload=preload,
            with_parent=with_parent,
        )
        drawn = _Drawn(run)
        with ExitStack() as stack:  # the bar of the loading is gone before the line of the status is drawn

            def ready(found: SimReady) -> None:
                stack.close()
                _tell(run, found)
                stack.enter_context(drawn.line())

            last = run_sim(settings, options, SystemClock(), stack.enter_context(run.progress()), ready, drawn.update, run.say)
        run.say(_line(last) + " · closed")


def _tell(run: Session, ready: SimReady) -> None:
    """Where it is and how to go there."""
    if run.as_json:
        run.out.print(json.dumps(json.loads(to_json(ready))), markup=False, soft_wrap=True)
        run.out.file.flush()
        return
    rest, ws = ready.rest_url, ready.ws_url
    run.out.print(
        f"The exchange is open: {_ist(ready.now_ns)}, {ready.instruments} instruments, {ready.speed:g} times real time.\n\n"
        f"  REST        {rest}\n  WebSocket   {ws}\n  login page  {ready.login_url}\n"
        f"  app         API key {ready.api_key}, secret {ready.api_secret}, user {ready.user_id} (any password and TOTP)\n\n"
        f"The official client:\n"
        f'  kite = KiteConnect("{ready.api_key}", root="{rest}")\n'
        f'  kite._default_login_uri = "{ready.login_url}"\n'
        f'  ticker = KiteTicker("{ready.api_key}", access_token, root="{ws}")\n\n'
        f"This program, in another terminal:\n"
        f"  export INTRADAY__BROKER__FEED=kite INTRADAY__BROKER__KITE__CLOCK=simulator\n"
        f"  export INTRADAY__BROKER__KITE__REST_URL={rest} INTRADAY__BROKER__KITE__WS_URL={ws}\n"
        f"  export INTRADAY__BROKER__KITE__LOGIN_URL={ready.login_url}\n"
        f"  export INTRADAY__BROKER__API_KEY={ready.api_key} INTRADAY__BROKER__API_SECRET={ready.api_secret}\n"
        f"  intraday auth login\n\n"
        f"Ctrl-C closes it.",
        markup=False,
        soft_wrap=True,
    )


class _Drawn:
    """One line that is drawn again and again on a terminal; nothing elsewhere."""

    def __init__(self, run: Session) -> None:
        self._console = None if run.as_json or not run.err.is_terminal else run.err
        self._status: Status | None = None

    @contextmanager
    def line(self) -> Iterator[None]:
        """The line is there while the block runs."""
        if self._console is None:
            yield
            return
        with self._console.status("") as self._status:
            yield

    def update(self, status: SimStatus) -> None:
        """What it says now."""
        if self._status is not None:
            self._status.update(_line(status))


def _line(status: SimStatus) -> str:
    parts: list[Any] = [
        _ist(status.now_ns),
        f"{status.links} link{'' if status.links == 1 else 's'}",
        f"{status.tokens} instruments",
        f"{status.packets} packets",
        f"{status.packets_s:.0f} packets/s",
        f"{status.requests} requests",
        f"{status.refused} times 429",
    ]
    return " · ".join(parts)


def _ist(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, IST):%Y-%m-%d %H:%M:%S} IST"
