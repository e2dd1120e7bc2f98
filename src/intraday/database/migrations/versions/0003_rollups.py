"""Superseded versions as a time series; timeframes made after the minutes, with TimescaleDB by continuous aggregates."""

from intraday.database.series import run_file, run_variant

revision = "0003"
down_revision = "0002"
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files; on TimescaleDB the timeframes are empty until the next refresh, which the pending range tells of."""
    run_file("0003_series")
    run_file("0003_superseded")
    run_variant("0003_rollups")
