"""Superseded versions as a time series; timeframes made after the minutes, with TimescaleDB by continuous aggregates."""

from intraday.database.series import hyper, refuse_loss, run_file, run_function, run_sql, run_variant

revision = "0003"
down_revision = "0002"
made = "2026-11-22"
branch_labels = None
depends_on = None

_CATCH_UP = """
SELECT refresh_rollups(CASE WHEN cardinality(p.instrument_ids) = 0 THEN ARRAY(SELECT id FROM instruments) ELSE p.instrument_ids END,
                       greatest(p.from_ts, k.ts), p.to_ts)
FROM rollup_pending p LEFT JOIN kept_from k ON k.series = 'bars' WHERE k.ts IS NULL OR p.to_ts > k.ts;
DROP FUNCTION refresh_rollups;
"""  # minutes that retention took are not made anew


def upgrade() -> None:
    """Run the SQL files; on TimescaleDB the timeframes are empty until the next refresh, which the pending range tells of."""
    run_file("0003_series")
    run_file("0003_superseded")
    run_variant("0003_rollups")


def downgrade() -> None:
    """Back to timeframes inside the writes: they get what they still lack, and keep what they have of older minutes."""
    refuse_loss("0003", ("kept_from",))
    if hyper():
        run_file("0003_down_timescale")
        run_function("0003_rollups_plain", "refresh_rollups")
    run_sql(_CATCH_UP)
    run_function("0001_bar_functions", "refresh_rollups")
    run_file("0003_down")
    run_function("0001_bar_functions", "store_bars")
    run_function("0002_broker", "forget_bars")
