DROP FUNCTION kept_since(text);
DROP FUNCTION drop_before(text, timestamptz);
DROP FUNCTION retention_limit(text, integer, timestamptz);
DROP FUNCTION drop_old(text, timestamptz);
DROP FUNCTION refresh_rollups(integer[], timestamptz, timestamptz);
ALTER FUNCTION make_rollups(integer[], timestamptz, timestamptz) RENAME TO refresh_rollups;
GRANT EXECUTE ON FUNCTION refresh_rollups TO PUBLIC;
COMMENT ON FUNCTION refresh_rollups IS 'Make the 5, 15 and 60 minute bars of these instruments what their minutes p_from <= ts < p_to say, in whole hours. Changes no row that is right already; returns how many it changed.';
