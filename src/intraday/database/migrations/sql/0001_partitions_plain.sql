CREATE FUNCTION ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    month timestamptz;
    part text;
    made integer := 0;
BEGIN
    FOR month IN SELECT generate_series(date_trunc('month', p_from, 'UTC'), p_to, interval '1 month') LOOP
        part := p_table || to_char(month AT TIME ZONE 'UTC', '_"y"YYYY"m"MM');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'), 0);
        -- Another writer may have been faster; a query sees that, to_regclass may answer from this session's cache.
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_class WHERE relname = part AND relnamespace = current_schema::regnamespace);
        -- Attaching lets readers and writers of the parent go on; CREATE TABLE ... PARTITION OF would stop them.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, p_table);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       p_table, part, month, month + interval '1 month');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION ensure_partitions IS
    'Makes the monthly partitions (UTC) of a time series that '
    'cover p_from to p_to; returns how many were missing. '
    'Safe under concurrency; call it before a write, in a transaction of its own.';
