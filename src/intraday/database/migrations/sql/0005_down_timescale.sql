SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = current_schema AND proc_name = 'run_maintenance';
DO $$
DECLARE
    series text;
    old regclass;
BEGIN
    FOREACH series IN ARRAY ARRAY['ohlcv_1min', 'bar_superseded', 'features', 'labels', 'signals', 'ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min'] LOOP
        FOR old IN SELECT show_chunks(series::regclass) LOOP
            PERFORM decompress_chunk(old, if_compressed => true);
        END LOOP;
        EXECUTE format('ALTER %s %I SET (timescaledb.compress = false)',
                       CASE WHEN series LIKE 'ohlcv_%min' AND series <> 'ohlcv_1min' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, series);
    END LOOP;
END $$;
DROP PROCEDURE run_maintenance(integer, jsonb);
DROP PROCEDURE refresh_noted();
DROP FUNCTION chunks_to_compress(timestamptz);
DROP FUNCTION kept_since(text);
DROP FUNCTION drop_before(text, timestamptz);
DROP FUNCTION retention_limit(text, integer, timestamptz);
DROP FUNCTION drop_old(text, timestamptz);
