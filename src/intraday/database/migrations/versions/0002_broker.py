"""Dated listings, universes and flags of instruments, and what was asked of the broker."""

from pathlib import Path

from alembic import op

from intraday.database.series import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the SQL file."""
    run_sql(op.get_bind(), (_SQL / "0002_broker.sql").read_text("utf-8"))
