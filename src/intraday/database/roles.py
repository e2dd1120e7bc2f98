"""The three group roles: intraday_owner may migrate, intraday_writer do what the program does, intraday_reader read everything.

They belong to the server, their rights to the database. The SQL function ``grant_roles`` makes both where our role may; this module
calls it and says where things stand. docs/adr/0019-roles.md.
"""

from __future__ import annotations

from typing import Any

import psycopg

_OURS = """
    SELECT 1 FROM pg_class WHERE oid = to_regclass('alembic_version') AND pg_has_role(relowner, 'USAGE')
      AND to_regprocedure('grant_roles()') IS NOT NULL"""


def grant(connection: psycopg.Connection[Any]) -> str | None:
    """Make the roles and give them their rights, as far as we may; again changes nothing. What is missing and why, None: nothing.

    Nothing happens in a database without schema, and where the tables are not ours.
    """
    if connection.execute(_OURS).fetchone() is None:
        return None
    row = connection.execute("SELECT grant_roles()").fetchone()
    return None if row is None or not row[0] else str(row[0])
