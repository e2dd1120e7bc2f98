-- ------------------------------------------------------------- superseded versions are a time series like the best ones
DROP VIEW bar_versions;
ALTER TABLE bar_superseded RENAME TO bar_superseded_0002;
CREATE TABLE bar_superseded (
    LIKE ohlcv_1min,
    PRIMARY KEY (instrument_id, ts, source, version)
) /* SERIES bar_superseded */;
COMMENT ON TABLE bar_superseded IS 'Versions of minutes that are not the best: older ones, and those of less preferred sources. Deleted by retention only.';
