CREATE TABLE runs (
    id text PRIMARY KEY,
    command text NOT NULL,
    config json NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    status text NOT NULL DEFAULT 'running',
    summary json
);
COMMENT ON TABLE runs IS 'Runs of the program.';
COMMENT ON COLUMN runs.config IS 'The settings it ran with, without secrets.';
COMMENT ON COLUMN runs.status IS 'running, ok, failed or interrupted.';

CREATE TABLE run_days (
    source source NOT NULL,
    day date NOT NULL,
    run_id text NOT NULL,
    journal text NOT NULL,
    feature_set_id text NOT NULL,
    model_id text NOT NULL,
    instrument_ids integer[] NOT NULL,
    timeframe smallint NOT NULL,
    PRIMARY KEY (source, day)
);
COMMENT ON TABLE run_days IS 'Which run and journal produced a session of a source: where verify starts.';
COMMENT ON COLUMN run_days.journal IS 'Folder of the journal segments.';
COMMENT ON COLUMN run_days.instrument_ids IS 'Dense row to instrument: position k is row k of the engine.';

CREATE TABLE tick_rejects (
    run_id text NOT NULL,
    counted_ns bigint NOT NULL,
    instrument_id integer NOT NULL,
    ts timestamptz NOT NULL,
    reason text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (run_id, counted_ns, instrument_id, ts, reason)
);
COMMENT ON TABLE tick_rejects IS 'Ticks the engine refused, counted at every minute''s close by the minute of their stamp and by reason.';
COMMENT ON COLUMN tick_rejects.counted_ns IS 'When they were counted: nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN tick_rejects.instrument_id IS '0: an instrument the run did not know.';
COMMENT ON COLUMN tick_rejects.ts IS 'The minute they were stamped with; 1970 where the broker sent no time.';

CREATE TABLE alerts (
    digest bytea PRIMARY KEY,
    run_id text NOT NULL,
    source source NOT NULL,
    at_ns bigint NOT NULL,
    level text NOT NULL,
    topic text NOT NULL,
    content text NOT NULL
);
CREATE INDEX alerts_at ON alerts (at_ns);
COMMENT ON TABLE alerts IS 'What people were told; the same alert of the same source once.';
COMMENT ON COLUMN alerts.at_ns IS 'Nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN alerts.digest IS 'Hash of source, time, level, topic and text.';

CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    detail jsonb NOT NULL
);
COMMENT ON TABLE events IS 'Audit trail: what the program and its operators did.';
