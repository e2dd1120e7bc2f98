COMMENT ON TABLE ohlcv_5min IS 'Five-minute bars of the best minutes on the 09:15 IST grid; kept by refresh_rollups(), for people and dashboards.';
COMMENT ON TABLE ohlcv_15min IS 'Fifteen-minute bars; see ohlcv_5min.';
COMMENT ON TABLE ohlcv_60min IS 'Sixty-minute bars; see ohlcv_5min. A session that opens off the grid gets a short first bucket.';
DROP FUNCTION note_rollups;
DROP TABLE rollup_pending, kept_from;

DROP VIEW bar_versions;
ALTER TABLE bar_superseded RENAME TO bar_superseded_0003;
CREATE TABLE bar_superseded (
    LIKE ohlcv_1min,
    PRIMARY KEY (instrument_id, ts, source, version)
);
COMMENT ON TABLE bar_superseded IS 'Versions of minutes that are not the best: older ones, and those of less preferred sources. Never deleted.';
INSERT INTO bar_superseded SELECT * FROM bar_superseded_0003;
DROP TABLE bar_superseded_0003;
CREATE VIEW bar_versions AS
    SELECT instrument_id, ts, source, version, known_at, true AS best, open, high, low, close, volume, flags, n_ticks FROM ohlcv_1min
    UNION ALL
    SELECT instrument_id, ts, source, version, known_at, false, open, high, low, close, volume, flags, n_ticks FROM bar_superseded;
COMMENT ON VIEW bar_versions IS 'Every version of every minute ever stored, each exactly once.';
