"""Dated listings, universes and flags of instruments, and what was asked of the broker."""

from intraday.database.series import run_file

revision = "0002"
down_revision = "0001"
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file."""
    run_file("0002_broker")
