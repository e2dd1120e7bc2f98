"""The chain of schema revisions: their order, their dates, and the steps between two of them as a script.

``base`` is the empty database, ``head`` the newest revision of this program.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from intraday.domain.errors import StorageError

BASE = "base"
HEAD = "head"
_GRANT = "DO $$ BEGIN IF to_regprocedure('grant_roles()') IS NOT NULL THEN PERFORM grant_roles(); END IF; END $$;\n\n"
_MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of the schema. ``made`` is its day; ``applied``: the database has it."""

    id: str
    made: str
    title: str
    applied: bool = False


class Chain:
    """The revisions of this program, in order: a chain without branches."""

    def __init__(self) -> None:
        self.config = Config(output_buffer=StringIO())
        self.config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        self.config.set_main_option("path_separator", "os")
        scripts = reversed(list(ScriptDirectory.from_config(self.config).walk_revisions()))
        self.revisions = [
            Revision(s.revision, str(getattr(s.module, "made", "")), s.doc.splitlines()[0].rstrip(".")) for s in scripts
        ]
        self._ids = [BASE, *(r.id for r in self.revisions)]

    @property
    def head(self) -> str:
        """The newest."""
        return self._ids[-1]

    def known(self, found: str | None) -> str:
        """What a database has, ``base`` for None. StorageError when a newer program made it."""
        if found is not None and found not in self._ids:
            raise StorageError(
                f"the database's schema has revision {found}, this program knows up to {self.head}: "
                "it was made by a newer intraday, update this one"
            )
        return found or BASE

    def target(self, to: str) -> str:
        """The revision that is meant. StorageError when there is none of that name."""
        if to == HEAD:
            return self.head
        if to not in self._ids:
            raise StorageError(f"expected one of the revisions {', '.join(self._ids)} or head, found {to!r}")
        return to

    def below(self, one: str, other: str) -> bool:
        """Whether ``one`` comes before ``other``."""
        return self._ids.index(one) < self._ids.index(other)

    def steps(self, found: str, target: str) -> list[Revision]:
        """What leads from one to the other: revisions to put in (``applied`` False), or to take out (True), in that order."""
        a, b = self._ids.index(found), self._ids.index(target)
        return self.revisions[a:b] if a <= b else [replace(r, applied=True) for r in reversed(self.revisions[b:a])]

    def history(self, found: str) -> list[Revision]:
        """All, the oldest first, and which of them a database at ``found`` has."""
        n = self._ids.index(found)
        return [replace(r, applied=i < n) for i, r in enumerate(self.revisions)]


def script(to: str = HEAD, start: str = BASE, *, timescaledb: bool, lose_data: bool = False) -> str:
    """The steps from ``start`` to ``to`` as SQL for psql, in one transaction that stops when the database is elsewhere.

    Needs no server. Raises StorageError for an unknown revision.
    """
    chain = Chain()
    found, target = chain.target(start), chain.target(to)
    chain.config.attributes["timescaledb"] = timescaledb
    upwards = chain.below(found, target)
    if found != target:
        (command.upgrade if upwards else command.downgrade)(chain.config, f"{found}:{target}", sql=True)
    buffer = chain.config.output_buffer
    assert isinstance(buffer, StringIO)
    kind = "TimescaleDB" if timescaledb else "plain PostgreSQL"
    head = f"-- intraday: the schema from {found} to {target} on {kind}. Run it with psql -v ON_ERROR_STOP=1 -f.\n"
    if timescaledb and found == BASE and upwards:
        head += "CREATE EXTENSION IF NOT EXISTS timescaledb;\n"
    loss = "SET LOCAL intraday.lose_data = 'on';\n" if lose_data else ""
    steps = buffer.getvalue().replace("BEGIN;\n", "BEGIN;\n\n" + loss + _guard(found), 1)
    body, commit, end = steps.rpartition("COMMIT;")
    return head + body + (_GRANT if commit else "") + commit + end


def _guard(found: str) -> str:
    """Alembic's own UPDATE of the revision would quietly change no row."""
    if found == BASE:
        return ""
    return (
        "DO $$ BEGIN\n"  # nosec B608: the revision is one of ours
        f"    IF (SELECT max(version_num) FROM alembic_version) IS DISTINCT FROM '{found}' THEN\n"
        f"        RAISE EXCEPTION 'expected schema revision {found}, found %', (SELECT max(version_num) FROM alembic_version);\n"
        "    END IF;\n"
        "END $$;\n"
    )
