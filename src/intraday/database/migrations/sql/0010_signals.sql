-- One column a statement: TimescaleDB takes no more where chunks are compressed.
ALTER TABLE signals ADD COLUMN expected double precision;
ALTER TABLE signals ADD COLUMN chase double precision;
ALTER TABLE signals ADD COLUMN quantity integer NOT NULL DEFAULT 0;
ALTER TABLE signals ADD COLUMN reasons jsonb;
ALTER TABLE signals ADD COLUMN note text NOT NULL DEFAULT '';
COMMENT ON COLUMN signals.expected IS 'Net return expected of the better side, whatever action says, a fraction of the price; NULL: nobody computed it.';
COMMENT ON COLUMN signals.chase IS 'Beyond this entry price nothing is left of what was expected, rupees: do not chase it; NULL for HOLD.';
COMMENT ON COLUMN signals.quantity IS 'Shares or contracts suggested for the configured capital and risk; 0 for HOLD.';
COMMENT ON COLUMN signals.reasons IS 'Features that spoke for it, [[name, part of the score], ...], the largest first; NULL: none, as for HOLD.';
COMMENT ON COLUMN signals.note IS 'Why it is a HOLD although the model wanted more, or what limits it; empty: nothing.';

CREATE OR REPLACE VIEW signals_readable AS
    SELECT s.ts + make_interval(mins => f.timeframe) AS bar_closed, to_timestamp(s.decided_ns / 1e9) AS decided, i.exchange, i.symbol, s.action,
           s.confidence, s.price, s.stop, s.target, to_timestamp(s.valid_until_ns / 1e9) AS valid_until, s.observe, s.source, s.model_id,
           s.expected, s.chase, s.quantity, s.note
    FROM signals s JOIN instruments i ON i.id = s.instrument_id LEFT JOIN feature_sets f ON f.id = s.feature_set_id;
CREATE OR REPLACE VIEW todays_signals AS
    SELECT s.ts + make_interval(mins => f.timeframe) AS bar_closed, to_timestamp(s.decided_ns / 1e9) AS decided, i.exchange, i.symbol,
           s.action, s.confidence, s.price, s.stop, s.target, to_timestamp(s.valid_until_ns / 1e9) AS valid_until, s.observe, s.source,
           s.model_id, s.expected, s.chase, s.quantity, s.note
    FROM signals s JOIN instruments i ON i.id = s.instrument_id LEFT JOIN feature_sets f ON f.id = s.feature_set_id
    WHERE s.ts >= date_trunc('day', now(), 'Asia/Kolkata') AND s.ts < date_trunc('day', now(), 'Asia/Kolkata') + interval '1 day';
DO $$
DECLARE
    shown text;
    attribute text;
BEGIN
    FOREACH shown IN ARRAY ARRAY['signals_readable', 'todays_signals'] LOOP
        FOREACH attribute IN ARRAY ARRAY['expected', 'chase', 'quantity', 'note'] LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', shown, attribute, (SELECT col_description(attrelid, attnum) FROM pg_attribute
                           WHERE attrelid = 'signals'::regclass AND attname = attribute));
        END LOOP;
    END LOOP;
END $$;
