"""asyncpg's way to the server that libpq found: it reads fewer kinds of DSN, and takes the rest for server settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import psycopg

from intraday.database.link import Link

_TLS = (
    "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version",
)  # fmt: skip


def asyncpg_arguments(info: psycopg.ConnectionInfo, link: Link) -> dict[str, Any]:
    """Arguments for ``asyncpg.connect`` that lead where ``info``'s connection leads: same server of a list, user, password, TLS.

    Whatever said so, the DSN, the environment, a password or service file: libpq has settled it. ``options`` and the name stay;
    ``link``'s settings win.
    """
    theirs = info.get_parameters()  # what is not libpq's default, without the password
    tls = {key: theirs[key] for key in _TLS if key in theirs}
    told = {key: theirs[key] for key in ("application_name", "options") if key in theirs}
    return {
        "dsn": f"postgresql://?{urlencode(tls)}",
        "host": info.host,
        "port": info.port,
        "user": info.user,
        "password": info.password or None,
        "database": info.dbname,
        "server_settings": {**told, **link.settings()},
    }
