"""The official ticker, unchanged, in a process of its own: Twisted's reactor cannot be started twice.

Reads lines of JSON: first where to connect, then commands ``{"a": "subscribe", "v": [tokens]}`` or ``{"a": "mode", "v": [mode,
[tokens]]}``. Writes lines of JSON: what its callbacks were given, binary messages as hex. Ends with its input.
"""

import json
import os
import sys
from datetime import datetime
from threading import Lock
from typing import Any

from kiteconnect import KiteTicker
from twisted.internet import reactor

lock = Lock()


def tell(kind: str, value: Any) -> None:
    with lock:
        print(json.dumps({"kind": kind, "value": value}, default=datetime.isoformat), flush=True)


def obey(ticker: KiteTicker, command: dict[str, Any]) -> None:
    if command["a"] == "subscribe":
        ticker.subscribe(command["v"])
    else:
        ticker.set_mode(*command["v"])


def main() -> None:
    where = json.loads(sys.stdin.readline())
    ticker = KiteTicker(where["api_key"], where["access_token"], root=where["root"])
    ticker.on_connect = lambda ws, response: tell("connect", None)
    ticker.on_message = lambda ws, payload, is_binary: (
        tell("message", payload.hex()) if is_binary else tell("text", payload.decode())
    )
    ticker.on_ticks = lambda ws, ticks: tell("ticks", ticks)
    ticker.on_error = lambda ws, code, reason: tell("error", [code, str(reason)])
    ticker.on_close = lambda ws, code, reason: tell("close", [code, str(reason)])
    ticker.connect(threaded=True)
    for line in sys.stdin:
        reactor.callFromThread(obey, ticker, json.loads(line))
    os._exit(0)  # the reactor's thread would go on for ever


if __name__ == "__main__":
    main()
