-- Small tables only: they cost nothing there. What the big ones refer to is looked at by `intraday db check`.
DO $$
DECLARE
    tab text;
    name text;
    definition text;
BEGIN
    FOR tab, name, definition IN VALUES
        ('candle_gaps', 'candle_gaps_instrument', 'FOREIGN KEY (instrument_id) REFERENCES instruments'),
        ('candle_gaps', 'candle_gaps_span', 'CHECK (end_ts > start_ts AND n_minutes > 0)'),
        ('candle_fetches', 'candle_fetches_instrument', 'FOREIGN KEY (instrument_id) REFERENCES instruments'),
        ('feature_sets', 'feature_sets_size', 'CHECK (timeframe > 0 AND cardinality(names) > 0)'),
        ('models', 'models_feature_set', 'FOREIGN KEY (feature_set_id) REFERENCES feature_sets'),
        ('models', 'models_label_set', 'FOREIGN KEY (label_set_id) REFERENCES label_sets'),
        ('models', 'models_verdict', 'CHECK (verdict IN (''edge'', ''no tradable edge'', ''not enough data''))'),
        ('models', 'models_trained', 'CHECK (trained_to >= trained_from)'),
        ('signal_outcomes', 'signal_outcomes_instrument', 'FOREIGN KEY (instrument_id) REFERENCES instruments'),
        ('signal_outcomes', 'signal_outcomes_times', 'CHECK (exit_ts >= entry_ts)'),
        ('runs', 'runs_status', 'CHECK (status IN (''running'', ''ok'', ''failed'', ''interrupted''))'),
        ('run_days', 'run_days_run', 'FOREIGN KEY (run_id) REFERENCES runs'),
        ('run_days', 'run_days_timeframe', 'CHECK (timeframe > 0)'),
        ('tick_rejects', 'tick_rejects_run', 'FOREIGN KEY (run_id) REFERENCES runs'),
        ('tick_rejects', 'tick_rejects_n', 'CHECK (n > 0)'),
        ('alerts', 'alerts_run', 'FOREIGN KEY (run_id) REFERENCES runs'),
        ('alerts', 'alerts_level', 'CHECK (level IN (''info'', ''warning'', ''error''))'),
        ('sessions', 'sessions_kind', 'CHECK (kind IN (''regular'', ''special'', ''muhurat'', ''halt''))'),
        ('sessions', 'sessions_hours', 'CHECK (close_ts > open_ts AND number = day - date ''1970-01-01'')'),
        ('instrument_history', 'instrument_history_kind', 'CHECK (kind IN (''equity'', ''index'', ''future''))'),
        ('instrument_dumps', 'instrument_dumps_size', 'CHECK (n_rows >= n_listed AND n_listed >= 0)')
    LOOP
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s NOT VALID', tab, name, definition);
        BEGIN
            EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', tab, name);
        EXCEPTION WHEN foreign_key_violation OR check_violation THEN
            -- New rows keep to it; the old ones are `intraday db check`'s, which names what is not validated.
            RAISE WARNING 'rows of % that were stored earlier break its rule %', tab, name;
        END;
    END LOOP;
END $$;
