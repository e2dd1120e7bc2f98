CREATE TEMP TABLE said ON COMMIT DROP AS  -- of the views' columns, which revision 0004 said once
    SELECT c.relname, a.attname, col_description(c.oid, a.attnum) AS words
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.oid IN ('signals_readable'::regclass, 'todays_signals'::regclass);
DROP TABLE promotions;
DROP TABLE comparisons;
DROP TABLE trials;
DROP VIEW signals_readable, todays_signals;
ALTER TABLE signals DROP COLUMN expected;
ALTER TABLE signals DROP COLUMN chase;
ALTER TABLE signals DROP COLUMN quantity;
ALTER TABLE signals DROP COLUMN reasons;
ALTER TABLE signals DROP COLUMN note;
CREATE VIEW signals_readable AS
    SELECT s.ts + make_interval(mins => f.timeframe) AS bar_closed, to_timestamp(s.decided_ns / 1e9) AS decided, i.exchange, i.symbol, s.action,
           s.confidence, s.price, s.stop, s.target, to_timestamp(s.valid_until_ns / 1e9) AS valid_until, s.observe, s.source, s.model_id
    FROM signals s JOIN instruments i ON i.id = s.instrument_id LEFT JOIN feature_sets f ON f.id = s.feature_set_id;
COMMENT ON VIEW signals_readable IS 'Signals with symbols and times, for people.';
CREATE VIEW todays_signals AS
    SELECT s.ts + make_interval(mins => f.timeframe) AS bar_closed, to_timestamp(s.decided_ns / 1e9) AS decided, i.exchange, i.symbol,
           s.action, s.confidence, s.price, s.stop, s.target, to_timestamp(s.valid_until_ns / 1e9) AS valid_until, s.observe, s.source,
           s.model_id
    FROM signals s JOIN instruments i ON i.id = s.instrument_id LEFT JOIN feature_sets f ON f.id = s.feature_set_id
    WHERE s.ts >= date_trunc('day', now(), 'Asia/Kolkata') AND s.ts < date_trunc('day', now(), 'Asia/Kolkata') + interval '1 day';
COMMENT ON VIEW todays_signals IS 'Signals of decision bars that opened today, by the Indian clock; columns as signals_readable.';
DO $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT said.* FROM said JOIN pg_attribute a ON a.attrelid = relname::regclass AND a.attname = said.attname LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', s.relname, s.attname, s.words);
    END LOOP;
    -- With studies in it, it stays: they are Optuna's, and nothing of ours needs it gone.
    IF (SELECT pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = n.oid)
        FROM pg_namespace n WHERE nspname = 'optuna') THEN
        DROP SCHEMA optuna;
    END IF;
END $$;
