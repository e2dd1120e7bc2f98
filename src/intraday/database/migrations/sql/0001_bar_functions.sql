CREATE FUNCTION lock_instruments(p_ids integer[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    slot integer;
BEGIN
    -- 64 slots, taken in order: no deadlock, and the lock table stays small whatever the universe.
    FOR slot IN SELECT DISTINCT id % 64 FROM unnest(p_ids) AS id ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtext('lock_instruments'), slot);
    END LOOP;
END $$;
COMMENT ON FUNCTION lock_instruments IS 'Writers of the same instruments take turns until their transactions end.';

CREATE FUNCTION refresh_rollups(p_ids integer[], p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    origin CONSTANT timestamptz := '2000-01-03 03:45+00';  -- 09:15 IST, domain.arrays.GRID_ORIGIN_NS
    base text[] := ARRAY['ohlcv_1min', 'ohlcv_5min', 'ohlcv_15min'];
    target text[] := ARRAY['ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min'];
    step interval[] := ARRAY['5 minutes', '15 minutes', '60 minutes']::interval[];
    first timestamptz;
    stop timestamptz;
    occupied boolean;
BEGIN
    FOR i IN 1..3 LOOP  -- each level from the one below: exact, and a fifth of the work
        first := date_bin(step[i], p_from, origin);
        stop := date_bin(step[i], p_to - interval '1 microsecond', origin) + step[i];
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE instrument_id = ANY ($1) AND ts >= $2 AND ts < $3)', target[i])
            INTO occupied USING p_ids, first, stop;
        EXECUTE format(
            'INSERT INTO %1$I AS t (instrument_id, ts, open, high, low, close, volume, n_ticks, n_minutes, flags)
             SELECT instrument_id, date_bin($4, ts, $5), (array_agg(open ORDER BY ts))[1], max(high), min(low),
                    (array_agg(close ORDER BY ts))[count(*)], sum(volume)::bigint, sum(n_ticks)::bigint, %3$s, bit_or(flags)
             FROM %2$I WHERE instrument_id = ANY ($1) AND ts >= $2 AND ts < $3
             GROUP BY instrument_id, date_bin($4, ts, $5)', target[i], base[i], CASE i WHEN 1 THEN 'count(*)' ELSE 'sum(n_minutes)' END)
            || CASE WHEN occupied THEN
            ' ON CONFLICT (instrument_id, ts) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
                close = excluded.close, volume = excluded.volume, n_ticks = excluded.n_ticks, n_minutes = excluded.n_minutes,
                flags = excluded.flags
              WHERE (t.open, t.high, t.low, t.close, t.volume, t.n_ticks, t.n_minutes, t.flags) IS DISTINCT FROM
                (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.n_ticks, excluded.n_minutes,
                 excluded.flags)' ELSE '' END
            USING p_ids, first, stop, step[i], origin;
    END LOOP;
END $$;
COMMENT ON FUNCTION refresh_rollups IS 'Bring the 5, 15 and 60 minute bars of these instruments up to date for minutes p_from <= ts < p_to. Changes no row that is right already.';

CREATE FUNCTION store_bars(
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
        SELECT n.instrument_id, n.ts, max(v.version) AS version,
               max(v.known_at) AS known_at,
               (array_agg(v.same ORDER BY v.known_at DESC, v.version DESC))[1] AS newest_same,
               bool_or(v.same AND v.known_at = p_known) AS said
        FROM n CROSS JOIN LATERAL (
            SELECT c.version, c.known_at, (c.open, c.high, c.low, c.close, c.volume, c.n_ticks, c.flags)
                   IS NOT DISTINCT FROM (n.open, n.high, n.low, n.close, n.volume, n.n_ticks, n.flags) AS same
            FROM ohlcv_1min c WHERE c.instrument_id = n.instrument_id AND c.ts = n.ts AND c.ts BETWEEN lo AND hi AND c.source = p_source
            UNION ALL
            SELECT c.version, c.known_at, (c.open, c.high, c.low, c.close, c.volume, c.n_ticks, c.flags)
                   IS NOT DISTINCT FROM (n.open, n.high, n.low, n.close, n.volume, n.n_ticks, n.flags)
            FROM bar_superseded c WHERE c.instrument_id = n.instrument_id AND c.ts = n.ts AND c.ts BETWEEN lo AND hi AND c.source = p_source
        ) v GROUP BY n.instrument_id, n.ts
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
COMMENT ON FUNCTION store_bars IS 'Store versions of minutes of one source; the rules are in docs/adr/0011-bar-versions.md. Rollups are the caller''s: refresh_rollups() when best_changed > 0.';

CREATE FUNCTION forget_bars(p_source source, p_from timestamptz, p_to timestamptz) RETURNS bigint
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
        )
        INSERT INTO ohlcv_1min (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
        SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags FROM next;
        -- Whole sessions are forgotten, so no bucket reaches over the edges.
        DELETE FROM ohlcv_5min WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to;
        DELETE FROM ohlcv_15min WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to;
        DELETE FROM ohlcv_60min WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to;
        PERFORM refresh_rollups(p_ids, p_from, p_to);
    END IF;
    RETURN best + older;
END $$;
COMMENT ON FUNCTION forget_bars IS 'Forget all bars of one source in a range of whole days; the next best version of a minute becomes the best again.';
