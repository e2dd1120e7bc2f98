ALTER TABLE bar_superseded ADD COLUMN reason text;
COMMENT ON COLUMN bar_superseded.reason IS 'Why it is not the best: better source, late, rescaled, fetched again, imported again, changed, worse source, known before; NULL: it was superseded before revision 0008.';

CREATE FUNCTION rescaled(
    p_open double precision, p_high double precision, p_low double precision, p_close double precision,
    n_open double precision, n_high double precision, n_low double precision, n_close double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    -- The bounds keep quotients from overflowing, which would stop the write.
    SELECT CASE WHEN least(p_open, p_high, p_low, p_close, n_open, n_high, n_low, n_close) > 1e-3
                 AND greatest(p_open, p_high, p_low, p_close, n_open, n_high, n_low, n_close) < 1e12
           THEN n_close / p_close NOT BETWEEN 0.98 AND 1.02
                AND greatest(n_open / p_open, n_high / p_high, n_low / p_low, n_close / p_close)
                    <= 1.005 * least(n_open / p_open, n_high / p_high, n_low / p_low, n_close / p_close)
           ELSE false END
$$;
COMMENT ON FUNCTION rescaled IS 'Whether all prices of a bar changed by one factor (within half a percent) of 2 % or more: its source adjusted it for a corporate action.';

-- The same rules; a version that is put aside says why.
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
        INSERT INTO bar_superseded (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags, reason)
        SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.n_ticks, b.version, b.known_at, b.source, b.flags,
               CASE WHEN b.source <> p_source THEN 'better source'
                    WHEN todo.flags & 2 <> 0 THEN 'late'
                    WHEN rescaled(b.open, b.high, b.low, b.close, todo.open, todo.high, todo.low, todo.close) THEN 'rescaled'
                    WHEN p_source = 'broker' THEN 'fetched again'
                    WHEN p_source = 'import' THEN 'imported again'
                    ELSE 'changed' END
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
        INSERT INTO bar_superseded (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags, reason)
        SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, version, p_known, p_source, flags,
               CASE best_source WHEN p_source THEN 'known before' ELSE 'worse source' END
        FROM todo WHERE NOT to_best
    )
    SELECT count(*) FILTER (WHERE NOT revision), cardinality(p_ids) - count(*), count(*) FILTER (WHERE revision),
           count(*) FILTER (WHERE to_best)
    INTO inserted, unchanged, revised, best_changed FROM todo;
END $$;

CREATE OR REPLACE VIEW bar_versions AS
    SELECT instrument_id, ts, source, version, known_at, true AS best, open, high, low, close, volume, flags, n_ticks, NULL::text AS reason
    FROM ohlcv_1min
    UNION ALL
    SELECT instrument_id, ts, source, version, known_at, false, open, high, low, close, volume, flags, n_ticks, reason FROM bar_superseded;
COMMENT ON COLUMN bar_versions.reason IS 'Why it is not the best, see bar_superseded; NULL for the best.';

CREATE VIEW bar_revisions AS
    SELECT i.exchange, i.symbol, s.ts, s.reason, s.source, s.version, s.known_at, s.open, s.high, s.low, s.close, s.volume,
           b.source AS best_source, b.version AS best_version, b.known_at AS best_known_at, b.open AS best_open, b.high AS best_high,
           b.low AS best_low, b.close AS best_close, b.volume AS best_volume, s.instrument_id
    FROM bar_superseded s JOIN instruments i ON i.id = s.instrument_id
    LEFT JOIN ohlcv_1min b ON b.instrument_id = s.instrument_id AND b.ts = s.ts;
COMMENT ON VIEW bar_revisions IS 'Versions of minutes that are not the best: why, and the best one beside each.';
DO $$
DECLARE
    attribute text;
    said text;
BEGIN
    FOR attribute, said IN
        SELECT a.attname, coalesce(c.s, col_description('bar_superseded'::regclass, r.attnum))
        FROM pg_attribute a LEFT JOIN pg_attribute r ON r.attrelid = 'bar_superseded'::regclass AND r.attname = a.attname
        LEFT JOIN (VALUES ('exchange', 'NSE, BSE ...'), ('symbol', 'The exchange''s symbol, as last known.'),
                          ('best_source', 'Who made the best version.'), ('best_version', 'Its number.'),
                          ('best_known_at', 'When it became known to us.'), ('best_open', 'Its first price, rupees.'),
                          ('best_high', 'Its highest.'), ('best_low', 'Its lowest.'), ('best_close', 'Its last.'),
                          ('best_volume', 'Its shares traded.')) AS c (a, s) ON c.a = a.attname
        WHERE a.attrelid = 'bar_revisions'::regclass AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN bar_revisions.%I IS %L', attribute, said);
    END LOOP;
END $$;
