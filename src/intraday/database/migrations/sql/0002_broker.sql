-- ------------------------------------------------------------------------------------ what the broker lists, dated
-- Everywhere: valid_from <= day < valid_to; valid_to NULL: still so. Days are IST, of the list that said it.

ALTER TABLE instrument_history DROP COLUMN closing_auction, DROP COLUMN tradable, DROP COLUMN universe, ADD COLUMN valid_from date;
COMMENT ON COLUMN instrument_history.valid_from IS 'Day of the broker''s list that said so; NULL for a state from elsewhere.';

CREATE TABLE instrument_listings (
    instrument_id integer PRIMARY KEY REFERENCES instruments (id),
    name text NOT NULL,
    segment text NOT NULL,
    exchange_token bigint NOT NULL,
    expiry date,
    strike double precision NOT NULL,
    listed_from date NOT NULL,
    delisted_on date
);
CREATE INDEX instrument_listings_name ON instrument_listings (name);
COMMENT ON TABLE instrument_listings IS 'What the broker''s daily list of instruments says beyond instruments, as it last said it.';
COMMENT ON COLUMN instrument_listings.name IS 'Company, or the underlying of a derivative; may be empty.';
COMMENT ON COLUMN instrument_listings.listed_from IS 'Day of the first list that had it; the first list of all has everything.';
COMMENT ON COLUMN instrument_listings.delisted_on IS 'Day of the first list without it; NULL: it is listed.';

CREATE TABLE instrument_tokens (
    instrument_id integer NOT NULL REFERENCES instruments (id),
    token bigint NOT NULL,
    valid_from date NOT NULL,
    valid_to date CHECK (valid_to > valid_from),
    PRIMARY KEY (instrument_id, valid_from)
);
CREATE INDEX instrument_tokens_token ON instrument_tokens (token, valid_from);
CREATE UNIQUE INDEX instrument_tokens_now ON instrument_tokens (token) WHERE valid_to IS NULL;
COMMENT ON TABLE instrument_tokens IS 'The broker''s number of an instrument by day: numbers are reused after expiry and delisting.';

CREATE TABLE instrument_former_symbols (
    exchange text NOT NULL,
    symbol text NOT NULL,
    instrument_id integer NOT NULL REFERENCES instruments (id),
    valid_to date NOT NULL,
    PRIMARY KEY (exchange, symbol, valid_to)
);
COMMENT ON TABLE instrument_former_symbols IS 'Symbols an instrument was renamed from.';
COMMENT ON COLUMN instrument_former_symbols.valid_to IS 'First day of its next symbol.';

CREATE TABLE instrument_changes (
    day date NOT NULL,
    instrument_id integer NOT NULL REFERENCES instruments (id),
    change text NOT NULL CHECK (change IN ('listed', 'delisted', 'renamed', 'token_changed', 'token_reused', 'tick_size', 'lot_size',
                                           'kind', 'expiry')),
    old text,
    new text,
    PRIMARY KEY (day, instrument_id, change)
);
COMMENT ON TABLE instrument_changes IS 'What one list of instruments had that the one before it had not. The first list is no change.';
COMMENT ON COLUMN instrument_changes.change IS 'What changed; token_reused: its number was that of the instrument named in old.';
COMMENT ON COLUMN instrument_changes.old IS 'Before; tick_size in paise.';

CREATE TABLE instrument_dumps (
    exchange text NOT NULL,
    day date NOT NULL,
    n_rows integer NOT NULL,
    n_listed integer NOT NULL,
    PRIMARY KEY (exchange, day)
);
COMMENT ON TABLE instrument_dumps IS 'Lists of instruments that were taken over, one a day and exchange.';
COMMENT ON COLUMN instrument_dumps.n_rows IS 'All its rows, options included.';
COMMENT ON COLUMN instrument_dumps.n_listed IS 'Rows that became instruments.';

-- --------------------------------------------------------------------------- what somebody says of instruments, dated
CREATE TABLE member_lists (
    kind text NOT NULL CHECK (kind IN ('universe', 'flag')),
    name text NOT NULL,
    day date NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (kind, name, day)
);
COMMENT ON TABLE member_lists IS 'From which days on membership is known: on each of them a whole list was given. Before the first: unknown.';
COMMENT ON COLUMN member_lists.name IS 'Of the universe or the flag.';
COMMENT ON COLUMN member_lists.source IS 'Who says so: a file, or the broker''s list of instruments.';

CREATE TABLE universe_members (
    universe text NOT NULL,
    instrument_id integer NOT NULL REFERENCES instruments (id),
    valid_from date NOT NULL,
    valid_to date CHECK (valid_to > valid_from),
    PRIMARY KEY (universe, instrument_id, valid_from)
);
COMMENT ON TABLE universe_members IS 'Members of universes by day: fno, and those imported (trading.universe index:NAME).';

CREATE TABLE instrument_flags (
    instrument_id integer NOT NULL REFERENCES instruments (id),
    flag text NOT NULL CHECK (flag IN ('mis', 't2t', 'asm', 'gsm', 'closing_auction')),
    valid_from date NOT NULL,
    valid_to date CHECK (valid_to > valid_from),
    value text,
    source text NOT NULL,
    PRIMARY KEY (flag, instrument_id, valid_from)
);
COMMENT ON TABLE instrument_flags IS 'Instruments on dated lists; one that is not on a list that is known for the day is not flagged, without a list it is unknown.';
COMMENT ON COLUMN instrument_flags.flag IS 'mis: intraday allowed; t2t: trade to trade; asm, gsm: surveillance; closing_auction: its session ends 15:15.';
COMMENT ON COLUMN instrument_flags.value IS 'What the list says beside the symbol: leverage, stage; NULL nothing.';

-- --------------------------------------------------------------------------------- candles that the broker was asked for
CREATE TABLE candle_fetches (
    instrument_id integer NOT NULL,
    day date NOT NULL,
    until_ts timestamptz NOT NULL,
    n_bars integer NOT NULL CHECK (n_bars >= 0),
    complete boolean NOT NULL,
    empty_at timestamptz,
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, day)
);
COMMENT ON TABLE candle_fetches IS 'Days of which the broker''s minute candles were fetched, written in one transaction with the bars: what is complete is not asked again.';
COMMENT ON COLUMN candle_fetches.day IS 'Indian day of the session.';
COMMENT ON COLUMN candle_fetches.until_ts IS 'Every minute that ends by then is stored or in candle_gaps.';
COMMENT ON COLUMN candle_fetches.n_bars IS 'Candles accepted of the last answer that had any; 0: there was none.';
COMMENT ON COLUMN candle_fetches.complete IS 'It was asked for when its candles change no more.';
COMMENT ON COLUMN candle_fetches.empty_at IS 'First of the answers without a candle of it in a row; NULL: the last one had some.';
COMMENT ON COLUMN candle_fetches.asked_at IS 'When the answer came that changed this row last.';

-- ------------------------------------------------------------------------------------------- whose prices these are
CREATE TABLE broker_origin (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    name text NOT NULL,
    made_up boolean NOT NULL,
    claimed_at timestamptz NOT NULL
);
COMMENT ON TABLE broker_origin IS 'The one broker this database is filled from: made-up prices and real ones never share one.';
COMMENT ON COLUMN broker_origin.made_up IS 'The broker is a simulator: its prices are no real ones.';
COMMENT ON COLUMN broker_origin.name IS 'Host of the REST API, or the bundled exchange.';

-- ----------------------------------------------------------------------- a live run that starts within a session
ALTER TABLE run_days ADD COLUMN from_ts timestamptz;
COMMENT ON COLUMN run_days.from_ts IS 'The run answers for minutes from then on; NULL: for the whole day. What an earlier run stored before stays.';

CREATE OR REPLACE FUNCTION forget_bars(p_source source, p_from timestamptz, p_to timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    p_ids integer[] := ARRAY(
        SELECT DISTINCT instrument_id FROM bar_versions WHERE source = p_source AND ts >= p_from AND ts < p_to ORDER BY 1);
    best bigint;
    older bigint;
BEGIN
    PERFORM lock_instruments(p_ids);
    DELETE FROM ohlcv_1min WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to AND source = p_source;
    GET DIAGNOSTICS best = ROW_COUNT;
    DELETE FROM bar_superseded WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to AND source = p_source;
    GET DIAGNOSTICS older = ROW_COUNT;
    IF best > 0 THEN
        WITH next AS (  -- the preferred of what is left becomes the best
            SELECT DISTINCT ON (instrument_id, ts) * FROM bar_superseded s
            WHERE instrument_id = ANY (p_ids) AND ts >= p_from AND ts < p_to
              AND NOT EXISTS (SELECT 1 FROM ohlcv_1min b WHERE b.instrument_id = s.instrument_id AND b.ts = s.ts)
            ORDER BY instrument_id, ts, source, known_at DESC, version DESC
        ), gone AS (
            DELETE FROM bar_superseded s USING next n
            WHERE (s.instrument_id, s.ts, s.source, s.version) = (n.instrument_id, n.ts, n.source, n.version)
        )
        INSERT INTO ohlcv_1min (instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags)
        SELECT instrument_id, ts, open, high, low, close, volume, n_ticks, version, known_at, source, flags FROM next;
        -- A bucket that began before p_from loses what it had of the range and is made again from the rest.
        DELETE FROM ohlcv_5min WHERE instrument_id = ANY (p_ids) AND ts > p_from - interval '5 minutes' AND ts < p_to;
        DELETE FROM ohlcv_15min WHERE instrument_id = ANY (p_ids) AND ts > p_from - interval '15 minutes' AND ts < p_to;
        DELETE FROM ohlcv_60min WHERE instrument_id = ANY (p_ids) AND ts > p_from - interval '60 minutes' AND ts < p_to;
        PERFORM refresh_rollups(p_ids, p_from, p_to);
    END IF;
    RETURN best + older;
END $$;
COMMENT ON FUNCTION forget_bars IS 'Forget all bars of one source in a range that ends with a session; the next best version of a minute becomes the best again.';
