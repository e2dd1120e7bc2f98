DROP FUNCTION refresh_rollups(integer[], timestamptz, timestamptz);
CREATE FUNCTION refresh_rollups(p_ids integer[], p_from timestamptz, p_to timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    origin CONSTANT timestamptz := '2000-01-03 03:45+00';  -- 09:15 IST, domain.arrays.GRID_ORIGIN_NS
    base text[] := ARRAY['ohlcv_1min', 'ohlcv_5min', 'ohlcv_15min'];
    target text[] := ARRAY['ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min'];
    step interval[] := ARRAY['5 minutes', '15 minutes', '60 minutes']::interval[];
    first timestamptz := date_bin('60 minutes', p_from, origin);  -- whole hours: all three levels see the same minutes
    stop timestamptz := date_bin('60 minutes', p_to - interval '1 microsecond', origin) + interval '60 minutes';
    occupied boolean;
    changed bigint := 0;
    n bigint;
BEGIN
    FOR i IN 1..3 LOOP  -- each level from the one below: exact, and a fifth of the work
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE instrument_id = ANY ($1) AND ts >= $2 AND ts < $3)', target[i])
            INTO occupied USING p_ids, first, stop;
        IF occupied THEN  -- minutes may have been taken away
            EXECUTE format(
                'DELETE FROM %1$I t WHERE instrument_id = ANY ($1) AND ts >= $2 AND ts < $3
                   AND NOT EXISTS (SELECT 1 FROM %2$I b WHERE b.instrument_id = t.instrument_id AND b.ts >= t.ts AND b.ts < t.ts + $4
                                   AND b.ts >= $2 AND b.ts < $3)', target[i], base[i]) USING p_ids, first, stop, step[i];
            GET DIAGNOSTICS n = ROW_COUNT;
            changed := changed + n;
        END IF;
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
        GET DIAGNOSTICS n = ROW_COUNT;
        changed := changed + n;
    END LOOP;
    RETURN changed;
END $$;
COMMENT ON FUNCTION refresh_rollups IS 'Make the 5, 15 and 60 minute bars of these instruments what their minutes p_from <= ts < p_to say, in whole hours. Changes no row that is right already; returns how many it changed.';
COMMENT ON TABLE ohlcv_5min IS 'Five-minute bars of the best minutes on the 09:15 IST grid, for people and dashboards. Behind the minutes by what rollup_pending says.';
