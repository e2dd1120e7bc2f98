CREATE TABLE feature_sets (
    id text PRIMARY KEY,
    timeframe smallint NOT NULL,
    names text[] NOT NULL,
    definition json NOT NULL
);
COMMENT ON TABLE feature_sets IS 'What the vectors in features mean; a changed formula, name or kernel is another set.';
COMMENT ON COLUMN feature_sets.id IS 'Hash of timeframe, names, parameters and kernel sources.';
COMMENT ON COLUMN feature_sets.timeframe IS 'Minutes of the decision bar.';
COMMENT ON COLUMN feature_sets.names IS 'Column names in the order of the vector.';
COMMENT ON COLUMN feature_sets.definition IS 'Expression, warm-up, family and description by name.';

CREATE TABLE features (
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    source source NOT NULL,
    feature_set_id text NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (feature_set_id, source, instrument_id, ts)
) /* SERIES features */;
COMMENT ON TABLE features IS 'One vector per decision bar; the view features_<set> shows its columns by name.';
COMMENT ON COLUMN features.ts IS 'Open time of the decision bar.';
COMMENT ON COLUMN features.vector IS 'Little-endian float32, one per name of the set; NaN missing.';

CREATE FUNCTION feature_at(p_vector bytea, p_index integer) RETURNS real
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    at integer := 4 * p_index;
    mantissa integer := get_byte(p_vector, at) | (get_byte(p_vector, at + 1) << 8) | ((get_byte(p_vector, at + 2) & 127) << 16);
    exponent integer := (get_byte(p_vector, at + 2) >> 7) | ((get_byte(p_vector, at + 3) & 127) << 1);
    sign double precision := CASE WHEN get_byte(p_vector, at + 3) >= 128 THEN -1.0 ELSE 1.0 END;
BEGIN
    IF exponent = 255 THEN
        RETURN CASE WHEN mantissa <> 0 THEN 'NaN'::real WHEN sign < 0 THEN '-Infinity'::real ELSE 'Infinity'::real END;
    ELSIF exponent = 0 THEN
        RETURN (sign * mantissa * power(2.0::double precision, -149))::real;
    END IF;
    RETURN (sign * (8388608 + mantissa) * power(2.0::double precision, exponent - 150))::real;
END $$;
COMMENT ON FUNCTION feature_at IS 'Value number p_index (from 0) of a little-endian float32 vector.';

CREATE TABLE label_sets (
    id text PRIMARY KEY,
    definition json NOT NULL
);
COMMENT ON TABLE label_sets IS 'How labels were made: barriers, horizon, entry delay, costs.';

CREATE TABLE labels (
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    entry_ts timestamptz NOT NULL,
    t1 timestamptz NOT NULL,
    ret_long double precision NOT NULL,
    ret_short double precision NOT NULL,
    sigma double precision NOT NULL,
    label smallint NOT NULL,
    barrier smallint NOT NULL,
    label_set_id text NOT NULL,
    PRIMARY KEY (label_set_id, instrument_id, ts)
) /* SERIES labels */;
COMMENT ON TABLE labels IS 'Triple-barrier outcome of a trade entered after each decision bar.';
COMMENT ON COLUMN labels.ts IS 'Open time of the decision bar.';
COMMENT ON COLUMN labels.entry_ts IS 'Open time of the minute whose open is the entry.';
COMMENT ON COLUMN labels.t1 IS 'The moment the label became known; purging uses it.';
COMMENT ON COLUMN labels.ret_long IS 'Gross return of the long trade, entry to exit.';
COMMENT ON COLUMN labels.ret_short IS 'Gross return of the short trade, entry to exit.';
COMMENT ON COLUMN labels.sigma IS 'Volatility the barriers were scaled with.';
COMMENT ON COLUMN labels.label IS '+1 the long trade won, -1 the short trade won, 0 neither.';
COMMENT ON COLUMN labels.barrier IS 'Which barriers were hit (domain.arrays.LABEL).';

CREATE TABLE models (
    id text PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    feature_set_id text NOT NULL,
    label_set_id text NOT NULL,
    path text NOT NULL,
    verdict text NOT NULL,
    trained_from date NOT NULL,
    trained_to date NOT NULL,
    manifest json NOT NULL
);
COMMENT ON TABLE models IS 'Trained models; the files are the artifact folder''s.';
COMMENT ON COLUMN models.seq IS 'Order of saving; the highest is the latest, and saving an older model again makes it so.';
COMMENT ON COLUMN models.path IS 'The artifact''s folder.';
COMMENT ON COLUMN models.verdict IS 'edge, no tradable edge or not enough data.';

CREATE TABLE signals (
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    source source NOT NULL,
    observe boolean NOT NULL,
    decided_ns bigint NOT NULL,
    valid_until_ns bigint NOT NULL,
    confidence double precision NOT NULL,
    p_down double precision NOT NULL,
    p_hold double precision NOT NULL,
    p_up double precision NOT NULL,
    price double precision NOT NULL,
    stop double precision,
    target double precision,
    action text NOT NULL CHECK (action IN ('BUY', 'SELL', 'HOLD')),
    model_id text NOT NULL,
    feature_set_id text NOT NULL,
    run_id text NOT NULL,
    PRIMARY KEY (source, model_id, instrument_id, ts)
) /* SERIES signals */;
CREATE INDEX signals_ts ON signals (ts);
COMMENT ON TABLE signals IS 'Decisions: one per instrument, decision bar, source and model.';
COMMENT ON COLUMN signals.ts IS 'Open time of the decision bar.';
COMMENT ON COLUMN signals.observe IS 'The model''s verdict was not an edge: do not trade on it.';
COMMENT ON COLUMN signals.decided_ns IS 'When it was decided, exact: nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN signals.valid_until_ns IS 'Nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN signals.confidence IS 'Calibrated probability of what action says.';
COMMENT ON COLUMN signals.price IS 'Close of the decision bar, rupees; stop and target likewise, NULL for HOLD.';
COMMENT ON COLUMN signals.run_id IS 'The run that stored it first; running again changes nothing.';

CREATE VIEW signals_readable AS
    SELECT s.ts + make_interval(mins => f.timeframe) AS bar_closed, to_timestamp(s.decided_ns / 1e9) AS decided, i.exchange, i.symbol, s.action,
           s.confidence, s.price, s.stop, s.target, to_timestamp(s.valid_until_ns / 1e9) AS valid_until, s.observe, s.source, s.model_id
    FROM signals s JOIN instruments i ON i.id = s.instrument_id LEFT JOIN feature_sets f ON f.id = s.feature_set_id;
COMMENT ON VIEW signals_readable IS 'Signals with symbols and times, for people.';

CREATE TABLE signal_outcomes (
    source source NOT NULL,
    model_id text NOT NULL,
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    entry_ts timestamptz,
    exit_ts timestamptz,
    entry_price double precision,
    exit_price double precision,
    ret_gross double precision,
    ret_net double precision,
    barrier smallint,
    PRIMARY KEY (source, model_id, instrument_id, ts)
);
COMMENT ON TABLE signal_outcomes IS 'What became of a signal under the fill rules; NULL entry: it could not be entered.';
COMMENT ON COLUMN signal_outcomes.ret_net IS 'After the charges dated for that day.';
