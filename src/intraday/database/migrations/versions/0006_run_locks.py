"""Numbers for runs that must be alone on a database, so that one that lost its lock is refused."""

from intraday.database.series import run_file, run_sql

revision = "0006"
down_revision = "0003"
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file."""
    run_file("0006_run_locks")


def downgrade() -> None:
    """Nothing of value is in it once no run is on."""
    run_sql("DROP TABLE run_locks;\n")
