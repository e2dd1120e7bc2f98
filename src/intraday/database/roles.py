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

_OWNER = """
    SELECT quote_ident(o.rolname) FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
    JOIN pg_roles me ON me.rolname = current_user
    WHERE c.oid = to_regclass('alembic_version') AND o.oid <> me.oid AND NOT me.rolsuper AND pg_has_role(o.oid, 'USAGE')"""


def become_owner(connection: psycopg.Connection[Any]) -> None:
    """Be the role that owns the tables until the transaction ends, where we are a member of it: what is made is its own then.

    Giving things away afterwards is not enough: TimescaleDB lets only a superuser do that with a continuous aggregate.
    The schemas that are looked in stay: ``"$user"`` names another one then.
    """
    row = connection.execute(_OWNER).fetchone()
    if row is not None:
        connection.execute(
            "SELECT set_config('search_path', string_agg(quote_ident(name), ', ' ORDER BY at), true) "
            "FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, at)"
        )
        connection.execute(f"SET LOCAL ROLE {row[0]}")


def grant(connection: psycopg.Connection[Any]) -> str | None:
    """Make the roles and give them their rights, as far as we may; again changes nothing. What is missing and why, None: nothing.

    Nothing happens in a database without schema, and where the tables are not ours.
    """
    if connection.execute(_OURS).fetchone() is None:
        return None
    row = connection.execute("SELECT grant_roles()").fetchone()
    return None if row is None or not row[0] else str(row[0])
