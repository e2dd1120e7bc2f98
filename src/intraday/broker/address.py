"""Where the WebSocket goes: its address, and the proxy that the environment names, checked before anything is opened.

Both may hold a password, and the address gets the access token added to it: what is wrong is told without showing either.
"""

from __future__ import annotations

from websockets.exceptions import InvalidProxy, InvalidURI
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import WebSocketURI, parse_uri

from intraday.domain.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def proxy_of(url: str) -> str | None:
    """The HTTP proxy that the environment names for ``url`` (``ws://`` or ``wss://``, no query); none to this machine itself.

    ConfigError when ``url`` or the proxy is no usable address.
    """
    address = _address(url)
    if address is None:
        raise ConfigError(f"ws_url: expected ws://host or wss://host without ? and #, found {_shown(url)}")
    if address.host in LOOPBACK:
        return None
    proxy = get_proxy(address)
    if proxy is not None and not _usable(proxy):
        raise ConfigError(
            f"the proxy to {address.host}: expected http://host:port in the environment (https_proxy), found something else; "
            "SOCKS is not supported. Mend it, or name the broker's host in no_proxy"
        )
    return proxy


def _address(url: str) -> WebSocketURI | None:
    if "?" in url or "#" in url:
        return None
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError):  # the message has the address
        return None


def _usable(proxy: str) -> bool:
    try:
        return parse_proxy(proxy).scheme in ("http", "https")
    except (InvalidProxy, ValueError):  # the message has the proxy's password
        return False


def _shown(url: str) -> str:
    """Without a query, which may be a secret, and without a password."""
    scheme, slashes, rest = url.partition("?")[0].partition("#")[0].rpartition("//")
    return scheme + slashes + rest.rpartition("@")[2]
