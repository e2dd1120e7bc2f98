DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT quote_ident('features_' || id) FROM feature_sets LOOP
        EXECUTE 'DROP VIEW IF EXISTS ' || name;
    END LOOP;
END $$;
DROP VIEW signals_readable, bar_versions;
DROP FUNCTION forget_bars, store_bars, refresh_rollups, lock_instruments, feature_at, ensure_partitions;
-- One by one: TimescaleDB drops a hypertable only alone.
DROP TABLE signals;
DROP TABLE labels;
DROP TABLE features;
DROP TABLE ohlcv_1min;
DROP TABLE bar_superseded, ohlcv_5min, ohlcv_15min, ohlcv_60min, candle_gaps, quarantine, signal_outcomes, models, label_sets,
    feature_sets, instrument_history, instruments, sessions, runs, run_days, tick_rejects, alerts, events;
DROP TYPE source;
