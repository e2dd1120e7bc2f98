CREATE FUNCTION ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE sql AS 'SELECT 0';
COMMENT ON FUNCTION ensure_partitions IS 'TimescaleDB makes chunks by itself: nothing to do.';
