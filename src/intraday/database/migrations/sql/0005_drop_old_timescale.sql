CREATE FUNCTION drop_old(p_table text, p_before timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM drop_chunks(p_table::regclass, older_than => p_before);
    EXECUTE format('DELETE FROM %I WHERE ts < $1', p_table) USING p_before;  -- nothing, unless somebody changed the chunks' length
END $$;
COMMENT ON FUNCTION drop_old IS 'Takes the rows before p_before out of a time series: whole chunks, which end there.';
