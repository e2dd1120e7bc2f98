CREATE FUNCTION drop_old(p_table text, p_before timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    -- Emptied, not dropped: dropping would stop every reader of the whole table, and writers remember which partitions there are.
    FOR part IN
        SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = p_table::regclass AND pg_relation_size(c.oid) > 0
          AND make_timestamptz(substring(c.relname FROM '_y(\d{4})m\d\d$')::integer, substring(c.relname FROM 'm(\d\d)$')::integer,
                               1, 0, 0, 0, 'UTC') + interval '1 month' <= p_before
    LOOP
        EXECUTE format('TRUNCATE %s', part);
    END LOOP;
    EXECUTE format('DELETE FROM %I WHERE ts < $1', p_table) USING p_before;
END $$;
COMMENT ON FUNCTION drop_old IS 'Takes the rows before p_before out of a time series: whole months at a stroke, the rest one by one.';

ALTER FUNCTION refresh_rollups(integer[], timestamptz, timestamptz) RENAME TO make_rollups;
CREATE FUNCTION refresh_rollups(p_ids integer[], p_from timestamptz, p_to timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    kept CONSTANT timestamptz := (SELECT ts FROM kept_from WHERE series = 'bars');
    first CONSTANT timestamptz := greatest(  -- the first whole hour whose minutes are all kept
        p_from, date_bin('60 minutes', kept + interval '1 hour' - interval '1 microsecond', '2000-01-03 03:45+00'));
BEGIN
    RETURN CASE WHEN first < p_to THEN make_rollups(p_ids, first, p_to) ELSE 0 END;
END $$;
COMMENT ON FUNCTION refresh_rollups IS 'Make the 5, 15 and 60 minute bars of these instruments what their minutes p_from <= ts < p_to say, in whole hours; never before kept_from, where the minutes are gone. Changes no row that is right already; returns how many it changed.';
COMMENT ON FUNCTION make_rollups IS 'What refresh_rollups() does, whether the minutes are kept or not. Call that one.';
