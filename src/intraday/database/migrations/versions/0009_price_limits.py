"""Circuit limits by session."""

from intraday.database.series import refuse_loss, run_file, run_function

revision = "0009"
down_revision = "0008"
made = "2026-11-23"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files; the roles get their rights when all migrations are through."""
    for name in ("0009_limits", "0009_roles"):
        run_file(name)


def downgrade() -> None:
    """Without the limits, which is refused while there are any."""
    refuse_loss("0009", ("price_limits",))
    run_file("0009_down")
    run_function("0008_roles", "grant_roles")
