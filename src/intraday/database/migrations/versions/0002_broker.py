"""Dated listings, universes and flags of instruments, and what was asked of the broker."""

from intraday.database.series import refuse_loss, run_file, run_function

revision = "0002"
down_revision = "0001"
made = "2026-11-22"
branch_labels = None
depends_on = None

_FILLED = (
    *("instrument_listings", "instrument_tokens", "instrument_former_symbols", "instrument_changes", "instrument_dumps"),
    *("member_lists", "universe_members", "instrument_flags", "candle_fetches", "broker_origin"),
    *("run_days WHERE from_ts IS NOT NULL", "instrument_history WHERE valid_from IS NOT NULL"),
)


def upgrade() -> None:
    """Run the SQL file."""
    run_file("0002_broker")


def downgrade() -> None:
    """Take the tables out again; the functions as 0001 had them."""
    refuse_loss("0002", _FILLED)
    run_file("0002_down")
    run_function("0001_bar_functions", "forget_bars")
