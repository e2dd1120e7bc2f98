"""Corporate actions and the views adjusted by them; why a version of a minute is not the best."""

from intraday.database.series import refuse_loss, run_file, run_function

revision = "0008"
down_revision = "0007"
made = "2026-11-23"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files; the roles get their rights when all migrations are through."""
    for name in ("0008_actions", "0008_reasons", "0008_roles"):
        run_file(name)


def downgrade() -> None:
    """Without the actions, which is refused while there are any, and without the reasons; no bar goes."""
    refuse_loss("0008", ("corporate_actions",))
    run_file("0008_down")
    run_file("0007_store_bars")
    run_function("0004_roles", "grant_roles")
