SELECT ensure_partitions('bar_superseded', month, month)
FROM (SELECT DISTINCT date_trunc('month', ts, 'UTC') AS month FROM bar_superseded_0002) m;
INSERT INTO bar_superseded SELECT * FROM bar_superseded_0002;
DROP TABLE bar_superseded_0002;

CREATE VIEW bar_versions AS
    SELECT instrument_id, ts, source, version, known_at, true AS best, open, high, low, close, volume, flags, n_ticks FROM ohlcv_1min
    UNION ALL
    SELECT instrument_id, ts, source, version, known_at, false, open, high, low, close, volume, flags, n_ticks FROM bar_superseded;
COMMENT ON VIEW bar_versions IS 'Every version of every minute that is stored, each exactly once.';

-- ------------------------------------------------------------------------------------- timeframes behind their minutes
CREATE TABLE rollup_pending (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_ts timestamptz NOT NULL,
    to_ts timestamptz NOT NULL CHECK (to_ts > from_ts),
    instrument_ids integer[] NOT NULL
);
COMMENT ON TABLE rollup_pending IS 'Minutes that changed since ohlcv_5min, ohlcv_15min and ohlcv_60min were made from them: written in the transaction of the minutes, taken out once the timeframes have them.';
COMMENT ON COLUMN rollup_pending.id IS 'Order of writing.';
COMMENT ON COLUMN rollup_pending.from_ts IS 'First minute that may have changed.';
COMMENT ON COLUMN rollup_pending.to_ts IS 'First minute after those.';
COMMENT ON COLUMN rollup_pending.instrument_ids IS 'Whose.';

CREATE TABLE kept_from (
    series text PRIMARY KEY CHECK (series IN ('bars', 'features', 'labels', 'signals')),
    ts timestamptz NOT NULL
);
COMMENT ON TABLE kept_from IS 'Retention: what was older is gone. Timeframes keep what they had of older minutes and are never made again from before it.';
COMMENT ON COLUMN kept_from.series IS 'bars: ohlcv_1min and bar_superseded; the others by their table''s name.';
COMMENT ON COLUMN kept_from.ts IS 'Rows from then on are there; a Thursday 00:00 UTC, where chunks of 7 days begin.';

CREATE FUNCTION note_rollups(p_ids integer[], p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE sql AS 'INSERT INTO rollup_pending (from_ts, to_ts, instrument_ids) VALUES (p_from, p_to, p_ids)';
COMMENT ON FUNCTION note_rollups IS 'Minutes p_from <= ts < p_to of these instruments changed: called in the transaction that changes them.';

CREATE OR REPLACE FUNCTION forget_bars(p_source source, p_from timestamptz, p_to timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    p_ids integer[] := ARRAY(
        SELECT DISTINCT instrument_id FROM bar_versions WHERE source = p_source AND ts >= p_from AND ts < p_to ORDER BY 1);
    best bigint;
    older bigint;
BEGIN
    PERFORM lock_instruments(p_ids);
    DELETE FROM ohlcv_1min WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to AND source = p_source;
    GET DIAGNOSTICS best = ROW_COUNT;
    DELETE FROM bar_superseded WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to AND source = p_source;
    GET DIAGNOSTICS older = ROW_COUNT;
    IF best > 0 THEN
        WITH next AS (  -- the preferred of what is left becomes the best
            SELECT DISTINCT ON (instrument_id, ts) * FROM bar_superseded s
            WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to
              AND NOT EXISTS (SELECT 1 FROM ohlcv_1min b WHERE b.instrument_id = s.instrument_id AND b.ts = s.ts)
            ORDER BY instrument_id, ts, source, known_at DESC, version DESC
        ), gone AS (
            DELETE FROM bar_superseded s USING next n
            WHERE (s.instrument_id, s.ts, s.source, s.version) = (n.instrument_id, n.ts, n.source, n.version)
              AND s.ts >= p_from AND s.ts < p_to
        )
        INSERT INTO ohlcv_1min (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
        SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags FROM next;
        PERFORM note_rollups(p_ids, p_from, p_to);
    END IF;
    RETURN best + older;
END $$;
COMMENT ON FUNCTION forget_bars IS 'Forget all bars of one source in a range that ends with a session; the next best version of a minute becomes the best again.';
COMMENT ON FUNCTION store_bars IS 'Store versions of minutes of one source; the rules are in docs/adr/0011-bar-versions.md. The timeframes are the caller''s: note_rollups() when best_changed > 0.';
