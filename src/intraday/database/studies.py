"""Where Optuna keeps its studies: the schema ``optuna`` of our own database, in tables that Optuna makes and changes by itself."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from intraday.database.pool import Database
from intraday.domain.errors import StorageError


def storage_url(database: Database) -> str:
    """What ``optuna.storages.RDBStorage`` wants to hear; it bears the DSN's password, so it is never to be logged.

    StorageError where the schema is missing: the role that migrated may not make schemas in this database.
    """
    from sqlalchemy import URL  # loaded where it is used: only tuning needs it

    with database.autocommit() as connection:
        if connection.execute("SELECT to_regnamespace('optuna')").fetchone() == (None,):
            raise StorageError(
                "tuning keeps its studies in the schema optuna, found none: run CREATE SCHEMA optuna AUTHORIZATION intraday_owner "
                "as the database's owner, or set model.tuning.trials to 0"
            )
    known = {name: str(value) for name, value in conninfo_to_dict(database.dsn).items() if value is not None}
    user, password, name = (known.pop(part, None) for part in ("user", "password", "dbname"))
    known["options"] = f"{known.get('options', '')} -c search_path=optuna".strip()
    return URL.create("postgresql+psycopg", user, password, database=name, query=known).render_as_string(hide_password=False)
