"""Comments on everything, rules for the small tables, roles, and the views that people ask for."""

from intraday.database.series import hyper, run_file, run_function

revision = "0004"
down_revision = "0005"
made = "2026-11-22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files; the roles get their rights when all migrations are through."""
    for name in ("0004_constraints", "0004_roles", "0004_views", "0004_comments"):
        run_file(name)


def downgrade() -> None:
    """Without the views and rules; no row goes. The roles stay: they are the server's."""
    run_file("0004_down")
    run_function(f"0001_partitions_{'timescale' if hyper() else 'plain'}", "ensure_partitions")
