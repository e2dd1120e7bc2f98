"""Rows of a source's earlier words joined, so that many bars that change are as quick in compressed chunks."""

from intraday.database.series import run_file

revision = "0007"
down_revision = "0004"
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file."""
    run_file("0007_store_bars")


def downgrade() -> None:
    """The function as it was."""
    run_file("0007_down")
