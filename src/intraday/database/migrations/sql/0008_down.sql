DROP VIEW corporate_actions_readable, ohlcv_1min_adjusted, ohlcv_5min_adjusted, ohlcv_15min_adjusted, ohlcv_60min_adjusted;
DROP FUNCTION ohlcv_1min_as_of;
DROP FUNCTION adjustments;
DROP TABLE corporate_actions;
DROP VIEW bar_revisions, bar_versions;
DROP FUNCTION rescaled;
ALTER TABLE bar_superseded DROP COLUMN reason;
CREATE VIEW bar_versions AS
    SELECT instrument_id, ts, source, version, known_at, true AS best, open, high, low, close, volume, flags, n_ticks FROM ohlcv_1min
    UNION ALL
    SELECT instrument_id, ts, source, version, known_at, false, open, high, low, close, volume, flags, n_ticks FROM bar_superseded;
COMMENT ON VIEW bar_versions IS 'Every version of every minute that is stored, each exactly once.';
DO $$
DECLARE
    attribute text;
    said text;
BEGIN
    FOR attribute, said IN
        SELECT a.attname, coalesce(col_description('bar_superseded'::regclass, r.attnum), 'It is the one in ohlcv_1min.')
        FROM pg_attribute a LEFT JOIN pg_attribute r ON r.attrelid = 'bar_superseded'::regclass AND r.attname = a.attname
        WHERE a.attrelid = 'bar_versions'::regclass AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN bar_versions.%I IS %L', attribute, said);
    END LOOP;
END $$;
