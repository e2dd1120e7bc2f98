CREATE FUNCTION drop_before(p_series text, p_before timestamptz) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    kept timestamptz := date_bin('7 days', p_before, '1970-01-01 00:00+00');  -- a Thursday, where TimescaleDB's chunks begin
    series text;
BEGIN
    IF p_series = 'bars' THEN  -- no refresh may be under way that began before the limit was known: it would roll up nothing
        PERFORM pg_advisory_xact_lock(hashtext('rollups'), 0);
    END IF;
    INSERT INTO kept_from AS k (series, ts) VALUES (p_series, kept)
        ON CONFLICT ON CONSTRAINT kept_from_pkey DO UPDATE SET ts = greatest(k.ts, excluded.ts)
        RETURNING k.ts INTO kept;
    IF p_series = 'bars' AND EXISTS (SELECT 1 FROM rollup_pending WHERE from_ts < kept) THEN
        RAISE EXCEPTION 'expected timeframes that have all minutes before %, found changes noted that they lack: refresh them first', kept;
    END IF;
    FOREACH series IN ARRAY CASE p_series WHEN 'bars' THEN ARRAY['ohlcv_1min', 'bar_superseded'] ELSE ARRAY[p_series] END LOOP
        PERFORM drop_old(series, kept);
    END LOOP;
    RETURN kept;
END $$;
COMMENT ON FUNCTION drop_before IS 'Retention: forgets the rows of a series (see kept_from) before p_before, rounded down to a Thursday 00:00 UTC, and records that. What was kept less long stays so. The timeframes keep what they have. Returns the limit.';
