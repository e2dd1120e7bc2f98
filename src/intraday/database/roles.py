"""The three group roles: intraday_owner may migrate, intraday_writer do what the program does, intraday_reader read everything.

They belong to the server, their rights to the database. The SQL function ``grant_roles`` makes both where our role may; this module
calls it and says where things stand. docs/adr/0019-roles.md.
"""

from __future__ import annotations

from typing import Any

import psycopg


def grant(connection: psycopg.Connection[Any]) -> str | None:
    """Make the roles and give them their rights, as far as we may; again changes nothing. What is missing and why, None: nothing.

    In a database without schema: nothing happens.
    """
    row = connection.execute("SELECT to_regprocedure('grant_roles()') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return None
    row = connection.execute("SELECT grant_roles()").fetchone()
    return None if row is None or not row[0] else str(row[0])
