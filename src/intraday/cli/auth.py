"""``intraday auth``: log in to the broker for the day, show where the login stands, log out."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from intraday.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, Session, VerboseOption, session
from intraday.config.loading import load_rate_limits
from intraday.domain.clock import SystemClock
from intraday.domain.errors import AuthError, LoginFailed

if TYPE_CHECKING:
    from intraday.auth.token import TokenStatus


def register(root: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Log in to Kite for the day, show the login, log out.")
    group.command("login")(login)
    group.command("status")(status)
    group.command("logout")(logout)
    group.command("key")(key)
    root.add_typer(group, name="auth")


def login(
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address; paste the one it leads to.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Log in to Kite for the day.

    Opens Kite's login page in the browser and waits until it comes back to http://127.0.0.1:5010/kite, which has to be the redirect
    URL of your app at Kite (broker.login.port). API key and secret come from the environment. The day's token is kept
    encrypted under data_dir/auth. Tokens die at 06:00 IST, so log in once a day, after 08:00.

    \b
    Examples:
      export INTRADAY__BROKER__API_KEY=... INTRADAY__BROKER__API_SECRET=...
      intraday auth login
      intraday auth login --no-browser      # on a server: log in elsewhere, paste the address
    """
    from intraday.jobs import auth

    with session(config, as_json, verbose) as run:
        reason = auth.unneeded(run.settings)
        if reason is not None:
            _no_need(run, reason)
            return
        person = auth.Person(None if no_browser else _open_browser, _ask, lambda line: typer.echo(line, err=True))
        done = auth.log_in(run.settings, load_rate_limits(config), SystemClock(), person)
        for warning in done.warnings:
            run.err.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
        user = {"user_id": done.session.user_id, "user_name": done.session.user_name}
        value = {"needed": True, **user, "login_ns": done.session.login_ns, "warnings": list(done.warnings)}
        run.emit(value, lambda out: out.print(f"logged in: {user['user_id']} ({user['user_name']})", markup=False, soft_wrap=True))


def status(
    check: Annotated[bool, typer.Option("--check", help="Ask Kite whether the token works; else the clock tells.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show who is logged in and until when.

    The state is valid, suspect (logged in before 08:00 IST), dying (from 05:20 IST), dead or missing. Exits with 8
    when a login is needed and there is none that works.

    \b
    Examples:
      intraday auth status
      intraday auth status --check
      intraday auth status --json | jq -r .state
    """
    from intraday.jobs import auth

    with session(config, as_json, verbose) as run:
        reason = auth.unneeded(run.settings)
        if reason is not None:
            _no_need(run, reason)
            return
        found = auth.status(run.settings, load_rate_limits(config), SystemClock(), ask_broker=check)
        _show(run, found)
        if not found.usable:
            raise typer.Exit(AuthError.exit_code)


def logout(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """End the day's token at Kite and delete it here.

    A token that has ended already is only deleted. You stay logged in on Kite's own pages.

    \b
    Examples:
      intraday auth logout
      intraday auth logout --json
    """
    from intraday.jobs import auth

    with session(config, as_json, verbose) as run:
        done = auth.log_out(run.settings, load_rate_limits(config), SystemClock())
        run.emit(done, lambda out: out.print(done.note, markup=False, soft_wrap=True))


def key(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Make a key for machines without a key store.

    The token is encrypted with a key from the OS key store. Where there is none (servers, containers), set the
    variable INTRADAY_TOKEN_KEY to a key made here, the same one every day, and keep it where other secrets are kept.

    \b
    Examples:
      intraday auth key > ~/.intraday-key && chmod 600 ~/.intraday-key
      export INTRADAY_TOKEN_KEY=$(cat ~/.intraday-key)
      intraday auth key --json
    """
    from intraday.jobs import auth

    with session(config, as_json, verbose) as run:
        _ = run.settings  # a wrong configuration stops this command too
        made = auth.make_key()
        run.emit({"key": made.reveal()}, lambda out: out.print(made.reveal(), markup=False, soft_wrap=True))
        run.say(f"This is a secret: whoever has it and {run.settings.system.data_dir / 'auth'} can read the day's token.")


def _no_need(run: Session, reason: str) -> None:
    value = {"needed": False, "feed": run.settings.broker.feed, "reason": reason}
    run.emit(value, lambda out: out.print(reason, markup=False, soft_wrap=True))


def _show(run: Session, found: TokenStatus) -> None:
    value = {"needed": True, "feed": run.settings.broker.feed, **{name: getattr(found, name) for name in found.__slots__}}
    who = f" ({found.user_id}, {found.user_name})" if found.user_id else ""
    run.emit(value, lambda out: out.print(f"{found.state.value}{who}: {found.advice}", markup=False, soft_wrap=True))


def _open_browser(url: str) -> bool:
    """Open ``url`` in a graphical browser; False without one: a login page in a terminal's browser would not work."""
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def _ask(text: str) -> str:
    """A line from the person, not shown while it is typed; from a pipe when there is no terminal. Raises LoginFailed at its end."""
    if sys.stdin.isatty():
        try:
            return str(typer.prompt(text.rstrip(": "), hide_input=True, err=True))
        except typer.Abort:  # Ctrl-C, as everywhere else
            raise KeyboardInterrupt from None
    line = sys.stdin.readline()
    if not line:
        raise LoginFailed("nothing was pasted: expected the address that the browser ended at on standard input")
    return line
