-- Nothing is compressed by this alone: `intraday db maintain` and its job do it. Why these columns: docs/maintenance.md.
ALTER TABLE ohlcv_1min SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id', timescaledb.compress_orderby = 'ts');
ALTER TABLE bar_superseded SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',
    timescaledb.compress_orderby = 'ts, source, version');
ALTER TABLE features SET (timescaledb.compress, timescaledb.compress_segmentby = 'feature_set_id, source, instrument_id',
    timescaledb.compress_orderby = 'ts');
ALTER TABLE labels SET (timescaledb.compress, timescaledb.compress_segmentby = 'label_set_id, instrument_id',
    timescaledb.compress_orderby = 'ts');
ALTER TABLE signals SET (timescaledb.compress, timescaledb.compress_segmentby = 'source, model_id',
    timescaledb.compress_orderby = 'instrument_id, ts');
ALTER MATERIALIZED VIEW ohlcv_5min SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',
    timescaledb.compress_orderby = 'ts');
ALTER MATERIALIZED VIEW ohlcv_15min SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',
    timescaledb.compress_orderby = 'ts');
ALTER MATERIALIZED VIEW ohlcv_60min SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',
    timescaledb.compress_orderby = 'ts');

CREATE FUNCTION chunks_to_compress(p_before timestamptz) RETURNS TABLE (series text, chunk regclass, until timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT series, chunk, until FROM (
        SELECT coalesce(a.view_name, c.hypertable_name)::text AS series, c.range_end AS until,
               format('%I.%I', c.chunk_schema, c.chunk_name)::regclass AS chunk
        FROM timescaledb_information.chunks c LEFT JOIN timescaledb_information.continuous_aggregates a
          ON a.materialization_hypertable_schema = c.hypertable_schema AND a.materialization_hypertable_name = c.hypertable_name
        WHERE c.range_end <= p_before AND coalesce(a.view_schema, c.hypertable_schema) = current_schema) x
    -- 1: compressed, and nothing was written since; 4: frozen by somebody.
    WHERE _timescaledb_functions.chunk_status(chunk) <> 1 AND _timescaledb_functions.chunk_status(chunk) & 4 = 0
    ORDER BY until, series
$$;
COMMENT ON FUNCTION chunks_to_compress IS 'Chunks that end by p_before and have rows that are not compressed, the oldest first.';

CREATE PROCEDURE refresh_noted()
LANGUAGE plpgsql AS $$
DECLARE
    origin CONSTANT timestamptz := '2000-01-03 03:45+00';  -- 09:15 IST, domain.arrays.GRID_ORIGIN_NS
    notes bigint[];
    first timestamptz;
    stop timestamptz;
    timeframe text;
BEGIN
    -- Before the lock, which is the session's: an error after it would leave it taken until that ends.
    IF NOT (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'ohlcv_5min'::regclass) THEN
        RAISE EXCEPTION 'expected a member of the timeframes'' owner, found %: only it refreshes them', current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT pg_try_advisory_lock(hashtext('rollups'), 0) THEN RETURN; END IF;  -- a program is at it
    SELECT array_agg(id), min(from_ts), max(to_ts) INTO notes, first, stop FROM rollup_pending;
    IF notes IS NOT NULL THEN
        -- Never from before kept_from: what was rolled up of dropped minutes would be rolled up again, from nothing.
        SELECT greatest(first, max(ts) + interval '1 hour' - interval '1 microsecond') INTO first FROM kept_from WHERE series = 'bars';
        first := date_bin('60 minutes', first, origin);
        stop := date_bin('60 minutes', stop - interval '1 microsecond', origin) + interval '60 minutes';
        FOREACH timeframe IN ARRAY ARRAY['ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min'] LOOP
            IF first < stop THEN
                CALL refresh_continuous_aggregate(timeframe::regclass, first, stop, options => '{"buckets_per_batch": 0}');
            END IF;
        END LOOP;
        DELETE FROM rollup_pending WHERE id = ANY (notes);
    END IF;
    PERFORM pg_advisory_unlock(hashtext('rollups'), 0);
END $$;
COMMENT ON PROCEDURE refresh_noted IS 'Brings the timeframes up to date with what rollup_pending says, unless a program is doing that.';

CREATE PROCEDURE run_maintenance(job_id integer, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    path text := current_setting('search_path');
    rule record;
    old record;
BEGIN
    -- The scheduler looks in public only; with a SET clause a procedure may not COMMIT. Back again at the end.
    PERFORM set_config('search_path', format('%I, %I', j.proc_schema, e.extnamespace::regnamespace::text), false)
        FROM timescaledb_information.jobs j, pg_extension e WHERE j.job_id = run_maintenance.job_id AND e.extname = 'timescaledb';
    IF NOT (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'ohlcv_1min'::regclass) THEN
        RAISE EXCEPTION 'expected a member of the tables'' owner, found %: only it drops and compresses rows', current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT pg_try_advisory_lock(hashtext('maintain'), 0) THEN  -- `intraday db maintain` is at it
        PERFORM set_config('search_path', path, false);
        RETURN;
    END IF;
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);
    CALL refresh_noted();
    FOR rule IN SELECT key, value::integer AS days FROM jsonb_each_text(config->'retention') ORDER BY key LOOP
        BEGIN
            PERFORM drop_before(rule.key, retention_limit(rule.key, rule.days, now()));
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
            RAISE LOG 'retention of % is put off: %', rule.key, SQLERRM;
        END;
        COMMIT;
    END LOOP;
    IF config ? 'compress_after_days' THEN
        FOR old IN
            SELECT chunk FROM chunks_to_compress(now() - make_interval(days => (config->>'compress_after_days')::integer))
        LOOP
            -- A writer that has such a chunk may read it on another connection, which would queue behind us: never wait long.
            PERFORM set_config('lock_timeout', '2s', true);
            BEGIN
                PERFORM compress_chunk(old.chunk);
            EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
                RAISE LOG 'compression of % is put off: %', old.chunk, SQLERRM;
            END;
            COMMIT;
        END LOOP;
    END IF;
    PERFORM pg_advisory_unlock(hashtext('maintain'), 0);
    PERFORM set_config('search_path', path, false);
END $$;
COMMENT ON PROCEDURE run_maintenance IS 'The server''s own job: refresh_noted(), retention and compression as config says, should no program come by to do it. What somebody is writing is left to the next time.';
