"""The page that Kite sends the browser back to after a login: one request wanted, on loopback, once."""

from __future__ import annotations

import hmac
import re
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from types import TracebackType
from typing import Any, TypeVar

from flask import Flask, Response, redirect, request
from loguru import logger
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as AnyResponse

from intraday.auth.pages import CLOSE, page
from intraday.domain.broker import Secret
from intraday.domain.errors import ConfigError, LoginFailed

HOST = "127.0.0.1"
REDIRECT_PATH = "/kite"
VERDICT_WAIT_S = 30.0  # longest time the browser is kept waiting for what became of its login
FLUSH_WAIT_S = 3.0  # longest time the last page may take to leave
IDLE_S = 10.0  # browsers open connections in advance and then say nothing on them

REQUEST_TOKEN = re.compile(r"[A-Za-z0-9_-]{12,256}")
R = TypeVar("R", bound=AnyResponse)
STATUS_WORD = re.compile(r"[a-z_]{1,32}")


def new_state() -> Secret:
    """A value that only this login knows: 256 random bits, URL-safe."""
    return Secret(secrets.token_urlsafe(32))


def read_redirect(values: Mapping[str, Sequence[str]]) -> Secret | str:
    """The request token of a redirect's query, or what is wrong with it in words. The state is the caller's to check."""
    status = values.get("status", [])
    if list(status) != ["success"]:
        word = status[0] if len(status) == 1 and STATUS_WORD.fullmatch(status[0]) else "no success"
        return f"Kite reports status {word}: the login was cancelled or refused"
    tokens = values.get("request_token", [])
    if len(tokens) != 1 or not REQUEST_TOKEN.fullmatch(tokens[0]):
        return "the address holds no request token as Kite makes them"
    return Secret(tokens[0])


def same_state(values: Mapping[str, Sequence[str]], state: Secret) -> bool:
    """True when the redirect carries our state, once; compared in constant time."""
    found = values.get("state", [])
    return len(found) == 1 and hmac.compare_digest(found[0].encode(errors="replace"), state.reveal().encode())


class _QuietHandler(WSGIRequestHandler):
    """Logs nothing: a request line holds the token. Idle connections are dropped."""

    timeout = IDLE_S

    def log(self, type: str, message: str, *args: Any) -> None:
        return

    def version_string(self) -> str:
        return "intraday"


class _QuietFlask(Flask):
    """Names an exception of a page in the log, without its trace: the frames hold the request."""

    def log_exception(self, exc_info: Any) -> None:
        logger.error("login page failed", error=exc_info[0].__name__)


class AuthServer:
    """Waits on 127.0.0.1 for the redirect that carries ``state``, and takes it once.

    A context manager: the port is bound when it is made (ConfigError when it is busy), answers between ``__enter__`` and
    ``__exit__``. ``port`` 0 takes a free one. ``login_url`` is where ``start_url`` leads: a browser is started with
    an address on its command line, which every user of the machine can read, so that address says nothing and works once.
    """

    def __init__(self, port: int, state: Secret, login_url: Secret) -> None:
        self._socket = _listen(port)
        self.port = int(self._socket.getsockname()[1])
        self._state = state
        self._login_url = login_url
        self._start_path = "/start/" + secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        self._started = False
        self._strangers = 0
        self._answer: Future[Secret | None] = Future()
        self._verdict: Future[tuple[bool, str]] = Future()
        self._shown = threading.Event()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def start_url(self) -> str:
        """The address to open in the browser; it leads to Kite's login page, once."""
        return f"http://{HOST}:{self.port}{self._start_path}"

    @property
    def redirect_url(self) -> str:
        """What has to be registered at Kite."""
        return f"http://{HOST}:{self.port}{REDIRECT_PATH}"

    def __enter__(self) -> AuthServer:
        app = self._application()
        self._server = make_server(HOST, self.port, app, threaded=True, request_handler=_QuietHandler, fd=self._socket.fileno())
        self._socket.close()  # the server has a copy of its own
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="login-page", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._answer.done():
            self.conclude(False, "The terminal says why.")
            self._shown.wait(FLUSH_WAIT_S)
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(FLUSH_WAIT_S)  # it closes the port last of all

    def wait(self, timeout_s: float) -> Secret | None:
        """The request token, once the browser has come back; None after ``give_up``.

        Raises LoginFailed: timed out, or Kite did not say success.
        """
        try:
            return self._answer.result(timeout_s)
        except NotYet:
            pass
        hint = f"; {self._strangers} requests came that did not belong to this login" if self._strangers else ""
        raise LoginFailed(
            f"nobody came back from Kite's login page within {timeout_s:g} s (broker.login.timeout_s){hint}: expected "
            f"{self.redirect_url} as the redirect URL of the app at Kite, and a login completed in the browser. "
            "On a machine without a browser: `intraday auth login --no-browser`"
        )

    def give_up(self) -> None:
        """There is no browser that could come back: ``wait`` ends, unless it has its answer."""
        with self._lock:
            if not self._answer.done():
                self._shown.set()  # nobody waits for a page
                self._answer.set_result(None)

    def conclude(self, good: bool, text: str) -> None:
        """Tell the browser, which is waiting, what became of the login. The first call counts."""
        with self._lock:
            if not self._verdict.done():
                self._verdict.set_result((good, text))

    def _application(self) -> Flask:
        app = _QuietFlask("intraday.auth", static_folder=None)
        app.add_url_rule(self._start_path, "start", self._start, methods=["GET"])
        app.add_url_rule(REDIRECT_PATH, "redirected", self._redirected, methods=["GET"])
        app.before_request(self._refuse_strangers)
        app.register_error_handler(404, lambda _: _plain(404, "Nothing here", "This page belongs to `intraday auth login`."))
        app.register_error_handler(405, lambda _: _plain(405, "Not this way", "This page is only read."))
        app.register_error_handler(500, lambda _: _plain(500, "Something broke", "The terminal says more. Start the login again."))
        return app

    def _refuse_strangers(self) -> Response | None:
        """A page of another site may reach loopback under its own name (DNS rebinding): only our names are answered."""
        if request.headers.get("Host", "").lower() not in (f"{HOST}:{self.port}", f"localhost:{self.port}"):
            return _plain(400, "Wrong address", f"This page answers at {HOST}:{self.port} only.")
        if request.method != "GET":
            return _plain(405, "Not this way", "This page is only read.")
        return None

    def _start(self) -> AnyResponse:
        with self._lock:
            first, self._started = not self._started, True
        if not first:
            logger.warning("the login address was opened twice; if that was not you, interrupt the login and begin again")
            return _plain(410, "Used already", "If it was not you who opened it: press Ctrl-C there and begin again.")
        return _guarded(redirect(self._login_url.reveal(), code=302))

    def _redirected(self) -> Response:
        values = request.args.to_dict(flat=False)
        if not same_state(values, self._state):
            self._strangers += 1
            return _plain(400, "Not this login", "The program that waits here did not begin it: start with `intraday auth login`.")
        found = read_redirect(values)
        with self._lock:
            if self._answer.done():
                return _plain(410, "Used already", "This login has been taken already.", CLOSE)
            if isinstance(found, Secret):
                self._answer.set_result(found)
            else:
                self._answer.set_exception(LoginFailed(f"{found}. Start again with `intraday auth login`"))
        return self._verdict_page() if isinstance(found, Secret) else self._last(_plain(200, "Login failed", found, CLOSE))

    def _verdict_page(self) -> Response:
        """Waits until the program knows whether the token was good."""
        try:
            good, text = self._verdict.result(VERDICT_WAIT_S)
        except NotYet:
            good, text = False, "No answer from Kite yet. The terminal says what became of it."
        return self._last(_plain(200, "Logged in" if good else "Login failed", text, CLOSE, good=good))

    def _last(self, response: Response) -> Response:
        response.call_on_close(self._shown.set)
        return response


def _listen(port: int) -> socket.socket:
    """A listening socket on loopback. Raises ConfigError when the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(16)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"broker.login.port: cannot listen on {HOST}:{port} ({error.strerror or error}); is another login waiting? "
            f"Otherwise choose another port and register http://{HOST}:PORT{REDIRECT_PATH} at Kite, or use --no-browser"
        ) from None
    return listening


def _plain(status: int, title: str, *paragraphs: str, good: bool = False) -> Response:
    nonce = secrets.token_urlsafe(12)
    response = Response(page(title, *paragraphs, good=good, nonce=nonce), status=status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
    return _guarded(response)


def _guarded(response: R) -> R:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
