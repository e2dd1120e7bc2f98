"""Trials, promotions, comparisons, what a signal carries, and a schema for Optuna's own tables."""

from __future__ import annotations

from intraday.database.series import refuse_loss, run_file, run_function

revision = "0010"
down_revision = "0009"
made = "2026-11-23"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL files; the roles get their rights when all migrations are through."""
    for name in ("0010_learning", "0010_signals", "0010_optuna", "0010_roles"):
        run_file(name)


def downgrade() -> None:
    """Without what was learnt and what signals carry, which is refused while there is any."""
    carries = "signals WHERE expected IS NOT NULL OR chase IS NOT NULL OR quantity <> 0 OR reasons IS NOT NULL OR note <> ''"
    refuse_loss("0010", ("trials", "promotions", "comparisons", carries))
    run_file("0010_down")
    run_function("0009_roles", "grant_roles")
