CREATE TABLE corporate_actions (
    instrument_id integer NOT NULL REFERENCES instruments (id),
    ex_date date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('split', 'bonus', 'dividend', 'rights', 'other')),
    version integer NOT NULL CHECK (version > 0),
    price_factor double precision NOT NULL CHECK (price_factor > 0 AND price_factor < 'infinity'),
    volume_factor double precision NOT NULL CHECK (volume_factor > 0 AND volume_factor < 'infinity'),
    terms text NOT NULL,
    source text NOT NULL,
    known_at timestamptz NOT NULL,
    gone_at timestamptz CHECK (gone_at >= known_at),
    PRIMARY KEY (instrument_id, ex_date, kind, version)
);
CREATE UNIQUE INDEX corporate_actions_now ON corporate_actions (instrument_id, ex_date, kind) WHERE gone_at IS NULL;
COMMENT ON TABLE corporate_actions IS 'Splits, bonuses, dividends, rights: what earlier prices are multiplied with to compare with those from the ex-date on. Bars are stored as traded.';
COMMENT ON COLUMN corporate_actions.instrument_id IS 'instruments.id.';
COMMENT ON COLUMN corporate_actions.ex_date IS 'First Indian day that trades without what the action gives.';
COMMENT ON COLUMN corporate_actions.kind IS 'split, bonus, dividend, rights or other.';
COMMENT ON COLUMN corporate_actions.version IS '1, 2, 3 ... per instrument, ex-date and kind: a correction is a new one.';
COMMENT ON COLUMN corporate_actions.price_factor IS 'Prices before the ex-date times this.';
COMMENT ON COLUMN corporate_actions.volume_factor IS 'Volumes before the ex-date times this; 1 for dividends.';
COMMENT ON COLUMN corporate_actions.terms IS 'As given: before:after of a split, new:held of a bonus, rupees of a dividend, new:held@price of rights, the factor of others.';
COMMENT ON COLUMN corporate_actions.source IS 'Who says so.';
COMMENT ON COLUMN corporate_actions.known_at IS 'When this version became known to us.';
COMMENT ON COLUMN corporate_actions.gone_at IS 'When it was corrected or removed; NULL: it counts.';

CREATE FUNCTION adjustments(p_day date, p_known timestamptz DEFAULT 'infinity')
RETURNS TABLE (instrument_id integer, from_ts timestamptz, to_ts timestamptz, price_factor double precision, volume_factor double precision)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
#variable_conflict use_column
DECLARE
    action record;
BEGIN
    -- The newest first: each factor is that of the later actions times its own, one multiplication after another, as
    -- core.actions.factors does it, so that both give the same bits.
    FOR action IN
        SELECT c.instrument_id AS id, c.price_factor AS price, c.volume_factor AS volume, c.ex_date,
               lead(c.ex_date) OVER (PARTITION BY c.instrument_id ORDER BY c.ex_date DESC, c.kind COLLATE "C") AS earlier
        FROM corporate_actions c
        WHERE c.ex_date <= p_day AND c.known_at <= p_known AND (c.gone_at IS NULL OR c.gone_at > p_known)
        ORDER BY c.instrument_id, c.ex_date DESC, c.kind COLLATE "C"
    LOOP
        IF action.id IS DISTINCT FROM instrument_id THEN
            instrument_id := action.id;
            price_factor := 1;
            volume_factor := 1;
        END IF;
        price_factor := price_factor * action.price;
        volume_factor := volume_factor * action.volume;
        CONTINUE WHEN action.earlier = action.ex_date;
        from_ts := coalesce(action.earlier::timestamp AT TIME ZONE 'Asia/Kolkata', '-infinity');
        to_ts := action.ex_date::timestamp AT TIME ZONE 'Asia/Kolkata';
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION adjustments IS 'What bars with from_ts <= ts < to_ts are multiplied with to compare with those of p_day: by actions gone ex by then, as known at p_known. Bars in no row stay as they are.';

CREATE FUNCTION ohlcv_1min_as_of(p_day date, p_known timestamptz DEFAULT 'infinity')
RETURNS TABLE (instrument_id integer, ts timestamptz, open double precision, high double precision, low double precision,
               close double precision, volume double precision, n_ticks integer, source source, flags smallint, price_factor double precision)
LANGUAGE sql STABLE AS $$
    SELECT b.instrument_id, b.ts, b.open * coalesce(a.price_factor, 1), b.high * coalesce(a.price_factor, 1),
           b.low * coalesce(a.price_factor, 1), b.close * coalesce(a.price_factor, 1), b.volume * coalesce(a.volume_factor, 1),
           b.n_ticks, b.source, b.flags, coalesce(a.price_factor, 1)
    FROM ohlcv_1min b LEFT JOIN adjustments(p_day, p_known) a
      ON a.instrument_id = b.instrument_id AND b.ts >= a.from_ts AND b.ts < a.to_ts
    WHERE b.ts < (p_day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata'
$$;
COMMENT ON FUNCTION ohlcv_1min_as_of IS 'One-minute bars up to and with an Indian day, as they compare with prices of that day: columns of ohlcv_1min_adjusted. p_known: by what was known of corporate actions then.';

CREATE VIEW ohlcv_1min_adjusted AS
    SELECT b.instrument_id, b.ts, b.open * coalesce(a.price_factor, 1) AS open, b.high * coalesce(a.price_factor, 1) AS high,
           b.low * coalesce(a.price_factor, 1) AS low, b.close * coalesce(a.price_factor, 1) AS close,
           b.volume * coalesce(a.volume_factor, 1) AS volume, b.n_ticks, b.source, b.flags, coalesce(a.price_factor, 1) AS price_factor
    FROM ohlcv_1min b LEFT JOIN adjustments((now() AT TIME ZONE 'Asia/Kolkata')::date) a
      ON a.instrument_id = b.instrument_id AND b.ts >= a.from_ts AND b.ts < a.to_ts;
COMMENT ON VIEW ohlcv_1min_adjusted IS 'ohlcv_1min as it compares with prices of today, by the corporate actions that have gone ex. Of another day: ohlcv_1min_as_of(day).';
CREATE VIEW ohlcv_5min_adjusted AS
    SELECT b.instrument_id, b.ts, b.open * coalesce(a.price_factor, 1) AS open, b.high * coalesce(a.price_factor, 1) AS high,
           b.low * coalesce(a.price_factor, 1) AS low, b.close * coalesce(a.price_factor, 1) AS close,
           b.volume * coalesce(a.volume_factor, 1) AS volume, b.n_ticks, b.n_minutes, b.flags, coalesce(a.price_factor, 1) AS price_factor
    FROM ohlcv_5min b LEFT JOIN adjustments((now() AT TIME ZONE 'Asia/Kolkata')::date) a
      ON a.instrument_id = b.instrument_id AND b.ts >= a.from_ts AND b.ts < a.to_ts;
COMMENT ON VIEW ohlcv_5min_adjusted IS 'ohlcv_5min as it compares with prices of today, by the corporate actions that have gone ex.';
CREATE VIEW ohlcv_15min_adjusted AS
    SELECT b.instrument_id, b.ts, b.open * coalesce(a.price_factor, 1) AS open, b.high * coalesce(a.price_factor, 1) AS high,
           b.low * coalesce(a.price_factor, 1) AS low, b.close * coalesce(a.price_factor, 1) AS close,
           b.volume * coalesce(a.volume_factor, 1) AS volume, b.n_ticks, b.n_minutes, b.flags, coalesce(a.price_factor, 1) AS price_factor
    FROM ohlcv_15min b LEFT JOIN adjustments((now() AT TIME ZONE 'Asia/Kolkata')::date) a
      ON a.instrument_id = b.instrument_id AND b.ts >= a.from_ts AND b.ts < a.to_ts;
COMMENT ON VIEW ohlcv_15min_adjusted IS 'ohlcv_15min as it compares with prices of today, by the corporate actions that have gone ex.';
CREATE VIEW ohlcv_60min_adjusted AS
    SELECT b.instrument_id, b.ts, b.open * coalesce(a.price_factor, 1) AS open, b.high * coalesce(a.price_factor, 1) AS high,
           b.low * coalesce(a.price_factor, 1) AS low, b.close * coalesce(a.price_factor, 1) AS close,
           b.volume * coalesce(a.volume_factor, 1) AS volume, b.n_ticks, b.n_minutes, b.flags, coalesce(a.price_factor, 1) AS price_factor
    FROM ohlcv_60min b LEFT JOIN adjustments((now() AT TIME ZONE 'Asia/Kolkata')::date) a
      ON a.instrument_id = b.instrument_id AND b.ts >= a.from_ts AND b.ts < a.to_ts;
COMMENT ON VIEW ohlcv_60min_adjusted IS 'ohlcv_60min as it compares with prices of today, by the corporate actions that have gone ex.';
DO $$
DECLARE
    raw text;
    attribute text;
    said text;
BEGIN
    FOREACH raw IN ARRAY ARRAY['ohlcv_1min', 'ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min'] LOOP
        FOR attribute, said IN
            SELECT a.attname, coalesce(c.s, col_description(raw::regclass, r.attnum))
            FROM pg_attribute a LEFT JOIN pg_attribute r ON r.attrelid = raw::regclass AND r.attname = a.attname
            LEFT JOIN (VALUES ('open', 'First price times price_factor, rupees, not rounded to ticks.'),
                              ('high', 'Highest price times price_factor.'), ('low', 'Lowest price times price_factor.'),
                              ('close', 'Last price times price_factor.'),
                              ('volume', 'Shares traded, in shares of today; NULL for indices, which have none.'),
                              ('price_factor', 'Product of the factors of later corporate actions; 1: none.')) AS c (a, s) ON c.a = a.attname
            WHERE a.attrelid = (raw || '_adjusted')::regclass AND a.attnum > 0
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', raw || '_adjusted', attribute, said);
        END LOOP;
    END LOOP;
END $$;

CREATE VIEW corporate_actions_readable AS
    SELECT i.exchange, i.symbol, c.ex_date, c.kind, c.terms, c.price_factor, c.volume_factor, c.source, c.known_at, c.gone_at, c.version,
           c.instrument_id
    FROM corporate_actions c JOIN instruments i ON i.id = c.instrument_id;
COMMENT ON VIEW corporate_actions_readable IS 'Corporate actions with their symbols, those that count no more too.';
DO $$
DECLARE
    attribute text;
    said text;
BEGIN
    FOR attribute, said IN
        SELECT a.attname, coalesce(c.s, col_description('corporate_actions'::regclass, r.attnum))
        FROM pg_attribute a LEFT JOIN pg_attribute r ON r.attrelid = 'corporate_actions'::regclass AND r.attname = a.attname
        LEFT JOIN (VALUES ('exchange', 'NSE, BSE ...'), ('symbol', 'The exchange''s symbol, as last known.')) AS c (a, s) ON c.a = a.attname
        WHERE a.attrelid = 'corporate_actions_readable'::regclass AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN corporate_actions_readable.%I IS %L', attribute, said);
    END LOOP;
END $$;
