DROP FUNCTION refresh_rollups(integer[], timestamptz, timestamptz);
DROP TABLE ohlcv_5min, ohlcv_15min, ohlcv_60min;
INSERT INTO rollup_pending (from_ts, to_ts, instrument_ids)
    SELECT min(ts), max(ts) + interval '1 minute', '{}' FROM ohlcv_1min HAVING count(*) > 0;

-- The same origin at every level: 09:15 IST, domain.arrays.GRID_ORIGIN_NS. Nothing is added in real time: late corrections before the
-- watermark would be missing from it, so a reader could not tell what it sees (rollup_pending does).
CREATE MATERIALIZED VIEW ohlcv_5min
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false) AS
    SELECT instrument_id, time_bucket('5 minutes', ts, origin => '2000-01-03 03:45+00'::timestamptz) AS ts, first(open, ts) AS open,
           max(high) AS high, min(low) AS low, last(close, ts) AS close, sum(volume)::bigint AS volume, sum(n_ticks)::bigint AS n_ticks,
           count(*)::integer AS n_minutes, bit_or(flags) AS flags
    FROM ohlcv_1min GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW ohlcv_15min
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false) AS
    SELECT instrument_id, time_bucket('15 minutes', ts, origin => '2000-01-03 03:45+00'::timestamptz) AS ts, first(open, ts) AS open,
           max(high) AS high, min(low) AS low, last(close, ts) AS close, sum(volume)::bigint AS volume, sum(n_ticks)::bigint AS n_ticks,
           sum(n_minutes)::integer AS n_minutes, bit_or(flags) AS flags
    FROM ohlcv_5min GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW ohlcv_60min
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false) AS
    SELECT instrument_id, time_bucket('60 minutes', ts, origin => '2000-01-03 03:45+00'::timestamptz) AS ts, first(open, ts) AS open,
           max(high) AS high, min(low) AS low, last(close, ts) AS close, sum(volume)::bigint AS volume, sum(n_ticks)::bigint AS n_ticks,
           sum(n_minutes)::integer AS n_minutes, bit_or(flags) AS flags
    FROM ohlcv_15min GROUP BY 1, 2 WITH NO DATA;
CREATE INDEX ON ohlcv_5min (instrument_id, ts);
CREATE INDEX ON ohlcv_15min (instrument_id, ts);
CREATE INDEX ON ohlcv_60min (instrument_id, ts);
COMMENT ON VIEW ohlcv_5min IS 'Five-minute bars of the best minutes on the 09:15 IST grid, for people and dashboards. Behind the minutes by what rollup_pending says.';
COMMENT ON VIEW ohlcv_15min IS 'Fifteen-minute bars; see ohlcv_5min.';
COMMENT ON VIEW ohlcv_60min IS 'Sixty-minute bars; see ohlcv_5min. A session that opens off the grid gets a short first bucket.';
COMMENT ON COLUMN ohlcv_5min.n_minutes IS 'One-minute bars in it; fewer than five where minutes had no trades or are missing.';
COMMENT ON COLUMN ohlcv_5min.flags IS 'The flags of its minutes, or-ed.';
