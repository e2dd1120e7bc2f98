CREATE TABLE ohlcv_1min (
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume bigint,
    n_ticks integer NOT NULL,
    version integer NOT NULL,
    known_at timestamptz NOT NULL,
    source source NOT NULL,
    flags smallint NOT NULL,
    PRIMARY KEY (instrument_id, ts)
) /* SERIES ohlcv_1min */;
COMMENT ON TABLE ohlcv_1min IS 'The best version of every closed minute: the preferred source''s newest. A minute without trades has no row.';
COMMENT ON COLUMN ohlcv_1min.ts IS 'Open time of the minute.';
COMMENT ON COLUMN ohlcv_1min.open IS 'Rupees, as are high, low and close.';
COMMENT ON COLUMN ohlcv_1min.volume IS 'Shares traded in the minute; NULL for indices, which have none.';
COMMENT ON COLUMN ohlcv_1min.n_ticks IS 'Ticks it was made from; 0 where unknown.';
COMMENT ON COLUMN ohlcv_1min.version IS '1, 2, 3 ... per instrument, minute and source.';
COMMENT ON COLUMN ohlcv_1min.known_at IS 'When this version became known to us.';
COMMENT ON COLUMN ohlcv_1min.source IS 'Who made it.';
COMMENT ON COLUMN ohlcv_1min.flags IS 'Bits: 1 partial, 2 late (domain.arrays.BarFlag).';

CREATE TABLE bar_superseded (
    LIKE ohlcv_1min,
    PRIMARY KEY (instrument_id, ts, source, version)
);
COMMENT ON TABLE bar_superseded IS 'Versions of minutes that are not the best: older ones, and those of less preferred sources. Never deleted.';

CREATE VIEW bar_versions AS
    SELECT instrument_id, ts, source, version, known_at, true AS best, open, high, low, close, volume, flags, n_ticks FROM ohlcv_1min
    UNION ALL
    SELECT instrument_id, ts, source, version, known_at, false, open, high, low, close, volume, flags, n_ticks FROM bar_superseded;
COMMENT ON VIEW bar_versions IS 'Every version of every minute ever stored, each exactly once.';

CREATE TABLE ohlcv_5min (
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume bigint,
    n_ticks bigint NOT NULL,
    n_minutes integer NOT NULL,
    flags smallint NOT NULL,
    PRIMARY KEY (instrument_id, ts)
);
CREATE TABLE ohlcv_15min (LIKE ohlcv_5min, PRIMARY KEY (instrument_id, ts));
CREATE TABLE ohlcv_60min (LIKE ohlcv_5min, PRIMARY KEY (instrument_id, ts));
COMMENT ON TABLE ohlcv_5min IS 'Five-minute bars of the best minutes on the 09:15 IST grid; kept by refresh_rollups(), for people and dashboards.';
COMMENT ON TABLE ohlcv_15min IS 'Fifteen-minute bars; see ohlcv_5min.';
COMMENT ON TABLE ohlcv_60min IS 'Sixty-minute bars; see ohlcv_5min. A session that opens off the grid gets a short first bucket.';
COMMENT ON COLUMN ohlcv_5min.n_minutes IS 'One-minute bars in it; fewer than five where minutes had no trades or are missing.';
COMMENT ON COLUMN ohlcv_5min.flags IS 'The flags of its minutes, or-ed.';

CREATE TABLE candle_gaps (
    instrument_id integer NOT NULL,
    start_ts timestamptz NOT NULL,
    end_ts timestamptz NOT NULL,
    reason text NOT NULL,
    n_minutes integer NOT NULL,
    tried text,
    PRIMARY KEY (instrument_id, start_ts, end_ts)
);
COMMENT ON TABLE candle_gaps IS 'Minutes of a session that are missing: open times start_ts <= t < end_ts.';
COMMENT ON COLUMN candle_gaps.reason IS 'Why, as far as known.';
COMMENT ON COLUMN candle_gaps.n_minutes IS 'Missing minutes of sessions inside the range.';
COMMENT ON COLUMN candle_gaps.tried IS 'What was tried to fill it; NULL nothing yet.';

CREATE TABLE quarantine (
    digest bytea PRIMARY KEY,
    symbol text NOT NULL,
    origin text NOT NULL,
    ts timestamptz,
    reason text NOT NULL,
    content jsonb NOT NULL
);
CREATE INDEX quarantine_symbol ON quarantine (symbol, reason);
COMMENT ON TABLE quarantine IS 'Rows that were refused, once each.';
COMMENT ON COLUMN quarantine.digest IS 'Hash of the row and where it stood.';
COMMENT ON COLUMN quarantine.origin IS 'File and row number, or the feed.';
COMMENT ON COLUMN quarantine.ts IS 'Its time stamp if it had a readable one.';
COMMENT ON COLUMN quarantine.content IS 'The row as found.';
