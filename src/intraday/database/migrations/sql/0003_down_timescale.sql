DO $$
DECLARE
    minutes integer;
BEGIN
    FOREACH minutes IN ARRAY ARRAY[5, 15, 60] LOOP
        EXECUTE format('CREATE TABLE ohlcv_%1$smin_down (
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
            CONSTRAINT ohlcv_%1$smin_pkey PRIMARY KEY (instrument_id, ts))', minutes);
        EXECUTE format('INSERT INTO ohlcv_%1$smin_down SELECT * FROM ohlcv_%1$smin', minutes);
    END LOOP;
    FOREACH minutes IN ARRAY ARRAY[60, 15, 5] LOOP  -- each is made from the next
        EXECUTE format('DROP MATERIALIZED VIEW ohlcv_%smin', minutes);
        EXECUTE format('ALTER TABLE ohlcv_%1$smin_down RENAME TO ohlcv_%1$smin', minutes);
    END LOOP;
END $$;
COMMENT ON COLUMN ohlcv_5min.n_minutes IS 'One-minute bars in it; fewer than five where minutes had no trades or are missing.';
COMMENT ON COLUMN ohlcv_5min.flags IS 'The flags of its minutes, or-ed.';
