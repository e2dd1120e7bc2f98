"""Retention that leaves the timeframes alone; on TimescaleDB compression, and a job of the server that does both."""

from intraday.database.series import hyper, run_file, run_variant

revision = "0005"
down_revision = "0006"
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files. Nothing is dropped or compressed by that."""
    run_variant("0005_drop_old")
    run_file("0005_drop_before")
    if hyper():
        run_file("0005_compression_timescale")


def downgrade() -> None:
    """What was compressed is decompressed: that takes its time and its room. What retention dropped does not come back."""
    run_variant("0005_down")
