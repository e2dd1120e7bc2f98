"""Every table of the first schema, its functions and views."""

from intraday.database.series import refuse_loss, run_file, run_variant

revision = "0001"
down_revision = None
made = "2026-11-22"
branch_labels = None
depends_on = None

_TABLES = (
    *(
        "ohlcv_1min",
        "bar_superseded",
        "ohlcv_5min",
        "ohlcv_15min",
        "ohlcv_60min",
        "candle_gaps",
        "quarantine",
        "features",
        "labels",
    ),
    *(
        "signals",
        "signal_outcomes",
        "models",
        "label_sets",
        "feature_sets",
        "instrument_history",
        "instruments",
        "sessions",
        "runs",
    ),
    *("run_days", "tick_rejects", "alerts", "events"),
)


def upgrade() -> None:
    """Run the SQL files in order."""
    run_variant("0001_partitions")
    for name in ("0001_reference", "0001_bars", "0001_bar_functions", "0001_decisions", "0001_runs"):
        run_file(name)


def downgrade() -> None:
    """Leave an empty database."""
    refuse_loss("0001", _TABLES)
    run_file("0001_down")
