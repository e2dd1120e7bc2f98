-- The same rules; what a source has said before is joined, not looked up row by row, so that many rows can be hashed. Row by row,
-- every row of a compressed chunk cost unpacking a thousand.
CREATE OR REPLACE FUNCTION store_bars(
    p_source source, p_known timestamptz, p_ids integer[], p_ts timestamptz[], p_open double precision[], p_high double precision[],
    p_low double precision[], p_close double precision[], p_volume bigint[], p_n_ticks integer[], p_flags smallint[],
    OUT inserted bigint, OUT unchanged bigint, OUT revised bigint, OUT best_changed bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    lo timestamptz;  -- bounds let the planner skip every other partition or chunk
    hi timestamptz;
BEGIN
    PERFORM lock_instruments(p_ids);
    SELECT min(t), max(t) INTO lo, hi FROM unnest(p_ts) AS t;
    WITH n AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_ts, p_open, p_high, p_low, p_close, p_volume, p_n_ticks, p_flags)
            AS u (instrument_id, ts, open, high, low, close, volume, n_ticks, flags)
    ), own AS MATERIALIZED (  -- what this source has said about these minutes, wherever it lives
        SELECT instrument_id, ts, max(version) AS version, max(known_at) AS known_at,
               (array_agg(same ORDER BY known_at DESC, version DESC))[1] AS newest_same, bool_or(same AND known_at = p_known) AS said
        FROM (
            SELECT n.instrument_id, n.ts, c.version, c.known_at, (c.open, c.high, c.low, c.close, c.volume, c.n_ticks, c.flags)
                   IS NOT DISTINCT FROM (n.open, n.high, n.low, n.close, n.volume, n.n_ticks, n.flags) AS same
            FROM n JOIN ohlcv_1min c ON c.instrument_id = n.instrument_id AND c.ts = n.ts AND c.ts BETWEEN lo AND hi
            WHERE c.source = p_source
            UNION ALL
            SELECT n.instrument_id, n.ts, c.version, c.known_at, (c.open, c.high, c.low, c.close, c.volume, c.n_ticks, c.flags)
                   IS NOT DISTINCT FROM (n.open, n.high, n.low, n.close, n.volume, n.n_ticks, n.flags)
            FROM n JOIN bar_superseded c ON c.instrument_id = n.instrument_id AND c.ts = n.ts AND c.ts BETWEEN lo AND hi
            WHERE c.source = p_source
        ) v GROUP BY instrument_id, ts
    ), todo AS MATERIALIZED (
        SELECT n.*, coalesce(own.version, 0) + 1 AS version, own.version IS NOT NULL AS revision, b.source AS best_source,
               b.source IS NULL OR p_source < b.source OR (p_source = b.source AND p_known >= own.known_at) AS to_best
        FROM n LEFT JOIN own USING (instrument_id, ts)
        LEFT JOIN ohlcv_1min b ON b.instrument_id = n.instrument_id AND b.ts = n.ts AND b.ts BETWEEN lo AND hi
        WHERE own.version IS NULL OR NOT (own.newest_same OR own.said)
    ), moved AS (
        INSERT INTO bar_superseded (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
        SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.n_ticks, b.version, b.known_at, b.source, b.flags
        FROM todo JOIN ohlcv_1min b ON b.instrument_id = todo.instrument_id AND b.ts = todo.ts AND b.ts BETWEEN lo AND hi
        WHERE todo.to_best
    ), replaced AS (
        UPDATE ohlcv_1min b SET open = t.open, high = t.high, low = t.low, close = t.close, volume = t.volume, n_ticks = t.n_ticks,
            flags = t.flags, version = t.version, known_at = p_known, source = p_source
        FROM todo t WHERE b.instrument_id = t.instrument_id AND b.ts = t.ts AND b.ts BETWEEN lo AND hi AND t.to_best AND t.best_source IS NOT NULL
    ), added AS (
        INSERT INTO ohlcv_1min (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
        SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, version, p_known, p_source, flags
        FROM todo WHERE best_source IS NULL
    ), kept AS (
        INSERT INTO bar_superseded (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
        SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, version, p_known, p_source, flags
        FROM todo WHERE NOT to_best
    )
    SELECT count(*) FILTER (WHERE NOT revision), cardinality(p_ids) - count(*), count(*) FILTER (WHERE revision),
           count(*) FILTER (WHERE to_best)
    INTO inserted, unchanged, revised, best_changed FROM todo;
END $$;
