DROP FUNCTION grant_roles;
DROP VIEW todays_signals, latest_bars, coverage_by_day, data_quality, model_scoreboard, runs_recent, gaps_readable;
DROP FUNCTION newest_bars;
DROP FUNCTION create_feature_view;
DO $$
DECLARE
    thing record;
BEGIN
    FOR thing IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint
        WHERE connamespace = current_schema::regnamespace AND conname = ANY (ARRAY[
        'candle_gaps_instrument', 'candle_gaps_span', 'candle_fetches_instrument', 'feature_sets_size',
        'models_feature_set', 'models_label_set', 'models_verdict', 'models_trained',
        'signal_outcomes_instrument', 'signal_outcomes_times', 'runs_status', 'run_days_run',
        'run_days_timeframe', 'tick_rejects_run', 'tick_rejects_n', 'alerts_run',
        'alerts_level', 'sessions_kind', 'sessions_hours', 'instrument_history_kind',
        'instrument_dumps_size']) LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', thing.tab, thing.conname);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION ensure_partitions TO PUBLIC;
COMMENT ON TABLE alembic_version IS NULL;
