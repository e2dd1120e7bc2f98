CREATE TABLE trials (
    scope text NOT NULL,
    id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('configuration', 'tuning')),
    created_ns bigint NOT NULL,
    run_id text NOT NULL,
    model_id text NOT NULL,
    parameters json NOT NULL,
    value double precision,
    state text NOT NULL CHECK (state IN ('complete', 'pruned', 'failed')),
    sessions bytea NOT NULL,
    net bytea NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (scope, id),
    CONSTRAINT trials_path CHECK (octet_length(net) = 2 * octet_length(sessions))
);
COMMENT ON TABLE trials IS 'The trials ledger: every configuration that was tried on a scope of data. Its own configurations compete with each other.';
COMMENT ON COLUMN trials.scope IS 'The data the choice was made on: view and universe.';
COMMENT ON COLUMN trials.id IS 'Which configuration: run again it replaces itself.';
COMMENT ON COLUMN trials.kind IS 'configuration: its test path was seen, the deflated Sharpe ratio counts it; tuning: tried inside a training window, listed only.';
COMMENT ON COLUMN trials.created_ns IS 'When it was tried: nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN trials.run_id IS 'runs.id.';
COMMENT ON COLUMN trials.model_id IS 'models.id; empty where no model came of it.';
COMMENT ON COLUMN trials.parameters IS 'What was tried, for people.';
COMMENT ON COLUMN trials.value IS 'What tuning made best of; NULL: there is none.';
COMMENT ON COLUMN trials.state IS 'complete, pruned or failed.';
COMMENT ON COLUMN trials.sessions IS 'Session numbers of its stitched test path, ascending: little-endian int32; empty for tuning.';
COMMENT ON COLUMN trials.net IS 'Net P&L of each of them, little-endian float64.';
COMMENT ON COLUMN trials.note IS 'In words, for people.';

CREATE TABLE comparisons (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    champion_id text NOT NULL,
    challenger_id text NOT NULL,
    declared_ns bigint NOT NULL,
    declared_session integer NOT NULL,
    n_sessions integer NOT NULL CHECK (n_sessions > 0),
    alpha double precision NOT NULL CHECK (alpha > 0 AND alpha < 1),
    statistic text NOT NULL,
    outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'challenger', 'champion', 'void')),
    decided_ns bigint NOT NULL DEFAULT 0,
    p_value double precision,
    detail json,
    CONSTRAINT comparisons_models CHECK (champion_id <> challenger_id),
    CONSTRAINT comparisons_decided CHECK ((outcome = '') = (decided_ns = 0))
);
CREATE UNIQUE INDEX comparisons_open ON comparisons (champion_id, challenger_id) WHERE outcome = '';
COMMENT ON TABLE comparisons IS 'Paired tests of a challenger against the champion, each declared before any session of it was looked at. Of two models at most one is open.';
COMMENT ON COLUMN comparisons.id IS 'Numbered as declared.';
COMMENT ON COLUMN comparisons.champion_id IS 'models.id.';
COMMENT ON COLUMN comparisons.challenger_id IS 'models.id.';
COMMENT ON COLUMN comparisons.declared_ns IS 'Nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN comparisons.declared_session IS 'The last session that was stored then (days since the epoch): the test is on later ones only.';
COMMENT ON COLUMN comparisons.n_sessions IS 'How many of them decide it.';
COMMENT ON COLUMN comparisons.alpha IS 'Level of the one-sided test.';
COMMENT ON COLUMN comparisons.statistic IS 'What is compared; net: mean difference of daily net P&L.';
COMMENT ON COLUMN comparisons.outcome IS 'Empty: not decided; challenger: it is better; champion: it stays; void: given up.';
COMMENT ON COLUMN comparisons.decided_ns IS 'Nanoseconds since the epoch, UTC; 0: not decided.';
COMMENT ON COLUMN comparisons.p_value IS 'Of no difference; NULL: not decided, or void.';
COMMENT ON COLUMN comparisons.detail IS 'The figures behind it; NULL: not decided.';

CREATE TABLE promotions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id text NOT NULL,
    previous_id text NOT NULL,
    at_ns bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('first', 'promote', 'rollback')),
    comparison_id bigint UNIQUE REFERENCES comparisons (id),
    reason text NOT NULL,
    CONSTRAINT promotions_tested CHECK ((kind = 'promote') = (comparison_id IS NOT NULL)),
    CONSTRAINT promotions_first CHECK ((kind = 'first') = (previous_id = '')),
    CONSTRAINT promotions_models CHECK (model_id <> previous_id)
);
COMMENT ON TABLE promotions IS 'Every change of the champion, only ever added to: the highest number is in force.';
COMMENT ON COLUMN promotions.number IS 'In their order.';
COMMENT ON COLUMN promotions.model_id IS 'models.id of the champion from then on.';
COMMENT ON COLUMN promotions.previous_id IS 'models.id of the champion until then; empty: there was none.';
COMMENT ON COLUMN promotions.at_ns IS 'Nanoseconds since the epoch, UTC.';
COMMENT ON COLUMN promotions.kind IS 'first: the first champion of all; promote: it won its test; rollback: the one before is back.';
COMMENT ON COLUMN promotions.comparison_id IS 'The test it won, comparisons.id; NULL: first or rollback.';
COMMENT ON COLUMN promotions.reason IS 'In words.';
