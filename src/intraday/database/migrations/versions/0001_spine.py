"""Every table of the first schema, its functions and views."""

from intraday.database.series import run_file, run_variant

revision = "0001"
down_revision = None
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files in order."""
    run_variant("0001_partitions")
    for name in ("0001_reference", "0001_bars", "0001_bar_functions", "0001_decisions", "0001_runs"):
        run_file(name)
