"""``intraday auth`` as a person uses it, with the bundled exchange in Kite's place: real sockets, real client, real files."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import keyring
import pytest
from click.testing import Result
from keyring.backends.fail import Keyring
from typer.testing import CliRunner

from auth_cases import get
from intraday.app_broker import Endpoint
from intraday.auth.key import new_key
from intraday.cli import auth as commands
from intraday.cli.root import root as command_line
from intraday.config.settings import BrokerSettings, RateLimits, Settings, SimulatorSettings, SystemSettings
from intraday.domain.clock import SystemClock
from intraday.jobs.exchange import open_exchange
from intraday.sim.accounts import API_KEY as SIM_KEY
from intraday.sim.accounts import API_SECRET as SIM_SECRET

pytestmark = pytest.mark.integration


@contextmanager
def opened(folder: Path, scenario: Path | None = None) -> Iterator[Endpoint]:
    """The bundled exchange at 09:00 of its day, in its own thread."""
    broker = BrokerSettings(feed="simulator", simulator=SimulatorSettings(scenario=scenario))
    with open_exchange(
        Settings(system=SystemSettings(data_dir=folder), broker=broker), RateLimits(), SystemClock(), 1.0
    ) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with opened(tmp_path_factory.mktemp("exchange")) as endpoint:
        yield endpoint


@dataclass
class Shell:
    """A person's shell: environment, the commands typed, all they printed."""

    exchange: Endpoint
    environ: dict[str, str]
    printed: list[str] = field(default_factory=list)

    def run(self, *words: str, stdin: str = "", **more: str) -> Result:
        result = CliRunner().invoke(command_line, ["auth", *words], input=stdin, env={**self.environ, **more})
        self.printed += [result.stdout, result.stderr]
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def request_token(self) -> str:
        """Log in at the exchange by hand, without a state."""
        answer = get(f"{self.exchange.rest_url}/connect/login?v=3&api_key={SIM_KEY}&auto=1")
        return parse_qs(urlsplit(answer.headers["location"]).query)["request_token"][0]


@pytest.fixture
def shell(exchange: Endpoint, root: Path, tmp_path: Path) -> Shell:
    return Shell(
        exchange,
        {
            "INTRADAY_CONFIG": str(root / "config" / "config.yaml"),
            "INTRADAY__SYSTEM__DATA_DIR": str(tmp_path / "var"),
            "INTRADAY__SYSTEM__LOG_LEVEL": "DEBUG",
            "INTRADAY__BROKER__FEED": "kite",
            "INTRADAY__BROKER__KITE__REST_URL": exchange.rest_url,
            "INTRADAY__BROKER__KITE__LOGIN_URL": f"{exchange.rest_url}/connect/login",
            "INTRADAY__BROKER__KITE__CLOCK": "simulator",
            "INTRADAY__BROKER__API_KEY": SIM_KEY,
            "INTRADAY__BROKER__API_SECRET": SIM_SECRET,
            "INTRADAY_TOKEN_KEY": new_key().reveal(),
        },
    )


def logged_in(shell: Shell) -> str:
    """Log in by pasting; the request token that was used."""
    token = shell.request_token()
    result = shell.run("login", "--no-browser", stdin=token + "\n")
    assert (result.exit_code, result.stdout) == (0, "logged in: SIM001 (Simulated Trader)\n"), result.stderr
    return token


def test_login_status_logout(shell: Shell, tmp_path: Path) -> None:
    missing = shell.run("status")
    assert (missing.exit_code, missing.stdout) == (8, "missing: nobody is logged in: run `intraday auth login`\n")
    token = logged_in(shell)
    valid = shell.run("status", "--check")
    assert valid.exit_code == 0
    assert valid.stdout.startswith("valid (SIM001, Simulated Trader): works until ")
    assert shell.run("logout").stdout == "SIM001 is logged out\n"
    assert shell.run("status").exit_code == 8
    assert shell.run("logout").stdout == "nobody was logged in\n"
    log = (tmp_path / "var" / "logs" / "intraday.log").read_text()
    for text in ("".join(shell.printed), log):
        for secret in (token, SIM_SECRET, shell.environ["INTRADAY_TOKEN_KEY"]):
            assert secret not in text


def test_json_of_every_command(shell: Shell) -> None:
    done = json.loads(shell.run("login", "--no-browser", "--json", stdin=shell.request_token()).stdout)
    assert (done["needed"], done["user_id"], done["warnings"]) == (True, "SIM001", [])
    found = json.loads(shell.run("status", "--json").stdout)
    assert (found["state"], found["user_name"], found["feed"]) == ("valid", "Simulated Trader", "kite")
    assert found["expires_ns"] > found["login_ns"] == done["login_ns"]
    out = json.loads(shell.run("logout", "--json").stdout)
    assert (out["killed"], out["forgotten"]) == (True, True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_login_in_a_browser(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    pages: list[str] = []

    def visit(url: str) -> None:
        login_page = get(url).headers["location"]
        registered = quote(f"http://127.0.0.1:{port}/kite", safe="")
        back = get(f"{login_page}&auto=1&redirect_url={registered}").headers["location"]
        pages.append(get(back).text)

    def open_browser(url: str) -> bool:
        thread.append(threading.Thread(target=visit, args=(url,)))
        thread[0].start()
        return True

    thread: list[threading.Thread] = []
    monkeypatch.setattr(commands, "_open_browser", open_browser)
    result = shell.run("login", INTRADAY__BROKER__LOGIN__PORT=str(port))
    thread[0].join(20)
    assert (result.exit_code, result.stdout) == (0, "logged in: SIM001 (Simulated Trader)\n"), result.stderr
    assert "<h1>Logged in</h1><p>SIM001 is logged in for today.</p>" in pages[0]


def test_a_wrong_secret(shell: Shell) -> None:
    result = shell.run("login", "--no-browser", stdin=shell.request_token(), INTRADAY__BROKER__API_SECRET="planted0wrong0secret")
    assert result.exit_code == 8
    assert "API key and secret do not belong together" in result.stderr
    assert "They come from INTRADAY__BROKER__API_KEY and INTRADAY__BROKER__API_SECRET" in result.stderr
    traced = shell.run(
        "login", "--no-browser", "--verbose", stdin=shell.request_token(), INTRADAY__BROKER__API_SECRET="planted0wrong0secret"
    )
    assert "Traceback" in traced.stderr
    assert "planted" not in "".join(shell.printed)


def test_a_key_without_market_data(shell: Shell, tmp_path: Path) -> None:
    scenario = tmp_path / "no-market-data.txt"
    scenario.write_text("from start entitlement off\n")
    with opened(tmp_path / "exchange", scenario) as other:
        shell.exchange = other
        shell.environ["INTRADAY__BROKER__KITE__REST_URL"] = other.rest_url
        result = shell.run("login", "--no-browser", stdin=shell.request_token())
    assert (result.exit_code, result.stdout) == (0, "logged in: SIM001 (Simulated Trader)\n")
    assert "warning: logged in, but without market data: " in result.stderr
    assert "this API key has no market data" in result.stderr


def test_a_used_request_token(shell: Shell) -> None:
    token = logged_in(shell)
    result = shell.run("login", "--no-browser", "--verbose", stdin=token)
    assert result.exit_code == 8
    assert "a request token works once" in result.stderr
    assert token not in "".join(shell.printed)


@pytest.mark.slow  # logins in quick succession: the exchange allows one quote a second
def test_a_token_that_was_ended_elsewhere(shell: Shell) -> None:
    logged_in(shell)
    other = {"INTRADAY__SYSTEM__DATA_DIR": shell.environ["INTRADAY__SYSTEM__DATA_DIR"] + "2"}
    assert shell.run("login", "--no-browser", stdin=shell.request_token(), **other).exit_code == 0
    assert shell.run("status").exit_code == 0
    dead = shell.run("status", "--check", "--json")
    assert (dead.exit_code, json.loads(dead.stdout)["state"]) == (8, "dead")
    gone = shell.run("logout")
    assert "had ended already" in gone.stdout


def test_nothing_pasted(shell: Shell) -> None:
    result = shell.run("login", "--no-browser")
    assert result.exit_code == 8
    assert "nothing was pasted" in result.stderr
    assert f"{shell.exchange.rest_url}/connect/login?v=3&api_key={SIM_KEY}&redirect_params=state%3D" in result.stderr


@pytest.mark.parametrize("feed", ["simulator", "synthetic", "recorded"])
@pytest.mark.parametrize("words", [["login"], ["status"]])
def test_feeds_that_need_no_login_say_so(shell: Shell, feed: str, words: list[str]) -> None:
    result = shell.run(*words, INTRADAY__BROKER__FEED=feed)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"broker.feed is {feed}: no login is needed.")
    assert json.loads(shell.run(*words, "--json", INTRADAY__BROKER__FEED=feed).stdout)["needed"] is False


@pytest.mark.parametrize("words", [["login"], ["status"], ["logout"]])
def test_without_an_api_key(shell: Shell, words: list[str]) -> None:
    del shell.environ["INTRADAY__BROKER__API_KEY"]
    result = shell.run(*words)
    assert result.exit_code == 2
    assert "INTRADAY__BROKER__API_KEY" in result.stderr


def test_without_an_api_secret(shell: Shell) -> None:
    del shell.environ["INTRADAY__BROKER__API_SECRET"]
    result = shell.run("login", "--no-browser")
    assert result.exit_code == 2
    assert "INTRADAY__BROKER__API_SECRET" in result.stderr


def test_a_machine_without_a_key_store(shell: Shell) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        result = shell.run("login", "--no-browser", stdin="", INTRADAY_TOKEN_KEY="")
    finally:
        keyring.set_keyring(before)
    assert result.exit_code == 2
    assert (
        "set the environment variable INTRADAY_TOKEN_KEY to a key of your own. Make one with `intraday auth key`" in result.stderr
    )


def test_a_bad_token_key_is_not_shown(shell: Shell) -> None:
    result = shell.run("login", "--no-browser", "--verbose", INTRADAY_TOKEN_KEY="planted0bad0key")
    assert result.exit_code == 2
    assert "INTRADAY_TOKEN_KEY: expected a key of 44 characters" in result.stderr
    assert "planted" not in result.stderr


def test_keys_are_made_on_standard_output_only(shell: Shell) -> None:
    made, other = shell.run("key"), shell.run("key", "--json")
    assert made.stdout.strip() not in made.stderr
    assert len(made.stdout.strip()) == 44
    assert len(json.loads(other.stdout)["key"]) == 44
    assert made.stdout.strip() != json.loads(other.stdout)["key"]
    shell.environ["INTRADAY_TOKEN_KEY"] = made.stdout.strip()
    logged_in(shell)
    assert shell.run("status", INTRADAY_TOKEN_KEY=json.loads(other.stdout)["key"]).stdout.startswith("missing: ")


def test_a_simulator_that_is_not_there(shell: Shell) -> None:
    result = shell.run("status", INTRADAY__BROKER__KITE__REST_URL=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 7
    assert "start `intraday sim`" in result.stderr


def test_browsers_are_opened_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert commands._open_browser("http://127.0.0.1:1/start/x") is False
    monkeypatch.setenv("DISPLAY", ":0")
    assert commands._open_browser("http://127.0.0.1:1/start/x") is True
    assert opened == ["http://127.0.0.1:1/start/x"]

    def broken(url: str) -> bool:
        raise webbrowser.Error("no browser")

    monkeypatch.setattr(webbrowser, "open", broken)
    assert commands._open_browser("http://127.0.0.1:1/start/x") is False


def test_a_terminal_is_asked_without_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, *, hide_input: bool, err: bool) -> str:
        asked.append((text, hide_input))
        return "pasted"

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(commands.typer, "prompt", prompt)
    monkeypatch.setattr("sys.stdin", Terminal())
    assert commands._ask("Paste it here: ") == "pasted"
    assert asked == [("Paste it here", True)]
