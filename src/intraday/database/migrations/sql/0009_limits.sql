CREATE TABLE price_limits (
    instrument_id integer NOT NULL REFERENCES instruments (id),
    session date NOT NULL,
    known_at timestamptz NOT NULL,
    lower integer NOT NULL CHECK (lower > 0),
    upper integer NOT NULL CHECK (upper > lower),
    source text NOT NULL,
    PRIMARY KEY (instrument_id, session, known_at)
);
CREATE INDEX price_limits_session ON price_limits (session);
COMMENT ON TABLE price_limits IS 'Circuit limits: the prices between which an instrument may trade in a session. Labels use the newest that was known by its open.';
COMMENT ON COLUMN price_limits.instrument_id IS 'instruments.id.';
COMMENT ON COLUMN price_limits.session IS 'The Indian day they are in force.';
COMMENT ON COLUMN price_limits.known_at IS 'When they became known: a quote''s moment, or as the imported list says.';
COMMENT ON COLUMN price_limits.lower IS 'Paise.';
COMMENT ON COLUMN price_limits.upper IS 'Paise.';
COMMENT ON COLUMN price_limits.source IS 'Who says so: the broker, or the file that was imported.';
COMMENT ON COLUMN labels.barrier IS 'How the trades ended: bits of core.labels.Barrier, 0 to 255.';
