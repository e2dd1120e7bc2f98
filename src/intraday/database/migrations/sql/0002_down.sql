DROP TABLE instrument_listings, instrument_tokens, instrument_former_symbols, instrument_changes, instrument_dumps, member_lists,
    universe_members, instrument_flags, candle_fetches, broker_origin;
ALTER TABLE run_days DROP COLUMN from_ts;
ALTER TABLE instrument_history DROP COLUMN valid_from, ADD COLUMN closing_auction boolean, ADD COLUMN tradable boolean,
    ADD COLUMN universe text[];
COMMENT ON COLUMN instrument_history.closing_auction IS 'True for stocks whose continuous trading ends with the closing auction; NULL unknown.';
COMMENT ON COLUMN instrument_history.tradable IS 'On the broker''s intraday list; NULL unknown.';
COMMENT ON COLUMN instrument_history.universe IS 'Universes it belonged to; NULL unknown.';
