CREATE FUNCTION kept_since(p_series text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('kept'), hashtext(p_series));
    RETURN (SELECT ts FROM kept_from WHERE series = p_series);  -- a look of its own, after the lock
END $$;
COMMENT ON FUNCTION kept_since IS 'For writers, before anything else in the transaction: from when on rows of a series are kept, NULL: all. That does not change until the transaction ends.';

CREATE FUNCTION drop_before(p_series text, p_before timestamptz) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    kept timestamptz := date_bin('7 days', p_before, '1970-01-01 00:00+00');  -- a Thursday, where TimescaleDB's chunks begin
    series text;
    patience integer := 600;
BEGIN
    IF p_series = 'bars' THEN  -- no refresh may be under way that began before the limit was known: it would roll up nothing
        PERFORM pg_advisory_xact_lock(hashtext('rollups'), 0);
    END IF;
    -- Writers under way, who know the old limit (kept_since), finish first. Asking again and again keeps no others waiting: behind a
    -- lock that is waited for they would queue.
    WHILE NOT pg_try_advisory_xact_lock(hashtext('kept'), hashtext(p_series)) LOOP
        patience := patience - 1;
        IF patience < 0 THEN
            RAISE EXCEPTION 'writers of % did not let retention in; nothing was dropped, the next time does it', p_series
                USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
    INSERT INTO kept_from AS k (series, ts) VALUES (p_series, kept)
        ON CONFLICT ON CONSTRAINT kept_from_pkey DO UPDATE SET ts = greatest(k.ts, excluded.ts)
        RETURNING k.ts INTO kept;
    IF p_series = 'bars' AND EXISTS (SELECT 1 FROM rollup_pending WHERE from_ts < kept) THEN
        RAISE EXCEPTION 'expected timeframes that have all minutes before %, found changes noted that they lack: refresh them first', kept
            USING ERRCODE = 'serialization_failure';  -- a writer was faster: the next time does it
    END IF;
    FOREACH series IN ARRAY CASE p_series WHEN 'bars' THEN ARRAY['ohlcv_1min', 'bar_superseded'] ELSE ARRAY[p_series] END LOOP
        PERFORM drop_old(series, kept);
    END LOOP;
    RETURN kept;
END $$;
COMMENT ON FUNCTION drop_before IS 'Retention: forgets the rows of a series (see kept_from) before p_before, rounded down to a Thursday 00:00 UTC, and records that. What was kept less long stays so. The timeframes keep what they have. Returns the limit.';

CREATE FUNCTION retention_limit(p_series text, p_days integer, p_now timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    newest timestamptz;
BEGIN
    EXECUTE format('SELECT max(ts) FROM %I', CASE p_series WHEN 'bars' THEN 'ohlcv_1min' ELSE p_series END) INTO newest;
    RETURN least(p_now, newest) - make_interval(days => p_days);
END $$;
COMMENT ON FUNCTION retention_limit IS 'From when on rows of a series (see kept_from) are to be kept: so many days before the newest one, or before p_now if that is earlier. A clock that is years ahead, or rows that are years old, drop nothing that is younger than the rest.';
