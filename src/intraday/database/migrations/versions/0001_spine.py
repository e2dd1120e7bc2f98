"""Every table of the first schema, its functions and views."""

from pathlib import Path

from alembic import op

from intraday.database.series import create_partitioner, run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the SQL files in order."""
    create_partitioner(op.get_bind())
    for name in ("0001_reference.sql", "0001_bars.sql", "0001_bar_functions.sql", "0001_decisions.sql", "0001_runs.sql"):
        run_sql(op.get_bind(), (_SQL / name).read_text("utf-8"))
